"""The camera's view: the one definition of the network's input, shared bit for bit with the firmware.

Every step takes one image (h, w, 3) or a batch (n, h, w, 3), and uses integer arithmetic only.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from curation.images.area import area_average
from curation.images.types import Pixels

Side: TypeAlias = Literal[96, 48]
FRAME_SIDE: Final = 144
"""The height in pixels of a QCIF frame, whose center square the board sees."""

INPUT_SCALE: Final = 1 / 255
INPUT_ZERO_POINT: Final = -128
"""The input tensor's quantization: real value = (q + 128) / 255."""


def camera_view(pixels: Pixels, *, side: Side = 96) -> Pixels:
    """Return an image as the board's network sees it.

    The center square, area-averaged to 144x144, through RGB565 and back, then the 3:2 box (96) or the 3x3 box (48).

    Parameters
    ----------
    pixels : (h, w, 3) or (n, h, w, 3) uint8 ndarray, upright sRGB
    side : {96, 48}

    Returns
    -------
    (side, side, 3) or (n, side, side, 3) uint8 ndarray
    """
    frame = from_rgb565(to_rgb565(area_average_144(center_square(pixels))))
    return box_3_2(frame) if side == 96 else box_3_3(frame)


def center_square(pixels: Pixels) -> Pixels:
    """Cut the largest centered square of (..., h, w, 3); of an odd rest the larger half goes at the bottom or right."""
    height, width = pixels.shape[-3:-1]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side, :]


def area_average_144(pixels: Pixels) -> Pixels:
    """Bring (..., h, w, 3) to (..., 144, 144, 3) by exact area averaging, rounded half up."""
    return area_average(pixels, height=FRAME_SIDE, width=FRAME_SIDE, axis=pixels.ndim - 3)


def to_rgb565(pixels: Pixels) -> Pixels:
    """Pack (..., h, w, 3) into RGB565: (..., h, w, 2) uint8, high byte first, the low bits of each channel dropped."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.stack([(red & 0xF8) | (green >> 5), ((green & 0x1C) << 3) | (blue >> 3)], axis=-1)


def from_rgb565(packed: Pixels) -> Pixels:
    """Expand (..., h, w, 2) RGB565, high byte first, to (..., h, w, 3) by repeating each channel's high bits below."""
    high, low = packed[..., 0], packed[..., 1]
    red, green, blue = high >> 3, ((high & 0x07) << 3) | (low >> 5), low & 0x1F
    return np.stack([(red << 3) | (red >> 2), (green << 2) | (green >> 4), (blue << 3) | (blue >> 2)], axis=-1)


def box_3_2(pixels: Pixels) -> Pixels:
    """Shrink (..., h, w, 3) by 3:2, both sides multiples of 3: an output pixel is (4a + 2b + 2c + d + 4) // 9.

    Of each 3x3 source pixels the four corners weigh 4 in their own output pixel, the four edge pixels 2 in each of two,
    the middle one 1 in all four.
    """
    return _ninths(_two_of_three(_two_of_three(pixels, pixels.ndim - 3), pixels.ndim - 2))


def box_3_3(pixels: Pixels) -> Pixels:
    """Shrink (..., h, w, 3) by 3, both sides multiples of 3: an output pixel is (sum of 3x3 + 4) // 9."""
    wide = pixels.astype(np.uint16)
    rows = wide[..., 0::3, :, :] + wide[..., 1::3, :, :] + wide[..., 2::3, :, :]
    return _ninths(rows[..., 0::3, :] + rows[..., 1::3, :] + rows[..., 2::3, :])


def to_tensor(pixels: Pixels) -> npt.NDArray[np.int8]:
    """Quantize pixels to the input tensor: q = pixel XOR 0x80 as int8, the same shape."""
    return (pixels ^ np.uint8(0x80)).view(np.int8)


def _two_of_three(values: npt.NDArray[Any], axis: int) -> npt.NDArray[np.uint16]:
    """Make two of each three along an axis: 2a + b and b + 2c."""
    first, middle, last = (
        values[(slice(None),) * axis + (slice(start, None, 3),)].astype(np.uint16) for start in range(3)
    )
    shape = list(values.shape)
    shape[axis] = shape[axis] // 3 * 2
    return np.stack([2 * first + middle, middle + 2 * last], axis=axis + 1).reshape(shape)


def _ninths(sums: npt.NDArray[np.uint16]) -> Pixels:
    return ((sums + np.uint16(4)) // np.uint16(9)).astype(np.uint8)
