"""Cross-validation: what is finished is not done again, and what each net says lies where its pictures lie."""

from dataclasses import replace

import numpy as np
import pytest

from training.fit import SilentFitListener
from training.splits import cut_folds

pytestmark = pytest.mark.usefixtures("needs_train")


@pytest.fixture
def judged(monkeypatch):
    """Put a judge that needs no training in the place of the nets: it knows the label of every second picture."""
    calls = []

    def judge_fold(learn, judge, settings, classes, checkpoint, listener):
        calls.append((settings.seed, learn.table["id"].to_list(), judge.table["id"].to_list()))
        said = np.full((len(judge), classes), 0.25, np.float32)
        sure = np.where(np.arange(len(judge)) % 2 == 0, judge.labels, 1 - judge.labels)
        said[np.arange(len(judge)), sure] = 0.75
        return f"net {settings.seed}".encode(), said, np.eye(classes, dtype=np.float32)[judge.labels]

    monkeypatch.setattr("training.folds.judge_fold", judge_fold)
    return calls


def run_folds(material, settings, folder, *, repeats=1):
    """Cross-validate in three folds."""
    from training.folds import cross_validate

    return cross_validate(
        material.samples,
        settings,
        classes=2,
        alarm=1,
        folds=3,
        repeats=repeats,
        folder=folder,
        listener=SilentFitListener(),
    )


def test_every_picture_is_answered_by_the_net_that_never_saw_its_group(material, small_settings, judged, tmp_path):
    """The net named for a picture is that of the fold which held it out."""
    pooled, unseen = run_folds(material, small_settings, tmp_path)
    cuts = list(cut_folds(material.samples, folds=3, seed=small_settings.seed))
    for number, (learn, judge) in enumerate(cuts):
        assert set(unseen.net_of[judge]) == {number}
        groups = np.array(material.samples.groups)
        assert set(groups[judge]) & set(groups[learn]) == set()
    assert unseen.nets == tuple(f"net {small_settings.seed + number}".encode() for number in range(3))
    assert pooled.int8.hits == unseen.scores.accuracy.hits == sum(-(-len(judge) // 2) for _, judge in cuts)
    assert pooled.unrounded.share == 1


def test_a_finished_fold_is_not_trained_again(material, small_settings, judged, tmp_path):
    """Interrupted after two of three folds, only the third is trained; the figures are those of a whole run."""
    whole, answers = run_folds(material, small_settings, tmp_path)
    assert len(judged) == 3
    (tmp_path / "fold-0-2.tflite").unlink()
    again, same = run_folds(material, small_settings, tmp_path)
    assert len(judged) == 4
    assert judged[-1] == judged[2]
    assert (again.int8, again.unrounded, again.by_fold) == (whole.int8, whole.unrounded, whole.by_fold)
    assert np.array_equal(answers.first, same.first)


def test_repeats_cut_otherwise_and_count_a_picture_once(material, small_settings, judged, tmp_path):
    """A second repeat has other folds and seeds; scores are those of the first, over each picture once."""
    pooled, unseen = run_folds(material, small_settings, tmp_path, repeats=2)
    once, _ = run_folds(material, small_settings, tmp_path)
    assert len({seed for seed, _, _ in judged}) == 6
    assert {tuple(judge) for _, _, judge in judged[:3]} != {tuple(judge) for _, _, judge in judged[3:]}
    assert unseen.scores.accuracy == once.int8
    assert pooled.int8.of == once.int8.of == len(material.samples)
    assert len(unseen.nets) == 3


def test_the_real_judge_gives_the_bytes_it_was_judged_by(material, small_settings, tmp_path):
    """What a fold keeps is the int8 model whose answers it keeps."""
    from firmware.compiler.tflite_reference import open_oracle
    from training.folds import finish_fold

    learn, judge = next(cut_folds(material.samples, folds=3, seed=1))
    settings = replace(small_settings, epochs=1, patience=1)
    samples = material.samples
    fold = finish_fold(
        samples.take(learn), samples.take(judge), settings, 2, tmp_path / "fold-0-0", SilentFitListener()
    )
    said = open_oracle(fold.net).probabilities(samples.take(judge).view(48))
    assert fold.int8 == pytest.approx(said)
    assert (fold.spent > 0).all()
