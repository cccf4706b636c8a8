"""A JPEG is decoded whole or refused: what its decoder would fill is never published."""

import re

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from curation.images import DecodeFailure, decode, read_header
from curation.images.jpeg_segments import walk_segments
from tests.images.builders import draw, file_of, flat_jpeg, reason_of

IMAGE = draw(320, 240, 5)
SCALES = ({}, {"scale": "scaled", "gray": True}, {"scale": "scaled"})
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "optimized": {"optimize": True},
    "4:4:4": {"subsampling": 0},
}


def jpeg(**settings):
    """Return a detailed JPEG, whose scan fills most of its bytes."""
    noise = np.random.default_rng(1).integers(-30, 31, IMAGE.shape)
    return file_of(np.clip(IMAGE + noise, 0, 255).astype(np.uint8), "JPEG", quality=92, **settings)


def scan_of(content):
    """Return where the longest scan of a JPEG begins and ends."""
    scan = max((scan for marker, _, scan in walk_segments(content) if marker == 0xDA), key=len)
    return content.index(scan), content.index(scan) + len(scan)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_was_cut_and_closed_is_refused(kind):
    """The half that is left, an end marker behind it: decoders fill the rest with gray without an error."""
    content = jpeg(**KINDS[kind])
    start, end = scan_of(content)
    for share in (0.1, 0.5, 0.9):
        cut = content[: start + int((end - start) * share)].rstrip(b"\xff") + b"\xff\xd9"
        for settings in SCALES:
            assert reason_of(cut, **settings)[0] in ("truncated", "damaged"), (share, settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [512, 4096])
def test_a_jpeg_with_a_hole_of_zeros_is_refused(kind, size):
    """A block of zeros where a part of the scan was, in the middle or at its end."""
    content = jpeg(**KINDS[kind])
    start, end = scan_of(content)
    for at in ((start + end) // 3, (start + end) // 2, end - size):
        hole = content[:at] + bytes(size) + content[at + size :]
        for settings in SCALES:
            # a hole may swallow the header of a progressive scan, which is then missing
            wanted = ("damaged", "truncated") if kind == "progressive" else ("damaged",)
            assert reason_of(hole, **settings)[0] in wanted, (at, settings)


@pytest.mark.parametrize("settings", SCALES)
def test_a_jpeg_behind_half_a_jpeg_is_refused(settings):
    """A write that began anew leaves the first half of a file before the whole of it."""
    assert reason_of(jpeg()[:20000] + jpeg(), **settings) == ("damaged", "jpeg")


@pytest.mark.parametrize("settings", SCALES)
def test_a_progressive_jpeg_that_lost_its_last_scans_is_truncated(settings):
    """Each scan that is there is whole, and libjpeg warns about nothing."""
    content = jpeg(progressive=True)
    scans = [found.start() for found in re.finditer(rb"\xff\xda", content)]
    for scan in scans[1:]:
        begin = content.rindex(b"\xff\xc4", 0, scan) if b"\xff\xc4" in content[scan - 64 : scan] else scan
        assert reason_of(content[:begin] + b"\xff\xd9", **settings) == ("truncated", None)


@pytest.mark.parametrize("settings", SCALES)
def test_stray_bytes_change_no_pixel(settings):
    """Padding between segments, before the end and behind it is harmless, and so are many bytes of it."""
    content = jpeg()
    expected = decode(content, **settings).pixels
    for stray in (b"\x01\x02\x03\x04" * 50, bytes(1000), b"\x00" * 3):
        before_the_end = content[:-2] + stray + b"\xff\xd9"
        between = content[:20] + stray + content[20:]
        for padded in (before_the_end, between, content + stray, content + b"\xfe\xff\xdd\xe0\x01\x02\x03\x04"):
            assert np.array_equal(decode(padded, **settings).pixels, expected)
    without_a_part = content[:9000] + content[19000:-2] + bytes(1000) + b"\xff\xd9"
    assert reason_of(without_a_part, **settings) == ("damaged", "jpeg")


def test_header_fields_that_no_decoder_obeys_change_no_pixel():
    """An unknown version of JFIF, and a sequential scan that states the parameters of another one."""
    content = jpeg()
    jfif = content.index(b"JFIF") + 5
    assert np.array_equal(decode(content[:jfif] + b"\x07" + content[jfif + 1 :]).pixels, decode(content).pixels)
    start, _ = scan_of(content)
    assert np.array_equal(
        decode(content[: start - 3] + b"\x00\x00\x00" + content[start:]).pixels, decode(content).pixels
    )


@pytest.mark.parametrize("settings", SCALES)
def test_sampling_that_only_luma_survives_is_named(settings):
    """Factors of 3 and 2: the luma can be decoded, the colors cannot, so that the image failed only when written."""
    reason = ("unsupported", "jpeg of fractional sampling")
    assert reason_of(flat_jpeg(96, 64, ((3, 1), (2, 1), (1, 1))), **settings) == reason
    for whole in (((3, 1), (1, 1), (1, 1)), ((4, 1), (2, 1), (1, 1)), ((2, 2), (1, 2), (2, 1))):
        content = flat_jpeg(192, 128, whole)
        assert np.unique(decode(content, **settings).pixels).tolist() == [128]
        assert reason_of(content[:-40] + b"\xff\xd9", **settings) == ("damaged", "jpeg")


@pytest.mark.parametrize("settings", SCALES)
def test_a_lossless_jpeg_with_bytes_behind_its_end_is_whole(settings):
    """The end of the image counts, not that of the file; with 16 bits it is named, not called damaged."""
    gray = IMAGE[..., 0].copy()
    content = imagecodecs.ljpeg_encode(gray)
    for padded in (content, content + b"\xfe\xff\xdd\xe0\x01\x02\x03\x04"):
        pixels = decode(padded, **settings).pixels
        assert np.array_equal(pixels if pixels.ndim == 2 else pixels[..., 0], gray)
    deep = imagecodecs.ljpeg_encode(gray.astype(np.uint16) * 256)
    assert reason_of(deep, **settings) == ("unsupported", "16-bit lossless jpeg")


def test_frames_that_are_not_decoded_are_named():
    """Two channels, hierarchical frames, deep samples: these files are not damaged."""
    content = jpeg()
    frame = content.index(b"\xff\xc0")
    for marker, bits, name in ((0xC5, 8, "jpeg of frame type 5"), (0xC1, 12, "12-bit jpeg")):
        changed = content[: frame + 1] + bytes((marker,)) + content[frame + 2 : frame + 4] + bytes((bits,))
        assert reason_of(changed + content[frame + 5 :]) == ("unsupported", name)
    with pytest.raises(DecodeFailure, match="2 channels"):
        read_header(flat_jpeg(64, 64, ((1, 1), (1, 1))))


def test_a_cmyk_jpeg_is_strict_too():
    """Its inks come from Pillow, its faults from the strict decoder."""
    content = file_of(Image.fromarray(IMAGE).convert("CMYK"), "JPEG")
    assert decode(content).header.mode == "CMYK"
    for settings in SCALES:
        assert reason_of(content[: len(content) // 2] + b"\xff\xd9", **settings) == ("damaged", "jpeg")
