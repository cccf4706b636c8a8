"""Frames as the camera gives them: 176x144 pixels of RGB565, high byte first, there and back to pictures."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curation.board.messages import FRAME_HEIGHT, FRAME_WIDTH
from curation.errors import CurationError
from curation.images import DecodeFailure, area_average_144, center_square, decode, from_rgb565, to_rgb565
from curation.images.types import Pixels

ROW_BYTES = 2 * FRAME_WIDTH
FRAME_BYTES = FRAME_HEIGHT * ROW_BYTES


@dataclass(frozen=True)
class Frame:
    """One picture of the camera.

    Parameters
    ----------
    packed : bytes
        50,688 of them, row after row, two a pixel, high byte first.
    """

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != FRAME_BYTES:
            raise ValueError(f"a frame has {FRAME_BYTES} bytes, not {len(self.packed)}")

    @property
    def crc32(self) -> str:
        """CRC-32 of the bytes, as the protocol writes it."""
        return crc32_of(self.packed)

    @property
    def pixels(self) -> Pixels:
        """(144, 176, 3) uint8; packed again they give the same bytes, so a PNG of them loses nothing."""
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
    """Put a picture before the camera: what the board's net sees of this frame is what training sees of the picture.

    Its centre square, area-averaged to 144x144, stands in the middle of the frame; beside it the square's edge goes on,
    so that the frame's brightness is the picture's.

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
        It is no picture.
    """
    try:
        pixels = decode(content).pixels
    except DecodeFailure as fault:
        raise CurationError(f"{name}: {fault}", hint="give a picture: PNG, JPEG, TIFF ...") from fault
    return prepare_frame(pixels)


def encode_png(frame: Frame) -> bytes:
    """Write a frame as PNG, losslessly."""
    buffer = io.BytesIO()
    Image.fromarray(frame.pixels).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()
