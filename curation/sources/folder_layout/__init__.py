"""Finds out how a folder of images is laid out: which tool wrote it, and where its labels and splits are."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from curation.dataset.recipe import SPLIT_NAMES, Split, name_classes
from curation.errors import CurationError, ErrorCode
from curation.sources import edge_impulse, fiftyone
from curation.sources.folder_layout.class_folders import ClassFolders, find_class_folders
from curation.sources.folder_layout.file_names import NamedLabels, find_named_labels
from curation.sources.folder_layout.label_tables import FoundTable, find_tables
from curation.sources.folder_layout.listing import Listing, list_images
from curation.sources.folder_layout.patterns import LABEL_PATTERN, alternatives
from curation.sources.folder_layout.recipe_lines import write_label_rule, write_table
from curation.sources.folder_layout.split_names import as_sides, name_splits
from curation.sources.folder_layout.types import FolderLayout, LabelTable
from curation.sources.huggingface import holds_images
from curation.storage.archive_members import name_system_file
from curation.storage.archives import list_members
from curation.storage.progress import Progress

__all__ = [
    "LABEL_PATTERN",
    "TOOLS",
    "FolderLayout",
    "LabelTable",
    "Tool",
    "check_folder_name",
    "find_layout",
    "find_tool",
    "write_label_rule",
    "write_table",
]

Tool: TypeAlias = Literal["imagefolder", "huggingface", "fiftyone", "edge-impulse"]
TOOLS: tuple[str, ...] = get_args(Tool)

_COCO = re.compile(r"(?:^|/)annotations/[^/]+\.json\Z")
_OTHERWISE = f"These can be imported: {', '.join(TOOLS)}; for any other layout `init` writes a recipe to start from."
_SHOWN_TABLES = 3


def check_folder_name(folder: Path) -> Path:
    """Return the folder, if a recipe, which is UTF-8 text, can contain its path.

    Raises
    ------
    CurationError
        Where it cannot.
    """
    try:
        str(folder.resolve()).encode()
    except UnicodeEncodeError:
        raise CurationError(
            ErrorCode.NAME_INVALID,
            f"{folder}: the path is not valid UTF-8, so a recipe cannot contain it",
            hint="Rename the folder, or move it.",
        ) from None
    return folder


def find_tool(folder: Path) -> Tool:
    """Return which tool's layout a folder has.

    Raises
    ------
    CurationError
        The layout cannot be imported.
    """
    members = list_members(folder)
    paths = [member.path for member in members]
    names = {path.rpartition("/")[2] for path in paths}
    if edge_impulse.LABELS in names:
        return "edge-impulse"
    if fiftyone.LABELS in names and any("data" in path.split("/")[:-1] for path in paths):
        return "fiftyone"
    if any(name.lower().endswith(".parquet") for name in names) and holds_images(folder):
        return "huggingface"
    if any(_COCO.search(path) for path in paths):
        raise CurationError(ErrorCode.LAYOUT_UNKNOWN, f"{folder}: COCO cannot be imported", hint=_OTHERWISE)
    if any("/" in path and name_system_file(path) is None for path in paths):
        return "imagefolder"
    raise CurationError(ErrorCode.LAYOUT_UNKNOWN, f"{folder}: the layout is not known", hint=_OTHERWISE)


def find_layout(
    images: Path,
    *,
    single_split: bool = False,
    class_folder: str | None = None,
    label_column: str | None = None,
    progress: Progress | None = None,
) -> FolderLayout:
    """Return where the labels of a tree of images are, a class for each label, and the tree's own splits.

    Labels are looked for in the folders, in tables, and in the names of the files, in this order; a table goes before
    folders that look like parts of a set. A folder named train, test, val or the like, above the classes or below them,
    is the source's own split. If those splits were mixed, the source's test images would be trained on.

    Parameters
    ----------
    single_split : bool
        Whether a tree with only one split keeps it. Otherwise it is a folder like any other, and ratios split the set.
    class_folder : str, optional
        The name of a folder that is a class, where folders of several levels could be classes.
    label_column : str, optional
        The column of a table that has the labels, where several could.

    Raises
    ------
    CurationError
        There are no images, or it is not clear what their labels are.
    """
    listing = list_images(images, progress=progress)
    if not listing.images:
        raise CurationError(
            ErrorCode.LAYOUT_UNKNOWN,
            f"{images}: it contains no images{_name_others(listing)}",
            hint=f"Give the folder that contains the images. {_OTHERWISE}",
        )
    tables = find_tables(listing, label_column=label_column)
    best = next((table for table in tables if table.table), None)
    folders = _find_folders(listing, best, single_split=single_split, class_folder=class_folder)
    notes = (*_note_unused(listing), *(note for table in tables for note in _note_table(table, folders is None)))
    if label_column is not None and (best is None or best.table is None or best.table.label != label_column):
        raise _no_column(images, label_column, tables)
    if folders is not None and (not folders.weak or best is None) and label_column is None:
        return _from_paths(listing, folders, "folders", notes=(*folders.notes, *notes), questions=folders.questions)
    if best is not None:
        return _from_table(listing, best, notes, single_split=single_split)
    asked = next((table for table in tables if len(table.choices) > 1), None)
    if asked is not None:
        raise CurationError(
            ErrorCode.LAYOUT_AMBIGUOUS,
            f"{images}: several columns of {asked.file} could be the label: {', '.join(asked.choices)}",
            hint=f"Name the one: `--label-column {asked.choices[0]!r}`.",
        )
    named = find_named_labels(listing, single_split=single_split)
    if named is not None:
        return _from_paths(listing, named, "names", notes=notes)
    return _without_labels(listing, notes)


def _find_folders(
    listing: Listing, table: FoundTable | None, *, single_split: bool, class_folder: str | None
) -> ClassFolders | None:
    """Return the class folders; where a table has the labels, folders that are not clear do not matter."""
    try:
        return find_class_folders(listing, single_split=single_split, class_folder=class_folder)
    except CurationError:
        if table is None or class_folder is not None:
            raise
        return None


def _from_paths(
    listing: Listing,
    found: ClassFolders | NamedLabels,
    origin: Literal["folders", "names"],
    *,
    notes: tuple[str, ...],
    questions: tuple[str, ...] = (),
) -> FolderLayout:
    labels = {path: names.label for path, names in found.expected.items() if names.label}
    splits = {path: names.split for path, names in found.expected.items() if names.split}
    return FolderLayout(
        classes=name_classes(sorted(set(labels.values()))),
        pattern=found.pattern,
        splits=_as_splits(found.sides),
        origin=origin,
        counts=_count(labels, splits, found.sides),
        unlabelled=_count_unlabelled(listing, labels),
        notes=notes,
        questions=questions,
    )


def _from_table(listing: Listing, found: FoundTable, notes: tuple[str, ...], *, single_split: bool) -> FolderLayout:
    """Return the layout of a set whose labels are in a table; its splits are in the table or in the paths."""
    table, pattern, splits = found.table, None, dict(found.splits)
    sides: dict[str, Split] = {name: SPLIT_NAMES[name.lower()] for name in sorted(set(splits.values()))}
    if not splits:
        names = as_sides(name_splits({folder for path in found.labels for folder in path.split("/")[:-1]}))
        splits = {path: name for path in found.labels for name in path.split("/")[:-1] if name in names}
        used = set(splits.values())
        sides = {name: side for name, side in names.items() if name in used}
        if not single_split and len(set(sides.values())) < 2:
            splits, sides = {}, {}
        if sides:
            pattern = f"(?:^|/)(?P<split>{alternatives(sides)})/"
    labels = dict(found.labels)
    return FolderLayout(
        classes=name_classes(sorted(set(labels.values()))),
        pattern=pattern,
        splits=sides,
        origin="table",
        table=table,
        counts=_count(labels, splits, sides),
        unlabelled=_count_unlabelled(listing, labels),
        notes=notes,
    )


def _without_labels(listing: Listing, notes: tuple[str, ...]) -> FolderLayout:
    """Return the layout of images that reviewers will label; splits that their folders name are kept."""
    names = as_sides(name_splits({folder for path in listing.images for folder in path.split("/")[:-1]}))
    sides = names if len(set(names.values())) > 1 else {}
    return FolderLayout(
        classes={},
        pattern=f"(?:^|/)(?P<split>{alternatives(sides)})/" if sides else None,
        splits=sides,
        origin="none",
        unlabelled=_count_unlabelled(listing, {}),
        notes=notes,
    )


def _as_splits(sides: Mapping[str, str]) -> dict[str, Split]:
    return {name: SPLIT_NAMES[side] for name, side in sorted(sides.items())}


def _count(labels: Mapping[str, str], splits: Mapping[str, str], sides: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return label -> split -> number of images."""
    counts = Counter((label, sides.get(splits.get(path, ""), "")) for path, label in labels.items())
    return {
        label: {split: count for (name, split), count in sorted(counts.items()) if name == label}
        for label in sorted(set(labels.values()))
    }


def _count_unlabelled(listing: Listing, labels: Mapping[str, str]) -> dict[str, int]:
    """Return folder -> number of images without a label; the outermost folder that has no labelled image."""
    labelled = {folder for path in labels for folder in _folders_of(path)}
    counts: Counter[str] = Counter()
    for path in listing.images:
        if path not in labels:
            *_, parent = [".", *_folders_of(path)]
            counts[next((folder for folder in _folders_of(path) if folder not in labelled), parent)] += 1
    return dict(sorted(counts.items()))


def _folders_of(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: place + 1]) for place in range(len(parts))]


def _note_unused(listing: Listing) -> list[str]:
    notes = []
    if listing.masks:
        masks = ", ".join(f"{count} in folders named {name}" for name, count in listing.masks.items())
        notes.append(f"Masks are not used, as this program labels whole images: {masks}.")
    if listing.boxes:
        notes.append(
            f"Boxes or outlines are not used, as this program labels whole images: {listing.boxes} files of them."
        )
    if listing.left:
        notes.append(
            "Left out what programs keep in folders: "
            + ", ".join(f"{count} {name}" for name, count in listing.left.items())
            + "."
        )
    if listing.others:
        others = ", ".join(f"{count} {suffix}" for suffix, count in listing.others.items())
        notes.append(f"Not images by their bytes: {others}.")
    return notes


def _note_table(found: FoundTable, used: bool) -> list[str]:
    notes = [f"{found.file}: {note}." for note in found.notes]
    if found.table is not None and not used:
        notes.append(
            f"{found.file} has rows for {found.matched} images; it is not used, as the folders give the labels. "
            "[sources.metadata] in the recipe takes its columns."
        )
    return notes


def _name_others(listing: Listing) -> str:
    others = ", ".join(f"{count} {suffix}" for suffix, count in listing.others.items())
    return f"; its files by suffix: {others}" if others else ""


def _no_column(images: Path, column: str, tables: tuple[FoundTable, ...]) -> CurationError:
    files = ", ".join(table.file for table in tables[:_SHOWN_TABLES]) or "there is no table"
    return CurationError(
        ErrorCode.LAYOUT_UNKNOWN,
        f"{images}: no table with rows for the images has labels in a column {column!r} ({files})",
        hint="Check the name of the column, and that it has at least two labels.",
    )
