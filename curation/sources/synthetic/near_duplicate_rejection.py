"""Keeps drawn pictures apart: a candidate that looks like an earlier picture, however turned, is drawn again."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from curation.sources.synthetic.images import Pixels

# Confirmed look-alikes correlate by 0.98 (the recipes' default); encoding and scaling move a thumbnail by about 0.01.
LIMIT = 0.90
SIDE = 32
ATTEMPTS = 200

Thumbnail = NDArray[np.float64]
Draw = Callable[[np.random.Generator], list[Pixels]]


class DrawnImages:
    """The pictures drawn so far, as thumbnails; it grows by what is admitted.

    Thumbnails are whole numbers held as floats. Their products and sums stay below 2**53 and are exact in any order, so
    that no processor's way of adding decides who is admitted.
    """

    def __init__(self) -> None:
        self._count = 0
        self._thumbnails = np.zeros((64, SIDE * SIDE))
        self._sums = np.zeros(64)
        self._spreads = np.zeros(64)

    def __len__(self) -> int:
        """Return the number of pictures admitted."""
        return self._count

    def admit(self, pictures: list[Pixels]) -> bool:
        """Add pictures unless one of them looks like an earlier one (or like another of them)."""
        before = self._count
        for picture in pictures:
            thumbnail = _thumbnail(picture)
            if self._resembles(thumbnail):
                self._count = before
                return False
            self._add(thumbnail)
        return True

    def _add(self, thumbnail: Thumbnail) -> None:
        at = self._count
        if at == len(self._sums):
            self._thumbnails, self._sums, self._spreads = (
                np.concatenate([rows, np.zeros_like(rows)]) for rows in (self._thumbnails, self._sums, self._spreads)
            )
        self._thumbnails[at] = thumbnail.ravel()
        self._sums[at], self._spreads[at] = _sum_and_spread(thumbnail)
        self._count += 1

    def _resembles(self, thumbnail: Thumbnail) -> bool:
        """Return whether any of the eight orientations correlates with an earlier picture by ``LIMIT``."""
        turns = np.stack([np.rot90(side, k).ravel() for side in (thumbnail, thumbnail.T) for k in range(4)])
        own, spread = _sum_and_spread(thumbnail)
        earlier = slice(0, self._count)
        # Not a matrix product: on a busy machine the threads of a BLAS cost more than this sum.
        products = np.einsum("ik,jk->ij", self._thumbnails[earlier], turns)
        covariance = SIDE * SIDE * products - own * self._sums[earlier, None]
        # A flat picture has no spread: it resembles every other.
        limit = (LIMIT * LIMIT) * spread * self._spreads[earlier, None]
        return bool(((covariance >= 0) & (covariance * covariance >= limit)).any())


def draw_distinct(drawn: DrawnImages, draw: Draw, *, key: tuple[int, ...]) -> list[Pixels]:
    """Return the first drawing that is unlike all images drawn before, and add it to them.

    The number of the attempt is a part of the random key.

    Parameters
    ----------
    key : tuple of int
        What the picture is: seed, part, class, index. Equal keys after equal drawings give equal images.

    Raises
    ------
    RuntimeError
        After 200 attempts: the drawing has too little variety for that many pictures.
    """
    for attempt in range(ATTEMPTS):
        pictures = draw(np.random.Generator(np.random.PCG64([*key, attempt])))
        if drawn.admit(pictures):
            return pictures
    raise RuntimeError(f"no drawing of {key} is unlike the {len(drawn)} before it")


def _thumbnail(picture: Pixels) -> Thumbnail:
    """Return the (32, 32) grey thumbnail, area-averaged over whole pixels, in whole quarters of a level."""
    grey = picture.astype(np.int64) @ np.array([299, 587, 114])
    height, width = grey.shape
    rows, columns = (np.arange(SIDE) * height // SIDE, np.arange(SIDE) * width // SIDE)
    sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
    areas = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))
    return np.asarray(sums * 4 // (areas * 1000), dtype=np.float64)


def _sum_and_spread(thumbnail: Thumbnail) -> tuple[float, float]:
    """Return the sum, and the variance times the squared number of pixels: both are the same in every orientation."""
    total = float(thumbnail.sum())
    return total, SIDE * SIDE * float((thumbnail * thumbnail).sum()) - total * total
