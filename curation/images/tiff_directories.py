"""The directories of a TIFF, checked: every place that a page's pixels depend on lies inside the file.

tifffile passes over tags it cannot reach and fills missing strips with a value, so a cut file could give a picture that
never was. Here a cut is found before a pixel is read. TIFF 6.0, section 2, and the BigTIFF extension.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.images.picture import DecodeFailure

_TYPE_SIZES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGERS: Final = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_SUBFILE: Final = 254
_STRIPS: Final = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
_REDUCED_OR_MASK: Final = 1 | 4
# what the pixels depend on: the layout, the colours, the tables of the codecs, the orientation and the profile
_NEEDED: Final = frozenset(
    {_SUBFILE, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
    | {332, 338, 339, 347, 513, 514, 519, 520, 521, 529, 530, 532, 34675}
)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a file writes its numbers: classic or big, and in which byte order."""

    order: str
    offset: str
    count: str
    entry: int
    inline: int


_CLASSIC = ("I", "H", 12, 4)
_BIG = ("Q", "Q", 20, 8)


def read_directories(content: bytes) -> list[int]:
    """Return which directories of the main chain are pages, by their place in it: not the thumbnails, not the masks.

    Raises
    ------
    DecodeFailure
        "truncated" where a directory, a tag that pixels depend on, a strip or a tile lies beyond the end of the file.
    """
    layout, first = _read_layout(content)
    kinds = [_check_directory(content, at, layout) for at in _chain(content, first, layout)]
    if not kinds:
        raise DecodeFailure("no pages")
    return [place for place, kind in enumerate(kinds) if not kind & _REDUCED_OR_MASK] or [0]


def _read_layout(content: bytes) -> tuple[_Layout, int]:
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\x00", b"\x00+")
    offset, count, entry, inline = _BIG if big else _CLASSIC
    layout = _Layout(order, order + offset, order + count, entry, inline)
    return layout, _number(content, 8 if big else 4, layout.offset)


def _chain(content: bytes, at: int, layout: _Layout) -> Iterator[int]:
    """Give the offsets of the directories, each linked from the one before it."""
    seen = set[int]()
    while at:
        if at in seen:
            raise DecodeFailure("damaged tiff")
        seen.add(at)
        yield at
        entries = _number(content, at, layout.count)
        at = _number(content, at + struct.calcsize(layout.count) + entries * layout.entry, layout.offset)


def _check_directory(content: bytes, at: int, layout: _Layout) -> int:
    """Check one directory's tags and strips, and return its subfile type."""
    entries = _number(content, at, layout.count)
    first = at + struct.calcsize(layout.count)
    if first + entries * layout.entry > len(content):
        raise DecodeFailure("truncated")
    values: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.uint64]]] = {}
    for place in range(first, first + entries * layout.entry, layout.entry):
        tag, kind = struct.unpack_from(layout.order + "HH", content, place)
        if tag not in _NEEDED:
            continue
        count = _number(content, place + 4, layout.offset)
        size = count * _TYPE_SIZES.get(kind, 1)
        inline = place + layout.entry - layout.inline
        start = inline if size <= layout.inline else _number(content, inline, layout.offset)
        if start + size > len(content):
            raise DecodeFailure("truncated")
        if kind in _INTEGERS and (tag == _SUBFILE or any(tag in pair for pair in _STRIPS)):
            values[tag] = np.frombuffer(content, layout.order + _INTEGERS[kind], count, start).astype(np.uint64)
    _check_strips(values, len(content))
    kinds = values.get(_SUBFILE)
    return int(kinds[0]) if kinds is not None and kinds.size else 0


def _check_strips(values: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.uint64]]], size: int) -> None:
    for offsets_tag, counts_tag in _STRIPS:
        if offsets_tag not in values or counts_tag not in values:
            continue
        offsets, counts = values[offsets_tag], values[counts_tag]
        if len(offsets) != len(counts):
            raise DecodeFailure("damaged tiff")
        if not (offsets.all() and counts.all()):
            raise DecodeFailure("missing strips or tiles")
        if (np.minimum(offsets, 2**63) + np.minimum(counts, 2**63 - 1) > size).any():
            raise DecodeFailure("truncated")


def _number(content: bytes, at: int, form: str) -> int:
    try:
        return int(struct.unpack_from(form, content, at)[0])
    except struct.error:
        raise DecodeFailure("truncated") from None
