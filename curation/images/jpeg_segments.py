"""Copies a JPEG without its metadata, its coded image unchanged: the marker segments of ITU-T T.81, Annex B."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from curation.images.types import DecodeFailure
from curation.reasons import Reason

SOS: Final = 0xDA
"""The marker that begins a scan."""

_SOI, _EOI, _TEM = 0xD8, 0xD9, 0x01
_APP0, _APP14 = 0xE0, 0xEE
_RESTARTS: Final = frozenset(range(0xD0, 0xD8))
FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers that begin a frame: SOF0 to SOF15, less DHT, JPG and DAC, which lie among them."""
_ENDS_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
LOSSLESS_FRAMES: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
# SOF0..SOF15 (which holds DHT, JPG and DAC too), DQT, DNL, DRI: what a decoder needs, and no other segment
_NEEDED: Final = frozenset(range(0xC0, 0xD0)) - {0xC8} | {SOS, 0xDB, 0xDC, 0xDD}


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


def hash_coded_image(content: bytes) -> str | None:
    """Return the sha256 of a JPEG's tables, frames and scans; whatever its metadata is, it stays the same.

    None where the segments contradict each other.
    """
    digest = hashlib.sha256()
    try:
        for marker, segment, scan in walk_segments(content):
            if marker in _NEEDED:
                for part in (bytes((marker,)), segment, scan):
                    digest.update(part)
    except DecodeFailure:
        return None
    return digest.hexdigest()


def walk_segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield a JPEG's segments as (marker, segment with its length, entropy-coded bytes after it), up to its end."""
    at = 2
    if content[:2] != b"\xff\xd8":
        raise DecodeFailure(Reason.NOT_AN_IMAGE)
    while True:
        marker, at, body_end = read_marker(content, at)
        if marker == _EOI:
            return
        end = scan_end(content, body_end) if marker == SOS else body_end
        yield marker, content[at:body_end], content[body_end:end]
        at = end


def read_marker(content: bytes, at: int) -> tuple[int, int, int]:
    """Return the next marker of a segment or the end, and where its segment begins and ends.

    Stray bytes, and markers without a segment, are passed over, as libjpeg does.
    """
    while True:
        marker, at = _next_marker(content, at)
        if marker == _EOI:
            return marker, at, at
        if marker in _RESTARTS or marker in (_TEM, _SOI):
            continue
        length = int.from_bytes(content[at : at + 2], "big")
        if at + 2 > len(content) or at + length > len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        if length < 2:
            raise DecodeFailure(Reason.DAMAGED, "jpeg")
        return marker, at, at + length


def _next_marker(content: bytes, at: int) -> tuple[int, int]:
    """Return the next marker and where its segment begins; stray bytes are passed over, as libjpeg does."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        if content[at + 1] not in (0x00, 0xFF):
            return content[at + 1], at + 2
        at += 1


def scan_end(content: bytes, at: int) -> int:
    """Return where a scan's bytes end: before the first marker that is neither a stuffed zero nor a restart."""
    found = _ENDS_SCAN.search(content, at)
    if found is None:
        raise DecodeFailure(Reason.TRUNCATED)
    return found.start()


def _essence(marker: int, segment: bytes) -> bytes:
    body = segment[2:]
    if marker == _APP0 and body.startswith(b"JFIF\x00") and len(body) >= 14:
        return body[:12] + b"\x00\x00"
    if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        return body[:12]
    return b""
