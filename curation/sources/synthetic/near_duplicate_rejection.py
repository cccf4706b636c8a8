"""Redraws images that resemble an earlier one in any of the eight orientations."""

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
    """The images accepted so far, as thumbnails.

    Thumbnails are whole numbers held as floats. Their products and sums stay below 2**53 and are exact in any order, so
    that the processor does not influence which image is accepted.
    """

    def __init__(self) -> None:
        self._count = 0
        self._thumbnails = np.zeros((64, SIDE * SIDE))
        self._sums = np.zeros(64)
        self._spreads = np.zeros(64)

    def __len__(self) -> int:
        """Return the number of accepted images."""
        return self._count

    def admit(self, images: list[Pixels]) -> bool:
        """Add images unless one of them resembles an earlier one or another of them; return whether they were added."""
        before = self._count
        for image in images:
            thumbnail = _thumbnail(image)
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
        """Return whether any of the eight orientations correlates with an earlier image by ``LIMIT``."""
        turns = np.stack([np.rot90(side, k).ravel() for side in (thumbnail, thumbnail.T) for k in range(4)])
        own, spread = _sum_and_spread(thumbnail)
        earlier = slice(0, self._count)
        # Not a matrix product: on a busy machine the threads of a BLAS cost more than this sum.
        products = np.einsum("ik,jk->ij", self._thumbnails[earlier], turns)
        covariance = SIDE * SIDE * products - own * self._sums[earlier, None]
        # A flat image has no spread: it resembles every other.
        limit = (LIMIT * LIMIT) * spread * self._spreads[earlier, None]
        return bool(((covariance >= 0) & (covariance * covariance >= limit)).any())


def draw_distinct(drawn: DrawnImages, draw: Draw, *, key: tuple[int, ...]) -> list[Pixels]:
    """Return the first drawing that is unlike all images drawn before, and add it to them.

    The number of the attempt is a part of the random key.

    Parameters
    ----------
    key : tuple of int
        Seed, part, class and index of the image. Equal keys after equal drawings give equal images.

    Raises
    ------
    RuntimeError
        No attempt of 200 succeeded: the drawing has too little variety for that many images.
    """
    for attempt in range(ATTEMPTS):
        images = draw(np.random.Generator(np.random.PCG64([*key, attempt])))
        if drawn.admit(images):
            return images
    raise RuntimeError(f"no drawing of {key} differs from the {len(drawn)} images before it")


def _thumbnail(image: Pixels) -> Thumbnail:
    """Return the (32, 32) gray thumbnail, area-averaged over whole pixels, in whole quarters of a level."""
    gray = image.astype(np.int64) @ np.array([299, 587, 114])
    height, width = gray.shape
    rows, columns = (np.arange(SIDE) * height // SIDE, np.arange(SIDE) * width // SIDE)
    sums = np.add.reduceat(np.add.reduceat(gray, rows, axis=0), columns, axis=1)
    areas = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))
    return np.asarray(sums * 4 // (areas * 1000), dtype=np.float64)


def _sum_and_spread(thumbnail: Thumbnail) -> tuple[float, float]:
    """Return the sum, and the variance times the squared number of pixels: both are the same in every orientation."""
    total = float(thumbnail.sum())
    return total, SIDE * SIDE * float((thumbnail * thumbnail).sum()) - total * total
