"""Encodes images as common, unusual and broken JPEG, PNG and TIFF files."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.sources.synthetic.images import Pixels

GPS_TAG, ORIENTATION_TAG, DESCRIPTION_TAG = 0x8825, 0x0112, 0x010E

NOT_AN_IMAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>No such picture.</body></html>\n"
PLAIN_TEXT = b"These are notes, not a picture.\n"


def jpeg(pixels: Pixels, *, quality: int = 92, mode: str = "RGB") -> bytes:
    """Return a baseline JPEG, 4:2:0 as the published set's files are."""
    image = Image.fromarray(pixels).convert(mode)
    return _saved(image, "JPEG", {"quality": quality, "subsampling": -1 if mode == "CMYK" else "4:2:0"})


def png(pixels: Pixels, *, mode: str = "RGB") -> bytes:
    """Return a PNG of that Pillow mode; ``P`` has a palette of 255 colors, ``RGBA`` a transparent corner."""
    image = Image.fromarray(pixels)
    if mode == "P":
        image = image.quantize(255, dither=Image.Dither.NONE)
    if mode == "RGBA":
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        alpha[: pixels.shape[0] // 8, : pixels.shape[1] // 8] = 0
        image = Image.fromarray(np.dstack([pixels, alpha]))
    return _saved(image, "PNG", {"compress_level": 6})


def bomb() -> bytes:
    """Return a PNG of 64 bytes whose header declares 40000 x 10000 pixels."""
    header = struct.pack(">IIBBBBB", 40_000, 10_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")


def with_exif(file: bytes, payload: bytes) -> bytes:
    """Return a JPEG with an EXIF segment put in front; the coded image stays as it was, byte by byte."""
    return file[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + file[2:]


def exif(*, orientation: int | None = None, description: str | None = None, gps: bool = False) -> bytes:
    """Return the payload of an EXIF segment."""
    tags = Image.Exif()
    if orientation is not None:
        tags[ORIENTATION_TAG] = orientation
    if description is not None:
        tags[DESCRIPTION_TAG] = description
    if gps:
        tags[GPS_TAG] = {1: "N", 2: (47.0, 22.0, 12.0), 3: "E", 4: (8.0, 32.0, 24.0)}
    return tags.tobytes()


def broken_exif() -> bytes:
    """Return an EXIF payload whose first directory lies beyond its end."""
    return b"Exif\0\0MM\0*\x7f\xff\xff\xf0" + b"\xa5" * 40


def tiff(pixels: NDArray[np.uint8] | NDArray[np.uint16], settings: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """Return a TIFF of RGB, unless the ``settings`` (those of ``tifffile.imwrite``) differ."""
    import tifffile

    target = io.BytesIO()
    tifffile.imwrite(target, pixels, **{"photometric": "rgb", **_QUIET, **settings})
    return target.getvalue()


def tiff_palette(pixels: Pixels) -> bytes:
    """Return a TIFF with a palette of 255 colors."""
    image = Image.fromarray(pixels).quantize(255, dither=Image.Dither.NONE)
    palette = np.zeros((3, 256), np.uint16)
    colors = np.array(image.getpalette(), np.uint16).reshape(-1, 3)
    palette[:, : len(colors)] = (colors * 257).T
    return tiff(np.asarray(image), {"photometric": "palette", "colormap": palette})


def tiff_cmyk(pixels: Pixels) -> bytes:
    """Return a TIFF of cyan, magenta, yellow and no black: the plain inverse of the image."""
    black = np.zeros(pixels.shape[:2], np.uint8)
    return tiff(np.dstack([255 - pixels, black]), {"photometric": "separated"})


def tiff_alpha(pixels: Pixels) -> bytes:
    """Return a TIFF with an opaque alpha channel."""
    opaque = np.full(pixels.shape[:2], 255, np.uint8)
    return tiff(np.dstack([pixels, opaque]), {"extrasamples": ["unassalpha"]})


def tiff_16_bit(pixels: Pixels) -> bytes:
    """Return a TIFF of 16 bits a channel, each value times 257, so that 255 becomes 65535."""
    return tiff(np.asarray(pixels.astype(np.uint16) * 257))


def tiff_pages(pages: tuple[Pixels, ...]) -> bytes:
    """Return a TIFF of several pages."""
    import tifffile

    target = io.BytesIO()
    with tifffile.TiffWriter(target) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", **_QUIET)
    return target.getvalue()


# The encodings the published patches come in. Another build of zlib may write other, equally good bytes.
PATCH_ENCODINGS: Mapping[str, Callable[[Pixels], bytes]] = {
    "uncompressed": tiff,
    "lzw": lambda pixels: tiff(pixels, {"compression": "lzw", "predictor": True}),
    "deflate": lambda pixels: tiff(pixels, {"compression": "zlib", "predictor": True}),
    "planar": lambda pixels: tiff(np.moveaxis(pixels, 2, 0), {"planarconfig": "separate"}),
    "tiled": lambda pixels: tiff(pixels, {"tile": (64, 64)}),
    "palette": tiff_palette,
    "cmyk": tiff_cmyk,
    "alpha": tiff_alpha,
    "16-bit": tiff_16_bit,
}

# What tifffile would else add of itself: its name, and a description of the array.
_QUIET: Mapping[str, Any] = {"metadata": None, "software": False}


def _saved(image: Image.Image, form: str, settings: Mapping[str, Any]) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **settings)
    return target.getvalue()


def _chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
