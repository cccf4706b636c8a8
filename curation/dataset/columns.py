"""The registry of the manifest's columns: a new column needs a line here and the step that fills it.

In addition a manifest has the metadata columns that its recipe names, each with a name, a type and perhaps a role.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

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
"""One action in force for a file; ``label`` is that of a relabel."""

InForce: TypeAlias = Literal["exclude", "keep", "relabel", "prefer", "not-duplicates", "disagree"]
"""The actions of the column ``decision``; ``disagree`` where the policy found no outcome."""


@dataclass(frozen=True)
class Column:
    """One column of the manifest.

    Parameters
    ----------
    name : str
    kind : polars data type
    step : str, optional
        The step that fills it; None where any step may.
    meaning : str
        One sentence for the list in ``docs/codes.md``.
    exported : bool
        Whether the table of samples in an export has it.
    shown : bool
        Whether the review App shows it as a field.
    """

    name: str
    kind: pl.DataType
    step: Step | None
    meaning: str
    exported: bool = False
    shown: bool = False


COLUMNS: Final[tuple[Column, ...]] = (
    Column("id", pl.String(), "ingest", "Source and path; `#2` and so on for further pages.", shown=True),
    Column("source", pl.String(), "ingest", "Name of the source in the recipe.", exported=True, shown=True),
    Column("path", pl.String(), "ingest", "Path inside the source.", exported=True),
    Column("page", pl.UInt32(), "ingest", "Page of the file, from 1.", exported=True, shown=True),
    Column("sha256", pl.String(), "ingest", "Of the file's bytes.", exported=True, shown=True),
    Column("size_bytes", pl.Int64(), "ingest", "Size of the file."),
    Column(
        "source_label",
        pl.String(),
        "ingest",
        "Label that the source gives; an empty text where it is not labelled yet.",
        exported=True,
        shown=True,
    ),
    Column(
        "source_split", pl.String(), "ingest", "The source's own split: train, val or test.", exported=True, shown=True
    ),
    Column("group_key", pl.String(), "ingest", "Source and match of its group rule."),
    Column("licence", pl.String(), "ingest", "Licence of the source.", exported=True, shown=True),
    Column("format", pl.String(), "probe", "Format by the file's first bytes."),
    Column("width", pl.UInt32(), "probe", "Width in pixels, upright."),
    Column("height", pl.UInt32(), "probe", "Height in pixels, upright."),
    Column("mode", pl.String(), "probe", "Channels as stored."),
    Column("bits", pl.UInt8(), "probe", "Bits of one channel."),
    Column("pages", pl.UInt32(), "probe", "Pages of the file."),
    Column("orientation", pl.UInt8(), "probe", "EXIF orientation, 1 to 8."),
    Column("phash", pl.UInt64(), "probe", "64-bit hash of the upright image."),
    Column("flat", pl.Boolean(), "probe", "Whether the image is too flat for its hash."),
    Column("pixel_sha256", pl.String(), "probe", "Of the pixels of flat and of losslessly coded images."),
    Column(
        "image_sha256",
        pl.String(),
        "probe",
        "Of the image without metadata: a JPEG's coded image, the pixels of other formats.",
    ),
    Column("sharpness", pl.Float64(), "probe", "Variance of the Laplacian at a fixed scale.", shown=True),
    Column("brightness", pl.Float64(), "probe", "Mean gray value, 0 to 255.", shown=True),
    Column("contrast", pl.Float64(), "probe", "Standard deviation of the gray values.", shown=True),
    Column("label", pl.String(), "label", "Class; null for context.", exported=True, shown=True),
    Column(
        "decision",
        pl.List(ACTION),
        "decide",
        "Actions in force: action, label, reviewers and reason of each.",
        exported=True,
        shown=True,
    ),
    Column("earlier_sha256", pl.String(), "decide", "Of the same image in earlier versions, separated by spaces."),
    Column("group", pl.String(), "dedup", "Smallest sha256 of the group.", exported=True, shown=True),
    Column("representative", pl.String(), "dedup", "Id of the row that represents its duplicates."),
    Column("distance", pl.UInt8(), "dedup", "Bits between its hash and the representative's.", shown=True),
    Column("correlation", pl.Float32(), "dedup", "Correlation of its thumbnail and the representative's.", shown=True),
    Column(
        "difference",
        pl.Float32(),
        "dedup",
        "Largest local difference from the representative, relative to the calibrated limit.",
        shown=True,
    ),
    Column("disputed", pl.Boolean(), "dedup", "Whether its duplicates have other labels.", shown=True),
    Column("claims", pl.List(pl.String()), "dedup", "The labels of a dispute.", shown=True),
    Column(
        "lookalikes",
        pl.List(LOOKALIKE),
        "dedup",
        "Direct duplicates: id, kind, distance, correlation and orientation of each.",
    ),
    Column("split", pl.String(), "select", "train, val or test of a chosen image.", exported=True, shown=True),
    Column("reserve", pl.Boolean(), "select", "Whether it is used although disputed.", exported=True, shown=True),
    Column("fold", pl.UInt32(), "select", "Fold of an image of train or val, from 1.", exported=True, shown=True),
    Column("fingerprint", pl.String(), "select", "Thumbnail of a chosen image in few bytes, for `v<n>.csv`."),
    Column("file", pl.String(), "render", "Path of the published image.", exported=True),
    Column("file_sha256", pl.String(), "render", "Of the published image.", exported=True),
    Column("excluded_by", pl.String(), None, "Step that excluded the row; null for a kept one."),
    Column("reason", pl.String(), None, "Code of the reason."),
    Column("detail", pl.String(), None, "Facts of the reason."),
)
"""In the order in which they stand in the table."""

SCHEMA: Final[Mapping[str, pl.DataType]] = {column.name: column.kind for column in COLUMNS}


Role: TypeAlias = Literal["patient", "lesion", "sex", "age", "skin_type", "site", "time", "camera", "burned_in"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""What a metadata column may stand for; the audit, the evaluation and the privacy checks ask by role."""

IMPLIED_ROLES: Final[Mapping[str, Role]] = {
    "lesion": "lesion",
    "patient": "patient",
    "age": "age",
    "sex": "sex",
    "site": "site",
    "skin_type": "skin_type",
}
"""The role of a metadata column of this name where the recipe gives none: 0.1.0 had these six columns alone."""

PERSONAL_ROLES: Final[tuple[Role, ...]] = ("lesion", "patient", "age", "sex", "site", "skin_type")
"""The roles of data about persons."""

TEXT: Final[pl.DataType] = pl.String()

IDENTITY_ROLES: Final[tuple[Role, ...]] = ("patient", "lesion", "time")
"""The roles of columns that name one person, object or moment; they are not strata."""


@dataclass(frozen=True)
class Metadata:
    """A metadata column of one manifest: what the recipe takes from a source's own table.

    Parameters
    ----------
    name : str
    role : str, optional
    kind : polars data type
        String, Int64 or Float64.
    """

    name: str
    role: Role | None = None
    kind: pl.DataType = TEXT


def role_values(metadata: Iterable[Metadata], role: Role) -> pl.Expr:
    """Return the values of the columns of a role as text; of several columns the first that has a value."""
    names = [column.name for column in metadata if column.role == role]
    if not names:
        return pl.lit(None, dtype=pl.String)
    return pl.coalesce(pl.col(name).cast(pl.String) for name in names)


RESERVED_NAMES: Final = frozenset(
    {"excluded", "image", "cluster", "rank", "queues", "left", "reviewers", "doubt", "proposal", "confidence",
     "uncertainty"}
)  # fmt: skip
"""Names that the review table and the exports use besides the manifest's own columns."""


def columns_of(step: Step) -> tuple[str, ...]:
    """Return the names of the columns that a step fills."""
    return tuple(column.name for column in COLUMNS if column.step == step)
