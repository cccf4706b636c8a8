"""The search as a group-by finds what the search of one machine finds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.hashing import Pairs, oriented_pairs_within, pairs_within
from curation.hashing.distributed_search import Sent, cut_bands, keep_closest, search_group, send


def by_groups(hashes: NDArray[np.uint64], radius: int, *, parts: int) -> set[tuple[int, ...]]:
    """Return the pairs, sent in parts and searched a group at a time."""
    edges = np.linspace(0, len(hashes), parts + 1).astype(int)
    sent = [send(hashes[a:b], radius, start=a) for a, b in itertools.pairwise(edges)]
    group, sender, flat = (np.concatenate([getattr(s, n) for s in sent]) for n in ("group", "sender", "hashes"))
    found: list[tuple[int, ...]] = []
    for number in np.unique(group):
        own = group == number
        pairs = search_group(Sent(group[own], sender[own], flat[own]), radius)
        found += spell(keep_closest(pairs, hashes))
    assert len(found) == len(set(found)), "a pair came twice"
    return set(found)


def spell(pairs: Pairs) -> list[tuple[int, ...]]:
    """Return pairs as tuples."""
    return list(zip(pairs.i.tolist(), pairs.j.tolist(), pairs.distance.tolist(), pairs.symmetry.tolist(), strict=True))


def draw_hashes(seed: int, rows: int, orientations: int, *, clumped: bool) -> NDArray[np.uint64]:
    """Return hashes of which many lie within a few bits of each other."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 1 << 64, (2 if clumped else rows, orientations), dtype=np.uint64)
    hashes = centres[rng.integers(0, len(centres), rows)]
    for _ in range(3):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, hashes.shape).astype(np.uint64))
    return hashes


@settings(max_examples=40)
@given(
    st.integers(0, 1 << 32),
    st.integers(0, 24),
    st.sampled_from([1, 8]),
    st.booleans(),
    st.sampled_from([0, 1, 4, 8]),
)
def test_the_groups_find_the_pairs_of_one_machine(
    seed: int, rows: int, orientations: int, clumped: bool, radius: int
) -> None:
    """Each pair once, at the distance and in the orientation that the search of one process gives."""
    hashes = draw_hashes(seed, rows, orientations, clumped=clumped)
    keys = np.arange(rows)
    stream = (
        oriented_pairs_within(hashes, radius, keys=keys)
        if orientations == 8
        else pairs_within(hashes[:, 0], radius, keys=keys)
    )
    assert by_groups(hashes, radius, parts=3) == {pair for batch in stream for pair in spell(batch)}


@pytest.mark.parametrize("radius", range(33))
def test_the_bands_cover_every_bit_once(radius: int) -> None:
    """A bit outside of all bands would let a pair slip through."""
    bands = cut_bands(radius)
    assert len(bands) > radius
    assert [bit for shift, width in bands for bit in range(shift, shift + width)] == list(range(64))
