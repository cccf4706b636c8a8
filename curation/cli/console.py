"""Prints the steps of a build and shows progress bars on terminals."""

import sys
import time
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from curation.cli_runner import clean
from curation.errors import CurationError, ErrorCode

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from curation.pipeline import StageLine

BAR_DELAY_SECONDS = 1.0
"""Tasks that end sooner show no bar."""


@dataclass
class _Task:
    description: str
    total_bytes: int | None
    started: float
    done_bytes: int = 0
    bar: "TaskID | None" = None


class Bars:
    """Progress bars with rate and remaining time, on standard error, for tasks of more than a second."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._tasks: dict[int, _Task] = {}
        self._live: Progress | None = None

    def __enter__(self) -> Self:
        """Start without a bar."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bars."""
        if self._live is not None:
            self._live.stop()

    def start(self, description: str, total_bytes: int | None) -> int:
        """Start a task."""
        number = len(self._tasks)
        self._tasks[number] = _Task(description, total_bytes, time.monotonic())
        return number

    def advance(self, task: int, size_bytes: int) -> None:
        """Count bytes; draw the bar once the task has taken a second."""
        known = self._tasks[task]
        known.done_bytes += size_bytes
        if not self._shown or time.monotonic() - known.started < BAR_DELAY_SECONDS:
            return
        live = self._open()
        if known.bar is None:
            known.bar = live.add_task(known.description, total=known.total_bytes)
        live.update(known.bar, completed=known.done_bytes)

    def finish(self, task: int) -> None:
        """End a task and remove its bar."""
        bar = self._tasks[task].bar
        if bar is not None and self._live is not None:
            self._live.remove_task(bar)

    def _open(self) -> "Progress":
        if self._live is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as Rate

            columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Rate(), TimeRemainingColumn()]
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._live.start()
        return self._live


@dataclass
class Screen:
    """A listener that prints a build's steps; with ``quiet`` or ``as_json``, only notes on standard error."""

    quiet: bool = False
    as_json: bool = False
    progress: Bars = field(init=False)
    _headed: bool = False

    def __post_init__(self) -> None:
        self.progress = Bars(shown=not self.quiet)

    def stage(self, line: "StageLine") -> None:
        """Print a line for a step that has ended."""
        if self.quiet or self.as_json:
            return
        if not self._headed:
            typer.echo(f"{'step':<10}{'rows':>9}{'kept':>9}{'excluded':>10}{'seconds':>9}")
            self._headed = True
        typer.echo(f"{line.step:<10}{line.rows:>9,}{line.kept:>9,}{line.excluded:>10,}{line.seconds:>9.2f}")
        sys.stdout.flush()  # readers of a pipe get the line when the step ends

    def note(self, sentence: str) -> None:
        """Print a note at once."""
        typer.echo(sentence, err=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that the user named, whole or not at all; its folder must exist.

    Raises
    ------
    CurationError
        Where it cannot be written.
    """
    from curation.storage.atomic_files import replace_file
    from curation.storage.disk_errors import code_of

    if not path.parent.is_dir():
        raise CurationError(ErrorCode.FILE_MISSING, f"{path.parent}: no such folder", hint="Create it first.")
    try:
        replace_file(path, content.encode() if isinstance(content, str) else content)
    except OSError as fault:
        raise CurationError(
            code_of(fault), f"{path}: cannot be written: {fault.strerror}", hint="Choose another place."
        ) from None


def number(count: int, one: str, many: str) -> str:
    """Return a count with its singular or plural.

    Examples
    --------
    >>> number(1, "file repeats", "files repeat"), number(2, "file repeats", "files repeat")
    ('1 file repeats', '2 files repeat')
    """
    return f"{count} {one if count == 1 else many}"


def clean_parts(value: object) -> object:
    """Return a frozen value with the control characters of all its texts shown, so that no text breaks a line."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(map(clean_parts, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: clean_parts(getattr(value, each.name)) for each in fields(value)})
    return value
