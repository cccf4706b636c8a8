"""Correlates 32x32 gray thumbnails, and finds those that are too flat to be compared."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.images.orientation import SYMMETRIES, turn

PIXELS: Final = 32 * 32
_CHUNK: Final = 256  # images whose pixels as float64 (2 MB) stay in the cache

# Measured (benchmarks/duplicates.py): below one gray level an image correlates at 0.86 or less with its own copy
# re-encoded at quality 60 (rounding to whole levels alone adds a twelfth of its variance), and their hashes lie some
# 20 bits apart. The smoothest of 628 real patches of healthy skin has 1.09.
FLAT_DEVIATION: Final = 1.0


def correlation(a: NDArray[np.uint8], b: NDArray[np.uint8], symmetry: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the normalized cross-correlation of each ``a`` with its ``b`` turned by its symmetry.

    Parameters
    ----------
    a, b : (k, 32, 32) uint8 ndarray
    symmetry : (k,) integer ndarray
        Indices into ``SYMMETRIES``; ``b`` is turned, ``a`` stays upright.

    Returns
    -------
    (k,) float64 ndarray
        From -1 to 1, exactly 1.0 for equal images; 0.0 where either image is constant and has nothing to
        correlate. All sums are integers below 2**53 and therefore exact: the value depends on no batch, machine or
        order of summation.
    """
    values = np.empty(len(a), np.float64)
    for start in range(0, len(a), _CHUNK):
        part = slice(start, start + _CHUNK)
        values[part] = _correlate(a[part], turn_each(b[part], symmetry[part]))
    return values


def is_flat(gray32: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which images are so flat that their hash and correlation are noise.

    Parameters
    ----------
    gray32 : (n, 32, 32) uint8 ndarray

    Returns
    -------
    (n,) bool ndarray
        True where the standard deviation is below ``FLAT_DEVIATION`` gray levels.
    """
    flat = np.empty(len(gray32), np.bool_)
    limit = FLAT_DEVIATION**2 * PIXELS**2
    for start in range(0, len(gray32), _CHUNK):
        images = gray32[start : start + _CHUNK].reshape(-1, PIXELS).astype(np.float64)
        flat[start : start + _CHUNK] = _scaled_variance(images) < limit
    return flat


def turn_each(images: NDArray[np.uint8], symmetry: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return each of (k, s, s) images in its orientation."""
    turned = np.array(images)
    for k in range(1, len(SYMMETRIES)):
        rows = np.flatnonzero(symmetry == k)
        if len(rows):
            turned[rows] = np.moveaxis(turn(np.moveaxis(images[rows], 0, -1), k), -1, 0)
    return turned


def _correlate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    left = a.reshape(-1, PIXELS).astype(np.float64)
    right = b.reshape(-1, PIXELS).astype(np.float64)
    covariance = PIXELS * np.vecdot(left, right) - left.sum(axis=1) * right.sum(axis=1)
    # The root of the product, not the product of the roots: then equal images give exactly 1.
    scale = np.sqrt(_scaled_variance(left) * _scaled_variance(right))
    values: NDArray[np.float64] = np.divide(covariance, scale, out=np.zeros(len(a)), where=scale > 0)
    return values


def _scaled_variance(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance times ``PIXELS ** 2``, an exact integer."""
    variance: NDArray[np.float64] = PIXELS * np.vecdot(images, images) - images.sum(axis=1) ** 2
    return variance
