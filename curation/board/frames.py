"""Frames of the camera, 176x144 pixels of RGB565 with the high byte first, and their conversion from and to images."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curation.board.messages import FRAME_HEIGHT, FRAME_WIDTH
from curation.errors import CurationError, ErrorCode
from curation.images import DecodeFailure, area_average_144, center_square, decode, from_rgb565, to_rgb565
from curation.images.types import Pixels

ROW_BYTES = 2 * FRAME_WIDTH
FRAME_BYTES = FRAME_HEIGHT * ROW_BYTES


@dataclass(frozen=True)
class Frame:
    """One image of the camera.

    Parameters
    ----------
    packed : bytes
        50,688 bytes, row by row, two per pixel, high byte first.
    """

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != FRAME_BYTES:
            raise ValueError(f"a frame has {FRAME_BYTES} bytes, not {len(self.packed)}")

    @property
    def crc32(self) -> str:
        """The CRC-32 of the bytes, as the protocol writes it."""
        return crc32_of(self.packed)

    @property
    def pixels(self) -> Pixels:
        """(144, 176, 3) uint8; packing them again gives the same bytes, so a PNG of them is lossless."""
        packed = np.frombuffer(self.packed, np.uint8).reshape(FRAME_HEIGHT, FRAME_WIDTH, 2)
        return from_rgb565(packed)

    def row(self, y: int) -> bytes:
        """Return the 352 bytes of one row."""
        return self.packed[y * ROW_BYTES : (y + 1) * ROW_BYTES]


def crc32_of(content: bytes) -> str:
    """Return the CRC-32 (as in zip and PNG) in eight hexadecimal digits, lower case.

    >>> crc32_of(b"123456789")
    'cbf43926'
    """
    return f"{zlib.crc32(content):08x}"


def prepare_frame(pixels: Pixels) -> Frame:
    """Return an image as a camera frame, from which the board's net gets the same input as training does.

    The center square, area-averaged to 144x144, fills the middle of the frame. Its edge pixels are repeated to the left
    and right, so that the frame's brightness is that of the image.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 ndarray, upright sRGB
    """
    square = area_average_144(center_square(pixels))
    margin = (FRAME_WIDTH - FRAME_HEIGHT) // 2
    wide = np.pad(square, ((0, 0), (margin, margin), (0, 0)), mode="edge")
    return Frame(to_rgb565(wide).tobytes())


def read_frame(content: bytes, *, name: str) -> Frame:
    """Prepare a frame from the bytes of an image file.

    Raises
    ------
    CurationError
        It is not an image.
    """
    try:
        pixels = decode(content).pixels
    except DecodeFailure as fault:
        raise CurationError(
            ErrorCode.IMAGE_UNREADABLE, f"{name}: {fault}", hint="Give an image: PNG, JPEG, TIFF ..."
        ) from fault
    return prepare_frame(pixels)


def encode_png(frame: Frame) -> bytes:
    """Return a frame as PNG, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(frame.pixels).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()
