"""Judging: strata, context classes, pooled folds, and where an image matters."""

import numpy as np
import polars as pl
import pytest

from curation.dataset.columns import Metadata
from training.evaluate import band_ages, judge_strata
from training.folds import pool_folds
from training.out_of_distribution import judge_context
from training.report import PATCHES, occlude


def test_strata_are_the_values_that_tell_images_apart():
    """A column with two values is reported by value; one with a single value, and unknown values, are not."""
    table = pl.DataFrame(
        {
            "source": ["a", "a", "b"], "disputed": [False, False, False], "sex": ["f", None, "m"],
            "site": [None] * 3, "years": [29.0, 30.0, None], "module": ["x", "y", "y"], "pid": ["1", "2", "3"],
        },
        schema_overrides={"site": pl.String},
    )  # fmt: skip
    metadata = (
        Metadata("module"), Metadata("pid", "patient"), Metadata("sex", "sex"), Metadata("site", "site"),
        Metadata("years", "age", pl.Float64()),
    )  # fmt: skip
    found = {
        (one.column, one.value): (one.accuracy.hits, one.accuracy.of)
        for one in judge_strata(table, metadata, np.array([True, False, True]))
    }
    assert found == {
        ("source", "a"): (1, 2), ("source", "b"): (1, 1), ("sex", "f"): (1, 1), ("sex", "m"): (1, 1),
        ("years", "0 to 29"): (1, 1), ("years", "30 to 44"): (0, 1), ("module", "x"): (1, 1), ("module", "y"): (1, 2),
    }  # fmt: skip


def test_ages_fall_into_bands_closed_below():
    """29.9 is below 30, 75 is in the last band, what is not known stays so."""
    found = band_ages(pl.Series([0.0, 29.9, 30.0, 74.0, 75.0, None]))
    assert found.to_list() == ["0 to 29", "0 to 29", "30 to 44", "60 to 74", "75 and over", None]


def test_context_classes_are_counted_apart():
    """Each label gets its rate of alarms and of blinking, the most alarming first."""
    answers = np.array([[0.1, 0.9], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]], np.float32)
    nevus, wart = judge_context(["nevus", "nevus", "wart", "wart"], answers, alarm=1)
    assert (nevus.source_label, nevus.alarms.hits, nevus.blinking.hits) == ("nevus", 2, 1)
    assert (wart.source_label, wart.alarms.hits, wart.alarms.of) == ("wart", 1, 2)


def test_repeats_do_not_shrink_the_interval():
    """Judged twice, 90 of 100 images are still 100 images."""
    once = pool_folds(np.array([90.0, 91.0]), [], folds=5, repeats=1, images=100, spent=np.ones(2))
    twice = pool_folds(np.array([180.0, 182.0]) / 2, [], folds=5, repeats=2, images=100, spent=np.ones(2))
    assert once.int8 == twice.int8
    assert once.int8.of == 100


def look_at_corner(images):
    """Return the brightness of each image's top left corner as the probability of the second class."""
    bright = images[:, 0, 0, 0].astype(np.float32) / 255
    return np.stack([1 - bright, bright], axis=1)


def test_saliency_points_at_what_decides():
    """Where one corner decides, covering that corner alone changes the answer."""
    image = np.full((48, 48, 3), 10, np.uint8)
    image[:8, :8] = 250
    lost = occlude(image, look_at_corner, answer=1)
    assert lost.shape == (2 * PATCHES - 1, 2 * PATCHES - 1)
    assert lost[0, 0] > 0.5
    assert np.abs(lost).sum() == pytest.approx(lost[0, 0])
