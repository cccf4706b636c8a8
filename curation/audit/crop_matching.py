"""Finds an image inside another: every whole image is compared with crops of every other, then aligned with them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curation.images.orientation import SYMMETRIES, turn

SMALL, FINE = 16, 48
CUTS: Final = ((0.95, 3), (0.9, 4), (0.85, 5), (0.8, 5))
"""The sides of the crops, as shares of the image's, and at how many places down and across each is tried."""
NEAR: Final = 0.93
"""Correlation of 16x16 cells from which on every pair is aligned."""
NEIGHBORS, MIN_NEAR = 2, 0.7
"""The nearest few of every image are aligned from this on: a texture correlates less with a misplaced crop."""
SURE: Final = 0.6
"""Correlation of the fine detail from which on two images are the same: between real lesions it stays below 0.56."""
DETAIL_LIMIT, WHOLE_LIMIT = 0.38, 0.965
"""Two images are also the same where the detail correlates this much and the whole image that much: two lesions of
similar outline agree in one of them, not in both."""
HOPELESS: Final = 0.2
"""Pairs that agree less after the first step are dropped."""
STEPS: Final = ((0.03, 1), (0.012, 2), (0.005, 2))
"""How a crop is aligned: the step, as a share of the side, and the number of steps each way; coarse to fine."""
BLACK: Final = 26
"""Gray level below which a cell shows nothing."""
MIN_SHOWN: Final = 0.2
"""Two images with a smaller share of cells that both show are not compared."""
AS_WHOLE: Final = 0.985
"""A crop of a larger side is the whole image."""
MAX_MATCHES: Final = 2000
"""Pairs that are aligned, the nearest first."""
THREADS: Final = 2
"""Pairs that are aligned at once; the result does not depend on it."""
_BLOCK: Final = 1024

Floats: TypeAlias = NDArray[np.float32]
Place: TypeAlias = tuple[float, float, float]
"""A crop: its side, and where it begins down and across, as shares of the image's side."""
ORIENTATIONS: Final = tuple(
    SYMMETRIES.index(name)
    for name in (
        *("upright", "rotate_90", "rotate_180", "rotate_270"),
        *("flip_left_right", "transpose", "flip_top_bottom", "transverse"),
    )
)
"""The order in which orientations are tried: of equally near ones the first is taken."""
WHOLE: Final[tuple[Place, ...]] = ((1.0, 0.0, 0.0),)


@dataclass(frozen=True)
class Match:
    """One image that may be found in another.

    Parameters
    ----------
    one, other : int
        Rows: ``one`` is aligned with a crop of ``other``.
    symmetry : int
        Index into ``SYMMETRIES``: the orientation into which ``one`` is turned.
    scale, top, left : float
        The crop's side and place, as shares of the side of ``other``.
    coarse, detail : float
        Correlation of the cells, and of what is left without the coarse shapes.
    """

    one: int
    other: int
    symmetry: int
    scale: float
    top: float
    left: float
    coarse: float
    detail: float = 0.0


def coarse_matches(
    gray: NDArray[np.uint8], left: NDArray[np.integer], right: NDArray[np.integer], *, tried: Sequence[Place]
) -> list[Match]:
    """Return the pairs of rows, one of either side, near as wholes or as whole and crop, the nearest first.

    Parameters
    ----------
    gray : (n, 64, 64) uint8 ndarray
    left, right : (k,), (m,) integer ndarray
        Rows of the two sides.
    tried : sequence of (scale, top, left)
        The crops to compare with: ``places()``, or ``WHOLE`` alone, at a fortieth of the cost.
    """
    found: list[Match] = []
    for start in range(0, len(left), _BLOCK):
        for begin in range(0, len(right), _BLOCK):
            found += _block_matches(gray, left[start : start + _BLOCK], right[begin : begin + _BLOCK], tried)
    return sorted(found, key=lambda match: (-round(match.coarse, 5), match.one, match.other))


def refine_all(gray: NDArray[np.uint8], matches: Sequence[Match]) -> list[Match]:
    """Return those of the nearest matches that hold when they are aligned, in the same order."""
    with ThreadPoolExecutor(THREADS) as pool:
        every = pool.map(partial(refine, gray), matches[:MAX_MATCHES])
        return [match for match in every if match is not None]


def _block_matches(
    gray: NDArray[np.uint8], left: NDArray[np.integer], right: NDArray[np.integer], tried: Sequence[Place]
) -> Iterator[Match]:
    """Yield what is near among all pairs of two blocks, each at its best place."""
    ahead, best_ahead = _best_places(gray, left, right, tried)
    back, best_back = _best_places(gray, right, left, tried)
    forward = ahead >= back.T
    value = np.where(forward, ahead, back.T)
    chosen = value >= NEAR
    for nearest in (value, value.T):
        count = min(NEIGHBORS, nearest.shape[1])
        columns = np.argpartition(-nearest, count - 1, axis=1)[:, :count]
        mask = np.zeros(nearest.shape, np.bool_)
        np.put_along_axis(mask, columns, True, axis=1)
        chosen |= (mask if nearest is value else mask.T) & (value >= MIN_NEAR)
    for row, column in np.argwhere(chosen):
        code = int(best_ahead[row, column] if forward[row, column] else best_back[column, row])
        one, other = (left[row], right[column]) if forward[row, column] else (right[column], left[row])
        place, number = divmod(code, len(ORIENTATIONS))
        yield Match(int(one), int(other), ORIENTATIONS[number], *tried[place], float(value[row, column]))


def _best_places(
    gray: NDArray[np.uint8], whole: NDArray[np.integer], cut: NDArray[np.integer], tried: Sequence[Place]
) -> tuple[Floats, NDArray[np.int16]]:
    """Return how well each whole fits the best crop of each other, and which: (k, m), place * 8 + orientation."""
    turned = _turned(_standardize(_resample(gray[whole], 1.0, 0.0, 0.0, SMALL))).reshape(len(whole) * 8, -1)
    best = np.full((len(whole), len(cut)), -1, np.float32)
    code = np.zeros(best.shape, np.int16)
    for number, place in enumerate(tried):
        cells = _standardize(_resample(gray[cut], *place, SMALL)).reshape(len(cut), -1)
        near = (turned @ cells.T / np.float32(SMALL * SMALL)).reshape(len(whole), 8, len(cut))
        if number == 0:
            near += np.float32(0.01)  # a whole is preferred to a crop that is hardly nearer
        symmetry = near.argmax(axis=1)
        value = np.take_along_axis(near, symmetry[:, None], axis=1)[:, 0]
        better = value > best
        best[better] = value[better]
        code[better] = (number * 8 + symmetry[better]).astype(np.int16)
    return best, code


@lru_cache(maxsize=1)
def places() -> tuple[Place, ...]:
    """Return every crop as (scale, top, left), the whole image first."""
    found = [*WHOLE]
    for scale, steps in CUTS:
        free = (1 - scale) / (steps - 1)
        found += [(scale, top * free, left * free) for top in range(steps) for left in range(steps)]
    return tuple(found)


def refine(gray: NDArray[np.uint8], match: Match) -> Match | None:
    """Align a match with its crop as exactly as possible; return it with the correlation of its detail, or None.

    Two images of one kind agree in their coarse shapes; an image and its copy also in the detail, whatever was done to
    brightness, size or encoding.
    """
    whole = _resample(gray[match.one][None], 1.0, 0.0, 0.0, FINE)[0]
    target = np.ascontiguousarray(turn(whole, match.symmetry))[None]
    wanted, lit = _detail(target), _lit(target)
    best = match
    for step, reach in STEPS:
        tried = _around(best, step, reach)
        rows = np.stack([_weights(scale, top, FINE) for scale, top, _ in tried])
        columns = np.stack([_weights(scale, left, FINE) for scale, _, left in tried])
        cuts: Floats = (rows @ gray[match.other].astype(np.float32)) @ columns.transpose(0, 2, 1)
        values = _agreement(wanted, _detail(cuts), lit * _lit(cuts))
        top = int(np.argmax(values))
        if float(values[top]) > best.detail:
            scale, down, across = tried[top]
            best = replace(best, scale=scale, top=down, left=across, detail=float(values[top]))
        if best.detail < HOPELESS:
            return None
    if best.detail < SURE:
        aligned = _resample(gray[match.other][None], best.scale, best.top, best.left, FINE)
        similarity = float(_agreement(_centered(target), _centered(aligned), lit * _lit(aligned))[0])
        if best.detail < DETAIL_LIMIT or similarity < WHOLE_LIMIT:
            return None
    return replace(best, scale=1.0) if best.scale > AS_WHOLE else best


def _centered(images: Floats) -> Floats:
    """Return each image less the mean of what it shows."""
    lit = _lit(images)
    shown = np.maximum(lit.sum(axis=(1, 2), keepdims=True), np.float32(1))
    centered: Floats = images - (images * lit).sum(axis=(1, 2), keepdims=True) / shown
    return centered


def _agreement(wanted: Floats, details: Floats, weights: Floats) -> Floats:
    """Return the correlation of one detail with each other, over the cells that both show: (n,) float32."""
    both = np.einsum("xhw,nhw,nhw->n", wanted, details, weights)
    power = np.einsum("xhw,nhw->n", wanted * wanted, weights) * np.einsum("nhw,nhw->n", details * details, weights)
    shown = weights.mean(axis=(1, 2)) >= MIN_SHOWN
    values: Floats = np.where(shown & (power > 0), both / np.sqrt(np.maximum(power, np.float32(1e-9))), np.float32(0))
    return values


def _lit(images: Floats) -> Floats:
    """Return 1 where a cell and those around it show something, 0 at and next to black cells: (n, h, w) float32.

    The border of a round field of view is the same in all images of one microscope.
    """
    dark: Floats = (images < BLACK).astype(np.float32)
    if not dark.any():
        return np.ones_like(dark)
    lit: Floats = (_around_mean(dark, 3) < np.float32(1e-6)).astype(np.float32)
    return lit


def _around(match: Match, step: float, reach: int) -> list[Place]:
    found, shifts = set(), range(-reach, reach + 1)
    for scale in (match.scale - step, match.scale, match.scale + step):
        side = min(1.0, max(0.7, scale))
        free = 1 - side
        for down in shifts:
            for across in shifts:
                top = min(free, max(0.0, match.top + down * step))
                left = min(free, max(0.0, match.left + across * step))
                found.add((round(side, 4), round(top, 4), round(left, 4)))
    return sorted(found)


def _resample(gray: NDArray[np.uint8], scale: float, top: float, left: float, side: int) -> Floats:
    """Return a crop of each image, averaged to side x side: (..., side, side) float32."""
    rows, columns = _weights(scale, top, side), _weights(scale, left, side)
    images = gray.astype(np.float32)
    cut: Floats = np.matmul(np.matmul(rows, images), columns.T)
    return cut


@lru_cache(maxsize=4096)
def _weights(scale: float, start: float, side: int, *, length: int = 64) -> Floats:
    """Return the (side, length) matrix that averages a stretch of a line into ``side`` equal cells."""
    edges = (start + np.arange(side + 1) * scale / side) * length
    before, after = np.maximum(edges[:-1, None], np.arange(length)), np.minimum(edges[1:, None], np.arange(length) + 1)
    weights = np.maximum(after - before, 0)
    shares: Floats = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return shares


def _standardize(cells: Floats) -> Floats:
    """Return each image with mean 0 and deviation 1; one without contrast becomes 0 and correlates with nothing."""
    centered = cells - cells.mean(axis=(1, 2), keepdims=True)
    deviation = centered.std(axis=(1, 2), keepdims=True)
    scaled: Floats = np.where(deviation > 1.0, centered / np.maximum(deviation, 1.0), 0).astype(np.float32)
    return scaled


def _detail(images: Floats) -> Floats:
    """Return what is left of each image without its coarse shapes, of equal strength everywhere, standardized.

    Every cell less the mean of the 5x5 around it, divided by the local strength of that: otherwise the sharp border of
    a round field of view, which all images of one microscope share, would outweigh everything within it.
    """
    detail = images - _around_mean(images, 2)
    strength = np.sqrt(_around_mean(detail * detail, 4))
    even = detail / (strength + np.float32(0.5))
    deviation = even.std(axis=(1, 2), keepdims=True)
    scaled: Floats = ((even - even.mean(axis=(1, 2), keepdims=True)) / np.maximum(deviation, 0.05)).astype(np.float32)
    return scaled


def _around_mean(images: Floats, reach: int) -> Floats:
    """Return the mean of the (2 * reach + 1) squared cells around each; edge cells are repeated outwards."""
    size = 2 * reach + 1
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    height, width = images.shape[1:]
    rows = padded[:, :height].copy()
    for shift in range(1, size):
        rows += padded[:, shift : shift + height]
    sums = rows[:, :, :width].copy()
    for shift in range(1, size):
        sums += rows[:, :, shift : shift + width]
    sums /= np.float32(size * size)
    return sums


def _turned(images: Floats) -> Floats:
    """Return each image in its eight orientations, in the order of ``ORIENTATIONS``: (n, 8, h, w)."""
    last = np.moveaxis(images, 0, -1)
    return np.ascontiguousarray(np.stack([np.moveaxis(turn(last, k), -1, 0) for k in ORIENTATIONS], axis=1))
