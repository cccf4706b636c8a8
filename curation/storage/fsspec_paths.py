"""Files behind a URL (``s3://``, ``gs://`` or any other scheme of fsspec) as paths.

One object is written atomically, as object stores do; there are no renames and no locks. Work that needs them is
staged on this machine.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason
from curation.storage.archive_members import (
    FilePlace,
    Limits,
    Member,
    UnreadableMember,
    number_duplicates,
    storable_name,
)

_BLOCK_BYTES = 4 << 20
_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:/{1,2}(?=[^/])")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Return whether a path starts with a scheme; a ``Path`` made of a URL has lost one of its two slashes.

    >>> is_url("s3://bucket/set.zip"), is_url(Path("s3://bucket/set.zip")), is_url("C:/set.zip"), is_url("set.zip")
    (True, True, False, False)
    """
    return _URL.match(os.fspath(path)) is not None


def locate(path: str | os.PathLike[str]) -> Path:
    """Return the path, as a ``RemotePath`` where it is a URL."""
    return RemotePath(path) if is_url(path) else Path(path)


def readable(path: Path) -> Path | io.BytesIO:
    """Return what a library for local files takes: the path, or the bytes behind the URL."""
    return io.BytesIO(path.read_bytes()) if isinstance(path, RemotePath) else path


class RemotePath(type(Path())):  # type: ignore[misc]  # the class of this system's paths is known when it runs
    """A URL as a path: names, parents and ``/`` are a path's, and what reads and writes goes through fsspec.

    Raises
    ------
    CurationError
        Where fsspec, or what it needs for this scheme, is not installed.
    OSError
        As a local path raises it.
    """

    __slots__ = ()

    @property
    def url(self) -> str:
        """The URL."""
        scheme, *rest = PurePosixPath(*self.parts).parts
        return f"{scheme}//{'/'.join(rest)}"

    def __str__(self) -> str:
        """Return the URL, which is shown and stored."""
        return self.url

    def absolute(self) -> RemotePath:
        """Return the path itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size and time as of a local file; the inode is derived from the store's identifier (an ETag)."""
        found = self._found()
        mode = 0o040000 if found["type"] == "directory" else 0o100000
        size, mark = int(found.get("size") or 0), str(found.get("ETag") or found.get("etag") or found.get("ino") or "")
        inode = int.from_bytes(hashlib.sha256(mark.encode()).digest()[:7])
        seconds = _changed_at(found)
        return os.stat_result((mode, inode, 0, 1, 0, 0, size, 0, seconds, 0), {"st_mtime_ns": seconds * 10**9})

    def _found(self) -> dict[str, Any]:
        with _file_system(self.url) as system:
            return dict(system.info(self.url))

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the URL exists."""
        try:
            return bool(self._found())
        except FileNotFoundError:
            return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether there are files below the URL."""
        try:
            return bool(self._found()["type"] == "directory")
        except FileNotFoundError:
            return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the URL is a file."""
        try:
            return bool(self._found()["type"] == "file")
        except FileNotFoundError:
            return False

    def open(self, mode: str = "rb", *_: object, **__: object) -> IO[bytes]:
        """Open the file for random reading; only the requested blocks are transferred."""
        if mode != "rb":
            raise io.UnsupportedOperation(f"{self}: can only be opened for reading bytes")
        with _file_system(self.url) as system:
            stream: IO[bytes] = system.open(self.url, "rb", block_size=_BLOCK_BYTES)
            return stream

    def read_bytes(self) -> bytes:
        """Return the bytes of the file."""
        with _file_system(self.url) as system:
            content: bytes = system.cat_file(self.url)
            return content

    def write_bytes(self, content: bytes) -> int:
        """Write the file atomically."""
        with _file_system(self.url) as system:
            system.makedirs(self.parent.url, exist_ok=True)
            system.pipe_file(self.url, content)
        return len(content)

    def upload(self, file: Path) -> None:
        """Upload a local file atomically."""
        with _file_system(self.url) as system:
            system.makedirs(self.parent.url, exist_ok=True)
            system.put_file(str(file), self.url)

    def download(self, file: Path) -> None:
        """Download to a local file."""
        with _file_system(self.url) as system:
            system.get_file(self.url, str(file))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        try:
            with _file_system(self.url) as system:
                system.rm_file(self.url)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str, **_: object) -> Iterator[RemotePath]:
        """Yield the files directly below whose name matches, sorted."""
        for name, _size in self.files():
            if "/" not in name and PurePosixPath(name).match(pattern):
                yield self / name

    def files(self) -> list[tuple[str, int]]:
        """Return (path below, size in bytes) of every file at any depth, sorted."""
        with _file_system(self.url) as system:
            base = system._strip_protocol(self.url).rstrip("/")
            found = system.find(base, detail=True)
        return sorted((path[len(base) + 1 :], int(about["size"] or 0)) for path, about in found.items())

    def remove_all(self) -> bool:
        """Delete everything below the URL; return whether there was anything."""
        with _file_system(self.url) as system:
            if not system.exists(self.url):
                return False
            system.rm(self.url, recursive=True)
        return True


def list_remote(root: RemotePath, *, name: str, limits: Limits) -> tuple[Member, ...]:
    """List the files below a URL, sorted by path."""
    found = root.files()
    if len(found) > limits.members:
        raise limits.too_many(name)
    members = []
    for path, size_bytes in found:
        refused = limits.refuse_size(size_bytes)
        place = None if refused else FilePlace((root / path).url)
        members.append(Member(storable_name(path), size_bytes, place, refused))
    return number_duplicates(members)


def read_remote(url: str, size_bytes: int) -> bytes:
    """Read a whole file, provided it still has the size that was listed."""
    try:
        content = RemotePath(url).read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise UnreadableMember(Reason.FILE_GONE) from error
        raise UnreadableMember(Reason.FILE_UNREADABLE, str(error.strerror or error)) from error
    if len(content) != size_bytes:
        raise UnreadableMember(Reason.FILE_CHANGED, "since it was listed")
    return content


class _file_system:  # noqa: N801 - used as a statement
    """Give the file system of a URL, and turn its library's errors into OSError."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Any:  # noqa: ANN401 - fsspec has no types
        return _open_system(self._url.partition("://")[0])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # An OSError passes: s3fs and gcsfs turn what the store answers into those.
        if error is not None and not isinstance(error, OSError) and type(error).__name__ in _NO_ACCESS:
            _refuse(self._url, error)


_NO_ACCESS = {"NoCredentialsError", "ClientError", "EndpointConnectionError", "HttpError", "GoogleAuthError"}


def _refuse(url: str, error: BaseException) -> NoReturn:
    raise OSError(errno.EACCES, f"{type(error).__name__}: {error}", url) from error


@lru_cache
def _open_system(scheme: str) -> Any:  # noqa: ANN401 - fsspec has no types
    try:
        import fsspec

        # A cached listing would not show what another machine has written meanwhile.
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except (ImportError, ValueError) as fault:
        raise CurationError(
            ErrorCode.EXTRA_MISSING if scheme in _PACKAGES else ErrorCode.URL_FAILED,
            f"{scheme}:// URLs cannot be read here: {fault}",
            hint=f"Install it: pip install {_PACKAGES[scheme]}"
            if scheme in _PACKAGES
            else "Use s3://, gs:// or another fsspec scheme.",
        ) from fault


_PACKAGES = {"s3": "-e '.[scale]'", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""What a scheme needs in addition to fsspec."""


def _changed_at(found: dict[str, Any]) -> int:
    """Return seconds since the epoch, or 0 where the store does not state the time."""
    when = found.get("LastModified") or found.get("mtime") or found.get("created") or 0
    return int(when.timestamp() if isinstance(when, datetime) else when)
