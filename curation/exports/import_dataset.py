"""Imports a dataset that another tool wrote: writes a recipe with its folder as the source.

Built, the recipe publishes every image byte for byte, under the dataset's own labels and splits. An export of this
program is imported completely: its build has the content digest of the exported version.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import SPLIT_NAMES, check_name, compose, name_classes
from curation.errors import CurationError, ErrorCode
from curation.sources import edge_impulse, fiftyone, huggingface
from curation.sources.folder_layout import (
    TOOLS,
    FolderLayout,
    Tool,
    check_folder_name,
    find_layout,
    find_tool,
    write_label_rule,
    write_table,
)
from curation.sources.protocol import SidecarLabel
from curation.storage.atomic_files import replace_file
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.progress import Progress
from curation.storage.toml_text import quote
from curation.versions import Home

Layout: TypeAlias = Tool
LAYOUTS = TOOLS

_LABEL_READERS = {
    "fiftyone": fiftyone.read_labels,
    "edge-impulse": edge_impulse.read_labels,
}


@dataclass(frozen=True)
class ImportedDataset:
    """The recipe that was written for an imported dataset, and what the dataset contains.

    Parameters
    ----------
    recipe : pathlib.Path
    layout : str
    pictures : int
        The number of images that the dataset lists, unreadable ones included.
    classes : mapping of str to str
        Label -> class; they differ where a label cannot name a folder.
    splits : mapping of str to mapping of str to int
        Split -> class -> number of images; ``"none"`` for images without a split.
    content_digest : str, optional
        Of the exported version, where the folder is a complete export.
    tree : FolderLayout, optional
        What was found about a folder whose paths, tables or file names give the labels.
    """

    recipe: Path
    layout: str
    pictures: int
    classes: Mapping[str, str]
    splits: Mapping[str, Mapping[str, int]]
    content_digest: str | None
    tree: FolderLayout | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        tree = self.tree.as_json() if self.tree else None
        return {**asdict(replace(self, tree=None)), "recipe": str(self.recipe), "tree": tree}


def import_dataset(
    home: Home,
    folder: Path,
    name: str,
    *,
    layout: Layout | None = None,
    class_folder: str | None = None,
    label_column: str | None = None,
    progress: Progress | None = None,
) -> ImportedDataset:
    """Write ``datasets/<name>/recipe.toml`` for a dataset that another tool wrote.

    Parameters
    ----------
    folder : pathlib.Path
        An ImageFolder, a Hugging Face dataset in Parquet, a FiftyOne export or an Edge Impulse folder.
    name : str
        The name of the new dataset.
    layout : str, optional
        The layout of the folder; detected from its files by default.
    class_folder, label_column : str, optional
        What gives the labels, where several folders or columns could; see `find_layout`.

    Raises
    ------
    CurationError
        Where the folder has no known layout, no image has a label, a split has an unknown name, the name is invalid,
        or the recipe exists.
    """
    check_name(name)
    path = home.dataset(name) / "recipe.toml"
    if path.exists():
        raise CurationError(ErrorCode.DATASET_EXISTS, f"{path} exists already", hint="Choose another name.")
    if not check_folder_name(folder).is_dir():
        raise CurationError(
            ErrorCode.SOURCE_MISSING, f"{folder}: no such folder", hint="Check the path. An archive must be unpacked."
        )
    layout = layout or find_tool(folder)
    tree = None
    if layout == "imagefolder":
        tree = _find_tree(folder, class_folder=class_folder, label_column=label_column, progress=progress)
        classes, splits, images = tree.classes, _split_tree(tree), tree.images
    else:
        found = _read_labels(folder, layout, label_column)
        classes, splits, images = _classes_of(folder, found), {}, len(found)
        splits = _count_splits(found, classes)
    signature = _read_signature(folder, splits)
    text = _write_recipe(
        folder.resolve(), name, layout, classes, splits, tree=tree, label_column=label_column, signature=signature
    )
    with explain_disk_faults(f"{path}: the recipe could not be written", within=home.datasets):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    digest = str(signature["content_digest"]) if signature else None
    return ImportedDataset(path, layout, images, classes, splits, digest, tree)


def _find_tree(
    folder: Path, *, class_folder: str | None, label_column: str | None, progress: Progress | None
) -> FolderLayout:
    tree = find_layout(
        folder, single_split=True, class_folder=class_folder, label_column=label_column, progress=progress
    )
    if tree.origin == "none":
        raise CurationError(
            ErrorCode.LAYOUT_UNKNOWN,
            f"{folder}: neither its folders, nor a table, nor the names of its files give labels",
            hint=f"These can be imported: {', '.join(LAYOUTS)}. `init --images` takes images without labels.",
        )
    return tree


def _split_tree(tree: FolderLayout) -> dict[str, dict[str, int]]:
    """Return split -> class -> number of images; ``"none"`` for images without a split."""
    counts: Counter[tuple[str, str]] = Counter()
    for label, by_split in tree.counts.items():
        for split, count in by_split.items():
            counts[split or "none", tree.classes[label]] += count
    return _by_split(counts, tree.classes)


def _classes_of(folder: Path, found: Sequence[SidecarLabel]) -> dict[str, str]:
    labels = sorted({image.label for image in found if image.label})
    if not labels:
        raise CurationError(
            ErrorCode.NO_LABELS,
            f"{folder}: no image has a label",
            hint="Write a recipe with `init`, and label the images with `review`.",
        )
    return name_classes(labels)


def _count_splits(found: Sequence[SidecarLabel], classes: Mapping[str, str]) -> dict[str, dict[str, int]]:
    return _by_split(Counter((image.split or "none", classes[image.label]) for image in found if image.label), classes)


def _by_split(counts: Mapping[tuple[str, str], int], classes: Mapping[str, str]) -> dict[str, dict[str, int]]:
    return {
        split: {label: counts.get((split, label), 0) for label in sorted(set(classes.values()))}
        for split in (*SPLITS, "none")
        if any(key[0] == split for key in counts)
    }


def _read_labels(folder: Path, layout: Layout, label_column: str | None) -> list[SidecarLabel]:
    """Return the label and split of each image.

    Raises
    ------
    CurationError
        A split has an unknown name: ignoring it would put its test images into train.
    """
    if layout == "huggingface":
        given = list(huggingface.read_labels(folder, label_column=label_column).values())
    else:
        given = list(_LABEL_READERS[layout](folder).values())
    unknown = Counter(label.split for label in given if label.split and label.split.lower() not in SPLIT_NAMES)
    if unknown:
        names = ", ".join(f"{name!r} ({count} images)" for name, count in sorted(unknown.items()))
        raise CurationError(
            ErrorCode.SPLIT_UNKNOWN,
            f"{folder}: the dataset's own splits have unknown names: {names}",
            hint=f"Rename the files to one of {', '.join(sorted(SPLIT_NAMES))}, or move them out of the folder.",
        )
    return [_normalize(label) for label in given]


def _normalize(given: SidecarLabel) -> SidecarLabel:
    return SidecarLabel(compose(given.label), SPLIT_NAMES.get(given.split.lower()) if given.split else None)


def _read_signature(folder: Path, splits: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Return the content of ``version.json``, where the folder is the complete export of a version."""
    try:
        signature = json.loads((folder / "version.json").read_bytes())
        whole = signature["counts"] == splits and all(
            isinstance(signature[key], str) for key in ("content_digest", "name")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return signature if whole else None


def _write_recipe(
    folder: Path,
    name: str,
    layout: Layout,
    classes: Mapping[str, str],
    splits: Mapping[str, Mapping[str, int]],
    *,
    tree: FolderLayout | None,
    label_column: str | None,
    signature: Mapping[str, Any] | None,
) -> str:
    kind = "folder" if layout == "imagefolder" else layout
    by_class: dict[str, list[str]] = {}
    for label, chosen in sorted(classes.items()):
        by_class.setdefault(chosen, []).append(label)
    lines = [
        f"# Written by `python -m curation import` for a folder in the layout of {layout}.",
        "",
        f"title = {quote(name.replace('-', ' ').replace('_', ' ').capitalize())}",
        "",
        "[[sources]]",
        f"name = {quote(name)}",
        f"kind = {quote(kind)}",
        f"path = {quote(str(folder))}",
        *_licence_line(signature),
        *(write_label_rule(tree) if tree else []),
        *([f"label_column = {quote(label_column)}"] if label_column and tree is None else []),
        *(write_table(tree.table) if tree and tree.table else []),
        "",
        "[labels]",
        'context = "*"',
        "",
        "[labels.classes]",
        *(f"{quote(chosen)} = [{', '.join(map(quote, labels))}]" for chosen, labels in sorted(by_class.items())),
        "",
        "[render]",
        'encode = "keep"                      # JPEGs are copied unchanged, without their metadata',
        "short_side = 8192                    # larger images are scaled down to this; images are never scaled up",
        "",
        *(_import_all(signature) if signature else _split_by_ratios(splits)),
    ]
    return "\n".join(lines) + "\n"


def _licence_line(signature: Mapping[str, Any] | None) -> list[str]:
    """Return the licence of the exported version; several are joined."""
    given = signature.get("licences") if signature else None
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    if names:
        return [f"licence = {quote(' AND '.join(names))}"]
    return ['# licence = "CC-BY-4.0"              # the publisher\'s licence, as an SPDX name']


def _import_all(signature: Mapping[str, Any]) -> list[str]:
    lines = [
        f"# An export of {_comment(signature['name'])}@v{_comment(signature['version'])}, curated already and imported "
        "completely: its build has the content digest",
        f"# {_comment(signature['content_digest'])}. To curate it again, remove [duplicates] and give ratios.",
        "[duplicates]",
        "radius = 0",
        "correlation = 1.0",
        "symmetries = false",
        "near = false",
        "",
        "[selection]",
        'source_split = "respect"',
    ]
    counts = signature["counts"]
    for label in sorted({label for by_class in counts.values() for label in by_class}):
        lines += ["", f"[selection.counts.{quote(label)}]"]
        lines += [f"{split} = {counts[split][label]}" for split in SPLITS if split in counts]
    return lines


def _split_by_ratios(splits: Mapping[str, Mapping[str, int]]) -> list[str]:
    own = [split for split in SPLITS if split in splits]
    first, *others = own or SPLITS
    note = "its own splits are kept" if own else "it has no splits"
    return [
        "[selection]",
        f'source_split = "respect"             # {note}; images without a split are divided by the ratios',
        '#                                      "ignore" divides all images by the ratios',
        "",
        "[selection.ratios]",
        f"{first} = {1 - len(others) / 10}",
        *(f"{split} = 0.1" for split in others),
    ]


def _comment(value: object) -> str:
    """Return text that cannot end a comment of one line."""
    return re.sub(r"[^\w.@-]", "", str(value))[:80]
