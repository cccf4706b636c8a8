"""Finds files that end before their format ends: decoders accept less, and truncation is not damage."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_JPEG_END: Final = b"\xff\xd9"
_GIF_IMAGE, _GIF_EXTENSION, _GIF_TRAILER = 0x2C, 0x21, 0x3B
_PADDING: Final = 4096
# neither fill, nor a stuffed zero, nor one of the markers that have no segment: TEM, RST0 to RST7, SOI
_JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")


def is_truncated(kind: str, content: bytes) -> bool:
    """Return whether the end marker of the format `kind` is missing; bytes after it are ignored.

    TIFF has no end to look for: `read_directories` checks every place that such a file points to.
    """
    check = _CHECKS.get(kind)
    return check is not None and check(content)


def _is_truncated_jpeg(content: bytes) -> bool:
    """Walk from marker to marker: bytes behind the end do not count."""
    at = 2
    while found := _JPEG_MARKER.search(content, at):
        if found[1] == b"\xd9":
            return False
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return True


def _is_truncated_codestream(content: bytes) -> bool:
    return not content[-_PADDING:].rstrip(b"\x00").endswith(_JPEG_END)


def _is_truncated_png(content: bytes) -> bool:
    at = 8
    while at + 12 <= len(content):
        at, kind = at + 12 + int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if kind == b"IEND":
            return at > len(content)
    return True


def _is_truncated_gif(content: bytes) -> bool:
    return _last_gif_block(content) is None


def has_unknown_gif_block(content: bytes) -> bool:
    """Return whether a GIF has something else than images and extensions before its end."""
    return _last_gif_block(content) not in (None, _GIF_TRAILER)


def _last_gif_block(content: bytes) -> int | None:
    """Return the first byte of the block at which a GIF ends, its trailer or one that does not exist; None if cut."""
    at = 13 + _gif_colors(content, 10)
    while at < len(content):
        block = content[at]
        if block not in (_GIF_IMAGE, _GIF_EXTENSION):
            return block
        # an image has its own colors and a code size before its bytes; an extension has a label
        at += 11 + _gif_colors(content, at + 9) if block == _GIF_IMAGE else 2
        while at < len(content) and content[at]:
            at += content[at] + 1
        at += 1
    return None


def _gif_colors(content: bytes, at: int) -> int:
    flags = content[at] if at < len(content) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _is_truncated_bmp(content: bytes) -> bool:
    return int.from_bytes(content[2:6], "little") > len(content)


def _is_truncated_webp(content: bytes) -> bool:
    return int.from_bytes(content[4:8], "little") + 8 > len(content)


def _is_truncated_jpeg2000(content: bytes) -> bool:
    if content.startswith(b"\xff\x4f"):
        return _is_truncated_codestream(content)
    at = 0
    while at + 8 <= len(content):  # ISO/IEC 15444-1, Annex I: boxes of length, type, content; 0 is "to the end"
        length, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        end = at + length if length else len(content)
        if kind == b"jp2c":
            return end > len(content) or not content[:end].endswith(_JPEG_END)
        at = max(end, at + head)
    return True


def _is_truncated_iso_media(content: bytes) -> bool:
    at = 0
    while at + 8 <= len(content):  # ISO/IEC 14496-12: boxes of length and type; 0 is "to the end"
        length = int.from_bytes(content[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(content[at + 8 : at + 16], "big")
        if length == 0:
            return False
        at += max(length, 8)
    return at > len(content)


_CHECKS: Final[dict[str, Callable[[bytes], bool]]] = {
    "jpeg": _is_truncated_jpeg,
    "png": _is_truncated_png,
    "gif": _is_truncated_gif,
    "bmp": _is_truncated_bmp,
    "webp": _is_truncated_webp,
    "jpeg2000": _is_truncated_jpeg2000,
    "avif": _is_truncated_iso_media,
    "heif": _is_truncated_iso_media,
}
