"""Proposes pairs of images that may be the same image, or an image and a crop of it, at a cost linear in the images.

Every image is described as a whole, in eight orientations, and by the crops of ``places()``: the low frequencies of a
discrete cosine transform, without the mean, at unit length. How far apart two descriptors are is measured in units of
what a crop that lies between two places changes, learned from the images themselves (the within-class whitening of
linear discriminant analysis; Simard's tangent distance is of the same kind). Where all images are framed alike this
discounts the frame, and what differs between two objects counts.

The wholes lie in the leaves of trees of random hyperplanes through medians (Dasgupta and Freund, "Random projection
trees and low dimensional manifolds", STOC 2008); a crop is compared with the wholes of its leaf. Several trees make up
for a pair that one of them separates. A leaf has the same size whatever the images show, so the cost is the same for
each image. The hyperplanes are drawn with a fixed seed.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curation.audit.resampling import Floats, cut, weights
from curation.storage.progress import Progress, SilentProgress, show_progress

CUTS: Final = ((0.95, 2), (0.9, 3), (0.85, 3), (0.8, 4))
"""The sides of the crops, as shares of the image's, and at how many places down and across each is tried."""
CELLS, FREQUENCIES = 16, 8
"""An image is averaged to 16x16 cells, of which the eight lowest frequencies each way are kept."""
DIMENSIONS: Final = FREQUENCIES * FREQUENCIES - 1
TREES: Final = 6
LEAF: Final = 512
"""Wholes of a leaf, each orientation counted; fewer images are compared all with all."""
SAMPLE: Final = 1 << 16
"""Descriptors from which the medians of a tree are taken."""
AXES: Final = 24
"""Hyperplanes are drawn among the directions of the largest variance, in proportion to it."""
LEARNED, LEARNED_EACH = 2048, 64
"""Crops from which the metric is learned: at most, and of each image where there are few."""
FLOOR: Final = 0.01
"""Share of the mean variance that is added in every direction when the metric is learned."""
KEPT, KEPT_NEAR = 1, 4
"""How many pairs are kept of each image as a whole, and as one that contains another image: of the very near ones more.
"""
VERY_NEAR: Final = 0.1
REACH: Final = 1.5
"""Two descriptors are near up to this multiple of the distance that 99 of 100 crops between two places have."""
FLAT: Final = 4.0
"""Least length of a descriptor before it is scaled: an image with less contrast resembles every other one."""
BLOCK: Final = 4096
"""Images that are searched for at once."""
DESCRIBED: Final = 512
"""Images that are described at once."""
THREADS: Final = 2

Rows: TypeAlias = NDArray[np.int64]
Place: TypeAlias = tuple[float, float, float]
"""A crop: its side, and where it begins down and across, as shares of the image's side."""
WHOLE: Final[Place] = (1.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs to be compared, the nearest first; n arrays of equal length.

    Parameters
    ----------
    one, other : (n,) int64 ndarray
        Rows: ``one`` as a whole resembles a crop of ``other``.
    symmetry : (n,) int64 ndarray
        Index into ``SYMMETRIES``: the orientation into which ``one`` is turned.
    place : (n,) int64 ndarray
        Index into ``places()``; 0 is the whole.
    distance : (n,) float32 ndarray
        Squared distance of the two descriptors, as a multiple of the largest one that counts as near.
    """

    one: Rows
    other: Rows
    symmetry: Rows
    place: Rows
    distance: Floats

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.one)

    def take(self, rows: NDArray[np.integer] | slice) -> "Candidates":
        """Return some of the pairs, in that order."""
        return Candidates(self.one[rows], self.other[rows], self.symmetry[rows], self.place[rows], self.distance[rows])


@dataclass(frozen=True, eq=False)
class _Tree:
    """Random hyperplanes: at each level one direction, and for each node its threshold."""

    directions: Floats
    thresholds: tuple[Floats, ...]

    def leaves(self, descriptors: Floats) -> Rows:
        """Return the leaf of each descriptor: (n,) int64."""
        values = descriptors @ self.directions.T
        node = np.zeros(len(descriptors), np.int64)
        for level, thresholds in enumerate(self.thresholds):
            node = 2 * node + (values[:, level] > thresholds[node])
        return node


@dataclass(frozen=True, eq=False)
class _Leaves:
    """The wholes of one tree, sorted by leaf and then by split."""

    tree: _Tree
    order: Rows
    """Row and orientation of each whole, as row * 8 + orientation."""
    begins: Rows
    """(leaves, splits + 1): where the wholes of each split begin and the last ones end."""


@dataclass(frozen=True, eq=False)
class _Sides:
    """To which split and label each image belongs, as numbers from 0."""

    split: Rows
    label: Rows

    @property
    def splits(self) -> int:
        return int(self.split.max(initial=0)) + 1


@lru_cache(maxsize=1)
def places() -> tuple[Place, ...]:
    """Return every crop as (scale, top, left), the whole image first."""
    found = [WHOLE]
    for scale, steps in CUTS:
        free = (1 - scale) / (steps - 1)
        found += [(scale, top * free, left * free) for top in range(steps) for left in range(steps)]
    return tuple(found)


def propose(
    gray: NDArray[np.uint8],
    split: NDArray[np.integer],
    label: NDArray[np.integer],
    *,
    leaf: int = LEAF,
    progress: Progress | None = None,
) -> Candidates:
    """Return the pairs of images that may be the same: of each image the nearest few.

    Parameters
    ----------
    gray : (n, 64, 64) uint8 ndarray
    split, label : (n,) integer ndarray
        Two wholes are paired where either differs, an image and a crop where the splits differ; numbers from 0.
    leaf : int
        Wholes of a leaf, each orientation counted.
    progress : Progress, optional
        Shows the progress, in bytes of the images.
    """
    sides = _Sides(split.astype(np.int64), label.astype(np.int64))
    if len(gray) < 2 or (sides.splits == 1 and int(sides.label.max()) == 0):
        return _join([])
    metric, near = _learn_metric(gray)
    wholes = _describe_wholes(gray, metric)
    grown = _grow(wholes, sides, leaf)
    search = partial(_search_block, gray, wholes, grown, sides, metric=metric, near=near)
    kept = _join([])
    starts = range(0, len(gray), BLOCK)
    with (
        show_progress(progress or SilentProgress(), "search for copies", gray.size) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for start, found in zip(starts, pool.map(search, starts), strict=True):
            kept = _keep_best(_join([kept, found]))
            advance(gray[start : start + BLOCK].size)
    return kept


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """Return the orthonormal cosine basis: (FREQUENCIES, CELLS) float32."""
    frequency, cell = np.arange(FREQUENCIES)[:, None], (np.arange(CELLS) + 0.5) / CELLS
    scale = np.where(frequency == 0, np.sqrt(1 / CELLS), np.sqrt(2 / CELLS))
    return (np.cos(np.pi * frequency * cell) * scale).astype(np.float32)


def _unit(coefficients: Floats) -> Floats:
    """Return (..., FREQUENCIES ** 2) coefficients without the first one, at unit length."""
    kept = coefficients[..., 1:]
    scaled: Floats = kept / np.maximum(np.linalg.norm(kept, axis=-1, keepdims=True), np.float32(FLAT))
    return scaled


def _describe_crops(gray: NDArray[np.uint8]) -> Floats:
    """Return the descriptors of every crop: (n, len(places()), DIMENSIONS) float32, not whitened."""
    every = places()
    edges = sorted({(scale, start) for scale, start, _ in every})
    number = {edge: place for place, edge in enumerate(edges)}
    scales, starts = np.array(edges, np.float32).T
    rows = _cosines() @ weights(scales, starts, CELLS, length=gray.shape[1])
    found = np.empty((len(gray), len(every), DIMENSIONS), np.float32)
    for start in range(0, len(gray), DESCRIBED):
        images = gray[start : start + DESCRIBED].astype(np.float32)
        across = (rows.reshape(-1, gray.shape[1]) @ images).reshape(len(images), len(edges), FREQUENCIES, -1)
        for place, (scale, top, left) in enumerate(every):
            both = across[:, number[scale, top]] @ rows[number[scale, left]].T
            found[start : start + DESCRIBED, place] = _unit(both.reshape(len(images), -1))
    return found


def _describe_at(gray: NDArray[np.uint8], scale: Floats, top: Floats, left: Floats) -> Floats:
    """Return the descriptor of one crop of each image: (n, DIMENSIONS) float32, not whitened."""
    cells = cut(gray.astype(np.float32), scale, top, left, CELLS)
    coefficients: Floats = np.matmul(np.matmul(_cosines(), cells), _cosines().T)
    return _unit(coefficients.reshape(len(gray), -1))


def _turn(descriptors: Floats) -> Floats:
    """Return descriptors in the orientations of ``SYMMETRIES``: (n, 8, DIMENSIONS) float32.

    A flip changes the sign of every other frequency, and a transposed image has transposed frequencies.
    """
    first = np.zeros((len(descriptors), 1), np.float32)
    square = np.concatenate([first, descriptors], axis=1).reshape(-1, FREQUENCIES, FREQUENCIES)
    signs = np.where(np.arange(FREQUENCIES) % 2, np.float32(-1), np.float32(1))
    turned = []
    for k in range(8):
        image = square.swapaxes(1, 2) if k & 4 else square
        image = image * signs[:, None] if k & 2 else image
        image = image * signs if k & 1 else image
        turned.append(image.reshape(len(descriptors), -1)[:, 1:])
    return np.stack(turned, axis=1)


def _learn_metric(gray: NDArray[np.uint8]) -> tuple[Floats, float]:
    """Return the matrix that whitens what a crop between two places changes, and the squared distance that is near.

    The matrix is (DIMENSIONS, DIMENSIONS) float32 and the same for an image in any orientation.
    """
    random = np.random.default_rng(0)
    every = np.array(places(), np.float32)
    count = min(LEARNED, LEARNED_EACH * len(gray))
    row = np.sort(random.integers(0, len(gray), count))
    place = random.integers(1, len(every), count)
    scale, top, left = every[place].T
    half = np.concatenate([np.full(steps * steps, (1 - side) / (steps - 1) / 2) for side, steps in CUTS])
    spread = half[place - 1].astype(np.float32)
    shift = random.uniform(-1, 1, (3, count)).astype(np.float32)
    other = np.clip(scale + shift[0] * np.float32(0.025), np.float32(0.77), np.float32(1))
    moved = [
        np.clip(start - (other - scale) / 2 + move * spread, 0, 1 - other)
        for start, move in zip((top, left), shift[1:], strict=True)
    ]
    change = _describe_at(gray[row], other, *moved) - _describe_at(gray[row], scale, top, left)
    turned = _turn(change).reshape(-1, DIMENSIONS).astype(np.float64)
    covariance = turned.T @ turned / len(turned)
    covariance += max(FLOOR * np.trace(covariance) / DIMENSIONS, 1e-9) * np.eye(DIMENSIONS)
    values, vectors = np.linalg.eigh(covariance)
    metric = ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)
    lengths = ((change @ metric) ** 2).sum(axis=1)
    return metric, max(float(np.quantile(lengths, 0.99)) * REACH, 1e-6)


def _describe_wholes(gray: NDArray[np.uint8], metric: Floats) -> Floats:
    """Return the whitened descriptors of all wholes, eight orientations a row: (8 * n, DIMENSIONS) float32."""
    wholes = np.empty((len(gray), 8, DIMENSIONS), np.float32)
    for start in range(0, len(gray), DESCRIBED):
        images = gray[start : start + DESCRIBED]
        ones, zeros = np.ones(len(images), np.float32), np.zeros(len(images), np.float32)
        wholes[start : start + DESCRIBED] = _turn(_describe_at(images, ones, zeros, zeros)) @ metric
    return wholes.reshape(-1, DIMENSIONS)


def _grow(wholes: Floats, sides: _Sides, leaf: int) -> list[_Leaves]:
    """Return the trees and where each whole lies in them."""
    levels = max(0, int(np.ceil(np.log2(len(wholes) / leaf))))
    sample = wholes[:: max(1, len(wholes) // SAMPLE)]
    centered = (sample - sample.mean(axis=0)).astype(np.float64)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(centered))
    axes = (vectors[:, -AXES:] * np.sqrt(np.maximum(values[-AXES:], 0))).T
    grown = []
    for number in range(TREES if levels else 1):
        tree = _draw_tree(sample, axes, levels=levels, seed=number)
        place = tree.leaves(wholes) * sides.splits + np.repeat(sides.split, 8)
        order = np.argsort(place, kind="stable")
        begins = np.searchsorted(place[order], np.arange((1 << levels) * sides.splits + 1))
        starts = np.stack([begins[:-1].reshape(-1, sides.splits)[:, split] for split in range(sides.splits)], axis=1)
        grown.append(_Leaves(tree, order, np.hstack([starts, begins[sides.splits :: sides.splits, None]])))
    return grown


def _draw_tree(sample: Floats, axes: NDArray[np.float64], *, levels: int, seed: int) -> _Tree:
    random = np.random.default_rng(1000 + seed)
    directions = (random.normal(size=(levels, len(axes))) @ axes).astype(np.float32)
    node, thresholds = np.zeros(len(sample), np.int64), []
    for level in range(levels):
        values = sample @ directions[level]
        order = np.lexsort((values, node))
        ends = np.searchsorted(node[order], np.arange((1 << level) + 1))
        middle = np.minimum((ends[:-1] + ends[1:]) // 2, len(sample) - 1)
        thresholds.append(values[order][middle])
        node = 2 * node + (values > thresholds[level][node])
    return _Tree(directions, tuple(thresholds))


def _search_block(
    gray: NDArray[np.uint8],
    wholes: Floats,
    grown: list[_Leaves],
    sides: _Sides,
    start: int,
    *,
    metric: Floats,
    near: float,
) -> Candidates:
    """Return for every crop of a block of images the nearest whole that it may be paired with."""
    several = sides.splits > 1
    rows = np.arange(start, min(start + BLOCK, len(gray)))
    crops = _describe_crops(gray[rows])[:, : None if several else 1]
    count = crops.shape[1]
    crops = (crops.reshape(-1, DIMENSIONS) @ metric).astype(np.float32)
    length = np.einsum("nd,nd->n", crops, crops)
    found = []
    for leaves in grown:
        best = np.full(len(crops), np.inf, np.float32)
        which = np.zeros(len(crops), np.int64)
        group = leaves.tree.leaves(crops) * sides.splits + np.repeat(sides.split[rows], count)
        order = np.argsort(group, kind="stable")
        bounds = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
        for begin, end in pairwise(bounds):
            asked = order[begin:end]
            leaf, split = divmod(int(group[asked[0]]), sides.splits)
            for wanted, inside in _opposites(leaves, leaf, split, asked, count, sides, rows):
                best[wanted], which[wanted] = _nearest(crops, length, wholes, wanted, inside)
        hits = np.flatnonzero(best <= near)
        one, symmetry = np.divmod(which[hits], 8)
        found.append(Candidates(one, rows[hits // count], symmetry, hits % count, best[hits] / np.float32(near)))
    return _keep_best(_join(found))


def _opposites(
    leaves: _Leaves, leaf: int, split: int, asked: Rows, count: int, sides: _Sides, rows: Rows
) -> Iterator[tuple[Rows, Rows]]:
    """Yield crops of one split, and the wholes of a leaf that they are compared with."""
    begins = leaves.begins[leaf]
    apart = np.concatenate([leaves.order[begins[0] : begins[split]], leaves.order[begins[split + 1] : begins[-1]]])
    crops = asked[asked % count > 0]
    if len(apart) and len(crops):
        yield crops, apart
    whole = asked[asked % count == 0]
    if not len(whole):
        return
    own = leaves.order[begins[split] : begins[split + 1]]
    labels = sides.label[rows[whole // count]]
    for label in np.unique(labels):
        inside = np.concatenate([apart, own[sides.label[own // 8] != label]])
        if len(inside):
            yield whole[labels == label], inside


def _nearest(crops: Floats, length: Floats, wholes: Floats, wanted: Rows, inside: Rows) -> tuple[Floats, Rows]:
    """Return squared distance and number of the nearest of some wholes, for each of some crops."""
    against = wholes[inside]
    distance = np.einsum("nd,nd->n", against, against) - 2 * (crops[wanted] @ against.T)
    first = distance.argmin(axis=1)
    return np.maximum(distance[np.arange(len(wanted)), first] + length[wanted], 0), inside[first]


def _join(parts: list[Candidates]) -> Candidates:
    empty = np.zeros(0, np.int64)
    parts = [Candidates(empty, empty, empty, empty, np.zeros(0, np.float32)), *parts]
    return Candidates(
        np.concatenate([part.one for part in parts]),
        np.concatenate([part.other for part in parts]),
        np.concatenate([part.symmetry for part in parts]),
        np.concatenate([part.place for part in parts]),
        np.concatenate([part.distance for part in parts]),
    )


def _keep_best(found: Candidates) -> Candidates:
    """Return the nearest few pairs of every image in either role, each pair once, the nearest first."""
    rounded = found.distance.round(5)
    found = found.take(np.lexsort((found.place, found.symmetry, found.other, found.one, rounded)))
    low, high = np.minimum(found.one, found.other), np.maximum(found.one, found.other)
    key = low * (int(high.max(initial=0)) + 1) + high
    _, first = np.unique(key, return_index=True)
    found = found.take(np.sort(first))
    chosen = np.zeros(len(found), np.bool_)
    whole = found.place == 0
    for role in (found.one, found.other):
        for kind in (whole, ~whole):
            rows = np.flatnonzero(kind)
            most = np.where(found.distance[rows] <= VERY_NEAR, KEPT_NEAR, KEPT)
            chosen[rows[_rank(role[rows]) < most]] = True
    return found.take(np.flatnonzero(chosen))


def _rank(values: Rows) -> Rows:
    """Return how many equal values precede each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))
    return rank
