"""Quantization: the input is the camera's bytes, calibration sees training images alone, a net gives one file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.compiler.tflite_reference import open_reference
from firmware.tools.costs import settle_norms
from training.framework import make_repeatable
from training.models import ARCHITECTURES, build_model
from training.quantize import add_metadata, choose_rows, convert_float, convert_int8, read_metadata

pytestmark = pytest.mark.usefixtures("needs_train")


def settle(model, images):
    """Set the batch norms to the statistics of some images: through those of a fresh net all activations vanish."""
    settle_norms(model, images, momentum=0.9**40)
    return model


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=80),
    st.integers(1, 30),
    st.integers(0, 5),
)
def test_calibration_takes_the_classes_in_turn(found, count, seed):
    """No class has two images more than another that still has some, and no image is taken twice."""
    labels = np.array([label for label, _ in found], dtype=np.int64)
    groups = [f"{label}-{group}" for label, group in found]
    rows = choose_rows(labels, groups, count=count, seed=seed)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(found))
    taken, there = (np.bincount(part, minlength=3) for part in (labels[rows], labels))
    for one in range(3):
        assert taken[one] >= min(there[one], taken.max() - 1)


def test_a_second_image_of_a_group_comes_last():
    """Ten images of one group and five single ones: five calibration images are of five groups at least."""
    labels = np.zeros(15, dtype=np.int64)
    groups = ["same"] * 10 + [f"other{number}" for number in range(5)]
    rows = choose_rows(labels, groups, count=6, seed=1)
    assert len({groups[row] for row in rows}) == 6


@pytest.mark.slow
def test_the_run_was_calibrated_on_training_images_alone(run, data):
    """Every image that set a scale is one of the training split, as many of each class."""
    table = data.samples.table
    used = run.metrics["quantisation"]["calibration_sha256"]
    train = table.filter(table["split"] == "train")
    assert set(used) <= set(train["sha256"])
    labels = train.filter(train["sha256"].is_in(used))["label"].value_counts()["count"]
    assert labels.max() - labels.min() <= 1


@pytest.mark.parametrize(("name", "side"), [("ds_cnn_xs", 48), ("ds_cnn_xs", 96), ("mobilenet_v2_0.1", 48)])
def test_the_input_is_exactly_the_cameras(name, side):
    """Scale 1/255 and zero point -128, even where no calibration image has black or white."""
    make_repeatable(0)
    gray = np.random.default_rng(5).integers(60, 200, (3, side, side, 3), dtype=np.uint8)
    model = settle(build_model(ARCHITECTURES[name], classes=2, side=side), gray)
    content = convert_int8(model, gray)
    int8 = open_reference(content)  # raises where the input is any other
    assert (int8.side, int8.classes) == (side, 2)
    assert int8.scale == 1 / 256
    assert int8.zero_point == -128


def test_converting_twice_gives_the_same_bytes():
    """A conversion is a function of the net: layer counters, tracing and clocks leave nothing in the file."""
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    make_repeatable(0)
    model = build_model(ARCHITECTURES["ds_cnn_xs"], classes=2, side=48)
    first = convert_int8(model, images), convert_float(model)
    for _ in range(3):
        model(images[:1].astype(np.float32))
    assert (convert_int8(model, images), convert_float(model)) == first


def test_metadata_survives_and_changes_no_answer():
    """The metadata come back, and the model predicts as before."""
    images = np.random.default_rng(1).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)
    make_repeatable(0)
    plain = convert_int8(settle(build_model(ARCHITECTURES["ds_cnn_xs"], classes=2, side=48), images), images)
    marked = add_metadata(plain, {"data": "spots@v1", "digest": "ab" * 32})
    assert read_metadata(plain) == {}
    assert read_metadata(marked) == {"data": "spots@v1", "digest": "ab" * 32}
    assert np.array_equal(open_reference(plain).predict(images), open_reference(marked).predict(images))
