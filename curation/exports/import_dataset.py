"""A foreign set comes in: its folder becomes the source of a new recipe, which is written here.

The recipe carries every picture byte for byte, under the set's own labels and in its own split. A set that this program
exported is taken whole: built, it has the content digest it left with.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import SPLIT_NAMES, check_name, compose, name_classes
from curation.errors import CurationError, ErrorCode
from curation.sources import edge_impulse, fiftyone, huggingface
from curation.sources.folder_layout import TOOLS, Tool, check_folder_name, find_layout, find_tool, is_image_name
from curation.sources.protocol import SidecarLabel
from curation.storage.archives import list_members
from curation.storage.atomic_files import replace_file
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.toml_text import quote
from curation.versions import Home

Layout: TypeAlias = Tool
LAYOUTS = TOOLS

_LABEL_READERS = {
    "huggingface": huggingface.read_labels,
    "fiftyone": fiftyone.read_labels,
    "edge-impulse": edge_impulse.read_labels,
}


@dataclass(frozen=True)
class ImportedDataset:
    """What a foreign set was found to be, and the recipe that was written for it.

    Parameters
    ----------
    recipe : pathlib.Path
    layout : str
    pictures : int
        Those that the set itself names; broken ones too.
    classes : mapping of str to str
        Label -> class; they differ where a label cannot name a folder.
    splits : mapping of str to mapping of str to int
        Split -> class -> pictures; ``"none"`` for pictures without one.
    content_digest : str, optional
        Of the version that the set is an export of.
    """

    recipe: Path
    layout: str
    pictures: int
    classes: Mapping[str, str]
    splits: Mapping[str, Mapping[str, int]]
    content_digest: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {**asdict(self), "recipe": str(self.recipe)}


def import_dataset(home: Home, folder: Path, name: str, *, layout: Layout | None = None) -> ImportedDataset:
    """Write ``datasets/<name>/recipe.toml`` for a set that another tool wrote.

    Parameters
    ----------
    folder : pathlib.Path
        An ImageFolder, a Hugging Face dataset in Parquet, a FiftyOne export or an Edge Impulse folder.
    name : str
        Of the new dataset.
    layout : str, optional
        What the folder is; found out from its files where it is not given.

    Raises
    ------
    CurationError
        Where the folder is none of these, nothing in it is labelled, the name cannot be used, or the recipe exists.
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
    found, pattern = _read_labels(folder, layout)
    labels = sorted({image.label for image in found if image.label})
    if not labels:
        raise CurationError(
            ErrorCode.NO_LABELS,
            f"{folder}: no image has a label",
            hint="Write a recipe with `init`, and label the images with `review`.",
        )
    classes = name_classes(labels)
    counts = Counter((image.split or "none", classes[image.label]) for image in found if image.label)
    splits = {
        split: {label: counts[split, label] for label in sorted(set(classes.values()))}
        for split in (*SPLITS, "none")
        if any(key[0] == split for key in counts)
    }
    signature = _read_signature(folder, splits)
    text = _write_recipe(folder.resolve(), name, layout, classes, splits, pattern=pattern, signature=signature)
    with explain_disk_faults(f"{path}: the recipe could not be written", within=home.datasets):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    return ImportedDataset(
        path, layout, len(found), classes, splits, str(signature["content_digest"]) if signature else None
    )


def _read_labels(folder: Path, layout: Layout) -> tuple[list[SidecarLabel], str | None]:
    """Return what the set states of each of its images, and the pattern where its paths state it."""
    if layout != "imagefolder":
        return [_normalize(said) for said in _LABEL_READERS[layout](folder).values()], None
    pattern = find_layout(folder, single_split=True).pattern
    paths = (compose(member.path) for member in list_members(folder) if is_image_name(member.path))
    matches = [match.groupdict() for path in paths if (match := re.search(pattern, path))]
    return [_normalize(SidecarLabel(match["label"], match.get("split"))) for match in matches], pattern


def _normalize(said: SidecarLabel) -> SidecarLabel:
    return SidecarLabel(compose(said.label), SPLIT_NAMES.get(said.split.lower()) if said.split else None)


def _read_signature(folder: Path, splits: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Return what ``version.json`` says, where the folder is the whole export of a version."""
    try:
        told = json.loads((folder / "version.json").read_bytes())
        whole = told["counts"] == splits and isinstance(told["content_digest"], str) and isinstance(told["name"], str)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole else None


def _write_recipe(
    folder: Path,
    name: str,
    layout: Layout,
    classes: Mapping[str, str],
    splits: Mapping[str, Mapping[str, int]],
    *,
    pattern: str | None,
    signature: Mapping[str, Any] | None,
) -> str:
    kind = "folder" if layout == "imagefolder" else layout
    by_class: dict[str, list[str]] = {}
    for label, chosen in sorted(classes.items()):
        by_class.setdefault(chosen, []).append(label)
    lines = [
        f"# Written by `python -m curation import` for a set in the layout of {layout}.",
        "",
        f"title = {quote(name.replace('-', ' ').replace('_', ' ').capitalize())}",
        "",
        "[[sources]]",
        f"name = {quote(name)}",
        f"kind = {quote(kind)}",
        f"path = {quote(str(folder))}",
        *_name_licence(signature),
        *([f"pattern = '{pattern}'"] if pattern else []),
        "",
        "[labels]",
        'context = "*"',
        "",
        "[labels.classes]",
        *(f"{quote(chosen)} = [{', '.join(map(quote, labels))}]" for chosen, labels in sorted(by_class.items())),
        "",
        "[render]",
        'encode = "keep"                      # JPEGs are copied as they are, less their metadata',
        "short_side = 8192                    # a picture is scaled down to this, never up",
        "",
        *(_take_whole(signature) if signature else _curate(splits)),
    ]
    return "\n".join(lines) + "\n"


def _name_licence(signature: Mapping[str, Any] | None) -> list[str]:
    """Return the licence that came along: all of them, where there are several."""
    given = signature.get("licences") if signature else None
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    if names:
        return [f"licence = {quote(' AND '.join(names))}"]
    return ['# licence = "CC-BY-4.0"              # as an SPDX name: what its publisher says']


def _take_whole(signature: Mapping[str, Any]) -> list[str]:
    lines = [
        f"# An export of {_comment(signature['name'])}@v{_comment(signature['version'])}, curated already: it is taken "
        "whole, and built it has the content digest",
        f"# {_comment(signature['content_digest'])}. To curate it anew, drop [duplicates] and give ratios.",
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


def _curate(splits: Mapping[str, Mapping[str, int]]) -> list[str]:
    told = [split for split in SPLITS if split in splits]
    first, *others = told or SPLITS
    says = "its own splits stay as they are" if told else "it tells no splits"
    return [
        "[selection]",
        f'source_split = "respect"             # {says}; pictures without one are shared out',
        '#                                      with "ignore" and other ratios all are split anew',
        "",
        "[selection.ratios]",
        f"{first} = {1 - len(others) / 10}",
        *(f"{split} = 0.1" for split in others),
    ]


def _comment(value: object) -> str:
    """Return text that cannot leave a comment of one line."""
    return re.sub(r"[^\w.@-]", "", str(value))[:80]
