"""Measures the quality of an image, and makes the 32x32 gray image for perceptual hashes.

The values are measured at one scale, so that a threshold means the same for a thumbnail and a full-size image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.images.area import area_average
from curation.images.lanczos import resize_square, resize_square_batch
from curation.images.types import Pixels

MEASURED_SIDE = 64
"""The shorter side, in pixels, to which an image is averaged before it is measured."""
_AT_ONCE = 8  # what numpy works on then stays in the processor's cache


@dataclass(frozen=True, slots=True)
class Quality:
    """The result of `measure`, in gray levels of 0 to 255 at the measured scale.

    Attributes
    ----------
    sharpness : float
        Variance of the 3x3 Laplacian (0 1 0, 1 -4 1, 0 1 0) over the inner pixels; 0.0 where there are none.
        The focus measure LAPV of Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000).
    brightness : float
        Mean.
    contrast : float
        Standard deviation.
    """

    sharpness: float
    brightness: float
    contrast: float


def measure(gray: Pixels) -> Quality:
    """Measure sharpness, brightness and contrast of a gray image, area-averaged to a shorter side of 64 px.

    A smaller image is measured as it is. Sums are over integers, so the values are the same on every machine.

    Parameters
    ----------
    gray : (h, w) uint8 ndarray
    """
    return measure_batch(gray[None])[0]


def measure_batch(gray: Pixels) -> list[Quality]:
    """Measure images of one size as `measure` does each, in less time.

    Parameters
    ----------
    gray : (n, h, w) uint8 ndarray
    """
    return [
        quality
        for start in range(0, len(gray), _AT_ONCE)
        for quality in _measure_few(_reduce(gray[start : start + _AT_ONCE]))
    ]


def _reduce(gray: Pixels) -> Pixels:
    """Average (n, h, w) images to the measured side; smaller ones stay as they are."""
    height, width = gray.shape[1:]
    short = min(height, width)
    if short <= MEASURED_SIDE:
        return gray
    rows, columns = ((side * MEASURED_SIDE + short // 2) // short for side in (height, width))
    return area_average(gray, height=rows, width=columns, axis=1)


def laplacian_variance(gray: Pixels) -> float:
    """Return the variance of the 3x3 Laplacian over the inner pixels of (h, w) uint8, at the size given; exact."""
    return _laplacian_variances(gray[None].astype(np.int16))[0]


def _measure_few(gray: Pixels) -> list[Quality]:
    levels = gray.astype(np.int16)
    return [
        Quality(sharpness=sharpness, brightness=brightness, contrast=math.sqrt(variance))
        for sharpness, (brightness, variance) in zip(
            _laplacian_variances(levels), _means_and_variances(levels), strict=True
        )
    ]


def _laplacian_variances(levels: npt.NDArray[np.int16]) -> list[float]:
    laplacian = levels[:, :-2, 1:-1] + levels[:, 2:, 1:-1]
    laplacian += levels[:, 1:-1, :-2]
    laplacian += levels[:, 1:-1, 2:]
    laplacian -= 4 * levels[:, 1:-1, 1:-1]
    return [variance for _, variance in _means_and_variances(laplacian)] if laplacian.size else [0.0] * len(levels)


def _means_and_variances(values: npt.NDArray[np.int16]) -> list[tuple[float, float]]:
    """Return each image's mean and population variance of integers, exact up to the last division."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    count = flat.shape[1]
    # exact in any order: all stay below 2**53; the products below may not, and are Python's integers
    totals, squares = flat.sum(axis=1).tolist(), np.vecdot(flat, flat).tolist()
    return [
        (total / count, (count * int(square) - int(total) ** 2) / (count * count))
        for total, square in zip(totals, squares, strict=True)
    ]


def gray32(gray: Pixels | Image.Image) -> Pixels:
    """Resize a gray image to the (32, 32) uint8 that `imagehash.phash` sees: Pillow's LANCZOS filter over mode "L".

    Parameters
    ----------
    gray : (h, w) uint8 ndarray, or a Pillow image (converted to "L" first, as imagehash does)
    """
    return resize_square(gray if isinstance(gray, np.ndarray) else gray.convert("L"), side=32)


def gray32_batch(gray: Pixels) -> Pixels:
    """Resize images of one size as `gray32` does each, to the same bytes, in less time.

    Parameters
    ----------
    gray : (n, h, w) uint8 ndarray

    Returns
    -------
    (n, 32, 32) uint8 ndarray
    """
    return resize_square_batch(gray, side=32)


def gray64_batch(gray: Pixels) -> Pixels:
    """Resize images of one size by the same filter to the detail that near duplicates are compared in.

    Parameters
    ----------
    gray : (n, h, w) uint8 ndarray

    Returns
    -------
    (n, 64, 64) uint8 ndarray
    """
    return resize_square_batch(gray, side=64)
