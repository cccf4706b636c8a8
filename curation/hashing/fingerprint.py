"""The fingerprints of images: eight hashes, a thumbnail and its detail for each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from curation.hashing.local_difference import DETAIL_SIDE, local_difference
from curation.images.orientation import SYMMETRIES


@dataclass(frozen=True)
class Fingerprints:
    """The hashes and thumbnails of n images.

    Parameters
    ----------
    symmetries : (n, 8) uint64 ndarray
        As ``curation.hashing.symmetries`` gives it. For a hash without symmetries only column 0 is read.
    thumbnails : (n, 32, 32) uint8 ndarray
        Gray; may be a memory map, which is read a batch at a time.
    details : (n, 64, 64) uint8 ndarray, optional
        Gray, for the judgement of local differences; without them the thumbnails are judged.
    sides : (n,) uint8 ndarray, optional
        The shorter side in pixels of images smaller than that, else the side of the details; by default none is.

    Raises
    ------
    ValueError
        Where shapes or dtypes differ, or the numbers of rows.
    """

    symmetries: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]
    details: NDArray[np.uint8] | None = None
    sides: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.symmetries.dtype != np.uint64 or self.symmetries.shape != (len(self), len(SYMMETRIES)):
            raise ValueError(f"(n, 8) uint64 hashes are needed, not {self.symmetries.shape} {self.symmetries.dtype}")
        if self.thumbnails.dtype != np.uint8 or self.thumbnails.shape != (len(self), 32, 32):
            raise ValueError(
                f"({len(self)}, 32, 32) uint8 thumbnails are needed, not {self.thumbnails.shape} "
                f"{self.thumbnails.dtype}"
            )
        if self.details is not None and self.details.shape != (len(self), DETAIL_SIDE, DETAIL_SIDE):
            raise ValueError(f"({len(self)}, 64, 64) details are needed, not {self.details.shape}")
        if self.sides is not None and self.sides.shape != (len(self),):
            raise ValueError(f"({len(self)},) sides are needed, not {self.sides.shape}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.symmetries)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Fingerprints":
        """Return the fingerprints of some rows, in that order (in memory, also where these are memory maps)."""
        return Fingerprints(
            self.symmetries[rows],
            np.asarray(self.thumbnails[rows]),
            None if self.details is None else np.asarray(self.details[rows]),
            None if self.sides is None else self.sides[rows],
        )

    def reorder(self, order: NDArray[np.integer]) -> "Fingerprints":
        """Return the rows in another order, the thumbnails as a view: a million of them are a gigabyte."""
        return Fingerprints(
            self.symmetries[order],
            cast(NDArray[np.uint8], _Reordered(self.thumbnails, order)),
            None if self.details is None else cast(NDArray[np.uint8], _Reordered(self.details, order)),
            None if self.sides is None else self.sides[order],
        )

    def local_difference(
        self,
        i: NDArray[np.integer],
        j: NDArray[np.integer],
        symmetry: NDArray[np.integer],
        *,
        tolerance: float = 1.0,
        complete: bool = False,
    ) -> NDArray[np.float32]:
        """Return the largest local difference of pairs of rows, as ``local_difference`` does of two thumbnails."""
        details = self.thumbnails if self.details is None else self.details
        sides = None if self.sides is None else np.minimum(self.sides[i], self.sides[j])
        return local_difference(details[i], details[j], symmetry, sides=sides, tolerance=tolerance, complete=complete)


@dataclass(frozen=True)
class _Reordered:
    """Rows of an array in another order, copied only as they are asked for."""

    rows: NDArray[np.uint8]
    order: NDArray[np.integer]

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return self.rows.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.order), *self.rows.shape[1:])

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, places: int | NDArray[np.integer] | slice) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self.rows[self.order[places]]
        return found


def concat(parts: Sequence[Fingerprints]) -> Fingerprints:
    """Return the fingerprints of all parts, one after the other; details and sides where every part has them."""
    details = [part.details for part in parts if part.details is not None]
    sides = [part.sides for part in parts if part.sides is not None]
    return Fingerprints(
        np.concatenate([np.zeros((0, len(SYMMETRIES)), np.uint64), *(part.symmetries for part in parts)]),
        np.concatenate([np.zeros((0, 32, 32), np.uint8), *(part.thumbnails for part in parts)]),
        np.concatenate(details) if parts and len(details) == len(parts) else None,
        np.concatenate(sides) if parts and len(sides) == len(parts) else None,
    )
