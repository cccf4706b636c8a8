"""Reads the frame and the scans of a JPEG: what its decoder must know, and whether every coefficient was sent.

ITU-T T.81, Annexes B and G. libjpeg decodes a file whose last scans are missing without a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from curation.images.jpeg_segments import FRAMES, LOSSLESS_FRAMES, SOS, read_marker, scan_end
from curation.images.types import DecodeFailure
from curation.reasons import Reason

PROGRESSIVE_FRAMES: Final = frozenset({0xC2, 0xCA})
_DECODED: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
_CHANNELS: Final = (1, 3, 4)
_SECTOR: Final = bytes(512)
MOST_SCANS: Final = 500
"""No encoder writes so many; each scan of a progressive file costs a pass over all of its coefficients."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A JPEG's first frame.

    Attributes
    ----------
    marker : int
        0xC0 to 0xCF.
    bits : int
        Bits of one sample.
    width, height : int
        Pixels.
    components : tuple of (identifier, horizontal sampling, vertical sampling)
    """

    marker: int
    bits: int
    width: int
    height: int
    components: tuple[tuple[int, int, int], ...]

    @property
    def is_lossless(self) -> bool:
        """Whether the frame has no DCT, so that it cannot be decoded at a reduced size."""
        return self.marker in LOSSLESS_FRAMES


def read_frame(content: bytes) -> Frame | None:
    """Read the first frame of a JPEG; None where there is none, or it is cut."""
    at = 2
    try:
        while True:
            marker, at, end = read_marker(content, at)
            if marker in FRAMES:
                body = content[at + 2 : end]
                places = range(6, 6 + 3 * body[5], 3)
                height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
                components = tuple((body[place], body[place + 1] >> 4, body[place + 1] & 15) for place in places)
                return Frame(marker, body[0], width, height, components)
            if marker == SOS:
                return None
            at = end
    except (DecodeFailure, IndexError):
        return None


def check_frame(frame: Frame) -> None:
    """Raise `DecodeFailure` where a frame is of a kind that is not decoded, by the name of that kind."""
    if frame.bits != 8:
        lossless = "lossless " if frame.is_lossless else ""
        raise DecodeFailure(Reason.UNSUPPORTED, f"{frame.bits}-bit {lossless}jpeg")
    if frame.marker not in _DECODED:
        raise DecodeFailure(Reason.UNSUPPORTED, f"jpeg of frame type {frame.marker - 0xC0}")
    if len(frame.components) not in _CHANNELS:
        raise DecodeFailure(Reason.UNSUPPORTED, f"jpeg of {len(frame.components)} channels")
    factors = [(across, down) for _, across, down in frame.components]
    if any(not (across and down) for across, down in factors):
        raise DecodeFailure(Reason.DAMAGED, "jpeg")
    most = max(across for across, _ in factors), max(down for _, down in factors)
    # libjpeg upsamples by whole factors only; it reads the luma of others, but not their colors
    if any(most[0] % across or most[1] % down for across, down in factors):
        raise DecodeFailure(Reason.UNSUPPORTED, "jpeg of fractional sampling")


def check_scans(content: bytes, frame: Frame) -> None:
    """Raise "truncated" where a component's scan is missing, or a progressive one that refines it to the last bit."""
    progressive = frame.marker in PROGRESSIVE_FRAMES
    missing = {identifier: bytearray(b"\xff" * (64 if progressive else 1)) for identifier, *_ in frame.components}
    at, scans = 2, 0
    while True:
        marker, at, end = read_marker(content, at)
        if marker == 0xD9:
            break
        if marker == SOS:
            scans += 1
            if scans > MOST_SCANS:
                raise DecodeFailure(Reason.DAMAGED, f"jpeg: more than {MOST_SCANS} scans")
            _note_scan(content[at + 2 : end], missing, progressive=progressive)
            if not progressive and not any(any(left) for left in missing.values()):
                return
            begin, end = end, scan_end(content, end)
            # blank blocks are counted, not coded, where a progressive scan has no DC: zeros of a sector are a hole
            if progressive and content[begin - 3] and content.find(_SECTOR, begin, end) >= 0:
                raise DecodeFailure(Reason.DAMAGED, "jpeg")
        at = end
    if any(any(left) for left in missing.values()):
        raise DecodeFailure(Reason.TRUNCATED)


def _note_scan(header: Sequence[int], missing: dict[int, bytearray], *, progressive: bool) -> None:
    """Note what a scan leaves missing of each of its components: the lowest bit of each coefficient sent so far."""
    if not header or len(header) != 4 + 2 * header[0]:
        raise DecodeFailure(Reason.DAMAGED, "jpeg")
    first, last, low = header[-3], header[-2], header[-1] & 15
    for place in range(1, 1 + 2 * header[0], 2):
        left = missing.get(header[place])
        if left is None:
            raise DecodeFailure(Reason.DAMAGED, "jpeg")
        if not progressive:
            left[0] = 0
        elif first <= last < 64:
            left[first : last + 1] = bytes((low,)) * (last + 1 - first)
