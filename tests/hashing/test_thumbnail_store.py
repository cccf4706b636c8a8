"""Thumbnails in memory and in a file are the same thumbnails."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from curation.hashing import Fingerprints, ThumbnailStore, confirmed_pairs


def make_thumbnails(count: int, seed: int = 0) -> np.ndarray:
    """Return thumbnails of noise, (count, 32, 32)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32), np.uint8)


@given(
    sizes=st.lists(st.integers(0, 9), max_size=6),
    in_memory=st.sampled_from([0, 5, 1000]),
    places=st.lists(st.integers(-1, 10**6), max_size=30),
    rows=some.arrays(np.int64, st.integers(0, 12), elements=st.integers(-5, 10**6)),
)
def test_what_goes_in_comes_out_wherever_it_lay(
    sizes: list[int], in_memory: int, places: list[int], rows: np.ndarray
) -> None:
    """Any rows in any order, repeated or not, and zeros for -1, in memory or in a file."""
    whole = make_thumbnails(sum(sizes))
    spool = ThumbnailStore(in_memory=in_memory)
    added = [spool.add(part) for part in np.split(whole, np.cumsum(sizes)[:-1] if sizes else [])]
    assert np.array_equal(np.concatenate([*added, np.zeros(0, np.int64)]), np.arange(len(whole)))
    wanted = np.array([place if place < 0 else place % max(1, len(whole)) for place in places], np.int64)
    wanted = wanted[wanted < len(whole)]
    found = spool.rows(wanted)
    expected = np.concatenate([whole, np.zeros((1, 32, 32), np.uint8)])[wanted]
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert np.array_equal(np.asarray(found), expected)
    assert np.array_equal(found[2:7], expected[2:7])
    if len(wanted):
        some_rows = rows % len(wanted)
        assert np.array_equal(found[some_rows], expected[some_rows])
        assert np.array_equal(found[wanted > 3], expected[wanted > 3])
        assert found[len(wanted) // 2].tobytes() == expected[len(wanted) // 2].tobytes()


def test_pairs_are_confirmed_alike_in_memory_and_in_a_file() -> None:
    """The near duplicates are the same with thumbnails in memory and in a file."""
    thumbnails = make_thumbnails(40)
    thumbnails[20:] = thumbnails[:20]
    thumbnails[30:, 0, 0] ^= 1
    hashes = np.random.default_rng(1).integers(0, 1 << 64, (40, 8), np.uint64)
    hashes[20:] = hashes[:20] ^ np.uint64(5)
    found = []
    for in_memory in (0, 1000):
        spool = ThumbnailStore(in_memory=in_memory)
        prints = Fingerprints(hashes, spool.rows(spool.add(thumbnails))).reorder(np.arange(40)[::-1])
        pairs = confirmed_pairs(
            prints, radius=4, correlation=0.98, symmetries=True, eligible=np.ones(40, np.bool_), threads=1
        )
        found.append((pairs.first.tolist(), pairs.i.tolist(), pairs.j.tolist(), pairs.correlation.tolist()))
    assert found[0] == found[1]
    assert len(found[0][1]) == 20


def test_a_file_is_made_in_the_folder_and_leaves_nothing_there(tmp_path: Path) -> None:
    """The file has no name, so it disappears by itself; without the folder the system's temporary one is used."""
    spool = ThumbnailStore(tmp_path, in_memory=0)
    spool.add(make_thumbnails(3))
    assert list(tmp_path.iterdir()) == []
    elsewhere = ThumbnailStore(tmp_path / "missing", in_memory=0)
    places = elsewhere.add(make_thumbnails(3))
    assert np.array_equal(np.asarray(elsewhere.rows(places)), make_thumbnails(3))


@pytest.mark.parametrize("count", [0, 3])
def test_few_stay_an_array(count: int) -> None:
    """Below the limit no file is made at all."""
    spool = ThumbnailStore()
    assert isinstance(spool.rows(spool.add(make_thumbnails(count))), np.ndarray)
