"""What shows the progress of long work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What draws the progress of long work, or does not."""

    def start(self, description: str, total_bytes: int | None) -> int:
        """Begin a task of so many bytes (None: not known) and return its number."""

    def advance(self, task: int, size_bytes: int) -> None:
        """Count bytes that were dealt with; a negative number takes back what has to be done again."""

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


@contextmanager
def show_progress(progress: Progress, description: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Give a function to report bytes to, for as long as the work takes."""
    task = progress.start(description, total_bytes)
    try:
        yield lambda size_bytes: progress.advance(task, size_bytes)
    finally:
        progress.finish(task)
