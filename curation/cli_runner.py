"""Runs one command of either command line: exit codes, how errors are printed, and Ctrl-C."""

import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, cast

import typer

from curation.errors import CurationError
from curation.storage.control_characters import show_line, show_lines

UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__base__)
"""The base of all usage errors: click's own class, or that of the copy which newer releases of typer carry."""

DONE, AT_FAULT, USAGE, INTERRUPTED = 0, 1, 2, 130


def run_command(app: typer.Typer, given: Sequence[str], *, program: str, interrupted: str) -> int:
    """Run one command and return its exit code: 0 done, 1 input or recipe at fault, 2 usage, 130 interrupted.

    Parameters
    ----------
    given : sequence of str
        The arguments, without the program's name.
    program : str
        How users call it.
    interrupted : str
        What to print after Ctrl-C, following "interrupted".
    """
    with _remember_interrupt() as received:
        try:
            code = _run(app, list(given), program)
        except BaseException:
            # Ctrl-C inside a compiled library comes out as that library's own kind of failure.
            if not received:
                raise
            code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo(f"\ninterrupted{interrupted}", err=True)
    return code


@contextmanager
def _remember_interrupt() -> Iterator[list[int]]:
    """Yield a list that contains the signal once Ctrl-C was pressed; only the main thread receives signals."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(signal.SIGINT, receive)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _run(app: typer.Typer, given: list[str], program: str) -> int:
    try:
        # Outside of its own main, typer hands an exit code back as a value; a command returns nothing.
        code: int | None = app(given, standalone_mode=False, prog_name=program)
    except CurationError as fault:
        print_error(fault, as_json="--json" in given)
        return AT_FAULT
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        typer.echo("stopped: nothing was done", err=True)
        return AT_FAULT
    except BrokenPipeError:
        sys.stderr.close()
        return AT_FAULT
    except UsageError as fault:
        fault.show()
        return USAGE
    return code or DONE


def print_error(fault: CurationError, *, as_json: bool = False) -> None:
    """Print an error and its hint on standard error; with ``as_json`` also as a document on standard output."""
    if as_json:
        document = {"code": fault.code, "error": fault.message, "hint": fault.hint}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    typer.echo(f"error: {show_lines(fault.message)}", err=True)
    if fault.hint:
        typer.echo(f"hint: {show_lines(fault.hint)}", err=True)


def print_json(content: object) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> None:
    """Print a plain table; the first ``left`` columns are text, the others numbers."""
    cells = [[clean(head_cell) for head_cell in head], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        padded = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(padded).rstrip())


def clean(cell: object) -> str:
    """Return a cell as one line of text whose control characters, as in hostile file names, have no effect."""
    text = f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
    return show_line(text)
