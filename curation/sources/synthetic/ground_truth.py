"""The faults injected into a synthetic archive, so that a test can check which of them a build found."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from curation.errors import CurationError, ErrorCode

Part = Literal["lesions", "skin"]

Expected = Literal["duplicate", "disputed", "leak", "context leak", "unreadable", "low quality", "kept"]
"""What a build must do with a planted file.

======================  ====================================================================================
``duplicate``           in one group with its original; at most one of the two is kept
``disputed``            in one group with its original, which has another label; marked disputed
``leak``                in one group with its original, which is in the source's test split and kept
``context leak``        the same, but both are of context classes: named in the summary and the audit
``unreadable``          excluded by the probe
``low quality``         excluded by the thresholds of quality
``kept``                reaches the selection: not unreadable, of low quality or a duplicate
======================  ====================================================================================
"""


@dataclass(frozen=True)
class Fault:
    """One planted file.

    Parameters
    ----------
    kind : str
        A name of the fault.
    path : str
        Its path inside the archive.
    expected : Expected
        What a build must do with it.
    label : str or None
        Its source label; None where its path names none.
    original : str or None
        The path of the file that it was made from, where that one is in the archive too.
    """

    kind: str
    path: str
    expected: Expected
    label: str | None
    original: str | None = None


@dataclass(frozen=True)
class GroundTruth:
    """The planted faults and the clean images of a drawn archive.

    Parameters
    ----------
    part, seed
        As in the recipe.
    clean : tuple of str
        Sorted paths of the images that no other resembles; they must not be excluded as duplicates.
    faults : tuple of Fault
        Sorted by path. The archive holds ``clean``, the faults and their originals, and nothing else.
    """

    part: Part
    seed: int
    clean: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path in the archive, sorted."""
        originals = {fault.original for fault in self.faults if fault.original is not None}
        return tuple(sorted({*self.clean, *(fault.path for fault in self.faults), *originals}))

    def to_json(self) -> str:
        """Return the truth as JSON, in ASCII, the same text on every machine."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "GroundTruth":
        """Return the truth that ``to_json`` wrote."""
        stored = json.loads(text)
        faults = tuple(Fault(**fault) for fault in stored["faults"])
        return cls(part=stored["part"], seed=stored["seed"], clean=tuple(stored["clean"]), faults=faults)


def ground_truth_path(archive: Path) -> Path:
    """Return the path of an archive's ground truth: next to the archive."""
    return archive.with_name(archive.name + ".truth.json")


def read_ground_truth(archive: Path) -> GroundTruth:
    """Return the ground truth that was written next to a drawn archive.

    Raises
    ------
    CurationError
        The file is missing.
    """
    path = ground_truth_path(archive)
    try:
        return GroundTruth.from_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CurationError(
            ErrorCode.FILE_MISSING,
            f"{path}: there is no ground truth next to the archive",
            hint="Draw it again with curation.sources.synthetic.draw.",
        ) from None
