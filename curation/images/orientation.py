"""Turning a picture upright: EXIF's eight orientations as numpy views."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image

from curation.images.types import Pixels


def valid_orientation(value: object) -> int:
    """Return an EXIF orientation, 1 (upright) where the value is none: a broken tag is no reason to lose a picture."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def orientation_of(image: Image.Image) -> int:
    """Read the orientation from an image's EXIF or XMP; 1 where there is none or it cannot be read."""
    try:
        return valid_orientation(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001 - over a broken block Pillow raises struct.error, TypeError, SyntaxError ...
        return 1


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return (width, height) after the orientation has been applied."""
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
    if orientation == 1:
        return pixels
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)
