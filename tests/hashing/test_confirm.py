"""Confirmation of candidates by their thumbnails, against the definition."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.hashing import (
    SYMMETRIES,
    Fingerprints,
    concat,
    confirmed_pairs,
    connected_components,
    correlation,
    symmetries,
    turn,
)


def draw_fingerprints(seed: int, originals: int, twins: int) -> Fingerprints:
    """Smooth images and their duplicates: copies, noisy ones, turned ones."""
    rng = np.random.default_rng(seed)
    smooth = np.kron(rng.integers(40, 200, (originals, 8, 8)), np.ones((4, 4), int))
    images = [*smooth.astype(np.uint8)]
    for _ in range(twins):
        image = images[rng.integers(0, len(images))]
        spread = rng.choice([0, 0, 3, 40])
        noisy = (image + rng.normal(0, spread, (32, 32))).clip(0, 255).astype(np.uint8)
        images.append(turn(noisy, int(rng.integers(0, 8)) if rng.random() < 0.5 else 0))
    order = rng.permutation(len(images))
    thumbnails = np.stack([images[k] for k in order])
    return Fingerprints(symmetries(thumbnails), thumbnails)


def define(prints: Fingerprints, radius: int, least: float, ways: int, eligible: np.ndarray) -> dict:
    """Every confirmed pair by the definition: (i, j) -> (distance, correlation, symmetry).

    Of images that are the same in hashes and thumbnail the first is read for all: a distance in another
    orientation hangs a little on which of the two is turned.
    """
    found, first = {}, {}
    stands = [
        first.setdefault((prints.symmetries[row].tobytes(), prints.thumbnails[row].tobytes()), row) if fit else row
        for row, fit in enumerate(eligible)
    ]
    for i in np.flatnonzero(eligible):
        for j in np.flatnonzero(eligible):
            near = []
            for k in range(ways if i < j else 0):
                a, b = sorted((stands[i], stands[j]))
                distance = int(prints.symmetries[a, 0] ^ prints.symmetries[b, k]).bit_count()
                pair = prints.thumbnails[a : a + 1], prints.thumbnails[b : b + 1]
                value = correlation(*pair, np.array([k]))[0]
                differs = prints.local_difference(np.array([a]), np.array([b]), np.array([k]))[0]
                if distance <= radius and value >= least and differs <= 1:
                    near.append((distance, k, value))
            if near:
                distance, k, value = min(near)
                found[int(i), int(j)] = (distance, value, k)
    return found


@settings(deadline=None, max_examples=40)
@example(0, 1, 10, True, 0)  # a copy of the one image, and a turned one, in either order
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 12), st.booleans(), st.sampled_from([0, 4, 10]))
def test_the_neighbors_of_every_row_are_those_of_the_definition(seed, originals, twins, turned, radius):
    """Each row gets all its near duplicates and no others, also through rows with equal thumbnails."""
    prints = draw_fingerprints(seed, originals, twins)
    eligible = np.random.default_rng(seed).random(len(prints)) < 0.9
    confirmed = confirmed_pairs(
        prints, radius=radius, correlation=0.95, symmetries=turned, eligible=eligible, threads=1
    )
    expected = define(prints, radius, 0.95, 8 if turned else 1, eligible)
    found = {}
    for row in range(len(prints)):
        near = confirmed.neighbors(row)
        assert (np.diff(near.rows) > 0).all()
        found |= {(row, int(mate)): k for k, mate in enumerate(near.rows) if mate > row}
        assert all(row in confirmed.neighbors(int(mate)).rows for mate in near.rows)
    assert found.keys() == expected.keys()
    for pair in zip(confirmed.i.tolist(), confirmed.j.tolist(), strict=True):
        at = confirmed.i.tolist().index(pair[0]) + [
            j for i, j in zip(confirmed.i.tolist(), confirmed.j.tolist(), strict=True) if i == pair[0]
        ].index(pair[1])
        assert expected[pair] == (confirmed.distance[at], confirmed.correlation[at], confirmed.symmetry[at])
    i, j = np.array([*expected.keys()], int).reshape(-1, 2).T
    assert np.array_equal(confirmed.components(), connected_components(len(prints), i, j))
    assert set(confirmed.involved().tolist()) == {row for pair in expected for row in pair}


def test_the_symmetry_turns_the_other_image_to_this_one():
    """Seen from either side, the named orientation is the one in which the pixels match."""
    rng = np.random.default_rng(0)
    original = np.kron(rng.integers(0, 256, (8, 8)), np.ones((4, 4), int)).astype(np.uint8)
    for k in range(1, len(SYMMETRIES)):
        thumbnails = np.stack([original, turn(original, k)])
        confirmed = confirmed_pairs(
            Fingerprints(symmetries(thumbnails), thumbnails),
            radius=0, correlation=1.0, symmetries=True, eligible=np.ones(2, bool),
        )  # fmt: skip
        for row in (0, 1):
            near = confirmed.neighbors(row)
            assert near.rows.tolist() == [1 - row]
            assert np.array_equal(turn(thumbnails[1 - row], int(near.symmetry[0])), thumbnails[row])


def test_a_hash_proposes_and_pixels_confirm():
    """Two different images of one hash are a candidate, and no pair; copies of each stay together."""
    rng = np.random.default_rng(1)
    a = np.kron(rng.integers(0, 256, (8, 8)), np.ones((4, 4), int)).astype(np.uint8)
    b = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    thumbnails = np.stack([a, b, a, b])
    same_hash = np.repeat(symmetries(a[None]), 4, axis=0)
    confirmed = confirmed_pairs(
        Fingerprints(same_hash, thumbnails), radius=8, correlation=0.98, symmetries=True, eligible=np.ones(4, bool)
    )
    assert confirmed.candidates == 1
    assert len(confirmed) == 0
    assert confirmed.components().tolist() == [0, 1, 0, 1]
    assert confirmed.neighbors(3).rows.tolist() == [1]


def test_a_thousand_copies_cost_no_pair():
    """The first row represents them, they are one component, and each is a neighbor of all the others."""
    image = np.kron(np.arange(64).reshape(8, 8) * 3, np.ones((4, 4), int)).astype(np.uint8)
    thumbnails = np.repeat(image[None], 1000, axis=0)
    prints = Fingerprints(np.repeat(symmetries(image[None]), 1000, axis=0), thumbnails)
    confirmed = confirmed_pairs(prints, radius=8, correlation=0.98, symmetries=True, eligible=np.ones(1000, bool))
    assert (len(confirmed), confirmed.candidates) == (0, 0)
    assert confirmed.components().tolist() == [0] * 1000
    assert confirmed.neighbors(500).rows.tolist() == [row for row in range(1000) if row != 500]


def test_rows_left_out_have_no_neighbors():
    """What is not eligible is alone, also where it is a copy."""
    thumbnails = np.repeat(draw_fingerprints(0, 1, 0).thumbnails, 3, axis=0)
    prints = Fingerprints(symmetries(thumbnails), thumbnails)
    confirmed = confirmed_pairs(
        prints, radius=8, correlation=0.98, symmetries=False, eligible=np.array([True, False, True])
    )
    assert confirmed.components().tolist() == [0, 1, 0]
    assert confirmed.neighbors(1).rows.tolist() == []


def test_a_memory_map_is_compared_like_an_array(tmp_path):
    """Thumbnails may stay on the disk."""
    prints = draw_fingerprints(7, 5, 20)
    np.save(tmp_path / "thumbnails.npy", prints.thumbnails)
    mapped = Fingerprints(prints.symmetries, np.load(tmp_path / "thumbnails.npy", mmap_mode="r"))
    settings_ = {"radius": 8, "correlation": 0.95, "symmetries": True, "eligible": np.ones(len(prints), bool)}
    assert np.array_equal(confirmed_pairs(mapped, **settings_).i, confirmed_pairs(prints, **settings_).i)


def test_fingerprints_are_taken_and_joined_by_row():
    """take and concat undo each other; shapes that do not fit are refused."""
    prints = draw_fingerprints(3, 4, 4)
    again = concat([prints.take(np.arange(3)), prints.take(np.arange(3, 8))])
    assert np.array_equal(again.symmetries, prints.symmetries)
    assert np.array_equal(again.thumbnails, prints.thumbnails)
    assert len(concat([])) == 0
    with pytest.raises(ValueError, match="thumbnails"):
        Fingerprints(prints.symmetries, prints.thumbnails[:2])
    with pytest.raises(ValueError, match="hashes"):
        Fingerprints(prints.symmetries[:, :1], prints.thumbnails)


@settings(deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15))
def test_components_are_named_by_their_smallest_row(n, edges):
    """As a naive search through the edges finds them, in any order of the edges."""
    edges = [(i % n, j % n) for i, j in edges]
    names = list(range(n))
    for _ in range(n):
        for i, j in edges:
            names[i] = names[j] = min(names[i], names[j])
    i, j = np.array(edges, int).reshape(-1, 2).T
    assert connected_components(n, i, j).tolist() == names
    assert connected_components(n, j[::-1], i[::-1]).tolist() == names


def test_reordered_fingerprints_are_those_of_the_rows_in_that_order() -> None:
    """A view of the thumbnails gives what a copy would, by number, by numbers and by slice."""
    rng = np.random.default_rng(0)
    prints = Fingerprints(
        rng.integers(0, 1 << 64, (9, 8), dtype=np.uint64), rng.integers(0, 256, (9, 32, 32), dtype=np.uint8)
    )
    order = rng.permutation(9)[:7]
    view, copy = prints.reorder(order), prints.take(order)
    assert len(view) == 7
    assert np.array_equal(view.symmetries, copy.symmetries)
    for places in (3, np.array([5, 0, 5]), slice(2, 6)):
        assert np.array_equal(view.thumbnails[places], copy.thumbnails[places])
    every = np.ones(7, np.bool_)
    found, wanted = (
        confirmed_pairs(given, radius=30, correlation=0.0, symmetries=True, eligible=every) for given in (view, copy)
    )
    assert np.array_equal(found.i, wanted.i)
    assert np.array_equal(found.correlation, wanted.correlation)
