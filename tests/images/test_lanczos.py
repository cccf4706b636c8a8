"""Many images are shrunk at once to the very bytes that Pillow gives for each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.images import gray32, gray32_batch, measure, measure_batch
from curation.images.lanczos import first_axis, resize_square_batch


def draw_gray(count: int, height: int, width: int, *, extreme: bool = False) -> np.ndarray:
    """Return noise, (count, height, width); black and white alone where rounding and clipping matter most."""
    noise = np.random.default_rng(height * 1000 + width).integers(0, 256, (count, height, width), dtype=np.uint8)
    return np.where(noise > 127, np.uint8(255), np.uint8(0)) if extreme else noise


@settings(deadline=None, max_examples=150)
@given(st.integers(2, 420), st.integers(2, 420), st.booleans())
def test_images_of_one_size_shrink_as_each_does(height, width, extreme):
    """Wide and tall, smaller than the square and larger, at every size."""
    batch = draw_gray(5, height, width, extreme=extreme)
    assert np.array_equal(gray32_batch(batch), np.stack([gray32(image) for image in batch]))


@pytest.mark.parametrize(("height", "width"), [(600, 150), (430, 200), (33, 20), (97, 64), (96, 64), (3000, 40)])
def test_tall_images_are_filtered_in_pillows_order(height, width):
    """A bug: tall images were filtered along their rows first, as Pillow does with wide ones only."""
    batch = draw_gray(6, height, width)
    expected = [np.asarray(Image.fromarray(gray).resize((32, 32), Image.Resampling.LANCZOS)) for gray in batch]
    assert np.array_equal(gray32_batch(batch), np.stack(expected))
    assert first_axis(height, width, 32) is not None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 16])
def test_how_many_there_are_makes_no_difference(count):
    """An image's bytes do not depend on the other images of the batch."""
    batch = draw_gray(16, 113, 150)
    assert np.array_equal(gray32_batch(batch[:count]), gray32_batch(batch)[:count])
    assert measure_batch(batch[:count]) == [measure(image) for image in batch[:count]]


def equal_weights(length, out):
    """Return weights that no version of Pillow has."""
    return np.full((out, length), 1 / length)


def test_where_the_weights_are_not_those_of_pillow_pillow_resizes():
    """Another version of Pillow may filter differently: then it resizes each image itself."""
    assert first_axis(80, 91, 32, equal_weights) is None
    batch = draw_gray(5, 80, 91)
    resized = resize_square_batch(batch, side=32, weights=equal_weights)
    assert np.array_equal(resized, np.stack([gray32(image) for image in batch]))
