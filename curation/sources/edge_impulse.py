"""A folder as Edge Impulse exports and takes it: pictures, and `info.labels` files that say label and category.

An `info.labels` may stand in each subfolder or at the root; its paths start where it stands. What a file's own metadata
call its `split` goes before its category, as a category is only ever training or testing.
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
    """Take the folder where it stands, with the labels its files tell."""
    fetched = fetch_folder(request)
    (archive,) = fetched.archives
    return replace(fetched, sidecar_labels=read_labels(archive.path, archive.members))


def read_labels(folder: Path, members: Sequence[Member] | None = None) -> Mapping[str, SidecarLabel]:
    """Return what the folder's label files say, by path; where two speak of one picture, the nearer one.

    Raises
    ------
    CurationError
        There is no such file, or one cannot be understood.
    """
    if members is None:
        members = list_members(folder)
    files = [member for member in members if member.path.rpartition("/")[2] == LABELS]
    if not files:
        raise CurationError(
            ErrorCode.SOURCE_INVALID,
            f"{folder}: there is no {LABELS}",
            hint="Edge Impulse writes one into training/ and testing/; export the project again",
        )
    known = {member.path for member in members}
    told: dict[str, SidecarLabel] = {}
    for file in sorted(files, key=lambda member: (member.path.count("/"), member.path)):
        told |= {path: said for path, said in _tell_of(folder, file).items() if path in known}
    return told


def _tell_of(folder: Path, file: Member) -> dict[str, SidecarLabel]:
    where = folder / file.path
    listed = read_object(folder, file).get("files")
    if not isinstance(listed, list):
        raise CurationError(ErrorCode.SOURCE_INVALID, f"{where}: it lists no files", hint="export the project again")
    told = {}
    for described in listed:
        path = described.get("path") if isinstance(described, dict) else None
        if not isinstance(path, str):
            raise CurationError(
                ErrorCode.SOURCE_INVALID, f"{where}: a file has no path", hint="export the project again"
            )
        told[posixpath.normpath(posixpath.join(posixpath.dirname(file.path), path))] = _tell_one(
            described, f"{where}: {path}"
        )
    return told


def _tell_one(described: Mapping[str, Any], where: str) -> SidecarLabel:
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
                hint="export a project whose images have single labels",
            )
    own = described.get("metadata")
    own = own.get("split") if isinstance(own, dict) else None
    if isinstance(own, str) and own.lower() in SPLIT_NAMES:
        split = own
    return SidecarLabel(name, split if isinstance(split, str) and split.lower() in SPLIT_NAMES else None)
