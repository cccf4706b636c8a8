"""Decodes the strips of a fax: ITU-T T.4 (Modified Huffman, Group 3) and T.6 (Group 4), and notices every bad code.

imagecodecs and libtiff return blank rows below a code that does not exist, or below the end of the data, without an
error; imagecodecs does so for some valid files too.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from curation.images.types import DecodeFailure
from curation.reasons import Reason

RLE, GROUP_3, GROUP_4, RLE_WORDS = 2, 3, 4, 32771
"""TIFF's numbers of the four codings."""
CCITT: Final = frozenset({RLE, GROUP_3, GROUP_4, RLE_WORDS})
_TWO_DIMENSIONAL: Final = 1

_WHITE: Final = (
    "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011 "
    "0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 "
    "00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 "
    "00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 "
    "01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100"
)
_WHITE_LONG: Final = (
    "11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 "
    "011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001 "
    "010011010 011000 010011011"
)
_BLACK: Final = (
    "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 "
    "0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 "
    "00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 "
    "000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 "
    "000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 "
    "000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 "
    "000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111"
)
_BLACK_LONG: Final = (
    "0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 "
    "0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 "
    "0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 "
    "0000001011011 0000001100100 0000001100101"
)
_LONGEST: Final = (
    "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111 "
    "000000011100 000000011101 000000011110 000000011111"
)
_PASS, _HORIZONTAL, _EXTENSION = 100, 101, 102
_MODES: Final = {
    **{"0001": _PASS, "001": _HORIZONTAL, "0000001": _EXTENSION},
    **{"1": 0, "011": 1, "000011": 2, "0000011": 3, "010": -1, "000010": -2, "0000010": -3},
}
_WINDOW: Final = 13
"""The bits of the longest code."""
_END_OF_LINE_ZEROS: Final = 11

_Table = list[tuple[int, int]]


def decode_ccitt(
    packed: bytes, *, width: int, rows: int, compression: int, options: int = 0, reverse_bits: bool = False
) -> npt.NDArray[np.bool_]:
    """Decode one strip.

    Parameters
    ----------
    packed : bytes
    width, rows : int
        The size of the strip in pixels.
    compression : {2, 3, 4, 32771}
        TIFF's number of the coding.
    options : int
        T4Options of Group 3.
    reverse_bits : bool
        The file's fill order is 2.

    Returns
    -------
    (rows, width) bool ndarray
        True where the code is that of black.

    Raises
    ------
    DecodeFailure
        "truncated" where the data ends before the last row, "damaged tiff" where a code does not exist or a row has
        another length.
    """
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little" if reverse_bits else "big")
    strip = _Strip(bits)
    image = np.zeros((rows, width), np.bool_)
    changes: list[int] = []
    align = {RLE: 8, RLE_WORDS: 16}.get(compression, 1)
    for row in range(rows):
        strip.at += -strip.at % align
        two_dimensional = compression == GROUP_4
        if compression == GROUP_3:
            strip.pass_end_of_line()
            two_dimensional = bool(options & _TWO_DIMENSIONAL) and not strip.take_bit()
        changes = strip.read_row_by_reference(changes, width) if two_dimensional else strip.read_row(width)
        for place in range(0, len(changes), 2):
            image[row, changes[place] : changes[place + 1] if place + 1 < len(changes) else width] = True
    strip.check_end()
    return image


class _Strip:
    """The bits of a strip, and the place up to which they are read."""

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        padded = np.concatenate([bits, np.zeros(_WINDOW, np.uint8)]).astype(np.uint16)
        count = len(bits) + 1
        windows = np.zeros(count, np.uint16)
        for place in range(_WINDOW):
            windows |= padded[place : place + count] << np.uint16(_WINDOW - 1 - place)
        self._windows: list[int] = windows.tolist()
        self._size = len(bits)
        self.at = 0

    def take_bit(self) -> int:
        return self._take(1, self._peek() >> _WINDOW - 1)

    def pass_end_of_line(self) -> None:
        """Pass the fill and the end-of-line code before a row, where there is one."""
        at = self.at
        while at < self._size and not self._windows[at] >> _WINDOW - 1:
            at += 1
        if at - self.at >= _END_OF_LINE_ZEROS and at < self._size:
            self.at = at + 1

    def check_end(self) -> None:
        """Raise where other codes than the end of a line or of the data follow the last row."""
        at = self.at
        while at < self._size and not self._windows[at] >> _WINDOW - 1:
            at += 1
        if at < self._size and at - self.at < _END_OF_LINE_ZEROS:
            raise DecodeFailure(Reason.DAMAGED, "tiff")

    def read_row(self, width: int) -> list[int]:
        """Return where the color changes, from white at first."""
        changes: list[int] = []
        reached, black = 0, False
        while reached < width:
            reached += self._read_run(black=black)
            if reached > width:
                raise DecodeFailure(Reason.DAMAGED, "tiff")
            changes.append(reached)
            black = not black
        return _tidy(changes, width)

    def read_row_by_reference(self, reference: list[int], width: int) -> list[int]:
        """Return where the color changes in a row that is coded by those of the row above it."""
        changes: list[int] = []
        reached, black, place = -1, False, 0
        while reached < width:
            place = max(place - 2, 0)
            while place < len(reference) and (reference[place] <= reached or place % 2 != black):
                place += 1
            first = reference[place] if place < len(reference) else width
            second = reference[place + 1] if place + 1 < len(reference) else width
            mode = self._look_up(_modes())
            if mode == _PASS:
                reached = second
            elif mode == _HORIZONTAL:
                reached = max(reached, 0)
                for color in (black, not black):
                    reached += self._read_run(black=color)
                    changes.append(reached)
            elif mode == _EXTENSION:
                raise DecodeFailure(Reason.UNSUPPORTED, "tiff of uncompressed fax data")
            else:
                if first + mode < max(reached, 0):
                    raise DecodeFailure(Reason.DAMAGED, "tiff")
                reached = first + mode
                changes.append(reached)
                black = not black
            if reached > width:
                raise DecodeFailure(Reason.DAMAGED, "tiff")
        return _tidy(changes, width)

    def _read_run(self, *, black: bool) -> int:
        total = 0
        while True:
            run = self._look_up(_runs(black=black))
            total += run
            if run < 64:
                return total

    def _look_up(self, table: _Table) -> int:
        length, value = table[self._peek()]
        if not length:
            # a code that does not exist is the end of the data where only zeros are left of it
            left = any(self._windows[place] for place in range(self.at, self._size, _WINDOW))
            raise DecodeFailure(Reason.DAMAGED, "tiff") if left else DecodeFailure(Reason.TRUNCATED)
        return self._take(length, value)

    def _peek(self) -> int:
        if self.at >= self._size:
            raise DecodeFailure(Reason.TRUNCATED)
        return self._windows[self.at]

    def _take(self, length: int, value: int) -> int:
        self.at += length
        if self.at > self._size:
            raise DecodeFailure(Reason.TRUNCATED)
        return value


def _tidy(changes: list[int], width: int) -> list[int]:
    """Return the changes without runs of no length, nor what lies at the end of the row."""
    tidy: list[int] = []
    for change in changes:
        if tidy and tidy[-1] == change:
            tidy.pop()
        else:
            tidy.append(change)
    while tidy and tidy[-1] >= width:
        tidy.pop()
    return tidy


@cache
def _runs(*, black: bool) -> _Table:
    short, long = (_BLACK, _BLACK_LONG) if black else (_WHITE, _WHITE_LONG)
    codes = {code: run for run, code in enumerate(short.split())}
    codes |= {code: 64 * (place + 1) for place, code in enumerate(f"{long} {_LONGEST}".split())}
    return _table(codes)


@cache
def _modes() -> _Table:
    return _table(_MODES)


def _table(codes: dict[str, int]) -> _Table:
    """Return length and value of the code at the beginning of each window of bits; 0 where there is none."""
    table = [(0, 0)] * (1 << _WINDOW)
    for code, value in codes.items():
        free = _WINDOW - len(code)
        first = int(code, 2) << free
        table[first : first + (1 << free)] = [(len(code), value)] * (1 << free)
    return table
