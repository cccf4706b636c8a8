"""Writes the regular expression of a recipe, and proves it on every path before it is used."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from curation.errors import CurationError, ErrorCode
from curation.sources.folder_layout.listing import Listing

LABEL_PATTERN = "(?P<label>[^/]+)/[^/]+$"


class Expected(NamedTuple):
    """The label and the split folder of an image; None where it has none."""

    label: str | None
    split: str | None


def alternatives(names: Iterable[str]) -> str:
    """Return a regular expression for these names, the longest first."""
    return "|".join(re.escape(name).replace(r"\ ", " ") for name in sorted(names, key=lambda name: (-len(name), name)))


def choose_pattern(cores: Sequence[str], expected: Mapping[str, Expected], listing: Listing) -> str:
    """Return the first, and so the simplest, pattern that gives every image its label and split.

    Parameters
    ----------
    cores : sequence of str
        Patterns that begin at the name of a folder or, with ``^``, at the path.

    Raises
    ------
    CurationError
        There is none.
    """
    guard = f"^(?!(?:.*/)?(?:{alternatives(listing.mask_folders)})/)" if listing.masks else ""
    for core in cores:
        anchored = core.removeprefix("^")
        forms = [core] if core.startswith("^") or not core.startswith("(?P<split>") else []
        forms += [f"(?:^|/){anchored}", f"^(?:.*/)?{anchored}"]
        if guard:
            forms = [f"{guard}{anchored}"] if core.startswith("^") else [f"{guard}(?:.*/)?{anchored}"]
        for form in forms:
            if all(read_names(form, path) == names for path, names in expected.items()):
                return form
    raise CurationError(
        ErrorCode.LAYOUT_AMBIGUOUS,
        f"{listing.root}: no single pattern gives every image its label",
        hint="Run `init` without --images, and write the sources and their patterns into the recipe.",
    )


def read_names(pattern: str, path: str) -> Expected:
    """Return the label and the split that a pattern finds in a path."""
    match = re.search(pattern, path)
    found = match.groupdict() if match else {}
    return Expected(found.get("label"), found.get("split"))
