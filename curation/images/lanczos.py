"""Pillow's LANCZOS filter over grey pictures as matrices, to the same bytes: many pictures of one size for less.

Pillow filters along one axis, then along the other, with weights that are multiples of 2**-22, and rounds each pass to
8 bits. Such a sum has 30 bits and no more: float64 holds it exactly, in whatever order the linear algebra adds it.
Which axis comes first depends on the size and on Pillow's version; it is asked once for each size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.images.types import Pixels

_UNIT: Final = 1 << 22
_LOBES: Final = 3
_FEW: Final = 4  # so many pictures cost no more one by one
# OpenBLAS starts threads above 2**18 multiplications, which here costs more than it gives: processes use the cores.
_PRODUCTS: Final = 1 << 18

_Floats = npt.NDArray[np.float64]


def shrink(grey: Pixels | Image.Image, *, side: int) -> Pixels:
    """Resize a grey picture, (h, w) uint8 or a Pillow image of mode "L", to a (side, side) uint8 square by Pillow."""
    image = Image.fromarray(grey) if isinstance(grey, np.ndarray) else grey
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def shrink_together(grey: Pixels, *, side: int) -> Pixels:
    """Resize pictures of one size to squares as `shrink` does each, to the same bytes.

    Parameters
    ----------
    grey : (n, h, w) uint8 ndarray
    side : int
        In pixels.

    Returns
    -------
    (n, side, side) uint8 ndarray
    """
    order = _first_axis(*grey.shape[1:], side) if len(grey) >= _FEW else None
    if order is None:
        return np.stack([shrink(picture, side=side) for picture in grey])
    return _multiply(grey, side, order)


@lru_cache(maxsize=1024)
def _first_axis(height: int, width: int, side: int) -> Literal["rows", "columns"] | None:
    """Return whether Pillow filters along the rows or the columns first, None where it gives neither's bytes."""
    noise = np.random.default_rng(1).integers(0, 256, (1, height, width), dtype=np.uint8)
    expected = shrink(noise[0], side=side)
    orders: tuple[Literal["rows"], Literal["columns"]] = ("rows", "columns")
    return next((order for order in orders if np.array_equal(_multiply(noise, side, order)[0], expected)), None)


def _multiply(grey: Pixels, side: int, order: Literal["rows", "columns"]) -> Pixels:
    if order == "columns":
        return _multiply(grey.swapaxes(1, 2), side, "rows").swapaxes(1, 2)
    count, height, width = grey.shape
    across, down = _weights(width, side).T, _weights(height, side)
    narrow = np.empty((count, height, side))
    rows = max(1, _PRODUCTS // (width * side))
    for number in range(count):
        for start in range(0, height, rows):
            part = slice(start, start + rows)
            np.matmul(grey[number, part].astype(np.float64), across, out=narrow[number, part])
    return _round(np.matmul(down, _round(narrow).astype(np.float64)))


def _round(sums: _Floats) -> Pixels:
    """Add a half and cut, as Pillow rounds and clips; changes the sums."""
    sums += 0.5
    return np.clip(sums, 0, 255, out=sums).astype(np.uint8)


@lru_cache(maxsize=32)
def _weights(length: int, out: int) -> _Floats:
    """Return Pillow's (out, length) weights of an axis, multiples of 2**-22. Cached: pictures share few sizes."""
    scale = length / out
    stretch = max(scale, 1.0)
    centres = (np.arange(out) + 0.5) * scale
    first = np.maximum((centres - _LOBES * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + _LOBES * stretch + 0.5).astype(np.int64), length)
    at = first[:, None] + np.arange((last - first).max())
    raw = np.where(at < last[:, None], _lanczos((at - centres[:, None] + 0.5) * (1.0 / stretch)), 0.0)
    # one after the other, as C adds them; numpy's own sum rounds in another order
    units = raw / np.add.accumulate(raw, axis=1)[:, -1:] * _UNIT
    weights = np.zeros((out, length))
    places, within = np.nonzero(units)
    weights[places, at[places, within]] = np.trunc(units + np.copysign(0.5, units))[places, within] / _UNIT
    return weights


def _lanczos(x: _Floats) -> _Floats:
    return np.where((x >= -_LOBES) & (x < _LOBES), _sinc(x) * _sinc(x / _LOBES), 0.0)


def _sinc(x: _Floats) -> _Floats:
    angle = x * math.pi
    # the C library's sine, as Pillow has it; numpy's may differ in the last bit
    sine = np.array([math.sin(each) for each in angle.ravel().tolist()]).reshape(angle.shape)
    values: _Floats = np.divide(sine, angle, out=np.ones_like(angle), where=angle != 0)
    return values
