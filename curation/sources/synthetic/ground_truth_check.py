"""Compares a manifest with the ground truth: missed faults, and clean images that were excluded."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from curation.sources.synthetic.ground_truth import Fault, GroundTruth

Row = Mapping[str, Any]


def find_missed(truth: GroundTruth, rows: pl.DataFrame, *, source: str) -> tuple[Fault, ...]:
    """Return the planted faults with another outcome than the expected one, sorted by path.

    Parameters
    ----------
    truth : GroundTruth
        Of the drawn source.
    rows : polars.DataFrame
        ``id``, ``group``, ``disputed`` and ``excluded_by`` of a manifest after dedup or later.
    source : str
        The source's name in the recipe.
    """
    by_path = _by_path(rows, source)
    return tuple(fault for fault in truth.faults if not _is_met(fault, by_path))


def find_wrongly_excluded(truth: GroundTruth, rows: pl.DataFrame, *, source: str) -> tuple[str, ...]:
    """Return the paths of clean images that are missing, disputed, or excluded before the selection, sorted.

    The parameters are those of ``find_missed``.
    """
    by_path = _by_path(rows, source)
    return tuple(path for path in truth.clean if path not in by_path or not _is_untouched(by_path[path]))


def _by_path(rows: pl.DataFrame, source: str) -> dict[str, Row]:
    wanted = rows.select("id", "group", "disputed", "excluded_by").iter_rows(named=True)
    return {row["id"].removeprefix(f"{source}/"): row for row in wanted if row["id"].startswith(f"{source}/")}


def _is_met(fault: Fault, by_path: Mapping[str, Row]) -> bool:
    row = by_path.get(fault.path)
    if row is None:
        return False
    if fault.expected == "unreadable":
        return _stage(row) == "probe"
    if fault.expected == "low quality":
        return _stage(row) == "quality"
    if fault.expected == "kept":
        return _is_untouched(row)
    original = by_path.get(str(fault.original))
    if original is None or row["group"] is None or row["group"] != original["group"]:
        return False
    if fault.expected == "disputed":
        return bool(row["disputed"] and original["disputed"])
    if fault.expected == "leak":
        return _stage(row) == "dedup" and _stage(original) in ("", "select")
    return "dedup" in (_stage(row), _stage(original))


def _is_untouched(row: Row) -> bool:
    return _stage(row) in ("", "select") and not row["disputed"]


def _stage(row: Row) -> str:
    """Return the stage that excluded a row; empty where it is kept."""
    return str(row["excluded_by"] or "")
