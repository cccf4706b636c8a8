"""One build at a time for each dataset."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from curation.dataset.layout import Home
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.locks import find_owner, hold_lock


@dataclass(frozen=True)
class Lock:
    """Held while one process builds ``name``; what changes the builds or their lines asks for it."""

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
        The lock file cannot be written (a read-only or full disk), or the file system has no file locks.
    """
    path = home.builds(name) / ".lock"

    def tell(owner: str) -> None:
        if on_wait is not None:
            on_wait(f"waiting for another build of {name} ({owner})")

    with contextlib.ExitStack() as stack:
        with explain_disk_faults(f"{path}: cannot lock {name}", within=home.datasets):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold_lock(path, on_wait=tell, keep_file=True))
        yield Lock(home, name)


def find_holder(home: Home, name: str) -> str | None:
    """Return the process that builds ``name`` right now (``pid 123 on host``); None where there is none."""
    return find_owner(home.builds(name) / ".lock")
