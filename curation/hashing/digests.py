"""Names bytes and pixels by their sha256."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def sha256_hex(data: bytes) -> str:
    """Return the sha256 of ``data`` as 64 hex digits.

    >>> sha256_hex(b"")[:12]
    'e3b0c44298fc'
    """
    return hashlib.sha256(data).hexdigest()


def pixel_sha256(pixels: NDArray[np.generic]) -> str:
    """Return the sha256 over shape, dtype and pixels, free of memory layout and byte order.

    Parameters
    ----------
    pixels : ndarray of any shape and numeric dtype
        (height, width) for gray, otherwise (height, width, channels); the shape is hashed too, so that a 2x8 and a 4x4
        image of the same bytes differ.

    Raises
    ------
    TypeError
        For arrays of Python objects, whose bytes are addresses.
    """
    if pixels.dtype.hasobject:
        raise TypeError("pixels must be numbers, not objects")
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{pixels.shape}{little.dtype.str}\n".encode())
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
