"""Files that are on this machine already, or behind a URL: a folder, a zip, a tar, or one loose file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from curation.errors import CurationError, ErrorCode
from curation.sources.protocol import Fetched, Request
from curation.storage.archive_index import Archive
from curation.storage.archive_members import FilePlace
from curation.storage.archives import Member, list_members
from curation.storage.folders import describe_os_error
from curation.storage.fsspec_paths import locate
from curation.storage.progress import show_progress

if TYPE_CHECKING:
    from curation.dataset.recipe import BoardSource, FolderSource, ForeignSource
    from curation.storage.cache import Cache
    from curation.storage.progress import Progress


def fetch(request: Request[FolderSource | BoardSource | ForeignSource]) -> Fetched:
    """Use the folder or archive in place; mirror and lock are not used."""
    path = locate(request.settings.path)
    if not path.exists():
        raise CurationError(
            ErrorCode.SOURCE_MISSING,
            f"source {request.name}: there is no {path}",
            hint="A relative path in a recipe starts at the recipe's folder: put the files there, or correct the path.",
        )
    archive = identify_archive(path, cache=request.cache, progress=request.progress)
    return Fetched(
        source=request.name,
        archives=(archive,),
        version=None,
        licence=None,
        doi=None,
        citation=None,
        url=None,
        origin="folder",
    )


def identify_archive(path: Path, *, cache: Cache, progress: Progress) -> Archive:
    """Hash a folder, an archive or a loose file on disk, or recall its hash where it is unchanged.

    Raises
    ------
    CurationError
        It is missing, or cannot be opened.
    """
    if path.is_dir():
        return _identify_folder(path, cache=cache, progress=progress)
    try:
        size_bytes = path.stat().st_size
        path.open("rb").close()
    except OSError as error:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE, f"{path}: {describe_os_error(error)}", hint="Check the path and its permissions."
        ) from error
    with show_progress(progress, f"hash {path.name}", size_bytes) as advance:
        (sha256,) = cache.file_sha256s(path, [path], advance=advance)
    if sha256 is None:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE,
            f"{path}: it cannot be read to its end",
            hint="Check the disk, or copy the file again.",
        )
    return Archive(path=path, name=path.name, sha256=sha256, size_bytes=size_bytes)


def _identify_folder(path: Path, *, cache: Cache, progress: Progress) -> Archive:
    members = list_members(path)
    places = {member.path: locate(member.locator.path) for member in members if isinstance(member.locator, FilePlace)}
    size_bytes = sum(member.size_bytes for member in members)
    with show_progress(progress, f"hash {path.name}", size_bytes) as advance:
        digests = cache.file_sha256s(path, list(places.values()), advance=advance)
    sha256 = _folder_sha256(members, dict(zip(places, digests, strict=True)))
    return Archive(path=path, name=path.name, sha256=sha256, size_bytes=size_bytes, listed=members)


def _folder_sha256(members: tuple[Member, ...], digests: dict[str, str | None]) -> str:
    """Hash the listing, sorted by path: a file's sha256, or null for what cannot be read."""
    listing = [[member.path, digests.get(member.path)] for member in members]
    return hashlib.sha256(json.dumps(listing, ensure_ascii=False).encode("utf-8")).hexdigest()
