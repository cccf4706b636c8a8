"""Exact area averaging, by integers alone, so that it gives the same bytes on every machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from curation.images.types import Pixels

_Integers: TypeAlias = npt.NDArray[Any]


def area_average(pixels: Pixels, *, height: int, width: int, axis: int = 0) -> Pixels:
    """Resize by giving each output pixel the mean of the image area that it covers.

    An output pixel covers h / height by w / width input pixels, cut through where the edge falls within one; the
    mean is rounded half up. Nothing is assumed of the ratio: enlarging works the same way.

    Parameters
    ----------
    pixels : (..., h, w, ...) uint8 ndarray
        Any number of axes before and after the two of the image.
    height, width : int
        The output's size in pixels.
    axis : int
        Which axis is h; w is the next.

    Returns
    -------
    (..., height, width, ...) uint8 ndarray
    """
    rows, columns = pixels.shape[axis], pixels.shape[axis + 1]
    area = rows * columns
    sums = _weighted_sums(pixels, height, axis, np.min_scalar_type(255 * rows))
    # numpy takes whole rows much faster than single columns
    turned = np.ascontiguousarray(sums.swapaxes(axis, axis + 1))
    sums = _weighted_sums(turned, width, axis, np.min_scalar_type(256 * area))
    sums += sums.dtype.type(area // 2)
    sums //= sums.dtype.type(area)
    return np.ascontiguousarray(sums.astype(np.uint8).swapaxes(axis, axis + 1))


def _weighted_sums(values: _Integers, out: int, axis: int, counter: np.dtype[Any]) -> _Integers:
    """Sum along one axis into `out` equal stretches, each weighing as much as the axis is long."""
    places, weights = _stretches(values.shape[axis], out)
    shape = (slice(None),) + (None,) * (values.ndim - 1 - axis)
    sums: _Integers | None = None
    for place, weight in zip(places, weights.astype(counter), strict=True):
        part = values.take(place, axis=axis).astype(counter, copy=False)
        part *= weight[shape]
        if sums is None:
            sums = part
        else:
            sums += part
    if sums is None:
        raise ValueError("nothing to average")
    return sums


@lru_cache(maxsize=1024)
def _stretches(length: int, out: int) -> tuple[_Integers, _Integers]:
    """Return which input pixels each of `out` stretches covers, and how much of each, as two (covered, out) arrays.

    A whole input pixel weighs `out`, so that every part of one is an integer. Cached: images share few sizes.
    """
    start = np.arange(out) * length
    covered = int((-(-(start + length) // out) - start // out).max())
    places = start // out + np.arange(covered)[:, None]
    weights = np.minimum(start + length, (places + 1) * out) - np.maximum(start, places * out)
    weights = np.maximum(weights, 0).astype(np.min_scalar_type(out))
    return np.minimum(places, length - 1), weights
