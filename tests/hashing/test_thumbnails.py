"""Correlation and flatness of thumbnails."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation.hashing import INVERSE, correlation, is_flat, turn

thumbnails = arrays(np.uint8, (32, 32))
upright = np.zeros(1, np.uint8)


def draw_noise(n: int, seed: int = 0) -> np.ndarray:
    """Thumbnails of independent pixels."""
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32), dtype=np.uint8)


@settings(deadline=None)
@given(thumbnails, thumbnails, st.integers(0, 7))
def test_it_is_pearsons_correlation_with_the_turned_image(a, b, k):
    """Equal to numpy's corrcoef, and 0 where a constant image leaves it undefined."""
    value = correlation(a[None], b[None], np.array([k]))[0]
    if a.std() == 0 or b.std() == 0:
        assert value == 0
    else:
        assert abs(value - np.corrcoef(a.ravel(), turn(b, k).ravel())[0, 1]) < 1e-9
    assert -1 <= value <= 1


@settings(deadline=None)
@given(thumbnails, thumbnails, st.integers(0, 7))
def test_it_is_the_same_from_either_side(a, b, k):
    """Turning b to a or a to b gives bit for bit the same value."""
    there = correlation(a[None], b[None], np.array([k]))
    assert there == correlation(b[None], a[None], np.array([INVERSE[k]]))


def test_an_image_correlates_with_itself_at_exactly_one():
    """Also turned, so that a threshold of 1.0 means equal pixels."""
    images = draw_noise(600)
    k = np.arange(600) % 8
    turned = np.stack([turn(image, way) for image, way in zip(images, k, strict=True)])
    assert (correlation(turned, images, k) == 1.0).all()


def test_a_value_does_not_depend_on_its_batch():
    """One at a time, in another order, in other memory: the same bits."""
    a, b, k = draw_noise(700), draw_noise(700, seed=1), np.arange(700) % 8
    whole = correlation(a, b, k)
    assert np.array_equal(whole[::-1], correlation(a[::-1], b[::-1], k[::-1]))
    assert [correlation(a[r : r + 1], b[r : r + 1], k[r : r + 1])[0] for r in range(0, 700, 50)] == [*whole[::50]]
    assert np.array_equal(whole, correlation(np.asfortranarray(a), b, k.astype(np.uint8)))


def test_flat_is_a_deviation_below_one_gray_level():
    """Blank and nearly blank images are flat, faint structure is not."""
    blank = np.full((32, 32), 200, np.uint8)
    step = blank + np.where(np.arange(32) < 16, 0, 2).astype(np.uint8)
    half_step = blank + np.where(np.arange(32) < 16, 0, 1).astype(np.uint8)
    assert is_flat(np.stack([blank, half_step, step])).tolist() == [True, True, False]
    assert is_flat(np.zeros((0, 32, 32), np.uint8)).tolist() == []


@settings(deadline=None)
@given(thumbnails)
def test_flatness_is_the_standard_deviation(image):
    """Exactly, without rounding at the border."""
    exact = 1024 * int((image.astype(int) ** 2).sum()) - int(image.sum()) ** 2
    assert is_flat(image[None])[0] == (exact < 1024**2)
