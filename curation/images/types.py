"""The types of decoded images, and the one error of a file that cannot be decoded.

A decoded image is upright sRGB, 8 bits a channel, whatever it was in its file. What no stated rule brings there is a
`DecodeFailure` with a reason, never a guess and never `None`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.images.truncation import is_truncated
from curation.reasons import Reason, UnusableFile

Pixels: TypeAlias = npt.NDArray[np.uint8]
Scale: TypeAlias = Literal["full", "scaled"]


class DecodeFailure(UnusableFile):
    """Raised where a file gives no image; reason and detail are the same for the same fault on every machine."""


@dataclass(frozen=True, slots=True)
class Window:
    """The rule that maps `low` to 0 and `high` to 255, linearly, and clips what lies outside.

    Applies to gray and RGB samples of more than 8 bits, in the units of the file, and is the only rule that covers
    signed and floating-point samples.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if self.high <= self.low:
            raise ValueError(f"a window needs low < high, not {self.low} to {self.high}")


Tone: TypeAlias = Literal["scale"] | Window
"""How samples of more than 8 bits become 8: `"scale"` maps the range of the declared bits (16: v / 257, rounded)."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image, known before any pixel is read.

    Attributes
    ----------
    format : str
        As `sniff` names it: "jpeg", "png", "tiff", "gif", "bmp", "webp", "jpeg2000".
    width, height : int
        Pixels of the file, after the orientation has been applied.
    mode : str
        The channels as stored: "1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "CMYKA", "YCbCr", ...
    bits : int
        Bits of one channel.
    pages : int
        Images in the file, without thumbnails and masks.
    orientation : int
        1 to 8, as in EXIF; 1 where the file has none, or an invalid one.
    lossless : bool
        Whether the stored pixels are those that were put in.
    """

    format: str
    width: int
    height: int
    mode: str
    bits: int
    pages: int
    orientation: int
    lossless: bool


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """A decoded page: its file's header, and its pixels, (h, w, 3) or (h, w) uint8, upright sRGB."""

    header: Header
    pixels: Pixels


@contextmanager
def decoder_errors(kind: str, content: bytes) -> Iterator[None]:
    """Turn every error that a library raises for a hostile file into a `DecodeFailure`, and silence its warnings.

    The block should contain little else than the library's calls, so that bugs of our own keep their traceback.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except DecodeFailure:
            raise
        except Image.DecompressionBombError as error:  # a frame or a tile inside a file of innocent size
            raise DecodeFailure(Reason.DECOMPRESSION_BOMB) from error
        except MemoryError as error:
            raise DecodeFailure(Reason.TOO_LARGE) from error
        except Exception as error:  # every codec has errors of its own; which one it was stays with the reason
            cut = is_truncated(kind, content) or "truncated" in str(error).lower()
            if cut:
                raise DecodeFailure(Reason.TRUNCATED) from error
            raise DecodeFailure(Reason.DAMAGED, kind) from error


_LIMIT: ContextVar[int | None] = ContextVar("the most pixels that are decoded", default=None)


@contextmanager
def limit_pixels(most: int | None) -> Iterator[None]:
    """Refuse images of more pixels within the block; None is the default limit."""
    token = _LIMIT.set(most)
    try:
        yield
    finally:
        _LIMIT.reset(token)


def check_bomb(width: int, height: int) -> None:
    """Raise `DecodeFailure` where so many pixels must not be decoded.

    The default limit is that at which Pillow raises, twice its `Image.MAX_IMAGE_PIXELS`; read at each call.
    """
    limit = _LIMIT.get()
    if limit is None and Image.MAX_IMAGE_PIXELS is not None:
        limit = 2 * Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise DecodeFailure(Reason.DECOMPRESSION_BOMB, f"{width * height / 1e6:.0f} megapixels")


def check_size(width: int, height: int) -> None:
    """Raise `DecodeFailure` where an image of this size must not be decoded: bombs, and images without area."""
    check_bomb(width, height)
    if width < 1 or height < 1:
        raise DecodeFailure(Reason.NO_PIXELS)
    if width == 1 or height == 1:
        raise DecodeFailure(Reason.NO_PIXELS, "1 pixel wide" if width == 1 else "1 pixel high")


def check_page(page: int, pages: int) -> None:
    """Raise `DecodeFailure` where the file has no such page; pages count from 1."""
    if not 1 <= page <= pages:
        raise DecodeFailure(Reason.MISSING_PAGE, f"{page} of {pages}")
