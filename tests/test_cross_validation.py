"""Cross-validated probes: the area under the curve, its interval, and folds that keep groups together."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from curation.cross_validation import (
    Folds,
    NoFolds,
    assign_folds,
    auc_interval,
    cut_folds,
    grouped_auc,
    held_out_scores,
    predict_held_out,
    probe,
    wilson_interval,
)


def make_table(labels: list[str], groups: list[str]) -> pl.DataFrame:
    """Return rows to be cut into folds."""
    shas = [f"{number:064x}" for number in range(len(labels))]
    return pl.DataFrame({"sha256": shas, "label": labels, "group": groups})


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=60))
def test_the_area_is_that_of_scikit_learn(pairs):
    """Ties count half, as everywhere; one fold is the plain area under the curve."""
    truth = np.array([label for label, _ in pairs])
    scores = np.array([float(score) for _, score in pairs])
    if truth.all() or not truth.any():
        return
    assert grouped_auc(scores, truth, np.zeros(len(pairs), np.int64)) == pytest.approx(roc_auc_score(truth, scores))


@given(st.floats(0.0, 1.0), st.integers(4, 400), st.integers(4, 400))
def test_the_interval_holds_the_estimate_and_never_shrinks_to_nothing(value, inside, others):
    """At 1.0, too, a few groups leave room for doubt."""
    low, high = auc_interval(value, inside, others)
    assert 0 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= 1
    assert high - low > 0.001


def test_more_groups_make_a_narrower_interval():
    """Ten times as many groups give a narrower interval."""
    few, many = auc_interval(0.9, 10, 10), auc_interval(0.9, 100, 100)
    assert few[0] < many[0] < many[1] < few[1]


@given(st.lists(st.integers(0, 9), min_size=40, max_size=80))
def test_no_group_straddles_a_fold(numbers):
    """What belongs together is held out together."""
    labels = ["a" if number % 2 else "b" for number in numbers]
    folds = cut_folds(make_table(labels, [f"g{number}" for number in numbers]))
    if isinstance(folds, NoFolds):
        return
    for group in set(folds.groups):
        assert len(set(folds.fold[folds.groups == group])) == 1


def test_what_cannot_be_cut_gives_a_reason():
    """One class, or a class of one group, gives a reason and no exception."""
    assert cut_folds(make_table(["a"] * 9, [str(n) for n in range(9)])) == NoFolds("one-class")
    table = make_table(["a"] * 9 + ["b"] * 9, [str(n) for n in range(9)] + ["one"] * 9)
    assert cut_folds(table) == NoFolds("few-groups", label="b", groups=1)


@pytest.mark.parametrize("seed", [None, 7])
def test_folds_are_those_of_scikit_learn(seed):
    """Folds have the order in which scikit-learn's splitter yields them, drawn by a seed or not drawn at all."""
    labels, groups = np.array([0, 1] * 30), np.arange(60) // 2
    fold = assign_folds(labels, groups, folds=3, seed=seed)
    cutter = StratifiedGroupKFold(3, shuffle=seed is not None, random_state=seed)
    cuts = list(cutter.split(np.zeros(60), labels, groups))
    assert [np.flatnonzero(fold == number).tolist() for number in range(3)] == [held.tolist() for _, held in cuts]


def test_predictions_are_made_by_a_model_that_saw_the_other_folds():
    """Each row gets the prediction that was made while its fold was held out."""
    fold = np.array([0, 1, 2, 0, 1])
    found = predict_held_out(fold, lambda held_out: np.full(held_out.sum(), (~held_out).sum()))
    assert found.tolist() == [3, 3, 4, 3, 3]


def test_a_feature_that_never_varies_is_exactly_chance():
    """A constant predicts nothing."""
    folds = cut_folds(make_table(["a", "b"] * 20, [str(n) for n in range(40)]))
    assert isinstance(folds, Folds)
    found = probe(np.ones((40, 3)), folds, name="flat", looks_at="nothing")
    assert found.auc == 0.5


def test_too_much_or_too_little_is_seen_as_well_as_more():
    """A class at both ends of the scale is predicted as well as one in its middle."""
    random = np.random.default_rng(1)
    ends = np.concatenate([random.uniform(0, 1, 40), random.uniform(3, 4, 40)])
    values = np.concatenate([ends, random.uniform(1.2, 2.8, 80)])[:, None]
    folds = cut_folds(make_table(["a"] * 80 + ["b"] * 80, [str(n) for n in range(160)]))
    assert isinstance(folds, Folds)
    assert probe(values, folds, name="ends", looks_at="the ends").auc > 0.95


def test_of_several_classes_the_one_that_is_predicted_best_is_named():
    """One class stands out among three."""
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(0, 1, 60), random.normal(9, 1, 30)])[:, None]
    labels = ["a", "b"] * 30 + ["c"] * 30
    folds = cut_folds(make_table(labels, [str(n) for n in range(90)]))
    assert isinstance(folds, Folds)
    found = probe(values, folds, name="one", looks_at="one")
    assert found.label == "c"
    assert found.auc > 0.99


def test_an_image_is_never_judged_by_a_model_that_saw_its_group():
    """Random features and labels that hang on the group alone stay near chance."""
    random = np.random.default_rng(3)
    base = random.normal(size=(30, 6))
    groups = np.repeat(np.arange(30), 8)
    features = base[groups] + random.normal(0, 0.01, (240, 6))
    labels = np.where(random.permutation(30) < 15, "a", "b")[groups]
    folds = cut_folds(make_table(labels.tolist(), [str(group) for group in groups]))
    assert isinstance(folds, Folds)
    truth = folds.labels == "a"
    assert 0.2 < grouped_auc(held_out_scores(features[folds.rows], truth, folds), truth, folds.fold) < 0.8


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilsons_interval_holds_the_rate(hits, trials):
    """The interval contains the rate."""
    hits = min(hits, trials)
    low, high = wilson_interval(hits, trials)
    assert 0 <= low <= hits / trials <= high <= 1
