"""LZW that would make its decoder read uninitialized memory is distinguished from unusual but valid LZW."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from curation.images.lzw import is_safe_lzw
from tests.images.builders import reason_of, strip_tiff

CLEAR, END = 256, 257


def pack(codes: list[int], *, old: bool = False) -> bytes:
    """Return codes as LZW writes them, with the widths a decoder expects."""
    value, length, size = 0, 0, 258
    for code in codes:
        wide = next((bits for bits in (9, 10, 11) if size < (1 << bits) - (0 if old else 1)), 12)
        value = value | code << length if old else value << wide | code
        length += wide
        size = 257 if code == CLEAR else size + 1
    whole = -(-length // 8)
    return value.to_bytes(whole, "little") if old else (value << 8 * whole - length).to_bytes(whole, "big")


def slowly(codes: list[int]) -> bool:
    """The module's promise as the simplest code."""
    since, cleared = 0, False
    for code in codes:
        if code == CLEAR:
            since, cleared = 0, True
        elif code == END:
            return True
        elif cleared and code > END:
            return False
        else:
            since, cleared = since + 1, False
            if since == 255:
                return True
    return True


@pytest.mark.parametrize("size", [1, 2, 250, 5000, 60_000])
@pytest.mark.parametrize("seed", range(4))
def test_what_encoders_write_is_safe(seed, size):
    """Noise, a ramp and blank strips of any length, as they are and with their bits reversed."""
    noise = np.random.default_rng(seed).integers(0, (2, 16, 256, 1)[seed], size, np.uint8).tobytes()
    packed = imagecodecs.lzw_encode(noise)
    assert is_safe_lzw(packed)
    assert is_safe_lzw(bytes(int(f"{byte:08b}"[::-1], 2) for byte in packed), reverse_bits=True)


def test_what_libtiff_writes_is_safe():
    """Its encoder clears early where a strip suddenly packs badly."""
    from PIL import Image

    blank_then_noise = np.zeros((400, 300), np.uint8)
    blank_then_noise[200:] = np.random.default_rng(1).integers(0, 256, (200, 300), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blank_then_noise).save(buffer, "TIFF", compression="tiff_lzw", tiffinfo={278: 400})
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        page = file.pages[0]
        strips = [
            buffer.getvalue()[at : at + size] for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    assert all(map(is_safe_lzw, strips))


@given(
    st.lists(st.sampled_from([CLEAR, END, 0, 255, 258, 511]) | st.integers(0, 511), max_size=6),
    st.integers(0, 300),
    st.lists(st.sampled_from([CLEAR, 258, 511, 7]), max_size=4),
    st.booleans(),
)
def test_the_fast_check_agrees_with_one_code_by_code(first, fill, after, old):
    """For any codes, in either order of bits, the fast check agrees with one code by code."""
    codes = [CLEAR, *first, *[1] * fill, *after]
    packed = pack(codes, old=old)
    if old != (packed[:1] == b"\0" and len(packed) > 1 and packed[1] & 1 == 1):
        return  # the first codes make it look like the other order, also to the decoder
    # The padding of the last byte may read as a code, which is not a clear.
    assert is_safe_lzw(packed) == slowly(codes)


def test_a_strip_that_would_end_the_process_is_damage():
    """The first code names an unwritten entry; imagecodecs read from arbitrary memory."""
    for codes in ([CLEAR, 400, 300, 300, 300], [CLEAR, 5, CLEAR, 400, 300, 300, 300]):
        packed = pack(codes)
        assert not is_safe_lzw(packed)
        assert reason_of(strip_tiff(64, 64, packed, compression=5)) == ("damaged", "tiff")
        tiled = io.BytesIO()
        tifffile.imwrite(tiled, np.zeros((16, 16), np.uint8), tile=(16, 16), compression="lzw")
        with tifffile.TiffFile(io.BytesIO(tiled.getvalue())) as file:
            at, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        broken = tiled.getvalue()[:at] + packed[:size].ljust(size, b"\0") + tiled.getvalue()[at + size :]
        assert reason_of(broken) == ("damaged", "tiff")
