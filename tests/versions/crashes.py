"""Runs an operation of the store again and again, each time on a fresh copy, killed with SIGKILL a step later.

``python -m tests.versions.crashes FOLDER OPERATION MODE`` copies FOLDER/before to FOLDER/killed-<k>, forks, and has the
child kill itself before its k-th change to the disk (MODE changes) or its k-th rename (MODE renames), until a child
comes to its end. It prints how many were killed. Nothing else is a state of the disk that a kill can leave.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# The verification's imports, made here once and not in every child.
import curation.images.jpeg_segments  # noqa: F401  (imported before a child counts its changes)
from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from curation.versions import Home, carry_out, commit, locked, open_staging, plan_gc, recover, write_draft

MOST = 1000
RENAMES = frozenset({"os.rename"})
CHANGES = RENAMES | {"os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
ROOMS = Path(sys.modules["curation.versions"].__file__ or "").parent.parent
OWN = {
    *(f"{ROOMS}/versions/{name}.py" for name in ("commit", "drafts", "gc", "locks", "recovery")),
    *(f"{ROOMS}/storage/{name}.py" for name in ("fsync", "locks")),
}


def publish(home: Home, folder: Path) -> None:
    """Publish the folder ``stash`` as the pipeline publishes what it has rendered."""
    with locked(home, "squares") as held, open_staging(held) as build:
        shutil.copytree(folder / "stash", build.folder, dirs_exist_ok=True)
        commit(build, created="2026-11-24T01:00:00+00:00")


def draft(home: Home, folder: Path) -> None:
    """Leave a draft where an older one is."""
    manifest = Manifest.read(folder / "stash" / "manifest.parquet")
    with locked(home, "squares") as held:
        write_draft(
            held,
            manifest,
            stage="select",
            fault=CurationError(ErrorCode.COUNT_SHORT, "new"),
            texts={"recipe.toml": b"new"},
        )


def clear(home: Home, folder: Path) -> None:
    """Clear up after a crash."""
    with locked(home, "squares") as held:
        recover(held)


def free(home: Home, folder: Path) -> None:
    """Free all builds."""
    carry_out(plan_gc(home, "squares", keep=0))


OPERATIONS: dict[str, Callable[[Home, Path], None]] = {"publish": publish, "draft": draft, "sweep": clear, "gc": free}


def die() -> None:
    """End as kill -9 ends a process: without any of Python's clearing up."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_change(number: int, mode: str) -> None:
    """Arrange to die before the given change to the disk (or rename), counted from 1."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in RENAMES or (mode == "changes" and (event in CHANGES or opens_to_write(event, arguments))):
            count += 1
            if count == number:
                die()

    sys.addaudithook(hook)


def opens_to_write(event: str, arguments: tuple[object, ...]) -> bool:
    """Return whether an event opens a file to write to it."""
    return event == "open" and bool(int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main(folder: Path, operation: str, mode: str) -> int:
    """Kill a child at every step; return how many were killed before one came to its end."""
    for number in range(1, MOST):
        copy = folder / f"killed-{number:04d}"
        shutil.copytree(folder / "before", copy)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                die_before_change(number, mode)
                OPERATIONS[operation](Home(copy / "datasets"), copy)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError(f"{operation} failed by itself at step {number}")
            return number - 1
    raise RuntimeError(f"{operation} takes more than {MOST} steps")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
