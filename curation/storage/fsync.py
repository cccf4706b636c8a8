"""Flushes, appends, moves and removes so that a crash leaves nothing half done."""

import os
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from curation.storage.folders import list_files
from curation.storage.progress import Advance, ignore_bytes

BUILD, DRAFT, GONE = ".build-", ".draft-", ".gone-"
"""Prefixes of temporary folders. Only the holder of the lock makes them, so its next holder may remove leftovers."""


def remove_tree(folder: Path) -> None:
    """Remove a folder; a crash leaves it whole, or under a name that ``recover`` removes."""
    gone = folder.with_name(f"{GONE}{os.getpid()}-{secrets.token_hex(4)}")
    folder.rename(gone)
    shutil.rmtree(gone)


def flush_tree(folder: Path, *, advance: Advance = ignore_bytes) -> None:
    """Flush every file and folder below ``folder`` to the disk, several at a time.

    Parameters
    ----------
    advance : function of int
        Receives the bytes of each file.
    """
    names = list_files(folder)
    with ThreadPoolExecutor(8) as pool:
        for size_bytes in pool.map(flush_file, (folder / name for name in names)):
            advance(size_bytes)
    inside = set(map(PurePosixPath, {name.rpartition("/")[0] for name in names}))
    for parent in sorted({folder / each for path in inside for each in (path, *path.parents)}):
        flush_folder(parent)


def flush_file(path: Path) -> int:
    """Flush the bytes of a file to the disk, so that they outlast a power cut, and return their number."""
    with path.open("rb+") as handle:  # Windows flushes only what may be written
        os.fsync(handle.fileno())
        return os.fstat(handle.fileno()).st_size


def append_text(path: Path, text: str) -> None:
    """Append lines to a file and flush them to the disk: all of them, or none where the disk is full.

    A file whose last line was cut short (by a kill, or an editor) gets its line end first, so that the new lines stay
    whole. Where several processes append, the caller holds a lock.
    """
    is_new = not path.exists()
    with path.open("a+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                text = "\n" + text
        try:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.ftruncate(stream.fileno(), end)
            raise
    if is_new:
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk; Windows does so by itself and has no call for it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_temp_folder(builds: Path, prefix: str) -> Path:
    """Make a folder with a unique name; the caller holds the dataset's lock."""
    folder = builds / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    return folder
