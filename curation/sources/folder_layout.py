"""Finds out how a folder of images is laid out: which tool wrote it, and how its paths give label and split."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from curation.dataset.recipe import SPLIT_NAMES, Split, compose, name_classes
from curation.errors import CurationError, ErrorCode
from curation.sources import edge_impulse, fiftyone
from curation.storage.archive_members import name_system_file
from curation.storage.archives import list_members

Tool: TypeAlias = Literal["imagefolder", "huggingface", "fiftyone", "edge-impulse"]
TOOLS: tuple[str, ...] = get_args(Tool)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
LABEL_PATTERN = "(?P<label>[^/]+)/[^/]+$"

_COCO = re.compile(r"(?:^|/)annotations/[^/]+\.json\Z")
_OTHERWISE = f"These can be imported: {', '.join(TOOLS)}; for any other layout `init` writes a recipe to start from."


@dataclass(frozen=True)
class FolderLayout:
    """How the paths of a folder give label and split.

    Parameters
    ----------
    classes : mapping of str to str
        Source label -> class; they differ where a label cannot name a folder.
    pattern : str
        The regular expression for the recipe.
    splits : mapping of str to {"train", "val", "test"}
        The folder names of the source's own splits; empty where it has none.
    """

    classes: Mapping[str, str]
    pattern: str
    splits: Mapping[str, Split]

    def ratios(self) -> dict[Split, float]:
        """Return the ratios of the splits that can be filled: a source with its own splits fills no others."""
        shares: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
        sides = set(self.splits.values()) or set(shares)
        whole = sum(share for split, share in shares.items() if split in sides)
        return {split: round(share / whole, 2) for split, share in shares.items() if split in sides}


def is_image_name(path: str) -> bool:
    """Return whether a file has the suffix of an image and is not a file that an operating system leaves behind."""
    return path.lower().endswith(IMAGE_SUFFIXES) and name_system_file(path) is None


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
    paths = [member.path for member in list_members(folder)]
    names = {path.rpartition("/")[2] for path in paths}
    if edge_impulse.LABELS in names:
        return "edge-impulse"
    if fiftyone.LABELS in names and any("data" in path.split("/")[:-1] for path in paths):
        return "fiftyone"
    if any(name.lower().endswith(".parquet") for name in names):
        return "huggingface"
    if any(_COCO.search(path) for path in paths):
        raise CurationError(ErrorCode.LAYOUT_UNKNOWN, f"{folder}: COCO cannot be imported", hint=_OTHERWISE)
    if any("/" in path and is_image_name(path) for path in paths):
        return "imagefolder"
    raise CurationError(ErrorCode.LAYOUT_UNKNOWN, f"{folder}: the layout is not known", hint=_OTHERWISE)


def find_layout(images: Path, *, single_split: bool = False) -> FolderLayout:
    """Return the labels of a tree of images, a class for each, and the tree's own splits.

    A folder named train, test, val or the like, above the classes or below them, is the source's own split. If those
    splits were mixed, the source's test images would be trained on.

    Parameters
    ----------
    single_split : bool
        Whether a tree with only one split keeps it. Otherwise it is a folder like any other, and ratios split the set.

    Raises
    ------
    CurationError
        There are no class folders.
    """
    if not images.exists():
        raise CurationError(ErrorCode.SOURCE_MISSING, f"{images}: no such folder or archive", hint="Check the path.")
    folders = {
        tuple(compose(member.path).split("/")[-3:-1])
        for member in list_members(images.resolve())
        if "/" in member.path and is_image_name(member.path)
    }
    # One folder with splits below it (images/train, images/test) is not a class.
    below = len({names[0] for names in folders}) > 1 and all(len(n) == 2 and _is_split(n[1]) for n in folders)
    labels = {names[0] if below else names[-1] for names in folders}
    if all(map(_is_split, labels)):
        which = f"its folders name splits ({', '.join(sorted(labels))}), not classes" if labels else "no class folders"
        raise CurationError(
            ErrorCode.LAYOUT_UNKNOWN,
            f"{images}: {which}",
            hint=f"Put the images into one subfolder per class, or write the labels into the recipe. {_OTHERWISE}",
        )
    above = (names[1 if below else 0] for names in folders if len(names) == 2)
    found = {name: SPLIT_NAMES[name.lower()] for name in sorted(set(above)) if _is_split(name)}
    splits = found if single_split or len(set(found.values())) > 1 else {}
    pattern = _write_pattern_below(found, splits) if below else _write_pattern_above(splits)
    return FolderLayout(name_classes(sorted(labels)), pattern, splits)


def _is_split(name: str) -> bool:
    return name.lower() in SPLIT_NAMES


def _write_pattern_below(folders: Iterable[str], splits: Collection[str]) -> str:
    """Return the pattern for class/split/image; ``folders`` are named like splits, ``splits`` are taken as such."""
    split = f"(?P<split>{'|'.join(splits)})" if splits else f"(?:{'|'.join(folders)})"
    return f"(?P<label>[^/]+)/{split}/[^/]+$"


def _write_pattern_above(splits: Collection[str]) -> str:
    """Return the pattern for split/class/image; images in class folders outside of a split have no split."""
    return f"(?:(?:^|/)(?P<split>{'|'.join(splits)})/)?{LABEL_PATTERN}" if splits else LABEL_PATTERN
