"""The one table: one row for each file that was ever seen; reading, writing and the conservation law.

A row is never removed. A stage that rejects one fills ``excluded_by`` (the step), ``reason`` (a code) and ``detail``,
so that after every stage *kept + excluded = ingested*.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from curation.dataset.columns import SCHEMA, InForce, Metadata, Step
from curation.dataset.decisions import describe_actions
from curation.errors import CurationError, ErrorCode, first_line
from curation.reasons import VARYING, Reason, describe, describe_reason
from curation.storage.atomic_files import replace_file

SPLITS = ("train", "val", "test")
SCHEMA_NUMBER = 2
"""Counts the layouts of the table; a file without a number is of layout 1, as 0.1.0 wrote it."""
MARK = "curation_schema"
"""The key of the Parquet file's own metadata under which the number stands."""
METADATA_MARK = "curation_metadata"
"""The key under which the recipe's metadata columns stand there: JSON, a list of name and role."""


@dataclass(frozen=True)
class Manifest:
    """All rows ever seen, sorted by ``id``, in the columns of ``SCHEMA`` and ``metadata`` (null = not known yet).

    Parameters
    ----------
    rows : polars.DataFrame
        Any subset of the columns; the missing ones are added as nulls, the order of rows and columns is made
        canonical.
    metadata : tuple of Metadata
        The columns that the recipe takes from the sources' own tables.

    Raises
    ------
    ValueError
        On an unknown column, a metadata column with the name of another one, a duplicate id or a null id. Each would
        be a bug of a stage, not of the input.
    """

    rows: pl.DataFrame
    metadata: tuple[Metadata, ...] = ()

    def __post_init__(self) -> None:
        schema = self.schema
        if len(schema) < len(SCHEMA) + len(self.metadata):
            raise ValueError("metadata columns need names of their own")
        unknown = sorted(set(self.rows.columns) - set(schema))
        if unknown:
            raise ValueError(f"unknown manifest columns: {', '.join(unknown)}")
        missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items() if name not in self.rows]
        rows = self.rows.with_columns(missing).select([pl.col(name).cast(kind) for name, kind in schema.items()])
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
    def schema(self) -> dict[str, pl.DataType]:
        """The name and type of every column, in order."""
        return {**SCHEMA, **{column.name: column.kind for column in self.metadata}}

    @property
    def kept(self) -> pl.DataFrame:
        """The rows no stage has rejected."""
        return self.rows.filter(pl.col("excluded_by").is_null())

    @property
    def rejected(self) -> pl.DataFrame:
        """The rows some stage has rejected, each with its reason."""
        return self.rows.filter(pl.col("excluded_by").is_not_null())

    def with_columns(
        self, *expressions: pl.Expr | pl.Series | Iterable[pl.Expr], **named: pl.Expr | pl.Series
    ) -> "Manifest":
        """Return a manifest with columns replaced, as Polars' method of that name does."""
        return self.with_rows(self.rows.with_columns(*expressions, **named))

    def with_rows(self, rows: pl.DataFrame) -> "Manifest":
        """Return a manifest of the same metadata columns with these rows."""
        return replace(self, rows=rows)

    def exclude(self, step: Step, reasons: pl.Series, details: pl.Series | None = None) -> "Manifest":
        """Return a manifest in which every still kept row with a reason is excluded.

        Parameters
        ----------
        step : str
            The step that excludes.
        reasons : polars.Series of String, length len(self)
            A code of ``Reason`` or null, aligned with ``rows``. A row that is excluded already keeps its first reason.
        details : polars.Series of String, length len(self), optional
        """
        details = pl.repeat(None, len(self), dtype=pl.String, eager=True) if details is None else details
        new = self.rows["excluded_by"].is_null() & reasons.is_not_null()
        given = (("excluded_by", pl.lit(step)), ("reason", reasons), ("detail", details))
        return self.with_columns(pl.when(new).then(value).otherwise(name).alias(name) for name, value in given)

    def write(self, path: Path) -> None:
        """Write the table as Parquet, atomically (a temp file next to it, then ``os.replace``)."""
        # Through memory, as Polars reports "File out of specification" where the operating system reports "disk full".
        buffer = io.BytesIO()
        columns = [{"name": column.name, "role": column.role} for column in self.metadata]
        marks = {MARK: str(SCHEMA_NUMBER), METADATA_MARK: canonical_json(columns)}
        self.rows.write_parquet(buffer, compression="zstd", statistics=False, metadata=marks)
        replace_file(path, buffer.getbuffer())

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read what ``write`` wrote.

        Raises
        ------
        CurationError
            Where the file is missing or is not a manifest.
        """
        number = read_schema_number(path)
        if number != SCHEMA_NUMBER:
            raise CurationError(
                ErrorCode.VERSION_DAMAGED,
                f"{path}: its layout is {number}, this program reads {SCHEMA_NUMBER}",
                hint="A newer curation may have written it.",
            )
        try:
            columns = json.loads(pl.read_parquet_metadata(path)[METADATA_MARK])
            rows = pl.read_parquet(path)
            return cls(rows, tuple(Metadata(each["name"], each["role"], rows.schema[each["name"]]) for each in columns))
        except (pl.exceptions.PolarsError, LookupError, TypeError, ValueError, OSError) as fault:
            raise CurationError(
                ErrorCode.VERSION_DAMAGED,
                f"{path}: not a readable manifest: {first_line(fault)}",
                hint="Build it again.",
            ) from fault

    def digest(self) -> str:
        """Return the sha256 over every cell in canonical order, free of the Parquet encoding."""
        digest = hashlib.sha256()
        digest.update(canonical_json(list(self.schema)).encode())
        nested = pl.col("lookalikes", "decision").list.eval(pl.element().struct.json_encode())
        plain = self.rows.with_columns(nested)
        for batch in plain.iter_slices(65536):
            digest.update(batch.write_ndjson().encode())
        return digest.hexdigest()


def read_schema_number(path: Path) -> int:
    """Return the number of the layout of a manifest's file.

    Raises
    ------
    CurationError
        Where the file is missing or cannot be read.
    """
    try:
        return int(pl.read_parquet_metadata(path).get(MARK, "1"))
    except FileNotFoundError:
        raise CurationError(
            ErrorCode.FILE_MISSING, f"{path}: there is no manifest", hint="Build the dataset first."
        ) from None
    except (pl.exceptions.PolarsError, ValueError, OSError) as fault:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE, f"{path}: not a readable manifest: {first_line(fault)}"
        ) from fault


def is_not_image() -> pl.Expr:
    """Return whether a row is a file that gave no image at all; never null."""
    return pl.col("excluded_by").is_in(["ingest", "probe"]).fill_null(value=False)


def is_unreadable() -> pl.Expr:
    """Return whether a row is a file that could not be read; never null.

    A table that describes the images and what an operating system or a program left are as they should be.
    """
    reasons = (Reason.FORGOTTEN, Reason.METADATA_FILE, Reason.PROGRAM_FOLDER, Reason.SYSTEM_FILE)
    expected = pl.col("reason").is_in([reason.value for reason in reasons])
    return is_not_image() & ~expected.fill_null(value=False)


def has_reason(*reasons: Reason) -> pl.Expr:
    """Return whether a row is excluded for one of these reasons; never null."""
    return pl.col("reason").is_in([reason.value for reason in reasons]).fill_null(value=False)


def is_excluded_by(step: Step) -> pl.Expr:
    """Return whether a row was excluded by this step; never null."""
    return (pl.col("excluded_by") == step).fill_null(value=False)


def has_action(*actions: InForce) -> pl.Expr:
    """Return whether one of these actions is in force for a row's file; never null."""
    names = pl.col("decision").list.eval(pl.element().struct.field("action"))
    return pl.any_horizontal(names.list.contains(action).fill_null(value=False) for action in actions)


def comparable_decision() -> pl.Expr:
    """Return the column ``decision`` for comparing two tables: 0.1.0 kept a comma for each semicolon of a reason."""
    reason = pl.field("reason").str.replace_all(";", ",", literal=True)
    return pl.col("decision").list.eval(pl.element().struct.with_fields(reason))


def describe_excluded(rows: pl.DataFrame) -> pl.Series:
    """Return for each row the sentence why it is excluded, null for a kept one."""
    columns = ["excluded_by", "reason", "detail"]
    known = rows.select(columns).filter(pl.col("excluded_by").is_not_null()).unique()
    sentences = [describe(*row) for row in known.iter_rows()]
    table = known.with_columns(excluded=pl.Series(sentences, dtype=pl.String))
    joined = rows.select(columns).join(table, on=columns, how="left", maintain_order="left", nulls_equal=True)
    return joined["excluded"]


def describe_decisions(rows: pl.DataFrame) -> pl.Series:
    """Return for each row the actions in force for its file as they are shown, null where there are none."""
    decision = rows["decision"]
    if decision.null_count() == len(decision):
        return pl.Series("decision", [None] * len(decision), dtype=pl.String)
    return pl.Series("decision", [describe_actions(actions) for actions in decision.to_list()], dtype=pl.String)


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
        after = after.with_rows(after.rows.filter(pl.col("page").fill_null(1) == 1))
    if not before.rows["id"].equals(after.rows["id"]) or not before.rows["sha256"].equals(after.rows["sha256"]):
        raise RuntimeError(f"stage {stage} broke conservation: {len(before)} rows in, {len(after)} rows out")
    revived = (
        before.rows["excluded_by"].is_not_null()
        & after.rows["excluded_by"].is_null()
        & after.rows["decision"].is_null()
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


@dataclass(frozen=True)
class ReasonCount:
    """How many rows one step excluded for one reason; ``detail`` only where all of them share it."""

    excluded_by: str
    reason: str
    detail: str | None
    rows: int

    @property
    def phrase(self) -> str:
        """The reason as it is shown."""
        return describe_reason(self.reason, self.detail)

    def __str__(self) -> str:
        """Return the step and the reason as they are shown."""
        return describe(self.excluded_by, self.reason, self.detail)


def count_reasons(rejected: pl.DataFrame) -> list[ReasonCount]:
    """Return how many rows were rejected by which step for which reason, the most frequent first.

    A detail that differs from row to row, such as the id of a representative, is left out.
    """
    detail = pl.when(~has_reason(*VARYING)).then("detail").alias("detail")
    counts = rejected.group_by("excluded_by", "reason", detail).len()
    found = [ReasonCount(*row) for row in counts.iter_rows()]
    return sorted(found, key=lambda each: (-each.rows, str(each)))


def select_rows(manifest: Manifest, ids: Iterable[str]) -> pl.DataFrame:
    """Return the rows of the given ids, in the manifest's order."""
    return manifest.rows.filter(pl.col("id").is_in(list(ids)))
