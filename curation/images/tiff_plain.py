"""Decodes the plainest and most frequent TIFFs, strips of 8-bit gray or RGB, without opening them with tifffile.

The codecs are tifffile's own, called as tifffile calls them, so that the samples are the same. Everything else, and
strips of the wrong length, is left to tifffile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from curation.images.color import to_srgb
from curation.images.lzw import LZW, is_safe_lzw
from curation.images.orientation import turn_upright, upright_size, valid_orientation
from curation.images.tiff_directories import Directory
from curation.images.types import DecodedImage, Header, Pixels, check_size

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_OFFSETS, _CHANNELS, _ROWS, _COUNTS, _PLANAR, _PREDICTOR, _FORMAT = 273, 277, 278, 279, 284, 317, 339
_UNPACKED: Final = 1
_PACKED: Final = frozenset({LZW, 8, 32773, 32946})  # LZW, Deflate, PackBits, Deflate's older number
_GRAY, _RGB = 1, 2
_ORIENTATION, _PROFILE = 274, 34675
_PREDICTED: Final = frozenset({LZW, 8, 32946})
# tags that change no pixel: names, dates, resolutions, EXIF, XMP, IPTC
_IGNORED: Final = frozenset(
    {254, 255, 269, 270, 271, 272, 282, 283, 285, 296, 297, 305, 306, 315, 316, 318, 319}
    | {700, 33432, 33723, 34377, 34665}
)
_SUPPORTED: Final = frozenset(
    {
        *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _OFFSETS),
        *(_CHANNELS, _ROWS, _COUNTS, _PLANAR, _PREDICTOR, _FORMAT),
        *(_ORIENTATION, _PROFILE),
    }
)


def decode_plain_tiff(content: bytes, page: Directory, *, pages: int) -> DecodedImage | None:
    """Decode a plain page; None where it is not plain or not whole.

    Parameters
    ----------
    content : bytes
        The whole file.
    page : Directory
        As `read_directories` returns it: every strip lies inside the file.
    pages : int
        The number of pages in the file.
    """
    if not _is_plain(page):
        return None
    width, height = _one(page, _WIDTH), _one(page, _HEIGHT)
    check_size(width, height)
    samples = _decode_strips(content, page, (height, width, _one(page, _CHANNELS, 1)))
    if samples is None:
        return None
    mode = "RGB" if samples.shape[2] == 3 else "L"
    orientation = valid_orientation(_one(page, _ORIENTATION, 1))
    header = Header("tiff", *upright_size(width, height, orientation), mode, 8, pages, orientation, lossless=True)
    return DecodedImage(header, turn_upright(to_srgb(samples, mode, page.profile), orientation))


def _decode_strips(content: bytes, page: Directory, shape: tuple[int, int, int]) -> Pixels | None:
    import tifffile  # a quarter of a second that a build without TIFFs does not need

    rows = min(_one(page, _ROWS, shape[0]), shape[0])
    offsets, counts = page.numbers[_OFFSETS], page.numbers[_COUNTS]
    if rows < 1 or len(offsets) != -(-shape[0] // rows):
        return None
    compression = _one(page, _COMPRESSION, _UNPACKED)
    unpack = None if compression == _UNPACKED else tifffile.TIFF.DECOMPRESSORS[compression]
    unpredict = tifffile.TIFF.UNPREDICTORS[2] if _one(page, _PREDICTOR, 1) == 2 else None
    samples = np.empty(shape, np.uint8)
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        strip, packed = samples[number * rows : (number + 1) * rows], content[offset : offset + count]
        if compression == LZW and not is_safe_lzw(packed):
            return None
        if not _fill(strip.reshape(-1), packed, unpack):
            return None
        if unpredict is not None:
            unpredict(strip, axis=-2, out=strip)
    return samples


def _is_plain(page: Directory) -> bool:
    """Return whether every tag of a page is plain and known here."""
    tags = [tag for tag in page.tags if tag not in _IGNORED]
    if len(set(tags)) != len(tags) or not _SUPPORTED.issuperset(tags):
        return False
    if not {_BITS, _PHOTOMETRIC, _OFFSETS, _COUNTS}.issubset(page.numbers):
        return False
    if _PROFILE in page.tags and page.profile is None:
        return False
    channels, compression = _one(page, _CHANNELS, 1), _one(page, _COMPRESSION, _UNPACKED)
    return (
        _one(page, _WIDTH) > 0
        and _one(page, _HEIGHT) > 0
        and (_one(page, _PHOTOMETRIC), channels) in {(_GRAY, 1), (_RGB, 3)}
        and page.numbers[_BITS] in {(8,), (8,) * channels}
        and page.numbers.get(_FORMAT, (1,)) in {(1,), (1,) * channels}
        and (compression == _UNPACKED or compression in _PACKED)
        and _one(page, _PREDICTOR, 1) in ({1, 2} if compression in _PREDICTED else {1})
        and _one(page, _PLANAR, 1) == 1
        and _one(page, _FILL_ORDER, 1) == 1
    )


def _one(page: Directory, tag: int, absent: int = 0) -> int:
    """Return the number of a tag with one number; -1, which no tag uses, for none or several."""
    if tag not in page.tags:
        return absent
    numbers = page.numbers.get(tag, ())
    return numbers[0] if len(numbers) == 1 else -1


def _fill(target: Pixels, packed: bytes, unpack: Callable[..., Any] | None) -> bool:
    """Fill a strip, and return whether the unpacked bytes have exactly its length."""
    if unpack is None:
        if len(packed) != len(target):
            return False
        target[:] = np.frombuffer(packed, np.uint8)
        return True
    try:
        return len(unpack(packed, out=target)) == len(target)
    except Exception:  # noqa: BLE001 - each codec has an error of its own; tifffile raises it again
        return False
