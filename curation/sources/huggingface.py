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
from curation.errors import CurationError, ErrorCode
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
    tables = find_tables(folder)
    archives = tuple(_lay_out(table, cache=request.cache, progress=request.progress) for table in tables)
    labels = {
        (path if len(tables) == 1 else f"{archive.name}/{path}"): label
        for archive, table in zip(archives, tables, strict=True)
        for path, label in zip(_paths(table), _labels(table), strict=True)
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
    )


def read_labels(folder: Path) -> Mapping[str, SidecarLabel]:
    """Return the label and split of every image, by file and row, without reading an image."""
    return {
        f"{table.name}/{path}": label
        for table in find_tables(folder)
        for path, label in zip(_paths(table), _labels(table), strict=True)
    }


def find_tables(folder: Path) -> tuple[Table, ...]:
    """Return the Parquet files that contain images, sorted by name.

    Raises
    ------
    CurationError
        There are none, or one cannot be read.
    """
    places = [
        (member.path, Path(member.locator.path))
        for member in list_members(folder)
        if member.path.lower().endswith(".parquet")
        and isinstance(member.locator, FilePlace)
        and name_system_file(member.path) is None
    ]
    tables = tuple(table for name, path in places if (table := _open(path, name)) is not None)
    if not tables:
        raise CurationError(
            ErrorCode.NO_FILES,
            f"{folder}: there is no Parquet file with images",
            hint="Write one with `load_dataset(...).to_parquet(...)`.",
        )
    return tables


def _open(path: Path, name: str) -> Table | None:
    try:
        schema, metadata = pl.read_parquet_schema(path), pl.read_parquet_metadata(path)
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
        features = json.loads(metadata.get("huggingface", "{}")).get("info", {}).get("features", {})
    except (pl.exceptions.PolarsError, OSError, ValueError, AttributeError) as fault:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE,
            f"{path}: it cannot be read as Parquet: {fault}",
            hint="Download or copy it again.",
        ) from fault
    images = [column for column, kind in schema.items() if _holds_images(kind)]
    if not images:
        return None
    label, names = _find_label(schema, features if isinstance(features, dict) else {})
    return Table(path, name, _find_split(name), images[0], label, names, rows)


def _holds_images(kind: pl.DataType) -> bool:
    fields = {field.name: field.dtype for field in kind.fields} if isinstance(kind, pl.Struct) else {}
    return kind == pl.Binary or fields.get("bytes") == pl.Binary


def _find_label(
    schema: Mapping[str, pl.DataType], features: Mapping[str, object]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the label's column, and its classes: a ClassLabel before a column of a usual name."""
    for column, feature in sorted(features.items()):
        if column in schema and isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            return column, tuple(str(name) for name in feature.get("names") or ())
    return next((column for column in _LABEL_COLUMNS if column in schema), None), ()


def _find_split(name: str) -> str | None:
    """Return the split in the name of a file, or else of the nearest folder.

    >>> _find_split("data/train-00000-of-00001.parquet"), _find_split("validation/0.parquet"), _find_split("0.parquet")
    ('train', 'validation', None)
    """
    for part in reversed(name.lower().split("/")):
        for word in re.split(r"[^a-z]+", part):
            if word in SPLIT_NAMES:
                return word
    return None


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


def _images(table: Table) -> Iterator[bytes]:
    """Yield each row's image; one that is stored elsewhere (a path without bytes) is empty, and so reported."""
    images = pl.col(table.image)
    kind = pl.read_parquet_schema(table.path)[table.image]
    wanted = images if kind == pl.Binary else images.struct.field("bytes")
    step = 512
    for start in range(0, table.rows, step):
        rows = pl.scan_parquet(table.path).slice(start, step).select(wanted.alias("bytes")).collect()
        yield from (content or b"" for content in rows["bytes"])
