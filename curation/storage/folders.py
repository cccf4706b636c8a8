"""Folders and loose files as archives: their files are listed and read without following links to the outside."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from curation.reasons import Cause, Reason
from curation.storage.archive_members import (
    FilePlace,
    Limits,
    Member,
    UnreadableMember,
    number_duplicates,
    storable_name,
)
from curation.storage.fsspec_paths import RemotePath, is_url, list_remote, read_remote

_GONE = Cause(Reason.FILE_GONE)


def list_folder(root: Path, *, name: str, limits: Limits) -> tuple[Member, ...]:
    """List the files below a folder, sorted by path; links are followed to files inside it only."""
    if isinstance(root, RemotePath):
        return list_remote(root, name=name, limits=limits)
    base = os.path.realpath(root)
    members: list[Member] = []
    for member in _walk(base, base, limits):
        members.append(member)
        if len(members) > limits.members:
            raise limits.too_many(name)
    # Two names can become one only where undecodable bytes were spelled out; the order on disk must not decide.
    return number_duplicates(sorted(members, key=lambda member: (member.path, repr(member.locator))))


def list_file(path: Path, *, name: str, limits: Limits) -> tuple[Member, ...]:
    """List a loose file as the only file of an archive, with `name` as its path."""
    if isinstance(path, RemotePath):
        size_bytes = path.stat().st_size
        refused = limits.refuse_size(size_bytes)
        return (Member(storable_name(name), size_bytes, None if refused else FilePlace(path.url), refused),)
    return (_describe_file(storable_name(name), os.path.realpath(path), limits),)


def _walk(base: str, folder: str, limits: Limits) -> Iterator[Member]:
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            found = list(os.scandir(current))
        except OSError as error:
            if current == base:
                raise
            refused = Cause(Reason.FOLDER_UNREADABLE, cause_of(error).detail)
            yield Member(_relative(current, base), 0, None, refused)
            continue
        for inside in found:
            if inside.is_dir(follow_symlinks=False):
                pending.append(inside.path)
            elif inside.is_symlink():
                yield _describe_link(inside.path, base, limits)
            else:
                yield _describe_file(_relative(inside.path, base), inside.path, limits)


def _describe_link(link: str, base: str, limits: Limits) -> Member:
    path = _relative(link, base)
    target = os.path.realpath(link)
    if os.path.commonpath([base, target]) != base:
        return Member(path, 0, None, Cause(Reason.NOT_A_FILE, "link that leaves the folder"))
    if Path(target).is_dir():
        return Member(path, 0, None, Cause(Reason.NOT_A_FILE, "link to a folder"))
    return _describe_file(path, target, limits, missing=Cause(Reason.NOT_A_FILE, "link to nothing"))


def _describe_file(path: str, target: str, limits: Limits, *, missing: Cause = _GONE) -> Member:
    try:
        status = os.lstat(target)
    except FileNotFoundError:
        return Member(path, 0, None, missing)
    except OSError as error:
        return Member(path, 0, None, cause_of(error))
    refused = _refuse(status, limits)
    size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Member(path, size_bytes, None if refused else FilePlace(target), refused)


def _refuse(status: os.stat_result, limits: Limits) -> Cause | None:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        return Cause(Reason.NOT_A_FILE, "link that leads in a circle")
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return Cause(Reason.NOT_A_FILE, "device")
    if stat.S_ISFIFO(mode):
        return Cause(Reason.NOT_A_FILE, "pipe")
    if not stat.S_ISREG(mode):
        return Cause(Reason.NOT_A_FILE)
    return limits.refuse_size(status.st_size)


def _relative(path: str, base: str) -> str:
    """Return the name below the base of a path that was found by walking from there."""
    return storable_name(path.removeprefix(base).lstrip(os.sep).replace(os.sep, "/"))


def read_file(place: FilePlace, size_bytes: int) -> bytes:
    """Read a whole file, provided it still is the regular file of that size that was listed."""
    if is_url(place.path):
        return read_remote(place.path, size_bytes)
    # Not following links and not waiting for a writer: what was listed may have been exchanged for either.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        # a file object would ask the system five more times
        file = os.open(place.path, flags)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size_bytes:
                raise UnreadableMember(Reason.FILE_CHANGED, "since it was listed")
            content = _read_all(file, size_bytes)
        finally:
            os.close(file)
    except OSError as error:
        raise UnreadableMember(*cause_of(error)) from error
    if len(content) < size_bytes:
        raise UnreadableMember(Reason.FILE_CHANGED, "while it was read")
    return content


def _read_all(file: int, size_bytes: int) -> bytes:
    """Read so many bytes, or what there is; the system may give fewer at a time, of large files above all."""
    content = os.read(file, size_bytes)
    if len(content) == size_bytes:
        return content
    parts = [content]
    while parts[-1] and (left := size_bytes - sum(map(len, parts))):
        parts.append(os.read(file, left))
    return b"".join(parts)


def describe_os_error(error: OSError) -> str:
    """Return in stable words why the operating system refused a file."""
    match error:
        case FileNotFoundError():
            return "file is gone"
        case PermissionError():
            return "permission denied"
        case _:
            return f"cannot be read: {error.strerror or 'input/output error'}"


def cause_of(error: OSError) -> Cause:
    """Return why the operating system does not let a file be read, in words that do not change from run to run."""
    if isinstance(error, FileNotFoundError):
        return _GONE
    refused = isinstance(error, PermissionError)
    return Cause(Reason.FILE_UNREADABLE, "permission denied" if refused else error.strerror or "input/output error")


def list_files(folder: Path) -> tuple[str, ...]:
    """Return every file below ``folder``, relative, with ``/``, sorted; a symbolic link counts as a file."""
    found, base = [], os.fspath(folder)
    for root, folders, files in os.walk(base):
        inside = "" if root == base else os.path.relpath(root, base).replace(os.sep, "/") + "/"
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]  # noqa: PTH114, PTH118 (speed)
        found += [inside + name for name in (*files, *links)]
    return tuple(sorted(found))
