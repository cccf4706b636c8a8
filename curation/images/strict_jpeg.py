"""Decodes a JPEG with libjpeg-turbo and refuses what its decoder warns about: a filled image is not the file's image.

Harmless are the warnings that change no pixel: stray bytes between segments or behind a complete scan, an unknown
version of JFIF, Adobe's color code beyond those that exist, wrong parameters in a sequential scan's header, a broken
ICC profile. libjpeg-turbo reports its first warning alone, so a file with a harmless one is cleaned and decoded again.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import simplejpeg

from curation.images.jpeg_frame import PROGRESSIVE_FRAMES
from curation.images.jpeg_segments import FRAMES, SOS, strip_metadata, walk_segments
from curation.images.types import DecodeFailure, Pixels
from curation.reasons import Reason

Space: TypeAlias = Literal["gray", "rgb", "cmyk"]

_STRAY: Final = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_HARMLESS: Final = ("JFIF revision", "Adobe color transform", "Invalid SOS parameters", "ICC")
_END: Final = "Premature end of JPEG file"
_APP0, _APP14, _EOI = 0xE0, 0xEE, 0xD9
_REPAIRS: Final = 16
_SPARE: Final = b"\x5a\xa5\x3c\xc3" * 64
_HOLE: Final = bytes(64)
"""Codes of zeros alone are rare but possible; together with bytes left over they are a hole in the file."""


def decode_strictly(content: bytes, space: Space, *, width: int = 0, height: int = 0, embedded: bool = False) -> Pixels:
    """Decode a JPEG of 8 bits in full, or at the smallest of libjpeg's scales that keeps a size.

    Parameters
    ----------
    content : bytes
    space : {"gray", "rgb", "cmyk"}
        The channels of the result; "cmyk" as stored, and only of an image of four channels.
    width, height : int
        The least size of the result in pixels; 0 for the full size. A lossless JPEG has no other.
    embedded : bool
        The JPEG is a part of another file, which no camera pads: no warning is harmless.

    Returns
    -------
    (height, width, 1, 3 or 4) uint8 ndarray

    Raises
    ------
    ValueError
        libjpeg-turbo's first error or warning that is not harmless.
    DecodeFailure
        "truncated" where the file ends before its image.
    """
    cleaned = False
    for _ in range(_REPAIRS):
        try:
            decoded: Pixels = simplejpeg.decode_jpeg(
                content, space.upper(), min_height=height, min_width=width, strict=True
            )
            return decoded
        except ValueError as error:
            message = str(error)
            if message.startswith(_END):
                raise DecodeFailure(Reason.TRUNCATED) from error
            stray = _STRAY.search(message)
            if embedded:
                raise
            if stray is None and not any(words in message for words in _HARMLESS):
                raise
            if not cleaned:
                content, cleaned = _clean(content), True
            elif stray is not None:
                content = _without_stray_bytes(content, int(stray[1]), marker=int(stray[2], 16))
            else:
                raise
    raise DecodeFailure(Reason.DAMAGED, "jpeg")


def is_unknown_sampling(error: ValueError) -> bool:
    """Return whether libjpeg-turbo's own interface refused the sampling factors, which its decoder reads."""
    return "subsampling" in str(error)


def with_spare_bytes(content: bytes) -> bytes:
    """Copy a JPEG with further bytes behind each scan: a whole scan ignores them, a short one decodes them."""
    parts = (
        (bytes((0xFF, code)), segment, scan, _SPARE if scan else b"") for code, segment, scan in walk_segments(content)
    )
    return b"".join((b"\xff\xd8", *(part for group in parts for part in group), b"\xff\xd9"))


def _clean(content: bytes) -> bytes:
    """Copy a JPEG without stray bytes, metadata, and header fields that decoders warn about and ignore."""
    parts = [b"\xff\xd8"]
    progressive = True
    for marker, segment, scan in walk_segments(strip_metadata(content)):
        body = bytearray(segment)
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE_FRAMES or marker not in (0xC0, 0xC1, 0xC9)
        elif marker == SOS and not progressive:
            body[-3:] = b"\x00\x3f\x00"
        elif marker == _APP0:
            body[7] = 1
        elif marker == _APP14 and body[13] > 2:
            body[13] = 1 if _count_channels(content) == 3 else 2  # what libjpeg assumes
        parts += (bytes((0xFF, marker)), bytes(body), scan)
    return b"".join((*parts, b"\xff\xd9"))


def _count_channels(content: bytes) -> int:
    return next((segment[7] for marker, segment, _ in walk_segments(content) if marker in FRAMES), 0)


def _without_stray_bytes(content: bytes, count: int, *, marker: int) -> bytes:
    """Copy a JPEG without the bytes that are left over at the end of a scan, before a marker.

    Raises
    ------
    DecodeFailure
        They are left over because the scan has a hole.
    """
    segments = [*walk_segments(content), (_EOI, b"", b"")]
    for place, (code, segment, scan) in enumerate(segments[:-1]):
        if code == SOS and segments[place + 1][0] == marker and len(scan) > count:
            kept = scan[: len(scan) - count]
            if _HOLE in kept:
                raise DecodeFailure(Reason.DAMAGED, "jpeg")
            segments[place] = (code, segment, kept)
            break
    else:
        raise DecodeFailure(Reason.DAMAGED, "jpeg")
    return b"".join((b"\xff\xd8", *(bytes((0xFF, code)) + body + scan for code, body, scan in segments)))
