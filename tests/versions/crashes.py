"""Runs an operation of the store again and again, each time on a fresh copy, killed with SIGKILL a step later.

``python -m tests.versions.crashes FOLDER OPERATION MODE`` copies FOLDER/before to FOLDER/killed-<k>, forks, and has the
child kill itself before its k-th change to the disk (MODE changes; some: before every third) or at every third line of
the store's own code (lines), until a child comes to its end. It prints how many were killed.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# The verification's imports, made here once and not in every child.
import curation.images.jpeg_segments  # noqa: F401  (imported before the tracing begins)
from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from curation.versions import Home, carry_out, commit, locked, open_staging, plan_gc, recover, write_draft

MOST = 3000
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
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


def die_before_change(number: int) -> None:
    """Arrange to die before the given change to the disk, counted from 1."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = event == "open" and bool(int(str(arguments[2] or 0)) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if event in CHANGES or writes:
            count += 1
            if count == number:
                die()

    sys.addaudithook(hook)


def die_at_line(number: int) -> None:
    """Arrange to die at the given line of the store's own code, counted as they run, from 1."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object):
        nonlocal count
        if frame.f_code.co_filename not in OWN and frame.f_code.co_name != "write_atomically":
            return None
        if event == "line":
            count += 1
            if count == number:
                die()
        return trace

    sys.settrace(trace)


def main(folder: Path, operation: str, mode: str) -> int:
    """Kill a child at every step; return how many were killed before one came to its end."""
    # Between two changes lie several lines that all leave the same state.
    strides = {"changes": 1, "some": 3, "lines": 3}
    for killed, number in enumerate(range(1, MOST, strides[mode])):
        copy = folder / f"killed-{number:04d}"
        shutil.copytree(folder / "before", copy)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                (die_at_line if mode == "lines" else die_before_change)(number)
                OPERATIONS[operation](Home(copy / "datasets"), copy)
                status = 0
            finally:
                sys.settrace(None)
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError(f"{operation} failed by itself at step {number}")
            return killed
    raise RuntimeError(f"{operation} takes more than {MOST} steps")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
