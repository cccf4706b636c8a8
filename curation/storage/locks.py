"""Locks between processes, held through files that the operating system locks, so that a lock ends with its process."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout, UnixFileLock

from curation.errors import CurationError, ErrorCode

# What a file system without file locks, or a server that has none left, answers.
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
_UNNAMED = "just starting or ending"


@contextmanager
def hold_lock(path: Path, *, on_wait: Callable[[str], None] | None = None, keep_file: bool = False) -> Iterator[None]:
    """Hold the lock named by a file, waiting for the process that has it.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing.
    on_wait : callable, optional
        Called once with the owner (``pid 123 on host``) where the lock is not free.
    keep_file : bool
        Leave the empty lock file in place afterwards: on a full disk it cannot be made again. Else it is removed.

    Raises
    ------
    CurationError
        The file system has no file locks.
    OSError
        The lock file cannot be written.
    """
    lock = _make_lock(path)
    with _explain_missing_locks(path):
        if not _try_to_acquire(lock):
            if on_wait is not None:
                on_wait(_read_owner(path))
            lock.acquire()
    try:
        _write_owner(path)
        yield
    finally:
        _release(lock, path, keep_file=keep_file)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock named by a file where it is free at once; yield whether it is held.

    Raises
    ------
    CurationError
        The file system has no file locks.
    OSError
        The lock file cannot be written.
    """
    lock = _make_lock(path)
    with _explain_missing_locks(path):
        held = _try_to_acquire(lock)
    try:
        yield held
    finally:
        if held:
            _release(lock, path, keep_file=False)


def find_owner(path: Path) -> str | None:
    """Return the process that holds a lock (``pid 123 on host``); None where the lock is free."""
    if not path.exists():
        return None
    lock = _make_lock(path)
    try:
        held = _try_to_acquire(lock)
    except OSError:  # a lock that cannot be taken here is held by no process either
        return None
    if not held:
        return _read_owner(path)
    lock.release()
    return None


def _make_lock(path: Path) -> BaseFileLock:
    # On a file system without locks a "soft" lock would outlive a killed process on another machine.
    return FileLock(path, fallback_to_soft=False)


def _try_to_acquire(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _release(lock: BaseFileLock, path: Path, *, keep_file: bool) -> None:
    with suppress(OSError):
        _owner_path(path).unlink()
    # Removed while it is held: a process that waits for it notices that the file is gone and makes its own. The locks
    # of other systems remove their file themselves.
    if isinstance(lock, UnixFileLock) and not keep_file:
        with suppress(OSError):
            path.unlink()
    lock.release()


@contextmanager
def _explain_missing_locks(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno not in _UNSUPPORTED:
            raise
        raise CurationError(
            ErrorCode.LOCKS_UNSUPPORTED,
            f"{path}: this file system has no file locks ({fault.strerror})",
            hint="Use a folder on a local disk; a symbolic link to one will do.",
        ) from fault


def _owner_path(path: Path) -> Path:
    # A file of its own, as Windows does not let other processes read a locked one.
    return path.with_name(f"{path.name}.owner")


def _write_owner(path: Path) -> None:
    # The lock holds without its owner's name, and on a full disk `gc` needs the lock to make room.
    with suppress(OSError):
        _owner_path(path).write_text(f"pid {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")


def _read_owner(path: Path) -> str:
    try:
        return _owner_path(path).read_text(encoding="utf-8", errors="replace").strip() or _UNNAMED
    except OSError:
        return _UNNAMED
