"""The camera's view, against an implementation that shares nothing with it, and golden vectors."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.images import (
    INPUT_SCALE,
    INPUT_ZERO_POINT,
    area_average_144,
    box_3_2,
    box_3_3,
    camera_view,
    center_square,
    from_rgb565,
    to_rgb565,
    to_tensor,
)

PIXELS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def counted(height, width):
    """Return an image made by arithmetic that any language can repeat: (7 x + 13 y + 5 x y + 85 c) mod 256."""
    y, x, c = np.ogrid[:height, :width, :3]
    return ((7 * x + 13 * y + 5 * x * y + 85 * c) % 256).astype(np.uint8)


def view_slowly(image, side):
    """See an image as the board does, one pixel at a time, as a C programmer would write it."""
    height, width, _ = image.shape
    n = min(height, width)
    top, left = (height - n) // 2, (width - n) // 2
    frame = np.zeros((144, 144, 3), int)
    for y in range(144):
        for x in range(144):
            for c in range(3):
                total = 0
                for i in range(y * n // 144, -(-(y + 1) * n // 144)):
                    high = min((y + 1) * n, (i + 1) * 144) - max(y * n, i * 144)
                    for j in range(x * n // 144, -(-(x + 1) * n // 144)):
                        wide = min((x + 1) * n, (j + 1) * 144) - max(x * n, j * 144)
                        total += high * wide * int(image[top + i, left + j, c])
                frame[y, x, c] = (2 * total + n * n) // (2 * n * n)
    for y in range(144):
        for x in range(144):
            r, g, b = frame[y, x]
            word = (r // 8) * 2048 + (g // 4) * 32 + b // 8
            r5, g6, b5 = word // 2048, word // 32 % 64, word % 32
            frame[y, x] = r5 * 8 + r5 // 4, g6 * 4 + g6 // 16, b5 * 8 + b5 // 4
    result = np.zeros((side, side, 3), int)
    for y in range(side):
        for x in range(side):
            if side == 48:
                result[y, x] = (frame[3 * y : 3 * y + 3, 3 * x : 3 * x + 3].sum(axis=(0, 1)) + 4) // 9
                continue
            rows = [(3 * (y // 2) + 2 * (y % 2), 2), (3 * (y // 2) + 1, 1)]
            columns = [(3 * (x // 2) + 2 * (x % 2), 2), (3 * (x // 2) + 1, 1)]
            result[y, x] = (sum(a * b * frame[i, j] for i, a in rows for j, b in columns) + 4) // 9
    return result


@pytest.mark.parametrize("side", [96, 48])
@pytest.mark.parametrize("size", [(144, 176), (60, 50), (200, 150)])
def test_the_view_is_what_a_slow_loop_sees(side, size):
    """Equal, bit for bit, to loops over single pixels: a QCIF frame, an enlarged image and a reduced one."""
    image = counted(*size)
    assert np.array_equal(camera_view(image, side=side), view_slowly(image, side))


@pytest.mark.parametrize(
    ("size", "side", "first", "digest"),
    [
        (
            (144, 176),
            96,
            "93923a9c9d47adac527fb95f",
            "3455929904e1e98890502a740a5662e3e6eb7cb2c3424dd1405e40ce33a7cca4",
        ),
        (
            (144, 176),
            48,
            "8483838ba84f78af759b449a",
            "e805c515888a1a4f6e856e9432b300c61acc4408f4906428d85ac8e3c2f63292",
        ),
        (
            (128, 128),
            96,
            "045bb20b65bb1b70c8227cd4",
            "9ffcaacef989bfa02566f2eda4b23dd9f9c69b60ead8176c42fbae5c7a60e88e",
        ),
        (
            (128, 128),
            48,
            "116ac13188bf4fa797709e7a",
            "fb3964f3b48a2899f936a258d17dd0864f910fda4a715ba1c0db0a99ef29ce23",
        ),
        ((96, 128), 96, "82ad2985b22e90bb3a96c13c", "04bad03b429c44989913ab078b3c1fb2bcaa23c5"),
        ((96, 128), 48, "a5794cb88b5f8a9f725cb287", "c8fc9b99eef9e5caee7d408ac0c5bfed18afc414"),
        (
            (451, 600),
            96,
            "5a878979818b78798b6f8a7e",
            "02063a9a278e35b1f7bfe0b91b35f808b7c766e26ed948e9b2f6bbf22f697dd6",
        ),
        (
            (451, 600),
            48,
            "7484867983858c876f777988",
            "208bae236a3b821c9854b357fd56eec05ca2869a36155c28bcb4cde7752e5257",
        ),
    ],
)
def test_golden_vectors(size, side, first, digest):
    """The first four pixels and how the sha256 of the counted image's whole view begins.

    Made by the slow loops above, not by the code under test.
    """
    view = camera_view(counted(*size), side=side)
    assert view[0, :4].tobytes().hex() == first
    assert hashlib.sha256(view.tobytes()).hexdigest().startswith(digest)


@given(st.integers(2, 60), st.integers(2, 60))
def test_the_square_is_the_largest_and_in_the_middle(height, width):
    """The widths cropped on the two sides differ by one pixel at most."""
    y, x = np.indices((height, width))
    square = center_square(np.stack([y, x, y], axis=-1).astype(np.uint8))
    side = min(height, width)
    assert square.shape == (side, side, 3)
    top, left = int(square[0, 0, 0]), int(square[0, 0, 1])
    assert (height - side - top) - top in (0, 1)
    assert (width - side - left) - left in (0, 1)


def test_a_frame_of_the_camera_is_not_averaged():
    """A QCIF frame's square is 144 pixels high already."""
    frame = counted(144, 176)
    assert np.array_equal(area_average_144(center_square(frame)), frame[:, 16:160])


def test_rgb565_keeps_the_high_bits_of_every_color():
    """Every green with a good many reds and blues: high byte first, 5, 6 and 5 bits, and back by bit replication."""
    every, many = np.arange(256, dtype=np.uint8), np.arange(0, 256, 5, dtype=np.uint8)
    colors = np.stack(np.meshgrid(many, every, many, indexing="ij"), axis=-1)
    packed = to_rgb565(colors)
    word = packed[..., 0].astype(np.uint16) * 256 + packed[..., 1]
    r, g, b = (colors[..., channel].astype(np.uint16) for channel in range(3))
    assert np.array_equal(word, (r >> 3 << 11) | (g >> 2 << 5) | (b >> 3))
    back = from_rgb565(packed)
    assert np.array_equal(to_rgb565(back), packed)
    assert np.abs(back.astype(np.int16) - colors).max() <= 7
    assert np.array_equal(from_rgb565(np.array([[[0xFF, 0xFF], [0, 0]]], np.uint8)), [[[255] * 3, [0] * 3]])


@given(PIXELS)
def test_boxes_are_means_of_ninths(block):
    """Any image repeated to multiples of 3: each output pixel is (weighted sum + 4) // 9."""
    image = np.tile(block, (3, 3, 1))
    wide = image.astype(int)
    for y in range(image.shape[0] // 3):
        for x in range(image.shape[1] // 3):
            a = wide[3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
            assert np.array_equal(box_3_3(image)[y, x], (a.sum(axis=(0, 1)) + 4) // 9)
            top_left = 4 * a[0, 0] + 2 * a[0, 1] + 2 * a[1, 0] + a[1, 1]
            bottom_right = 4 * a[2, 2] + 2 * a[2, 1] + 2 * a[1, 2] + a[1, 1]
            assert np.array_equal(box_3_2(image)[2 * y, 2 * x], (top_left + 4) // 9)
            assert np.array_equal(box_3_2(image)[2 * y + 1, 2 * x + 1], (bottom_right + 4) // 9)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(2, 40), st.integers(2, 40), st.just(3))))
def test_a_batch_is_its_images(batch):
    """Every step gives for a batch what it gives for each image alone."""
    for side in (96, 48):
        views = camera_view(batch, side=side)
        assert views.shape == (len(batch), side, side, 3)
        assert views.dtype == np.uint8
        for image, view in zip(batch, views, strict=True):
            assert np.array_equal(camera_view(image, side=side), view)


def test_the_tensor_is_the_pixel_with_its_sign_bit_turned():
    """q = pixel XOR 0x80 is (pixel / 255) at scale 1/255 and zero point -128, for every pixel there is."""
    pixels = np.arange(256, dtype=np.uint8)
    tensor = to_tensor(pixels)
    assert tensor.dtype == np.int8
    assert np.array_equal(tensor, pixels.astype(int) - 128)
    assert np.allclose((tensor.astype(float) - INPUT_ZERO_POINT) * INPUT_SCALE, pixels / 255)
