"""Confirms candidate pairs by their pixels: a hash proposes, the thumbnails' correlation decides.

Images with the same hashes and the same thumbnail cannot be distinguished here: they correlate at 1 with each other and
equally with every other image. Only the first of them is paired; ``first`` names it for each row.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

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
class _Columns:
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    distance: NDArray[np.uint8]
    correlation: NDArray[np.float64]
    symmetry: NDArray[np.uint8]

    def take(self, order: NDArray[np.intp]) -> "_Columns":
        return _Columns(
            self.i[order], self.j[order], self.distance[order], self.correlation[order], self.symmetry[order]
        )


_NONE = _Columns(
    np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.float64), np.zeros(0, np.uint8)
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
    candidates: int
    report: SearchReport

    def __len__(self) -> int:
        """Return the number of pairs between rows that stand for themselves."""
        return len(self.i)

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
    def _index(self) -> _Columns:
        """Every pair in both directions, sorted by the row asked for."""
        i, j = np.concatenate([self.i, self.j]), np.concatenate([self.j, self.i])
        back = np.array(INVERSE, np.uint8)[self.symmetry]
        both = _Columns(
            i, j, np.tile(self.distance, 2), np.tile(self.correlation, 2), np.concatenate([self.symmetry, back])
        )
        return both.take(np.lexsort((j, i)))


def confirmed_pairs(
    fingerprints: Fingerprints,
    *,
    radius: int,
    correlation: float,
    symmetries: bool,
    eligible: NDArray[np.bool_],
    alone: NDArray[np.bool_] | None = None,
    threads: int | None = None,
    search: Search | None = None,
) -> ConfirmedPairs:
    """Return the pairs within the radius whose thumbnails correlate at least so much, in that orientation.

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
    keys = _thumbnail_keys(searched, fingerprints.thumbnails, rows)
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
    found, candidates = [_NONE], 0
    for batch in (batch for pairs in stream for batch in _batches(pairs)):
        candidates += len(batch)
        found.append(
            _confirm(batch, fingerprints, rows, radius=radius, correlation=correlation, orientations=orientations)
        )
    first = np.arange(len(fingerprints))
    first[rows] = rows[representatives(searched, keys)]
    return _sorted(found, first=first, candidates=candidates, report=report)


def _sorted(
    found: list[_Columns], *, first: NDArray[np.int64], candidates: int, report: SearchReport
) -> ConfirmedPairs:
    pairs = _Columns(
        np.concatenate([part.i for part in found]),
        np.concatenate([part.j for part in found]),
        np.concatenate([part.distance for part in found]),
        np.concatenate([part.correlation for part in found]),
        np.concatenate([part.symmetry for part in found]),
    )
    pairs = pairs.take(np.lexsort((pairs.j, pairs.i)))
    return ConfirmedPairs(
        first, pairs.i, pairs.j, pairs.distance, pairs.correlation, pairs.symmetry, candidates, report
    )


def _thumbnail_keys(
    hashes: NDArray[np.uint64], thumbnails: NDArray[np.uint8], rows: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return a number for each distinct thumbnail among rows of equal hashes; elsewhere the key makes no difference."""
    first = representatives(hashes)
    shared = np.flatnonzero(np.bincount(first, minlength=len(first))[first] > 1)
    keys = np.zeros(len(rows), np.int64)
    numbers: dict[bytes, int] = {}
    for row in shared:
        content = hashlib.sha256(thumbnails[rows[row]].tobytes()).digest()
        keys[row] = numbers.setdefault(content, len(numbers))
    return keys


def _batches(pairs: Pairs) -> Iterator[Pairs]:
    for start in range(0, len(pairs), _BATCH):
        part = slice(start, start + _BATCH)
        yield Pairs(pairs.i[part], pairs.j[part], pairs.distance[part], pairs.symmetry[part])


def _confirm(
    pairs: Pairs,
    fingerprints: Fingerprints,
    rows: NDArray[np.intp],
    *,
    radius: int,
    correlation: float,
    orientations: int,
) -> _Columns:
    """Correlate each pair in every orientation within the radius, and keep the closest that is confirmed."""
    i, j = rows[pairs.i], rows[pairs.j]
    every = np.bitwise_count(fingerprints.symmetries[i, :1] ^ fingerprints.symmetries[j, :orientations])
    pair, symmetry = np.nonzero(every <= radius)
    distance = every[pair, symmetry]
    values = correlate(fingerprints.thumbnails[i[pair]], fingerprints.thumbnails[j[pair]], symmetry)
    good = np.flatnonzero(values >= correlation)
    good = good[np.lexsort((symmetry[good], distance[good], pair[good]))]
    best = good[np.flatnonzero(np.diff(pair[good], prepend=-1))]
    return _Columns(i[pair[best]], j[pair[best]], distance[best], values[best], symmetry[best].astype(np.uint8))
