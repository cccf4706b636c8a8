"""Copies a JPEG without its metadata, its coded image unchanged: the marker segments of ITU-T T.81, Annex B."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from curation.images.types import DecodeFailure
from curation.reasons import Reason

_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_APP0, _APP14 = 0xE0, 0xEE
_RESTARTS: Final = frozenset(range(0xD0, 0xD8))
FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers that begin a frame: SOF0 to SOF15, less DHT, JPG and DAC, which lie among them."""
LOSSLESS_FRAMES: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
# SOF0..SOF15 (which holds DHT, JPG and DAC too), DQT, DNL, DRI: what a decoder needs, and no other segment
_NEEDED: Final = frozenset(range(0xC0, 0xD0)) - {0xC8} | {_SOS, 0xDB, 0xDC, 0xDD}


def strip_metadata(content: bytes) -> bytes:
    """Copy a JPEG without its metadata: EXIF, XMP, ICC, IPTC, comments, thumbnails, and bytes after its end.

    The tables, frames and scans are copied byte for byte. Of JFIF's APP0 the density stays and the thumbnail goes; of
    Adobe's APP14, which defines the color coding, the twelve bytes that the decoder reads.

    Raises
    ------
    DecodeFailure
        The segments contradict each other.
    """
    parts = [b"\xff\xd8"]
    headed = set[int]()
    for marker, segment, scan in walk_segments(content):
        if marker in _NEEDED:
            parts += (bytes((0xFF, marker)), segment, scan)
            continue
        essence = _essence(marker, segment)
        if essence and marker not in headed:
            headed.add(marker)
            parts.append(bytes((0xFF, marker)) + (len(essence) + 2).to_bytes(2, "big") + essence)
    return b"".join((*parts, b"\xff\xd9"))


def walk_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield a JPEG's segments as (marker, segment with its length, entropy-coded bytes after it), up to its end."""
    at = 2
    if content[:2] != b"\xff\xd8":
        raise DecodeFailure(Reason.NOT_AN_IMAGE)
    while True:
        marker, at = _next_marker(content, at)
        if marker == _EOI:
            return
        if marker in _RESTARTS or marker in (_TEM, _SOI):
            continue
        length = int.from_bytes(content[at : at + 2], "big")
        if length < 2 or at + length > len(content):
            if length < 2:
                raise DecodeFailure(Reason.DAMAGED, "jpeg")
            raise DecodeFailure(Reason.TRUNCATED)
        end = _scan_end(content, at + length) if marker == _SOS else at + length
        yield marker, content[at : at + length], content[at + length : end]
        at = end


def _next_marker(content: bytes, at: int) -> tuple[int, int]:
    """Return the next marker and where its segment begins; stray bytes are passed over, as libjpeg does."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        if content[at + 1] not in (0x00, 0xFF):
            return content[at + 1], at + 2
        at += 1


def _scan_end(content: bytes, at: int) -> int:
    """Return where a scan's bytes end: before the first marker that is neither a stuffed zero nor a restart."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        code = content[at + 1]
        if code == 0xFF:
            at += 1
        elif code == 0x00 or code in _RESTARTS:
            at += 2
        else:
            return at


def _essence(marker: int, segment: bytes) -> bytes:
    body = segment[2:]
    if marker == _APP0 and body.startswith(b"JFIF\x00") and len(body) >= 14:
        return body[:12] + b"\x00\x00"
    if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        return body[:12]
    return b""
