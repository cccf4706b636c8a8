"""PNM, TGA, ICO, QOI, AVIF and the alpha of BMP."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.images import Window, decode, read_header
from tests.images.builders import draw, file_of, reason_of, with_exif_orientation

IMAGE = draw(60, 45, 4)
GRAY = np.asarray(Image.fromarray(IMAGE).convert("L"))


def pnm(kind, samples, maximum=255, comment=b""):
    """Write a PBM, PGM or PPM by hand."""
    height, width = samples.shape[:2]
    head = b"P%d\n%s%d %d\n" % (kind, comment, width, height)
    head += b"" if kind in (1, 4) else b"%d\n" % maximum
    if kind in (1, 2, 3):
        return head + b" ".join(b"%d" % value for value in samples.reshape(-1).tolist()) + b"\n"
    if kind == 4:
        return head + np.packbits(samples.astype(bool), axis=1).tobytes()
    return head + samples.astype(">u2" if maximum > 255 else np.uint8).tobytes()


@given(st.integers(1, 65535), st.sampled_from([2, 3, 5, 6]), st.integers(0, 5))
def test_pnm_is_read_at_any_maximum(maximum, kind, seed):
    """Plain and raw, of 1 to 16 bits, v * 255 / maximum, rounded."""
    shape = (5, 7, 3) if kind in (3, 6) else (5, 7)
    samples = np.random.default_rng(seed).integers(0, maximum + 1, shape)
    image = decode(pnm(kind, samples, maximum, b"# a comment\n"))
    expected = (samples * 510 + maximum) // (2 * maximum)
    assert np.array_equal(image.pixels, expected if kind in (3, 6) else np.repeat(expected[..., None], 3, axis=2))
    assert image.header.bits == maximum.bit_length()


def test_bitmaps_are_black_on_white():
    """1 is black, in a plain file without spaces too."""
    bits = GRAY > 128
    expected = np.where(bits, 0, 255)
    compact = pnm(1, bits.astype(int)).replace(b" ", b"").replace(b"6045", b"60 45")
    for content in (pnm(1, bits.astype(int)), pnm(4, bits), compact):
        assert np.array_equal(decode(content).pixels[..., 0], expected)


def test_a_window_applies_to_deep_samples_only():
    """As in every format."""
    deep = np.arange(12, dtype=np.int64).reshape(3, 4) * 100
    shown = decode(pnm(5, deep, 4095), tone=Window(100, 900), gray=True).pixels
    assert np.array_equal(shown, np.floor((deep.clip(100, 900) - 100) * 255 / 800 + 0.5))
    assert np.array_equal(decode(pnm(5, GRAY), tone=Window(100, 900), gray=True).pixels, GRAY)


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6])
def test_a_cut_pnm_is_truncated(kind):
    """It has no end marker; its samples are counted."""
    samples = IMAGE if kind in (3, 6) else (GRAY > 128).astype(int) if kind in (1, 4) else GRAY
    content = pnm(kind, samples)
    for length in (5, 12, len(content) // 2, len(content) - (8 if kind < 4 else 1)):
        if length > 8:
            assert reason_of(content[:length]) == ("truncated", None)
    assert decode(content + b"behind\n").pixels.shape == (45, 60, 3)


def test_samples_above_the_maximum_are_damage():
    """No rule maps them."""
    assert reason_of(pnm(5, GRAY, 100))[0] == "damaged"


@pytest.mark.parametrize("settings", [{}, {"compression": "tga_rle"}])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_targa_gives_back_what_went_in(mode, settings):
    """Raw and run-length coded, with and without a palette; a cut file is truncated."""
    image = Image.fromarray(np.dstack([IMAGE, np.full_like(GRAY, 255)])).convert("RGBA" if mode == "RGBA" else "RGB")
    image = image.quantize(32) if mode == "P" else image.convert(mode)
    content = file_of(image, "TGA", **settings)
    decoded = decode(content)
    assert decoded.header.format == "tga"
    assert np.array_equal(decoded.pixels, np.asarray(image.convert("RGB")))
    assert reason_of(content[: len(content) // 2])[0] in ("truncated", "damaged")


def test_alpha_that_is_zero_everywhere_is_padding():
    """Many programs write 32 bits a pixel and leave the last 8 at zero: those images were published white."""
    rgba = np.dstack([IMAGE, np.zeros_like(GRAY)])
    assert np.array_equal(decode(file_of(rgba, "TGA")).pixels, IMAGE)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = (
        struct.pack("<IiiHHIIiiII", 108, 60, -45, 1, 32, 3, 60 * 45 * 4, 2835, 2835, 0, 0) + masks + b"Win " + bytes(48)
    )
    body = np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])
    start = struct.pack("<2sIII", b"BM", 14 + len(head) + body.size, 0, 14 + len(head))
    assert np.array_equal(decode(start + head + body.tobytes()).pixels, IMAGE)
    body[0, 0, 3] = 255
    shown = decode(start + head + body.tobytes()).pixels
    assert np.array_equal(shown[0, 0], IMAGE[0, 0])
    assert (shown[1:] == 255).all()


def test_of_an_icon_the_largest_image_is_read():
    """Whether it is stored as a PNG or as a bitmap, over white; its damage is noticed."""
    icon = Image.fromarray(np.dstack([draw(64, 64), np.full((64, 64), 255, np.uint8)]))
    for bitmap in ("png", "bmp"):
        content = file_of(icon, "ICO", sizes=[(16, 16), (64, 64)], bitmap_format=bitmap)
        image = decode(content)
        assert (image.header.format, image.header.width, image.header.pages) == ("ico", 64, 1)
        assert np.array_equal(image.pixels, draw(64, 64))
        assert read_header(content) == image.header
        assert reason_of(content[:-30])[0] in ("truncated", "damaged")


@pytest.mark.parametrize("channels", [3, 4])
def test_qoi_gives_back_what_went_in(channels):
    """And a file that was cut, or cut and closed, is truncated: decoders repeat the last color."""
    samples = np.dstack([IMAGE, np.full_like(GRAY, 255)])[..., :channels]
    content = bytes(imagecodecs.qoi_encode(np.ascontiguousarray(samples)))
    assert np.array_equal(decode(content).pixels, IMAGE)
    for share in (0.2, 0.5, 0.9):
        cut = content[: int(len(content) * share)]
        assert reason_of(cut) == ("truncated", None)
        assert reason_of(cut + bytes(7) + b"\x01") == ("truncated", None)


@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_is_read(orientation):
    """Through Pillow, its orientation applied; a cut file gives a reason."""
    content = file_of(draw(96, 64), "AVIF", quality=95, exif=with_exif_orientation(orientation))
    image = decode(content)
    expected = draw(96, 64) if orientation == 1 else np.rot90(draw(96, 64), -1)
    assert image.header.format == "avif"
    assert np.abs(image.pixels.astype(int) - expected).mean() < 6
    for length in (len(content) // 2, len(content) - 20):
        assert reason_of(content[:length])[0] in ("truncated", "damaged")
    assert Image.open(io.BytesIO(content)).format == "AVIF"


def test_formats_that_are_not_read_are_named():
    """Each by what it is."""
    heads = {
        "fits": b"SIMPLE  =                    T",
        "camera raw": b"FUJIFILMCCD-RAW 0201",
        "video": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42",
        "vector image": b"%!PS-Adobe-3.0 EPSF-3.0",
        "jpegxl": b"\xff\x0a\xff",
        "photoshop": b"8BPS\x00\x01",
        "openexr": b"v/1\x01\x02",
        "pam": b"P7\nWIDTH 4\n",
        "pfm": b"Pf\n4 4\n-1.0\n",
    }
    for name, head in heads.items():
        assert reason_of(head + bytes(100)) == ("unsupported", name)
