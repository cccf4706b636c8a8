"""``datasets/<name>/lock.json``: what each source contained when it was pulled from the network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curation.errors import CurationError, ErrorCode
from curation.sources.protocol import Fetched, LockedFile, LockLine, Request
from curation.storage.archive_index import Archive
from curation.storage.atomic_files import replace_file, sweep_leftovers
from curation.storage.disk_errors import code_of
from curation.storage.locks import hold_lock
from curation.storage.progress import show_progress

_FORMAT = 1
_UPDATE = "If the change is wanted, take it with `python -m curation pull NAME --update`."


def read_lock(path: Path) -> dict[str, LockLine]:
    """Read a lock, source by source; a missing file is an empty lock.

    Raises
    ------
    CurationError
        It exists and is not valid.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE,
            f"{path}: it cannot be read: {error.strerror}",
            hint="Check the file and its permissions.",
        ) from error
    try:
        lock = json.loads(content)
        if lock["format"] != _FORMAT:
            raise ValueError(f"format {lock['format']!r} is not {_FORMAT}")
        return {name: _parse_line(line) for name, line in sorted(lock["sources"].items())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CurationError(
            ErrorCode.LOCK_FILE_INVALID,
            f"{path}: not a valid lock file ({type(error).__name__}: {error})",
            hint="Restore it from git, or remove it and pull again.",
        ) from error


def _parse_line(line: Mapping[str, Any]) -> LockLine:
    files = tuple(LockedFile(**file) for file in line["files"])
    return LockLine(**{**line, "files": files})


def write_lock(path: Path, lines: Mapping[str, LockLine]) -> None:
    """Write a lock as a whole; the same lines always give the same bytes."""
    lock = {"format": _FORMAT, "sources": {name: asdict(line) for name, line in lines.items()}}
    text = json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(path.with_name(f".{path.name}.lock")):
            sweep_leftovers(path.parent, name=path.name)
            replace_file(path, text.encode("utf-8"))
    except OSError as error:
        raise CurationError(
            code_of(error),
            f"{path}: it cannot be written: {error.strerror}",
            hint="Check the folder and its permissions, or make room on the disk.",
        ) from error


def lock_line(kind: str, fetched: Fetched) -> LockLine:
    """Return the lock's record of a pull."""
    files = tuple(
        LockedFile(archive.name, archive.size_bytes, archive.sha256, archive.md5) for archive in fetched.archives
    )
    return LockLine(
        kind=kind,
        asked=fetched.asked or "",
        version=fetched.version,
        files=files,
        licence=fetched.licence,
        doi=fetched.doi,
        citation=fetched.citation,
        url=fetched.url,
    )


def find_locked(request: Request[Any], asked: str, *, by_hand: str) -> Fetched | None:
    """Return the locked files from the cache; None where the network is needed.

    Parameters
    ----------
    request : Request
    asked : str
        What the recipe asks for.
    by_hand : str
        How to get it without the network, for the error.

    Raises
    ------
    CurationError
        The lock was made for something else, or the network is needed and --offline forbids it.
    """
    line = request.locked
    if line is not None and not request.update:
        if line.asked != asked:
            raise CurationError(
                ErrorCode.SOURCE_CHANGED,
                f"source {request.name}: the recipe asks for {asked}, lock.json was made for {line.asked}",
                hint=_UPDATE,
            )
        if (archives := _find_files(request, line.files)) is not None:
            return _fetched(request, line, archives)
    if request.offline:
        raise CurationError(
            ErrorCode.OFFLINE,
            f"source {request.name}: {asked} is not in the cache, and --offline forbids the network",
            hint=f"{by_hand[:1].upper()}{by_hand[1:]}.",
        )
    return None


def _find_files(request: Request[Any], files: Sequence[LockedFile]) -> tuple[Archive, ...] | None:
    archives = []
    for file in files:
        with show_progress(request.progress, f"check {file.name}", file.size_bytes) as advance:
            path = request.cache.find(file.sha256, advance=advance)
        if path is None:
            return None
        archives.append(Archive(path, file.name, file.sha256, file.size_bytes, file.md5))
    return tuple(archives)


def _fetched(request: Request[Any], line: LockLine, archives: tuple[Archive, ...]) -> Fetched:
    return Fetched(
        source=request.name,
        archives=archives,
        version=line.version,
        licence=line.licence,
        doi=line.doi,
        citation=line.citation,
        url=line.url,
        origin="cache",
        asked=line.asked,
    )


def check_unchanged(request: Request[Any], *, version: str | None, files: Sequence[LockedFile]) -> None:
    """Compare what the network offers or gave with the lock.

    Parameters
    ----------
    request : Request
        Nothing is compared where it has no lock, or is an update.
    version : str, optional
        None where the source does not state it; then it is not compared.
    files : sequence of LockedFile
        An empty sha256 (not downloaded yet), and a missing md5, are not compared.

    Raises
    ------
    CurationError
        Names every difference, with both hashes.
    """
    if request.locked is None or request.update:
        return
    changes = _list_changes(request.locked, version, files)
    if changes:
        listing = "\n".join(f"  {change}" for change in changes)
        raise CurationError(
            ErrorCode.SOURCE_CHANGED,
            f"source {request.name} ({request.locked.asked}) is not what lock.json recorded:\n{listing}",
            hint=f"{_UPDATE} To stay with what was locked, pin its version in the recipe or build from a mirror.",
        )


def _list_changes(locked: LockLine, version: str | None, files: Sequence[LockedFile]) -> list[str]:
    changes = []
    if version is not None and locked.version is not None and version != locked.version:
        changes.append(f"version: locked {locked.version}, now {version}")
    before = {file.name: file for file in locked.files}
    now = {file.name: file for file in files}
    changes += [f"{name}: gone" for name in sorted(before.keys() - now.keys())]
    changes += [f"{name}: new" for name in sorted(now.keys() - before.keys())]
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        if old.md5 and new.md5 and old.md5 != new.md5:
            changes.append(f"{name}: md5 locked {old.md5}, now {new.md5}")
        if new.sha256 and old.sha256 != new.sha256:
            changes.append(f"{name}: sha256 locked {old.sha256}, now {new.sha256}")
        elif old.size_bytes != new.size_bytes:
            changes.append(f"{name}: size locked {old.size_bytes} bytes, now {new.size_bytes} bytes")
    return changes
