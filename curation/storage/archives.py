"""Reads files inside a zip, a tar, a folder or a loose file in place; nothing is extracted.

The kind of an archive is found from its first bytes, as in the cache its name is its sha256, without a suffix.
"""

from __future__ import annotations

import atexit
import os
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from curation.errors import CurationError, ErrorCode
from curation.reasons import Cause, Reason
from curation.storage.archive_members import LIMITS, FilePlace, Limits, Member, Span, UnreadableMember, ZipPlace
from curation.storage.folders import cause_of, describe_os_error, list_file, list_folder, read_file
from curation.storage.fsspec_paths import RemotePath
from curation.storage.tars import list_tar, open_tar_stream, read_tar_member, tar_packing
from curation.storage.zips import list_zip, read_zip_member

__all__ = [
    "LIMITS",
    "ArchiveReader",
    "Limits",
    "Member",
    "UnreadableMember",
    "archive_kind",
    "close_readers",
    "list_members",
    "read_member",
]

ArchiveKind = Literal["folder", "zip", "tar", "file"]

_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "lz4",
}
_MAX_OPEN_ARCHIVES = 16


def archive_kind(path: Path, *, name: str | None = None) -> ArchiveKind:
    """Return the kind of an archive, found from its content; a file that is not an archive is one loose file.

    With a `name` (that of `path` unless given) that ends in ``.zip``, a zip may follow other bytes (a self-extractor);
    an image with a zip at its end stays an image.
    """
    if path.is_dir():
        return "folder"
    with path.open("rb") as stream:
        start = stream.read(4)
    if start in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if tar_packing(path) is not None:
        return "tar"
    return "zip" if (name or path.name).lower().endswith(".zip") and _is_zip(path) else "file"


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return zipfile.is_zipfile(stream)


def list_members(path: Path, *, name: str | None = None, limits: Limits = LIMITS) -> tuple[Member, ...]:
    """List every file inside an archive, sorted by path.

    Parameters
    ----------
    path : Path
        A zip, a tar (plain, gzip, bzip2 or xz), a folder, or any other file, which is its own only member.
    name : str, optional
        The name of the archive in messages, and of a loose file; that of `path` unless given.
    limits : Limits
        Sizes and ratios are checked a member at a time, the count for the whole archive.

    Returns
    -------
    tuple of Member
        Folders are not members. A member that must not be read (encrypted, a bomb, a link to the outside) has the
        reason. The second member of a name gets ``~2``, ``~3`` before its extension, in the archive's order.

    Raises
    ------
    CurationError
        The archive is missing, damaged, cannot be opened, or has too many files.
    """
    label = name if name is not None else path.name
    try:
        kind = archive_kind(path, name=label)
        if kind == "folder":
            return list_folder(path, name=label, limits=limits)
        if kind == "zip":
            return list_zip(path, name=label, limits=limits)
        if kind == "tar":
            packing = tar_packing(path)
            return list_tar(path, packing or "plain", name=label, limits=limits)
        if other := _name_other_archive(path):
            raise CurationError(
                ErrorCode.ARCHIVE_UNSUPPORTED,
                f"{label}: {other} archives are not read",
                hint="Unpack it and use the folder, or pack it again as zip, tar or tar.gz.",
            )
        if label.lower().endswith(_ARCHIVE_SUFFIXES):
            raise CurationError(
                ErrorCode.ARCHIVE_DAMAGED,
                f"{label}: it has the name of an archive but not the content: it is damaged or incomplete",
                hint=f"Download or copy it again: {path}.",
            )
        return list_file(path, name=label, limits=limits)
    except OSError as error:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE, f"{path}: {describe_os_error(error)}", hint="Check the path and its permissions."
        ) from error


def _name_other_archive(path: Path) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(8)
    return next((name for magic, name in _OTHER_ARCHIVES.items() if start.startswith(magic)), None)


class ArchiveReader:
    """One archive held open for reading its members in any order; a context manager.

    Parameters
    ----------
    path : Path
        The archive whose members `list_members` returned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive; reading again reopens it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def read(self, member: Member) -> bytes:
        """Return the bytes of a member, never more than it declares.

        Raises
        ------
        UnreadableMember
            It is refused, damaged, missing or not permitted.
        """
        place = member.locator
        if member.refused is not None or place is None:
            raise UnreadableMember(*(member.refused or Cause(Reason.NOT_A_FILE)))
        if isinstance(place, FilePlace):
            return read_file(place, member.size_bytes)
        try:
            if self._stream is None:
                self._stream = self._open(place)
            if isinstance(place, ZipPlace):
                return read_zip_member(self._stream, place, member.size_bytes)
            return read_tar_member(self._stream, place, member.size_bytes)
        except OSError as error:
            raise UnreadableMember(*cause_of(error)) from error

    def _open(self, place: ZipPlace | Span) -> BinaryIO:
        packing = tar_packing(self.path) if isinstance(place, Span) else None
        return open_tar_stream(self.path, packing or "plain")


# Archives this process reads from, oldest use first; a worker reads thousands of members of very few archives.
_open_readers: OrderedDict[tuple[str, int, int, int], ArchiveReader] = OrderedDict()
_readers_lock = threading.Lock()


def read_member(archive: Path, member: Member) -> bytes:
    """Return the bytes of one member, from any process and in any order; the archive is kept open for the next.

    Raises
    ------
    UnreadableMember
        It is refused, damaged, missing or not permitted.
    """
    if isinstance(member.locator, FilePlace) or member.refused is not None:
        return ArchiveReader(archive).read(member)
    key = _name_state(archive)
    with _readers_lock:
        reader = _open_readers.setdefault(key, ArchiveReader(archive))
        _open_readers.move_to_end(key)
        while len(_open_readers) > _MAX_OPEN_ARCHIVES:
            _open_readers.popitem(last=False)[1].close()
        return reader.read(member)


def _name_state(archive: Path) -> tuple[str, int, int, int]:
    """Return what distinguishes a file from an earlier one of that name; a URL is not checked for each member."""
    if isinstance(archive, RemotePath):
        return (str(archive), 0, 0, 0)
    try:
        status = archive.stat()
    except OSError as error:
        raise UnreadableMember(*cause_of(error)) from error
    return (str(archive), status.st_ino, status.st_size, status.st_mtime_ns)


def close_readers() -> None:
    """Close every archive that `read_member` keeps open in this process."""
    with _readers_lock:
        while _open_readers:
            _open_readers.popitem()[1].close()


def _start_afresh() -> None:
    """Share neither file positions nor a lock that another thread held with the parent of a fork."""
    global _readers_lock
    _readers_lock = threading.Lock()
    close_readers()


atexit.register(close_readers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
