"""Cross-validation: finished folds are not trained again, and each answer belongs to its image."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from firmware.compiler.tflite_reference import open_reference
from tests.firmware.compiler.networks import ds_cnn
from training.fit import SilentFitListener
from training.folds import Fold, cross_validate, cut_folds, finish_fold
from training.quantize import add_metadata, read_metadata

pytestmark = pytest.mark.usefixtures("needs_train")
SILENT = SilentFitListener()
NET = ds_cnn(side=48, channels=(4, 8), strides=(2,))


@pytest.fixture
def judged(monkeypatch):
    """Replace the nets by one that needs no training: it knows the label of every second image."""
    calls = []

    def judge_fold(train, test, settings, classes, checkpoint, listener):
        calls.append((settings.seed, train.table["id"].to_list(), test.table["id"].to_list()))
        answers = np.full((len(test), classes), 0.25, np.float32)
        sure = np.where(np.arange(len(test)) % 2 == 0, test.labels, 1 - test.labels)
        answers[np.arange(len(test)), sure] = 0.75
        net = open_reference(add_metadata(NET, {"seed": settings.seed}))
        return Fold(net, answers, np.eye(classes, dtype=np.float32)[test.labels], 1.0, 2.0)

    monkeypatch.setattr("training.folds.judge_fold", judge_fold)
    return calls


def run_folds(data, settings, folder, *, repeats=1):
    """Cross-validate in three folds."""
    return cross_validate(
        data.samples,
        settings,
        classes=2,
        alarm=1,
        folds=3,
        repeats=repeats,
        folder=folder,
        listener=SILENT,
    )


def seeds_of(held_out) -> list[int]:
    """Return the seeds that the nets were marked with."""
    return [read_metadata(net.content)["seed"] for net in held_out.nets]


def test_every_image_is_answered_by_the_net_that_never_saw_its_group(data, small_settings, judged, tmp_path):
    """The net named for an image is that of the fold which held it out."""
    pooled, held_out = run_folds(data, small_settings, tmp_path)
    cuts = list(cut_folds(data.samples, folds=3, seed=small_settings.seed))
    for number, (learn, judge) in enumerate(cuts):
        assert set(held_out.net_of[judge]) == {number}
        groups = np.array(data.samples.groups)
        assert set(groups[judge]) & set(groups[learn]) == set()
    assert seeds_of(held_out) == [small_settings.seed + number for number in range(3)]
    assert pooled.int8.hits == held_out.scores.accuracy.hits == sum(-(-len(judge) // 2) for _, judge in cuts)
    assert pooled.unrounded.share == 1


def test_a_finished_fold_is_not_trained_again(data, small_settings, judged, tmp_path):
    """Interrupted after two of three folds, only the third is trained; the figures are those of a whole run."""
    whole, answers = run_folds(data, small_settings, tmp_path)
    assert len(judged) == 3
    (tmp_path / "fold-0-2.tflite").unlink()
    again, same = run_folds(data, small_settings, tmp_path)
    assert len(judged) == 4
    assert judged[-1] == judged[2]
    assert (again.int8, again.unrounded, again.by_fold) == (whole.int8, whole.unrounded, whole.by_fold)
    assert np.array_equal(answers.first, same.first)
    assert seeds_of(answers) == seeds_of(same)


def test_repeats_cut_otherwise_and_count_an_image_once(data, small_settings, judged, tmp_path):
    """A second repeat has other folds and seeds; scores are those of the first, over each image once."""
    pooled, held_out = run_folds(data, small_settings, tmp_path, repeats=2)
    once, _ = run_folds(data, small_settings, tmp_path)
    assert len({seed for seed, _, _ in judged}) == 6
    assert {tuple(judge) for _, _, judge in judged[:3]} != {tuple(judge) for _, _, judge in judged[3:]}
    assert held_out.scores.accuracy == once.int8
    assert pooled.int8.of == once.int8.of == len(data.samples)
    assert len(held_out.nets) == 3


@pytest.mark.slow
def test_the_real_judge_gives_the_bytes_it_was_judged_by(data, small_settings, tmp_path):
    """What a fold keeps is the int8 model whose answers it keeps."""
    learn, judge = next(cut_folds(data.samples, folds=3, seed=1))
    settings = replace(small_settings, epochs=1, patience=1)
    samples = data.samples
    fold = finish_fold(samples.take(learn), samples.take(judge), settings, 2, tmp_path / "fold-0-0", SILENT)
    assert np.array_equal(fold.int8, fold.net.probabilities(samples.take(judge).view(48)))
    assert fold.seconds > 0
    assert fold.cpu_seconds > 0
    kept = finish_fold(samples.take(learn), samples.take(judge), settings, 2, tmp_path / "fold-0-0", SILENT)
    assert kept.net.content == fold.net.content
    assert np.array_equal(kept.int8, fold.int8)


def test_the_folds_of_a_version_are_used(data):
    """Where the version has as many folds as are asked for, they decide who is judged by which net."""
    samples = data.samples
    groups = sorted(set(samples.groups))
    number = {group: place % 3 + 1 for place, group in enumerate(groups)}
    folds = [
        None if split == "test" else number[group]
        for group, split in zip(samples.groups, samples.table["split"], strict=True)
    ]
    own = replace(samples, table=samples.table.with_columns(fold=pl.Series(folds, dtype=pl.UInt32)))
    cuts = list(cut_folds(own, folds=3, seed=1))
    for place, (_, judge) in enumerate(cuts):
        assert {folds[row] for row in judge.tolist()} <= {None, place + 1}
    assert sorted(row for _, judge in cuts for row in judge.tolist()) == list(range(len(samples)))
    assert [list(map(len, cut)) for cut in cut_folds(own, folds=2, seed=1)] == [
        list(map(len, cut)) for cut in cut_folds(samples, folds=2, seed=1)
    ]
