"""Counts of samples by split and class, in the order of the splits."""

from collections.abc import Sequence

import polars as pl

from curation.dataset.manifest import SPLITS


def count_splits(kept: pl.DataFrame, *, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return split -> class -> samples, in the order train, val, test; splits without samples are omitted.

    Parameters
    ----------
    kept : polars.DataFrame
        With ``split`` and ``label``.
    classes : sequence of str
        The classes to count, in the order of the result.
    """
    counts = {(split, label): count for split, label, count in kept.group_by("split", "label").len().rows()}
    used = [split for split in SPLITS if any((split, label) in counts for label in classes)]
    return {split: {label: counts.get((split, label), 0) for label in classes} for split in used}


def splits_and_labels(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Return the (split, label) that occur: train, val, test, and the classes by name."""
    order = {split: place for place, split in enumerate(SPLITS)}
    pairs = rows.select("split", "label").drop_nulls().unique().rows()
    return sorted(pairs, key=lambda pair: (order.get(pair[0], len(order)), pair))
