"""A Hugging Face dataset on disk: Parquet files with the images inside.

The images of each file are copied to a plain tar in the cache, once, as an image inside Parquet cannot be read at
random. Label and split come from the label column and the name of the file. The bytes of an image do not change.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from curation.dataset.recipe import SPLIT_NAMES
from curation.errors import CurationError, ErrorCode, first_line
from curation.sources.folder import identify_archive
from curation.sources.protocol import Fetched, SidecarLabel
from curation.storage.archive_index import Archive
from curation.storage.archive_members import FilePlace, name_system_file
from curation.storage.archives import list_members
from curation.storage.progress import show_progress

if TYPE_CHECKING:
    from curation.dataset.recipe import ForeignSource
    from curation.sources.protocol import Request
    from curation.storage.cache import Cache
    from curation.storage.progress import Progress

LAYOUT = 1
"""Of the tars in the cache; another number makes them again."""

_LABEL_COLUMNS = ("label", "labels", "class", "target")


@dataclass(frozen=True)
class Table:
    """One Parquet file, and which of its columns hold what.

    Parameters
    ----------
    path : Path
    name : str
        Its path inside the folder.
    split : str, optional
        From the name of the file, or else of its folder.
    image : str
        The column of images: a struct with ``bytes`` and ``path``, or bytes alone.
    label : str, optional
    names : tuple of str
        The names of the classes, where the label is a number.
    rows : int
    """

    path: Path
    name: str
    split: str | None
    image: str
    label: str | None
    names: tuple[str, ...]
    rows: int


def fetch(request: Request[ForeignSource]) -> Fetched:
    """Copy the images of every Parquet file to a tar in the cache, and read their labels and splits."""
    folder = request.settings.path
    if not folder.exists():
        raise CurationError(
            ErrorCode.SOURCE_MISSING,
            f"source {request.name}: there is no {folder}",
            hint="A relative path in a recipe starts at the recipe's folder: put the files there, or correct the path.",
        )
    tables = find_tables(folder, label_column=request.settings.label_column)
    archives = tuple(_lay_out(table, cache=request.cache, progress=request.progress) for table in tables)
    prefixes = ["" if len(tables) == 1 else f"{archive.name}/" for archive in archives]
    labels = {
        prefix + path: label
        for prefix, table in zip(prefixes, tables, strict=True)
        for path, label in zip(_paths(table), _labels(table), strict=True)
    }
    elsewhere = {
        prefix + path: name
        for prefix, table in zip(prefixes, tables, strict=True)
        for path, name in zip(_paths(table), _names_elsewhere(table), strict=True)
        if name is not None
    }
    return Fetched(
        source=request.name,
        archives=archives,
        version=None,
        licence=None,
        doi=None,
        citation=None,
        url=None,
        origin="folder",
        sidecar_labels=labels,
        stored_elsewhere=elsewhere,
    )


def read_labels(folder: Path, *, label_column: str | None = None) -> Mapping[str, SidecarLabel]:
    """Return the label and split of every image, by file and row, without reading an image."""
    return {
        f"{table.name}/{path}": label
        for table in find_tables(folder, label_column=label_column)
        for path, label in zip(_paths(table), _labels(table), strict=True)
    }


def holds_images(folder: Path) -> bool:
    """Return whether a Parquet file of the folder contains images; a damaged one is an error."""
    return any(any(map(_holds_images, _read_schema(path).values())) for _, path in _list_parquet(folder))


def find_tables(folder: Path, *, label_column: str | None = None) -> tuple[Table, ...]:
    """Return the Parquet files that contain images, sorted by name.

    Parameters
    ----------
    label_column : str, optional
        The column of the labels, where several could be it.

    Raises
    ------
    CurationError
        There are none, or one cannot be read.
    """
    tables = tuple(
        table for name, path in _list_parquet(folder) if (table := _open(path, name, label_column)) is not None
    )
    if not tables:
        raise CurationError(
            ErrorCode.NO_FILES,
            f"{folder}: there is no Parquet file with images",
            hint="Write one with `load_dataset(...).to_parquet(...)`.",
        )
    return tables


def _list_parquet(folder: Path) -> list[tuple[str, Path]]:
    return [
        (member.path, Path(member.locator.path))
        for member in list_members(folder)
        if member.path.lower().endswith(".parquet")
        and isinstance(member.locator, FilePlace)
        and name_system_file(member.path) is None
    ]


def _read_schema(path: Path) -> Mapping[str, pl.DataType]:
    try:
        return pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as fault:
        raise _unreadable(path, fault) from fault


def _unreadable(path: Path, fault: Exception) -> CurationError:
    return CurationError(
        ErrorCode.FILE_UNREADABLE,
        f"{path}: it cannot be read as Parquet: {first_line(fault)}",
        hint="Download or copy it again.",
    )


def _open(path: Path, name: str, label_column: str | None) -> Table | None:
    schema = _read_schema(path)
    try:
        metadata = pl.read_parquet_metadata(path)
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
        features = json.loads(metadata.get("huggingface", "{}")).get("info", {}).get("features", {})
    except (pl.exceptions.PolarsError, OSError, ValueError, AttributeError) as fault:
        raise _unreadable(path, fault) from fault
    images = [column for column, kind in schema.items() if _holds_images(kind)]
    if not images:
        return None
    label, names = _find_label(schema, features if isinstance(features, dict) else {}, path, label_column)
    return Table(path, name, _find_split(name), images[0], label, names, rows)


def _holds_images(kind: pl.DataType) -> bool:
    fields = {field.name: field.dtype for field in kind.fields} if isinstance(kind, pl.Struct) else {}
    return kind == pl.Binary or fields.get("bytes") == pl.Binary


def _find_label(
    schema: Mapping[str, pl.DataType], features: Mapping[str, object], path: Path, given: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """Return the label's column, and its classes: the one named ``label``, else the only ClassLabel or usual name.

    Raises
    ------
    CurationError
        Several columns could be the label.
    """
    classes = {
        column: tuple(str(name) for name in feature.get("names") or ())
        for column, feature in sorted(features.items())
        if column in schema and isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    if given is not None:
        if given not in schema:
            raise CurationError(
                ErrorCode.SOURCE_INVALID,
                f"{path}: there is no column {given!r}",
                hint=f"Its columns: {', '.join(schema)}.",
            )
        return given, classes.get(given, ())
    usual = [column for column in _LABEL_COLUMNS if column in schema]
    if "label" in usual or not classes:
        return (usual[0], classes.get(usual[0], ())) if usual else (None, ())
    if len(classes) > 1:
        raise CurationError(
            ErrorCode.LAYOUT_AMBIGUOUS,
            f"{path}: several columns could be the label: {', '.join(classes)}",
            hint=f"Name the one: `--label-column {next(iter(classes))}`, or `label_column` in the recipe's source.",
        )
    (column,) = classes
    return column, classes[column]


def _find_split(name: str) -> str | None:
    """Return the split in the name of a file, or else of the nearest folder.

    A file that is one of several parts is named after its split, also where that is an unknown one.

    >>> _find_split("data/train-00000-of-00001.parquet"), _find_split("validation/0.parquet"), _find_split("0.parquet")
    ('train', 'validation', None)
    >>> _find_split("data/held_back-00000-of-00001.parquet")
    'held_back'
    """
    for part in reversed(name.lower().split("/")):
        for word in re.split(r"[^a-z]+", part):
            if word in SPLIT_NAMES:
                return word
    part_of = re.fullmatch(r"(?:.*/)?([^/]+)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.parquet", name, re.IGNORECASE)
    return part_of[1] if part_of else None


def _labels(table: Table) -> Iterator[SidecarLabel]:
    if table.label is None:
        yield from (SidecarLabel("", table.split) for _ in range(table.rows))
        return
    for value in pl.read_parquet(table.path, columns=[table.label])[table.label].to_list():
        if value is None or (value == -1 and table.names):  # Hugging Face's number for "not labelled"
            yield SidecarLabel("", table.split)
        elif table.names and isinstance(value, int) and 0 <= value < len(table.names):
            yield SidecarLabel(table.names[value], table.split)
        elif isinstance(value, str | int) and not table.names:
            yield SidecarLabel(str(value), table.split)
        else:
            raise CurationError(
                ErrorCode.LABEL_UNKNOWN,
                f"{table.path}: {value!r} in the column {table.label!r} is not a class",
                hint="Correct the column, or write the set again.",
            )


def _paths(table: Table) -> Iterator[str]:
    """Yield the path of each row's image in the tar; the names in the set are not used, as they may be anything."""
    return (f"{number:07d}" for number in range(table.rows))


def _lay_out(table: Table, *, cache: Cache, progress: Progress) -> Archive:
    archive = identify_archive(table.path, cache=cache, progress=progress)
    plain = cache.plain_tar_path(archive.sha256, f"-rows{LAYOUT}")
    if not plain.is_file():
        with (
            cache.partial(f"rows {archive.sha256}") as folder,
            cache.must_write(),
            show_progress(progress, f"unpack {table.name}", archive.size_bytes) as advance,
        ):
            unfinished = folder / "tar"
            try:
                with tarfile.open(unfinished, "w", format=tarfile.GNU_FORMAT) as tar:
                    for path, content in zip(_paths(table), _images(table), strict=True):
                        head = tarfile.TarInfo(path)
                        head.size = len(content)
                        tar.addfile(head, io.BytesIO(content))
                        advance(len(content))
                cache.place(unfinished, plain)
            finally:
                unfinished.unlink(missing_ok=True)
    return Archive(path=plain, name=table.name, sha256=archive.sha256, size_bytes=archive.size_bytes)


def _names_elsewhere(table: Table) -> list[str | None]:
    """Return the name of each row's image that the table does not contain; None for the others."""
    kind = pl.read_parquet_schema(table.path)[table.image]
    fields = {field.name for field in kind.fields} if isinstance(kind, pl.Struct) else set()
    if "path" not in fields:
        return [None] * table.rows
    image = pl.col(table.image).struct
    name = pl.when(image.field("bytes").is_null()).then(image.field("path"))
    found: list[str | None] = pl.scan_parquet(table.path).select(name.alias("name")).collect()["name"].to_list()
    return found


def _images(table: Table) -> Iterator[bytes]:
    """Yield each row's image; one that is stored elsewhere (a path without bytes) is empty."""
    images = pl.col(table.image)
    kind = pl.read_parquet_schema(table.path)[table.image]
    wanted = images if kind == pl.Binary else images.struct.field("bytes")
    step = 512
    for start in range(0, table.rows, step):
        rows = pl.scan_parquet(table.path).slice(start, step).select(wanted.alias("bytes")).collect()
        yield from (content or b"" for content in rows["bytes"])
