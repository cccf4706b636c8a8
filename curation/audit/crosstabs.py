"""Counts and shares by split and class: the tables behind what an audit says."""

from collections.abc import Mapping

import polars as pl

from curation.dataset.findings import Tally
from curation.dataset.manifest import SPLITS

MOST_ROWS = 12
"""Of more values the rarest are counted together."""
UNKNOWN, OTHERS = "not known", "others"


def columns_of(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Return the (split, label) that occur: train, val, test, and the classes by name."""
    order = {split: place for place, split in enumerate(SPLITS)}
    pairs = rows.select("split", "label").drop_nulls().unique().rows()
    return sorted(pairs, key=lambda pair: (order.get(pair[0], len(order)), pair))


def tally_values(rows: pl.DataFrame, column: str, *, says: str) -> Tally:
    """Return how many pictures each value of a column has in each split and class, the commonest values first.

    Parameters
    ----------
    rows : polars.DataFrame
        With ``split``, ``label`` and the column, as text.
    """
    pairs = columns_of(rows)
    totals = rows.drop_nulls(column).group_by(column).len().sort("len", column, descending=[True, False])
    names = totals[column].head(MOST_ROWS).to_list()
    value = pl.when(pl.col(column).is_null()).then(pl.lit(UNKNOWN)).otherwise(
        pl.when(pl.col(column).is_in(names)).then(pl.col(column)).otherwise(pl.lit(OTHERS))
    )  # fmt: skip
    counted = rows.select("split", "label", value=value).group_by("value", "split", "label").len()
    counts = {(name, split, label): count for name, split, label, count in counted.rows()}
    there = {name for name, *_ in counts}
    told = [name for name in dict.fromkeys([*names, OTHERS, UNKNOWN]) if name in there]
    table = tuple((name, tuple(float(counts.get((name, *pair), 0)) for pair in pairs)) for name in told)
    return Tally(name=column, says=says, columns=_heads(pairs), rows=table, unit="pictures")


def tally_shares(rows: pl.DataFrame, rules: Mapping[str, pl.Expr], *, name: str, says: str) -> Tally:
    """Return which share of each split and class every rule holds for."""
    pairs = columns_of(rows)
    shares = rows.group_by("split", "label").agg(
        [rule.mean().alias(f"rule{place}") for place, rule in enumerate(rules.values())]
    )
    known = {(split, label): values for split, label, *values in shares.rows()}
    table = tuple(
        (words, tuple(round(float(known[pair][place]), 4) for pair in pairs)) for place, words in enumerate(rules)
    )
    return Tally(name=name, says=says, columns=_heads(pairs), rows=table, unit="share")


def _heads(pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{split}: {label}" for split, label in pairs)
