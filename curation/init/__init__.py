"""Writes the commented recipe that a new dataset starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Final

from curation.dataset.layout import Home
from curation.dataset.recipe import check_name, name_classes
from curation.errors import CurationError, ErrorCode
from curation.sources.folder_layout import (
    LABEL_PATTERN,
    FolderLayout,
    check_folder_name,
    find_layout,
    write_label_rule,
    write_table,
)
from curation.storage.atomic_files import replace_file
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.progress import Progress
from curation.storage.toml_text import quote

TEMPLATE: Final = Path(__file__).with_name("recipe_template.toml")
"""The recipe with every key explained; ``$name`` and the like are filled in."""

EXAMPLE: Final = FolderLayout(classes={"first": "first", "second": "second"}, pattern=LABEL_PATTERN, splits={})


@dataclass(frozen=True)
class StartedDataset:
    """A recipe that was written for a new dataset.

    Parameters
    ----------
    recipe : pathlib.Path
    layout : FolderLayout, optional
        What the folder of images looks like; None where no folder was given.
    """

    recipe: Path
    layout: FolderLayout | None


def start_dataset(
    home: Home,
    name: str,
    *,
    images: Path | None = None,
    classes: Sequence[str] = (),
    class_folder: str | None = None,
    label_column: str | None = None,
    progress: Progress | None = None,
) -> StartedDataset:
    """Write ``datasets/<name>/recipe.toml``.

    Parameters
    ----------
    images : pathlib.Path, optional
        A folder, zip or tar; the labels and splits that its folders, tables or file names give are filled in.
    classes : sequence of str
        The classes that reviewers will give to images without labels.
    class_folder, label_column : str, optional
        What gives the labels, where several folders or columns could; see `find_layout`.

    Raises
    ------
    CurationError
        Where the name is invalid, the recipe exists (nothing is overwritten), the folder has no images, or it is not
        clear what their labels are.
    """
    check_name(name)
    path = home.dataset(name) / "recipe.toml"
    if path.exists():
        raise CurationError(ErrorCode.DATASET_EXISTS, f"{path} exists already", hint="Edit it, or choose another name.")
    layout = None
    if images is not None:
        layout = find_layout(
            check_folder_name(images), class_folder=class_folder, label_column=label_column, progress=progress
        )
        if layout.origin == "none":
            layout = replace(layout, classes=name_classes(classes))
    text = _fill_in(name, images, layout or EXAMPLE)
    with explain_disk_faults(f"{path}: the recipe could not be written", within=home.datasets):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    return StartedDataset(path, layout)


def _fill_in(name: str, images: Path | None, layout: FolderLayout) -> str:
    table = [*write_table(layout.table), ""] if layout.table else []
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=name,
        title=quote(name.replace("-", " ").replace("_", " ").capitalize()),
        path=quote(str(images.resolve()) if images is not None else "images"),
        rule="\n".join(write_label_rule(layout)) or "# (the table below has the labels)",
        table="".join(f"{line}\n" for line in table),
        note="                   # of the images without a split; the source's own splits stay"
        if layout.splits
        else "",
        ratios="\n".join(f"{split} = {share}" for split, share in layout.ratios().items()),
        classes="\n".join(f"{quote(name)} = [{quote(label)}]" for label, name in layout.classes.items())
        or '# "cat" = []                        # the classes that reviewers give; [] where no source label is one',
    )
