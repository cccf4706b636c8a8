"""Reading TIFF: every layout and compression that tifffile and imagecodecs know, by a stated rule for each."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from io import BytesIO
from itertools import product
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.images.ccitt import CCITT, decode_ccitt
from curation.images.color import over_white, to_eight_bits, to_srgb
from curation.images.jpeg import check_embedded_jpeg
from curation.images.jpeg_frame import read_frame
from curation.images.lzw import LZW, is_safe_lzw
from curation.images.orientation import turn_upright, upright_size, valid_orientation
from curation.images.pillow_formats import EMBEDDED, check_subsampling, embedded_size
from curation.images.sniffing import SNIFF_BYTES, sniff
from curation.images.strict_jpeg import decode_strictly
from curation.images.tiff_directories import Directory, read_directories
from curation.images.tiff_plain import decode_plain_tiff
from curation.images.types import (
    DecodedImage,
    DecodeFailure,
    Header,
    Pixels,
    Tone,
    check_bomb,
    check_page,
    check_size,
    decoder_errors,
)
from curation.reasons import Reason

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_ORIENTATION: Final = 274
_PHOTOMETRIC: Final = 262
_INK_SET: Final = 332
_PROFILE: Final = 34675
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_MODES: Final = {
    _MIN_IS_WHITE: "L",
    _MIN_IS_BLACK: "L",
    _RGB: "RGB",
    _PALETTE: "P",
    _SEPARATED: "CMYK",
    _YCBCR: "YCbCr",
}
_COLOR_CHANNELS: Final = {"L": 1, "P": 1, "RGB": 3, "YCbCr": 3, "CMYK": 4}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_MOST_CHANNELS: Final = 8
# none, the CCITT family, LZW, Deflate, PackBits, LZMA, Zstandard: what gives back the very samples that went in
_LOSSLESS: Final = frozenset({1, 2, 3, 4, 5, 8, 32771, 32773, 32946, 34925, 34926, 50000})
_LEAST_FIRST: Final = 2  # the fill order of bits that are the other way round
_JPEG: Final = frozenset({6, 7, 34892, 33007})
_OLD_JPEG: Final = 6
_PACKED_ROWS: Final = frozenset({8, 32946, 32773, 50000, 34925, 34926})
"""Deflate, PackBits, Zstandard, LZMA: tifffile refuses a last strip that is packed with rows below the image."""
_HEIGHT, _BITS, _OFFSETS, _PLANAR, _FAX_OPTIONS = 257, 258, 273, 284, 292
_PLANES_APART: Final = 2


def read_tiff_header(content: bytes) -> Header:
    """Read the header of a TIFF's first page; width, mode and the rest are that page's."""
    pages = read_directories(content)
    with _open_page(content, pages[0].place, _open(content)) as page:
        return _header(page, len(pages))


class TiffReader:
    """Decodes the pages of a TIFF, and reads its directories once.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    DecodeFailure
        The directories are damaged, or the file is cut off.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._directories = read_directories(content)
        self._opened: TiffFile | None = None

    def decode(self, page: int, *, tone: Tone) -> DecodedImage:
        """Decode one page, from 1. The header is the page's own."""
        check_page(page, len(self._directories))
        directory, pages = self._directories[page - 1], len(self._directories)
        with decoder_errors("tiff", self._content):
            plain = decode_plain_tiff(self._content, directory, pages=pages)
        if plain is not None:
            return plain
        opened, self._opened = self._opened or _open(self._content), None  # one that failed is not used again
        decoded = decode_by_tifffile(self._content, directory, pages=pages, tone=tone, opened=opened)
        self._opened = opened
        return decoded


def decode_by_tifffile(
    content: bytes, directory: Directory, *, pages: int, tone: Tone = "scale", opened: TiffFile | None = None
) -> DecodedImage:
    """Decode one page of a TIFF with tifffile, whatever its layout.

    Parameters
    ----------
    content : bytes
        The whole file.
    directory : Directory
        The page's directory, as `read_directories` returns it.
    pages : int
        The number of pages in the file.
    tone : "scale" or Window
    opened : tifffile.TiffFile, optional
        The file, where it was opened for an earlier page: a later one is then found without its predecessors.
    """
    if directory.shift:
        content = _with_offsets(content, directory)
        opened = None
    with _open_page(content, directory.place, opened or _open(content)) as chosen:
        header = _header(chosen, pages)
        _check_strips(chosen, content)
        samples = _read_samples(chosen, content, directory.place)
        colormap = chosen.colormap
        profile = chosen.tags.valueof(_PROFILE)
    if samples.ndim != 5:
        # tifffile gives an empty array for types it lacks
        raise DecodeFailure(Reason.UNSUPPORTED, "tiff of this sample type")
    # (separate, depth, height, width, contiguous) -> (height, width, channels)
    flat = samples[0, 0] if samples.shape[0] == 1 else np.moveaxis(samples[:, 0, :, :, 0], 0, -1)
    color, mode = _channels(chosen, flat, header, colormap, tone)
    pixels = to_srgb(color, mode, bytes(profile) if profile is not None else None)
    return DecodedImage(header, turn_upright(pixels, header.orientation))


def _read_samples(page: TiffPage, content: bytes, place: int) -> npt.NDArray[Any]:
    """Return the samples, (separate, depth, height, width, contiguous)."""
    compression = int(page.compression)
    if compression in CCITT and page.bitspersample == 1:
        return _assemble(page, content, partial(_decode_fax, page))
    if compression in _JPEG and page.planarconfig == _PLANES_APART and page.samplesperpixel > 1:
        return _assemble(page, content, partial(_decode_gray_jpeg, page))
    try:
        return page.asarray(squeeze=False, maxworkers=1)
    except Exception:
        if compression not in _PACKED_ROWS or page.is_tiled or page.imagelength % page.rowsperstrip == 0:
            raise
    # the last strip may be packed with rows below the image; as rows of the image they are read, and cut off
    rows = -(-page.imagelength // page.rowsperstrip) * page.rowsperstrip
    longer = _with_value(content, page, _HEIGHT, rows)
    with _tifffile().TiffFile(BytesIO(longer)) as opened:
        samples = cast("TiffPage", opened.pages.get(place)).asarray(squeeze=False, maxworkers=1)
    return samples[:, :, : page.imagelength]


def _assemble(
    page: TiffPage, content: bytes, decode: Callable[[bytes, int, int], npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """Return the samples of a page of one channel a strip or tile, each decoded from its bytes, width and height."""
    height, width = page.imagelength, page.imagewidth
    across, down = (page.tilewidth, page.tilelength) if page.is_tiled else (width, min(page.rowsperstrip, height))
    columns, rows = -(-width // across), -(-height // down)
    apart = page.samplesperpixel if page.planarconfig == _PLANES_APART else 1
    samples: npt.NDArray[Any] | None = None
    places = product(range(apart), range(0, rows * down, down), range(0, columns * across, across))
    for (plane, top, left), offset, count in zip(places, page.dataoffsets, page.databytecounts, strict=False):
        wanted = down if page.is_tiled else min(down, height - top)
        part = decode(content[offset : offset + count], across, wanted)
        if samples is None:
            samples = np.zeros((apart, 1, height, width, 1), part.dtype)
        target = samples[plane, 0, top : top + down, left : left + across, 0]
        target[:] = part[: target.shape[0], : target.shape[1]]
    if samples is None:
        raise DecodeFailure(Reason.DAMAGED, "tiff: missing strips or tiles")
    return samples


def _decode_fax(page: TiffPage, packed: bytes, width: int, height: int) -> npt.NDArray[np.bool_]:
    return decode_ccitt(
        packed,
        width=width,
        rows=height,
        compression=int(page.compression),
        options=page.tags.valueof(_FAX_OPTIONS, default=0),
        reverse_bits=page.fillorder == _LEAST_FIRST,
    )


def _decode_gray_jpeg(page: TiffPage, stream: bytes, width: int, height: int) -> Pixels:
    stream = _with_tables(page, stream)
    frame = read_frame(stream)
    if frame is None or len(frame.components) != 1:
        raise DecodeFailure(Reason.DAMAGED, "tiff")
    return decode_strictly(stream, "gray", embedded=True)[..., 0]


def _with_tables(page: TiffPage, stream: bytes) -> bytes:
    """Return a strip's JPEG with the tables that the page keeps for all strips."""
    tables = page.jpegtables
    return tables[:-2] + stream[2:] if tables and tables.endswith(b"\xff\xd9") else stream


def _with_offsets(content: bytes, directory: Directory) -> bytes:
    """Return a file whose directory states the strips of one of the planes that share it."""
    with _open_page(content, directory.place, _open(content)) as page:
        return _with_value(content, page, _OFFSETS, *directory.numbers[_OFFSETS])


def _with_value(content: bytes, page: TiffPage, tag: int, *values: int) -> bytes:
    """Return a file with other integers in a tag of a page."""
    entry = page.tags[tag]
    form = page.parent.byteorder + str(len(values)) + {3: "H", 4: "I", 16: "Q"}[int(entry.dtype)]
    size = struct.calcsize(form)
    return content[: entry.valueoffset] + struct.pack(form, *values) + content[entry.valueoffset + size :]


def _open(content: bytes) -> TiffFile:
    """Open a file in memory, which need not be closed."""
    with decoder_errors("tiff", content), _silent_log():
        opened: TiffFile = _tifffile().TiffFile(BytesIO(content))
        return opened


@contextmanager
def _open_page(content: bytes, place: int, opened: TiffFile) -> Iterator[TiffPage]:
    """Read the directory at a place in the main chain."""
    with decoder_errors("tiff", content), _silent_log():
        yield cast("TiffPage", opened.pages.get(place))  # a frame is given only where one is asked for


def _header(page: TiffPage, pages: int) -> Header:
    if not all(isinstance(side, int) for side in (page.imagewidth, page.imagelength, page.tilewidth, page.tilelength)):
        raise DecodeFailure(Reason.DAMAGED, "tiff")  # tifffile gives a tuple where a tag holds several numbers
    if page.tags.valueof(_PLANAR, default=1) not in (1, _PLANES_APART):
        raise DecodeFailure(Reason.DAMAGED, "tiff")
    check_size(page.imagewidth, page.imagelength)
    if page.samplesperpixel > _MOST_CHANNELS:
        raise DecodeFailure(Reason.UNSUPPORTED, f"{page.samplesperpixel} channels")
    if page.imagedepth != 1 or page.tiledepth != 1:
        raise DecodeFailure(Reason.UNSUPPORTED, "a volume")
    check_bomb(page.tilewidth, page.tilelength)
    if not isinstance(page.bitspersample, int):  # tifffile's annotation leaves out the tuple that it gives for 5-6-5
        raise DecodeFailure(Reason.UNSUPPORTED, "channels of different depth")
    orientation = valid_orientation(page.tags.valueof(_ORIENTATION))
    width, height = upright_size(page.imagewidth, page.imagelength, orientation)
    mode = _mode(page)
    return Header(
        format="tiff",
        width=width,
        height=height,
        mode=mode,
        bits=page.bitspersample,
        pages=pages,
        orientation=orientation,
        lossless=int(page.compression) in _LOSSLESS,
    )


def _mode(page: TiffPage) -> str:
    if _PHOTOMETRIC not in page.tags:
        raise DecodeFailure(Reason.UNSUPPORTED, "tiff without a photometric interpretation")
    photometric = int(page.tags.valueof(_PHOTOMETRIC))
    if photometric not in _MODES:
        raise DecodeFailure(Reason.UNSUPPORTED, f"tiff of photometric interpretation {photometric}")
    if photometric == _SEPARATED and page.tags.valueof(_INK_SET, default=1) != 1:
        raise DecodeFailure(Reason.UNSUPPORTED, "tiff of inks that are not CMYK")
    if photometric == _YCBCR and page.is_subsampled and int(page.compression) not in _JPEG:
        raise DecodeFailure(Reason.UNSUPPORTED, "tiff of subsampled YCbCr without JPEG")
    mode = _MODES[photometric]
    if _BITS not in page.tags and mode != "L":
        raise DecodeFailure(Reason.DAMAGED, "tiff")  # one bit, the default, is that of a bilevel image
    if page.samplesperpixel < _COLOR_CHANNELS[mode]:
        raise DecodeFailure(Reason.UNSUPPORTED, f"tiff of mode {mode} with {page.samplesperpixel} channels")
    if mode == "L" and page.bitspersample == 1:
        return "1"
    return mode + "A" if _alpha(page) is not None else mode


def _alpha(page: TiffPage) -> tuple[int, bool] | None:
    """Return which channel is alpha and whether it is premultiplied; channels of unstated meaning are not alpha."""
    for at, extra in enumerate(page.extrasamples):
        if extra in (_ASSOCIATED, _UNASSOCIATED):
            return page.samplesperpixel - len(page.extrasamples) + at, extra == _ASSOCIATED
    return None


def _check_strips(page: TiffPage, content: bytes) -> None:
    """Raise where tifffile would leave strips or tiles empty or fill them, and where one contains a bomb."""
    wanted = math.prod(page.chunked)
    if min(len(page.dataoffsets), len(page.databytecounts)) < wanted or not all(page.databytecounts[:wanted]):
        raise DecodeFailure(Reason.DAMAGED, "tiff: missing strips or tiles")
    # tifffile guesses counts that the file does not state
    if any(offset + count > len(content) for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)):
        raise DecodeFailure(Reason.TRUNCATED)
    compression = int(page.compression)
    if compression == _OLD_JPEG:
        raise DecodeFailure(Reason.UNSUPPORTED, "old-style jpeg in a tiff")
    if compression in _LOSSLESS - {LZW}:  # those codecs get the size of their output
        return
    for place, (offset, count) in enumerate(zip(page.dataoffsets[:wanted], page.databytecounts[:wanted], strict=True)):
        stream = content[offset : offset + count]
        if compression == LZW:
            if not is_safe_lzw(stream, reverse_bits=page.fillorder == _LEAST_FIRST):
                raise DecodeFailure(Reason.DAMAGED, "tiff")
            continue
        if compression in _JPEG:
            width, height = _chunk_size(page, place)
            check_embedded_jpeg(_with_tables(page, stream), width=width, height=height)
            continue
        kind = sniff(stream[:SNIFF_BYTES])
        if kind in EMBEDDED:
            check_bomb(*embedded_size(stream, kind))
        if kind == "jpeg2000":
            check_subsampling(stream)


def _chunk_size(page: TiffPage, place: int) -> tuple[int, int]:
    """Return the width and height that a strip or tile has to give; tiles at the border may be cut to the image."""
    across = page.tilewidth if page.is_tiled else page.imagewidth
    down = page.tilelength if page.is_tiled else page.rowsperstrip
    columns, rows = -(-page.imagewidth // across), -(-page.imagelength // down)
    row, column = place // columns % rows, place % columns
    return min(across, page.imagewidth - column * across), min(down, page.imagelength - row * down)


def _channels(
    page: TiffPage, samples: npt.NDArray[Any], header: Header, colormap: npt.NDArray[Any] | None, tone: Tone
) -> tuple[Pixels, str]:
    """Return 8-bit channels over white, (h, w, 1 or 3 or 4), and their mode."""
    mode = header.mode.removesuffix("A").replace("1", "L")
    wanted = samples[..., : _COLOR_CHANNELS[mode]]
    if mode == "P":
        color, mode = _apply_palette(wanted[..., 0], colormap), "RGB"
    else:
        color = to_eight_bits(wanted, bits=header.bits, tone="scale" if mode == "CMYK" else tone)
    if page.photometric == _MIN_IS_WHITE:
        color = 255 - color
    if mode == "YCbCr":
        if int(page.compression) not in _JPEG:  # tifffile brings YCbCr to RGB where the codec is JPEG, and only there
            color = np.asarray(Image.fromarray(np.ascontiguousarray(color), "YCbCr").convert("RGB"))
        mode = "RGB"
    alpha = _alpha(page)
    if alpha is not None:
        opacity = to_eight_bits(samples[..., alpha[0]], bits=header.bits, tone="scale")
        color = over_white(color, opacity, premultiplied=alpha[1], ink=mode == "CMYK")
    return color, mode


def _apply_palette(index: npt.NDArray[Any], colormap: npt.NDArray[Any] | None) -> Pixels:
    """Look colors up: 16-bit entries by v / 257, or as they are where none exceeds 255, as libtiff does."""
    whole = colormap is not None and colormap.dtype.kind == "u" and colormap.ndim == 2 and len(colormap) == 3
    if colormap is None or not whole or index.dtype.kind not in "ub":
        raise DecodeFailure(Reason.DAMAGED, "tiff: palette")
    entries = colormap if colormap.max() > 255 else colormap.astype(np.uint8)
    palette = to_eight_bits(entries.T, bits=8 * entries.itemsize, tone="scale")
    if int(index.max()) >= len(palette):
        raise DecodeFailure(Reason.DAMAGED, "tiff: colors beyond its palette")
    return palette[index.astype(np.intp)]


@cache
def _tifffile() -> ModuleType:
    import tifffile

    logging.getLogger("tifffile").addFilter(lambda _: not _SILENT.get())
    return tifffile


_SILENT: ContextVar[bool] = ContextVar("tifffile is read quietly", default=False)


@contextmanager
def _silent_log() -> Iterator[None]:
    """Silence tifffile's log while we read, but not for other users of tifffile in this process."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)
