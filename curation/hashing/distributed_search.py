"""The all-pairs search as a distributed group-by: what each row sends where, and what each group finds.

Of ``radius + 1`` bands of the 64 bits, a pair within the radius agrees in one to the bit (pigeonhole). So each hash is
sent to the group of each of its band values; a group is searched on its own, by the very search of one machine, and
keeps the pairs that no earlier band brings together. The pairs are those of ``oriented_pairs_within`` and
``pairs_within``, in another order.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.hashing.plan import BITS
from curation.hashing.search import Pairs, pairs_within

_SYMMETRY_BITS = 3


@dataclass(frozen=True)
class Sent:
    """Hashes on their way to their groups, (k,) each.

    Parameters
    ----------
    group : (k,) int64 ndarray
        Number of the band and its value.
    sender : (k,) int64 ndarray
        Row and orientation.
    hashes : (k,) uint64 ndarray
    """

    group: NDArray[np.int64]
    sender: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def send(hashes: NDArray[np.uint64], radius: int, *, start: int = 0) -> Sent:
    """Return what the rows of (n, 1) or (n, 8) hashes send, the first of them being row ``start``."""
    rows = np.arange(start, start + len(hashes), dtype=np.int64)[:, None]
    sender = ((rows << _SYMMETRY_BITS) | np.arange(hashes.shape[1])).ravel()
    flat = hashes.ravel()
    groups = []
    for number, (shift, width) in enumerate(cut_bands(radius)):
        value = (flat >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        groups.append((number << BITS // 2) | value.astype(np.int64))
    return Sent(np.concatenate(groups), np.tile(sender, len(groups)), np.tile(flat, len(groups)))


def cut_bands(radius: int) -> list[tuple[int, int]]:
    """Return (shift, width) of ``radius + 1`` bands that cover all bits, none wider than 32.

    >>> cut_bands(3)
    [(0, 16), (16, 16), (32, 16), (48, 16)]
    """
    edges = [BITS * number // max(radius + 1, 2) for number in range(max(radius + 1, 2) + 1)]
    return [(low, high - low) for low, high in itertools.pairwise(edges)]


def search_group(sent: Sent, radius: int) -> Pairs:
    """Return the pairs that one group finds: upright row i, row j > i in the orientation that the pair names.

    A pair may come in several orientations; ``keep_closest`` chooses.
    """
    number = int(sent.group[0]) >> BITS // 2 if len(sent.group) else 0
    found = [*_pairs(sent, radius, number)]
    i, j, distance, symmetry = (
        np.concatenate([getattr(part, name) for part in found]) for name in ("i", "j", "distance", "symmetry")
    )
    return Pairs(i, j, distance, symmetry)


def _pairs(sent: Sent, radius: int, number: int) -> Iterator[Pairs]:
    earlier = cut_bands(radius)[:number]
    row, turned = sent.sender >> _SYMMETRY_BITS, sent.sender & ((1 << _SYMMETRY_BITS) - 1)
    yield Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint8))
    if len(row) < 2 or turned.all():
        return  # nobody upright, nobody to meet
    for batch in pairs_within(sent.hashes, radius, keys=np.arange(len(row)), threads=1):
        a, b = batch.i, batch.j
        swap = row[a] > row[b]
        a, b = np.where(swap, b, a), np.where(swap, a, b)
        fresh = (turned[a] == 0) & (row[a] != row[b])
        difference = sent.hashes[a] ^ sent.hashes[b]
        for shift, width in earlier:
            fresh &= (difference >> np.uint64(shift)) & np.uint64((1 << width) - 1) != 0
        a, b = a[fresh], b[fresh]
        yield Pairs(row[a], row[b], batch.distance[fresh], turned[b].astype(np.uint8))


def keep_closest(pairs: Pairs, hashes: NDArray[np.uint64]) -> Pairs:
    """Return the pairs in the orientation of their smallest distance, the first such; hashes as ``send`` takes."""
    every = np.bitwise_count(hashes[pairs.i, :1] ^ hashes[pairs.j])
    best = np.flatnonzero(every.argmin(axis=1) == pairs.symmetry)
    return Pairs(pairs.i[best], pairs.j[best], pairs.distance[best], pairs.symmetry[best])
