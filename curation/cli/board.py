"""The verb that talks to a board: live scores and picture, one frame, a picture given to it, its tests, collecting."""

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
    from curation.board import Board

Job = Literal["frame", "inject", "golden", "timing", "version", "selftest", "collect"]

INTERRUPTED = 130
"""The shell's number for Ctrl-C."""


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            "board",
            "board /dev/ttyACM0",
            "board /dev/ttyACM0 --inject mole.jpg",
            "board /dev/ttyACM0 --collect melanoma --into ~/captures --group mole-3 --count 20 --every 2",
        )
    )(board)


def board(
    port: Annotated[
        str | None,
        typer.Argument(
            metavar="[PORT]", help="A serial port such as /dev/ttyACM0 or COM3 [lists those that are there]"
        ),
    ] = None,
    frame: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Take a picture and write it, lossless")
    ] = None,
    inject: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Give the board this picture in place of its camera's")
    ] = None,
    golden: Annotated[bool, typer.Option("--golden", help="Run the vectors that came with the model")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="How long the last picture took")] = False,
    version: Annotated[bool, typer.Option("--version", help="What runs there: firmware, model, dataset")] = False,
    selftest: Annotated[bool, typer.Option("--selftest", help="Run the test of the start again")] = False,
    collect: Annotated[str | None, typer.Option(metavar="LABEL", help="Collect pictures under this label")] = None,
    into: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to; a source of kind board")] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What these pictures show: one name never lies on two sides [the time]"),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="So many pictures [to collect: 10; to watch: until Ctrl-C]")
    ] = None,
    every: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="From one picture to the next")] = 1.0,
    picture: Annotated[bool, typer.Option(help="Draw the camera's picture beside the live scores")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text; one line each while watching")] = False,
) -> None:
    """Watch a board: live scores and picture; or ask it one thing; or collect what its camera sees."""
    asked = {
        "frame": frame, "inject": inject, "golden": golden, "timing": timing, "version": version,
        "selftest": selftest, "collect": collect,
    }  # fmt: skip
    jobs = [job for job in get_args(Job) if asked[job] not in (None, False)]
    if len(jobs) > 1:
        raise typer.BadParameter(f"one thing at a time: {', '.join(f'--{job}' for job in jobs)}")
    if (collect is None) != (into is None):
        raise typer.BadParameter("--collect LABEL and --into FOLDER belong together", param_hint="--collect")
    if port is None:
        if jobs:
            raise typer.BadParameter("say which port: `python -m curation board` lists them", param_hint="PORT")
        _list_ports(as_json=as_json)
        return
    from curation.board import open_board

    with open_board(port, notify=_tell) as opened:
        match jobs:
            case []:
                _watch(opened, count=count, every=every, picture=picture, as_json=as_json)
            case ["collect"] if collect is not None and into is not None:
                _collect(opened, collect, into, count=count or 10, every=every, group=group, as_json=as_json)
            case ["frame"] if frame is not None:
                _write_frame(opened, frame, as_json=as_json)
            case ["inject"] if inject is not None:
                _inject(opened, inject, as_json=as_json)
            case _:
                _ask(opened, jobs[0], as_json=as_json)


def _tell(sentence: str) -> None:
    typer.echo(f"- {clean(sentence)}", err=True)


def _list_ports(*, as_json: bool) -> None:
    from dataclasses import asdict

    from curation.board import list_ports

    found = list_ports()
    if as_json:
        print_json([asdict(port) for port in found])
    elif found:
        rows = [(port.name, "probably a board" if port.likely else "", port.description) for port in found]
        print_table(("port", "", "what is plugged in"), rows, left=3)
        if found[0].likely:
            typer.echo(f"next: python -m curation board {clean(found[0].name)}")
    else:
        raise CurationError(
            "no serial port on this machine", hint="plug the board in; a cable that only charges carries no words"
        )


def _ask(opened: "Board", job: Job, *, as_json: bool) -> None:
    match job:
        case "golden":
            _run_golden(opened, as_json=as_json)
        case "selftest":
            tested = opened.run_selftest()
            print_json(tested.model_dump()) if as_json else _print_pairs(tested.model_dump(exclude={"type"}))
            if not tested.ok:
                raise typer.Exit(1)
        case "timing":
            timed = opened.read_timing()
            print_json(timed.model_dump()) if as_json else _print_pairs(timed.model_dump(exclude={"type"}))
        case _:
            told = opened.version.model_dump(by_alias=True)
            print_json(told) if as_json else _print_pairs({key: told[key] for key in told if key != "type"})


def _print_pairs(pairs: dict[str, object]) -> None:
    for name, value in pairs.items():
        shown = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        typer.echo(f"{name:<13} {clean(shown)}")


def _run_golden(opened: "Board", *, as_json: bool) -> None:
    vectors = opened.run_golden()
    wrong = [vector for vector in vectors if not vector.ok]
    if as_json:
        print_json([vector.model_dump() for vector in vectors])
    else:
        for vector in wrong:
            typer.echo(f"vector {vector.vector}: logits {list(vector.logits)}, expected {list(vector.expected)}")
        typer.echo(f"{len(vectors) - len(wrong)} of {len(vectors)} golden vectors are right")
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

    try:
        content = path.read_bytes()
    except OSError as fault:
        raise CurationError(f"{path}: {fault.strerror}", hint="give the path of a picture") from fault
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
                if picture and screen.wants_picture(every):
                    screen.show_picture(_try_frame(opened))
        except KeyboardInterrupt:
            return  # this is how one stops watching


def _try_frame(opened: "Board") -> bytes | None:
    """Return a frame's bytes, or None: a picture that is missing must not end the scores, which say why."""
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

    done = 0
    try:
        for picture in collect(opened, into.expanduser(), label, count=count, every_s=every, group=group):
            done += 1
            if as_json:
                print_line({"path": str(picture.path), "label": picture.label, "group": picture.group})
            else:
                typer.echo(f"{done:>4} of {count}  {clean(picture.path)}")
    except KeyboardInterrupt:
        typer.echo(f"stopped after {done} of {count}; those are whole", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if not as_json:
        typer.echo("next: name the folder in a recipe, and build")
        typer.echo(
            f'  [[sources]]\n  name = "board"\n  kind = "board"\n  path = "{clean(into.expanduser().resolve())}"'
        )


def print_line(content: object) -> None:
    """Print one line of JSON, at once: who reads through a pipe wants it now."""
    typer.echo(json.dumps(content, ensure_ascii=False))
    sys.stdout.flush()
