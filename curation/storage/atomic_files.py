"""Writing whole files or none, and locks that a killed process cannot leave behind.

Temporary files and lock files are held with flock for as long as their writer lives, so that a leftover can be told
from work in progress on the same machine without guessing at ages or process ids.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, temporary: Path | None = None) -> None:
    """Put `content` at `path` as a whole: written aside, synced, renamed.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing.
    content : bytes
    temporary : Path, optional
        The folder, on the same file system, for the file while it is written; the one of `path` unless given.
    """
    folder = temporary or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{path.name}.{uuid.uuid4().hex}.tmp"
    descriptor = _open_locked(beside)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make the bytes of a file outlast a power cut."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename into `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock named by a file, waiting for whoever holds it; the file is gone afterwards."""
    descriptor = _open_locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still held: who waits for it finds out and makes its own
        os.close(descriptor)


def sweep_leftovers(folder: Path, *, name: str = "*") -> None:
    """Remove what dead processes left in `folder`: temporary files, for files of that name, that nobody holds."""
    for leftover in sorted(folder.glob(f"{name}.*.tmp")):
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Open, lock and return a file that still stands under its name once the lock is had."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_same_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
