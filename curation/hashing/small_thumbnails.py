"""Packs 32x32 gray thumbnails into few characters of text, near enough to recognize an image again."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.hashing.thumbnails import PIXELS

_BITS: Final = 5
_STEPS: Final = (1 << _BITS) - 1
_CHUNK: Final = 1024
_BYTES: Final = 2 + PIXELS * _BITS // 8


def pack_thumbnails(thumbnails: NDArray[np.uint8]) -> list[str]:
    """Return each thumbnail as 856 characters of base64: its lowest and highest gray value, and 5 bits a pixel.

    Parameters
    ----------
    thumbnails : (n, 32, 32) uint8 ndarray
    """
    texts: list[str] = []
    flat = np.asarray(thumbnails, np.uint8).reshape(-1, PIXELS)
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK]
        low, high = part.min(axis=1), part.max(axis=1)
        span = np.maximum(1, high.astype(np.int64) - low)[:, None]
        levels = (2 * _STEPS * (part.astype(np.int64) - low[:, None]) + span) // (2 * span)
        bits = np.unpackbits(levels.astype(np.uint8)[:, :, None], axis=2)[:, :, -_BITS:]
        packed = np.packbits(bits.reshape(len(part), -1), axis=1)
        texts += [base64.b64encode(row.tobytes()).decode() for row in np.column_stack([low, high, packed])]
    return texts


def unpack_thumbnails(texts: Sequence[str | None]) -> NDArray[np.uint8]:
    """Return the thumbnails of some texts, (n, 32, 32) uint8; zeros for a text that is missing or not one of these."""
    thumbnails = np.zeros((len(texts), PIXELS), np.uint8)
    for number, text in enumerate(texts):
        try:
            content = base64.b64decode(text or "", validate=True)
        except binascii.Error:
            continue
        if len(content) == _BYTES:
            bits = np.unpackbits(np.frombuffer(content[2:], np.uint8)).reshape(PIXELS, _BITS)
            levels = bits.astype(np.int64) @ (1 << np.arange(_BITS)[::-1])
            low, span = content[0], max(0, content[1] - content[0])
            thumbnails[number] = low + (2 * levels * span + _STEPS) // (2 * _STEPS)
    return thumbnails.reshape(-1, 32, 32)
