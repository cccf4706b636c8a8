"""Whether LZW-packed bytes may be given to imagecodecs' decoder, which trusts the first code after each clear.

A first code that names a table entry that is not written yet makes it read from arbitrary memory, which may end the
process. First codes have 9 bits. After 255 codes without a clear all entries that 9 bits can name are
written, so only the beginning of a strip has to be checked.
"""

from __future__ import annotations

from typing import Final

LZW: Final = 5
"""TIFF's number for it."""

_BITS: Final = 9
_CLEAR: Final = 256
_END: Final = 257
_ENOUGH: Final = 255  # codes since a clear
_GROUPS: Final = 255  # the clear at the beginning and 254 codes; the one after them may have 10 bits
_GROUPED_BITS: Final = _GROUPS * _BITS
_HEAD_BYTES: Final = (_GROUPED_BITS + 10 + 7) // 8
_LOW: Final = sum(1 << _BITS * place for place in range(_GROUPS))
_HIGH: Final = _LOW << _BITS - 1
_BELOW_HIGH: Final = _HIGH - _LOW
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_safe_lzw(packed: bytes, *, reverse_bits: bool = False) -> bool:
    """Return whether each clear is followed by a byte's own code, another clear or the end, as far as that matters.

    Parameters
    ----------
    packed : bytes
        A strip or a tile.
    reverse_bits : bool
        The file's fill order is 2: the decoder is given the bytes' bits the other way round.
    """
    if reverse_bits:
        packed = packed.translate(_REVERSED)
    head = packed[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0")
    if _is_old(packed):
        codes = int.from_bytes(head, "little")
        first, last = codes >> _BITS & 511, codes >> _GROUPED_BITS & 511
        grouped = codes & (1 << _GROUPED_BITS) - 1
    else:
        codes, rest = int.from_bytes(head, "big"), 8 * _HEAD_BYTES - _GROUPED_BITS
        grouped, last = codes >> rest, codes >> rest - 10 & 1023
        first = grouped >> _GROUPED_BITS - 2 * _BITS & 511
    if _count_clears(grouped) > 1 or last == _CLEAR:
        return _is_safe_code_by_code(packed)
    return first < _CLEAR or first == _END


def _is_old(packed: bytes) -> bool:
    """Return whether the codes begin at the least significant bit, as in files before TIFF 6."""
    return packed[:1] == b"\0" and packed[1:2] != b"" and packed[1] & 1 == 1


def _count_clears(grouped: int) -> int:
    """Return how many groups of 9 bits are a clear, which is the high bit alone, all at once."""
    unlike = grouped ^ _HIGH
    return _GROUPS - ((((unlike & _BELOW_HIGH) + _BELOW_HIGH) | unlike) & _HIGH).bit_count()


def _is_safe_code_by_code(packed: bytes) -> bool:
    old, at, since, cleared = _is_old(packed), 0, 0, False
    while since < _ENOUGH:
        bits = _BITS if old or since < _ENOUGH - 1 else 10
        if at + bits > 8 * len(packed):
            break
        window = packed[at // 8 : at // 8 + 3].ljust(3, b"\0")
        value = (
            int.from_bytes(window, "little") >> at % 8 if old else int.from_bytes(window, "big") >> 24 - bits - at % 8
        )
        code = value & (1 << bits) - 1
        at += bits
        if code == _CLEAR:
            since, cleared = 0, True
            continue
        if code == _END:
            break
        if cleared and code > _END:
            return False
        since, cleared = since + 1, False
    return True
