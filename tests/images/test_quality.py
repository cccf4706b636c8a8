"""Raw quality values, and the image that hashes are made of."""

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from curation.images import area_average, gray32, measure
from tests.images.builders import draw

GRAY_PICTURES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=90))


def measure_slowly(gray):
    """Measure by the definition, in floating point."""
    short = min(gray.shape)
    if short > 64:
        rows, columns = (int(np.floor(side * 64 / short + 0.5)) for side in gray.shape)
        gray = area_average(gray, height=rows, width=columns)
    levels = gray.astype(float)
    height, width = levels.shape
    kernel = {(0, 0): -4, (-1, 0): 1, (1, 0): 1, (0, -1): 1, (0, 1): 1}
    laplacian = [
        sum(weight * levels[y + dy, x + dx] for (dy, dx), weight in kernel.items())
        for y in range(1, height - 1)
        for x in range(1, width - 1)
    ]
    return np.var(laplacian) if laplacian else 0.0, levels.mean(), levels.std()


@given(GRAY_PICTURES)
def test_values_are_those_of_the_definition(gray):
    """Variance of the Laplacian, mean and standard deviation at a shorter side of 64 px."""
    found = measure(gray)
    assert (found.sharpness, found.brightness, found.contrast) == pytest.approx(measure_slowly(gray), abs=1e-9)


@given(GRAY_PICTURES)
def test_turning_an_image_changes_no_value(gray):
    """Sums over integers do not depend on their order, where nothing is averaged."""
    small = gray[:64, :64]
    assert measure(small) == measure(small[::-1]) == measure(np.ascontiguousarray(small.T))


def test_values_order_images_as_people_do():
    """A blurred image is less sharp, a dark one less bright, a flat one without contrast."""
    image = Image.fromarray(draw(600, 450)[..., 0])
    sharp = measure(np.asarray(image))
    assert measure(np.asarray(image.resize((40, 30)).resize((600, 450)))).sharpness < sharp.sharpness
    assert measure(np.asarray(image.point(lambda v: v // 4))).brightness < sharp.brightness
    assert measure(np.full((450, 600), 7, np.uint8)) == measure(np.full((64, 64), 7, np.uint8))


def test_two_by_two_is_measured():
    """Without an inner pixel for the Laplacian sharpness is 0."""
    assert measure(np.array([[0, 255], [255, 0]], np.uint8)).sharpness == 0.0


@given(GRAY_PICTURES)
def test_gray32_is_what_phash_sees(gray):
    """Bit for bit imagehash's own image, from an array or from an image."""
    image = Image.fromarray(gray)
    expected = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    assert np.array_equal(gray32(gray), expected)
    assert np.array_equal(gray32(image), expected)


def test_gray32_gives_phash_its_hash():
    """imagehash, given the 32x32 image, finds the hash that it finds in the whole one."""
    image = Image.fromarray(draw(200, 150))
    assert imagehash.phash(Image.fromarray(gray32(image))) == imagehash.phash(image)


@given(st.integers(2, 400), st.integers(2, 400))
def test_gray32_has_one_size(width, height):
    """32 x 32 for every input."""
    assert gray32(np.zeros((height, width), np.uint8)).shape == (32, 32)
