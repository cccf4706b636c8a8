"""The pairs of images that are nearly the same: how many there are, and those nearest to the limit on either side.

A version keeps them in ``borderline.json``; versions of earlier releases have none.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from curation.errors import CurationError, ErrorCode

FILE: Final = "borderline.json"
NARROW: Final = 0.5
"""The share of the tolerance from which on a pair is one image by a narrow margin."""
MANY: Final = 100
"""So many pairs that are nearly the same are more than chance: the set shows objects that are framed alike."""
MOST: Final = 4.0
"""The largest tolerance that a recipe may have."""
LISTED: Final = 12
"""Pairs that are listed on either side of the limit."""


@dataclass(frozen=True)
class BorderlinePair:
    """Two images that are nearly the same.

    Parameters
    ----------
    id, other : str
        Rows of the manifest.
    same : bool
        Whether they count as the same image.
    difference : float
        Their largest local difference, relative to the calibrated limit.
    distance : int
        Bits between their hashes.
    correlation : float
        Of their thumbnails.
    symmetry : int
        The orientation in which the other resembles the first.
    """

    id: str
    other: str
    same: bool
    difference: float
    distance: int
    correlation: float
    symmetry: int = 0


@dataclass(frozen=True)
class Borderline:
    """What a build found of pairs that are nearly the same image.

    Parameters
    ----------
    tolerance : float
        The recipe's; a pair is one image where its difference is at most this.
    differing : int
        Pairs whose thumbnails agree, but which differ in a place: they are kept as different images.
    narrow : int
        Pairs that count as the same image and differ by more than half the tolerance.
    pairs : tuple of BorderlinePair
        Those nearest to the limit, at most 12 on either side, by their difference.
    """

    tolerance: float = 1.0
    differing: int = 0
    narrow: int = 0
    pairs: tuple[BorderlinePair, ...] = ()

    @property
    def count(self) -> int:
        """Pairs that are nearly the same."""
        return self.differing + self.narrow

    @property
    def many(self) -> bool:
        """Whether there are so many that a user should inspect some."""
        return self.count >= MANY

    @property
    def says(self) -> str:
        """What was found, in one sentence; free text."""
        return describe_borderline(self.facts)

    @property
    def advice(self) -> str:
        """Which key changes it, and in which direction; free text."""
        return advise_borderline(self.facts)

    @property
    def facts(self) -> dict[str, float | None]:
        """The counts, the tolerance, and the tolerances at which the nearest pair on either side changes sides."""
        counts = {"differing": self.differing, "narrow": self.narrow, "tolerance": self.tolerance}
        return {**counts, "stricter": self.stricter, "looser": self.looser}

    @property
    def stricter(self) -> float | None:
        """The tolerance below which the nearest pair that counts as the same no longer does; None without a pair."""
        return max((pair.difference for pair in self.pairs if pair.same), default=None)

    @property
    def looser(self) -> float | None:
        """The tolerance from which on the nearest pair that is kept apart is the same; None without such a pair."""
        near = [pair.difference for pair in self.pairs if not pair.same]
        return min(near, default=None)

    def write(self, folder: Path) -> None:
        """Write ``borderline.json`` into the folder of a version that is not published yet."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8", newline="\n")


def describe_borderline(facts: Mapping[str, Any]) -> str:
    """Return how many pairs are nearly the same, in one sentence."""
    differing, narrow = int(facts["differing"]), int(facts["narrow"])
    kept = f"{differing:,} differ in one place and are kept as different images"
    same = f"{narrow:,} count as the same image by a narrow margin"
    parts = [part for part, count in ((kept, differing), (same, narrow)) if count]
    return f"{differing + narrow:,} pairs of images are nearly the same: {', '.join(parts)}."


def advise_borderline(facts: Mapping[str, Any]) -> str:
    """Return which key changes what counts as the same image, and in which direction."""
    key, looser = "`tolerance` under [duplicates]", facts["looser"]
    if not facts["narrow"] and looser is not None and looser >= MOST:
        return (
            f"Inspect the pairs nearest to the limit. The nearest would need a {key} of {looser:.1f}, and a recipe may "
            f"have {MOST:g} at most. Nothing has to be changed if they are different images."
        )
    parts = []
    if facts["narrow"]:
        below = f" below {facts['stricter']:.2f}" if facts["stricter"] is not None else ""
        parts.append(f"lower {key}{below} if pairs that count as the same are different images")
    if facts["differing"]:
        above = f" above {looser:.2f}" if looser is not None and looser < MOST else ""
        parts.append(f"raise {'it' if parts else key}{above} if pairs that are kept apart are the same image")
    return f"Inspect the pairs nearest to the limit: {', and '.join(parts)}."


def read_borderline(folder: Path) -> Borderline | None:
    """Return what a version's folder has of it; None where an earlier release wrote the version.

    Raises
    ------
    CurationError
        Where the file cannot be read.
    """
    path = folder / FILE
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValueError, TypeError, LookupError) as fault:
        raise CurationError(
            ErrorCode.VERSION_DAMAGED, f"{path}: not a readable list of pairs: {fault}", hint="Build it again."
        ) from fault


def _parse(content: Mapping[str, Any]) -> Borderline:
    pairs = tuple(BorderlinePair(**pair) for pair in content["pairs"])
    return Borderline(
        tolerance=float(content["tolerance"]),
        differing=int(content["differing"]),
        narrow=int(content["narrow"]),
        pairs=pairs,
    )
