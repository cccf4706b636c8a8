"""CRC-32C (Castagnoli), the checksum of TFRecord files, without TensorFlow.

A CRC that starts at zero is linear and ignores leading zeros. The bytes are therefore split into rows of equal length,
all rows are processed at once, and the results are combined by the linear map of a row of zeros.
"""

from functools import cache, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

_POLYNOMIAL: Final = 0x82F63B78
_MASK_DELTA: Final = 0xA282EAD8

Words = npt.NDArray[np.uint32]


@cache
def _table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


def crc32c(content: bytes) -> int:
    """Return the CRC-32C of ``content``.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(content) < 4:
        return _crc_of_few(content)
    # Starting at all ones is the same as starting at zero with the first four bytes inverted.
    head = bytes(byte ^ 0xFF for byte in content[:4])
    width = max(1, int(len(content) ** 0.5))
    height = -(-len(content) // width)
    padded = np.zeros(width * height, dtype=np.uint8)
    padded[width * height - len(content) :] = np.frombuffer(head + content[4:], dtype=np.uint8)
    columns = np.ascontiguousarray(padded.reshape(height, width).T)
    return int(_join(_run(np.zeros(height, dtype=np.uint32), columns), width)) ^ 0xFFFFFFFF


def mask(crc: int) -> int:
    """Return a CRC as TFRecord stores it: rotated right by 15 bits plus a constant, modulo 2**32."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _crc_of_few(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = int(_table()[(crc ^ byte) & 0xFF]) ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _run(crc: Words, columns: npt.NDArray[np.uint8]) -> Words:
    """Advance (n,) registers over a (steps, n) uint8 array."""
    table = _table()
    for column in columns:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    return crc


def _join(rows: Words, width: int) -> int:
    """Return the register after all rows of ``width`` bytes, one after another."""
    tables = _zeros(width)
    total = 0
    for row in rows.tolist():
        total = (
            tables[0][total & 0xFF]
            ^ tables[1][total >> 8 & 0xFF]
            ^ tables[2][total >> 16 & 0xFF]
            ^ tables[3][total >> 24]
        ) ^ row
    return total


@lru_cache(maxsize=64)
def _zeros(width: int) -> tuple[list[int], ...]:
    """Return, for each byte of a register, the result of ``width`` zero bytes for its 256 values."""
    values = np.arange(256, dtype=np.uint32)
    registers = np.concatenate([values << np.uint32(8 * place) for place in range(4)])
    after = _run(registers, np.zeros((width, 1024), dtype=np.uint8))
    return tuple(after[256 * place : 256 * (place + 1)].tolist() for place in range(4))
