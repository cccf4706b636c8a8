"""Images drawn for the tests, and files of every kind to put them in."""

import io
import shutil
import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from curation.images import DecodeFailure, decode


def draw(width: int = 72, height: int = 60, seed: int = 0) -> np.ndarray:
    """Draw a smooth colourful image, (h, w, 3) uint8, in which no two corners are alike."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (max(2, height // 6), max(2, width // 6), 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def file_of(pixels: np.ndarray | Image.Image, kind: str = "PNG", **settings) -> bytes:
    """Write an image with Pillow."""
    image = pixels.copy() if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def tiff_of(samples: np.ndarray, **settings) -> bytes:
    """Write a TIFF with tifffile."""
    out = io.BytesIO()
    tifffile.imwrite(out, samples, **settings)
    return out.getvalue()


def strip_tiff(
    width: int, height: int, strip: bytes, *, compression: int = 1, extra: tuple = (), more: Sequence[tuple] = ()
) -> bytes:
    """Write an 8-bit gray TIFF of one strip by hand, true or not; ``more`` replaces tags of these numbers."""
    at = 8 + 2 + 12 * (8 + len(extra) + len({tag[0] for tag in more} - {258, 262})) + 4
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)),
        *((273, 4, 1, at), (278, 4, 1, height), (279, 4, 1, len(strip)), *extra),
    ]
    replaced = {tag[0] for tag in more}
    tags = [*(tag for tag in tags if tag[0] not in replaced), *more]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip


def png_of_size(width: int, height: int, rows: bytes = b"") -> bytes:
    """Write an RGB PNG whose header states a size and whose pixel data is given."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif_of_size(width: int, height: int) -> bytes:
    """Write a GIF whose screen and only frame state a size."""
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + bytes(3) + b"," + bytes(4) + size + b"\x00\x08\x01\x00\x00;"


def with_exif_orientation(orientation: int) -> Image.Exif:
    """Return an EXIF block that states an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def srgb_profile() -> bytes:
    """Return sRGB's own ICC profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """Return an RGB profile whose red and blue primaries are swapped, so that a transform cannot be overlooked."""
    profile = bytearray(srgb_profile())
    count = struct.unpack_from(">I", profile, 128)[0]
    places = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = (slice(places[name] + 4, places[name] + 12) for name in (b"rXYZ", b"bXYZ"))
    profile[red], profile[blue] = profile[blue], profile[red]
    return bytes(profile)


def reason_of(content: bytes, **settings) -> tuple[str, str | None]:
    """Return reason and detail of why a file cannot be decoded; fail where it can."""
    with pytest.raises(DecodeFailure) as failure:
        decode(content, **settings)
    return failure.value.reason, failure.value.detail


def shape_or_reason(content: bytes, **settings) -> tuple[int, ...] | tuple[str, str | None]:
    """Return the shape of a file's pixels, or why it has none; any other error comes through."""
    try:
        return decode(content, **settings).pixels.shape
    except DecodeFailure as failure:
        return failure.reason, failure.detail


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run one of libtiff's tools; skip where it is not installed."""
    if shutil.which(name) is None:
        pytest.skip(f"libtiff's {name} is not installed")
    subprocess.run([name, *map(str, arguments)], check=True, capture_output=True)


def flat_jpeg(width: int, height: int, sampling: tuple[tuple[int, int], ...]) -> bytes:
    """Write a JPEG of one color by hand, with any sampling factors (across, down) of its channels."""
    across, down = (max(factors) for factors in zip(*sampling, strict=True))
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    luma, chroma = "00" + "1010", "00" + "00"  # a difference of 0, the end of the block: the tables of Annex K
    bits = "".join((luma if place == 0 else chroma) * (h * v) for place, (h, v) in enumerate(sampling)) * units
    bits += "1" * (-len(bits) % 8)
    scan = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    example = file_of(draw(16, 16), "JPEG", quality=90)
    tables = example[example.index(b"\xff\xdb") : example.index(b"\xff\xc0")]
    codes = example[example.index(b"\xff\xc4") : example.index(b"\xff\xda")]
    frame = struct.pack(">BHHB", 8, height, width, len(sampling))
    header = bytes((len(sampling),))
    for place, (h, v) in enumerate(sampling):
        frame += bytes((place + 1, h << 4 | v, min(place, 1)))
        header += bytes((place + 1, 0x11 if place else 0))
    start = b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + codes
    header += b"\x00\x3f\x00"
    return b"\xff\xd8" + tables + start + b"\xff\xda" + struct.pack(">H", len(header) + 2) + header + scan + b"\xff\xd9"
