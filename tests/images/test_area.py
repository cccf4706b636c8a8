"""Exact area averaging."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.images import area_average

PICTURES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8))


def average_slowly(image, height, width):
    """Average by fractions: the overlap of every input pixel with every output pixel."""
    rows, columns = image.shape

    def overlap(out, outs, place, length):
        low = max(Fraction(out * length, outs), Fraction(place))
        return max(Fraction(0), min(Fraction((out + 1) * length, outs), Fraction(place + 1)) - low)

    result = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            total = sum(
                overlap(y, height, i, rows) * overlap(x, width, j, columns) * int(image[i, j])
                for i in range(rows)
                for j in range(columns)
            )
            mean = total / (Fraction(rows, height) * Fraction(columns, width))
            result[y, x] = int(mean + Fraction(1, 2))
    return result


@given(PICTURES, st.integers(1, 8), st.integers(1, 8))
def test_each_pixel_is_the_rounded_mean_of_its_area(image, height, width):
    """Down, up and along one side only, equal to exact fractions rounded half up."""
    assert np.array_equal(area_average(image, height=height, width=width), average_slowly(image, height, width))


@given(PICTURES, st.integers(1, 12), st.integers(1, 12))
def test_averaging_keeps_to_the_range(image, height, width):
    """No output pixel is darker or brighter than the image; a flat one stays as it is."""
    averaged = area_average(image, height=height, width=width)
    assert image.min() <= averaged.min()
    assert averaged.max() <= image.max()


def test_large_images_do_not_overflow():
    """White stays white at sizes whose sums leave 16 and 32 bits."""
    for side in (257, 258, 4100):
        white = np.full((side, side), 255, np.uint8)
        assert (area_average(white, height=64, width=96) == 255).all()


def test_batches_and_channels_are_averaged_alike():
    """Axes before and after the image's two change nothing."""
    images = np.random.default_rng(0).integers(0, 256, (3, 17, 23, 3), dtype=np.uint8)
    averaged = area_average(images, height=5, width=7, axis=1)
    assert averaged.shape == (3, 5, 7, 3)
    for n in range(3):
        for channel in range(3):
            alone = area_average(np.ascontiguousarray(images[n, ..., channel]), height=5, width=7)
            assert np.array_equal(averaged[n, ..., channel], alone)
