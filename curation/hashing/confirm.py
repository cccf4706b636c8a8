"""Confirms candidate pairs by their pixels: a hash proposes, the thumbnails must correlate and differ in no place.

Images with the same hashes, the same thumbnail and the same detail cannot be distinguished here: they correlate at 1
with each other and equally with every other image. Only the first of them is paired; ``first`` names it for each row.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.hashing.components import connected_components
from curation.hashing.fingerprint import Fingerprints
from curation.hashing.plan import SearchReport
from curation.hashing.search import Pairs, oriented_pairs_within, pairs_within, plan_search, representatives
from curation.hashing.thumbnails import correlation as correlate
from curation.images.orientation import INVERSE, SYMMETRIES

Search = Callable[[NDArray[np.uint64], int, NDArray[np.int64], SearchReport], Iterator[Pairs]]

_BATCH = 8192  # candidates whose thumbnails are in memory at once: up to 16 MB a side
_CLOSE = 1024  # pairs whose details are in memory at once: up to 4 MB a side
NEAREST: Final = 64
"""Rejected pairs that are returned, those nearest to the limit."""


@dataclass(frozen=True)
class Neighbors:
    """The near duplicates of one row: ``rows`` (k,) int64 ascending, and the result of each comparison.

    ``symmetry`` is the orientation into which the *other* image is turned to match this one.
    """

    rows: NDArray[np.int64]
    distance: NDArray[np.uint8]
    correlation: NDArray[np.float64]
    symmetry: NDArray[np.uint8]


@dataclass(frozen=True)
class ComparedPairs:
    """Pairs of rows and the result of each comparison, as ``ConfirmedPairs`` describes it."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    distance: NDArray[np.uint8]
    correlation: NDArray[np.float64]
    symmetry: NDArray[np.uint8]
    difference: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.i)

    def take(self, order: NDArray[np.intp]) -> "ComparedPairs":
        """Return some pairs, in that order."""
        return ComparedPairs(
            self.i[order],
            self.j[order],
            self.distance[order],
            self.correlation[order],
            self.symmetry[order],
            self.difference[order],
        )


_NONE = ComparedPairs(
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, np.uint8),
    np.zeros(0, np.float64),
    np.zeros(0, np.uint8),
    np.zeros(0, np.float32),
)


@dataclass(frozen=True)
class ConfirmedPairs:
    """The confirmed near duplicates among n images, sorted by (i, j).

    Parameters
    ----------
    first : (n,) int64 ndarray
        The first row of the same hashes and thumbnail; the row itself where it is the first or not eligible.
    i, j : (k,) int64 ndarray
        ``i < j``; rows that stand for themselves (``first[i] == i``).
    distance : (k,) uint8 ndarray
        Bits between the upright hash of i and that of j in its orientation.
    correlation : (k,) float64 ndarray
        Of the thumbnail of i with that of j turned by ``symmetry``.
    symmetry : (k,) uint8 ndarray
        Index into ``SYMMETRIES``.
    difference : (k,) float32 ndarray
        The largest local difference, relative to the calibrated limit; at most the tolerance.
    rejected : int
        Pairs whose thumbnails correlate enough, but which differ more than the tolerance in a place: other images.
    nearest : ComparedPairs
        Of these the nearest to the limit, by difference.
    candidates : int
        Pairs within the radius, confirmed or not.
    report : SearchReport
        How the candidates were found; its ``warning`` is for the user.
    """

    first: NDArray[np.int64]
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    distance: NDArray[np.uint8]
    correlation: NDArray[np.float64]
    symmetry: NDArray[np.uint8]
    difference: NDArray[np.float32]
    rejected: int
    nearest: ComparedPairs
    candidates: int
    report: SearchReport

    def __len__(self) -> int:
        """Return the number of pairs between rows that stand for themselves."""
        return len(self.i)

    def take(self, order: NDArray[np.intp]) -> ComparedPairs:
        """Return some of the confirmed pairs, in that order."""
        return ComparedPairs(self.i, self.j, self.distance, self.correlation, self.symmetry, self.difference).take(
            order
        )

    def components(self) -> NDArray[np.int64]:
        """Return for each row the smallest row it is connected with through confirmed near duplicates."""
        rows = np.arange(len(self.first))
        return connected_components(
            len(self.first), np.concatenate([self.i, rows]), np.concatenate([self.j, self.first])
        )

    def involved(self) -> NDArray[np.int64]:
        """Return the rows that have at least one near duplicate, ascending."""
        component = self.components()
        sizes = np.bincount(component, minlength=len(component))
        return np.flatnonzero(sizes[component] > 1)

    def neighbors(self, row: int) -> Neighbors:
        """Return all confirmed near duplicates of a row except itself, those with an equal thumbnail included."""
        near = self._near(int(self.first[row]))
        members = [self._members(int(first)) for first in near.rows]
        counts = np.array([len(rows) for rows in members], np.intp)
        rows = np.concatenate([*members, np.zeros(0, np.int64)])
        order = np.argsort(rows, kind="stable")
        order = order[rows[order] != row]
        which = np.repeat(np.arange(len(members)), counts)[order]
        return Neighbors(rows[order], near.distance[which], near.correlation[which], near.symmetry[which])

    def _near(self, first: int) -> Neighbors:
        index = self._index
        part = slice(*np.searchsorted(index.i, [first, first + 1]))
        return Neighbors(
            np.append(index.j[part], first),
            np.append(index.distance[part], np.uint8(0)),
            np.append(index.correlation[part], 1.0),
            np.append(index.symmetry[part], np.uint8(0)),
        )

    def _members(self, first: int) -> NDArray[np.int64]:
        order, ordered = self._clumps
        return order[slice(*np.searchsorted(ordered, [first, first + 1]))]

    @cached_property
    def _clumps(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.first, kind="stable")
        return order, self.first[order]

    @cached_property
    def _index(self) -> ComparedPairs:
        """Every pair in both directions, sorted by the row asked for."""
        i, j = np.concatenate([self.i, self.j]), np.concatenate([self.j, self.i])
        back = np.array(INVERSE, np.uint8)[self.symmetry]
        both = ComparedPairs(
            i,
            j,
            np.tile(self.distance, 2),
            np.tile(self.correlation, 2),
            np.concatenate([self.symmetry, back]),
            np.tile(self.difference, 2),
        )
        return both.take(np.lexsort((j, i)))


def confirmed_pairs(
    fingerprints: Fingerprints,
    *,
    radius: int,
    correlation: float,
    symmetries: bool,
    eligible: NDArray[np.bool_],
    tolerance: float = 1.0,
    alone: NDArray[np.bool_] | None = None,
    threads: int | None = None,
    search: Search | None = None,
) -> ConfirmedPairs:
    """Return the pairs within the radius that are the same image in an orientation.

    Their thumbnails correlate at least so much, and their details differ nowhere by more than the tolerance.

    Parameters
    ----------
    fingerprints : Fingerprints
        Of n images.
    radius : int
        In bits.
    correlation : float
        The least correlation of the 32x32 thumbnails.
    symmetries : bool
        Whether the other seven orientations are compared too.
    eligible : (n,) bool ndarray
        Rows to compare; the caller excludes flat and unreadable images.
    tolerance : float
        The largest local difference, as ``local_difference`` returns it.
    alone : (n,) bool ndarray, optional
        Rows that represent no other row and are represented by none: all of their pairs are returned.
    threads : int, optional
        For the search; the result does not depend on it.
    search : callable, optional
        Finds the candidates instead of ``oriented_pairs_within`` and ``pairs_within``, given the hashes, (n, 8) or
        (n,), the radius, the keys and the plan. It gives the same pairs; the result does not depend on their order.

    Returns
    -------
    ConfirmedPairs
        Of several orientations that are within the radius and confirmed, the one of the smallest distance, then of
        the smallest number.
    """
    rows = np.flatnonzero(eligible)
    searched = fingerprints.symmetries[rows] if symmetries else fingerprints.symmetries[rows, 0]
    keys = _thumbnail_keys(searched, fingerprints, rows)
    if alone is not None:
        keys = np.where(alone[rows], len(rows) + np.arange(len(rows)), keys)
    report = plan_search(searched, radius, keys=keys)
    if search is not None:
        stream = search(searched, radius, keys, report)
    elif symmetries:
        stream = oriented_pairs_within(searched, radius, keys=keys, threads=threads, plan=report)
    else:
        stream = pairs_within(searched, radius, keys=keys, threads=threads, plan=report)
    orientations = len(SYMMETRIES) if symmetries else 1
    found, nearest, candidates, rejected = [_NONE], _NONE, 0, 0
    for batch in (batch for pairs in stream for batch in _batches(pairs)):
        candidates += len(batch)
        alike = _correlated(
            batch, fingerprints, rows, radius=radius, correlation=correlation, orientations=orientations
        )
        same, other = _same_images(alike, fingerprints, tolerance)
        found.append(same)
        rejected += len(other)
        nearest = _nearest([nearest, other])
    first = np.arange(len(fingerprints))
    first[rows] = rows[representatives(searched, keys)]
    pairs = _join(found)
    pairs = pairs.take(np.lexsort((pairs.j, pairs.i)))
    return ConfirmedPairs(
        first,
        pairs.i,
        pairs.j,
        pairs.distance,
        pairs.correlation,
        pairs.symmetry,
        pairs.difference,
        rejected,
        _measured(nearest, fingerprints),
        candidates,
        report,
    )


def _join(found: Sequence[ComparedPairs]) -> ComparedPairs:
    return ComparedPairs(
        np.concatenate([part.i for part in found]),
        np.concatenate([part.j for part in found]),
        np.concatenate([part.distance for part in found]),
        np.concatenate([part.correlation for part in found]),
        np.concatenate([part.symmetry for part in found]),
        np.concatenate([part.difference for part in found]),
    )


def _nearest(found: Sequence[ComparedPairs]) -> ComparedPairs:
    """Return the pairs nearest to the limit; those of the same value, as far ones are, by their correlation."""
    pairs = _join(found)
    return pairs.take(np.lexsort((pairs.j, pairs.i, -pairs.correlation, pairs.difference))[:NEAREST])


def _measured(pairs: ComparedPairs, fingerprints: Fingerprints) -> ComparedPairs:
    """Return the pairs with the differences of those too that the first look rejected, sorted by difference."""
    difference = fingerprints.local_difference(pairs.i, pairs.j, pairs.symmetry, complete=True)
    pairs = replace(pairs, difference=difference)
    return pairs.take(np.lexsort((pairs.j, pairs.i, pairs.difference)))


def _thumbnail_keys(
    hashes: NDArray[np.uint64], fingerprints: Fingerprints, rows: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return a number for each distinct thumbnail and detail among rows of equal hashes.

    Elsewhere the key makes no difference.
    """
    first = representatives(hashes)
    shared = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
    keys = np.zeros(len(rows), np.int64)
    numbers: dict[bytes, int] = {}
    for row in shared:
        content = hashlib.sha256(fingerprints.thumbnails[rows[row]].tobytes())
        if fingerprints.details is not None:
            content.update(fingerprints.details[rows[row]].tobytes())
        keys[row] = numbers.setdefault(content.digest(), len(numbers))
    return keys


def _batches(pairs: Pairs) -> Iterator[Pairs]:
    for start in range(0, len(pairs), _BATCH):
        part = slice(start, start + _BATCH)
        yield Pairs(pairs.i[part], pairs.j[part], pairs.distance[part], pairs.symmetry[part])


def _correlated(
    pairs: Pairs,
    fingerprints: Fingerprints,
    rows: NDArray[np.intp],
    *,
    radius: int,
    correlation: float,
    orientations: int,
) -> ComparedPairs:
    """Return each pair in every orientation within the radius in which its thumbnails correlate enough."""
    i, j = rows[pairs.i], rows[pairs.j]
    every = np.bitwise_count(fingerprints.symmetries[i, :1] ^ fingerprints.symmetries[j, :orientations])
    pair, symmetry = np.nonzero(every <= radius)
    distance = every[pair, symmetry]
    values = correlate(fingerprints.thumbnails[i[pair]], fingerprints.thumbnails[j[pair]], symmetry)
    good = np.flatnonzero(values >= correlation)
    unknown = np.zeros(len(good), np.float32)
    pair = pair[good]
    return ComparedPairs(i[pair], j[pair], distance[good], values[good], symmetry[good].astype(np.uint8), unknown)


def _same_images(
    alike: ComparedPairs, fingerprints: Fingerprints, tolerance: float
) -> tuple[ComparedPairs, ComparedPairs]:
    """Return of each pair the closest orientation that is the same image, and of the other pairs the most similar."""
    difference = np.empty(len(alike), np.float32)
    for start in range(0, len(alike), _CLOSE):
        part = slice(start, start + _CLOSE)
        difference[part] = fingerprints.local_difference(
            alike.i[part], alike.j[part], alike.symmetry[part], tolerance=tolerance
        )
    alike = replace(alike, difference=difference)
    same = alike.take(np.flatnonzero(difference <= tolerance))
    same = same.take(np.lexsort((same.symmetry, same.distance, same.j, same.i)))
    same = same.take(_first_of_each(same))
    pair, kept = (part.i * len(fingerprints) + part.j for part in (alike, same))
    others = alike.take(np.flatnonzero(~np.isin(pair, kept)))
    others = others.take(np.lexsort((others.symmetry, others.difference, others.j, others.i)))
    return same, others.take(_first_of_each(others))


def _first_of_each(pairs: ComparedPairs) -> NDArray[np.intp]:
    """Return the places of the first of equal pairs; these lie next to each other."""
    changes = (np.diff(pairs.i, prepend=-1) != 0) | (np.diff(pairs.j, prepend=-1) != 0)
    return np.flatnonzero(changes)
