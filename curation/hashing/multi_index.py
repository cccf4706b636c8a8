"""Compares hashes in an all-pairs search: by probing direct-address tables, or every row with every later one.

Every job is an iterator of small batches; jobs share nothing that changes, so that they run on threads.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, combinations, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.hashing.plan import Band, SearchReport, reorder

_FILLED: Final = 0.25  # of the buckets: with fewer, looking at each place costs more than the entries that have it
_MOST_LEADS: Final = 12
_MANY: Final = 64  # masks of a band whose probes take far longer than its table

# Rows i < j, distance, symmetry.
Found = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class ChunkSizes:
    """How much a search works on at once. The pairs do not depend on it, time and memory do.

    Parameters
    ----------
    queries : int
        Hashes that one numpy call works on: 1 MB of them.
    few : int
        Below so many queries a numpy call costs more than what it computes.
    long : int
        Mates of one query that are worth a call of their own.
    pairs : int
        Pairs that a thread keeps in memory before they are handed over.
    """

    queries: int = 1 << 17
    few: int = 4096
    long: int = 512
    pairs: int = 1 << 18


@dataclass(frozen=True)
class _Entries:
    """Hashes with the number of their bucket and the row they come from, in the order of the buckets."""

    hashes: NDArray[np.uint64]
    buckets: NDArray[np.intp]
    rows: NDArray[np.int32]

    def take(self, places: NDArray[np.intp] | slice) -> "_Entries":
        return _Entries(self.hashes[places], self.buckets[places], self.rows[places])


@dataclass(frozen=True)
class _Table:
    """Entries in a direct-address table; bucket b is ``offsets[b]:offsets[b + 1]``.

    ``leads`` are the first hashes of each bucket, one array for each place in it: most probes are settled by these
    look-ups. An empty place has the complement of the bucket's number at the band's bits, far from every query. The
    entries behind the leads are the ``rest``.
    """

    entries: _Entries
    offsets: NDArray[np.int32]
    leads: tuple[NDArray[np.uint64], ...]
    crowded: NDArray[np.bool_]
    rest: NDArray[np.intp]


def _cut(table: _Table, behind: NDArray[np.bool_], top: int, *, queries: int) -> tuple[_Entries, _Entries]:
    """Return the entries that query the leads where masks have this top bit, and those that query the rest."""
    buckets = table.entries.buckets
    lower = np.empty(len(buckets), np.bool_)
    for start in range(0, len(buckets), queries):
        part = slice(start, start + queries)
        np.equal(buckets[part] & (1 << top), 0, out=lower[part])
    return table.entries.take(np.flatnonzero(lower | behind)), table.entries.take(np.flatnonzero(lower & behind))


@dataclass(frozen=True)
class Comparison:
    """One search over distinct hashes (n, 1) or (n, 8)."""

    hashes: NDArray[np.uint64]
    report: SearchReport
    sizes: ChunkSizes = field(default_factory=ChunkSizes)

    def by_bands(self) -> Iterator[Iterator[Found]]:
        """Yield one job for each orientation, band and mask."""
        with closing(self._tables()) as tables:
            for number, band in enumerate(self.report.bands):
                table = next(tables)
                yield from self._join_with_itself(table, number)
                rest = table.entries.take(table.rest)
                for k in range(1, self.hashes.shape[1]):
                    turned = next(tables)
                    for mask in _masks(band):
                        yield self._join(table, turned, rest, number=number, mask=mask, symmetry=k)

    def _tables(self) -> Generator[_Table, None, None]:
        """Yield the table of each band and orientation; the next one is made while jobs work on the last."""

        @lru_cache(maxsize=1)
        def upright() -> NDArray[np.uint64]:
            return reorder(self.hashes[:, 0], self.report.order)

        def make(place: tuple[Band, int]) -> _Table:
            band, k = place
            return _build_table(reorder(self.hashes[:, k], self.report.order) if k else upright(), band)

        places = product(self.report.bands, range(self.hashes.shape[1]))
        if self.hashes.shape[1] == 1 and self.report.bands[0].masks > _MANY:
            yield from map(make, places)  # little of the time, and one more of them in memory would be felt
            return
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(make, next(places))
            for place in places:
                table, ahead = ahead.result(), pool.submit(make, place)
                yield table
            yield ahead.result()

    def _join_with_itself(self, table: _Table, number: int) -> Iterator[Iterator[Found]]:
        band = self.report.bands[number]
        yield self._mates(table, number)
        behind = np.zeros(len(table.entries.rows), np.bool_)
        behind[table.rest] = True
        for top in range(band.width if band.threshold else 0):
            # Of the two buckets that a mask joins, the one without the mask's top bit asks for pairs of leads and for
            # pairs of the rest; entries behind the leads query the other bucket's leads.
            asking, crowd = _cut(table, behind, top, queries=self.sizes.queries)
            for mask in _masks(band):
                if mask.bit_length() == top + 1:
                    yield chain(
                        self._ask_leads(table, asking, number=number, mask=mask, symmetry=0, swapped=False),
                        self._ask_rest(table, crowd, number=number, mask=mask, symmetry=0),
                    )

    def _join(
        self, table: _Table, turned: _Table, rest: _Entries, *, number: int, mask: int, symmetry: int
    ) -> Iterator[Found]:
        """Compare the upright hashes with the turned ones whose bucket differs by the mask."""
        yield from self._ask_leads(table, turned.entries, number=number, mask=mask, symmetry=symmetry, swapped=False)
        yield from self._ask_leads(turned, rest, number=number, mask=mask, symmetry=symmetry, swapped=True)
        yield from self._ask_rest(turned, rest, number=number, mask=mask, symmetry=symmetry)

    def _mates(self, table: _Table, number: int) -> Iterator[Found]:
        """Compare each hash with the later ones of its own bucket."""
        for start in range(0, len(table.entries.rows), self.sizes.queries):
            asking = table.entries.take(slice(start, start + self.sizes.queries))
            begin = np.arange(start, start + len(asking.rows)) + 1
            count = table.offsets[asking.buckets + 1] - begin
            yield from self._compare(table, asking, number=number, begin=begin, count=count, symmetry=0)

    def _ask_leads(
        self, table: _Table, entries: _Entries, *, number: int, mask: int, symmetry: int, swapped: bool
    ) -> Iterator[Found]:
        """Compare each entry with the leads of the bucket that differs from its own by the mask."""
        for start in range(0, len(entries.rows), self.sizes.queries):
            asking = entries.take(slice(start, start + self.sizes.queries))
            bucket = asking.buckets ^ mask
            for place, lead in enumerate(table.leads):
                difference = lead.take(bucket, mode="clip")  # numpy's quickest way: the places are right
                difference ^= asking.hashes
                hits = np.flatnonzero(np.bitwise_count(difference) <= self.report.radius)
                if not len(hits):
                    continue
                begin = table.offsets[bucket[hits]] + place
                filled = begin < table.offsets[bucket[hits] + 1]
                hits, mates = hits[filled], table.entries.rows[begin[filled]]
                asked = asking.rows[hits]
                upright, turned = (asked, mates) if swapped else (mates, asked)
                yield from self._accept(number, difference[hits], upright, turned, symmetry)

    def _ask_rest(self, table: _Table, entries: _Entries, *, number: int, mask: int, symmetry: int) -> Iterator[Found]:
        """Compare each entry with those behind the leads of the bucket that differs from its own by the mask."""
        for start in range(0, len(entries.rows), self.sizes.queries):
            asking = entries.take(slice(start, start + self.sizes.queries))
            bucket = asking.buckets ^ mask
            crowd = np.flatnonzero(table.crowded[bucket])
            bucket = bucket[crowd]
            begin = table.offsets[bucket].astype(np.intp) + len(table.leads)
            count = table.offsets[bucket + 1] - begin
            yield from self._compare(
                table, asking.take(crowd), number=number, begin=begin, count=count, symmetry=symmetry
            )

    def _compare(
        self,
        table: _Table,
        asking: _Entries,
        *,
        number: int,
        begin: NDArray[np.intp],
        count: NDArray[np.intp],
        symmetry: int,
    ) -> Iterator[Found]:
        """Compare (upright) entry q with the table's entries ``begin[q]`` to ``begin[q] + count[q]`` on all 64 bits."""
        for query in np.flatnonzero(count >= self.sizes.long):
            mates = np.arange(begin[query], begin[query] + count[query])
            yield from self._meet(table, asking, np.full(len(mates), query), mates, number=number, symmetry=symmetry)
        live = np.flatnonzero((count > 0) & (count < self.sizes.long))
        begin, count = begin[live], count[live]
        # One mate of each query at a time while the queries are many, then all mates of a few queries at a time.
        while len(live) > self.sizes.few:
            yield from self._meet(table, asking, live, begin, number=number, symmetry=symmetry)
            more = np.flatnonzero(count > 1)
            live, begin, count = live[more], begin[more] + 1, count[more] - 1
        ends = np.cumsum(count)
        end = 0
        while end < len(live):
            start, done = end, ends[end - 1] if end else 0
            end = max(start + 1, int(np.searchsorted(ends, done + self.sizes.queries)))
            part = slice(start, end)
            before = np.cumsum(count[part]) - count[part]
            mates = np.repeat(begin[part] - before, count[part])
            mates += np.arange(len(mates))
            queries = np.repeat(live[part], count[part])
            yield from self._meet(table, asking, queries, mates, number=number, symmetry=symmetry)

    def _meet(
        self,
        table: _Table,
        asking: _Entries,
        queries: NDArray[np.intp],
        mates: NDArray[np.intp],
        *,
        number: int,
        symmetry: int,
    ) -> Iterator[Found]:
        """Compare (upright) entries with the table's, one by one, on all 64 bits."""
        difference = table.entries.hashes.take(mates, mode="clip")
        difference ^= asking.hashes.take(queries, mode="clip")
        hits = np.flatnonzero(np.bitwise_count(difference) <= self.report.radius)
        if len(hits):
            upright, turned = asking.rows[queries[hits]], table.entries.rows[mates[hits]]
            yield from self._accept(number, difference[hits], upright, turned, symmetry)

    def _accept(
        self,
        number: int,
        difference: NDArray[np.uint64],
        upright: NDArray[np.int32],
        turned: NDArray[np.int32],
        symmetry: int,
    ) -> Iterator[Found]:
        """Yield the hits that no earlier band finds, in canonical order of the two rows."""
        fresh = np.ones(len(difference), np.bool_)
        for band in self.report.bands[:number]:
            inside = (difference >> np.uint64(band.shift)) & np.uint64((1 << band.width) - 1)
            fresh &= np.bitwise_count(inside) > band.threshold
        if symmetry:
            fresh &= upright < turned
        upright, turned = upright[fresh], turned[fresh]
        i, j = np.minimum(upright, turned).astype(np.intp), np.maximum(upright, turned).astype(np.intp)
        yield from self._orient(i, j, np.bitwise_count(difference[fresh]), symmetry)

    def _orient(
        self, i: NDArray[np.intp], j: NDArray[np.intp], distance: NDArray[np.uint8], symmetry: int
    ) -> Iterator[Found]:
        """Yield the pairs whose smallest distance is this one, found first in this orientation."""
        if self.hashes.shape[1] > 1 and len(i):
            every = np.bitwise_count(self.hashes[i, :1] ^ self.hashes[j])
            best = np.flatnonzero(every.argmin(axis=1) == symmetry)
            i, j, distance = i[best], j[best], distance[best]
        if len(i):
            yield i, j, distance, np.full(len(i), symmetry, np.uint8)

    def all_pairs(self) -> Iterator[Iterator[Found]]:
        """Yield one job for a run of rows: each is compared with all later rows."""
        for start in range(0, len(self.hashes), 64):
            yield self._later_rows(start, min(start + 64, len(self.hashes)))

    def _later_rows(self, start: int, end: int) -> Iterator[Found]:
        for i in range(start, end):
            for begin in range(i + 1, len(self.hashes), self.sizes.queries):
                later = self.hashes[begin : begin + self.sizes.queries]
                difference = later ^ self.hashes[i, 0]
                for k in range(self.hashes.shape[1]):
                    distance = np.bitwise_count(difference[:, k])
                    hits = np.flatnonzero(distance <= self.report.radius)
                    if len(hits):
                        yield from self._orient(np.full(len(hits), i), hits + begin, distance[hits], k)


def _masks(band: Band) -> Iterator[int]:
    """Yield the masks of up to ``threshold`` bits, the fewest bits first."""
    for flips in range(band.threshold + 1):
        for bits in combinations(range(band.width), flips):
            yield sum(1 << bit for bit in bits)


def _build_table(hashes: NDArray[np.uint64], band: Band) -> _Table:
    order = hashes >> np.uint64(band.shift)
    order &= np.uint64((1 << band.width) - 1)
    order = order.view(np.intp)
    offsets = np.zeros((1 << band.width) + 1, np.int32)
    np.cumsum(np.bincount(order, minlength=1 << band.width), out=offsets[1:])
    # Sorting bucket and row as one number takes a tenth of the time of a stable argsort, and gives the same.
    row_bits = len(hashes).bit_length()
    order <<= row_bits
    order |= np.arange(len(hashes))
    order.sort()
    buckets = order >> row_bits
    order &= (1 << row_bits) - 1
    entries = _Entries(hashes[order], buckets, order.astype(np.int32))
    del order
    counts = np.diff(offsets)
    depth = next((place for place in range(1, _MOST_LEADS) if np.mean(counts > place) < _FILLED), _MOST_LEADS)
    empty = np.arange(1 << band.width, dtype=np.uint64)
    np.invert(empty, out=empty)
    empty <<= np.uint64(band.shift)
    within = np.arange(len(hashes), dtype=np.int32)
    within -= offsets[buckets]
    leads = tuple(_fill(empty, entries, within == place) for place in range(depth))
    return _Table(entries, offsets, leads, counts > depth, np.flatnonzero(within >= depth))


def _fill(empty: NDArray[np.uint64], entries: _Entries, chosen: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return the chosen entries' hashes by bucket, at most one in each, between those of empty buckets."""
    lead = empty.copy()
    lead[entries.buckets[chosen]] = entries.hashes[chosen]
    return lead
