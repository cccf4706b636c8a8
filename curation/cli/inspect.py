"""Verbs that inspect versions: list, show, explain, diff and verify; and gc, which frees disk space."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from curation.cli.build import print_splits
from curation.cli.console import Screen, clean_parts
from curation.cli.options import AsJson, Published, Reference, Verbose, examples, folders_of
from curation.cli_runner import clean, print_json, print_table
from curation.storage.control_characters import show_lines
from curation.storage.fsspec_paths import is_url

if TYPE_CHECKING:
    from curation.versions import Diff, GcPlan


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("list", epilog=examples("list", "list melanoma --json"))(list_versions)
    app.command(epilog=examples("show melanoma", "show melanoma@draft"))(show)
    app.command(epilog=examples("explain melanoma ISIC_0000013.jpg", "explain melanoma@v2 3f9a01"))(explain)
    app.command(epilog=examples("diff melanoma@v1 melanoma@v2"))(diff)
    app.command(epilog=examples("verify melanoma", "verify melanoma@v1 --json"))(verify)
    app.command(epilog=examples("gc --keep 1", "gc melanoma --yes", "gc --cache-older-than 30"))(gc)


def list_versions(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One dataset [all]")] = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets and their published versions."""
    from curation.versions import published

    home = folders_of(context).home
    names = (home.check_name(name),) if name else home.names()
    found = {each: published(home, each) for each in names}
    if as_json:
        print_json({each: [line.as_json() for line in lines] for each, lines in found.items()})
        return
    rows = [
        (
            f"{each}@v{line.version}",
            line.digest[:12],
            line.created[:10],
            "withdrawn" if line.withdrawn else "here" if home.build(each, line.version).is_dir() else "not built here",
            line.kept,
            line.rows,
        )
        for each, lines in found.items()
        for line in lines
    ]
    if rows:
        print_table(("version", "digest", "created", "files", "kept", "of"), rows, left=4)
    for each, lines in found.items():
        if not lines and home.draft(each).is_dir():
            typer.echo(f"{each}: not built yet; the failed build's draft: python -m curation show {each}@draft")
        elif not lines:
            typer.echo(f"{each}: not built yet (python -m curation build {each})")
    if not found:
        typer.echo(f"{clean(home.datasets)}: no datasets yet")
        typer.echo("start with: python -m curation init NAME --images FOLDER   (one subfolder per class)")
        typer.echo("or change to the folder that contains datasets/, or set $CURATION_DATASETS")


def show(context: typer.Context, reference: Reference, as_json: AsJson = False) -> None:
    """Show the counts of a version or a draft.

    Images are counted by split and class, by source, and by the reason for which they are excluded.
    """
    from curation.versions import show as show_version

    shown = show_version(folders_of(context).home, reference)
    if as_json:
        print_json(shown.as_json())
        return
    typer.echo(f"{shown.reference}  {shown.digest or '(a draft: the build failed)'}")
    typer.echo(f"{shown.rows:,} files, {shown.kept:,} kept, {shown.reserve:,} of them disputed (reserve)")
    if not shown.audited:
        typer.echo(f"not audited yet: run `python -m curation audit {shown.reference}`")
    if shown.failed:
        typer.echo(f"failed at {shown.failed['stage']}: {show_lines(shown.failed['reason'])}")
        if shown.failed.get("hint"):
            typer.echo(f"hint: {show_lines(shown.failed['hint'])}")
    typer.echo()
    if shown.counts:
        print_splits(shown.counts)
        typer.echo()
    print_table(("source", "rows", "kept"), [(name, n["rows"], n["kept"]) for name, n in shown.sources.items()])
    typer.echo()
    rows = [(reason.label, reason.stage, reason.text, reason.rows) for reason in shown.reasons]
    print_table(("class", "step", "reason", "files"), rows, left=3)


def explain(
    context: typer.Context,
    reference: Reference,
    query: Annotated[
        str, typer.Argument(help="A file name, path, id, published file, or the first digits of a sha256")
    ],
    as_json: AsJson = False,
) -> None:
    """Explain why an image is used or excluded.

    Also lists its source, its label, its duplicates and the decisions about it.
    """
    from curation.versions import explain as explain_image

    stories = explain_image(folders_of(context).home, reference, query)
    if as_json:
        print_json([story.as_json() for story in stories])
        return
    for number, story in enumerate(stories):
        if number:
            typer.echo()
        typer.echo(show_lines(str(clean_parts(story))))


def diff(
    context: typer.Context, before: Published, after: Published, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Compare two versions.

    Lists which images were added, removed, moved to another split or relabeled, and why.
    """
    from curation.versions import diff as diff_versions

    found = diff_versions(folders_of(context).home, before, after)
    if as_json:
        print_json(found.as_json())
    else:
        cleaned = cast("Diff", clean_parts(found))
        typer.echo(show_lines(cleaned.describe(shown=None) if verbose else str(cleaned)))


def verify(context: typer.Context, reference: Published, as_json: AsJson = False) -> None:
    """Check every file, count and invariant of a version.

    The version may also be the URL of an uploaded one.
    """
    from curation.versions import verify as verify_version
    from curation.versions.upload import verify_url

    screen = Screen(as_json=as_json)
    with screen.progress as progress:
        home = folders_of(context).home
        found = verify_url(reference) if is_url(reference) else verify_version(home, reference, progress=progress)
    if as_json:
        print_json(found.as_json())
    else:
        typer.echo(show_lines(str(clean_parts(found))))
    if found.problems:
        raise typer.Exit(1)


def gc(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One dataset [all]")] = None,
    keep: Annotated[int, typer.Option(min=0, help="The number of newest built versions to keep for each dataset")] = 1,
    cache_older_than: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Also remove cached downloads and probe results that were not used for so many days",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON; remove only with --yes")] = False,
) -> None:
    """Remove old builds and cached files.

    Lists what would be removed, and asks for confirmation. Published versions can be built again.
    """
    from curation.versions import free_space

    def confirm(plan: "GcPlan") -> bool:
        if as_json:
            print_json(plan.as_json())
        else:
            typer.echo(show_lines(str(plan)))
        return bool(plan.targets) and (yes or (not as_json and typer.confirm("Remove these?")))

    folders = folders_of(context)
    cache = folders.open_cache() if cache_older_than is not None else None
    freed = free_space(folders.home, name, keep=keep, confirm=confirm, cache=cache, unused_days=cache_older_than)
    if as_json or not freed.plan.targets:
        return
    if freed.removed:
        typer.echo(f"removed {len(freed.removed)} of {len(freed.plan.targets)}; `build` builds a version again")
    else:
        typer.echo("Nothing was removed.")
