"""Fax strips, decoded whole or refused."""

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from curation.images import DecodeFailure, decode
from curation.images.ccitt import CCITT, decode_ccitt
from tests.images.builders import draw, file_of, reason_of

NAMES = {"tiff_ccitt": 2, "group3": 3, "group4": 4}


def fax(bits, compression, options=0):
    """Write a bilevel TIFF with libtiff, one strip, and return it with its packed bytes and its page."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[278] = len(bits)
    if compression == "group3":
        info[292] = options
    content = file_of(Image.fromarray(bits), "TIFF", compression=compression, tiffinfo=info)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        start, size = page.dataoffsets[0], page.databytecounts[0]
        return content, content[start : start + size], page


@st.composite
def bilevel(draw_from):
    """Draw an image of runs of any length."""
    width, height = draw_from(st.integers(1, 3000)), draw_from(st.integers(1, 5))
    rows = []
    for _ in range(height):
        row = np.zeros(width, np.bool_)
        for _ in range(draw_from(st.integers(0, 6))):
            start = draw_from(st.integers(0, width - 1))
            row[start : start + draw_from(st.integers(1, width))] ^= True
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("compression", NAMES)
@pytest.mark.parametrize("options", [0, 1, 4, 5])
@settings(max_examples=20)
@given(bits=bilevel())
def test_every_coding_gives_back_what_libtiff_wrote(compression, options, bits):
    """One and two dimensions, runs of 0 to 2,999 pixels of both colors."""
    content, packed, page = fax(bits, compression, options)
    options = page.tags.valueof(292) or 0
    found = decode_ccitt(packed, width=bits.shape[1], rows=len(bits), compression=NAMES[compression], options=options)
    assert np.array_equal(found, bits ^ (page.photometric == 0))
    if min(bits.shape) > 1:
        assert np.array_equal(decode(content).pixels[..., 0] > 0, bits)


BITS = np.asarray(Image.fromarray(draw(160, 96, 12)).convert("L")) > 128


@pytest.mark.parametrize("compression", NAMES)
def test_a_bad_code_is_noticed(compression):
    """libtiff and imagecodecs return blank rows below it."""
    content, packed, _ = fax(BITS, compression)
    start = content.index(packed)
    for share in (0.2, 0.5, 0.7):
        at = start + int(len(packed) * share)
        damaged = content[:at] + bytes(3) + content[at + 3 :]
        assert reason_of(damaged)[0] in ("damaged", "truncated")


@pytest.mark.parametrize("compression", NAMES)
def test_a_strip_that_ends_early_is_truncated(compression):
    """The directory states the shorter length."""
    content, packed, page = fax(BITS, compression)
    counts = page.tags[279]
    for share in (0.1, 0.5, 0.9):
        short = bytearray(content)
        form = {3: "<H", 4: "<I"}[counts.dtype]
        struct.pack_into(form, short, counts.valueoffset, int(len(packed) * share))
        assert reason_of(bytes(short))[0] in ("truncated", "damaged")


@given(st.binary(max_size=60), st.sampled_from(sorted(CCITT)), st.integers(0, 7), st.booleans())
def test_noise_ends(packed, compression, options, reverse_bits):
    """Any bytes give an image or a reason, in one pass."""
    try:
        image = decode_ccitt(
            packed, width=70, rows=9, compression=compression, options=options, reverse_bits=reverse_bits
        )
    except DecodeFailure:
        return
    assert image.shape == (9, 70)
