"""Progress of long work: the interface, and the implementation that shows nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias


class Progress(Protocol):
    """Shows the progress of long work."""

    def start(self, description: str, total_bytes: int | None) -> int:
        """Start a task of that many bytes (None if unknown) and return its number."""

    def advance(self, task: int, size_bytes: int) -> None:
        """Count bytes that are done; a negative number takes back what must be done again."""

    def finish(self, task: int) -> None:
        """End a task, done or failed."""


class SilentProgress:
    """A progress that shows nothing."""

    def start(self, description: str, total_bytes: int | None) -> int:
        """Begin nothing."""
        return 0

    def advance(self, task: int, size_bytes: int) -> None:
        """Count nothing."""

    def finish(self, task: int) -> None:
        """End nothing."""


Advance: TypeAlias = Callable[[int], None]
"""Counts bytes that are done."""


def ignore_bytes(size_bytes: int) -> None:
    """Count nothing."""


@contextmanager
def show_progress(progress: Progress, description: str, total_bytes: int | None) -> Iterator[Advance]:
    """Start a task and yield the function that counts its bytes; the task ends with the block."""
    task = progress.start(description, total_bytes)
    try:
        yield lambda size_bytes: progress.advance(task, size_bytes)
    finally:
        progress.finish(task)
