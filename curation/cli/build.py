"""Verbs that make versions: build, pull and init."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from curation.cli.console import Screen, clean_parts, number
from curation.cli.options import (
    BRIEF,
    Address,
    AsJson,
    ClassFolder,
    EngineName,
    Folders,
    LabelColumn,
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
from curation.storage.control_characters import show_lines
from curation.storage.fsspec_paths import is_url

if TYPE_CHECKING:
    from curation.engines import Engine
    from curation.pipeline import Built, Options
    from curation.report.summary import Summary
    from curation.sources.folder_layout import FolderLayout, LabelTable
    from curation.versions import Diff


SHOWN_CLASSES = 20
"""The number of classes that `init` lists."""


WOULD_CHANGE = 3
"""The exit code of `build --dry-run --fail-on-change` where a new version would be published."""


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(epilog=examples("build sample", "build melanoma --mirror ../shared/mirror --json"))(build)
    app.command(epilog=examples("pull melanoma", "pull melanoma --update"))(pull)
    app.command(
        epilog=examples(
            "init birds", "init birds --images ~/pictures/birds", "init plain --images ~/new --classes cat,dog"
        )
    )(init)


def build(
    context: typer.Context,
    name: Name,
    mirror: Mirror = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this step, before anything is written: fetch, ingest, ..., select")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; compare what would be chosen with the newest version")
    ] = False,
    fail_on_change: Annotated[
        bool,
        typer.Option("--fail-on-change", help="With --dry-run: exit with 3 where a new version would be published"),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave the audit for later: `audit` adds it to the version")
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
        raise typer.BadParameter(f"{until!r} is not a step; steps: {', '.join(STEPS)}", param_hint="--until")
    if address is not None and engine != "ray":
        raise typer.BadParameter("the address of a cluster requires --engine ray", param_hint="--address")
    if upload is not None and not is_url(upload):
        raise typer.BadParameter(f"{upload!r} is not a URL such as s3://bucket/builds", param_hint="--upload")
    if fail_on_change and not dry_run:
        raise typer.BadParameter("it needs --dry-run", param_hint="--fail-on-change")
    screen = Screen(quiet=quiet, as_json=as_json)
    with screen.progress:
        options = make_options(folders_of(context), mirror=mirror, workers=workers, offline=offline, screen=screen)
        options = replace(options, engine=_choose_engine(engine, address, options.engine), upload=upload, quick=quick)
        built = build_dataset(name, options, until=until, dry_run=dry_run)
    if as_json:
        print_json(built.as_json())
    else:
        print_build(built, quiet=quiet, verbose=verbose)
    if fail_on_change and built.would_change:
        raise typer.Exit(WOULD_CHANGE)


def _choose_engine(name: str, address: str | None, local: "Engine") -> "Engine":
    if name == "local":
        return local
    from curation.engines.ray import Ray

    return Ray(address)


def make_options(
    folders: Folders, *, mirror: Path | None, workers: int | None, offline: bool, screen: Screen
) -> "Options":
    """Return the library's options for those of the command line."""
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
    update: Annotated[bool, typer.Option("--update", help="Accept what changed upstream, and lock it")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Download the sources of a recipe and lock their versions."""
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
        Path | None,
        typer.Option(
            help="A folder, zip or tar; the classes that its folders, tables or file names give are filled in"
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option(metavar="A,B,...", help="The classes that reviewers will give to images without labels")
    ] = "",
    class_folder: ClassFolder = None,
    label_column: LabelColumn = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented recipe for a new dataset, and print what its folder of images contains."""
    from curation.init import start_dataset

    screen = Screen(quiet=False, as_json=as_json)
    with screen.progress:
        started = start_dataset(
            folders_of(context).home,
            name,
            images=images,
            classes=[each.strip() for each in classes.split(",") if each.strip()],
            class_folder=class_folder,
            label_column=label_column,
            progress=screen.progress,
        )
    layout = started.layout
    if as_json:
        print_json({"recipe": str(started.recipe), "layout": layout and layout.as_json()})
        return
    if layout:
        print_layout(layout)
    typer.echo(f"wrote {clean(started.recipe)}")
    if layout and layout.origin == "none":
        if not layout.classes:
            typer.echo(f"next: name the classes under [labels.classes] in {clean(started.recipe)}, then run")
        else:
            typer.echo("next:")
        typer.echo(
            f"      python -m curation build {name} --until dedup    # finds duplicates, and leaves a draft to review"
        )
        typer.echo(f"      python -m curation review {name}                 # give each image its label")
    else:
        typer.echo(f"next: edit the recipe, then run `python -m curation build {name} --until select`")


_ORIGINS = {
    "folders": "labels from the folders' names",
    "table": "labels from a table",
    "names": "labels from the files' names",
    "none": "no labels",
}


def print_layout(layout: "FolderLayout") -> None:
    """Print what was found about a folder of images: counts, what is not used, and what to check."""
    table = f" ({layout.table.file}: {_describe_columns(layout.table)})" if layout.table else ""
    typer.echo(clean(f"found {number(layout.images, 'image', 'images')}, {_ORIGINS[layout.origin]}{table}"))
    if layout.counts:
        splits = sorted({split for counts in layout.counts.values() for split in counts}, key=_split_order)
        rows = [
            (clean(label), *(counts.get(split, 0) for split in splits))
            for label, counts in list(layout.counts.items())[:SHOWN_CLASSES]
        ]
        print_table(("class", *(split or ("images" if len(splits) == 1 else "no split") for split in splits)), rows)
        if len(layout.counts) > SHOWN_CLASSES:
            typer.echo(f"... and {len(layout.counts) - SHOWN_CLASSES} more classes")
    for label, class_name in layout.classes.items():
        if label != class_name:
            typer.echo(
                f"- label {clean(repr(label))} becomes class {class_name!r}, "
                "because a class must be a valid folder name"
            )
    if layout.splits:
        sides = ", ".join(map(clean, layout.splits))
        kept = "; its test images are not used for training" if "test" in layout.splits.values() else ""
        typer.echo(f"- kept the source's own splits ({sides}){kept}")
    fate = "" if layout.origin == "none" else " without a label: in no class until reviewed"
    for folder, count in layout.unlabelled.items():
        typer.echo(clean(f"- {number(count, 'image', 'images')} in {folder}{fate}"))
    for note in layout.notes:
        typer.echo(clean(f"- {note}"))
    for question in layout.questions:
        typer.echo(clean(f"? {question}"))


def _describe_columns(table: "LabelTable") -> str:
    what = {"stem": "the file name without its suffix", "name": "the file name", "path": "the path"}[table.match]
    label = (
        f"one column for each of {len(table.label)} labels"
        if isinstance(table.label, tuple)
        else f"label in {table.label!r}"
    )
    split = f", split in {table.split!r}" if table.split else ""
    return f"{what} in {table.key!r}, {label}{split}"


def _split_order(split: str) -> int:
    return ("train", "val", "test", "").index(split)


def print_build(built: "Built", *, quiet: bool, verbose: bool) -> None:
    """Print the result of a build: splits, remarks, and the commands that show more."""
    summary = built.summary
    if not quiet:
        typer.echo()
        if summary.borderline.many:
            typer.echo(f"{summary.borderline.says} {summary.borderline.advice}\n")
        for line in list_lost(summary, verbose=verbose):
            typer.echo(line)
        if summary.splits:
            print_splits(summary.splits)
            typer.echo()
        for line in list_remarks(summary, verbose=verbose):
            typer.echo(line)
        for note in built.notes:
            typer.echo(f"- {clean(note)}")
        if built.plan is not None:
            typer.echo(show_lines(cast("Diff", clean_parts(built.plan)).describe(shown=None if verbose else BRIEF)))
    typer.echo(_result(built))
    if not quiet and built.folder is not None and built.line is None:
        typer.echo(f"next: python -m curation review {built.name}")
    elif not quiet and built.folder is not None:
        typer.echo(f"next:    python -m curation report {built.name} --open")
        typer.echo(
            f"         python -m curation show {built.name}\n         python -m curation explain {built.name} FILE"
        )


def _result(built: "Built") -> str:
    if built.line is None and built.folder is not None:
        return f"{built.outcome}: the draft in {built.folder} can be reviewed; no version was written"
    if built.line is None:
        size = f"; estimated size: {built.estimated_bytes / 1e6:.1f} MB" if built.estimated_bytes is not None else ""
        change = "" if built.would_change is None else f"; {_foresee(built)}"
        return f"{built.outcome}: nothing was written{change}{size}"
    words = {
        "published": "published",
        "restored": "rebuilt the published version",
        "unchanged": "nothing changed since",
    }
    return (
        f"{words[built.outcome]} {built.name}@v{built.line.version}, digest {built.line.digest[:16]}, in {built.folder}"
    )


def _foresee(built: "Built") -> str:
    """Return what a build would do after this dry run."""
    if built.plan is None:
        return "a build would publish the first version"
    return f"a build would {'publish a new version' if built.would_change else 'change nothing'}"


def print_splits(splits: Mapping[str, Mapping[str, int]]) -> None:
    """Print the table of images per split and class."""
    classes = sorted({label for counts in splits.values() for label in counts})
    rows = [(split, *(counts.get(label, 0) for label in classes)) for split, counts in splits.items()]
    print_table(("split", *classes), rows)


def list_lost(summary: "Summary", *, verbose: bool) -> list[str]:
    """Return what became of the last version's images whose files are gone, one remark per line."""
    lines: list[str] = []

    def remark(sentence: str, names: Sequence[str]) -> None:
        lines.extend(_list_names(sentence, names, verbose=verbose))

    for source, ids in summary.vanished.items():
        images = number(len(ids), "image of the last version is", "images of the last version are")
        remark(f"{source}: {images} no longer among its files", ids)
    if summary.renewed:
        by_pixels = sum(each.how == "pixels" for each in summary.renewed)
        how = [f"{by_pixels} by equal pixels"] if by_pixels else []
        how += [f"{len(summary.renewed) - by_pixels} as the same image"] if by_pixels < len(summary.renewed) else []
        images = number(len(summary.renewed), "image has", "images have")
        remark(
            f"{images} new bytes and keep their split and decisions (found {', '.join(how)})",
            [f"{each.id or each.sha256[:12]} is now {each.now_id}" for each in summary.renewed],
        )
    if summary.unclear:
        images = number(len(summary.unclear), "image", "images")
        remark(
            f"{images} could be several new files, so none of them keeps its split and decisions",
            [f"{each.id or each.sha256[:12]}: {', '.join(each.candidates)}" for each in summary.unclear],
        )
    return lines


def _list_names(sentence: str, names: Sequence[str], *, verbose: bool) -> list[str]:
    shown = names if verbose else names[:BRIEF]
    more = [f"    ... and {len(names) - len(shown)} more (-v lists all)"] if len(shown) < len(names) else []
    return [f"- {sentence}", *(f"    {clean(name)}" for name in shown), *more]


def list_remarks(summary: "Summary", *, verbose: bool) -> list[str]:
    """Return remarks about a build, one per line; with ``verbose``, every name is listed."""
    lines: list[str] = []

    def remark(sentence: str, names: Sequence[str] = ()) -> None:
        lines.extend(_list_names(sentence, names, verbose=verbose))

    if summary.conflicts:
        images = number(len(summary.conflicts), "image has", "images have")
        remark(
            f"{images} several labels for the same bytes{_name_splits(summary)}",
            [f"{' / '.join(conflict.claims)}: {conflict.ids[0]}" for conflict in summary.conflicts],
        )
    if summary.disputed_lookalikes:
        more = number(len(summary.disputed_lookalikes), "more is", "more are")
        remark(f"{more} disputed, because a near duplicate has another label", summary.disputed_lookalikes)
    for label, ids in summary.reserve.items():
        used = number(len(ids), f"disputed {label} image is used", f"disputed {label} images are used")
        remark(f"{used} in train to reach the requested count", ids)
    if summary.missed_ratios:
        remark(
            "groups stay whole, so the ratios are missed by more than a point",
            [
                f"{miss.label or 'all images'}: {miss.split} has {miss.share:.1%} instead of {miss.wanted:.1%}"
                for miss in summary.missed_ratios
            ],
        )
    if summary.leaks:
        touched = sum(leak.touches_classes for leak in summary.leaks)
        remark(
            f"{number(len(summary.leaks), 'leak', 'leaks')} between the source's own splits "
            f"({touched} in a class, {len(summary.leaks) - touched} only in context)"
            + ("; none remains in this version" if summary.splits else ""),
            [f"{leak.how}: {' = '.join(leak.ids)}" for leak in summary.leaks],
        )
    if summary.unreadable:
        remark(
            f"{number(len(summary.unreadable), 'file', 'files')} could not be read",
            [f"{name}: {reason}" for name, reason in summary.unreadable],
        )
    if summary.system_files:
        files = number(
            sum(summary.system_files.values()),
            "file of an operating system or a program",
            "files of an operating system or a program",
        )
        kinds = ", ".join(f"{count} {what}" for what, count in summary.system_files.items())
        remark(f"ignored {files}: {kinds}")
    for source, count in summary.unlabelled.items():
        images = number(count, f"image of source {source} has", f"images of source {source} have")
        remark(f"{images} no label yet; label with `python -m curation review`")
    for source, count in summary.no_group.items():
        which = "none of its images" if source in summary.ungrouped else f"all but {number(count, 'image', 'images')}"
        remark(f"the group rule of {source} matches {which}; every unmatched image is its own group")
    return lines


def _name_splits(summary: "Summary") -> str:
    """Return how the conflicts relate to the source's own splits; an empty text where it has none."""
    if not any(conflict.splits for conflict in summary.conflicts):
        return ""
    across = sum(len(conflict.splits) > 1 for conflict in summary.conflicts)
    return f" ({len(summary.conflicts) - across} within one of the source's own splits, {across} across them)"
