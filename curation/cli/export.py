"""Verbs that exchange datasets with other tools: export and import."""

from pathlib import Path
from typing import Annotated

import typer

from curation.cli.build import print_layout, print_splits
from curation.cli.console import Screen
from curation.cli.options import AsJson, ClassFolder, LabelColumn, Quiet, examples, folders_of
from curation.cli_runner import clean, print_json


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(
        epilog=examples("export melanoma@v2 --to imagefolder ~/melanoma", "export melanoma --to huggingface out/")
    )(export)
    app.command("import", epilog=examples("import ~/pictures --as birds", "import out/ --as copy --layout fiftyone"))(
        import_set
    )


def export(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(help="NAME, NAME@v2 or NAME@<digest prefix>")],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write, which must not exist or must be empty")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="imagefolder, huggingface, tfrecord, webdataset, fiftyone, edge-impulse, coco or csv",
        ),
    ],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a version in a format that other tools read."""
    from curation.exports import FORMATS
    from curation.exports import export as export_version
    from curation.versions import load

    to = to.lower()
    if to not in FORMATS:
        raise typer.BadParameter(f"{to!r} is not a format; formats: {', '.join(FORMATS)}", param_hint="--to")
    screen = Screen(quiet=quiet, as_json=as_json)
    with screen.progress:
        version = load(folders_of(context).home, reference)
        done = export_version(version, to, folder, progress=screen.progress)  # type: ignore[arg-type]  # checked above
    if as_json:
        print_json(done.as_json())
        return
    typer.echo(f"exported {done.version}, {done.pictures:,} images, as {done.format} to {clean(done.folder)}")


def import_set(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An ImageFolder, or a Hugging Face, FiftyOne or Edge Impulse folder")
    ],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The name of the new dataset")],
    layout: Annotated[
        str | None,
        typer.Option(help="imagefolder, huggingface, fiftyone or edge-impulse [detected from the files]"),
    ] = None,
    class_folder: ClassFolder = None,
    label_column: LabelColumn = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a recipe for a dataset of another tool.

    The dataset keeps its own labels and splits.
    """
    from curation.exports import LAYOUTS, import_dataset

    if layout is not None and layout not in LAYOUTS:
        raise typer.BadParameter(f"{layout!r} is not a layout; layouts: {', '.join(LAYOUTS)}", param_hint="--layout")
    screen = Screen(quiet=quiet, as_json=as_json)
    with screen.progress:
        found = import_dataset(
            folders_of(context).home,
            folder,
            name,
            layout=layout,  # type: ignore[arg-type]  # checked above
            class_folder=class_folder,
            label_column=label_column,
            progress=screen.progress,
        )
    if as_json:
        print_json(found.as_json())
        return
    if not quiet and found.tree:
        print_layout(found.tree)
    elif not quiet:
        print_splits(found.splits)
        for label, chosen in found.classes.items():
            if label != chosen:
                typer.echo(
                    f"- label {clean(repr(label))} becomes class {clean(repr(chosen))}, "
                    "because a class must be a valid folder name"
                )
    if not quiet and found.content_digest:
        typer.echo(f"- a complete export of this program, content digest {clean(found.content_digest[:12])}")
    typer.echo(f"wrote {clean(found.recipe)} for {found.pictures:,} images in the layout of {found.layout}")
    if not quiet:
        typer.echo(f"next: python -m curation build {name}")
