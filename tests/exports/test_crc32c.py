"""The checksum of TFRecord files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.exports.crc32c import crc32c, mask


def bit_by_bit(content: bytes) -> int:
    """Return the CRC-32C by its definition."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("content", "crc"),
    [
        (b"", 0),
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_published_examples_come_out(content, crc):
    """The examples of RFC 3720, appendix B.4, have the checksums that stand there."""
    assert crc32c(content) == crc


@given(st.binary(max_size=700))
def test_rows_joined_are_the_same_as_bits_in_turn(content):
    """However many bytes there are, the checksum is that of the definition."""
    assert crc32c(content) == bit_by_bit(content)


def test_a_mask_stays_within_32_bits():
    """The sum wraps, as it does in TensorFlow's own 32-bit arithmetic."""
    assert mask(0) == 0xA282EAD8
    assert mask(0xFFFFFFFF) == 0xA282EAD7
