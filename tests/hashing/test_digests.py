"""Digests of bytes and pixels."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.hashing import pixel_sha256, sha256_hex


@given(st.binary())
def test_bytes_have_the_sha256_of_the_standard(content):
    """64 hex digits, as sha256sum prints them."""
    assert sha256_hex(content) == hashlib.sha256(content).hexdigest()


def test_pixels_are_known_by_shape_type_and_value():
    """The same bytes in another shape or type are other pixels."""
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    others = [pixels.reshape(2, 8), pixels.view(np.int8), pixels.view(np.uint16), pixels[::-1], pixels[..., None]]
    assert len({pixel_sha256(image) for image in [pixels, *others]}) == 6


def test_memory_layout_and_byte_order_make_no_difference():
    """The same pixels have one digest, however they lie in memory."""
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7), dtype=np.uint16)
    laid_out = [np.asfortranarray(pixels), pixels.astype(">u2"), np.repeat(pixels, 2, axis=1)[:, ::2]]
    assert {pixel_sha256(image) for image in laid_out} == {pixel_sha256(pixels)}


def test_the_digest_is_the_same_for_ever():
    """A golden value: stored digests must stay comparable."""
    digest = hashlib.sha256(b"(2, 3)|u1\n" + bytes(range(6))).hexdigest()
    assert pixel_sha256(np.arange(6, dtype=np.uint8).reshape(2, 3)) == digest


def test_objects_are_refused():
    """Their bytes would be addresses."""
    with pytest.raises(TypeError, match="objects"):
        pixel_sha256(np.array([[None]]))
