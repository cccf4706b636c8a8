"""The first step: the recipe's sources become verified archives, from the cache, the mirror or the network."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from curation.errors import CurationError, ErrorCode
from curation.sources.lock import lock_line, read_lock, write_lock
from curation.sources.protocol import Fetched, Request, Source
from curation.storage.archive_index import Archive, ArchiveIndex
from curation.storage.archives import LIMITS
from curation.storage.cache import Cache
from curation.storage.progress import Progress, SilentProgress
from curation.storage.tars import inflate_tar, tar_packing

if TYPE_CHECKING:
    from curation.dataset.recipe import AnySource

# A new source is a module of this room and its kind in this line.
MODULES = {
    "board": "board",
    "drawn": "synthetic",
    "edge-impulse": "edge_impulse",
    "fiftyone": "fiftyone",
    "figshare": "figshare",
    "folder": "folder",
    "huggingface": "huggingface",
    "kaggle": "kaggle",
}
KINDS = tuple(MODULES)


def find_source(kind: str) -> Source:
    """Return the module that fetches one kind of source, imported only now.

    Raises
    ------
    CurationError
        The kind is unknown.
    """
    if kind not in KINDS:
        raise CurationError(
            ErrorCode.SOURCE_UNKNOWN, f"{kind!r} is not a kind of source", hint=f"Use one of {', '.join(KINDS)}."
        )
    return cast(Source, importlib.import_module(f"curation.sources.{MODULES[kind]}"))


def fetch_all(
    sources: Sequence[AnySource],
    *,
    cache: Cache,
    mirror: Path | None = None,
    lock: Path | None = None,
    update: bool = False,
    offline: bool = False,
    progress: Progress | None = None,
) -> tuple[Fetched, ...]:
    """Fetch every source of a recipe, in its order.

    Parameters
    ----------
    sources : sequence of source tables of a recipe
    cache : Cache
        Downloads land here under their sha256, once; a locked source whose files are here makes no request.
    mirror : Path, optional
        A folder that replaces the network (``kaggle/<owner>/<dataset>.zip``, ``figshare/<article>/<file>``). The
        lock is then neither read nor written.
    lock : Path, optional
        The dataset's ``lock.json``; written where the network gave something it does not hold yet.
    update : bool
        Ask the network again, and lock the result.
    offline : bool
        Raise rather than ask the network.
    progress : Progress, optional

    Returns
    -------
    tuple of Fetched

    Raises
    ------
    CurationError
        A source is missing, damaged, changed since it was locked, or cannot be reached.
    """
    cache.recover()
    locked = read_lock(lock) if lock is not None and mirror is None else {}
    fetched = []
    for settings in sources:
        request = Request(
            name=settings.name,
            settings=settings,
            cache=cache,
            mirror=mirror,
            locked=locked.get(settings.name),
            update=update,
            offline=offline,
            progress=progress or SilentProgress(),
        )
        fetched.append(find_source(settings.kind).fetch(request))
    if lock is not None:
        lines = {
            settings.name: lock_line(settings.kind, given)
            for settings, given in zip(sources, fetched, strict=True)
            if given.origin in ("network", "cache")
        }
        if any(given.origin == "network" for given in fetched) and lines != locked:
            write_lock(lock, lines)
    return tuple(
        replace(given, archives=tuple(_unpack_tar(archive, cache) for archive in given.archives)) for given in fetched
    )


def index_files(fetched: Iterable[Fetched]) -> ArchiveIndex:
    """Return the files of all sources, to be read by their ids."""
    return ArchiveIndex(tuple(part for given in fetched for part in given.parts))


def _unpack_tar(archive: Archive, cache: Cache) -> Archive:
    """Exchange a compressed tar, in which every read starts from the front, for a plain one in the cache."""
    packing = None if archive.path.is_dir() else tar_packing(archive.path)
    if packing in (None, "plain"):
        return archive
    plain = cache.plain_tar_path(archive.sha256)
    if not plain.is_file():
        with cache.partial(f"tar {archive.sha256}") as folder, cache.must_write():
            unfinished = folder / "tar"
            try:
                with unfinished.open("wb") as target:
                    inflate_tar(archive.path, packing, target, name=archive.name, limits=LIMITS)
                cache.place(unfinished, plain)
            finally:
                unfinished.unlink(missing_ok=True)
    return replace(archive, path=plain)
