"""Archives become rows: every file of every source, the unreadable ones too, read in place."""

import fnmatch
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curation.dataset.columns import SCHEMA
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import SPLIT_NAMES, AnySource, GroupColumn, MetadataFile, Recipe, compose
from curation.engines import Engine
from curation.errors import CurationError
from curation.hashing import sha256_hex
from curation.reasons import Cause, Reason
from curation.sources import Fetched
from curation.storage.archive_index import Archive
from curation.storage.archive_members import FilePlace, Member, UnreadableMember, name_system_file
from curation.storage.archives import read_member
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import locate, readable
from curation.storage.progress import Progress, show_progress

SHARD_FILES = 512
IN_PROCESS_BYTES = 512 << 20
LISTING = {"path": pl.String, "size_bytes": pl.Int64, "sha256": pl.String, "reason": pl.String, "detail": pl.String}
LISTINGS = "listings-2"
"""The folder of the cache; its number rises with the layout of what it keeps."""


def ingest(recipe: Recipe, fetched: Sequence[Fetched], *, cache: Cache, engine: Engine, progress: Progress) -> Manifest:
    """Return one row for every file that the sources hold.

    A file that may not or cannot be read is excluded and has no sha256. What the source's
    own metadata says is joined on, and the group keys are found.

    Raises
    ------
    CurationError
        Where an archive is damaged as a whole, or a metadata file or column is missing.
    """
    tables = []
    for source, given in zip(recipe.sources, fetched, strict=True):
        listings = []
        for part in given.parts:
            listing = list_archive(part.archive, cache=cache, engine=engine, progress=progress)
            paths = [part.inner_path(path) for path in listing["path"]]
            listings.append(listing.with_columns(path=pl.Series(paths, dtype=pl.String)))
        tables.append(_describe(source, given, pl.concat(listings)))
    if not sum(table.height for table in tables):
        raise CurationError("the sources hold no files", hint="check the sources' paths in the recipe")
    rows = pl.concat(tables, how="diagonal")
    twice = rows.filter(pl.col("id").is_duplicated())["id"]
    if len(twice):
        raise CurationError(
            f"{twice[0]}: two files of one source are called so, one of them by the name of an archive beside it",
            hint="leave one of them out: a source of figshare takes what its `files` name",
        )
    return Manifest(rows.with_columns(excluded_by=pl.when(pl.col("reason").is_not_null()).then(pl.lit("ingest"))))


def list_archive(archive: Archive, *, cache: Cache, engine: Engine, progress: Progress) -> pl.DataFrame:
    """Return path, size, sha256 and the reason where it cannot be read, of every file of one archive, sorted by path.

    What stands in an archive never changes under its sha256, so it is read once and then taken from the cache.
    """
    known = cache.shared_folder(LISTINGS) / f"{archive.sha256}.parquet"
    if not archive.path.is_dir():
        try:
            return pl.read_parquet(readable(known), schema=LISTING)
        except (OSError, pl.exceptions.PolarsError):
            pass  # not there yet, or not whole: it is made again
    if archive.path.is_dir():
        return _list_folder(archive, archive.members, cache)
    listing = _hash_members(archive, archive.members, engine=engine, progress=progress)
    buffer = io.BytesIO()
    listing.write_parquet(buffer)
    cache.keep(known, buffer.getvalue())
    return listing


def _list_folder(archive: Archive, members: Sequence[Member], cache: Cache) -> pl.DataFrame:
    readable = [member for member in members if isinstance(member.locator, FilePlace)]
    paths = [locate(member.locator.path) for member in readable if isinstance(member.locator, FilePlace)]
    digests = dict(zip(readable, cache.file_sha256s(archive.path, paths), strict=True))
    rows = []
    for member in members:
        sha, refused = digests.get(member), member.refused
        if sha is None and refused is None:
            refused = _try_to_read(archive.path, member)[1]
        rows.append((member.path, member.size_bytes, sha, *(refused or _READ)))
    return pl.DataFrame(rows, schema=LISTING, orient="row")


def _hash_members(archive: Archive, members: Sequence[Member], *, engine: Engine, progress: Progress) -> pl.DataFrame:
    shards = [
        (archive.path, tuple(members[start : start + SHARD_FILES])) for start in range(0, len(members), SHARD_FILES)
    ]
    rows = []
    size = sum(member.size_bytes for member in members)
    # Processes take longer to start than it takes to hash a few hundred megabytes.
    mapped = engine.map(hash_shard, shards) if size > IN_PROCESS_BYTES else map(hash_shard, shards)
    with show_progress(progress, f"list {archive.name}", size) as advance:
        for shard, digests in zip(shards, mapped, strict=True):
            for member, (sha, refused) in zip(shard[1], digests, strict=True):
                rows.append((member.path, member.size_bytes, sha, *(refused or _READ)))
            advance(sum(member.size_bytes for member in shard[1]))
    return pl.DataFrame(rows, schema=LISTING, orient="row")


_READ = (None, None)


def hash_shard(shard: tuple[Path, tuple[Member, ...]]) -> list[tuple[str | None, Cause | None]]:
    """Return (sha256, None) or (None, cause) of each member of an archive."""
    archive, members = shard
    return [_try_to_read(archive, member) for member in members]


def _try_to_read(archive: Path, member: Member) -> tuple[str | None, Cause | None]:
    try:
        return sha256_hex(read_member(archive, member)), None
    except UnreadableMember as fault:
        return None, Cause(fault.reason, fault.detail)


def _describe(source: AnySource, given: Fetched, listing: pl.DataFrame) -> pl.DataFrame:
    """Return manifest rows of one source."""
    paths = listing["path"].to_list()
    rows = listing.select(
        id=pl.lit(f"{source.name}/") + pl.col("path"),
        source=pl.lit(source.name),
        path="path",
        page=pl.lit(1, dtype=pl.UInt32),
        sha256="sha256",
        size_bytes="size_bytes",
        licence=pl.lit(source.licence or given.licence, dtype=pl.String),
        reason="reason",
        detail="detail",
    )
    rows = _mark_metadata_files(rows, sorted(given.sidecar_files))
    _refuse_idle_pattern(source, given, paths)
    names = [_read_told(source, given, path) for path in paths]
    rows = rows.with_columns(
        source_label=pl.Series([label for label, _ in names], dtype=pl.String),
        source_split=pl.Series([split for _, split in names], dtype=pl.String),
    )
    if source.metadata is not None:
        rows = _join_metadata(rows, source, source.metadata, given)
    rows = rows.with_columns(pl.col("source_label", "source_split").str.normalize("NFC"))
    _refuse_unknown_splits(source, rows)
    rows = rows.with_columns(
        source_split=pl.Series([_split_of(source, name) for name in rows["source_split"]], dtype=pl.String)
    )
    return rows.with_columns(_group_keys(source, rows))


def _refuse_idle_pattern(source: AnySource, given: Fetched, paths: Sequence[str]) -> None:
    """Raise where the labels should come out of the paths, and no path has one: it is the pattern that is wrong."""
    pattern, elsewhere = source.pattern, source.metadata is not None and source.metadata.label
    pictures = [path for path in paths if path not in given.sidecar_files]
    if pattern is None or "(?P<label>" not in pattern or source.label is not None or elsewhere or given.sidecar_labels:
        return
    if pictures and not any(re.search(pattern, compose(path)) for path in pictures):
        raise CurationError(
            f"{source.name}: its pattern {pattern!r} matches none of its {len(pictures)} paths, "
            f"such as {pictures[0]!r}",
            hint="mend sources.pattern in the recipe: a regular expression that is searched in the path",
        )


def _read_told(source: AnySource, given: Fetched, path: str) -> tuple[str | None, str | None]:
    """Return the source label and the source's own split: what the source's files tell goes before the path."""
    told = given.sidecar_labels.get(path)
    if told is None:
        return _read_path(source, path)
    label, split = _read_path(source, path)
    return (told.label if told.label is not None else label), told.split or split


def _read_path(source: AnySource, path: str) -> tuple[str | None, str | None]:
    """Return the source label and the source's own name of its split that a path tells."""
    match = re.search(source.pattern, compose(path)) if source.pattern else None
    told = match.groupdict() if match else {}
    return told.get("label") or source.label, told.get("split")


def _split_of(source: AnySource, name: str | None) -> str | None:
    return None if name is None else source.splits.get(name) or SPLIT_NAMES.get(name.lower())


def _refuse_unknown_splits(source: AnySource, rows: pl.DataFrame) -> None:
    """Raise where the source has splits of unknown names: pooling them would let its test into train without a word."""
    names = [name for name in rows["source_split"].drop_nulls().unique() if _split_of(source, name) is None]
    of_unknown = rows.filter(pl.col("source_split").is_in(names)).select("source_split", "path").rows()
    # What an operating system left is on no side: `__MACOSX/cat/._1.jpg` is none of a split called __MACOSX.
    unknown = sorted(Counter(name for name, path in of_unknown if name_system_file(path) is None).items())
    if unknown:
        told = ", ".join(f"{name!r} ({count} files)" for name, count in unknown)
        raise CurationError(
            f"{source.name}: the source's split has names that are unknown here: {told}",
            hint=f'say what each means in the recipe: splits = {{ "{unknown[0][0]}" = "test" }}',
        )


def _group_keys(source: AnySource, rows: pl.DataFrame) -> pl.Series:
    """Return source:match, or null where the rule does not match: such a row is a group of its own."""
    if isinstance(source.group, GroupColumn):
        values = rows[source.group.column].cast(pl.String).to_list()
    elif source.group is None:
        values = [None] * rows.height
    else:
        values = [_match_group(source.group, path) for path in rows["path"].to_list()]
    keys = [None if value in {None, ""} else f"{source.name}:{value}" for value in values]
    return pl.Series("group_key", keys, dtype=pl.String)


def _match_group(rule: str, path: str) -> str | None:
    match = re.search(rule, compose(path))
    if match is None:
        return None
    return "|".join(part or "" for part in match.groups()) if match.groups() else match.group()


def _join_metadata(rows: pl.DataFrame, source: AnySource, rule: MetadataFile, given: Fetched) -> pl.DataFrame:
    file, table = _read_metadata(source, rule, given)
    facts = _take_facts(source, rule, file, table)
    rows = rows.with_columns(_key=pl.Series([_metadata_key(rule, path) for path in rows["path"]], dtype=pl.String))
    called = [key for path, key in rows.select("path", "_key").rows() if path != file and not name_system_file(path)]
    _refuse_idle_metadata(source, rule, file, called, facts["_key"])
    rows = rows.join(facts, on="_key", how="left", maintain_order="left").drop("_key")
    if rule.label:
        rows = rows.with_columns(source_label=pl.coalesce("_label", "source_label")).drop("_label")
    if rule.split:
        rows = rows.with_columns(source_split=pl.coalesce("_split", "source_split")).drop("_split")
    return _mark_metadata_files(rows, [file])


def _mark_metadata_files(rows: pl.DataFrame, files: Sequence[str]) -> pl.DataFrame:
    """Exclude the files that describe the images; one that could not be read keeps that reason."""
    describes = pl.col("path").is_in(list(files)) & pl.col("reason").is_null()
    return rows.with_columns(reason=pl.when(describes).then(pl.lit(Reason.METADATA_FILE.value)).otherwise("reason"))


def _take_facts(source: AnySource, rule: MetadataFile, file: str, table: pl.DataFrame) -> pl.DataFrame:
    """Return the key and the columns that the recipe names, a row for each picture that the table speaks of."""
    wanted = {rule.key, *rule.columns.values(), *(name for name in (rule.label, rule.split) if name)}
    missing = sorted(wanted - set(table.columns))
    if missing:
        raise CurationError(
            f"{source.name}: {file} has no column {', '.join(map(repr, missing))}",
            hint=f"its columns: {', '.join(table.columns)}",
        )
    nested = sorted(name for name in wanted if table.schema[name].is_nested())
    if nested:
        raise CurationError(
            f"{source.name}: {file}: the column {', '.join(map(repr, nested))} holds lists or tables, not plain values",
            hint="name other columns, or write the table flat",
        )
    _refuse_wordy_numbers(source, rule, file, table)
    chosen = [pl.col(name).cast(SCHEMA[column], strict=False).alias(column) for column, name in rule.columns.items()]
    chosen += [pl.col(rule.label).cast(pl.String).alias("_label")] if rule.label else []
    chosen += [pl.col(rule.split).cast(pl.String).alias("_split")] if rule.split else []
    key = pl.col(rule.key).cast(pl.String).str.normalize("NFC").alias("_key")
    facts = table.select(key, *chosen).filter(pl.col("_key").is_not_null()).unique(maintain_order=True)
    twice = facts.filter(pl.col("_key").is_duplicated())["_key"].unique(maintain_order=True)
    if len(twice):
        raise CurationError(
            f"{source.name}: {file} says different things of {', '.join(map(repr, twice[:3]))} ({len(twice)} in all)",
            hint=f"each {rule.key} may stand in several rows only if they agree in the columns that are read",
        )
    return facts


def _refuse_wordy_numbers(source: AnySource, rule: MetadataFile, file: str, table: pl.DataFrame) -> None:
    """Raise where a column of numbers holds none: every picture would lose its value without a word."""
    for column, name in rule.columns.items():
        told = table[name].drop_nulls()
        if SCHEMA[column].is_numeric() and len(told) and told.cast(SCHEMA[column], strict=False).is_null().all():
            raise CurationError(
                f"{source.name}: {file}: the column {name!r}, which is to be the {column}, holds no number; "
                f"it says {told[0]!r}",
                hint=f"name another column in metadata.columns.{column}, or leave the key out",
            )


def _refuse_idle_metadata(
    source: AnySource, rule: MetadataFile, file: str, called: Sequence[str], keys: pl.Series
) -> None:
    """Raise where a table speaks of no file at all: it is the key or the match that is wrong."""
    if not called or not set(keys).isdisjoint(called):
        return
    told = f"it says {keys[0]!r}" if len(keys) else "it is empty"
    raise CurationError(
        f"{source.name}: {file} speaks of none of the source's {len(called)} files: in its column {rule.key!r} {told}, "
        f"and by metadata.match = {rule.match!r} a file is called {called[0]!r}",
        hint="mend metadata.key, or metadata.match: stem (the file name without its suffix), name (with it) or path",
    )


def _metadata_key(rule: MetadataFile, path: str) -> str:
    path = compose(path)
    if rule.match == "path":
        return path
    name = path.rpartition("/")[2]
    return name if rule.match == "name" or "." not in name else name.rpartition(".")[0]


def _read_metadata(source: AnySource, rule: MetadataFile, given: Fetched) -> tuple[str, pl.DataFrame]:
    """Return the path and the table of the metadata file, inside the source or beside the recipe."""
    if rule.file.startswith("./"):
        return rule.file, _read_beside(source, rule)
    found = [
        (part.inner_path(member.path), part.archive, member)
        for part in given.parts
        for member in part.archive.members
        if fnmatch.fnmatchcase(part.inner_path(member.path), rule.file) and name_system_file(member.path) is None
    ]
    if len(found) != 1:
        names = ", ".join(path for path, *_ in found[:3]) or "none"
        raise CurationError(
            f"{source.name}: metadata.file {rule.file!r} matches {len(found)} files ({names}), not one",
            hint="name it by its whole path inside the source, or by a glob that fits one file",
        )
    path, archive, member = found[0]
    try:
        return path, _parse_table(path, read_member(archive.path, member))
    except (UnreadableMember, pl.exceptions.PolarsError, UnicodeDecodeError) as fault:
        raise CurationError(f"{source.name}: {path} cannot be read as a table: {fault}") from fault


def _read_beside(source: AnySource, rule: MetadataFile) -> pl.DataFrame:
    path = (source.base or Path()) / rule.file
    try:
        return _parse_table(rule.file, path.read_bytes())
    except (OSError, pl.exceptions.PolarsError, ValueError) as fault:
        raise CurationError(f"{source.name}: {path} cannot be read as a table: {fault}") from fault


def _parse_table(path: str, content: bytes) -> pl.DataFrame:
    suffix = path.rpartition(".")[2].lower()
    if suffix == "parquet":
        return pl.read_parquet(io.BytesIO(content))
    if suffix == "json":
        return pl.read_json(content)
    if suffix in {"jsonl", "ndjson"}:
        return pl.read_ndjson(io.BytesIO(content))
    return pl.read_csv(io.BytesIO(content), separator="\t" if suffix == "tsv" else ",", infer_schema=False)
