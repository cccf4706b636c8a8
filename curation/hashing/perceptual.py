"""Perceptual hashes: imagehash's definitions, and a batched pHash that gives the same bits in all eight orientations.

Invariant: independent of batch, machine and linear algebra library, every hash is the one that ``imagehash.phash``
computes for the same 32x32 pixels. Where rounding could change a bit, imagehash computes the hash.
"""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.images.orientation import turn

if TYPE_CHECKING:
    from imagehash import ImageHash

HashName = Literal["dhash", "ahash", "whash"]

SIDE: Final = 32
_CHUNK: Final = 1024
# OpenBLAS starts threads above 2**18 multiplications, which here costs more than it gives: processes use the cores.
_MULTIPLIED: Final = (1 << 18) // (SIDE * SIDE * 8)

# Coefficients reach 4 * 1024 * 255 = 1.04e6. Rounding of a sum of 64 products of that size stays below
# 64 * 2**-53 * 1.04e6 < 1e-8, in our matrix product as in scipy's FFT, so that a gap a hundred times that is real.
_SAFE_GAP: Final = 1e-6

# DCT-II as scipy.fftpack.dct defines it, the eight lowest frequencies: y_k = 2 sum x_n cos(pi k (2n + 1) / 2N).
_COSINES: Final = 2 * np.cos(np.pi / (2 * SIDE) * np.arange(8)[:, None] * (2 * np.arange(SIDE)[None, :] + 1))

# A flip of an axis negates the odd frequencies along it: row p holds the signs of orientation p (0 to 3).
_ODD: Final = 1.0 - 2.0 * (np.arange(8) % 2)
_SIGNS: Final = np.stack(
    [np.outer(rows, columns).ravel() for rows in (np.ones(8), _ODD) for columns in (np.ones(8), _ODD)]
)

# The orientation that flip p followed by a transpose gives: flipping left-right and then transposing is transposing
# and then flipping top-bottom. The values of its block are the same, and so is their median.
_TRANSPOSED: Final = (4, 6, 5, 7)


def phash(gray32: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the 64-bit pHash of each image, bit-identical to ``imagehash.phash`` on the same pixels.

    Parameters
    ----------
    gray32 : (n, 32, 32) uint8 ndarray
        Gray images, scaled as ``image.convert("L").resize((32, 32), LANCZOS)``.

    Returns
    -------
    (n,) uint64 ndarray
        The bit of frequency (row u, column v) is worth ``2 ** (63 - 8 u - v)``: ``format(hash, "016x")`` is
        ``str(imagehash.phash(image))``.

    Notes
    -----
    Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010), as coded in imagehash 4.3.
    """
    return _hash_in_chunks(gray32, orientations=1)[:, 0]


def symmetries(gray32: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the pHash of each image in its eight orientations, from one DCT an image.

    Parameters
    ----------
    gray32 : (n, 32, 32) uint8 ndarray

    Returns
    -------
    (n, 8) uint64 ndarray
        Column ``k`` is ``imagehash.phash`` of ``turn(image, k)``, bit by bit; column 0 is ``phash``.
    """
    return _hash_in_chunks(gray32, orientations=8)


def to_imagehash(phash: int) -> "ImageHash":
    """Return imagehash's object for one 64-bit hash."""
    import imagehash  # with SciPy half a second, which an unchanged build does not need

    return imagehash.hex_to_hash(format(int(phash), "016x"))


def from_imagehash(code: "ImageHash") -> int:
    """Return the 64-bit number of imagehash's object (of ``hash_size=8``)."""
    if code.hash.size != 64:
        raise ValueError(f"a 64-bit hash is needed, not one of {code.hash.size} bits")
    return int(np.packbits(code.hash).tobytes().hex(), 16)


def imagehash_hash(name: HashName, image: Image.Image) -> int:
    """Return imagehash's difference, average or wavelet hash (64 bits, upright only) of an image."""
    import imagehash

    if name == "dhash":
        return from_imagehash(imagehash.dhash(image))
    if name == "ahash":
        return from_imagehash(imagehash.average_hash(image))
    if name == "whash":
        return from_imagehash(imagehash.whash(image))
    raise ValueError(f"imagehash has no {name!r} here; choose dhash, ahash or whash")


def _hash_in_chunks(gray32: NDArray[np.uint8], *, orientations: Literal[1, 8]) -> NDArray[np.uint64]:
    if gray32.ndim != 3 or gray32.shape[1:] != (SIDE, SIDE) or gray32.dtype != np.uint8:
        raise ValueError(f"(n, 32, 32) uint8 is needed, not {gray32.shape} {gray32.dtype}")
    codes = np.empty((len(gray32), orientations), np.uint64)
    for start in range(0, len(gray32), _CHUNK):
        images = gray32[start : start + _CHUNK]
        blocks = _low_frequencies(images)
        chunk = codes[start : start + _CHUNK]
        for flip in range(min(orientations, 4)):
            chunk[:, flip], unsafe = _threshold(blocks * _SIGNS[flip])
            chunk[unsafe, flip] = _define(images[unsafe], flip)
            if orientations == 8:
                turned = _TRANSPOSED[flip]
                chunk[:, turned] = _transpose_bits(chunk[:, flip])
                chunk[unsafe, turned] = _define(images[unsafe], turned)
    return codes


def _low_frequencies(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    blocks = np.empty((len(images), 8, 8))
    for start in range(0, len(images), _MULTIPLIED):
        part = images[start : start + _MULTIPLIED]
        along_rows = part.reshape(-1, SIDE).astype(np.float64) @ _COSINES.T
        np.matmul(_COSINES, along_rows.reshape(-1, SIDE, 8), out=blocks[start : start + _MULTIPLIED])
    return blocks.reshape(-1, 64)


def _threshold(coefficients: NDArray[np.float64]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Return the hashes, and the rows in which rounding could have decided a bit."""
    middle = np.partition(coefficients, (31, 32), axis=1)[:, 31:33]
    bits = coefficients >= middle[:, 1:]
    codes = np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)
    return codes, np.flatnonzero(middle[:, 1] - middle[:, 0] < _SAFE_GAP)


def _transpose_bits(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Transpose the 8x8 bits of each hash by three delta swaps (Warren, Hacker's Delight, 7-3)."""
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        swapped = (codes ^ (codes >> np.uint64(shift))) & np.uint64(mask)
        codes = codes ^ swapped ^ (swapped << np.uint64(shift))
    return codes


def _define(images: NDArray[np.uint8], orientation: int) -> NDArray[np.uint64]:
    """Hash by the definition itself, each distinct image once."""
    known: dict[bytes, int] = {}
    codes = np.empty(len(images), np.uint64)
    for row, image in enumerate(images):
        content = image.tobytes()
        if content not in known:
            known[content] = _imagehash_phash(turn(image, orientation))
        codes[row] = known[content]
    return codes


def _imagehash_phash(gray: NDArray[np.uint8]) -> int:
    import imagehash

    return from_imagehash(imagehash.phash(Image.fromarray(np.ascontiguousarray(gray))))
