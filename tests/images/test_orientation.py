"""The eight orientations as a group."""

import numpy as np
import pytest
from PIL import Image

from curation.images.orientation import INVERSE, SYMMETRIES, turn

IMAGE = np.arange(3 * 4 * 2).reshape(3, 4, 2)


@pytest.mark.parametrize("k", range(8))
def test_turning_back_gives_the_image_again(k):
    """INVERSE undoes turn, from either side."""
    assert np.array_equal(turn(turn(IMAGE, k), INVERSE[k]), IMAGE)
    assert np.array_equal(turn(turn(IMAGE, INVERSE[k]), k), IMAGE)


@pytest.mark.parametrize("k", range(1, 8))
def test_the_names_are_pillows(k):
    """Each orientation is Pillow's transposition of that name."""
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pillow = Image.fromarray(image).transpose(Image.Transpose[SYMMETRIES[k].upper()])
    assert np.array_equal(turn(image, k), np.asarray(pillow))


def test_the_orientations_are_eight_and_differ():
    """No two orientations of an image without symmetry are equal."""
    square = np.arange(9).reshape(3, 3)
    assert len({turn(square, k).tobytes() for k in range(len(SYMMETRIES))}) == 8


@pytest.mark.parametrize("k", [-1, 8])
def test_a_ninth_orientation_is_refused(k):
    """There are eight orientations."""
    with pytest.raises(ValueError, match="8 orientations"):
        turn(IMAGE, k)
