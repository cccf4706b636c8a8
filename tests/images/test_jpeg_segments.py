"""A JPEG less its metadata."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from curation.images import DecodeFailure, decode
from curation.images.jpeg_segments import strip_metadata, walk_segments
from tests.images.builders import draw, file_of, srgb_profile, with_exif_orientation


def markers(content):
    """Return the markers of a JPEG's segments."""
    return [marker for marker, _, _ in walk_segments(content)]


def tagged(**settings):
    """Return a JPEG with every kind of metadata, before its image, within it and after it."""
    exif = with_exif_orientation(1)
    exif[0x010E] = "PATIENT"
    exif.get_ifd(0x8825)[1] = "N"
    content = file_of(draw(), "JPEG", exif=exif, icc_profile=srgb_profile(), comment=b"PATIENT", **settings)
    note = b"\xff\xed" + struct.pack(">H", 9) + b"PATIENT"
    scan = content.index(b"\xff\xda")
    return content[:2] + note + content[2:scan] + note + content[scan:] + b"\xff\xd8PATIENT behind the end\xff\xd9"


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"optimize": True}])
def test_the_image_stays_and_the_metadata_goes(settings):
    """The pixels are identical, the scans are the same bytes, and no name, place or profile is left."""
    content = tagged(**settings)
    assert b"PATIENT" in content
    bare = strip_metadata(content)
    assert np.array_equal(decode(bare).pixels, decode(content).pixels)
    assert b"PATIENT" not in bare
    assert {"exif", "icc_profile", "comment", "photoshop"}.isdisjoint(Image.open(io.BytesIO(bare)).info)
    assert not [m for m in markers(bare) if 0xE1 <= m <= 0xEF or m == 0xFE]
    scans = [scan for marker, _, scan in walk_segments(content) if marker == 0xDA]
    assert [scan for marker, _, scan in walk_segments(bare) if marker == 0xDA] == scans
    assert strip_metadata(bare) == bare


def test_a_jfif_thumbnail_goes():
    """JFIF may hold a small copy of the image: its header stays, the copy goes."""
    content = file_of(draw(), "JPEG")
    body = b"JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x02\x02" + b"PATIENT12345"
    head = b"\xff\xe0" + struct.pack(">H", len(body) + 2) + body
    jfxx = b"\xff\xe0" + struct.pack(">H", 10) + b"JFXX\x00\x10XY"
    bare = strip_metadata(content[:2] + head + jfxx + content[20:])
    assert b"PATIENT" not in bare
    assert b"JFXX" not in bare
    assert np.array_equal(decode(bare).pixels, decode(content).pixels)


def test_adobes_color_transform_stays():
    """Without Adobe's segment an RGB JPEG would be read as YCbCr."""
    content = file_of(draw(), "JPEG", keep_rgb=True)
    assert 0xEE in markers(content)
    assert np.array_equal(decode(strip_metadata(content)).pixels, decode(content).pixels)


def test_a_preview_after_the_end_is_removed():
    """Bytes after the end of the image are not copied."""
    content = file_of(draw(), "MPO", save_all=True, append_images=[Image.fromarray(draw(seed=1))])
    bare = strip_metadata(content)
    assert bare.count(b"\xff\xd9") == 1
    assert np.array_equal(decode(bare).pixels, decode(content).pixels)


def test_a_cut_is_noticed_at_any_length():
    """Segments that do not reach an end are a reason."""
    content = file_of(draw(), "JPEG")
    for length in range(2, len(content)):
        with pytest.raises(DecodeFailure):
            strip_metadata(content[:length])
