"""The registry of the manifest's columns: a new column needs a line here and the step that fills it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import polars as pl

Step: TypeAlias = Literal["ingest", "probe", "label", "decide", "quality", "dedup", "select", "render"]
STEPS: Final[tuple[Step, ...]] = ("ingest", "probe", "label", "decide", "quality", "dedup", "select", "render")
"""The steps that fill columns or exclude rows, in their order."""

LOOKALIKE: Final = pl.Struct(
    {"id": pl.String, "kind": pl.String, "distance": pl.UInt8, "correlation": pl.Float32, "symmetry": pl.UInt8}
)
ACTION: Final = pl.Struct(
    {"action": pl.String, "label": pl.String, "reviewers": pl.List(pl.String), "reason": pl.String}
)
"""What is in force for a file: exclude, keep, relabel (to ``label``), prefer, not-duplicates or disagree."""


@dataclass(frozen=True)
class Column:
    """One column of the manifest.

    Parameters
    ----------
    name : str
    kind : polars data type
    step : str, optional
        The step that fills it; None where any step may.
    exported : bool
        Whether the table of samples in an export has it.
    shown : bool
        Whether the review App shows it as a field.
    """

    name: str
    kind: Any
    step: Step | None
    exported: bool = False
    shown: bool = False


COLUMNS: Final[tuple[Column, ...]] = (
    Column("id", pl.String(), "ingest", shown=True),
    Column("source", pl.String(), "ingest", exported=True, shown=True),
    Column("path", pl.String(), "ingest", exported=True),
    Column("page", pl.UInt32(), "ingest", exported=True, shown=True),
    Column("sha256", pl.String(), "ingest", exported=True, shown=True),
    Column("size_bytes", pl.Int64(), "ingest"),
    Column("source_label", pl.String(), "ingest", exported=True, shown=True),
    Column("source_split", pl.String(), "ingest", exported=True, shown=True),
    Column("group_key", pl.String(), "ingest"),
    Column("licence", pl.String(), "ingest", exported=True, shown=True),
    Column("lesion", pl.String(), "ingest", exported=True, shown=True),
    Column("patient", pl.String(), "ingest", exported=True, shown=True),
    Column("age", pl.Float64(), "ingest", exported=True, shown=True),
    Column("sex", pl.String(), "ingest", exported=True, shown=True),
    Column("site", pl.String(), "ingest", exported=True, shown=True),
    Column("skin_type", pl.String(), "ingest", exported=True, shown=True),
    Column("format", pl.String(), "probe"),
    Column("width", pl.UInt32(), "probe"),
    Column("height", pl.UInt32(), "probe"),
    Column("mode", pl.String(), "probe"),
    Column("bits", pl.UInt8(), "probe"),
    Column("pages", pl.UInt32(), "probe"),
    Column("orientation", pl.UInt8(), "probe"),
    Column("phash", pl.UInt64(), "probe"),
    Column("flat", pl.Boolean(), "probe"),
    Column("pixel_sha256", pl.String(), "probe"),
    Column("sharpness", pl.Float64(), "probe", shown=True),
    Column("brightness", pl.Float64(), "probe", shown=True),
    Column("contrast", pl.Float64(), "probe", shown=True),
    Column("label", pl.String(), "label", exported=True, shown=True),
    Column("decision", pl.List(ACTION), "decide", exported=True, shown=True),
    Column("group", pl.String(), "dedup", exported=True, shown=True),
    Column("representative", pl.String(), "dedup"),
    Column("distance", pl.UInt8(), "dedup", shown=True),
    Column("correlation", pl.Float32(), "dedup", shown=True),
    Column("disputed", pl.Boolean(), "dedup", shown=True),
    Column("claims", pl.List(pl.String()), "dedup", shown=True),
    Column("lookalikes", pl.List(LOOKALIKE), "dedup"),
    Column("split", pl.String(), "select", exported=True, shown=True),
    Column("reserve", pl.Boolean(), "select", exported=True, shown=True),
    Column("file", pl.String(), "render", exported=True),
    Column("file_sha256", pl.String(), "render", exported=True),
    Column("excluded_by", pl.String(), None),
    Column("reason", pl.String(), None),
    Column("detail", pl.String(), None),
)
"""In the order in which they stand in the table."""

SCHEMA: Final[Mapping[str, Any]] = {column.name: column.kind for column in COLUMNS}


def columns_of(step: Step) -> tuple[str, ...]:
    """Return the names of the columns that a step fills."""
    return tuple(column.name for column in COLUMNS if column.step == step)
