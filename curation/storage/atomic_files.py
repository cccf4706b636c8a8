"""Files that are written whole or not at all: written to a temporary file, flushed, renamed into place."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from curation.storage.fsync import flush_file, flush_folder


def write_atomically(path: Path, write: Callable[[Path], object], *, temporary: Path | None = None) -> None:
    """Have `write` fill a temporary file, flush it to the disk and rename it to `path` in one step.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing.
    write : callable
        Called with the path of the temporary file, which does not exist yet.
    temporary : Path, optional
        The folder of the temporary file, on the same file system; the one of `path` unless given.
    """
    folder = temporary or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _name_part(path, folder)
    try:
        write(part)
        flush_file(part)
        part.replace(path)
    finally:
        with suppress(OSError):  # on a disk that may not be written, the first failure is the one to report
            part.unlink(missing_ok=True)
    flush_folder(path.parent)


def replace_file(path: Path, content: bytes | memoryview, *, temporary: Path | None = None) -> None:
    """Put `content` at `path` as `write_atomically` does."""
    write_atomically(path, lambda part: part.write_bytes(content), temporary=temporary)


def replace_unflushed(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step, without waiting for the disk: a power cut may lose it.

    For files that are many and can be made again; the wait is some 7 ms a file.
    """
    part = _name_part(path, path.parent)
    part.write_bytes(content)
    part.replace(path)


def _name_part(path: Path, folder: Path) -> Path:
    return folder / f".{path.name}.{secrets.token_hex(8)}.part"


def sweep_leftovers(folder: Path, *, name: str = "*") -> tuple[Path, ...]:
    """Remove the temporary files that killed processes left in `folder` for files of that name; return them.

    Only the holder of the lock under which such files are written may call this: then every one of them is left over.
    """
    removed = []
    # Version 0.1.0 named some of them differently.
    for leftover in sorted({*folder.glob(f".{name}.*.part"), *folder.glob(f"{name}.*.tmp")}):
        with suppress(OSError):
            leftover.unlink()
            removed.append(leftover)
    return tuple(removed)
