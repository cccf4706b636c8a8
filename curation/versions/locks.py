"""One build at a time for each dataset: an operating system's file lock, which dies with its process."""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from curation.dataset.layout import Home
from curation.errors import CurationError
from curation.storage.disk_errors import explain_disk_faults

if sys.platform == "win32":
    import msvcrt
    import time

    FAR = 1 << 30
    """Windows locks bytes, and keeps others from reading them: this one lies behind the text."""

    def _try_lock(handle: IO[bytes]) -> bool:
        handle.seek(FAR)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _wait_lock(handle: IO[bytes]) -> None:
        while not _try_lock(handle):
            time.sleep(0.2)

    def _unlock(handle: IO[bytes]) -> None:
        handle.seek(FAR)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as fault:
            raise CurationError(
                f"{handle.name}: this file system has no file locks ({fault.strerror})",
                hint="let datasets/builds lie on a local disk (a symbolic link will do)",
            ) from None
        return True

    def _wait_lock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


@dataclass(frozen=True)
class Lock:
    """Held while one process builds ``name``; whoever changes the builds or the lines asks for it."""

    home: Home
    name: str


@contextlib.contextmanager
def locked(home: Home, name: str, *, on_wait: Callable[[str], None] | None = None) -> Iterator[Lock]:
    """Hold the lock of one dataset, waiting for the process that has it.

    Parameters
    ----------
    on_wait : callable, optional
        Called once with a sentence that names the process that is waited for.

    Raises
    ------
    CurationError
        Where the lock file cannot be written (a read-only or full disk).
    """
    path = home.builds(name) / ".lock"
    with explain_disk_faults(f"{path}: cannot lock {name}", within=home.datasets):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        handle = path.open("rb+", buffering=0)
    if sys.platform != "win32":
        # A worker forked during the build must not keep the lock alive after its parent was killed.
        os.register_at_fork(after_in_child=handle.close)
    with handle:
        if not _try_lock(handle):
            if on_wait is not None:
                on_wait(f"waiting for another build of {name} ({_read_owner(handle)})")
            _wait_lock(handle)
        try:
            # The lock holds without a name in it, and on a full disk `gc` has to get it to make room.
            with contextlib.suppress(OSError):
                handle.seek(0)
                handle.truncate()
                handle.write(f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
            yield Lock(home, name)
        finally:
            handle.truncate(0)
            _unlock(handle)


def find_holder(home: Home, name: str) -> str | None:
    """Return who builds ``name`` right now (``pid 123 on host``); None where nobody does."""
    path = home.builds(name) / ".lock"
    if not path.exists():
        return None
    with path.open("rb", buffering=0) as handle:
        if not _try_lock(handle):
            return _read_owner(handle)
        _unlock(handle)
    return None


def _read_owner(handle: IO[bytes]) -> str:
    handle.seek(0)
    return handle.read(256).decode(errors="replace").strip() or "just starting or ending"
