"""A folder that FiftyOne exported as `FiftyOneImageClassificationDataset`: `data/` and `labels.json`, once or a split.

Each `labels.json` labels the images in the `data` folder next to it, by their path there without the suffix; the name
of the folder that contains both is the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from curation.errors import CurationError, ErrorCode
from curation.sources.folder import fetch as fetch_folder
from curation.sources.protocol import SidecarLabel
from curation.sources.sidecar_json import read_object
from curation.storage.archives import Member, list_members

if TYPE_CHECKING:
    from pathlib import Path

    from curation.dataset.recipe import ForeignSource
    from curation.sources.protocol import Fetched, Request

LABELS = "labels.json"


def fetch(request: Request[ForeignSource]) -> Fetched:
    """Use the folder in place, with the labels that its files contain."""
    fetched = fetch_folder(request)
    (archive,) = fetched.archives
    sidecars = frozenset(member.path for member in archive.members if member.path.rpartition("/")[2] == LABELS)
    return replace(fetched, sidecar_labels=read_labels(archive.path, archive.members), sidecar_files=sidecars)


def read_labels(folder: Path, members: Sequence[Member] | None = None) -> Mapping[str, SidecarLabel]:
    """Return the labels in the folder's label files, by path.

    Raises
    ------
    CurationError
        There is no label file, or one is invalid.
    """
    if members is None:
        members = list_members(folder)
    files = [member for member in members if member.path.rpartition("/")[2] == LABELS]
    if not files:
        raise CurationError(
            ErrorCode.SOURCE_INVALID,
            f"{folder}: there is no {LABELS}",
            hint="FiftyOne writes one next to each data/ folder; export the dataset again.",
        )
    labeled: dict[str, SidecarLabel] = {}
    for file in files:
        labeled |= _read_file(folder, file, members)
    return labeled


def _read_file(folder: Path, file: Member, members: Sequence[Member]) -> dict[str, SidecarLabel]:
    content = read_object(folder, file)
    classes, labels = content.get("classes"), content.get("labels")
    if not isinstance(labels, dict) or not isinstance(classes, list | None):
        raise CurationError(
            ErrorCode.SOURCE_INVALID,
            f"{folder / file.path}: it has no labels of images",
            hint="Export the dataset with single labels.",
        )
    place = file.path.removesuffix(LABELS)
    labeled = {}
    for member in members:
        inside = member.path.removeprefix(f"{place}data/")
        stem = inside.rpartition(".")[0] or inside
        if inside != member.path and stem in labels:
            label = _name_class(labels[stem], classes, where=f"{folder / file.path}: {stem}")
            labeled[member.path] = SidecarLabel(label, place.rstrip("/").rpartition("/")[2] or None)
    return labeled


def _name_class(target: object, classes: list[object] | None, *, where: str) -> str:
    """Return the name of a class: targets are places in the list of classes, or names; none is not labeled yet."""
    if target is None:
        return ""
    if isinstance(target, str):
        return target
    if isinstance(target, int) and not isinstance(target, bool) and classes and 0 <= target < len(classes):
        return str(classes[target])
    raise CurationError(
        ErrorCode.LABEL_UNKNOWN, f"{where}: {target!r} is not a class", hint="Export single labels with their classes."
    )
