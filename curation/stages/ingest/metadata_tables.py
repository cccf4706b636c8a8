"""Joins a source's own table to its rows: metadata columns, labels and splits, under the names of the recipe."""

import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curation.dataset.columns import TEXT, Metadata, Role
from curation.dataset.recipe import AnySource, MetadataFile, compose
from curation.errors import CurationError, ErrorCode, first_line
from curation.sources import Fetched
from curation.sources.table_files import read_table
from curation.storage.archive_members import UnreadableMember, name_system_file
from curation.storage.archives import read_member

WHOLE, NUMBER = pl.Int64(), pl.Float64()
WHOLE_PATTERN = r"^-?(?:0|[1-9]\d{0,17})$"
NUMBER_PATTERN = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Table:
    """A metadata file that was read.

    Parameters
    ----------
    file : str
        Its path inside the source, or next to the recipe.
    rows : polars.DataFrame
    typed : bool
        Whether the file states types; of a CSV every value is a text.
    """

    file: str
    rows: pl.DataFrame
    typed: bool


def join_metadata(rows: pl.DataFrame, source: AnySource, given: Fetched) -> tuple[pl.DataFrame, str, list[Metadata]]:
    """Return the rows with what the source's table states of them, the table's path, and its metadata columns.

    Raises
    ------
    CurationError
        Where the table cannot be read, lacks a column, contradicts itself, or matches none of the files.
    """
    rule = source.metadata
    if rule is None:
        raise ValueError("the source has no metadata file")
    table = read_metadata(source, rule, given)
    columns = [
        Metadata(name, column.role, _kind_of(table, column.source, column.role))
        for name, column in rule.columns.items()
    ]
    facts = _take_facts(source, rule, table, columns)
    known = frozenset(facts["_key"])
    keys = [_metadata_key(rule, path, table.file, known) for path in rows["path"]]
    rows = rows.with_columns(_key=pl.Series(keys, dtype=pl.String))
    keyed = rows.select("path", "_key").rows()
    names = [key for path, key in keyed if path != table.file and not name_system_file(path)]
    _check_matches(source, rule, table.file, names, facts["_key"])
    rows = rows.join(facts, on="_key", how="left", maintain_order="left").drop("_key")
    if rule.label:
        rows = rows.with_columns(source_label=pl.coalesce("_label", "source_label")).drop("_label")
    if rule.split:
        rows = rows.with_columns(source_split=pl.coalesce("_split", "source_split")).drop("_split")
    return rows, table.file, columns


def unify_columns(columns: Iterable[Metadata]) -> tuple[Metadata, ...]:
    """Return each column once, in the order of the first mention, of a type that holds the values of all sources."""
    found: dict[str, Metadata] = {}
    for column in columns:
        known = found.get(column.name)
        kind = column.kind
        if known is not None and known.kind != column.kind:
            kind = TEXT if TEXT in (known.kind, column.kind) else NUMBER
        found[column.name] = Metadata(column.name, column.role, kind)
    return tuple(found.values())


def read_metadata(source: AnySource, rule: MetadataFile, given: Fetched) -> Table:
    """Return the table of a metadata file, which lies inside the source or next to the recipe."""
    if rule.file.startswith("./"):
        path = (source.base or Path()) / rule.file
        return _parse(source, rule, rule.file, lambda: path.read_bytes())
    found = [
        (part.inner_path(member.path), part.archive, member)
        for part in given.parts
        for member in part.archive.members
        if fnmatch.fnmatchcase(part.inner_path(member.path), rule.file) and name_system_file(member.path) is None
    ]
    if len(found) != 1:
        names = ", ".join(path for path, *_ in found[:3]) or "none"
        raise CurationError(
            ErrorCode.METADATA_INVALID,
            f"{source.name}: metadata.file {rule.file!r} matches {len(found)} files ({names}), not one",
            hint="Give its whole path inside the source, or a glob that matches one file.",
        )
    name, archive, member = found[0]
    return _parse(source, rule, name, lambda: read_member(archive.path, member))


def _parse(source: AnySource, rule: MetadataFile, name: str, read: Callable[[], bytes]) -> Table:
    """Return the table in a file's bytes; ``read`` returns these."""
    try:
        table = read_table(read(), name, header=rule.header)
    except (UnreadableMember, OSError, pl.exceptions.PolarsError, ValueError) as fault:
        raise CurationError(
            ErrorCode.METADATA_INVALID, f"{source.name}: {name} cannot be read as a table: {first_line(fault)}"
        ) from fault
    return Table(name, table.rows, table.typed)


def _kind_of(table: Table, name: str, role: Role | None) -> pl.DataType:
    """Return the type of a metadata column: ages are numbers, other columns with a role are texts.

    A column without a role holds numbers where the table does; of a CSV, where each of its values is written as one.
    """
    if role is not None or name not in table.rows.columns:
        return NUMBER if role == "age" else TEXT
    values = table.rows[name].drop_nulls()
    if table.typed or not len(values):
        return WHOLE if values.dtype.is_integer() else NUMBER if values.dtype.is_float() else TEXT
    if values.str.contains(WHOLE_PATTERN).all():
        return WHOLE
    return NUMBER if values.str.contains(NUMBER_PATTERN).all() else TEXT


def _take_facts(source: AnySource, rule: MetadataFile, table: Table, columns: Sequence[Metadata]) -> pl.DataFrame:
    """Return the key and the columns that the recipe names, one row for each image that the table has."""
    rows, file = table.rows, table.file
    one_hot = rule.label if isinstance(rule.label, tuple) else ()
    named = [rule.label] if isinstance(rule.label, str) else list(one_hot)
    named += [rule.split] if rule.split else []
    wanted = {rule.key, *(column.source for column in rule.columns.values()), *named}
    missing = sorted(wanted - set(rows.columns))
    if missing:
        raise CurationError(
            ErrorCode.METADATA_INVALID,
            f"{source.name}: {file} has no column {', '.join(map(repr, missing))}",
            hint=f"Its columns: {', '.join(rows.columns)}.",
        )
    nested = sorted(name for name in wanted if rows.schema[name].is_nested())
    if nested:
        raise CurationError(
            ErrorCode.METADATA_INVALID,
            f"{source.name}: {file}: the column {', '.join(map(repr, nested))} contains lists or tables",
            hint="Choose other columns, or write the table with plain values.",
        )
    _check_numbers(source, rule, table, columns)
    chosen: list[pl.Expr | pl.Series] = [
        pl.col(rule.columns[column.name].source).cast(column.kind, strict=False).alias(column.name)
        for column in columns
    ]
    if one_hot:
        chosen.append(_label_of_columns(source, table, one_hot).alias("_label"))
    elif rule.label:
        chosen.append(pl.col(str(rule.label)).cast(pl.String).alias("_label"))
    chosen += [pl.col(rule.split).cast(pl.String).alias("_split")] if rule.split else []
    key = pl.col(rule.key).cast(pl.String).str.normalize("NFC")
    key = (key.str.replace_all("\\", "/", literal=True).str.strip_prefix("./") if rule.match == "path" else key).alias(
        "_key"
    )
    facts = rows.select(key, *chosen).filter(pl.col("_key").is_not_null()).unique(maintain_order=True)
    twice = facts.filter(pl.col("_key").is_duplicated())["_key"].unique(maintain_order=True)
    if len(twice):
        raise CurationError(
            ErrorCode.METADATA_INVALID,
            f"{source.name}: {file} has rows that differ for {', '.join(map(repr, twice[:3]))} ({len(twice)} in all)",
            hint=f"Rows of one {rule.key} must agree in the columns that are read.",
        )
    return facts


def _check_numbers(source: AnySource, rule: MetadataFile, table: Table, columns: Sequence[Metadata]) -> None:
    """Raise where a column of numbers contains none: every image would lose its value silently."""
    for column in columns:
        name = rule.columns[column.name].source
        values = table.rows[name].drop_nulls()
        if column.kind.is_numeric() and len(values) and values.cast(column.kind, strict=False).is_null().all():
            raise CurationError(
                ErrorCode.METADATA_INVALID,
                f"{source.name}: {table.file}: the column {name!r}, read as {column.name}, contains no number; "
                f"its first value is {values[0]!r}",
                hint=f"Name another column in metadata.columns.{column.name}, or remove the key.",
            )


def _check_matches(source: AnySource, rule: MetadataFile, file: str, names: Sequence[str], keys: pl.Series) -> None:
    """Raise where no row of the table matches a file: the key or the match is wrong."""
    if not names or not set(keys).isdisjoint(names):
        return
    first = f"its column {rule.key!r} has {keys[0]!r}" if len(keys) else "it is empty"
    raise CurationError(
        ErrorCode.METADATA_INVALID,
        f"{source.name}: no row of {file} matches any of the source's {len(names)} files: {first}, "
        f"and by metadata.match = {rule.match!r} the first file is {names[0]!r}",
        hint="Change metadata.key, or metadata.match: stem (the file name without its suffix), name (with it) or path.",
    )


def _metadata_key(rule: MetadataFile, path: str, table: str, known: Collection[str]) -> str:
    """Return what of an image's path the table may name.

    A whole path is that inside the source, or one that starts at the table's folder; with or without its suffix.
    """
    path = compose(path)
    if rule.match == "path":
        inner = path.removeprefix(compose(table).rpartition("/")[0] + "/")
        spellings = (path, inner, _without_suffix(path), _without_suffix(inner))
        return next((spelling for spelling in spellings if spelling in known), path)
    name = path.rpartition("/")[2]
    return name if rule.match == "name" else _without_suffix(name)


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"


def _label_of_columns(source: AnySource, table: Table, columns: Sequence[str]) -> pl.Series:
    """Return the label of each row of a table that has a column of 0 and 1 for each label.

    Raises
    ------
    CurationError
        A row has several labels, or a share of one.
    """
    values = table.rows.select(pl.col(columns).cast(pl.Float64, strict=False).fill_null(0.0))
    for what, is_wrong in (
        ("shares of labels, such as votes", ~pl.all_horizontal(pl.all().is_in([0.0, 1.0]))),
        ("several labels", pl.sum_horizontal(pl.all()) > 1),
    ):
        wrong = values.select(is_wrong).to_series().sum()
        if wrong:
            raise CurationError(
                ErrorCode.METADATA_INVALID,
                f"{source.name}: {wrong} rows of {table.file} have {what} in {', '.join(columns[:5])}",
                hint="An image has one label here. Write a column with the label of each image, and give its name.",
            )
    names = [pl.when(pl.col(name) == 1).then(pl.lit(name)) for name in columns]
    return values.select(pl.coalesce(names)).to_series()
