"""A folder as Edge Impulse exports and imports it: images, and `info.labels` files with their labels and categories.

An `info.labels` file may be in each subfolder or at the root; its paths are relative to its folder. The `split` in the
metadata of a file precedes its category, as a category can only be training or testing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from curation.dataset.recipe import SPLIT_NAMES
from curation.errors import CurationError, ErrorCode
from curation.sources.folder import fetch as fetch_folder
from curation.sources.protocol import SidecarLabel
from curation.sources.sidecar_json import read_object
from curation.storage.archives import Member, list_members

if TYPE_CHECKING:
    from pathlib import Path

    from curation.dataset.recipe import ForeignSource
    from curation.sources.protocol import Fetched, Request

LABELS = "info.labels"


def fetch(request: Request[ForeignSource]) -> Fetched:
    """Use the folder in place, with the labels that its files contain."""
    fetched = fetch_folder(request)
    (archive,) = fetched.archives
    sidecars = frozenset(member.path for member in archive.members if member.path.rpartition("/")[2] == LABELS)
    return replace(fetched, sidecar_labels=read_labels(archive.path, archive.members), sidecar_files=sidecars)


def read_labels(folder: Path, members: Sequence[Member] | None = None) -> Mapping[str, SidecarLabel]:
    """Return the labels in the folder's label files, by path; where two files label one image, the nearer one counts.

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
            hint="Edge Impulse writes one into training/ and testing/; export the project again.",
        )
    known = {member.path for member in members}
    labels: dict[str, SidecarLabel] = {}
    for file in sorted(files, key=lambda member: (member.path.count("/"), member.path)):
        labels |= {path: label for path, label in _read_file(folder, file).items() if path in known}
    return labels


def _read_file(folder: Path, file: Member) -> dict[str, SidecarLabel]:
    where = folder / file.path
    listed = read_object(folder, file).get("files")
    if not isinstance(listed, list):
        raise CurationError(ErrorCode.SOURCE_INVALID, f"{where}: it lists no files", hint="Export the project again.")
    labels = {}
    for described in listed:
        path = described.get("path") if isinstance(described, dict) else None
        if not isinstance(path, str):
            raise CurationError(
                ErrorCode.SOURCE_INVALID, f"{where}: a file has no path", hint="Export the project again."
            )
        labels[posixpath.normpath(posixpath.join(posixpath.dirname(file.path), path))] = _read_label(
            described, f"{where}: {path}"
        )
    return labels


def _read_label(described: Mapping[str, Any], where: str) -> SidecarLabel:
    label, split = described.get("label"), described.get("category")
    match label:
        case None | {"type": "unlabeled"}:
            name = ""
        case str() as name:
            pass
        case {"type": "label", "label": str() as name}:
            pass
        case _:
            raise CurationError(
                ErrorCode.SOURCE_INVALID,
                f"{where}: the label is not a single class",
                hint="Export a project whose images have single labels.",
            )
    own = described.get("metadata")
    own = own.get("split") if isinstance(own, dict) else None
    if isinstance(own, str) and own.lower() in SPLIT_NAMES:
        split = own
    return SidecarLabel(name, split if isinstance(split, str) and split.lower() in SPLIT_NAMES else None)
