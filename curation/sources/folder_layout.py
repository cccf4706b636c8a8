"""Finds out how the folders of a source say label and split."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.dataset.recipe import SPLIT_NAMES, Split, compose, name_classes
from curation.errors import CurationError
from curation.storage.archive_members import name_system_file
from curation.storage.archives import list_members

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
LABEL_PATTERN = "(?P<label>[^/]+)/[^/]+$"


@dataclass(frozen=True)
class Layout:
    """How the folders of a source say label and split.

    Parameters
    ----------
    classes : mapping of str to str
        Source label -> class; a folder that cannot name a class has one of another name.
    pattern : str
        For the recipe.
    splits : mapping of str to {"train", "val", "test"}
        The source's names of its own sides, two at least; empty where it has none.
    """

    classes: Mapping[str, str]
    pattern: str
    splits: Mapping[str, Split]

    def ratios(self) -> dict[Split, float]:
        """Return shares of the splits that can be filled: a source with sides of its own gives no other ones."""
        shares: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
        sides = set(self.splits.values()) or set(shares)
        whole = sum(share for split, share in shares.items() if split in sides)
        return {split: round(share / whole, 2) for split, share in shares.items() if split in sides}


def is_picture_name(path: str) -> bool:
    """Return whether a file is called like a picture, and not like what an operating system leaves beside one."""
    return path.lower().endswith(PICTURE_SUFFIXES) and name_system_file(path) is None


def find_layout(images: Path) -> Layout:
    """Return the labels of a tree of pictures, a class for each, and its own split where its folders have one.

    A folder called train, test, val or the like is the source's own split, above the classes or below them: to mix the
    sides would let its test pictures into train without a word.

    Raises
    ------
    CurationError
        Where there are none.
    """
    if not images.exists():
        raise CurationError(f"{images}: there is no such folder or archive")
    folders = {
        tuple(compose(member.path).split("/")[-3:-1])
        for member in list_members(images.resolve())
        if "/" in member.path and is_picture_name(member.path)
    }
    if not folders:
        raise CurationError(
            f"{images}: no pictures in subfolders", hint="one subfolder a class, or write the labels into the recipe"
        )
    below = all(len(names) == 2 and names[1].lower() in SPLIT_NAMES for names in folders)
    above = (names[1 if below else 0] for names in folders if len(names) == 2)
    splits = {name: SPLIT_NAMES[name.lower()] for name in sorted(set(above)) if name.lower() in SPLIT_NAMES}
    labels = {names[0] if below else names[-1] for names in folders}
    sides = splits if len(set(splits.values())) > 1 else {}  # one side alone is a folder's name, and parts nothing
    return Layout(name_classes(sorted(labels)), _write_pattern(splits, sides, below=below), sides)


def _write_pattern(folders: Iterable[str], sides: Iterable[str], *, below: bool) -> str:
    """Return the pattern for a tree with these folders of a split, of which those of a source with sides are told."""
    told = "|".join(map(re.escape, sides))
    if below:
        return f"(?P<label>[^/]+)/{f'(?P<split>{told})' if told else '(?:' + '|'.join(folders) + ')'}/[^/]+$"
    # Pictures beside the split's folders have a label too, and no side.
    return f"(?:(?P<split>{told})/)?{LABEL_PATTERN}" if told else LABEL_PATTERN
