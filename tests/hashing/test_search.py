"""The all-pairs search against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.hashing import ChunkSizes, oriented_pairs_within, pairs_within, plan_search, representatives

Quads = set[tuple[int, int, int, int]]


def brute_force(hashes: np.ndarray, radius: int) -> Quads:
    """Every pair of rows within the radius, by the definition: (i, j, smallest distance, smallest orientation)."""
    table = hashes[:, None] if hashes.ndim == 1 else hashes
    found = set()
    for i in range(len(table)):
        for j in range(i + 1, len(table)):
            distances = [int(table[i, 0] ^ table[j, k]).bit_count() for k in range(table.shape[1])]
            if min(distances) <= radius:
                found.add((i, j, min(distances), distances.index(min(distances))))
    return found


def collect(stream) -> Quads:
    """All pairs of a stream, once each."""
    rows = [
        quad
        for p in stream
        for quad in zip(p.i.tolist(), p.j.tolist(), p.distance.tolist(), p.symmetry.tolist(), strict=True)
    ]
    assert len(rows) == len(set(rows)) == len({row[:2] for row in rows})
    return set(rows)


def draw_clumps(seed: int, n: int, centers: int, flips: int, columns: int = 1) -> np.ndarray:
    """Hashes scattered a few bits around a few centers."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, (centers, columns), dtype=np.uint64)[rng.integers(0, centers, n)]
    for _ in range(flips):
        flipped = np.uint64(1) << rng.integers(0, 64, hashes.shape, dtype=np.uint64)
        hashes = np.where(rng.random(hashes.shape) < 0.7, hashes ^ flipped, hashes)
    return hashes[:, 0] if columns == 1 else hashes


clumps = st.builds(
    draw_clumps, st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 5), st.integers(0, 12), st.just(1)
)
eightfold = st.builds(
    draw_clumps, st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 4), st.integers(0, 8), st.just(8)
)
methods = st.sampled_from(["bands", "all pairs", "auto"])


@settings(deadline=None, max_examples=150)
@given(clumps, st.integers(0, 16), methods)
def test_every_pair_within_the_radius_is_found_once(hashes, radius, method):
    """The pairs of distinct keys are those of brute force, with their distance."""
    rows = np.arange(len(hashes))
    assert collect(pairs_within(hashes, radius, keys=rows, method=method, threads=1)) == brute_force(hashes, radius)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(eightfold, st.integers(0, 16), methods)
def test_every_near_pair_is_found_once_at_its_smallest_distance(hashes, radius, method):
    """Of eight orientations the closest is given, and of equally close ones the first."""
    rows = np.arange(len(hashes))
    assert collect(oriented_pairs_within(hashes, radius, keys=rows, method=method, threads=2)) == brute_force(
        hashes, radius
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(0, 16))
def test_any_numbers_are_searched_exactly(numbers, radius):
    """Hypothesis' own favourites (0, all ones, small numbers, repetitions) are found as well."""
    hashes = np.array(numbers, np.uint64)
    rows = np.arange(len(hashes))
    for method in ("bands", "all pairs"):
        found = collect(pairs_within(hashes, radius, keys=rows, method=method, threads=1))
        assert found == brute_force(hashes, radius)


@settings(deadline=None, max_examples=60)
@given(clumps, st.integers(0, 10), st.integers(1, 5))
def test_collapsed_rows_are_found_under_their_representative(hashes, radius, kinds):
    """Pairs of all rows are the pairs of representatives, each side replaced by the rows that it represents."""
    keys = np.random.default_rng(len(hashes)).integers(0, kinds, len(hashes))
    first = representatives(hashes, keys)
    spelled = {(i, j): d for i, j, d, _ in brute_force(hashes, radius)}
    found = {(i, j): d for i, j, d, _ in collect(pairs_within(hashes, radius, keys=keys, threads=1))}
    assert set(np.ravel([*found.keys()]).tolist()) <= set(first.tolist())
    expected = {pair: d for pair, d in spelled.items() if first[pair[0]] == pair[0] and first[pair[1]] == pair[1]}
    assert found == expected
    for (i, j), distance in spelled.items():
        low, high = sorted((int(first[i]), int(first[j])))
        assert low == high or found[low, high] == distance


def test_a_thousand_blank_images_give_no_pair():
    """Rows of one hash are collapsed unless their keys differ."""
    hashes = np.full(1000, 0x8000000000000000, np.uint64)
    assert collect(pairs_within(hashes, 8)) == set()
    assert representatives(hashes).tolist() == [0] * 1000
    assert len(collect(pairs_within(hashes, 8, keys=np.arange(1000) // 500))) == 1


@pytest.mark.parametrize("numbers", [[], [7], [7, 7]])
def test_nothing_to_pair_gives_nothing(numbers):
    """No hash, one hash and one repeated hash have no pairs, in one orientation and in eight."""
    hashes = np.array(numbers, np.uint64)
    assert collect(pairs_within(hashes, 8)) == set()
    assert collect(oriented_pairs_within(np.repeat(hashes[:, None], 8, axis=1), 8)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("radius", [1, 2, 3, 4, 6, 8, 10])
def test_a_larger_set_agrees_with_all_pairs(radius):
    """Buckets with many mates, long buckets and several chunks of queries give what comparing all pairs gives."""
    hashes = np.concatenate(
        [draw_clumps(radius, 3000, 40, 5), draw_clumps(1, 3000, 3000, 0), draw_clumps(3, 900, 1, 3)]
    )
    by_bands = collect(pairs_within(hashes, radius, method="bands"))
    assert by_bands == collect(pairs_within(hashes, radius, method="all pairs"))
    assert len(by_bands) > 100


def test_a_larger_eightfold_set_agrees_with_all_pairs():
    """The same for eight orientations."""
    hashes = np.concatenate([draw_clumps(0, 1500, 30, 4, 8), draw_clumps(1, 1500, 1500, 0, 8)])
    hashes[1500:2000] = hashes[:500, [3, 2, 1, 0, 7, 5, 6, 4]]
    by_bands = collect(oriented_pairs_within(hashes, 8, method="bands"))
    assert by_bands == collect(oriented_pairs_within(hashes, 8, method="all pairs"))
    assert {row[3] for row in by_bands} >= {0, 3}


@pytest.mark.parametrize(("queries", "long"), [(100, 3), (20, 60)])
def test_small_chunks_and_batches_change_nothing(queries, long):
    """Neither the order nor the pairs depend on threads; chunk sizes do not change the pairs."""
    hashes = draw_clumps(5, 2000, 30, 5)
    whole = [np.stack([p.i, p.j]) for p in pairs_within(hashes, 8, method="bands", threads=1)]
    threaded = [np.stack([p.i, p.j]) for p in pairs_within(hashes, 8, method="bands", threads=3)]
    assert np.array_equal(np.concatenate(whole, axis=1), np.concatenate(threaded, axis=1))
    sizes = ChunkSizes(queries=queries, few=1, long=long, pairs=50)
    assert collect(pairs_within(hashes, 8, method="bands", sizes=sizes)) == {
        (int(i), int(j), int(hashes[i] ^ hashes[j]).bit_count(), 0) for part in whole for i, j in part.T
    }


def test_a_search_can_be_left_half_way():
    """A closed stream stops the work: no thread keeps running and no error is raised."""
    stream = pairs_within(draw_clumps(5, 3000, 10, 5), 8, method="bands")
    assert len(next(stream)) > 0
    stream.close()


def test_a_clump_is_announced_before_the_search():
    """The report estimates the candidates of skewed hashes and warns; uniform hashes cause no warning."""
    uniform = plan_search(draw_clumps(0, 50_000, 50_000, 0), 8)
    assert (uniform.method, uniform.is_slow, uniform.warning) == ("bands", False, None)
    assert 0.5 < uniform.skew < 2
    half = np.concatenate([draw_clumps(0, 200_000, 200_000, 0), draw_clumps(1, 400_000, 1, 6)])
    clumped = plan_search(half, 8)
    assert clumped.skew > 10
    assert clumped.candidates > 10_000_000_000
    assert clumped.distinct < clumped.rows == len(half)
    assert clumped.is_slow
    assert f"{clumped.candidates:,}" in str(clumped.warning)


@pytest.mark.parametrize("radius", [-1, 33])
def test_a_radius_out_of_range_is_refused(radius):
    """A radius that no hash search means is a bug of the caller."""
    with pytest.raises(ValueError, match="0 to 32 bits"):
        next(pairs_within(np.zeros(3, np.uint64), radius))


@pytest.mark.parametrize("columns", [1, 8])
def test_colliding_rows_have_their_own_representatives(columns):
    """Representatives stay exact where different rows are mixed into one number."""
    hashes = draw_clumps(3, 200, 20, 0, columns)
    collided = representatives(hashes, mix=lambda parts: np.zeros(len(parts[0]), np.uint64))
    assert np.array_equal(collided, representatives(hashes))
    assert len(set(collided.tolist())) == len(np.unique(hashes, axis=0)) > 1
