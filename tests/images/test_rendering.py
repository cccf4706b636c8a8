"""What a build's images are written as."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.images import DecodeFailure, RenderSettings, decode, encode, render
from curation.images.jpeg_segments import walk_segments
from tests.images.builders import draw, file_of, srgb_profile, swapped_profile, tiff_of, with_exif_orientation

UNIFORM = RenderSettings(encode="uniform", short_side=48)
KEEP = RenderSettings(encode="keep")

SOURCES = {
    "jpeg": file_of(draw(96, 80), "JPEG", quality=60, exif=with_exif_orientation(6), comment=b"note"),
    "progressive jpeg": file_of(draw(80, 96), "JPEG", quality=90, subsampling=0, progressive=True),
    "gray jpeg": file_of(draw(96, 80)[..., 0], "JPEG"),
    "cmyk jpeg": file_of(Image.fromarray(draw(96, 80)).convert("CMYK"), "JPEG"),
    "png": file_of(draw(96, 80), icc_profile=srgb_profile()),
    "tiff": tiff_of(draw(96, 80).astype(np.uint16) * 257, photometric="rgb", compression="lzw"),
}


def without_scan(content):
    """Return what an encoder's setting shows in: every segment but the frame, whose size differs, and no scan."""
    return [(marker, segment) for marker, segment, _ in walk_segments(content) if marker != 0xC0]


def scans(content):
    """Return the entropy-coded bytes of a JPEG's scans."""
    return [scan for marker, _, scan in walk_segments(content) if marker == 0xDA]


def frame(content):
    """Return a baseline JPEG's frame segment."""
    return next(segment for marker, segment, _ in walk_segments(content) if marker == 0xC0)


def test_uniform_images_do_not_tell_their_source():
    """Size, tables, subsampling, channels and segments are the same for every source."""
    rendered = {name: render(content, UNIFORM) for name, content in SOURCES.items()}
    assert len({tuple(without_scan(content)) for content in rendered.values()}) == 1
    assert len({frame(content)[:3] + frame(content)[7:] for content in rendered.values()}) == 1
    for content in rendered.values():
        image = Image.open(io.BytesIO(content))
        assert min(image.size) == 48
        assert set(image.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert [marker for marker, _, _ in walk_segments(content) if marker >= 0xE0] == [0xE0]


def test_uniform_images_are_upright():
    """An EXIF-rotated image is turned, and the tag is gone."""
    turned = decode(render(SOURCES["jpeg"], UNIFORM))
    assert (turned.header.width, turned.header.height, turned.header.orientation) == (48, 58, 1)


def test_the_same_pixels_give_the_same_file():
    """A PNG and a TIFF of one image are one and the same JPEG in the build."""
    assert render(file_of(draw(96, 80)), UNIFORM) == render(SOURCES["tiff"], UNIFORM)


@given(width=st.integers(2, 200), height=st.integers(2, 200), short_side=st.integers(2, 220))
def test_scaling_goes_down_and_keeps_the_shape(width, height, short_side):
    """The short side is what was asked for, or what it was; the long one follows within half a pixel."""
    settings = RenderSettings(encode="uniform", short_side=short_side)
    image = Image.open(io.BytesIO(encode(np.zeros((height, width, 3), np.uint8), settings)))
    assert min(image.size) == min(short_side, width, height)
    if min(width, height) <= short_side:
        assert image.size == (width, height)
    else:
        assert abs(max(image.size) - max(width, height) * short_side / min(width, height)) <= 0.5


def test_quality_and_subsampling_are_the_settings():
    """They reach the encoder."""
    content = encode(draw(), RenderSettings(encode="uniform", quality=50, subsampling="4:2:0"))
    assert content == file_of(draw(), "JPEG", quality=50, subsampling=2)


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"quality": 40}, {"icc_profile": srgb_profile()}])
def test_keep_copies_what_needs_no_change(settings):
    """An upright sRGB JPEG keeps its very scan, and loses its metadata."""
    content = file_of(draw(), "JPEG", comment=b"note", **settings)
    kept = render(content, KEEP)
    assert np.array_equal(decode(kept).pixels, decode(content).pixels)
    assert scans(kept) == scans(content)
    assert b"note" not in kept
    assert "icc_profile" not in Image.open(io.BytesIO(kept)).info


def test_keep_copies_gray_as_gray():
    """A gray JPEG needs no pixel change either."""
    assert decode(render(SOURCES["gray jpeg"], KEEP)).header.mode == "L"


@pytest.mark.parametrize(
    "content",
    [
        SOURCES["jpeg"],
        SOURCES["cmyk jpeg"],
        SOURCES["png"],
        SOURCES["tiff"],
        file_of(draw(), "JPEG", icc_profile=swapped_profile()),
    ],
)
def test_keep_encodes_what_needs_a_change(content):
    """Rotated, CMYK, of another profile or no JPEG at all: written again, as the pixels are."""
    assert render(content, KEEP) == encode(decode(content).pixels, KEEP)


def test_keep_encodes_what_is_too_large():
    """A copy cannot be scaled."""
    settings = RenderSettings(encode="keep", short_side=48)
    content = SOURCES["progressive jpeg"]
    assert render(content, settings) == encode(decode(content).pixels, settings)
    assert render(content, RenderSettings(encode="keep", short_side=80)) != render(content, settings)


@pytest.mark.parametrize("settings", [UNIFORM, KEEP])
def test_a_damaged_file_is_not_rendered(settings):
    """A truncated JPEG is neither copied nor encoded again."""
    content = file_of(draw(), "JPEG")
    for cut in (10, len(content) // 2, len(content) - 1):
        with pytest.raises(DecodeFailure):
            render(content[:cut], settings)


def test_steps_come_between_decode_and_encode():
    """A step sees upright pixels, and with one nothing is copied."""
    content = file_of(draw(), "JPEG")
    flipped = render(content, KEEP, steps=[lambda pixels: np.ascontiguousarray(pixels[:, ::-1])])
    assert flipped == encode(np.ascontiguousarray(decode(content).pixels[:, ::-1]), KEEP)


def test_a_page_is_rendered_as_its_own():
    """The page that was asked for is the page that is written."""
    content = tiff_of(np.stack([draw(), draw(seed=1)]), photometric="rgb")
    assert render(content, UNIFORM, page=2) == encode(draw(seed=1), UNIFORM)


def test_settings_have_one_canonical_form():
    """The settings in a version's digest are complete."""
    assert UNIFORM.canonical() == {"encode": "uniform", "short_side": 48, "quality": 95, "subsampling": "4:4:4"}


@pytest.mark.parametrize("settings", [{"short_side": 1}, {"quality": 0}, {"quality": 101}])
def test_impossible_settings_cannot_be_made(settings):
    """They are refused where they are made."""
    with pytest.raises(ValueError, match="must be"):
        RenderSettings(encode="uniform", **settings)


def test_a_copy_shows_what_was_probed():
    """Of two Adobe segments libjpeg believes the last and a copy keeps the first: such a file is encoded again."""

    def adobe(transform):
        return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes((transform,))

    plain = file_of(draw(96, 64), "JPEG", quality=95, subsampling=0)
    odd = plain[:2] + adobe(1) + adobe(0) + plain[2:]
    settings = RenderSettings(encode="keep")
    kept = render(odd, settings)
    assert np.abs(decode(kept).pixels.astype(int) - decode(odd).pixels).mean() < 4
    assert np.array_equal(decode(render(plain, settings)).pixels, decode(plain).pixels)
    with pytest.raises(DecodeFailure):
        render(plain[: len(plain) // 2] + b"\xff\xd9", settings)


def test_an_image_longer_than_a_jpeg_has_a_reason():
    """libjpeg ends at 65,500 px; a smaller one is written."""
    long = np.zeros((66000, 8, 3), np.uint8)
    with pytest.raises(DecodeFailure) as failure:
        encode(long, RenderSettings(encode="uniform"))
    assert (failure.value.reason, failure.value.detail) == ("too-long", "66000 px, > 65500")
    assert encode(long[:65500], RenderSettings(encode="uniform"))
