"""Bytes to an upright sRGB image, or a reason."""

import io
import warnings

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curation.images import DecodeFailure, ImageReader, Window, decode, read_header, sniff
from curation.images.jpeg import dct_factor
from tests.images.builders import (
    draw,
    file_of,
    gif_of_size,
    png_of_size,
    reason_of,
    shape_or_reason,
    srgb_profile,
    strip_tiff,
    swapped_profile,
    tiff_of,
    with_exif_orientation,
)

IMAGE = draw()
SIXTEEN = IMAGE.astype(np.uint16) * 257

FILES = {
    "jpeg": file_of(IMAGE, "JPEG"),
    "jpeg progressive": file_of(IMAGE, "JPEG", progressive=True),
    "jpeg with restarts": file_of(IMAGE, "JPEG", restart_marker_blocks=2),
    "jpeg gray": file_of(IMAGE[..., 0], "JPEG"),
    "jpeg cmyk": file_of(Image.fromarray(IMAGE).convert("CMYK"), "JPEG"),
    "png": file_of(IMAGE),
    "png palette": file_of(Image.fromarray(IMAGE).quantize(64)),
    "png 16-bit": imagecodecs.png_encode(SIXTEEN),
    "png of two frames": file_of(IMAGE, save_all=True, append_images=[Image.fromarray(IMAGE[::-1])]),
    "gif": file_of(IMAGE, "GIF"),
    "gif of two frames": file_of(IMAGE, "GIF", save_all=True, append_images=[Image.fromarray(IMAGE[::-1])]),
    "bmp": file_of(IMAGE, "BMP"),
    "webp": file_of(IMAGE, "WEBP"),
    "webp lossless": file_of(IMAGE, "WEBP", lossless=True),
    "jpeg2000": file_of(IMAGE, "JPEG2000"),
    "jpeg2000 codestream": imagecodecs.jpeg2k_encode(IMAGE, codecformat="j2k"),
    "jpeg2000 16-bit": imagecodecs.jpeg2k_encode(SIXTEEN, level=0),
    "tiff": tiff_of(IMAGE, photometric="rgb", rowsperstrip=16),
    "tiff by Pillow": file_of(IMAGE, "TIFF"),
    "tiff lzw tiles": tiff_of(IMAGE, photometric="rgb", compression="lzw", tile=(16, 16)),
    "tiff jpeg strips": tiff_of(IMAGE, photometric="rgb", compression="jpeg", rowsperstrip=16),
    "tiff big": tiff_of(IMAGE, photometric="rgb", compression="deflate", bigtiff=True),
    "tiff of two pages": tiff_of(np.stack([IMAGE, IMAGE[::-1]]), photometric="rgb", compression="deflate"),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_cut_is_noticed(name):
    """A file truncated at any length gives a reason, at full and at reduced scale, never an image."""
    content = FILES[name]
    near_the_ends = {*range(64), *range(len(content) - 64, len(content))}
    for length in sorted(near_the_ends | set(range(0, len(content), max(1, len(content) // 200)))):
        for settings in ({}, {"scale": "scaled", "gray": True}):
            reason = reason_of(content[:length], **settings)
            if sniff(content[:length]) == sniff(content):
                assert reason == ("truncated", None), (length, settings)


@given(st.data())
def test_no_damage_escapes_as_another_error(data):
    """Bytes changed at random give an image or a `DecodeFailure`, nothing else and no warning."""
    content = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, min(400, len(content) - 1)))] = data.draw(st.integers(0, 255))
    assert shape_or_reason(bytes(content), gray=data.draw(st.booleans()), scale="scaled")


@given(st.binary(max_size=600))
def test_noise_is_not_an_image(content):
    """Arbitrary bytes are refused with a reason."""
    assert reason_of(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", ("empty-file", None)),
        (b"<!doctype html><title>404</title>", ("not-an-image", "html")),
        (b"image,label\na,b\n", ("not-an-image", "text")),
        (b"PK\x03\x04" + bytes(60), ("not-an-image", "zip")),
        (bytes(100), ("not-an-image", None)),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x00crx isom", ("unsupported", "camera raw")),
        (b"8BPS\x00\x01" + bytes(60), ("unsupported", "photoshop")),
        (png_of_size(20000, 20000), ("decompression-bomb", "400 megapixels")),
        (strip_tiff(20000, 20000, bytes(64)), ("decompression-bomb", "400 megapixels")),
        (gif_of_size(20000, 20000), ("decompression-bomb", "400 megapixels")),
        (png_of_size(9000, 9000), ("truncated", None)),
        (file_of(np.zeros((5, 1, 3), np.uint8)), ("no-pixels", "1 pixel wide")),
        (file_of(np.zeros((1, 5, 3), np.uint8), "JPEG"), ("no-pixels", "1 pixel high")),
        (file_of(np.zeros((1, 1, 3), np.uint8), "TIFF"), ("no-pixels", "1 pixel wide")),
        (imagecodecs.jpeg8_encode(SIXTEEN >> 4, bitspersample=12), ("unsupported", "12-bit jpeg")),
    ],
)
def test_each_fault_has_its_reason(content, reason):
    """The reason is short, and the same every time."""
    assert reason_of(content) == reason


def test_a_jpeg_bomb_is_refused_by_its_header():
    """A frame of 4 gigapixels costs nothing."""
    frame = b"\xff\xc0\x00\x11\x08" + (65000).to_bytes(2, "big") * 2 + b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    assert reason_of(b"\xff\xd8" + frame + b"\xff\xd9") == ("decompression-bomb", "4225 megapixels")


def test_the_limit_is_pillows_own(monkeypatch):
    """The limit at which Pillow raises is read at each call."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert reason_of(FILES["png"])[0] == "decompression-bomb"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(FILES["png"]).pixels.shape == IMAGE.shape


def test_the_limit_can_be_raised_and_lowered():
    """A phone photographs 108 megapixels: that is no bomb, and a recipe states another limit."""
    header = bytearray(FILES["jpeg"])
    frame = header.index(b"\xff\xc0")
    header[frame + 5 : frame + 9] = (9000).to_bytes(2, "big") + (12000).to_bytes(2, "big")
    assert (read_header(bytes(header)).width, read_header(bytes(header)).height) == (12000, 9000)
    assert reason_of(bytes(header), max_pixels=100_000_000) == ("decompression-bomb", "108 megapixels")
    assert reason_of(png_of_size(20000, 20000), max_pixels=500_000_000) == ("truncated", None)
    assert reason_of(FILES["png"], max_pixels=1000)[0] == "decompression-bomb"


def test_a_window_covers_signed_and_fractional_samples():
    """Hounsfield units, and floats of 0 to 1."""
    units = np.arange(-1024, 1024, 8, dtype=np.int16).reshape(16, 16)
    shown = decode(tiff_of(units, photometric="minisblack"), tone=Window(-1000, 400), gray=True).pixels
    assert np.array_equal(shown, np.floor((units.clip(-1000, 400) + 1000.0) * 255 / 1400 + 0.5))
    shares = np.linspace(-0.5, 1.5, 256, dtype=np.float32).reshape(16, 16)
    shown = decode(tiff_of(shares, photometric="minisblack"), tone=Window(0, 0.5), gray=True).pixels
    assert (shown.min(), shown.max()) == (0, 255)
    assert reason_of(tiff_of(units, photometric="minisblack"))[0] == "no-tone-rule"


def test_a_failure_keeps_its_cause():
    """The library's own error is the cause of the failure."""
    with pytest.raises(DecodeFailure) as failure:
        decode(FILES["jpeg"][:-500])
    assert "Premature end" in str(failure.value.__cause__)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_lossless_formats_give_back_what_went_in(kind):
    """What was stored without loss comes out as it was."""
    settings = {"WEBP": {"lossless": True}}.get(kind, {})
    source = np.asarray(Image.fromarray(IMAGE).quantize(64).convert("RGB")) if kind == "GIF" else IMAGE
    image = decode(file_of(source, kind, **settings))
    assert np.array_equal(image.pixels, source)
    assert image.header.lossless


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind, orientation):
    """All eight EXIF orientations come out upright, in every format that has them, as Pillow turns them."""
    content = file_of(IMAGE, kind, exif=with_exif_orientation(orientation))
    image = decode(content)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    assert np.array_equal(image.pixels, upright)
    assert image.header.orientation == orientation
    assert (image.header.height, image.header.width) == upright.shape[:2]
    assert read_header(content) == image.header
    assert np.array_equal(decode(content, gray=True).pixels, np.asarray(Image.fromarray(upright).convert("L")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_image_is_upright_too(orientation):
    """The DCT-scaled decode is turned like the full one."""
    plain = file_of(draw(300, 200), "JPEG")
    turned = file_of(draw(300, 200), "JPEG", exif=with_exif_orientation(orientation))
    scaled = decode(plain, scale="scaled").pixels
    stored = Image.fromarray(scaled)
    stored.getexif()[0x0112] = orientation
    assert np.array_equal(decode(turned, scale="scaled").pixels, np.asarray(ImageOps.exif_transpose(stored)))


@pytest.mark.parametrize("block", [b"", b"II*\x00\xff\xff\xff\xff", b"\xff" * 40])
def test_broken_exif_costs_nothing_but_itself(block):
    """An image with a broken EXIF block is read as upright, without a warning."""
    image = decode(file_of(IMAGE, "JPEG", exif=b"Exif\x00\x00" + block))
    assert image.header.orientation == 1
    assert np.array_equal(image.pixels, decode(FILES["jpeg"]).pixels)


def test_an_orientation_that_does_not_exist_is_none():
    """Only 1 to 8 are orientations."""
    assert decode(file_of(IMAGE, "JPEG", exif=with_exif_orientation(9))).header.orientation == 1


def test_alpha_lies_over_white():
    """(color * alpha + 255 * (255 - alpha)) / 255, rounded, for RGBA, LA, palettes and a transparent color."""
    alpha = draw(seed=1)[..., 0]
    rgba = np.dstack([IMAGE, alpha])
    expected = np.rint((IMAGE * (alpha[..., None] / 255)) + (255 - alpha[..., None].astype(float))).astype(np.uint8)
    assert np.array_equal(decode(file_of(rgba)).pixels, expected)
    gray = decode(file_of(Image.merge("LA", [Image.fromarray(IMAGE[..., 0]), Image.fromarray(alpha)]))).pixels
    assert np.array_equal(gray, np.repeat(expected[..., :1], 3, axis=2))
    palette = Image.fromarray(IMAGE).quantize(16)
    palette.info["transparency"] = 3
    shown = decode(file_of(palette, transparency=3)).pixels
    hidden = np.asarray(palette) == 3
    assert (shown[hidden] == 255).all()
    assert np.array_equal(shown[~hidden], np.asarray(palette.convert("RGB"))[~hidden])
    keyed = decode(file_of(IMAGE, transparency=tuple(int(v) for v in IMAGE[0, 0]))).pixels
    assert tuple(keyed[0, 0]) == (255, 255, 255)


def test_cmyk_is_neither_inverted_nor_lost():
    """A CMYK JPEG of Adobe's inverted kind shows the image that went in, within JPEG's loss."""
    image = decode(file_of(Image.fromarray(IMAGE).convert("CMYK"), "JPEG", quality=95))
    assert image.header.mode == "CMYK"
    assert np.abs(image.pixels.astype(int) - IMAGE).mean() < 4


def test_ycck_is_read():
    """Adobe's YCCK, as imagecodecs writes it, is CMYK in the end."""
    ink = 255 - np.asarray(Image.fromarray(IMAGE).convert("CMYK"))
    content = imagecodecs.jpeg8_encode(np.ascontiguousarray(ink), level=98, colorspace="CMYK", outcolorspace="YCCK")
    assert np.abs(decode(content).pixels.astype(int) - IMAGE).mean() < 4


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_equal_their_own_eight_bit_copy(channels):
    """A 16-bit PNG is v / 257, in every combination of color and alpha, bit for bit."""
    chosen = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    eight = np.ascontiguousarray(np.dstack([IMAGE, draw(seed=1)[..., 0]])[..., chosen].squeeze())
    content = imagecodecs.png_encode(eight.astype(np.uint16) * 257)
    copy = imagecodecs.png_encode(eight)
    assert read_header(content).bits == 16
    assert np.array_equal(decode(content).pixels, decode(copy).pixels)
    assert np.array_equal(decode(content, gray=True).pixels, decode(copy, gray=True).pixels)


def test_a_window_is_applied_to_sixteen_bits_and_not_to_eight():
    """The recipe's window maps low to 0 and high to 255, and leaves 8-bit files alone."""
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 100
    window = Window(low=1000, high=5000)
    shown = decode(imagecodecs.png_encode(deep), tone=window, gray=True).pixels
    assert np.array_equal(shown, np.floor((deep.clip(1000, 5000) - 1000.0) * 255 / 4000 + 0.5))
    assert np.array_equal(decode(FILES["png"], tone=window).pixels, IMAGE)


def test_a_window_needs_width():
    """An empty window is refused as it is made."""
    with pytest.raises(ValueError, match="low < high"):
        Window(low=5, high=5)


def test_profiles_are_applied_and_srgb_is_left_alone():
    """A foreign profile changes the pixels; sRGB's own, and a broken one, change none."""
    assert np.array_equal(decode(file_of(IMAGE, icc_profile=srgb_profile())).pixels, IMAGE)
    assert np.array_equal(decode(file_of(IMAGE, icc_profile=b"not a profile at all" * 20)).pixels, IMAGE)
    swapped = decode(file_of(IMAGE, icc_profile=swapped_profile())).pixels
    assert np.abs(swapped.astype(int) - IMAGE[..., ::-1]).mean() < 3
    jpeg = decode(file_of(IMAGE, "JPEG", quality=95, icc_profile=swapped_profile()))
    tiff = decode(tiff_of(IMAGE, photometric="rgb", iccprofile=swapped_profile()))
    assert np.abs(jpeg.pixels.astype(int) - IMAGE[..., ::-1]).mean() < 6
    assert np.array_equal(tiff.pixels, swapped)


def test_a_gray_jpeg_with_a_profile_goes_through_it_when_scaled():
    """The luma channel is not used directly where colors have to be transformed."""
    content = file_of(draw(300, 200), "JPEG", icc_profile=swapped_profile())
    scaled = decode(content, scale="scaled")
    gray = decode(content, scale="scaled", gray=True)
    assert np.array_equal(gray.pixels, np.asarray(Image.fromarray(scaled.pixels).convert("L")))


def test_pages_are_counted_and_chosen():
    """Frames and TIFF pages are pages; each can be decoded, and one that is not there is a reason."""
    for name in ("png of two frames", "tiff of two pages"):
        assert read_header(FILES[name]).pages == 2
        assert np.array_equal(decode(FILES[name], page=1).pixels, IMAGE)
        assert np.array_equal(decode(FILES[name], page=2).pixels, IMAGE[::-1])
        assert reason_of(FILES[name], page=3) == ("missing-page", "3 of 2")
    assert read_header(FILES["gif of two frames"]).pages == 2
    assert reason_of(FILES["jpeg"], page=2) == ("missing-page", "2 of 1")
    assert reason_of(FILES["jpeg"], page=0) == ("missing-page", "0 of 1")


def frames_of(kind, **settings):
    """Write six frames that differ in a part, some of it transparent."""
    frames = []
    for number in range(6):
        pixels = np.dstack([IMAGE, np.full(IMAGE.shape[:2], 255, np.uint8)])
        pixels[number * 8 : number * 8 + 20, 10:40] = (40 * number, 200, 30, 255 if number % 3 else 0)
        frames.append(Image.fromarray(pixels))
    return file_of(frames[0], kind, save_all=True, append_images=frames[1:], duration=40, **settings)


STACKS = {
    **{f"gif, disposal {number}": frames_of("GIF", disposal=number) for number in (0, 1, 2, 3)},
    **{f"png, disposal {number}": frames_of("PNG", disposal=number) for number in (0, 1, 2)},
    "webp": frames_of("WEBP", quality=60),
    "webp lossless": frames_of("WEBP", lossless=True, minimize_size=True),
    "tiff": tiff_of(np.stack([draw(seed=n) for n in range(6)]), photometric="rgb", compression="lzw"),
    "tiff 16-bit": tiff_of(np.stack([draw(seed=n) for n in range(6)]).astype(np.uint16) * 257, photometric="rgb"),
    "tiff jpeg": tiff_of(np.stack([draw(seed=n) for n in range(6)]), photometric="rgb", compression="jpeg"),
}


@pytest.mark.parametrize("order", [range(1, 7), range(6, 0, -1), (2, 2, 5, 7, 3, 6)], ids=["up", "down", "any"])
@pytest.mark.parametrize("name", sorted(STACKS))
def test_a_reader_gives_each_page_as_if_it_were_the_first_that_is_read(name, order):
    """What the pages of a file share is read once, and makes no difference, in any order, nor after a failure."""
    reader = ImageReader(STACKS[name])
    for page in order:
        if page == 7:
            with pytest.raises(DecodeFailure):
                reader.decode(page=page)
            continue
        expected, shown = decode(STACKS[name], page=page), reader.decode(page=page)
        assert shown.header == expected.header
        assert np.array_equal(shown.pixels, expected.pixels)


def test_a_preview_after_a_jpeg_is_not_a_page():
    """Phones append previews and depth maps to the image (MPF)."""
    content = file_of(IMAGE, "MPO", save_all=True, append_images=[Image.fromarray(IMAGE[::-1])])
    image = decode(content)
    assert (image.header.format, image.header.pages) == ("jpeg", 1)
    assert np.array_equal(image.pixels, decode(FILES["jpeg"]).pixels)


@given(st.integers(2, 5000), st.integers(2, 5000))
def test_the_dct_scale_is_the_smallest_that_serves(width, height):
    """The next smaller scale would leave fewer than 64 px, or does not exist."""
    factor = dct_factor(width, height)
    assert factor == 1 or -(-min(width, height) // factor) >= 64
    assert factor == 8 or -(-min(width, height) // (2 * factor)) < 64


@pytest.mark.parametrize("size", [(600, 450), (505, 1007), (127, 300), (128, 300), (64, 64), (72, 60), (513, 512)])
def test_a_scaled_decode_has_the_size_it_promises(size):
    """Pillow uses the requested scale, also where the size is not a multiple of it."""
    content = file_of(draw(*size), "JPEG")
    factor = dct_factor(*size)
    image = decode(content, scale="scaled")
    assert image.pixels.shape == (-(-size[1] // factor), -(-size[0] // factor), 3)
    assert (image.header.width, image.header.height) == size
    assert decode(content, scale="scaled", gray=True).pixels.shape == image.pixels.shape[:2]


def test_full_gray_is_what_imagehash_sees():
    """In full, gray is Pillow's "L" of the file, bit for bit."""
    for content in (FILES["jpeg"], FILES["jpeg gray"], FILES["png"]):
        assert np.array_equal(
            decode(content, gray=True).pixels, np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        )


def test_a_lossless_jpeg_is_read_at_any_scale():
    """A lossless JPEG cannot be scaled by its DCT and is decoded in full."""
    content = imagecodecs.jpeg8_encode(draw(300, 200), lossless=True)
    assert np.array_equal(decode(content).pixels, draw(300, 200))
    assert np.array_equal(decode(content, scale="scaled").pixels, draw(300, 200))


def test_nothing_is_printed(capfd, caplog):
    """Neither warnings nor the libraries' own logs reach the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in FILES.values():
            decode(content)
            reason_of(content[: len(content) // 2])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_the_room_is_light_to_import():
    """tifffile and imagecodecs are imported when a file needs them, not before."""
    import subprocess
    import sys

    heavy = {"tifffile", "imagecodecs", "imagehash", "pydicom", "pi_heif"}
    code = f"import sys, curation.images; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
