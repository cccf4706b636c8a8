"""Resampling with Pillow's LANCZOS filter: to a shorter side, and gray images of one size to squares, by matrices.

Pillow filters along one axis, then along the other, with weights that are multiples of 2**-22, and rounds each pass to
8 bits. Such a sum has at most 30 bits: float64 holds it exactly, in whatever order the linear algebra adds it. Which
axis comes first depends on the size and on Pillow's version; Pillow is asked once for each size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.images.types import Pixels

_UNIT: Final = 1 << 22
_LOBES: Final = 3
_FEW: Final = 4  # so many images cost no more one by one
# OpenBLAS starts threads above 2**18 multiplications, which here costs more than it gives: processes use the cores.
_PRODUCTS: Final = 1 << 18

_Floats: TypeAlias = npt.NDArray[np.float64]
Weights: TypeAlias = Callable[[int, int], _Floats]
"""(length, out) -> the (out, length) weights of an axis."""


@lru_cache(maxsize=32)
def pillow_weights(length: int, out: int) -> _Floats:
    """Return Pillow's (out, length) weights of an axis, multiples of 2**-22. Cached: images share few sizes."""
    scale = length / out
    stretch = max(scale, 1.0)
    centers = (np.arange(out) + 0.5) * scale
    first = np.maximum((centers - _LOBES * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + _LOBES * stretch + 0.5).astype(np.int64), length)
    at = first[:, None] + np.arange((last - first).max())
    raw = np.where(at < last[:, None], _lanczos((at - centers[:, None] + 0.5) * (1.0 / stretch)), 0.0)
    # one after the other, as C adds them; numpy's own sum rounds in another order
    units = raw / np.add.accumulate(raw, axis=1)[:, -1:] * _UNIT
    weights = np.zeros((out, length))
    places, within = np.nonzero(units)
    weights[places, at[places, within]] = np.trunc(units + np.copysign(0.5, units))[places, within] / _UNIT
    return weights


def downscale(image: Image.Image, short_side: int | None) -> Image.Image:
    """Scale an image down to a shorter side in pixels, never up.

    Over the full-size pixels: the filter works in fixed point, weighs every source pixel, and treats a JPEG and a TIFF
    alike. Neither `reducing_gap` nor a DCT-scaled decode, which would let size and format show in the sharpness of the
    result.
    """
    short = min(image.size)
    if short_side is None or short <= short_side:
        return image
    width, height = (max(short_side, (side * short_side + short // 2) // short) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def resize_square(gray: Pixels | Image.Image, *, side: int) -> Pixels:
    """Resize a gray image, (h, w) uint8 or a Pillow image of mode "L", to a (side, side) uint8 square by Pillow."""
    image = Image.fromarray(gray) if isinstance(gray, np.ndarray) else gray
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def resize_square_batch(gray: Pixels, *, side: int, weights: Weights = pillow_weights) -> Pixels:
    """Resize images of one size to squares as `resize_square` does each, to the same bytes, in less time.

    Parameters
    ----------
    gray : (n, h, w) uint8 ndarray
    side : int
        In pixels.
    weights : function of (length, out) to an (out, length) float64 ndarray
        Where these are not Pillow's, Pillow resizes each image.

    Returns
    -------
    (n, side, side) uint8 ndarray
    """
    order = first_axis(*gray.shape[1:], side, weights) if len(gray) >= _FEW else None
    if order is None:
        return np.stack([resize_square(image, side=side) for image in gray])
    return _multiply(gray, side, order, weights)


@lru_cache(maxsize=1024)
def first_axis(
    height: int, width: int, side: int, weights: Weights = pillow_weights
) -> Literal["rows", "columns"] | None:
    """Return whether Pillow filters along rows or columns first; None where the weights give its bytes in neither."""
    noise = np.random.default_rng(1).integers(0, 256, (1, height, width), dtype=np.uint8)
    expected = resize_square(noise[0], side=side)
    orders: tuple[Literal["rows"], Literal["columns"]] = ("rows", "columns")
    return next(
        (order for order in orders if np.array_equal(_multiply(noise, side, order, weights)[0], expected)), None
    )


def _multiply(gray: Pixels, side: int, order: Literal["rows", "columns"], weights: Weights) -> Pixels:
    if order == "columns":
        return _multiply(gray.swapaxes(1, 2), side, "rows", weights).swapaxes(1, 2)
    count, height, width = gray.shape
    across, down = weights(width, side).T, weights(height, side)
    narrow = np.empty((count, height, side))
    rows = max(1, _PRODUCTS // (width * side))
    for number in range(count):
        for start in range(0, height, rows):
            part = slice(start, start + rows)
            np.matmul(gray[number, part].astype(np.float64), across, out=narrow[number, part])
    levels = _round(narrow).astype(np.float64)
    square = np.empty((count, side, side))
    rows = max(1, _PRODUCTS // (height * side))
    for start in range(0, side, rows):
        np.matmul(down[start : start + rows], levels, out=square[:, start : start + rows])
    return _round(square)


def _round(sums: _Floats) -> Pixels:
    """Add a half and truncate, as Pillow rounds and clips; works in place."""
    sums += 0.5
    return np.clip(sums, 0, 255, out=sums).astype(np.uint8)


def _lanczos(x: _Floats) -> _Floats:
    return np.where((x >= -_LOBES) & (x < _LOBES), _sinc(x) * _sinc(x / _LOBES), 0.0)


def _sinc(x: _Floats) -> _Floats:
    angle = x * math.pi
    # the C library's sine, as Pillow has it; numpy's may differ in the last bit
    sine = np.array([math.sin(each) for each in angle.ravel().tolist()]).reshape(angle.shape)
    values: _Floats = np.divide(sine, angle, out=np.ones_like(angle), where=angle != 0)
    return values
