"""The verb for a board: live scores and image, one frame, an image sent to it, its tests, and collecting."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from curation.cli.console import write_file
from curation.cli.options import examples
from curation.cli_runner import clean, print_json, print_table
from curation.errors import CurationError, ErrorCode

if TYPE_CHECKING:
    from curation.board import Board, SelfTest

Job = Literal["frame", "inject", "golden", "timing", "version", "selftest", "lock", "bring_up", "collect"]

INTERRUPTED = 130
"""The exit code for Ctrl-C."""


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            "board",
            "board /dev/ttyACM0",
            "board /dev/ttyACM0 --inject mole.jpg",
            "board /dev/ttyACM0 --collect cracked --into ~/captures --group part-3 --count 20 --every 2",
            "board /dev/ttyACM0 --bring-up --report board.html",
        )
    )(board)


def board(
    port: Annotated[
        str | None,
        typer.Argument(metavar="[PORT]", help="A serial port such as /dev/ttyACM0 or COM3 [list the ports]"),
    ] = None,
    frame: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Take an image and write it, lossless")] = None,
    inject: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Send the board this image in place of its camera's")
    ] = None,
    golden: Annotated[bool, typer.Option("--golden", help="Run the model's golden vectors")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="Print how long the last image took")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print firmware, model and dataset")] = False,
    selftest: Annotated[bool, typer.Option("--selftest", help="Run the start-up test again")] = False,
    lock: Annotated[
        bool | None,
        typer.Option("--lock/--unlock", help="Lock the camera's exposure and white balance at their current values"),
    ] = None,
    bring_up: Annotated[
        bool, typer.Option("--bring-up", help="Compare everything that can be measured with the documentation")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the bring-up as one page, to be sent")
    ] = None,
    collect: Annotated[str | None, typer.Option(metavar="LABEL", help="Collect images under this label")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder to collect into; a source of kind board")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Names what the images show; one group stays in one split [the time]"),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="The number of images [10 to collect; when watching, until Ctrl-C]")
    ] = None,
    every: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="The time from one image to the next")] = 1.0,
    picture: Annotated[bool, typer.Option(help="Draw the camera's image next to the live scores")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of text; while watching, one line per image")
    ] = False,
) -> None:
    """Watch a board, command it, or collect its images.

    Without an option, the live scores and the camera's image are shown until Ctrl-C.
    """
    asked = {
        "frame": frame, "inject": inject, "golden": golden, "timing": timing, "version": version,
        "selftest": selftest, "lock": lock is not None, "bring_up": bring_up, "collect": collect,
    }  # fmt: skip
    jobs = [job for job in get_args(Job) if asked[job] not in (None, False)]
    if len(jobs) > 1:
        raise typer.BadParameter(f"give only one of {', '.join('--' + job.replace('_', '-') for job in jobs)}")
    if report is not None and not bring_up:
        raise typer.BadParameter("--report FILE.html requires --bring-up", param_hint="--report")
    if (collect is None) != (into is None):
        raise typer.BadParameter("--collect LABEL and --into FOLDER require each other", param_hint="--collect")
    if port is None:
        if jobs:
            raise typer.BadParameter("give a port; `python -m curation board` lists them", param_hint="PORT")
        _list_ports(as_json=as_json)
        return
    from curation.board import open_board

    with open_board(port, notify=_print_note) as opened:
        match jobs:
            case []:
                _watch(opened, count=count, every=every, picture=picture, as_json=as_json)
            case ["collect"] if collect is not None and into is not None:
                _collect(opened, collect, into, count=count or 10, every=every, group=group, as_json=as_json)
            case ["frame"] if frame is not None:
                _write_frame(opened, frame, as_json=as_json)
            case ["inject"] if inject is not None:
                _inject(opened, inject, as_json=as_json)
            case ["lock"] if lock is not None:
                _lock(opened, lock, as_json=as_json)
            case ["bring_up"]:
                _bring_up(opened, report, as_json=as_json)
            case _:
                _ask(opened, jobs[0], as_json=as_json)


def _print_note(sentence: str) -> None:
    typer.echo(f"- {clean(sentence)}", err=True)


def _list_ports(*, as_json: bool) -> None:
    from dataclasses import asdict

    from curation.board import list_ports

    found = list_ports()
    if as_json:
        print_json([asdict(port) for port in found])
    elif found:
        rows = [(port.name, "probably a board" if port.likely else "", port.description) for port in found]
        print_table(("port", "", "device"), rows, left=3)
        if found[0].likely:
            typer.echo(f"next: python -m curation board {clean(found[0].name)}")
    else:
        raise CurationError(
            ErrorCode.PORT_MISSING,
            "no serial port found",
            hint="Use a USB data cable; charge-only cables do not work.",
        )


def _ask(opened: "Board", job: Job, *, as_json: bool) -> None:
    match job:
        case "golden":
            _run_golden(opened, as_json=as_json)
        case "selftest":
            tested = opened.run_selftest()
            print_json(tested.model_dump()) if as_json else _print_self_test(tested)
            if not tested.ok:
                raise typer.Exit(1)
        case "timing":
            timed = opened.read_timing()
            print_json(timed.model_dump()) if as_json else _print_pairs(timed.model_dump(exclude={"type"}))
        case _:
            fields = opened.version.model_dump(by_alias=True)
            print_json(fields) if as_json else _print_pairs({key: fields[key] for key in fields if key != "type"})


def _print_pairs(pairs: dict[str, object]) -> None:
    for name, value in pairs.items():
        shown = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        typer.echo(f"{name:<13} {clean(shown)}")


def _print_self_test(tested: "SelfTest") -> None:
    _print_pairs(tested.model_dump(exclude={"type", "bars"}))
    if tested.bars:
        rows = [
            (str(number), bar.expected, ", ".join(map(str, bar.seen)), "" if bar.ok else "differs")
            for number, bar in enumerate(tested.bars, start=1)
        ]
        print_table(("bar", "expected", "seen (red, green, blue)", ""), rows, left=4)


def _lock(opened: "Board", wanted: bool, *, as_json: bool) -> None:
    opened.lock_exposure(wanted)
    if as_json:
        print_json({"locked": wanted})
    else:
        typer.echo(f"exposure and white balance are {'locked' if wanted else 'automatic'}")


def _bring_up(opened: "Board", report: Path | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from curation.board import list_facts, write_page

    typer.echo("- this takes about half a minute", err=True)
    found = opened.bring_up()
    facts = list_facts(found)
    if report is not None:
        write_file(report, write_page(found).encode())
    if as_json:
        print_json([asdict(fact) for fact in facts])
    else:
        words = {True: "ok", False: "differs", None: ""}
        rows = [(fact.name, fact.expected, fact.seen, words[fact.ok]) for fact in facts]
        print_table(("property", "as documented", "as seen", ""), rows, left=4)
        if report is not None:
            typer.echo(f"page: {clean(report)}")
    if any(fact.ok is False for fact in facts):
        raise typer.Exit(1)


def _run_golden(opened: "Board", *, as_json: bool) -> None:
    vectors = opened.run_golden()
    wrong = [vector for vector in vectors if not vector.ok]
    if as_json:
        print_json([vector.model_dump() for vector in vectors])
    else:
        for vector in wrong:
            typer.echo(f"vector {vector.vector}: logits {list(vector.logits)}, expected {list(vector.expected)}")
        typer.echo(f"{len(vectors) - len(wrong)} of {len(vectors)} golden vectors passed")
    if wrong or not vectors:
        raise typer.Exit(1)


def _write_frame(opened: "Board", path: Path, *, as_json: bool) -> None:
    from curation.board import encode_png

    taken = opened.take_frame()
    content = encode_png(taken)
    write_file(path, content)
    if as_json:
        print_json({"path": str(path), "crc32": taken.crc32})
    else:
        typer.echo(f"wrote {clean(path)}, 176x144, lossless")


def _inject(opened: "Board", path: Path, *, as_json: bool) -> None:
    from curation.board import read_frame
    from curation.cli.progress import describe
    from curation.storage.disk_errors import code_of

    try:
        content = path.read_bytes()
    except OSError as fault:
        raise CurationError(code_of(fault), f"{path}: {fault.strerror}", hint="Give the path of an image.") from fault
    scores = opened.inject(read_frame(content, name=str(path)))
    if as_json:
        print_json(scores.model_dump())
    else:
        typer.echo(f"{clean(path)}: {describe(scores)}")


def _watch(opened: "Board", *, count: int | None, every: float, picture: bool, as_json: bool) -> None:
    from curation.cli.progress import Lines, Panel

    seen = 0
    opened.stream_scores(True)
    with Lines(as_json=as_json) if as_json or not sys.stdout.isatty() else Panel(opened.version) as screen:
        try:
            while count is None or seen < count:
                screen.show(opened.next_scores())
                seen += 1
                if picture and screen.wants_image(every):
                    screen.show_image(_try_frame(opened))
        except KeyboardInterrupt:
            return  # the way to stop watching


def _try_frame(opened: "Board") -> bytes | None:
    """Return a frame's bytes, or None: a missing image must not end the scores, which report the reason."""
    try:
        return opened.take_frame().packed
    except CurationError as fault:
        if fault.code is not ErrorCode.CAMERA_MISSING:
            raise
        return None


def _collect(
    opened: "Board", label: str, into: Path, *, count: int, every: float, group: str | None, as_json: bool
) -> None:
    from curation.board import collect
    from curation.storage.toml_text import quote

    done = 0
    try:
        for image in collect(opened, into.expanduser(), label, count=count, every_s=every, group=group):
            done += 1
            if as_json:
                print_line({"path": str(image.path), "label": image.label, "group": image.group})
            else:
                typer.echo(f"{done:>4} of {count}  {clean(image.path)}")
    except KeyboardInterrupt:
        typer.echo(f"stopped after {done} of {count} images", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if not as_json:
        typer.echo("next: add the folder to a recipe, and build")
        typer.echo(
            f'  [[sources]]\n  name = "board"\n  kind = "board"\n  path = {quote(str(into.expanduser().resolve()))}'
        )


def print_line(content: object) -> None:
    """Print one line of JSON without delay, for readers of a pipe."""
    typer.echo(json.dumps(content, ensure_ascii=False))
    sys.stdout.flush()
