"""Judges whether two images of one outline are the same image: how much they differ in the one place where most.

Two thumbnails of 64x64 gray levels are aligned, brought to one exposure and compared place by place. A correlation is
a mean over the image: between solar cells, gauges or signs that are framed alike it exceeds 0.99, whatever a crack, a
needle or a digit shows. Here the largest difference of any place counts, relative to what re-encoding, resizing, a
change of exposure or a small crop does to one image; that is measured by ``benchmarks/same_image.py`` and listed in
``docs/same-image.md``.

The value of a pair depends on no other pair. Sums are over integers, and what a linear algebra library solves is
rounded to a coarser grid than its last bits, so that it is the same on every machine.
"""

from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from curation.hashing.thumbnails import turn_each
from curation.hashing.tone_curve import Levels, match_tone

DETAIL_SIDE: Final = 64
DETAIL_PIXELS: Final = DETAIL_SIDE * DETAIL_SIDE

LIMIT: Final = 3.0
"""Gray levels, next to no edge, that the mean of 3x3 cells may differ by between two files of one image."""
PER_GRADIENT: Final = 0.15
"""What each gray level by which both images change from a cell to the next adds to one of these levels: alignment is
exact to about a seventh of a cell."""
FIRST_LIMIT: Final = 4.5
"""The first look's limit, at half the side and without alignment: a pair above it is not compared any further."""
FIRST_LEVELS, FIRST_PER_GRADIENT = 4.0, 0.25
_ALIGNED_FROM: Final = 0.5  # a pair that differs less as it is needs no alignment
_STILL: Final = 0.1  # cells: an alignment that moves no corner further changes nothing
_STEPS: Final = 3
_LEAST_GAIN: Final = 0.2
_MOST_SHIFT, _MOST_SCALE = 3.0 / 64, 0.1  # of the side: what a crop of 4 % an edge needs
_LEAST_SIDE: Final = 16  # smaller images are compared as they lie
_CHUNK: Final = 64  # pairs whose cells as float64 (2 MB an array) are worked on at once

_Floats: TypeAlias = NDArray[np.float64]
_Cells = TypeVar("_Cells", NDArray[np.float32], NDArray[np.float64])


def local_difference(
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
    symmetry: NDArray[np.integer],
    *,
    sides: NDArray[np.integer] | None = None,
    tolerance: float = 1.0,
    complete: bool = False,
) -> NDArray[np.float32]:
    """Return the largest local difference of each ``a`` and its ``b``, relative to the calibrated limit.

    The two are the same image where the value is at most the recipe's tolerance. Each pair is compared as it lies and
    as the shift and scale of each axis that fit best align it; the smaller value counts. Of each the exposure of one
    is brought to the other's by a rising curve, either way, and the larger value counts: what is in one image alone
    shows in one of the two. The value of a place is the mean difference of 3x3 cells, in ``LIMIT`` times
    1 + ``PER_GRADIENT`` times the mean gradient there of the image in which it is smaller.

    Parameters
    ----------
    a, b : (k, s, s) uint8 ndarray
        Gray thumbnails of one side, as the probe keeps them at s = 64.
    symmetry : (k,) integer ndarray
        Indices into ``SYMMETRIES``; ``b`` is turned, ``a`` stays upright.
    sides : (k,) integer ndarray, optional
        The shorter side in pixels of the smaller image of each pair, where that is below s: cells that no pixel fills
        are not compared.
    tolerance : float
        Pairs that are far above it at a first look are not compared any further.
    complete : bool
        Compare these too.

    Returns
    -------
    (k,) float32 ndarray
        From 0.0, for equal thumbnails; infinite where the first look shows that the value is far above the tolerance.
    """
    found = np.empty(len(a), np.float32)
    most = a.shape[1]
    sides = np.full(len(a), most) if sides is None else np.clip(sides, 1, most)
    for side in np.unique(sides):
        rows = np.flatnonzero(sides == side)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            ours, theirs = a[part].astype(np.float32), turn_each(b[part], symmetry[part]).astype(np.float32)
            found[part] = _look(_pool(ours, int(side)), _pool(theirs, int(side)), tolerance, complete=complete)
    return found


def _look(a: Levels, b: Levels, tolerance: float, *, complete: bool) -> NDArray[np.float32]:
    found = np.full(len(a), np.inf, np.float32)
    near = np.arange(len(a)) if complete else _pass_first_look(a, b, max(1.0, tolerance))
    if not len(near):
        return found
    a, b = a[near], b[near]
    close = _compare(a, b, np.ones(a.shape, np.bool_))
    doubtful = np.flatnonzero(close > _ALIGNED_FROM * tolerance)
    if len(doubtful) and a.shape[1] >= _LEAST_SIDE:
        alignment = align(a[doubtful], b[doubtful])
        moved = np.flatnonzero(_travel(alignment, a.shape[1]) > _STILL)
        doubtful = doubtful[moved]
        if len(doubtful):
            aligned, shown = _warp(b[doubtful].astype(np.float64), alignment[moved])
            levels = _as_levels(aligned)
            close[doubtful] = np.minimum(close[doubtful], _compare(a[doubtful], levels, shown))
    found[near] = close
    return found


def _pass_first_look(a: Levels, b: Levels, limit: float) -> NDArray[np.intp]:
    """Return the pairs that are not another image already at a first look.

    It compares half the cells each way, as they lie: cheap, and enough for most images that are framed alike.
    """
    half = max(a.shape[1] // 2, 1)
    a, b = _pool(a, half), _pool(b, half)
    slopes_a, slopes_b = _slopes(a), _slopes(b)
    weights, steep = _calm(slopes_a, slopes_b), (_length(slopes_a), _length(slopes_b))
    rows = np.arange(len(a))
    for ours, theirs, own in ((a, b, steep[0]), (b, a, steep[1])):
        if not len(rows):
            break
        matched, difference = match_tone(ours[rows], theirs[rows], weights[rows])
        gradient = _greatest(np.maximum(own[rows], _length(_slopes(matched))))
        allowed = FIRST_LEVELS + FIRST_PER_GRADIENT * gradient
        rows = rows[(np.abs(difference) / allowed).max(axis=(1, 2)) <= FIRST_LIMIT * limit]
    return rows


def _compare(a: Levels, b: Levels, shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the largest local difference of aligned images, over the cells that both show."""
    worst = np.zeros(len(a), np.float32)
    slopes_a, slopes_b = _slopes(a), _slopes(b)
    weights = _calm(slopes_a, slopes_b) * shown
    steep_a, steep_b = _mean(_length(slopes_a)), _mean(_length(slopes_b))
    for ours, theirs, own in ((a, b, steep_a), (b, a, steep_b)):
        matched, difference = match_tone(ours, theirs, weights)
        gradient = np.minimum(own, _mean(_length(_slopes(matched))))
        allowed = np.float32(LIMIT) * (1 + np.float32(PER_GRADIENT) * gradient)
        worst = np.maximum(worst, (np.abs(_mean(difference * shown)) / allowed).max(axis=(1, 2)))
    return worst


def align(a: Levels, b: Levels) -> _Floats:
    """Return the shift and scale of both axes that bring each b to its a.

    Gauss-Newton steps on the squared differences of smoothed images, whose gain and offset are fitted along (Lucas and
    Kanade, 1981; with a gain, Baker and Matthews, "Lucas-Kanade 20 years on", 2004); two at half the side, and more at
    the whole side where these find that the images are shifted at all.

    Returns
    -------
    (k, 4) float64 ndarray
        Shift down, scale down, shift across, scale across; in cells, and as what exceeds 1.
    """
    side = a.shape[1]
    found = np.zeros((len(a), 4))
    coarse = _smooth(_pool(a, side // 2).astype(np.float64)), _smooth(_pool(b, side // 2).astype(np.float64))
    for _ in range(2):
        found = _step(*coarse, found)
    found[:, ::2] *= side / (side // 2)
    moved = np.flatnonzero(_travel(found, side) > _STILL)
    fine, part = (_smooth(each[moved].astype(np.float64)) for each in (a, b)), found[moved]
    smooth_a, smooth_b = fine
    for _ in range(_STEPS if len(moved) else 0):
        part = _step(smooth_a, smooth_b, part)
    found[moved] = part
    return found


def _step(a: _Floats, b: _Floats, found: _Floats) -> _Floats:
    """Return an alignment of smoothed images after one more step."""
    side = a.shape[1]
    place = np.arange(side) - (side - 1) / 2
    warped, shown = _warp(b, found)
    down, across = _slopes(warped)
    parts = (down, down * place[:, None], across, across * place, warped, np.ones_like(warped))
    system = (np.stack(parts, axis=1) * shown[:, None]).reshape(len(a), 6, -1)
    wanted = (a * shown).reshape(len(a), -1, 1)
    ridge = np.array([10, 10 * side * side / 12, 10, 10 * side * side / 12, 1e-3, 1e-3])
    change = np.linalg.solve(system @ system.swapaxes(1, 2) + np.diag(ridge), system @ wanted)[..., 0]
    gain = np.where(np.abs(change[:, 4:5]) < _LEAST_GAIN, 1.0, change[:, 4:5])
    found = found + change[:, :4] / gain
    found[:, ::2] = found[:, ::2].clip(-_MOST_SHIFT * side, _MOST_SHIFT * side)
    found[:, 1::2] = found[:, 1::2].clip(-_MOST_SCALE, _MOST_SCALE)
    rounded: _Floats = np.round(found * 4096) / 4096
    return rounded


def _travel(alignment: _Floats, side: int) -> _Floats:
    """Return by how many cells the corner that an alignment moves most is moved along an axis."""
    along: _Floats = np.abs(alignment[:, ::2]) + np.abs(alignment[:, 1::2]) * (side / 2)
    farthest: _Floats = along.max(axis=1)
    return farthest


def _warp(images: _Floats, alignment: _Floats) -> tuple[_Floats, NDArray[np.bool_]]:
    """Return the images in an alignment, and which cells lie within them."""
    down, inside_down = _interpolation(alignment[:, 0], alignment[:, 1], images.shape[1])
    across, inside_across = _interpolation(alignment[:, 2], alignment[:, 3], images.shape[1])
    warped: _Floats = down @ images @ across.swapaxes(1, 2)
    return warped, inside_down[:, :, None] & inside_across[:, None, :]


def _interpolation(shift: _Floats, scale: _Floats, side: int) -> tuple[_Floats, NDArray[np.bool_]]:
    """Return the (k, side, side) weights that move and scale a line, by Catmull-Rom splines, and what lies within."""
    middle = (side - 1) / 2
    wanted = middle + (np.arange(side) - middle) * (1 + scale[:, None]) + shift[:, None]
    first = np.floor(wanted).astype(np.intp)
    t = wanted - first
    taps = (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (t - 1) * t * t / 2,
    )
    weights = np.zeros((len(shift), side, side))
    rows, lines = np.arange(len(shift))[:, None], np.arange(side)
    for number, tap in enumerate(taps):
        weights[rows, lines, np.clip(first + number - 1, 0, side - 1)] += tap
    return weights, (wanted > -0.01) & (wanted < side - 0.99)


def _as_levels(images: _Floats) -> Levels:
    """Return whole gray levels."""
    return np.round(images).clip(0, 255).astype(np.float32)


def _pool(images: Levels, side: int) -> Levels:
    """Average (k, s, s) images to (k, side, side), in whole gray levels."""
    size = images.shape[1]
    if side >= size:
        return images
    if size == 2 * side:
        rows = images[:, ::2] + images[:, 1::2]
        return np.floor((rows[:, :, ::2] + rows[:, :, 1::2] + 2) / 4)
    edges = np.arange(side + 1) * (size / side)
    covered = np.minimum(edges[1:, None], np.arange(size) + 1) - np.maximum(edges[:-1, None], np.arange(size))
    weights = np.maximum(covered, 0) * (side / size)
    return _as_levels(weights @ images.astype(np.float64) @ weights.T)


def _calm(ours: tuple[Levels, Levels], theirs: tuple[Levels, Levels]) -> Levels:
    """Return the weight of each cell for the exposure, whole numbers to 64: cells on edges mix what lies around."""
    power = ours[0] * ours[0] + ours[1] * ours[1] + theirs[0] * theirs[0] + theirs[1] * theirs[1]
    weights: Levels = np.ceil(np.float32(4096) / (power + np.float32(64)))
    return weights


def _slopes(images: _Cells) -> tuple[_Cells, _Cells]:
    """Return half the difference of the cells below and above, and right and left; edge cells are repeated."""
    around, half = _framed(images), images.dtype.type(0.5)
    down, across = around[:, 2:, 1:-1] - around[:, :-2, 1:-1], around[:, 1:-1, 2:] - around[:, 1:-1, :-2]
    down *= half
    across *= half
    return down, across


def _length(slopes: tuple[Levels, Levels]) -> Levels:
    length: Levels = np.sqrt(slopes[0] * slopes[0] + slopes[1] * slopes[1])
    return length


def _mean(images: Levels) -> Levels:
    """Return the mean of the 3x3 cells around each; edge cells are repeated."""
    around = _framed(images)
    rows = around[:, :-2] + around[:, 1:-1] + around[:, 2:]
    mean: Levels = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(9)
    return mean


def _greatest(images: Levels) -> Levels:
    """Return the greatest of the 3x3 cells around each."""
    around = _framed(images)
    rows = np.maximum(np.maximum(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    return np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _smooth(images: _Floats) -> _Floats:
    """Return the images under the 3x3 binomial filter."""
    around = _framed(images)
    rows = around[:, :-2] + 2 * around[:, 1:-1] + around[:, 2:]
    smooth: _Floats = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    return smooth


def _framed(images: _Cells) -> _Cells:
    """Return the images with their edge cells repeated once outwards."""
    count, height, width = images.shape
    framed = np.empty((count, height + 2, width + 2), images.dtype)
    framed[:, 1:-1, 1:-1] = images
    framed[:, 0, 1:-1], framed[:, -1, 1:-1] = images[:, 0], images[:, -1]
    framed[:, :, 0], framed[:, :, -1] = framed[:, :, 1], framed[:, :, -2]
    return framed
