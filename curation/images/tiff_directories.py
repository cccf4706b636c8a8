"""The directories of a TIFF, checked: every place that a page's pixels depend on lies inside the file.

tifffile skips tags it cannot reach and fills missing strips with a value, so a truncated file could give an image that
never existed. Here truncation is found before a pixel is read. TIFF 6.0, section 2, and the BigTIFF extension.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import add
from typing import Final

from curation.images.types import DecodeFailure
from curation.reasons import Reason

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
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SUBFILE: Final = 254
_PROFILE: Final = 34675
_STRIPS: Final = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
_BYTES: Final = frozenset({1, 7})
_IN_BYTES_TOO: Final = frozenset({_SUBFILE, *_STRIPS[0], *_STRIPS[1]})  # tifffile ignores other numbers in bytes
_REDUCED_OR_MASK: Final = 1 | 4
# Honest directories never lie over one another; their values (one profile for all pages) may.
_VALUES_TIMES: Final = 16
_VALUES_FLOOR_BYTES: Final = 16 << 20
# what the pixels depend on: the layout, the colors, the tables of the codecs, the orientation and the profile
_NEEDED: Final = frozenset(
    {_SUBFILE, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
    | {332, 338, 339, 347, 513, 514, 519, 520, 521, 529, 530, 532, 34675}
)


# their places may lie outside the file: no pixel depends on them
_DESCRIPTION: Final = 270
_SUBDIRECTORIES: Final = 330
_RAW_VERSION: Final = 50706
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _CHANNELS, _COUNTS = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    279,
)
_SENSOR: Final = frozenset({32803, 34892})
"""The photometric interpretations of a sensor's samples: a color filter array, and linear raw."""
_SENSOR_COMPRESSIONS: Final = frozenset({32767, 34713, 65000, 65535})  # Sony, Nikon, Kodak, Pentax
_MOST_SUBDIRECTORIES: Final = 16
_PLANES: Final = re.compile(rb"\AImageJ=[^\x00]*?\nimages=(\d{1,9})")
_SHAPED: Final = re.compile(rb'\A\{"shape": \[([\d, ]{1,200})\]')


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


@dataclass(frozen=True, slots=True)
class Directory:
    """A page's directory, checked.

    Attributes
    ----------
    place : int
        Its place in the main chain.
    kind : int
        Its subfile type.
    tags : tuple of int
        Every tag in it, in the file's order.
    numbers : dict of int to tuple of int
        The tags of unsigned integers that pixels depend on.
    profile : bytes or None
        The ICC profile.
    value_bytes : int
        What `numbers` and `profile` occupy in the file.
    description : bytes
    shift : int
        The bytes by which this page's strips lie behind those that the directory states: of planes that share it.
    """

    place: int
    kind: int
    tags: tuple[int, ...]
    numbers: dict[int, tuple[int, ...]]
    profile: bytes | None
    value_bytes: int
    description: bytes = b""
    shift: int = 0


def read_directories(content: bytes) -> list[Directory]:
    """Return the directories of the main chain that are pages: not the thumbnails, not the masks.

    Raises
    ------
    DecodeFailure
        "truncated" where a directory, a tag that pixels depend on, a strip or a tile lies beyond the end of the file;
        "damaged tiff" where so many lie over one another that they are there to take time and memory.
    """
    layout, first = _read_layout(content)
    found: list[Directory] = []
    entries_room, values_room = len(content), _VALUES_TIMES * len(content) + _VALUES_FLOOR_BYTES
    for place, at in enumerate(_chain(content, first, layout)):
        found.append(_read_directory(content, at, layout, place, room=values_room))
        entries_room -= len(found[-1].tags) * layout.entry
        values_room -= found[-1].value_bytes
        if entries_room < 0:
            raise DecodeFailure(Reason.DAMAGED, "tiff")
    if not found:
        raise DecodeFailure(Reason.MISSING_PAGE)
    if any(_is_of_sensor(directory) or _is_preview_of_sensor(content, directory, layout) for directory in found):
        raise DecodeFailure(Reason.UNSUPPORTED, "camera raw")
    if len(found) == 1:
        return _planes(found[0], len(content))
    return [directory for directory in found if not directory.kind & _REDUCED_OR_MASK] or found[:1]


def _is_of_sensor(directory: Directory) -> bool:
    numbers = directory.numbers
    return (
        _RAW_VERSION in directory.tags
        or bool(_SENSOR & set(numbers.get(_PHOTOMETRIC, ())))
        or bool(_SENSOR_COMPRESSIONS & set(numbers.get(_COMPRESSION, ())))
    )


def _is_preview_of_sensor(content: bytes, directory: Directory, layout: _Layout) -> bool:
    """Return whether a directory below this one has a sensor's samples: cameras put a thumbnail above them."""
    for at in directory.numbers.get(_SUBDIRECTORIES, ())[:_MOST_SUBDIRECTORIES]:
        try:
            below = _read_directory(content, at, layout, directory.place, room=_VALUES_FLOOR_BYTES)
        except DecodeFailure:
            continue
        if _is_of_sensor(below):
            return True
    return False


def _planes(directory: Directory, size: int) -> list[Directory]:
    """Return a directory for each plane of a stack whose planes lie one behind the other and share one directory.

    ImageJ writes stacks of more than 4 GB so, and tifffile on request. A description alone does not make a stack:
    programs copy it to a single plane.
    """
    numbers = directory.numbers
    offsets, counts = numbers.get(_OFFSETS, ()), numbers.get(_COUNTS, ())
    if (
        numbers.get(_COMPRESSION, (1,)) != (1,)
        or not offsets
        or not all(
            start + count == follower for start, count, follower in zip(offsets, counts, offsets[1:], strict=False)
        )
    ):
        return [directory]
    plane = sum(counts)
    wanted, room = _count_planes(directory), (size - offsets[0]) // plane if plane else 0
    if wanted < 2 or room < 2:
        return [directory]
    if room < wanted:
        raise DecodeFailure(Reason.TRUNCATED)
    return [
        replace(
            directory,
            shift=shift,
            numbers={**numbers, _OFFSETS: tuple(offset + shift for offset in offsets)},
        )
        for shift in range(0, wanted * plane, plane)
    ]


def _count_planes(directory: Directory) -> int:
    """Return how many planes ImageJ's or tifffile's description states."""
    found = _PLANES.match(directory.description)
    if found:
        return int(found[1])
    shaped = _SHAPED.match(directory.description)
    if not shaped or b'"truncated": true' not in directory.description:
        return 1
    samples = 1
    for side in shaped[1].split(b","):
        samples *= int(side)
    height, width, channels = (next(iter(directory.numbers.get(tag, (1,))), 1) for tag in (_HEIGHT, _WIDTH, _CHANNELS))
    plane = height * width * channels
    return samples // plane if plane and samples % plane == 0 else 1


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
            raise DecodeFailure(Reason.DAMAGED, "tiff")
        seen.add(at)
        yield at
        entries = _number(content, at, layout.count)
        at = _number(content, at + struct.calcsize(layout.count) + entries * layout.entry, layout.offset)


def _read_directory(content: bytes, at: int, layout: _Layout, place: int, *, room: int) -> Directory:
    """Read one directory, of at most so many bytes of values, and check that what its tags point to is there."""
    entries = _number(content, at, layout.count)
    first = at + struct.calcsize(layout.count)
    if first + entries * layout.entry > len(content):
        raise DecodeFailure(Reason.TRUNCATED)
    tags: list[int] = []
    numbers: dict[int, tuple[int, ...]] = {}
    profile, description = None, b""
    value_bytes = 0
    entry = struct.Struct(f"{layout.order}HH{layout.offset[-1]}")
    for start in range(first, first + entries * layout.entry, layout.entry):
        tag, kind, count = entry.unpack_from(content, start)
        tags.append(tag)
        if tag not in _NEEDED and tag not in (_DESCRIPTION, _SUBDIRECTORIES):
            continue
        size = count * _TYPE_SIZES.get(kind, 1)
        inline = start + layout.entry - layout.inline
        begin = inline if size <= layout.inline else _number(content, inline, layout.offset)
        if tag == _DESCRIPTION:
            description = content[begin : begin + min(size, 4096)]
            continue
        if tag == _SUBDIRECTORIES:
            if kind in _INTEGERS and count <= _MOST_SUBDIRECTORIES and begin + size <= len(content):
                numbers[tag] = struct.unpack_from(f"{layout.order}{count}{_INTEGERS[kind]}", content, begin)
            continue
        if begin + size > len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        value_bytes += size
        if value_bytes > room:
            raise DecodeFailure(Reason.DAMAGED, "tiff")
        if tag == _PROFILE:
            profile = content[begin : begin + size] if kind in _BYTES else None
        elif kind in _INTEGERS and (kind not in _BYTES or tag in _IN_BYTES_TOO):
            numbers[tag] = struct.unpack_from(f"{layout.order}{count}{_INTEGERS[kind]}", content, begin)
    _check_strips(numbers, len(content))
    kind = next(iter(numbers.get(_SUBFILE, ())), 0)
    return Directory(place, kind, tuple(tags), numbers, profile, value_bytes, description)


def _check_strips(numbers: dict[int, tuple[int, ...]], size: int) -> None:
    for offsets_tag, counts_tag in _STRIPS:
        if offsets_tag not in numbers or counts_tag not in numbers:
            continue
        offsets, counts = numbers[offsets_tag], numbers[counts_tag]
        if len(offsets) != len(counts):
            raise DecodeFailure(Reason.DAMAGED, "tiff")
        if not (all(offsets) and all(counts)):
            raise DecodeFailure(Reason.DAMAGED, "tiff: missing strips or tiles")
        if any(map(size.__lt__, map(add, offsets, counts))):
            raise DecodeFailure(Reason.TRUNCATED)


def _number(content: bytes, at: int, form: str) -> int:
    try:
        return int(struct.unpack_from(form, content, at)[0])
    except (struct.error, OverflowError):  # no file is so long that an offset of 64 bits leads into it
        raise DecodeFailure(Reason.TRUNCATED) from None
