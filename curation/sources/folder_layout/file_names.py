"""Finds labels in file names, such as ``cat.0.jpg`` or ``0001_dog.png``."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from curation.sources.folder_layout.listing import Listing
from curation.sources.folder_layout.patterns import Expected, alternatives, choose_pattern, read_names
from curation.sources.folder_layout.split_names import as_sides, name_splits

LEADING: Final = r"(?P<label>[^/\d._ -](?:[^/]*?[^/\d._ -])?)[._ -]*\(?\d[^/]*$"
TRAILING: Final = r"\d[._ -]+(?P<label>[^/\d._ -](?:[^/\d]*?[^/\d._ -])?)\.[^./]+$"
_NUMBERED_BY_DEVICES: Final = frozenset(
    {"img", "image", "images", "dsc", "dscn", "dscf", "dcim", "p", "pxl", "mvimg", "photo", "pic", "picture", "frame"}
    | {"screenshot", "scan", "video", "vid", "gopr", "wp", "pano", "file", "sample", "patch", "tile", "crop", "isic"}
    | {"test", "train", "val", "untitled", "download", "page", "cam", "camera", "snapshot"}
)
_MIN_SHARE: Final = 0.95
_MIN_PER_LABEL: Final = 2


@dataclass(frozen=True)
class NamedLabels:
    """Labels that file names contain; as `ClassFolders`."""

    expected: Mapping[str, Expected]
    pattern: str
    sides: Mapping[str, str]


def find_named_labels(listing: Listing, *, single_split: bool = False) -> NamedLabels | None:
    """Return the labels in the names of files; None where the names contain none.

    A folder whose names have no labels, such as the test images of a competition, stays without.
    """
    for rule in (LEADING, TRAILING):
        found = {path: read_names(f"(?:^|/){rule}" if rule == LEADING else rule, path).label for path in listing.images}
        by_folder: dict[str, list[str | None]] = {}
        for path, label in found.items():
            by_folder.setdefault(path.rpartition("/")[0], []).append(label)
        labelled = {folder for folder, labels in by_folder.items() if _is_labelled(labels)}
        labels = [label for path, label in found.items() if path.rpartition("/")[0] in labelled]
        if labels and _are_labels(labels):
            return _describe(listing, found, labelled, rule, single_split=single_split)
    return None


def _is_labelled(labels: list[str | None]) -> bool:
    known = [label for label in labels if label and label.lower() not in _NUMBERED_BY_DEVICES]
    return len(known) >= _MIN_SHARE * len(labels)


def _are_labels(labels: list[str | None]) -> bool:
    counts = Counter(labels)
    few = len(counts) <= max(2, len(labels) / _MIN_PER_LABEL)
    return len(counts) > 1 and few and sum(count >= _MIN_PER_LABEL for count in counts.values()) >= 0.8 * len(counts)


def _describe(
    listing: Listing, found: Mapping[str, str | None], labelled: set[str], rule: str, *, single_split: bool
) -> NamedLabels:
    parents = {path: path.rpartition("/")[0].rpartition("/")[2] for path in found}
    sides = as_sides(name_splits({parents[path] for path in found if path.rpartition("/")[0] in labelled} - {""}))
    if not single_split and len(set(sides.values())) < 2:
        sides = {}
    expected = {
        path: Expected(
            label if path.rpartition("/")[0] in labelled else None,
            parents[path] if path.rpartition("/")[0] in labelled and parents[path] in sides else None,
        )
        for path, label in found.items()
    }
    classes = sorted({each.label for each in expected.values() if each.label})
    exact = rule.replace(rule[rule.index("(?P<label>") : rule.index(")?)") + 3], f"(?P<label>{alternatives(classes)})")
    folders = sorted(folder.rpartition("/")[2] for folder in labelled)
    cores = []
    for each in (rule, exact):
        inner = each if rule == LEADING else f"[^/]*{each}"
        if sides:
            cores += [f"(?:(?P<split>{alternatives(sides)})/)?{inner}", f"(?P<split>{alternatives(sides)})/{inner}"]
        else:
            cores += [inner, f"(?:{alternatives(folders)})/{inner}"]
    return NamedLabels(expected, choose_pattern(cores, expected, listing), sides)
