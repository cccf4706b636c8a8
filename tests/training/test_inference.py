"""Judging a run on another version: without the images it knows, and only where the classes are its own."""

import numpy as np
import polars as pl
import pytest

from curation.errors import CurationError, ErrorCode
from training.inference import evaluate_on_version, leave_out_known

pytestmark = [pytest.mark.usefixtures("needs_train"), pytest.mark.slow]


def test_images_it_was_trained_on_are_left_out(run, data):
    """Of all images of its own version only the test ones are asked."""
    asked = leave_out_known(data.samples, run, rows=data.version.manifest.rows)
    assert set(asked.table["split"]) == {"test"}
    assert len(asked) == 12


def test_a_group_it_knows_is_left_out_whole(run, data):
    """A new image of a group that the run was trained on is not judged."""
    samples = data.samples.of_split("train").take(np.arange(3))
    stranger = samples.table.with_columns(sha256=samples.table["sha256"].str.replace("^.", "z"))
    mixed = samples.table.vstack(stranger[:1])
    joined = type(samples)(
        mixed, samples.labels[[0, 1, 2, 0]], samples.frames[[0, 1, 2, 0]], samples.plain[[0, 1, 2, 0]]
    )
    assert len(leave_out_known(joined, run, rows=mixed)) == 0


def test_a_kept_duplicate_of_an_excluded_image_it_knows_is_left_out(run, data):
    """A version that keeps another of two duplicates than the one that was trained on is judged on neither."""
    train = data.samples.of_split("train")
    known, other = train.take(np.arange(1)), train.take(np.arange(1, 2))
    duplicate = known.table.with_columns(sha256=known.table["sha256"].str.replace("^.", "z"))
    kept = type(train)(duplicate, known.labels, known.frames, known.plain)
    rows = duplicate.vstack(known.table)  # as in a manifest: the image it knows is a row, but no longer kept
    assert len(leave_out_known(kept, run, rows=rows)) == 0
    assert (
        len(leave_out_known(kept, run, rows=duplicate.vstack(other.table.with_columns(group=pl.lit("another"))))) == 1
    )


def test_a_part_it_knows_entirely_is_an_error(run, drawn):
    """Nothing is left of train to ask; val is empty."""
    for part, fact in (("train", "80 images"), ("val", "val")):
        with pytest.raises(CurationError, match=fact) as caught:
            evaluate_on_version(run, drawn.home, "spots", part=part)
        assert caught.value.code is ErrorCode.SPLIT_EMPTY


def test_classes_it_does_not_know_are_an_error(run, tmp_path, builders):
    """A version with another class cannot be asked about."""
    builders.publish(tmp_path, train=4, test=2, labels=("spot", "skin", "mole"))
    with pytest.raises(CurationError, match=r"mole") as caught:
        evaluate_on_version(run, builders.home_of(tmp_path), "spots")
    assert caught.value.code is ErrorCode.CLASSES_DIFFER
    assert run.name in caught.value.message


def test_another_version_is_judged(run, tmp_path, builders):
    """A second drawing of the same classes, under another name: every test image is asked."""
    builders.publish(tmp_path, name="others", train=4, test=8)
    trial = evaluate_on_version(run, builders.home_of(tmp_path), "others")
    assert trial.reference == "others@v1"
    assert trial.evaluation.camera.accuracy.of + trial.left_out == 16
