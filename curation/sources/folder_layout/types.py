"""What was found about a folder of images: labels, splits, counts, and what a person should check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from curation.dataset.recipe import Split

LabelOrigin: TypeAlias = Literal["folders", "table", "names", "none"]


@dataclass(frozen=True)
class LabelTable:
    """A table that labels the images.

    Parameters
    ----------
    file : str
        Its path inside the source.
    key : str
        The column that names the image.
    match : {"stem", "name", "path"}
        What of the image's path equals the key.
    label : str or tuple of str
        The column of the labels, or one column of 0 and 1 for each label.
    split : str, optional
        The column of the source's own split.
    header : bool
        Whether the first line names the columns.
    others : tuple of str
        The other columns.
    """

    file: str
    key: str
    match: Literal["stem", "name", "path"]
    label: str | tuple[str, ...]
    split: str | None = None
    header: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class FolderLayout:
    """Where the labels and splits of a folder's images are.

    Parameters
    ----------
    classes : mapping of str to str
        Source label -> class; they differ where a label cannot name a folder.
    pattern : str, optional
        The regular expression for the recipe; None where no path has a label or a split.
    splits : mapping of str to {"train", "val", "test"}
        The source's own names of its splits; empty where it has none.
    origin : {"folders", "table", "names", "none"}
        What the labels are read from.
    table : LabelTable, optional
    counts : mapping of str to mapping of str to int
        Label -> split (``""`` for none) -> number of images.
    unlabelled : mapping of str to int
        Folder -> number of images without a label.
    notes : tuple of str
        What was found in addition, in sentences.
    questions : tuple of str
        What a person should check before the build, in sentences.
    """

    classes: Mapping[str, str]
    pattern: str | None
    splits: Mapping[str, Split]
    origin: LabelOrigin = "folders"
    table: LabelTable | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """The number of images that were found."""
        labelled = sum(count for by_split in self.counts.values() for count in by_split.values())
        return labelled + sum(self.unlabelled.values())

    def ratios(self) -> dict[Split, float]:
        """Return the ratios of the splits that can be filled: a source with its own splits fills no others."""
        shares: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
        sides = set(self.splits.values()) or set(shares)
        whole = sum(share for split, share in shares.items() if split in sides)
        return {split: round(share / whole, 2) for split, share in shares.items() if split in sides}

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "origin": self.origin,
            "images": self.images,
            "classes": dict(self.classes),
            "counts": {label: dict(by_split) for label, by_split in self.counts.items()},
            "splits": dict(self.splits),
            "unlabelled": dict(self.unlabelled),
            "table": self.table.file if self.table else None,
            "pattern": self.pattern,
            "notes": list(self.notes),
            "questions": list(self.questions),
        }
