"""Judges whether an image is the same as another one, or as a crop of it: aligned, they must agree everywhere.

A candidate is aligned by Gauss-Newton steps on the crop's side and place (Lucas and Kanade, "An iterative image
registration technique", 1981), then a tone curve is fitted, because one of the two may be brighter. What is left is
averaged over 3x3 cells and divided by how steep the two images are there, since half a cell of misplacement or a softer
encoder change most at edges. Two images are the same where this stays below a limit everywhere: a mark, a crack or a
finger in one place makes two images, however well the rest agrees.

The limits were set on re-encoded (JPEG quality 40 and more), resized, brightened and cropped copies of photographs and
of drawn images, against pairs of solar cells, gauges and signs that are framed alike. The build compares thumbnails
and takes no crops; nothing of it is used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.audit.candidate_index import Candidates, places
from curation.audit.resampling import Floats, box_mean, cut, gradients
from curation.images.orientation import turn

COARSE, MIDDLE, FINE = 24, 48, 96
"""Cells a side at which a pair is aligned first, compared, and compared closely."""
COARSE_STEPS, MIDDLE_STEPS, FINE_STEPS = 4, 2, 2
LARGEST_STEP: Final = np.float32(0.04)
"""Of the place, as a share of the image's side."""
SMALLEST: Final = np.float32(0.7)
"""Side of the smallest crop."""
ALMOST_WHOLE: Final = 0.975
"""Side of the crop with which the alignment of two wholes begins: it may grow to the whole, or shrink."""
AS_WHOLE: Final = 0.992
"""A crop of a larger side is the whole image."""
FEW: Final = 500
"""One cell in so many may exceed ``MOST``: where detail is finer than a cell, single cells are noise."""
MOST, LARGEST = 1.2, 2.4
"""Limits of the difference between two images that are the same, at 96x96: of all but a few cells, and of every one."""
QUICK: Final = 2.2
"""Limit of the largest difference at 64x64, or 48x48 for a crop: others are not compared closely."""
HOPELESS: Final = 0.96
"""Correlation of the aligned 24x24 cells below which two images are not compared further: crops have 0.998."""
KNOTS: Final = 7
"""Of the piecewise linear tone curve."""
SMOOTH: Final = 8.0
"""Weight of the curve's bends, in cells."""
PAIRS: Final = 64
"""Pairs that are worked on at once; bounds the memory, and keeps it in the processor's cache."""


@dataclass(frozen=True)
class Match:
    """Two images that are the same, or one that is found in the other.

    Parameters
    ----------
    one, other : int
        Rows: ``one``, in some orientation, is a crop of ``other``.
    scale : float
        The crop's side, as a share of the side of ``other``; 1 where the two are the same image.
    difference : float
        The largest local difference, as a multiple of the limit: at most the tolerance.
    """

    one: int
    other: int
    scale: float
    difference: float

    @property
    def pair(self) -> tuple[int, int]:
        """The two rows, in ascending order."""
        return min(self.one, self.other), max(self.one, self.other)


@dataclass(frozen=True, eq=False)
class Placed:
    """Where n crops lie: (n,) float32 each, as shares of the image's side."""

    scale: Floats
    top: Floats
    left: Floats

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "Placed":
        """Return some of them."""
        return Placed(self.scale[rows], self.top[rows], self.left[rows])

    def snapped(self) -> "Placed":
        """Return the places; a crop that is nearly the whole image becomes the whole image."""
        whole = self.scale >= AS_WHOLE
        zero = np.float32(0)
        return Placed(
            np.where(whole, np.float32(1), self.scale),
            np.where(whole, zero, self.top),
            np.where(whole, zero, self.left),
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """The result of comparing n pairs.

    Parameters
    ----------
    placed : Placed
        Where the crop lies in the other image.
    difference : (n,) float32 ndarray
        The largest local difference; infinite for pairs that were given up after the first alignment.
    exchanged : (n,) bool ndarray
        Whether the second image is the crop of the first one.
    """

    placed: Placed
    difference: Floats
    exchanged: NDArray[np.bool_]

    def take(self, rows: NDArray[np.integer] | slice) -> "Compared":
        """Return some of them."""
        return Compared(self.placed.take(rows), self.difference[rows], self.exchanged[rows])


def first_places(candidates: Candidates) -> Placed:
    """Return where the index found each candidate."""
    scale, top, left = np.array(places(), np.float32)[candidates.place].T
    return Placed(scale, top, left)


def turn_each(images: NDArray[np.uint8], symmetry: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return each image in its orientation: (n, s, s) uint8."""
    turned = np.empty_like(images)
    for k in np.unique(symmetry):
        rows = np.flatnonzero(symmetry == k)
        turned[rows] = np.moveaxis(turn(np.moveaxis(images[rows], 0, -1), int(k)), -1, 0)
    return turned


def compare(whole: NDArray[np.uint8], other: NDArray[np.uint8], placed: Placed) -> Compared:
    """Align each image with its crop of the other, and measure how much the two differ.

    Parameters
    ----------
    whole, other : (n, 64, 64) uint8 ndarray
        ``whole`` turned already.
    placed : Placed
        Where to begin. Of two wholes, either may turn out to be a crop of the other.
    """
    found = []
    for start in range(0, len(whole), PAIRS):
        part = slice(start, start + PAIRS)
        found.append(_compare_block(whole[part].astype(np.float32), other[part].astype(np.float32), placed.take(part)))
    return join_compared(found)


def join_compared(parts: Sequence[Compared]) -> Compared:
    """Return the results of several parts as one."""
    return Compared(
        join_places([part.placed for part in parts]),
        np.concatenate([np.zeros(0, np.float32), *(part.difference for part in parts)]),
        np.concatenate([np.zeros(0, np.bool_), *(part.exchanged for part in parts)]),
    )


def _compare_block(whole: Floats, other: Floats, placed: Placed) -> Compared:
    wholes = placed.scale == 1
    slack = np.float32(1 - ALMOST_WHOLE)
    begin = Placed(
        np.where(wholes, np.float32(ALMOST_WHOLE), placed.scale),
        np.where(wholes, slack / 2, placed.top),
        np.where(wholes, slack / 2, placed.left),
    )
    scale, top, left, similar = _align_coarsely(whole, other, begin)
    exchanged = np.zeros(len(whole), np.bool_)
    rows = np.flatnonzero(wholes)
    if len(rows):
        back = _align_coarsely(other[rows], whole[rows], begin.take(rows))
        better = back[3] > similar[rows]
        exchanged[rows] = better
        for values, others in zip((scale, top, left, similar), back, strict=True):
            values[rows] = np.where(better, others, values[rows])
    pick = exchanged[:, None, None]
    whole, other = np.where(pick, other, whole), np.where(pick, whole, other)
    difference = np.full(len(whole), np.inf, np.float32)
    hopeful = np.flatnonzero(similar >= HOPELESS)
    if len(hopeful):
        aligned, _ = _align(
            whole[hopeful],
            other[hopeful],
            Placed(scale, top, left).take(hopeful),
            side=MIDDLE,
            steps=MIDDLE_STEPS,
            smooth=False,
        )
        scale[hopeful], top[hopeful], left[hopeful] = aligned.scale, aligned.top, aligned.left
        snapped = aligned.snapped()
        for chosen, side in ((snapped.scale == 1, whole.shape[1]), (snapped.scale < 1, MIDDLE)):
            if chosen.any():
                pair = _cut_pair(whole[hopeful[chosen]], other[hopeful[chosen]], snapped.take(chosen), side)
                difference[hopeful[chosen]] = local_differences(*pair).max(axis=1)
    return Compared(Placed(scale, top, left), difference, exchanged)


def _align_coarsely(whole: Floats, other: Floats, placed: Placed) -> tuple[Floats, Floats, Floats, Floats]:
    """Return scale, top and left after the first alignment, and how well the two correlate there."""
    found, similar = _align(whole, other, placed, side=COARSE, steps=COARSE_STEPS, smooth=True)
    return found.scale, found.top, found.left, similar


def compare_closely(whole: NDArray[np.uint8], other: NDArray[np.uint8], placed: Placed) -> tuple[Placed, Floats]:
    """Align once more at 96x96, and return the place and the difference as a multiple of what one image may show.

    Parameters
    ----------
    whole, other : (n, 96, 96) uint8 ndarray
        ``whole`` turned already.
    placed : Placed
        As ``compare`` returns it.

    Returns
    -------
    Placed, (n,) float32 ndarray
    """
    found, ratios = [], []
    for start in range(0, len(whole), PAIRS):
        part = slice(start, start + PAIRS)
        one, two = whole[part].astype(np.float32), other[part].astype(np.float32)
        place, _ = _align(one, two, placed.take(part), side=FINE, steps=FINE_STEPS, smooth=False)
        place = place.snapped()
        differences = local_differences(*_cut_pair(one, two, place, FINE))
        few = differences.shape[1] // FEW
        ordered = np.partition(differences, -few - 1, axis=1)
        ratios.append(np.maximum(ordered[:, -few - 1] / np.float32(MOST), ordered.max(axis=1) / np.float32(LARGEST)))
        found.append(place)
    return join_places(found), np.concatenate([np.zeros(0, np.float32), *ratios])


def join_places(parts: Sequence[Placed]) -> Placed:
    """Return the places of several parts as one."""
    none = np.zeros(0, np.float32)
    return Placed(
        np.concatenate([none, *(part.scale for part in parts)]),
        np.concatenate([none, *(part.top for part in parts)]),
        np.concatenate([none, *(part.left for part in parts)]),
    )


def _cut_pair(whole: Floats, other: Floats, placed: Placed, side: int) -> tuple[Floats, Floats]:
    """Return each whole and its crop of the other, both of side x side cells."""
    ones, zeros = np.ones(len(whole), np.float32), np.zeros(len(whole), np.float32)
    return cut(whole, ones, zeros, zeros, side), cut(other, placed.scale, placed.top, placed.left, side)


def _align(
    whole: Floats, other: Floats, placed: Placed, *, side: int, steps: int, smooth: bool
) -> tuple[Placed, Floats]:
    """Return the places where crop and whole differ least, and the correlation at the last step's beginning.

    Each step fits ``whole = gain * crop + offset + place`` by least squares, with the crop's derivatives by its side
    and place.
    """
    ones, zeros = np.ones(len(whole), np.float32), np.zeros(len(whole), np.float32)
    target = cut(whole, ones, zeros, zeros, side)
    target = box_mean(target, 1) if smooth else target
    wanted = target.reshape(len(whole), -1, 1)
    along = ((np.arange(side) + 0.5) / side).astype(np.float32)
    similar = np.zeros(len(whole), np.float32)
    for _ in range(steps):
        crop = cut(other, placed.scale, placed.top, placed.left, side)
        crop = box_mean(crop, 1) if smooth else crop
        similar = _correlation(target, crop)
        down, across = gradients(crop)
        cells = (np.float32(side) / placed.scale)[:, None, None]
        growth = down * along[:, None] + across * along
        terms = np.stack([crop, np.ones_like(crop), growth * cells, down * cells, across * cells], axis=1)
        terms = terms.reshape(len(whole), 5, -1)
        normal = (terms @ terms.transpose(0, 2, 1)).astype(np.float64)
        diagonal = np.arange(5)
        normal[:, diagonal, diagonal] = normal[:, diagonal, diagonal] * (1 + 1e-4) + 1e-2
        fitted = np.linalg.solve(normal, (terms @ wanted).astype(np.float64))[:, :, 0]
        gain = np.where(np.abs(fitted[:, 0]) > 0.2, fitted[:, 0], np.inf)
        step = np.clip(fitted[:, 2:] / gain[:, None], -LARGEST_STEP, LARGEST_STEP).astype(np.float32)
        scale = np.clip(placed.scale + step[:, 0], SMALLEST, np.float32(1))
        placed = Placed(
            scale, np.clip(placed.top + step[:, 1], 0, 1 - scale), np.clip(placed.left + step[:, 2], 0, 1 - scale)
        )
    return placed, similar


def _correlation(one: Floats, other: Floats) -> Floats:
    left = one - one.mean(axis=(1, 2), keepdims=True)
    right = other - other.mean(axis=(1, 2), keepdims=True)
    power = (left * left).sum(axis=(1, 2)) * (right * right).sum(axis=(1, 2))
    found: Floats = (left * right).sum(axis=(1, 2)) / np.sqrt(np.maximum(power, np.float32(1e-6)))
    return found


def local_differences(one: Floats, other: Floats) -> Floats:
    """Return how much two aligned images differ around each cell, in gray levels per level of slope: (n, cells).

    The tone curve is fitted in both directions, and the one that explains more is taken: a clipped image follows from
    the unclipped one, not the reverse.

    Parameters
    ----------
    one, other : (n, s, s) float32 ndarray
        Gray levels, 0 to 255.
    """
    slopes = [box_mean(np.hypot(*gradients(image)), 1) for image in (one, other)]
    strength = [np.maximum(image.std(axis=(1, 2), keepdims=True), np.float32(1)) for image in (one, other)]
    found = []
    for image, seen, own, shown, ratio in (
        (one, other, slopes[0], slopes[1], strength[0] / strength[1]),
        (other, one, slopes[1], slopes[0], strength[1] / strength[0]),
    ):
        shared = shown * ratio
        slope = np.minimum(own, shared) + np.float32(0.25) * np.maximum(own, shared)
        left = np.abs(box_mean(image - _fit_tone(image, seen), 1))
        found.append((left / (1 + slope)).reshape(len(one), -1))
    forward = found[0].max(axis=1) <= found[1].max(axis=1)
    chosen: Floats = np.where(forward[:, None], found[0], found[1])
    return chosen


def _fit_tone(wanted: Floats, seen: Floats) -> Floats:
    """Return each seen image with the tone curve that brings it nearest to the wanted one: (n, s, s) float32."""
    count = len(wanted)
    width = np.float32(255 / (KNOTS - 1))
    knots = np.arange(KNOTS, dtype=np.float32) * width
    share = np.maximum(0, 1 - np.abs(seen.reshape(count, 1, -1) - knots[:, None]) / width)
    bends = np.diff(np.eye(KNOTS), 2, axis=0)
    normal = (share @ share.transpose(0, 2, 1)).astype(np.float64)
    normal += SMOOTH * (bends.T @ bends) + 1e-3 * np.eye(KNOTS)
    levels = np.linalg.solve(normal, (share @ wanted.reshape(count, -1, 1)).astype(np.float64))
    fitted: Floats = (levels.transpose(0, 2, 1).astype(np.float32) @ share).reshape(wanted.shape)
    return fitted
