"""Places buffers in one small block of memory: buffers in use at the same time do not overlap, except in place.

The largest buffer goes first into the lowest place that is allowed. Then this is repeated several times with the buffer
that reached highest in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_ROUNDS: Final = 60
_ALIGNMENT: Final = 4


@dataclass(frozen=True)
class Buffer:
    """Memory that is used from one step to another, both included."""

    name: str
    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Overlap:
    """Permission for a result to share memory with the input of its step.

    Parameters
    ----------
    source, result : str
        Buffers' names.
    distance : int
        The source must begin at least this many bytes above the result; may be negative.
    coincide : bool
        Both may also begin at the same address.
    """

    source: str
    result: str
    distance: int
    coincide: bool


@dataclass(frozen=True)
class Layout:
    """Where each buffer begins, in bytes, and how large the whole is."""

    offsets: Mapping[str, int]
    size_bytes: int


def lay_out(buffers: tuple[Buffer, ...], overlaps: tuple[Overlap, ...]) -> Layout:
    """Place every buffer at a multiple of four.

    Raises
    ------
    KeyError
        An overlap names a buffer that does not exist.
    """
    sizes = {buffer.name: buffer.size_bytes for buffer in buffers}
    leaves = {(overlap.source, overlap.result): overlap for overlap in overlaps if sizes[overlap.source] >= 0}
    order = sorted(buffers, key=lambda buffer: (-buffer.size_bytes, buffer.first, buffer.name))
    best: Layout | None = None
    for _ in range(_ROUNDS):
        layout = _place_in_order(order, leaves)
        if best is None or layout.size_bytes < best.size_bytes:
            best = layout
        highest = max(order, key=lambda buffer: (layout.offsets[buffer.name] + buffer.size_bytes, buffer.name))
        if order[0] == highest:
            break
        order = [highest, *(buffer for buffer in order if buffer != highest)]
    assert best is not None  # noqa: S101 - there is at least one round
    return best


def _place_in_order(order: list[Buffer], leaves: Mapping[tuple[str, str], Overlap]) -> Layout:
    offsets: dict[str, int] = {}
    placed: list[Buffer] = []
    for buffer in order:
        others = [other for other in placed if other.first <= buffer.last and buffer.first <= other.last]
        candidates = sorted({0} | {at for other in others for at in _candidates(buffer, other, offsets, leaves)})
        offsets[buffer.name] = next(
            at
            for at in candidates
            if at >= 0 and all(_is_allowed(buffer, at, other, offsets[other.name], leaves) for other in others)
        )
        placed.append(buffer)
    size = max((offsets[buffer.name] + buffer.size_bytes for buffer in order), default=0)
    return Layout(offsets=offsets, size_bytes=_up(size))


def _candidates(
    buffer: Buffer, other: Buffer, offsets: Mapping[str, int], leaves: Mapping[tuple[str, str], Overlap]
) -> set[int]:
    at = offsets[other.name]
    found = {_up(at + other.size_bytes), (at - buffer.size_bytes) // _ALIGNMENT * _ALIGNMENT}
    if as_source := leaves.get((buffer.name, other.name)):
        found |= {_up(at + as_source.distance), at}
    if as_result := leaves.get((other.name, buffer.name)):
        found |= {(at - as_result.distance) // _ALIGNMENT * _ALIGNMENT, at}
    return found


def _is_allowed(
    buffer: Buffer, at: int, other: Buffer, other_at: int, leaves: Mapping[tuple[str, str], Overlap]
) -> bool:
    if at + buffer.size_bytes <= other_at or other_at + other.size_bytes <= at:
        return True
    if as_source := leaves.get((buffer.name, other.name)):
        return at - other_at >= as_source.distance or (as_source.coincide and at == other_at)
    if as_result := leaves.get((other.name, buffer.name)):
        return other_at - at >= as_result.distance or (as_result.coincide and at == other_at)
    return False


def _up(value: int) -> int:
    return -(-value // _ALIGNMENT) * _ALIGNMENT
