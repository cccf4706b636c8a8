"""The verb forget: removes images on request, from everything that this program made."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.options import Name, examples, folders_of
from curation.cli_runner import print_json
from curation.storage.control_characters import show_lines


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=examples("forget pets --glob 'subject-17/**'", "forget pets --file dog/17.jpg --yes"))(forget)


def forget(
    context: typer.Context,
    name: Name,
    file: Annotated[
        list[str] | None, typer.Option(help="A file's name, path or id, or the first digits of its sha256 (repeatable)")
    ] = None,
    glob: Annotated[
        list[str] | None,
        typer.Option(
            help="All files whose path in the source, or its end, matches, such as 'subject-17/**' (repeatable)"
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="All files of a group, by the value of the recipe's group rule (repeatable)"),
    ] = None,
    runs: Annotated[Path, typer.Option(help="The folder of the training runs")] = Path("training/runs"),
    uploaded: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where `build --upload` copied versions to (repeatable)")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON; remove only with --yes")] = False,
) -> None:
    """Remove images on request, and keep them out when they come again.

    Lists everything that holds them, and asks. Versions that contain them are withdrawn and their folders deleted, with
    cached archives, thumbnails, review media, drafts, decisions and the predictions of runs. Files in your own folders
    and git's history are named, not touched.
    """
    from curation.versions import forget as forget_images
    from curation.versions import plan_forget

    if not (file or glob or group):
        raise typer.BadParameter("give at least one of --file, --glob and --group")
    folders = folders_of(context)
    plan = plan_forget(
        folders.home,
        name,
        globs=glob or (),
        groups=group or (),
        files=file or (),
        cache=folders.open_cache(),
        runs=runs,
        uploads=uploaded or (),
    )
    if as_json:
        print_json(plan.as_json())
    else:
        typer.echo(show_lines(str(plan)))
    if not plan.shas or not (yes or (not as_json and typer.confirm("Forget these?"))):
        if not as_json:
            typer.echo("Nothing was removed.")
        return
    forget_images(folders.home, plan, uploads=uploaded or ())
    if not as_json:
        typer.echo(f"forgot {len(plan.shas)} files; next: python -m curation build {name}")
