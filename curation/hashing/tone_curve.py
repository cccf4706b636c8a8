"""Brings one image to the exposure of another: a smooth rising curve from gray level to gray level.

The curve covers gain, offset, gamma and clipping, and what these do to the luma of a color image. It is a piecewise
linear spline under a penalty of its second differences (Eilers and Marx, "Flexible smoothing with B-splines and
penalties", 1996), made to rise.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

_STEP: Final = 16
_KNOTS: Final = 17
_SMOOTHNESS: Final = 5.0  # of 4096 cells' weight: what a few cells alone show does not bend the curve
_UNCHANGED: Final = 1e-3  # where nothing else decides, a level stays what it is
_BRIGHT, _DARK = 250, 5
"""From these levels on an image may be clipped: what it shows there may be any brighter, or darker."""

_CURVATURE: Final = np.diff(np.eye(_KNOTS), 2, axis=0)
_PENALTY: Final = _CURVATURE.T @ _CURVATURE
_LEVELS: Final = np.arange(256)
_LEFT: Final = np.minimum(_LEVELS // _STEP, _KNOTS - 2)
_SHARE: Final = _LEVELS / _STEP - _LEFT
_HATS: Final = np.zeros((256, _KNOTS))
_HATS[_LEVELS, _LEFT] = 1 - _SHARE
_HATS[_LEVELS, _LEFT + 1] = _SHARE
_SQUARES: Final = _HATS * _HATS
_PRODUCTS: Final = _HATS[:, :-1] * _HATS[:, 1:]
_ALONG: Final = np.arange(_KNOTS)

Levels: TypeAlias = NDArray[np.float32]
"""(k, s, s) images: whole gray levels, or what was made of them."""


def match_tone(ours: Levels, theirs: Levels, weights: Levels) -> tuple[Levels, Levels]:
    """Return ``theirs`` at the exposure of ``ours``, and what is left between the two.

    Parameters
    ----------
    ours, theirs : (k, s, s) float32 ndarray
        Whole gray levels of aligned images.
    weights : (k, s, s) float32 ndarray
        Whole numbers: how much each cell counts for the curve.

    Returns
    -------
    (k, s, s), (k, s, s) float32 ndarray
        The second is ``ours`` less the first, but 0 where a clipped cell leaves open what was there.
    """
    count = len(ours)
    place = theirs.reshape(count, -1).astype(np.intp)
    place += 256 * np.arange(count)[:, None]
    knots = _fit(ours.ravel(), weights.ravel(), place.ravel(), count)
    curve = (knots @ _HATS.T).clip(0, 255).astype(np.float32)
    matched: Levels = curve.ravel()[place].reshape(ours.shape)
    difference = ours - matched
    bright, dark = theirs >= _BRIGHT, theirs <= _DARK
    if bright.any():
        least = knots[:, -2, None, None].astype(np.float32)
        difference = np.where(bright, np.minimum(ours - least, 0), difference)
    if dark.any():
        most = knots[:, 1, None, None].astype(np.float32)
        difference = np.where(dark, np.maximum(ours - most, 0), difference)
    return matched, difference


def _fit(ours: Levels, weights: Levels, place: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return the curve's (k, 17) values at every 16th level, multiples of 1/16."""
    held = np.bincount(place, weights, 256 * count).reshape(count, 256)
    sums = np.bincount(place, weights * ours, 256 * count).reshape(count, 256)
    normal = (_SMOOTHNESS / 4096) * held.sum(axis=1)[:, None, None] * _PENALTY
    normal[:, _ALONG, _ALONG] += held @ _SQUARES + _UNCHANGED
    mixed = held @ _PRODUCTS
    normal[:, _ALONG[:-1], _ALONG[1:]] += mixed
    normal[:, _ALONG[1:], _ALONG[:-1]] += mixed
    wanted = sums @ _HATS + _UNCHANGED * _STEP * _ALONG
    knots = np.linalg.solve(normal, wanted[..., None])[..., 0]
    rising: NDArray[np.float64] = np.maximum.accumulate(np.round(knots * 16) / 16, axis=1)
    return rising
