"""Archives become rows: every file of every source, the unreadable ones too, read in place."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from curation.dataset.columns import Metadata
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import SPLIT_NAMES, AnySource, GroupColumn, Recipe, compose
from curation.engines import Engine
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason
from curation.sources import Fetched
from curation.stages.ingest.dicom_tags import join_dicom_tags
from curation.stages.ingest.listing import list_archive
from curation.stages.ingest.metadata_tables import join_metadata, unify_columns
from curation.storage.archive_members import name_program_folder, name_system_file
from curation.storage.cache import Cache
from curation.storage.progress import Progress

__all__ = ["ingest", "list_archive"]


def ingest(recipe: Recipe, fetched: Sequence[Fetched], *, cache: Cache, engine: Engine, progress: Progress) -> Manifest:
    """Return one row for every file that the sources hold.

    A file that may not or cannot be read is excluded and has no sha256. The columns that the recipe takes from a
    source's own table are joined, and the group keys are found.

    Raises
    ------
    CurationError
        Where an archive is damaged as a whole, or a metadata file or column is missing.
    """
    tables, columns = [], []
    for source, given in zip(recipe.sources, fetched, strict=True):
        listings = []
        for part in given.parts:
            listing = list_archive(part.archive, cache=cache, engine=engine, progress=progress)
            paths = [part.inner_path(path) for path in listing["path"]]
            listings.append(listing.with_columns(path=pl.Series(paths, dtype=pl.String)))
        table, found = _describe(source, given, pl.concat(listings))
        tables.append(table)
        columns += found
    if not sum(table.height for table in tables):
        raise CurationError(
            ErrorCode.NO_FILES, "the sources contain no files", hint="Check the sources' paths in the recipe."
        )
    metadata = unify_columns(columns)
    kinds = {column.name: column.kind for column in metadata}
    rows = pl.concat(
        [table.cast({name: kinds[name] for name in table.columns if name in kinds}) for table in tables], how="diagonal"
    )
    twice = rows.filter(pl.col("id").is_duplicated())["id"]
    if len(twice):
        raise CurationError(
            ErrorCode.DUPLICATE_PATH,
            f"{twice[0]}: duplicate path within a source; one of the two files is in an archive of that name",
            hint="Exclude one of them: a figshare source takes the files that its `files` names.",
        )
    step = pl.when(pl.col("reason").is_not_null()).then(pl.lit("ingest"))
    return Manifest(rows.with_columns(excluded_by=step), metadata)


def _describe(source: AnySource, given: Fetched, listing: pl.DataFrame) -> tuple[pl.DataFrame, list[Metadata]]:
    """Return the rows of one source and its metadata columns."""
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
    rows = _mark_metadata_files(_mark_program_folders(rows), sorted(given.sidecar_files))
    rows = _mark_stored_elsewhere(rows, given.stored_elsewhere)
    _check_pattern(source, given, paths)
    names = [_read_names(source, given, path) for path in paths]
    rows = rows.with_columns(
        source_label=pl.Series([label for label, _ in names], dtype=pl.String),
        source_split=pl.Series([split for _, split in names], dtype=pl.String),
    )
    columns: list[Metadata] = []
    if source.metadata is not None:
        rows, file, columns = join_metadata(rows, source, given)
        rows = _mark_metadata_files(rows, [file])
    if source.dicom is not None:
        rows, tags = join_dicom_tags(rows, source.dicom, given)
        columns += tags
    is_kept = (pl.col("reason") != Reason.PROGRAM_FOLDER.value).fill_null(value=True)
    named = pl.col("source_label", "source_split").str.normalize("NFC")
    rows = rows.with_columns(pl.when(is_kept).then(named))
    _check_splits(source, rows)
    rows = rows.with_columns(
        source_split=pl.Series([_split_of(source, name) for name in rows["source_split"]], dtype=pl.String)
    )
    return rows.with_columns(_group_keys(source, rows)), columns


def _check_pattern(source: AnySource, given: Fetched, paths: Sequence[str]) -> None:
    """Raise where the pattern should give the labels and matches no path."""
    pattern, elsewhere = source.pattern, source.metadata is not None and source.metadata.label
    images = [path for path in paths if path not in given.sidecar_files]
    if pattern is None or "(?P<label>" not in pattern or source.label is not None or elsewhere or given.sidecar_labels:
        return
    if images and not any(re.search(pattern, compose(path)) for path in images):
        raise CurationError(
            ErrorCode.PATTERN_UNMATCHED,
            f"{source.name}: its pattern {pattern!r} matches none of its {len(images)} paths, such as {images[0]!r}",
            hint="Correct sources.pattern in the recipe: a regular expression that is searched in the path.",
        )


def _read_names(source: AnySource, given: Fetched, path: str) -> tuple[str | None, str | None]:
    """Return the source label and the source's own split; what the source's files state goes before the path."""
    label, split = _read_path(source, path)
    stated = given.sidecar_labels.get(path)
    if stated is None:
        return label, split
    return (stated.label if stated.label is not None else label), stated.split or split


def _read_path(source: AnySource, path: str) -> tuple[str | None, str | None]:
    """Return the source label and the source's own name of its split that the pattern finds in a path."""
    match = re.search(source.pattern, compose(path)) if source.pattern else None
    found = match.groupdict() if match else {}
    return found.get("label") or source.label, found.get("split")


def _split_of(source: AnySource, name: str | None) -> str | None:
    return None if name is None else source.splits.get(name) or SPLIT_NAMES.get(name.lower())


def _check_splits(source: AnySource, rows: pl.DataFrame) -> None:
    """Raise where the source has splits of unknown names: ignoring them would put its test images into train."""
    names = [name for name in rows["source_split"].drop_nulls().unique() if _split_of(source, name) is None]
    of_unknown = rows.filter(pl.col("source_split").is_in(names)).select("source_split", "path").rows()
    # System files have no split: `__MACOSX/cat/._1.jpg` is not an image of a split named __MACOSX.
    unknown = sorted(Counter(name for name, path in of_unknown if not _is_left_over(path)).items())
    if unknown:
        names_found = ", ".join(f"{name!r} ({count} files)" for name, count in unknown)
        raise CurationError(
            ErrorCode.SPLIT_UNKNOWN,
            f"{source.name}: the source's own split has unknown names: {names_found}",
            hint=f'State what each means in the recipe: splits = {{ "{unknown[0][0]}" = "test" }}.',
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


def _is_left_over(path: str) -> bool:
    return name_system_file(path) is not None or name_program_folder(path) is not None


def _mark_program_folders(rows: pl.DataFrame) -> pl.DataFrame:
    """Exclude what programs keep in folders of their own, such as thumbnails: they would dispute their originals."""
    names = [None if name_system_file(path) else name_program_folder(path) for path in rows["path"]]
    folders = pl.Series(names, dtype=pl.String)
    marked = folders.is_not_null()
    return rows.with_columns(
        reason=pl.when(marked).then(pl.lit(Reason.PROGRAM_FOLDER.value)).otherwise("reason"),
        detail=pl.when(marked).then(folders).otherwise("detail"),
    )


def _mark_stored_elsewhere(rows: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Exclude the images that a table names without containing them; their files are empty."""
    if not names:
        return rows
    elsewhere = pl.Series([names.get(path) for path in rows["path"]], dtype=pl.String)
    marked = elsewhere.is_not_null()
    return rows.with_columns(
        reason=pl.when(marked).then(pl.lit(Reason.STORED_ELSEWHERE.value)).otherwise("reason"),
        detail=pl.when(marked).then(elsewhere).otherwise("detail"),
    )


def _mark_metadata_files(rows: pl.DataFrame, files: Sequence[str]) -> pl.DataFrame:
    """Exclude the files that describe the images; one that could not be read keeps that reason."""
    describes = pl.col("path").is_in(list(files)) & pl.col("reason").is_null()
    return rows.with_columns(reason=pl.when(describes).then(pl.lit(Reason.METADATA_FILE.value)).otherwise("reason"))
