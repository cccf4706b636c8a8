"""From the channels of a file to sRGB: ink, alpha over white, ICC profiles, tone.

Alpha is laid over white before a profile is applied, in the file's own colors: white is white in every profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from curation.images.types import DecodeFailure, Pixels, Tone
from curation.reasons import Reason

SRGB_TOLERANCE: Final = 2
"""A profile that moves no color of a 9x9x9 grid by more than this many levels is taken to be sRGB itself."""

_BAND_PIXELS: Final = 1 << 16

_CHANNELS: Final = {"L": 1, "RGB": 3, "CMYK": 4}


def over_white(color: Pixels, alpha: Pixels, *, premultiplied: bool = False, ink: bool = False) -> Pixels:
    """Blend an image over white: (color * alpha + white * (255 - alpha)) / 255, rounded.

    Parameters
    ----------
    color : (h, w, n) uint8 ndarray
    alpha : (h, w) uint8 ndarray
        255 is opaque.
    premultiplied : bool
        The colors are already multiplied by alpha (TIFF's associated alpha).
    ink : bool
        The channels count ink (CMYK), so that white is 0.
    """
    laid = np.empty(color.shape, np.uint8)
    for band in bands(*alpha.shape):
        laid[band] = _blend(color[band], alpha[band], premultiplied=premultiplied, ink=ink)
    return laid


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of an image in bands that are small enough for arithmetic in wider numbers than bytes."""
    rows = max(1, _BAND_PIXELS // max(1, width))
    return (slice(start, start + rows) for start in range(0, height, rows))


def _blend(color: Pixels, alpha: Pixels, *, premultiplied: bool, ink: bool) -> Pixels:
    opacity = alpha[..., None].astype(np.uint32)
    white = np.zeros_like(opacity) if ink else np.uint32(255) - opacity
    if premultiplied:
        laid = np.minimum(color + white, np.uint32(255))
    else:
        laid = (color * opacity + white * np.uint32(255) + np.uint32(127)) // np.uint32(255)
    flat: Pixels = laid.astype(np.uint8)
    return flat


def to_srgb(color: Pixels, mode: str, profile: bytes | None) -> Pixels:
    """Bring gray, RGB or CMYK channels to sRGB.

    A profile that cannot be read, or is of another color space than the channels, is ignored, as if it were not there.
    CMYK without a profile becomes (255 - ink) * (255 - black) / 255, as Pillow has it.

    Parameters
    ----------
    color : (h, w, n) uint8 ndarray
        n is 1, 3 or 4 for mode "L", "RGB" or "CMYK".
    profile : bytes or None
        The ICC profile of the file.

    Returns
    -------
    (h, w, 3) uint8 ndarray
    """
    transform = srgb_transform(profile, mode)
    if transform is None and mode == "RGB":
        return np.ascontiguousarray(color)
    if transform is None and mode == "L":
        return np.repeat(color, 3, axis=2)
    plane = np.ascontiguousarray(color[..., 0] if mode == "L" else color)
    image = Image.frombuffer(mode, (color.shape[1], color.shape[0]), plane, "raw", mode, 0, 1)
    return np.asarray(image.convert("RGB") if transform is None else apply_transform(image, transform))


def apply_transform(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """Return the sRGB image that a transform makes of another."""
    return cast(Image.Image, ImageCms.applyTransform(image, transform))  # None is returned for transforms in place only


@lru_cache(maxsize=32)
def srgb_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build the transform from a file's profile to sRGB; None where none is needed or possible.

    Relative colorimetric. Cached: the files of a source share few profiles.
    """
    if not profile or mode not in _CHANNELS:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(
            source, _srgb(), mode, "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    return None if mode == "RGB" and _is_identity(transform) else transform


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(apply_transform(Image.fromarray(grid), transform)).astype(np.int16) - grid
    return bool(np.abs(moved).max() <= SRGB_TOLERANCE)


def to_eight_bits(samples: npt.NDArray[Any], *, bits: int, tone: Tone) -> Pixels:
    """Bring samples of any width to 8 bits by the recipe's rule.

    "scale" maps the whole range of `bits` unsigned bits to 0..255: v * 255 / (2**bits - 1), rounded, which for 16 bits
    is v / 257. Up to 8 bits that is the only rule there is; above, a `Window` replaces it, and it alone covers signed
    and floating-point samples.

    Raises
    ------
    DecodeFailure
        The rule does not cover these samples.
    """
    if samples.dtype == np.bool_:
        return np.where(samples, np.uint8(255), np.uint8(0))
    unsigned = samples.dtype.kind == "u"
    if unsigned and bits == 8:
        return samples.astype(np.uint8, copy=False)
    if unsigned and (tone == "scale" or bits < 8):
        if bits > 32:
            raise DecodeFailure(Reason.NO_TONE_RULE, f"{bits}-bit samples")
        return scale_to_eight_bits(samples, (1 << bits) - 1)
    if tone == "scale":
        kind = "floating-point" if samples.dtype.kind == "f" else "signed"
        raise DecodeFailure(Reason.NO_TONE_RULE, f"{kind} samples (a window does)")
    if samples.dtype.kind not in "uif":
        raise DecodeFailure(Reason.NO_TONE_RULE, "complex samples")
    if samples.dtype.kind == "f" and np.isnan(samples).any():
        raise DecodeFailure(Reason.NO_TONE_RULE, "not-a-number samples")
    levels = (samples.astype(np.float64).clip(tone.low, tone.high) - tone.low) * 255 / (tone.high - tone.low)
    return np.floor(levels + 0.5).astype(np.uint8)


def scale_to_eight_bits(samples: npt.NDArray[Any], top: int) -> Pixels:
    """Map 0..top to 0..255, rounded half up; through a table where one is small enough."""
    values = samples.astype(np.uint64) if top > 0xFFFF else np.arange(top + 1, dtype=np.uint64)
    levels: Pixels = ((values * np.uint64(510) + np.uint64(top)) // np.uint64(2 * top)).astype(np.uint8)
    if top > 0xFFFF:
        return levels
    scaled = np.empty(samples.shape, np.uint8)
    for band in bands(len(samples), samples.size // max(1, len(samples))):
        scaled[band] = levels[np.minimum(samples[band], top)]
    return scaled
