"""The processes that reviews started: one small file in the cache for each, which identifies it reliably."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from curation.storage.atomic_files import replace_file

STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Process:
    """A process that a review started.

    Parameters
    ----------
    pid : int
    born : float
        When it started, in seconds since the epoch; the system reuses pids.
    port : int
        The port it listens on.
    address : str
        The address it listens on.
    reviewer : str
        The reviewer whose decisions an App writes.
    datasets : str
        The folder of definitions that an App uses.
    """

    pid: int
    born: float
    port: int
    address: str = "127.0.0.1"
    reviewer: str = ""
    datasets: str = ""

    @classmethod
    def of(
        cls, pid: int, *, port: int, address: str = "127.0.0.1", reviewer: str = "", datasets: str = ""
    ) -> "Process":
        """Return the running process with this pid."""
        return cls(pid, psutil.Process(pid).create_time(), port, address, reviewer, datasets)

    @classmethod
    def find(cls, folder: Path, name: str) -> "Process | None":
        """Return the process recorded under ``name``, if it still runs."""
        try:
            process = cls(**json.loads((folder / f"{name}.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return process if process.runs() else None

    def runs(self) -> bool:
        """Return whether the process still runs, and is the same one."""
        try:
            found = psutil.Process(self.pid)
            return bool(abs(found.create_time() - self.born) < 1 and found.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def end(self) -> bool:
        """Terminate the process, and kill it where it does not end; return whether it ran."""
        if not self.runs():
            return False
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid)
            found.terminate()
            if not self._is_gone_within(STOP_SECONDS):
                found.kill()
                self._is_gone_within(STOP_SECONDS)
        return True

    def _is_gone_within(self, seconds: float) -> bool:
        # psutil's own wait never returns for a child that its parent has not waited for.
        limit = time.monotonic() + seconds
        while self.runs() and time.monotonic() < limit:
            time.sleep(0.05)
        return not self.runs()


def record_process(folder: Path, name: str, process: Process) -> None:
    """Record a process under ``name``."""
    replace_file(folder / f"{name}.json", json.dumps(asdict(process)).encode())


def remove_record(folder: Path, name: str) -> None:
    """Remove the record of a process."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def find_running_apps(folder: Path) -> tuple[Process, ...]:
    """Return the running Apps, sorted by port."""
    found = (Process.find(folder, path.stem) for path in sorted(folder.glob("app-*.json")))
    return tuple(sorted((process for process in found if process), key=lambda process: process.port))


def stop_all(folder: Path, *, notify: Callable[[str], None]) -> int:
    """Stop every App and then the database that reviews started; return the number of processes."""
    ended = 0
    for app in find_running_apps(folder):
        # An App that ends normally also stops the database that it started.
        database = Process.find(folder, "mongod")
        if app.end():
            notify(f"stopped the App at port {app.port} (process {app.pid})")
            ended += 1
        if database is not None and not database.runs():
            notify(f"stopped its database (process {database.pid})")
            ended += 1
        remove_record(folder, f"app-{app.port}")
    database = Process.find(folder, "mongod")
    if database is not None and database.end():
        notify(f"stopped the database (process {database.pid})")
        ended += 1
    remove_record(folder, "mongod")
    for path in sorted(folder.glob("app-*.json")):
        path.unlink(missing_ok=True)
    return ended
