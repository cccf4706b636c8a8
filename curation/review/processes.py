"""What a review has started and left running: small files in the cache, each naming a process beyond doubt."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from curation.storage.atomic_files import replace_file

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Process:
    """A process of ours.

    Parameters
    ----------
    pid : int
    born : float
        When it started, seconds since the epoch, as the system tells it: a pid alone is given out again.
    port : int
        Where it listens.
    address : str
        The address it listens on.
    reviewer : str
        Whose decisions an App writes.
    datasets : str
        The folder of definitions an App works on.
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
        """Return the process with this pid, which runs."""
        return cls(pid, psutil.Process(pid).create_time(), port, address, reviewer, datasets)

    @classmethod
    def find(cls, folder: Path, name: str) -> "Process | None":
        """Return the process remembered under ``name`` if it still runs."""
        try:
            process = cls(**json.loads((folder / f"{name}.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return process if process.runs() else None

    def runs(self) -> bool:
        """Tell whether it is still there, and still the same."""
        try:
            found = psutil.Process(self.pid)
            return bool(abs(found.create_time() - self.born) < 1 and found.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    def end(self) -> bool:
        """Ask it to end, and end it where it does not; tell whether it ran."""
        if not self.runs():
            return False
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid)
            found.terminate()
            if not self._is_gone_within(PATIENCE_SECONDS):
                found.kill()
                self._is_gone_within(PATIENCE_SECONDS)
        return True

    def _is_gone_within(self, seconds: float) -> bool:
        # Not psutil's own wait: a child that its parent has not asked after yet would never end for it.
        limit = time.monotonic() + seconds
        while self.runs() and time.monotonic() < limit:
            time.sleep(0.05)
        return not self.runs()


def record_process(folder: Path, name: str, process: Process) -> None:
    """Keep a process under ``name``."""
    replace_file(folder / f"{name}.json", json.dumps(asdict(process)).encode())


def remove_record(folder: Path, name: str) -> None:
    """Forget the process kept under ``name``."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def find_running_apps(folder: Path) -> tuple[Process, ...]:
    """Return the Apps that run, by port."""
    found = (Process.find(folder, path.stem) for path in sorted(folder.glob("app-*.json")))
    return tuple(sorted((process for process in found if process), key=lambda process: process.port))


def stop_all(folder: Path, *, tell: Callable[[str], None]) -> int:
    """End every App and then the database that a review started; return how many processes that were."""
    ended = 0
    for app in find_running_apps(folder):
        # An App that ends in order ends the database it started, too.
        database = Process.find(folder, "mongod")
        if app.end():
            tell(f"ended the App at port {app.port} (process {app.pid})")
            ended += 1
        if database is not None and not database.runs():
            tell(f"ended its database (process {database.pid})")
            ended += 1
        remove_record(folder, f"app-{app.port}")
    database = Process.find(folder, "mongod")
    if database is not None and database.end():
        tell(f"ended the database (process {database.pid})")
        ended += 1
    remove_record(folder, "mongod")
    for path in sorted(folder.glob("app-*.json")):
        path.unlink(missing_ok=True)
    return ended
