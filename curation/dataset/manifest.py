"""The one table: one row for each file that was ever seen, its schema, reading, writing and the conservation law.

A row is never removed. A stage that rejects one writes ``excluded = "<stage>: <reason>"``, so that after every
stage *kept + excluded = ingested*.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curation.errors import CurationError
from curation.storage.atomic_files import replace_file

LOOKALIKE = pl.Struct(
    {"id": pl.String, "kind": pl.String, "distance": pl.UInt8, "correlation": pl.Float32, "symmetry": pl.UInt8}
)

SCHEMA: Mapping[str, Any] = {
    # ingest
    "id": pl.String(),
    "source": pl.String(),
    "path": pl.String(),
    "page": pl.UInt32(),
    "sha256": pl.String(),
    "size_bytes": pl.Int64(),
    "source_label": pl.String(),
    "source_split": pl.String(),
    "group_key": pl.String(),
    "licence": pl.String(),
    "lesion": pl.String(),
    "patient": pl.String(),
    "age": pl.Float64(),
    "sex": pl.String(),
    "site": pl.String(),
    "skin_type": pl.String(),
    # probe
    "format": pl.String(),
    "width": pl.UInt32(),
    "height": pl.UInt32(),
    "mode": pl.String(),
    "bits": pl.UInt8(),
    "pages": pl.UInt32(),
    "orientation": pl.UInt8(),
    "phash": pl.UInt64(),
    "flat": pl.Boolean(),
    "pixel_sha256": pl.String(),
    "sharpness": pl.Float64(),
    "brightness": pl.Float64(),
    "contrast": pl.Float64(),
    # label, decide
    "label": pl.String(),
    "decision": pl.String(),
    # dedup
    "group": pl.String(),
    "representative": pl.String(),
    "distance": pl.UInt8(),
    "correlation": pl.Float32(),
    "disputed": pl.Boolean(),
    "claims": pl.List(pl.String()),
    "lookalikes": pl.List(LOOKALIKE),
    # select
    "split": pl.String(),
    "reserve": pl.Boolean(),
    # render
    "file": pl.String(),
    "file_sha256": pl.String(),
    # any step
    "excluded": pl.String(),
}

METADATA_COLUMNS = ("lesion", "patient", "age", "sex", "site", "skin_type")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Manifest:
    """All rows ever seen, sorted by ``id``, in the columns of ``SCHEMA`` (null = not known yet).

    Parameters
    ----------
    rows : polars.DataFrame
        Any subset of the columns; the missing ones are added as nulls, the order of rows and columns is made
        canonical.

    Raises
    ------
    ValueError
        On an unknown column, a duplicate id or a null id. Each would be a bug of a stage, not of the input.
    """

    rows: pl.DataFrame

    def __post_init__(self) -> None:
        unknown = sorted(set(self.rows.columns) - set(SCHEMA))
        if unknown:
            raise ValueError(f"unknown manifest columns: {', '.join(unknown)}")
        missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in self.rows]
        rows = self.rows.with_columns(missing).select([pl.col(name).cast(kind) for name, kind in SCHEMA.items()])
        ids = rows["id"]
        # Ids that ascend, as they do after every stage, are unique: that is seen without a table of a million texts.
        if ids.null_count() or not (ids.slice(1) > ids.slice(0, max(0, rows.height - 1))).all():
            if ids.null_count() or ids.n_unique() != rows.height:
                raise ValueError("manifest ids must be unique and not null")
            rows = rows.sort("id")
        object.__setattr__(self, "rows", rows)

    def __len__(self) -> int:
        """Return the number of files ever seen."""
        return self.rows.height

    @property
    def kept(self) -> pl.DataFrame:
        """The rows no stage has rejected."""
        return self.rows.filter(pl.col("excluded").is_null())

    @property
    def rejected(self) -> pl.DataFrame:
        """The rows some stage has rejected, each with its reason."""
        return self.rows.filter(pl.col("excluded").is_not_null())

    def with_columns(self, *expressions: pl.Expr | pl.Series, **named: pl.Expr | pl.Series) -> "Manifest":
        """Return a manifest with columns replaced, as Polars' method of that name does."""
        return Manifest(self.rows.with_columns(*expressions, **named))

    def exclude(self, reasons: pl.Series) -> "Manifest":
        """Return a manifest in which every still kept row with a reason is excluded.

        Parameters
        ----------
        reasons : polars.Series of String, length len(self)
            ``"<stage>: <reason>"`` or null, aligned with ``rows``. A row that is excluded already keeps its first
            reason.
        """
        return self.with_columns(excluded=pl.coalesce(pl.col("excluded"), reasons.rename("excluded")))

    def write(self, path: Path) -> None:
        """Write the table as Parquet, atomically (a temp file beside it, then ``os.replace``)."""
        # Through memory, as Polars says "File out of specification" where the operating system says "disk full".
        buffer = io.BytesIO()
        self.rows.write_parquet(buffer, compression="zstd", statistics=False)
        replace_file(path, buffer.getbuffer())

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read what ``write`` wrote.

        Raises
        ------
        CurationError
            Where the file is missing or is no manifest.
        """
        try:
            return cls(pl.read_parquet(path))
        except FileNotFoundError:
            raise CurationError(f"{path}: there is no manifest", hint="build the dataset first") from None
        except (pl.exceptions.PolarsError, ValueError, OSError) as fault:
            raise CurationError(f"{path}: not a readable manifest: {fault}") from fault

    def digest(self) -> str:
        """Return the sha256 over every cell in canonical order, free of the Parquet encoding."""
        digest = hashlib.sha256()
        digest.update(canonical_json(list(SCHEMA)).encode())
        plain = self.rows.with_columns(pl.col("lookalikes").list.eval(pl.element().struct.json_encode()))
        for batch in plain.iter_slices(65536):
            digest.update(batch.write_ndjson().encode())
        return digest.hexdigest()


NO_PICTURE = r"^(?:ingest|probe): "
"""The reasons of files that are no picture at all."""

SYSTEM_FILE = "probe: system file: "
"""Begins the reasons of what operating systems leave beside pictures; what it is follows."""

METADATA_FILE = "ingest: metadata file"


def is_unreadable() -> pl.Expr:
    """Return whether a row is a file that could not be read: never null, and false of what was none to begin with.

    A table that tells of the pictures and what an operating system left beside them are as they should be.
    """
    excluded = pl.col("excluded").fill_null("")
    return excluded.str.contains(NO_PICTURE) & (excluded != METADATA_FILE) & ~excluded.str.starts_with(SYSTEM_FILE)


def check_conservation(before: Manifest, after: Manifest, *, stage: str, grows: bool = False) -> Manifest:
    """Return ``after`` if it holds every row of ``before`` under the same bytes, and lost no earlier reason.

    Parameters
    ----------
    grows : bool
        Rows of further pages (``id#2`` and so on) may have been added.

    Raises
    ------
    RuntimeError
        Where a stage lost or invented a row or took a reason back without a decision: a bug, never the input's fault.
    """
    given = after
    if grows and len(after) != len(before):
        after = Manifest(after.rows.filter(pl.col("page").fill_null(1) == 1))
    if not before.rows["id"].equals(after.rows["id"]) or not before.rows["sha256"].equals(after.rows["sha256"]):
        raise RuntimeError(f"stage {stage} broke conservation: {len(before)} rows in, {len(after)} rows out")
    revived = (
        before.rows["excluded"].is_not_null() & after.rows["excluded"].is_null() & after.rows["decision"].is_null()
    )
    if revived.any():
        raise RuntimeError(f"stage {stage} took back {revived.sum()} reasons without a decision")
    return given


def canonical_json(content: object) -> str:
    """Return ``content`` as JSON that is the same on every machine: sorted keys, no spaces, no NaN, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(content: object) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of ``content``."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def choice_digest(kept: pl.DataFrame, *, rendering: Mapping[str, object]) -> str:
    """Return a version's digest: what was chosen and how it is rendered.

    Parameters
    ----------
    kept : polars.DataFrame
        Rows with ``split``, ``label``, ``sha256`` and ``page``; all are taken.
    rendering : mapping
        What decides the pixels: canonical settings of decode, tone and render. No clock, machine, encoder or name.
    """
    chosen = sorted(kept.select("split", "label", "sha256", pl.col("page").fill_null(1)).rows())
    return digest_of({"chosen": chosen, "rendering": dict(rendering)})


def content_digest(kept: pl.DataFrame) -> str:
    """Return the sha256 over split, label and ``file_sha256`` of the kept rows: the identity of exports and imports."""
    return digest_of(sorted(kept.select("split", "label", "file_sha256").rows()))


def count_reasons(rejected: pl.DataFrame) -> list[tuple[str, str, int]]:
    """Return (stage, reason, rows) of the rejected rows, the most frequent first.

    What differs from row to row is dropped: whom a duplicate is of, and what stands in brackets at the end. The names
    of context classes are the source's own and stay as they are.
    """
    reason = pl.col("excluded")
    plain = reason.str.replace(r" duplicate of .*$", " duplicate").str.replace(r" \(.*$", "")
    reasons = rejected.select(pl.when(reason.str.starts_with("select: context class ")).then(reason).otherwise(plain))
    counts = reasons.to_series().value_counts().sort(["count", "excluded"], descending=[True, False])
    return [(*_split_reason(reason), count) for reason, count in counts.rows()]


def _split_reason(reason: str) -> tuple[str, str]:
    stage, _, rest = reason.partition(": ")
    return stage, rest


def select_rows(manifest: Manifest, ids: Iterable[str]) -> pl.DataFrame:
    """Return the rows of the given ids, in the manifest's order."""
    return manifest.rows.filter(pl.col("id").is_in(list(ids)))
