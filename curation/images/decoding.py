"""Decodes the bytes of a file to an upright sRGB image, or raises the reason why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import numpy as np
from PIL import Image

from curation.images.dicom import decode_dicom, read_dicom_header
from curation.images.heif import decode_heif, read_heif_header
from curation.images.jpeg import decode_jpeg, read_jpeg_header
from curation.images.pillow_formats import PlainReader, read_plain_header
from curation.images.raster_formats import (
    decode_ico,
    decode_pnm,
    decode_qoi,
    read_ico_header,
    read_pnm_header,
    read_qoi_header,
)
from curation.images.sniffing import SNIFF_BYTES, sniff
from curation.images.tiff import TiffReader, read_tiff_header
from curation.images.types import DecodedImage, DecodeFailure, Header, Scale, Tone, limit_pixels
from curation.reasons import Reason

_PLAIN: Final = frozenset({"png", "gif", "bmp", "webp", "avif", "tga", "jpeg2000"})
_HEADERS: Final[dict[str, Callable[[bytes], Header]]] = {
    "jpeg": read_jpeg_header,
    "tiff": read_tiff_header,
    "pnm": read_pnm_header,
    "qoi": read_qoi_header,
    "ico": read_ico_header,
    "dicom": read_dicom_header,
    "heif": read_heif_header,
}
_IMAGES_NOT_READ: Final = {
    "jpegxl": "jpegxl",
    "photoshop": "photoshop",
    "fits": "fits",
    "openexr": "openexr",
    "radiance": "radiance hdr",
    "dds": "dds",
    "pcx": "pcx",
    "pam": "pam",
    "pfm": "pfm",
    "raw": "camera raw",
    "video": "video",
    "svg": "svg",
    "vector": "vector image",
}
_SYSTEM_FILES: Final = {"appledouble": "AppleDouble (macOS)", "ds_store": ".DS_Store (macOS)"}


def read_header(content: bytes) -> Header:
    """Read the header of a file's (first) image, without its pixels.

    Raises
    ------
    DecodeFailure
        The file is not an image, or it must not or cannot be decoded.
    """
    kind = _readable_kind(content)
    if kind in _HEADERS:
        return _HEADERS[kind](content)
    return read_plain_header(content, kind)


def decode(
    content: bytes,
    *,
    scale: Scale = "full",
    tone: Tone = "scale",
    page: int = 1,
    gray: bool = False,
    max_pixels: int | None = None,
) -> DecodedImage:
    """Decode one page of an image file.

    Gray, RGB, palette, CMYK, YCbCr and alpha (over white), 1 to 32 bits, ICC profiles to sRGB, orientation applied.

    Parameters
    ----------
    content : bytes
        The whole file.
    scale : {"full", "scaled"}
        "scaled" decodes a JPEG at the smallest DCT scale whose shorter side is at least 64 px; other formats are
        decoded in full either way. A truncated file is noticed in both.
    tone : "scale" or Window
        How samples of more than 8 bits become 8.
    page : int
        From 1.
    gray : bool
        Return (h, w): Pillow's "L" of the RGB image, as imagehash sees it; of a scaled JPEG the file's own luma
        channel, which is that but for rounding and costs less.
    max_pixels : int, optional
        Images of more pixels are refused; by default those of more than Pillow decodes, 179 million.

    Returns
    -------
    DecodedImage
        Its pixels are (h, w, 3) or (h, w) uint8, upright sRGB, and may be read-only.

    Raises
    ------
    DecodeFailure
        With reason and detail; the only way in which decoding can fail.
    """
    return ImageReader(content, max_pixels=max_pixels).decode(scale=scale, tone=tone, page=page, gray=gray)


class ImageReader:
    """Decodes the pages of one file, as ``decode`` does each. What they share is read once.

    Pages in ascending order cost the least: a frame may build on those before it.

    Parameters
    ----------
    content : bytes
        The whole file.
    max_pixels : int, optional
        As for ``decode``.
    """

    def __init__(self, content: bytes, *, max_pixels: int | None = None) -> None:
        self.content = content
        self.max_pixels = max_pixels
        self._pages: _Pages | None = None

    def decode(self, *, scale: Scale = "full", tone: Tone = "scale", page: int = 1, gray: bool = False) -> DecodedImage:
        """Decode one page; parameters, result and errors are those of ``decode``."""
        with limit_pixels(self.max_pixels):
            return self._decode(scale=scale, tone=tone, page=page, gray=gray)

    def _decode(self, *, scale: Scale, tone: Tone, page: int, gray: bool) -> DecodedImage:
        kind = _readable_kind(self.content)
        if kind == "jpeg":
            return decode_jpeg(self.content, scale=scale, page=page, gray=gray)
        if self._pages is None:
            self._pages = _open_pages(self.content, kind)
        decoded = self._pages(page, tone=tone)
        if not gray:
            return decoded
        return DecodedImage(decoded.header, np.asarray(Image.fromarray(decoded.pixels).convert("L")))


class _Pages(Protocol):
    def __call__(self, page: int, *, tone: Tone) -> DecodedImage: ...


def _open_pages(content: bytes, kind: str) -> _Pages:
    """Return the function that decodes a page of a file other than a JPEG."""
    match kind:
        case "tiff":
            return TiffReader(content).decode
        case "pnm":
            return partial(decode_pnm, content)
        case "qoi":
            return partial(decode_qoi, content)
        case "ico":
            return partial(decode_ico, content)
        case "dicom":
            return partial(decode_dicom, content)
        case "heif":
            return partial(decode_heif, content)
        case _:
            return PlainReader(content, kind).decode


def _readable_kind(content: bytes) -> str:
    kind = sniff(content[:SNIFF_BYTES])
    if kind in _HEADERS or kind in _PLAIN:
        return kind
    if kind == "empty":
        raise DecodeFailure(Reason.EMPTY_FILE)
    if kind in _IMAGES_NOT_READ:
        raise DecodeFailure(Reason.UNSUPPORTED, _IMAGES_NOT_READ[kind])
    if kind in _SYSTEM_FILES:
        raise DecodeFailure(Reason.SYSTEM_FILE, _SYSTEM_FILES[kind])
    raise DecodeFailure(Reason.NOT_AN_IMAGE, None if kind == "unknown" else kind)
