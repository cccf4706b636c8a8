"""Frames and images, there and back, and what the board's net sees of an image that is given to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation.board.frames import FRAME_BYTES, Frame, encode_png, prepare_frame, read_frame
from curation.errors import CurationError, ErrorCode
from curation.images import camera_view, decode, to_rgb565
from tests.builders import as_bytes, texture


@given(arrays(np.uint8, FRAME_BYTES))
def test_a_png_loses_nothing(noise):
    """Any bytes a camera may give come back from the file they were kept in."""
    frame = Frame(noise.tobytes())
    assert to_rgb565(decode(encode_png(frame)).pixels).tobytes() == frame.packed


@given(arrays(np.uint8, st.tuples(st.integers(2, 300), st.integers(2, 300), st.just(3))), st.sampled_from([96, 48]))
def test_the_net_sees_of_a_given_image_what_training_sees(pixels, side):
    """The view of the frame is the view of the image, bit for bit, whatever its size."""
    frame = prepare_frame(pixels)
    np.testing.assert_array_equal(camera_view(frame.pixels, side=side), camera_view(pixels, side=side))


@given(arrays(np.uint8, FRAME_BYTES))
def test_a_collected_image_is_seen_as_the_board_saw_it(noise):
    """Given back to the board, a frame's middle is the frame's middle."""
    frame = Frame(noise.tobytes())
    again = prepare_frame(frame.pixels)
    np.testing.assert_array_equal(again.pixels[:, 16:160], frame.pixels[:, 16:160])


def test_next_to_the_square_its_edge_goes_on():
    """A bright image stays bright at its sides, so that the board finds it neither dark nor striped."""
    frame = prepare_frame(np.full((50, 80, 3), 255, np.uint8))
    assert (frame.pixels == 255).all()


def test_a_frame_of_another_size_is_a_mistake():
    """The count of bytes is checked where the value is made."""
    with pytest.raises(ValueError, match="50688 bytes, not 3"):
        Frame(b"abc")


def test_any_image_file_can_be_given():
    """A JPEG of any size becomes a frame."""
    assert len(read_frame(as_bytes(texture(1)), name="a.jpg").packed) == FRAME_BYTES


def test_what_is_no_image_is_refused():
    """The error names the file and why."""
    with pytest.raises(CurationError, match=r"notes\.txt") as raised:
        read_frame(b"hello, this is text", name="notes.txt")
    assert raised.value.code is ErrorCode.IMAGE_UNREADABLE
