"""Runs one command of a command line, whichever: exit codes, errors as a person reads them, and Ctrl-C."""

import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer

from curation.errors import CurationError
from curation.storage.control_characters import show_lines

DONE, AT_FAULT, USAGE, INTERRUPTED = 0, 1, 2, 130


def run_command(app: typer.Typer, given: Sequence[str], *, program: str, interrupted: str) -> int:
    """Run one command and return its exit code: 0 done, 1 input or recipe at fault, 2 usage, 130 interrupted.

    Parameters
    ----------
    given : sequence of str
        The arguments, without the program's name.
    program : str
        As a person calls it.
    interrupted : str
        What to say after Ctrl-C.
    """
    with _remember_interrupt() as heard:
        try:
            code = _run(app, list(given), program)
        except BaseException:
            # Ctrl-C inside a compiled library comes out as that library's own kind of failure.
            if not heard:
                raise
            code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo(f"\ninterrupted{interrupted}", err=True)
    return code


@contextmanager
def _remember_interrupt() -> Iterator[list[int]]:
    """Give a list that holds the signal once Ctrl-C was pressed; other threads than the first hear no signals."""
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = signal.signal(signal.SIGINT, hear)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)


def _run(app: typer.Typer, given: list[str], program: str) -> int:
    try:
        # Outside of its own main, typer hands an exit code back as a value; a command returns nothing.
        code: int | None = app(given, standalone_mode=False, prog_name=program)
    except CurationError as fault:
        return _tell(fault, as_json="--json" in given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        typer.echo("stopped: nothing was done", err=True)
        return AT_FAULT
    except BrokenPipeError:
        sys.stderr.close()
        return AT_FAULT
    except Exception as fault:
        if type(fault).__module__.partition(".")[0] not in {"click", "typer"} or not hasattr(fault, "format_message"):
            raise
        fault.show()  # type: ignore[attr-defined]  # a usage error, whichever copy of click it comes from
        return USAGE
    return code or DONE


def _tell(fault: CurationError, *, as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps({"error": fault.message, "hint": fault.hint}, indent=2, ensure_ascii=False))
    typer.echo(f"error: {show_lines(fault.message)}", err=True)
    if fault.hint:
        typer.echo(f"hint: {show_lines(fault.hint)}", err=True)
    return AT_FAULT
