"""Folds and hold-outs: groups whole, classes in proportion, every image judged once."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import CurationError, ErrorCode
from training.data import Samples
from training.folds import check_cross_validation, count_possible_folds, cut_folds, hold_out


def make_samples(groups: list[tuple[int, str]]) -> Samples:
    """Return images of these (label, group) without pixels that matter."""
    frames = np.zeros((len(groups), 1, 1, 3), np.uint8)
    labels = np.array([label for label, _ in groups], dtype=np.int64)
    table = pl.DataFrame({"group": [group for _, group in groups], "split": ["train"] * len(groups)})
    return Samples(table, labels, frames, frames)


images = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=8, max_size=60)


@given(images, st.integers(0, 3))
@settings(max_examples=60)
def test_groups_never_straddle_a_fold(found, seed):
    """Whatever the groups, one never lies on both sides, and every image is judged exactly once."""
    samples = make_samples([(label, f"{label}-{group}") for label, group in found])
    if len(set(samples.labels.tolist())) < 2 or count_possible_folds(samples, 3) < 2:
        with pytest.raises(CurationError) as caught:
            list(cut_folds(samples, folds=99, seed=seed))
        assert caught.value.code is ErrorCode.SPLIT_EMPTY
        return
    folds = count_possible_folds(samples, 3)
    judged = []
    for learn, judge in cut_folds(samples, folds=folds, seed=seed):
        left, right = ({samples.groups[row] for row in rows} for rows in (learn, judge))
        assert left & right == set()
        assert sorted([*learn, *judge]) == list(range(len(samples)))
        judged += judge.tolist()
    assert sorted(judged) == list(range(len(samples)))


def test_a_hold_out_keeps_the_classes_in_proportion():
    """About a seventh of each class is held out."""
    samples = make_samples([(label, f"{label}-{number // 2}") for label in (0, 1) for number in range(140)])
    learn, judge = hold_out(samples, seed=1)
    assert np.bincount(samples.labels[judge]).tolist() == [20, 20]
    assert len(learn) == 240


def test_the_same_seed_cuts_alike_and_another_otherwise():
    """A cut is a function of the images and the seed."""
    samples = make_samples([(label, f"{label}-{number}") for label in (0, 1) for number in range(30)])
    one, same, other = (hold_out(samples, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_too_few_groups_say_how_many_folds_there_can_be():
    """A class with two groups cannot lie in five folds; the hint names two."""
    samples = make_samples([(0, "a"), (0, "b"), *((1, f"c{number}") for number in range(9))])
    with pytest.raises(CurationError, match=r"^5 .* 2 groups") as caught:
        list(cut_folds(samples, folds=5, seed=1))
    assert caught.value.code is ErrorCode.SPLIT_EMPTY
    assert "2 to 2" in caught.value.hint


def test_folds_that_leave_a_class_too_little_are_refused_before_anything_is_trained():
    """Two groups in two folds leave one to train on and none to decide when to stop; three of three leave two."""
    pairs = [(label, f"{label}-{number}") for label in (0, 1) for number in range(3)]
    check_cross_validation(make_samples(pairs), folds=3, repeats=2, seed=1)
    with pytest.raises(CurationError, match=r"^2 folds .* 1 group ") as caught:
        check_cross_validation(make_samples(pairs), folds=2, repeats=1, seed=1)
    assert caught.value.code is ErrorCode.SPLIT_EMPTY


def test_a_class_of_one_group_is_refused_without_folds_too():
    """A hold-out needs a group of each class on both sides."""
    samples = make_samples([(0, "a"), (0, "a"), *((1, f"c{number}") for number in range(9))])
    with pytest.raises(CurationError, match="one group") as caught:
        hold_out(samples, seed=1)
    assert caught.value.code is ErrorCode.SPLIT_EMPTY
