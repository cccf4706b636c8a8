"""Remedies against shortcuts: pure functions of pixels that remove traces of the camera.

Each gives the same pixels on every machine: sums are over integers, and what has to be a real number ends in a table of
256 rounded levels or in Pillow's fixed-point resampling.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
from PIL import Image

from curation.images.lanczos import downscale
from curation.images.quality import laplacian_variance
from curation.images.types import Pixels

Constancy: TypeAlias = Literal["grey-world", "shades-of-grey"]
NORMS: Final = {"grey-world": 1, "shades-of-grey": 6}
SMALLEST: Final = 8
"""The smallest shorter side, in pixels, that an image is scaled through."""


def crop_border(pixels: Pixels, share: float) -> Pixels:
    """Cut the same share of its side off every edge, so that borders, rulers and vignettes stay outside.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 ndarray
    share : float
        Above 0, below 0.5; a share of each side's length, rounded down to whole pixels.
    """
    height, width = pixels.shape[:2]
    top, left = int(height * share), int(width * share)
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def apply_color_constancy(pixels: Pixels, constancy: Constancy) -> Pixels:
    """Scale the channels so that the light appears white: what is left of a camera's white balance is removed.

    The color of the light is the Minkowski mean of each channel: of norm 1 (gray world, Buchsbaum 1980) or of norm 6
    (shades of gray, Finlayson and Trezzi 2004). The mean of the three stays; what would exceed 255 is clipped.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 ndarray, sRGB
        The published values are scaled as they are, without undoing sRGB's curve, as is usual for these methods.
    """
    norm = NORMS[constancy]
    powers = [level**norm for level in range(256)]
    light = []
    for channel in range(3):
        counts = np.bincount(pixels[..., channel].ravel(), minlength=256).tolist()
        total = sum(count * power for count, power in zip(counts, powers, strict=True))
        light.append((total / (pixels.shape[0] * pixels.shape[1])) ** (1 / norm))
    mean = sum(light) / 3
    evened = np.empty_like(pixels)
    for channel, strength in enumerate(light):
        gain = mean / strength if strength > 0 else 1.0
        table = np.minimum(np.floor(np.arange(256) * gain + 0.5), 255).astype(np.uint8)
        evened[..., channel] = table[pixels[..., channel]]
    return evened


def soften(pixels: Pixels, *, sharpness: float, short_side: int | None) -> Pixels:
    """Scale an image that is sharper than allowed down and up again until it is not.

    Detail that only one of two cameras resolves is lost in both. An image that is softer already is not changed.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 ndarray
    sharpness : float
        The largest variance of the 3x3 Laplacian of the gray image, in squared gray levels, at the size that is
        published.
    short_side : int or None
        That size: the image is scaled down to it first.
    """
    image = downscale(Image.fromarray(pixels), short_side)
    if _sharpness(image) <= sharpness:
        return np.asarray(image)
    few, many = SMALLEST, min(image.size)
    while many - few > 1:
        middle = (few + many) // 2
        if _sharpness(_scale_through(image, middle)) <= sharpness:
            few = middle
        else:
            many = middle
    return np.asarray(_scale_through(image, few))


def _scale_through(image: Image.Image, side: int) -> Image.Image:
    """Return the image after its shorter side was ``side`` pixels long."""
    short = min(image.size)
    if side >= short:
        return image
    width, height = (max(side, (length * side + short // 2) // short) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS).resize(image.size, Image.Resampling.BICUBIC)


def _sharpness(image: Image.Image) -> float:
    return laplacian_variance(np.asarray(image.convert("L")))
