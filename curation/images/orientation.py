"""The eight orientations of an image: their names, how to turn an image, how to turn it back, and EXIF's numbers.

Orientation ``k`` is read bit by bit: 4 transposes first, then 2 flips top and bottom, then 1 flips left and right.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from curation.images.types import Pixels

Scalar = TypeVar("Scalar", bound=np.generic)

# The names are Pillow's (Image.Transpose), where rotations are counter-clockwise.
SYMMETRIES: Final = (
    "upright",
    "flip_left_right",
    "flip_top_bottom",
    "rotate_180",
    "transpose",
    "rotate_270",
    "rotate_90",
    "transverse",
)

# turn(turn(image, k), INVERSE[k]) is the image again: only the two quarter turns are not their own inverse.
INVERSE: Final = (0, 1, 2, 3, 4, 6, 5, 7)

_TURN_OF_EXIF: Final = {1: 0, 2: 1, 3: 3, 4: 2, 5: 4, 6: 5, 7: 7, 8: 6}
"""EXIF orientation -> the orientation that turns the stored pixels upright."""


def turn(image: NDArray[Scalar], k: int) -> NDArray[Scalar]:
    """Return a view of an image in orientation ``k``.

    Parameters
    ----------
    image : (height, width, ...) ndarray
    k : int
        Index into ``SYMMETRIES``.

    >>> turn(np.array([[1, 2], [3, 4]]), SYMMETRIES.index("rotate_90")).tolist()
    [[2, 4], [1, 3]]
    """
    if not 0 <= k < len(SYMMETRIES):
        raise ValueError(f"there are {len(SYMMETRIES)} orientations, not one numbered {k}")
    turned = image.swapaxes(0, 1) if k & 4 else image
    return turned[:: -1 if k & 2 else 1, :: -1 if k & 1 else 1]


def valid_orientation(value: object) -> int:
    """Return an EXIF orientation, 1 (upright) where the value is not valid: a broken tag does not cost the image."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_orientation(image: Image.Image) -> int:
    """Read the orientation from an image's EXIF or XMP; 1 where they have none or it cannot be read."""
    try:
        return valid_orientation(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001 - over a broken block Pillow raises struct.error, TypeError, SyntaxError ...
        return 1


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return (width, height) after the EXIF orientation has been applied."""
    return (height, width) if orientation >= 5 else (width, height)


def turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation.

    Parameters
    ----------
    pixels : (h, w) or (h, w, n) uint8 ndarray, as stored
    orientation : int
        1 to 8: where the stored row 0 and column 0 belong (top left, top right, bottom right, bottom left, left top,
        right top, right bottom, left bottom).
    """
    return pixels if orientation == 1 else np.ascontiguousarray(turn(pixels, _TURN_OF_EXIF[orientation]))
