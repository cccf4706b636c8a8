"""Reads the chunks of a PNG: those of its pixels, checked, its profile and its orientation; a decoder gets no others.

Texts and profiles of many megabytes are common (an editor's history, a workflow) and change no pixel.
PNG, third edition.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image

from curation.images.orientation import valid_orientation
from curation.images.types import DecodeFailure
from curation.reasons import Reason

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXELS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_FRAMES: Final = frozenset({b"acTL", b"fcTL", b"fdAT"})
_XMP: Final = b"XML:com.adobe.xmp"
_RAW_EXIF: Final = frozenset({b"Raw profile type exif", b"Raw profile type APP1"})
_ORIENTATION: Final = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_PALETTE: Final = 3
_LARGEST: Final = 16 << 20
"""The unpacked bytes of a profile or a text that are read at most."""
_PIECE: Final = 1 << 20
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: the first column and row of each pass, and its steps."""


@dataclass(frozen=True, slots=True)
class Png:
    """The parts of a PNG.

    Attributes
    ----------
    content : bytes
        A PNG of the chunks that pixels depend on, those of an animation included.
    still : bytes
        The same without the animation.
    profile : bytes or None
        The ICC profile.
    orientation : int
        1 to 8, from EXIF, else from XMP.
    """

    content: bytes
    still: bytes
    profile: bytes | None
    orientation: int


def read_png(content: bytes) -> Png:
    """Read and check the chunks of a PNG.

    Raises
    ------
    DecodeFailure
        "truncated" where a chunk is cut; "damaged" where one that pixels depend on fails its checksum.
    """
    kept: list[bytes] = []
    still: list[bytes] = []
    profile: bytes | None = None
    exif: bytes | None = None
    raw_exif: bytes | None = None
    xmp = b""
    for kind, body, chunk in _walk(content):
        if kind in _PIXELS or kind in _FRAMES:
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise DecodeFailure(Reason.DAMAGED, "png")
            kept.append(chunk)
            if kind in _PIXELS:
                still.append(chunk)
        elif kind == b"CgBI":
            raise DecodeFailure(Reason.UNSUPPORTED, "png of Apple's own kind (CgBI)")
        elif not kind[0] & 0x20:  # a capital: no decoder may pass over it
            raise DecodeFailure(Reason.DAMAGED, "png")
        elif kind == b"iCCP" and profile is None:
            profile = _unpack(body.partition(b"\x00")[2][1:]) or None
        elif kind == b"eXIf" and exif is None:
            exif = bytes(body)
        elif kind in (b"iTXt", b"zTXt", b"tEXt"):
            keyword = bytes(body[:80]).partition(b"\x00")[0]
            if keyword == _XMP:
                xmp = _text(kind, body)
            elif keyword in _RAW_EXIF:
                raw_exif = _from_hexadecimal(_text(kind, body))
    if still and still[0][17] == _PALETTE and not any(chunk[4:8] == b"PLTE" for chunk in still):
        raise DecodeFailure(Reason.DAMAGED, "png")
    return Png(
        content=_join(kept),
        still=_join(still),
        profile=profile,
        orientation=_orientation(exif or raw_exif, xmp),
    )


def check_rows(png: Png) -> None:
    """Raise `DecodeFailure` where the packed rows are fewer than the header's, or their own sum or end is missing.

    Pillow takes rows that are missing for black, and does not read the stream to its end.
    """
    left = _raster_bytes(next(body for kind, body, _ in _walk(png.still) if kind == b"IHDR"))
    unpacker = zlib.decompressobj()
    try:
        for kind, body, _ in _walk(png.still):
            packed = body if kind == b"IDAT" else b""
            while packed and not unpacker.eof:
                left -= len(unpacker.decompress(packed, _PIECE))
                packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise DecodeFailure(Reason.DAMAGED, "png") from error
    if left > 0 or not unpacker.eof:
        raise DecodeFailure(Reason.TRUNCATED)


def _raster_bytes(header: Sequence[int]) -> int:
    """Return the bytes of all rows, each with the byte of its filter."""
    width, height = (int.from_bytes(bytes(header[at : at + 4]), "big") for at in (0, 4))
    bits = header[8] * _CHANNELS.get(header[9], 1)
    if not header[12]:
        return height * (1 + -(-width * bits // 8))
    total = 0
    for left, top, across, down in _PASSES:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return total


def _walk(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, body and all bytes of each chunk, up to the end."""
    at = len(_SIGNATURE)
    while True:
        length = int.from_bytes(content[at : at + 4], "big")
        end = at + 12 + length
        if end > len(content) or at + 12 > len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        kind = content[at + 4 : at + 8]
        if at == len(_SIGNATURE) and kind not in (b"IHDR", b"CgBI"):
            raise DecodeFailure(Reason.DAMAGED, "png")
        if kind == b"IHDR" and length != 13:
            raise DecodeFailure(Reason.DAMAGED, "png")
        yield kind, content[at + 8 : end - 4], content[at:end]
        if kind == b"IEND":
            return
        at = end


def _join(chunks: Sequence[bytes]) -> bytes:
    return b"".join((_SIGNATURE, *chunks))


def _unpack(packed: bytes) -> bytes:
    """Return unpacked bytes; none where they are damaged or too many: they change no pixel."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, _LARGEST)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else unpacked


def _text(kind: bytes, body: bytes) -> bytes:
    rest = body.partition(b"\x00")[2]
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _unpack(rest[1:])
    packed = rest[:1] == b"\x01"
    text = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    return _unpack(text) if packed else text


def _from_hexadecimal(text: bytes) -> bytes | None:
    """Return the EXIF that ImageMagick writes as text: a name, a length, then hexadecimal digits in lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return None


def _orientation(exif: bytes | None, xmp: bytes) -> int:
    if exif:
        block = Image.Exif()
        try:
            block.load(exif)
            value = block.get(ExifTags.Base.Orientation)
        except Exception:  # noqa: BLE001 - over a broken block Pillow raises struct.error, TypeError, SyntaxError ...
            value = None
        if value is not None:
            return valid_orientation(value)
    found = _ORIENTATION.search(xmp)
    return valid_orientation(int(found[1])) if found else 1
