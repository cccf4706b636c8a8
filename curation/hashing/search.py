"""Finds all pairs of 64-bit hashes within a Hamming radius, exactly, in bounded memory.

Multi-index hashing (Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014): of
``m`` bands of bits, a pair within radius ``r`` agrees in at least one to within its share of ``r - m + 1``. Each band
is a direct-address table, probed with one XOR mask at a time; what a probe meets is compared on all 64 bits. A pair is
streamed once, by the first band that finds it. Input so clumped that its candidates outnumber all pairs is compared
pair by pair instead, which ``plan_search`` reports beforehand.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.hashing.multi_index import ChunkSizes, Comparison, Found
from curation.hashing.plan import Method, SearchReport, choose_plan
from curation.images.orientation import SYMMETRIES

MAX_RADIUS: Final = 32
_TOGETHER: Final = 1 << 13  # pairs that are worth handing over
_ALONE: Final = 1 << 13  # rows so few that handing them to threads costs more than comparing them
_LOW_BITS: Final = 22  # of a mixed hash: a table of 4 MB


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs of rows: ``i < j``, (k,) int64 each, with (k,) uint8 distance and symmetry."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    distance: NDArray[np.uint8]
    symmetry: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.i)


def mix_columns(columns: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return one number for each row, equal for equal rows and, but for collisions, for these alone: (n,) uint64."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def representatives(
    hashes: NDArray[np.uint64],
    keys: NDArray[np.integer] | None = None,
    *,
    mix: Callable[[Sequence[NDArray[np.uint64]]], NDArray[np.uint64]] = mix_columns,
) -> NDArray[np.int64]:
    """Return for each row the first row of the same hash (or eight hashes) and key: the one its pairs are found under.

    Parameters
    ----------
    hashes : (n,) or (n, 8) uint64 ndarray
    keys : (n,) integer ndarray, optional
        Rows of equal hash but different key stay apart.
    mix : function of a sequence of (n,) uint64 ndarrays to one, optional
        Maps rows to numbers that are compared first; collisions cost time and change nothing.

    Returns
    -------
    (n,) int64 ndarray
        ``first[row] <= row``, and ``first[row] == row`` for the rows that are searched.
    """
    columns = hashes[:, None] if hashes.ndim == 1 else hashes
    parts = [columns[:, k] for k in range(columns.shape[1])]
    if keys is not None:
        parts.append(np.asarray(keys).astype(np.uint64))
    first = _first_of_equal(mix(parts))
    if all(np.array_equal(part, part[first]) for part in parts):
        return first
    # Two different rows were mixed into one number: compare the rows themselves.
    table = np.stack(parts, axis=1)
    _, start, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return start[inverse.ravel()].astype(np.int64)


def plan_search(
    hashes: NDArray[np.uint64],
    radius: int,
    *,
    keys: NDArray[np.integer] | None = None,
    method: Method = "auto",
) -> SearchReport:
    """Return how a search of these hashes will be done and its estimated cost, without searching."""
    first = representatives(hashes, keys)
    upright = hashes if hashes.ndim == 1 else hashes[:, 0]
    distinct = upright[first == np.arange(len(first))]
    orientations = 1 if hashes.ndim == 1 else 2 * len(SYMMETRIES) - 1
    report = choose_plan(distinct, radius, orientations=orientations, method=method)
    return replace(report, rows=len(hashes))


def pairs_within(
    hashes: NDArray[np.uint64],
    radius: int,
    *,
    keys: NDArray[np.integer] | None = None,
    method: Method = "auto",
    threads: int | None = None,
    plan: SearchReport | None = None,
    sizes: ChunkSizes | None = None,
) -> Iterator[Pairs]:
    """Yield every pair of distinct hashes within the radius once, in batches, in an order that is always the same.

    Parameters
    ----------
    hashes : (n,) uint64 ndarray
    radius : int
        In bits, 0 to 32.
    keys : (n,) integer ndarray, optional
        Rows of equal hash are collapsed to the first of them where their keys are equal too, and then paired (at
        distance 0) where the keys differ. Without keys all rows of one hash are collapsed, so that a thousand blank
        images give no pair at all. ``representatives`` gives the first of each row: the pairs of all rows are the pairs
        here, each side replaced by any row of its representative, and any two rows of one representative.
    method : {"auto", "bands", "all pairs"}
        The algorithm; the pairs are the same.
    threads : int, optional
        Default: one a core, at most 4. Neither pairs nor their order depend on it.
    plan : SearchReport, optional
        What ``plan_search`` returned for the same hashes, radius and keys, so that it is not computed again.
    sizes : ChunkSizes, optional
        How much is worked on at once; the pairs are the same.

    Yields
    ------
    Pairs
        ``i < j`` are rows of ``hashes``, both representatives; symmetry is 0 throughout.
    """
    yield from _stream(hashes[:, None], radius, keys=keys, method=method, threads=threads, plan=plan, sizes=sizes)


def oriented_pairs_within(
    symmetries: NDArray[np.uint64],
    radius: int,
    *,
    keys: NDArray[np.integer] | None = None,
    method: Method = "auto",
    threads: int | None = None,
    plan: SearchReport | None = None,
    sizes: ChunkSizes | None = None,
) -> Iterator[Pairs]:
    """Yield every pair of images within the radius in any of eight orientations once, at its smallest distance.

    Parameters
    ----------
    symmetries : (n, 8) uint64 ndarray
        As ``curation.hashing.symmetries`` gives it.
    radius, keys, method, threads, plan, sizes
        As for ``pairs_within``; rows are collapsed where all eight hashes (and keys) are equal.

    Yields
    ------
    Pairs
        ``distance`` is the smallest of ``bits(symmetries[i, 0] ^ symmetries[j, k])`` over k, ``symmetry`` the smallest
        k that has it.
    """
    if symmetries.ndim != 2 or symmetries.shape[1] != len(SYMMETRIES):
        raise ValueError(f"(n, 8) hashes are needed, not {symmetries.shape}")
    yield from _stream(symmetries, radius, keys=keys, method=method, threads=threads, plan=plan, sizes=sizes)


def find_candidates(
    hashes: NDArray[np.uint64], radius: int, keys: NDArray[np.integer] | None = None, plan: SearchReport | None = None
) -> Iterator[Pairs]:
    """Yield the pairs of ``pairs_within`` for (n,) hashes, those of ``oriented_pairs_within`` for (n, 8)."""
    search = pairs_within if hashes.ndim == 1 else oriented_pairs_within
    return search(hashes, radius, keys=keys, plan=plan)


def _stream(
    hashes: NDArray[np.uint64],
    radius: int,
    *,
    keys: NDArray[np.integer] | None,
    method: Method,
    threads: int | None,
    plan: SearchReport | None,
    sizes: ChunkSizes | None,
) -> Iterator[Pairs]:
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"a radius is 0 to {MAX_RADIUS} bits, not {radius}")
    first = representatives(hashes, keys)
    rows = np.flatnonzero(first == np.arange(len(first)))
    del first
    collapsed = len(rows) < len(hashes)
    distinct = hashes[rows] if collapsed else hashes
    orientations = hashes.shape[1]
    report = plan or choose_plan(distinct[:, 0], radius, orientations=2 * orientations - 1, method=method)
    sizes = sizes or ChunkSizes()
    search = Comparison(distinct, report, sizes)
    jobs = search.all_pairs() if report.method == "all pairs" else search.by_bands()
    threads = threads or min(os.cpu_count() or 1, 4)
    found = chain.from_iterable(jobs) if len(rows) <= _ALONE else _run(jobs, threads, pairs=sizes.pairs)
    for i, j, distance, symmetry in _gather(found):
        yield Pairs(rows[i], rows[j], distance, symmetry) if collapsed else Pairs(i, j, distance, symmetry)


def _gather(batches: Iterator[Found]) -> Iterator[Found]:
    """Join small batches into fewer: what works on them costs by the batch more than by the pair."""
    found: list[Found] = []
    size = 0
    for batch in batches:
        found.append(batch)
        size += len(batch[0])
        if size >= _TOGETHER:
            yield _join(found)
            found, size = [], 0
    if found:
        yield _join(found)


def _run(jobs: Iterable[Iterator[Found]], threads: int, *, pairs: int) -> Iterator[Found]:
    """Advance the jobs on threads, a bounded number of batches ahead, and yield their batches in the jobs' order."""

    def advance(job: Iterator[Found]) -> tuple[list[Found], bool]:
        found: list[Found] = []
        size = 0
        for batch in job:
            found.append(batch)
            size += len(batch[0])
            if size >= pairs:
                return found, False
        return found, True

    waiting: deque[tuple[Future[tuple[list[Found], bool]], Iterator[Found]]] = deque()
    source = iter(jobs)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while len(waiting) < 2 * threads and (job := next(source, None)) is not None:
                    waiting.append((pool.submit(advance, job), job))
                if not waiting:
                    return
                future, job = waiting.popleft()
                found, finished = future.result()
                if not finished:
                    waiting.appendleft((pool.submit(advance, job), job))
                if found:
                    yield _join(found)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _join(found: list[Found]) -> Found:
    if len(found) == 1:
        return found[0]
    i, j, distance, symmetry = zip(*found, strict=True)
    return np.concatenate(i), np.concatenate(j), np.concatenate(distance), np.concatenate(symmetry)


def _first_of_equal(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    ordered = np.sort(numbers)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    first = np.arange(len(numbers))
    if not len(repeated):
        return first
    # Most rows are unique: a table of the low bits shows it, and only the others are looked up.
    low = np.uint64((1 << _LOW_BITS) - 1)
    marked = np.zeros(1 << _LOW_BITS, np.bool_)
    marked[repeated & low] = True
    rows = np.flatnonzero(marked[numbers & low])
    place = np.searchsorted(repeated, numbers[rows]).clip(max=len(repeated) - 1)
    rows = rows[repeated[place] == numbers[rows]]
    order = rows[np.argsort(numbers[rows], kind="stable")]
    opens = np.diff(numbers[order], prepend=~numbers[order[:1]]) != 0
    first[order] = order[opens][np.cumsum(opens) - 1]
    return first
