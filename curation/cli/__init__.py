"""The command line: parse, call the library, print. One function a verb; heavy imports stay inside them."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from curation import __version__
from curation.cli import auditing, building, exporting, looking, reviewing, watching
from curation.errors import CurationError

__all__ = ["app", "main"]

DONE, AT_FAULT, USAGE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="curation",
    help="Turn raw, messy public image sets into a small, trustworthy, versioned training set.",
    epilog="Begin with: python -m curation build sample",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
building.add_to(app)
looking.add_to(app)
auditing.add_to(app)
exporting.add_to(app)
reviewing.add_to(app)
watching.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"curation {__version__}")
        raise typer.Exit


@app.callback()
def settings(
    datasets: Annotated[
        Path | None, typer.Option(help="The folder of definitions and builds [$CURATION_DATASETS, else ./datasets]")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where downloads and probes are kept [$CURATION_CACHE, else the user's cache]")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop")
    ] = False,
) -> None:
    """Hand the folders on to every verb."""
    if datasets is not None:
        os.environ["CURATION_DATASETS"] = str(datasets)
    if cache is not None:
        os.environ["CURATION_CACHE"] = str(cache)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 input or recipe at fault, 2 usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _remember_interrupt() as interrupted:
        try:
            code = _run(given)
        except BaseException:
            # Ctrl-C inside a compiled library comes out as that library's own kind of failure.
            if not interrupted:
                raise
            code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("\ninterrupted; published versions are whole", err=True)
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


def _run(given: list[str]) -> int:
    try:
        # Outside of its own main, typer hands an exit code back as a value; a command returns nothing.
        code: int | None = app(given, standalone_mode=False, prog_name="python -m curation")
    except CurationError as fault:
        return _tell(fault, as_json="--json" in given)
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
    typer.echo(f"error: {fault.message}", err=True)
    if fault.hint:
        typer.echo(f"hint: {fault.hint}", err=True)
    return AT_FAULT
