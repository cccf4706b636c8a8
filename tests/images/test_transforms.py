"""Remedies: what each takes away, what it leaves alone, and that none of them invents anything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageFilter

from curation.images import RenderSettings, apply_color_constancy, crop_border, decode, render, soften
from curation.images.quality import laplacian_variance
from tests.builders import as_bytes, texture


def sharpness_of(pixels):
    """Return the sharpness of a color image at its own size."""
    return laplacian_variance(np.asarray(Image.fromarray(pixels).convert("L")))


PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3)))


def test_a_border_is_cut_off_at_every_edge():
    """A tenth of each side goes, the middle stays as it was."""
    pixels = texture(1, width=100, height=60)
    assert np.array_equal(crop_border(pixels, 0.1), pixels[6:54, 10:90])


@given(PIXELS, st.floats(0.001, 0.499))
def test_something_is_always_left(pixels, share):
    """However much is cropped, an image remains."""
    assert min(crop_border(pixels, share).shape[:2]) >= 1


@given(PIXELS, st.sampled_from(["grey-world", "shades-of-grey"]))
def test_gray_stays_gray(pixels, constancy):
    """An image without color has nothing to be evened out."""
    gray = np.repeat(pixels[..., :1], 3, axis=2)
    assert np.array_equal(apply_color_constancy(gray, constancy), gray)


@pytest.mark.parametrize("constancy", ["grey-world", "shades-of-grey"])
def test_a_tinted_light_is_taken_away(constancy):
    """The same image under two lights comes out nearly the same."""
    pixels = (texture(2) * 0.6).astype(np.uint8)
    tinted = (pixels * np.array([1.0, 0.8, 0.6])).round().astype(np.uint8)
    one, other = (apply_color_constancy(each, constancy).astype(np.int64) for each in (pixels, tinted))
    scale = one.mean() / other.mean()
    before = np.abs(pixels - tinted * (pixels.mean() / tinted.mean())).mean()
    assert np.abs(one - other * scale).mean() < before / 5


def test_gray_world_makes_the_channel_means_equal():
    """Where nothing is clipped, within rounding."""
    means = apply_color_constancy((texture(3) * 0.5).astype(np.uint8), "grey-world").mean(axis=(0, 1))
    assert np.ptp(means) < 0.6


@pytest.mark.parametrize("limit", [5.0, 40.0, 200.0])
def test_a_sharp_image_is_softened_to_the_limit(limit):
    """It comes as near to the limit as whole pixels let it, and not above."""
    pixels = texture(4, width=128, height=128)
    before = sharpness_of(pixels)
    after = sharpness_of(soften(pixels, sharpness=limit, short_side=128))
    assert before > limit
    assert limit / 4 < after <= limit


def test_a_soft_image_is_left_alone():
    """Nothing brings back what was never there."""
    soft = np.asarray(Image.fromarray(texture(5)).filter(ImageFilter.GaussianBlur(6)))
    assert np.array_equal(soften(soft, sharpness=500.0, short_side=None), soft)


def test_a_common_sharpness_makes_two_cameras_alike():
    """A sharp and a blurred copy of an image have similar sharpness afterwards."""
    sharp = texture(6, width=128, height=128)
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(1.2)))
    limit = sharpness_of(blurred)
    softened = soften(sharp, sharpness=limit, short_side=None)
    assert sharpness_of(sharp) > 20 * limit
    assert sharpness_of(softened) == pytest.approx(limit, rel=0.5)


def test_with_a_step_nothing_is_copied():
    """`encode = "keep"` copies a JPEG that needs no change; one that is to be cropped is encoded again."""
    content = as_bytes(texture(7), quality=80)
    settings = RenderSettings(encode="keep")
    assert render(content, settings) == content
    cut = render(content, settings, steps=[lambda pixels: crop_border(pixels, 0.25)])
    assert decode(cut).pixels.shape == (48, 48, 3)
