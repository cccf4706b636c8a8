"""Augmentation: what a camera does, no pixel invented, the same generator the same images."""

import numpy as np
import pytest

from curation.images import camera_view
from training.augment import PLAIN, Augmentation, augment


def make_frames(count: int = 4, seed: int = 1) -> np.ndarray:
    """Return frames of soft random color."""
    coarse = np.random.default_rng(seed).integers(40, 216, (count, 9, 9, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


@pytest.mark.parametrize("side", [96, 48])
def test_no_change_is_the_camera_view(side):
    """Without any change a training image is bit for bit what the board sees."""
    frames = make_frames()
    seen = augment(frames, np.random.default_rng(1), PLAIN, side=side)
    assert np.array_equal(seen, camera_view(frames, side=side))


def test_the_same_generator_gives_the_same_images():
    """A batch is a function of its images and the generator's state."""
    frames = make_frames()
    one, same, other = (augment(frames, np.random.default_rng(seed), Augmentation(), side=48) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_changed_image_is_still_one_the_camera_can_send():
    """The last step is the camera's: an even image, however it is turned, cropped and blurred, is what it sends."""
    frames = np.full((3, 144, 144, 3), 128, np.uint8)
    still = Augmentation(gain=0, offset=0, gamma=0, white=0, noise=0, share=1.0)
    seen = augment(frames, np.random.default_rng(5), still, side=48)
    assert np.array_equal(seen, camera_view(frames, side=48))


def test_a_turned_image_invents_no_pixel():
    """However a bright frame is turned and cropped, no dark corner appears."""
    frames = np.full((40, 144, 144, 3), 248, np.uint8)
    still = Augmentation(gain=0, offset=0, gamma=0, white=0, noise=0, share=1.0, angle=45.0)
    assert augment(frames, np.random.default_rng(2), still, side=96).min() == camera_view(frames, side=96).min()


def test_turns_alone_keep_every_pixel():
    """Flips and quarter turns move pixels and change none."""
    frames = make_frames()
    seen = augment(frames, np.random.default_rng(3), Augmentation(share=0.0), side=48)
    for changed, kept in zip(seen, camera_view(frames, side=48), strict=True):
        assert np.array_equal(np.sort(changed.reshape(-1, 3), axis=0), np.sort(kept.reshape(-1, 3), axis=0))


def test_the_sharpest_images_become_as_soft_as_the_softest():
    """Down- and up-sampling spreads the sharpness of one image so widely that it does not predict the class."""
    frames = np.random.default_rng(4).integers(0, 256, (1, 144, 144, 3), dtype=np.uint8).repeat(40, axis=0)
    blurred = Augmentation(gain=0, offset=0, gamma=0, white=0, noise=0, share=1.0)
    spread = augment(frames, np.random.default_rng(6), blurred, side=96).astype(float).std(axis=(1, 2, 3))
    assert spread.max() / spread.min() > 2
