"""The sha256 of files on disk, remembered for as long as size, time stamp and inode are unchanged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from curation.storage.fsspec_paths import is_url

_CHUNK_BYTES = 1 << 20
# A file written twice within the clock's resolution keeps its time stamp, so a younger one is not remembered.
_SETTLED_NS = 2_000_000_000
_REQUESTS = 16


@dataclass(frozen=True)
class HashedFile:
    """One file as it was when it was hashed."""

    size_bytes: int
    mtime_ns: int
    inode: int
    sha256: str

    def matches(self, status: os.stat_result) -> bool:
        """Return whether the file is still the one that was hashed."""
        return (self.size_bytes, self.mtime_ns, self.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)


def read_index(path: Path) -> dict[str, HashedFile]:
    """Read an index, file by file path; one that is missing or damaged is empty."""
    try:
        files = json.loads(path.read_bytes())["files"]
        return {
            str(file): HashedFile(int(size), int(time_ns), int(inode), str(sha))
            for file, size, time_ns, inode, sha in files
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def index_bytes(known: Mapping[str, HashedFile]) -> bytes:
    """Write an index as bytes, sorted by file path."""
    files = [[file, k.size_bytes, k.mtime_ns, k.inode, k.sha256] for file, k in sorted(known.items())]
    return json.dumps({"files": files}).encode()


def hash_files(
    paths: Sequence[Path], known: Mapping[str, HashedFile], *, advance: Callable[[int], None] | None = None
) -> tuple[tuple[str | None, ...], dict[str, HashedFile]]:
    """Return the sha256 of each file, None where it cannot be read, and the index entries of these files."""

    def hash_one(path: Path) -> tuple[str | None, HashedFile | None]:
        return _hash_unless_known(path, known.get(str(path)), advance)

    if any(is_url(path) for path in paths):
        with ThreadPoolExecutor(_REQUESTS) as threads:  # a store answers slowly, but many requests at once
            found = list(threads.map(hash_one, paths))
    else:
        found = [hash_one(path) for path in paths]
    now_known = {str(path): seen for path, (_, seen) in zip(paths, found, strict=True) if seen is not None}
    return tuple(digest for digest, _ in found), now_known


def _hash_unless_known(
    path: Path, seen: HashedFile | None, advance: Callable[[int], None] | None
) -> tuple[str | None, HashedFile | None]:
    """Return a file's sha256, None where it cannot be read, and its index entry where it may be kept."""
    try:
        before = path.stat()
        if seen is not None and seen.matches(before):
            if advance is not None:
                advance(before.st_size)
            return seen.sha256, seen
        digest = hash_file(path, advance=advance)
    except OSError:
        return None, None
    if time.time_ns() - before.st_mtime_ns < _SETTLED_NS:
        return digest, None
    return digest, HashedFile(before.st_size, before.st_mtime_ns, before.st_ino, digest)


def hash_file(path: Path, *, advance: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file, reporting the bytes of every chunk to `advance`.

    Raises
    ------
    OSError
        Also for what is not a file: reading a pipe would wait without end.
    """
    if not is_url(path) and not path.is_file():
        number = errno.EINVAL if path.exists() else errno.ENOENT
        raise OSError(number, "not a regular file" if path.exists() else "no such file", str(path))
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            if advance is not None:
                advance(len(chunk))
    return digest.hexdigest()
