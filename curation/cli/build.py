"""The verbs that make versions: build, pull, init."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.console import Screen, number
from curation.cli.options import (
    Address,
    AsJson,
    EngineName,
    Folders,
    Mirror,
    Name,
    Offline,
    Quiet,
    Upload,
    Verbose,
    Workers,
    examples,
    folders_of,
)
from curation.cli_runner import clean, print_json, print_table
from curation.errors import CurationError, ErrorCode
from curation.storage.urls import is_url

if TYPE_CHECKING:
    from curation.engines import Engine
    from curation.pipeline import Built, Options
    from curation.report.summary import Summary

BRIEF = 3
"""How many names stand for the rest without --verbose."""


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(epilog=examples("build sample", "build melanoma --mirror ../shared/mirror --json"))(build)
    app.command(epilog=examples("pull melanoma", "pull melanoma --update"))(pull)
    app.command(epilog=examples("init birds", "init birds --images ~/pictures/birds"))(init)


def build(
    context: typer.Context,
    name: Name,
    mirror: Mirror = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this step, before anything is written: fetch, ingest, ... select")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make every choice, write nothing, estimate the disk it would take")
    ] = False,
    workers: Workers = None,
    engine: EngineName = "local",
    address: Address = None,
    upload: Upload = None,
    offline: Offline = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Build a dataset from its recipe and publish it as a version."""
    from curation.pipeline import STEPS
    from curation.pipeline import build as build_dataset

    if until is not None and until not in STEPS:
        raise typer.BadParameter(f"{until!r} is no step; steps: {', '.join(STEPS)}", param_hint="--until")
    if address is not None and engine != "ray":
        raise typer.BadParameter("it is the address of a cluster: give --engine ray too", param_hint="--address")
    if upload is not None and not is_url(upload):
        raise typer.BadParameter(f"{upload!r} is no URL such as s3://bucket/builds", param_hint="--upload")
    screen = Screen(quiet=quiet, as_json=as_json)
    with screen.progress:
        options = make_options(folders_of(context), mirror=mirror, workers=workers, offline=offline, screen=screen)
        options = replace(options, engine=_choose_engine(engine, address, options.engine), upload=upload)
        built = build_dataset(name, options, until=until, dry_run=dry_run)
    if as_json:
        print_json(built.as_json())
    else:
        tell(built, quiet=quiet, verbose=verbose)


def _choose_engine(name: str, address: str | None, local: "Engine") -> "Engine":
    if name == "local":
        return local
    from curation.engines.ray import Ray

    return Ray(address)


def make_options(
    folders: Folders, *, mirror: Path | None, workers: int | None, offline: bool, screen: Screen
) -> "Options":
    """Return the library's options for what was asked on the command line."""
    from curation.engines import Local, count_cores
    from curation.pipeline import Options

    if mirror is not None and not mirror.is_dir():
        raise CurationError(
            ErrorCode.SOURCE_MISSING,
            f"--mirror {mirror}: no such folder",
            hint="A mirror is a folder that contains kaggle/ and figshare/.",
        )
    return Options(
        home=folders.home,
        cache=folders.open_cache(),
        mirror=mirror,
        offline=offline,
        engine=Local(workers or count_cores()),
        listener=screen,
    )


def pull(
    context: typer.Context,
    name: Name,
    update: Annotated[bool, typer.Option("--update", help="Accept what has changed upstream, and lock it")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Download the sources of a recipe into the cache and lock their versions."""
    from curation.pipeline import pull as pull_sources

    screen = Screen(quiet=quiet, as_json=as_json)
    with screen.progress:
        options = make_options(folders_of(context), mirror=None, workers=1, offline=False, screen=screen)
        fetched = pull_sources(name, options, update=update)
    lines = [
        (given.source, archive.name, archive.size_bytes, archive.sha256[:16], given.version or "", given.origin)
        for given in fetched
        for archive in given.archives
    ]
    head = ("source", "file", "bytes", "sha256", "version", "from")
    if as_json:
        print_json([dict(zip(head, line, strict=True)) for line in lines])
    else:
        print_table(head, lines, left=2)


def init(
    context: typer.Context,
    name: Name,
    images: Annotated[
        Path | None, typer.Option(help="A folder, zip or tar with one subfolder a class: its classes are filled in")
    ] = None,
) -> None:
    """Write a commented recipe to start from."""
    from curation.init import start_dataset

    started = start_dataset(folders_of(context).home, name, images=images)
    layout = started.layout
    typer.echo(f"wrote {clean(started.recipe)}")
    for label, class_name in layout.classes.items() if layout else ():
        if label != class_name:
            typer.echo(f"the pictures of {clean(label)!r} are of the class {class_name!r}, which can name a folder")
    if layout and layout.splits:
        sides = ", ".join(map(clean, layout.splits))
        typer.echo(f"its folders name the source's own split ({sides}): it is kept, none of its test is trained on")
    typer.echo(f"next: edit it, then `python -m curation build {name} --until select`")


def tell(built: "Built", *, quiet: bool, verbose: bool) -> None:
    """Print what a build came to: splits, what a person should know, where to look next."""
    summary = built.summary
    if not quiet:
        typer.echo()
        if summary.splits:
            print_splits(summary.splits)
            typer.echo()
        for line in what_to_know(summary, verbose=verbose):
            typer.echo(line)
        for note in built.notes:
            typer.echo(f"- {clean(note)}")
    typer.echo(_result(built))
    if not quiet and built.folder is not None:
        typer.echo(f"look:    python -m curation report {built.name} --open   (its page)")
        typer.echo(f"         python -m curation show {built.name}   and   explain {built.name} <file>")


def _result(built: "Built") -> str:
    if built.line is None:
        size = (
            f"; it would take about {built.estimated_bytes / 1e6:.1f} MB" if built.estimated_bytes is not None else ""
        )
        return f"{built.outcome}: nothing was written{size}"
    words = {
        "published": "published",
        "restored": "built again, as published before,",
        "unchanged": "nothing changed: this is",
    }
    return (
        f"{words[built.outcome]} {built.name}@v{built.line.version}, digest {built.line.digest[:16]}, in {built.folder}"
    )


def print_splits(splits: Mapping[str, Mapping[str, int]]) -> None:
    """Print the table of samples per split and class."""
    classes = sorted({label for counts in splits.values() for label in counts})
    rows = [(split, *(counts.get(label, 0) for label in classes)) for split, counts in splits.items()]
    print_table(("split", *classes), rows)


def what_to_know(summary: "Summary", *, verbose: bool) -> list[str]:
    """Return what a person should know of a build, a line each; with ``verbose`` every name."""
    lines: list[str] = []

    def say(sentence: str, names: Sequence[str] = ()) -> None:
        lines.append(f"- {sentence}")
        shown = names if verbose else names[:BRIEF]
        lines.extend(f"    {clean(name)}" for name in shown)
        if len(shown) < len(names):
            lines.append(f"    ... and {len(names) - len(shown)} more (-v names all)")

    if summary.conflicts:
        stand = number(len(summary.conflicts), "picture stands", "pictures stand")
        say(
            f"{stand} under more than one label with the very same bytes{_name_sides(summary)}",
            [f"{' / '.join(conflict.claims)}: {conflict.ids[0]}" for conflict in summary.conflicts],
        )
    if summary.disputed_lookalikes:
        more = number(len(summary.disputed_lookalikes), "more is", "more are")
        say(f"{more} disputed through a look-alike", summary.disputed_lookalikes)
    for label, ids in summary.reserve.items():
        used = number(len(ids), f"disputed {label} picture is used", f"disputed {label} pictures are used")
        say(f"{used} in train, as the count cannot be reached otherwise", ids)
    if summary.leaks:
        touched = sum(leak.touches_classes for leak in summary.leaks)
        say(
            f"{number(len(summary.leaks), 'leak', 'leaks')} in the source's own split "
            f"({number(touched, 'touches', 'touch')} a class, {len(summary.leaks) - touched} only context)"
            + ("; this version's split parts none of these" if summary.splits else ""),
            [f"{leak.how}: {' = '.join(leak.ids)}" for leak in summary.leaks],
        )
    if summary.unreadable:
        say(
            f"{number(len(summary.unreadable), 'file', 'files')} could not be read",
            [f"{name}: {reason}" for name, reason in summary.unreadable],
        )
    if summary.system_files:
        left = number(sum(summary.system_files.values()), "file was", "files were")
        told = ", ".join(f"{count} {what}" for what, count in summary.system_files.items())
        say(f"{left} left beside the pictures by an operating system, and no picture: {told}")
    for source, count in summary.unlabelled.items():
        have, wait = (
            (f"picture of {source} has", f"pictures of {source} have"),
            "it waits" if count == 1 else "they wait",
        )
        say(f"{number(count, *have)} no label: {wait} for `python -m curation review`")
    for source, count in summary.no_group.items():
        each = "that one" if count == 1 else "each of those"
        which = "none of its" if source in summary.ungrouped else f"all but {count} of its"
        say(f"the group rule of {source} matches {which} pictures: {each} is a group of its own")
    return lines


def _name_sides(summary: "Summary") -> str:
    """Return how the conflicts lie in the source's own split; nothing where the source has none."""
    if not any(conflict.splits for conflict in summary.conflicts):
        return ""
    across = sum(len(conflict.splits) > 1 for conflict in summary.conflicts)
    return f" ({len(summary.conflicts) - across} on one side of the source's split, {across} across it)"
