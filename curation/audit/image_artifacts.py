"""Measures hairs, rulers, black borders and exposure: shares and strengths, without a threshold."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SIDE = 96
"""The shorter side, in pixels, at which artifacts are measured: a hair is then one to three pixels wide."""

BLACK = 30
"""Gray level below which a pixel of the border counts as black."""

EVEN = 12
"""How many gray levels the neighbors of a frame's pixel usually span at most; a vignette's dark part spans some."""

CONVEX = 0.93
"""Which share of its convex hull the image within a frame fills at least."""

LEAST_IMAGE = 0.3
"""Which share of the file the image within a frame takes at least; a small object before black is an object."""

HAIR_DEPTH = 18
"""By how many gray levels a line has to be darker than both its sides."""


def measure_artifacts(image: Image.Image) -> dict[str, float]:
    """Measure hairs, ruler marks and black borders.

    Parameters
    ----------
    image : PIL.Image.Image, upright sRGB

    Returns
    -------
    dict of str to float
        ``hair``: the share of pixels on thin dark lines; ``ruler``: how regular short marks along a side are, 0 to 1;
        ``black_border``: the share of pixels in a black frame, bar or corners, 0 for a dark background;
        ``overexposed`` and ``underexposed``: the shares of pixels at 250 or more, at 10 or less.
    """
    short = min(image.size)
    if short > SIDE:
        image = image.resize([max(SIDE, side * SIDE // short) for side in image.size], Image.Resampling.BOX)
    gray = np.asarray(image.convert("L")).astype(np.int16)
    lines = _dark_lines(gray)
    border = _black_border(gray)
    return {
        "hair": _share(_long(lines) & ~border),
        "ruler": _regularity(lines & ~border),
        "black_border": _share(border),
        "overexposed": _share(gray >= 250),
        "underexposed": _share(gray <= 10),
    }


def _share(where: NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(where)) / where.size


def _dark_lines(gray: NDArray[np.int16], *, reach: int = 4) -> NDArray[np.bool_]:
    """Return which pixels are much darker than both sides of them, in one of four directions.

    The black-hat of DullRazor (Lee et al., 1997), with two points for the structuring line: a lesion's edge is dark on
    one side only.
    """
    height, width = gray.shape
    found = np.zeros(gray.shape, np.bool_)
    if min(height, width) <= 2 * reach:
        return found
    inner = np.s_[reach : height - reach, reach : width - reach]
    for down, across in ((0, reach), (reach, 0), (3, 3), (3, -3)):
        before = gray[reach - down : height - reach - down, reach - across : width - reach - across]
        behind = gray[reach + down : height - reach + down, reach + across : width - reach + across]
        found[inner] |= np.minimum(before, behind) - gray[inner] >= HAIR_DEPTH
    return found


def _long(lines: NDArray[np.bool_], *, least: int = 12) -> NDArray[np.bool_]:
    """Return the line pixels that belong to a connected stroke at least ``least`` pixels long."""
    if not lines.any():
        return lines
    labels, _ = ndimage.label(lines, structure=np.ones((3, 3)))
    extents = ndimage.find_objects(labels)
    long = [max(part.stop - part.start for part in extent) >= least for extent in extents]
    kept: NDArray[np.bool_] = np.array([False, *long])[labels]
    return kept


def _black_border(gray: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return the black pixels of a frame: connected with the border, even, and around a convex image.

    A dark background is black at the border, too. It surrounds an object, which has an outline of its own; a
    frame surrounds a rectangle, a disc or what corners leave. A shadow or a night sky is rarely even.
    """
    none = np.zeros(gray.shape, np.bool_)
    black = gray < BLACK
    edge = np.concatenate([black[0], black[-1], black[:, 0], black[:, -1]])
    if not edge.any():
        return none
    labels, _ = ndimage.label(black)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    border: NDArray[np.bool_] = np.isin(labels, touching[touching > 0])
    return border if _is_even(gray, border) and _surrounds_convex(border) else none


def _is_even(gray: NDArray[np.int16], border: NDArray[np.bool_]) -> bool:
    """Return whether most black pixels differ little from their neighbors; the outline, which is mixed, is left out."""
    inside = ndimage.binary_erosion(border, np.ones((3, 3)), border_value=1)
    spread = ndimage.maximum_filter(gray, 3) - ndimage.minimum_filter(gray, 3)
    return not inside.any() or float(np.median(spread[inside])) <= EVEN


def _surrounds_convex(border: NDArray[np.bool_]) -> bool:
    """Return whether the largest part that is left, without its holes, is large and nearly its own convex hull.

    The hull is compared in 16 directions, by what lies within the tightest band of each.
    """
    labels, count = ndimage.label(~border)
    if not count:
        return False
    largest = ndimage.binary_fill_holes(labels == int(np.argmax(np.bincount(labels.ravel())[1:])) + 1)
    rows, columns = np.nonzero(largest)
    every_row, every_column = np.indices(border.shape)
    hull = np.ones(border.shape, np.bool_)
    for angle in np.arange(16) * np.pi / 16:
        along = np.cos(angle) * every_column + np.sin(angle) * every_row
        within = along[rows, columns]
        hull &= (along >= within.min() - 1e-9) & (along <= within.max() + 1e-9)
    return len(rows) >= max(CONVEX * np.count_nonzero(hull), LEAST_IMAGE * border.size)


def _regularity(lines: NDArray[np.bool_], *, band: int = 10) -> float:
    """Return how regularly dark marks follow one another along a side: the best autocorrelation, 0 for few marks.

    Ruler marks stand in a row at one pitch; hairs do not.
    """
    best = 0.0
    for strip in (lines[:band].sum(0), lines[-band:].sum(0), lines[:, :band].sum(1), lines[:, -band:].sum(1)):
        marks = strip > 0
        starts = int((np.diff(marks.astype(np.int8)) == 1).sum())
        if starts < 6:
            continue
        profile = marks - marks.mean()
        power = float(profile @ profile)
        pitches = range(4, len(profile) // 4)
        echoes = np.correlate(profile, profile, "full")[len(profile) - 1 :] / power
        best = max([best, *(float(echoes[lag]) * len(profile) / (len(profile) - lag) for lag in pitches)])
    return min(best, 1.0)
