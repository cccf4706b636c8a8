"""Augments training images as a hand-held camera would change them, and returns the camera's view.

No pixel is invented: a rotated image is cut from inside the frame. Batches are a pure function of their images and of
the generator passed in.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from curation.images import FRAME_SIDE, camera_view
from curation.images.camera import Side

Frames = npt.NDArray[np.uint8]
Generator = np.random.Generator
Tape = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """The range of each change; every default follows from the board's camera.

    Parameters
    ----------
    turns : bool
        Flips and quarter turns: the object has no upright side.
    angle : float
        Largest rotation in degrees, in addition to the quarter turns: the board is held by hand.
    crop : float
        Smallest share of the frame's side that is seen: distance and position vary.
    coarsest : float
        Smallest share of the resolution after down- and up-sampling: the focus is fixed, and the sources differ in
        sharpness, which must not predict the class.
    blur : float
        Largest radius in pixels of the frame of a Gaussian blur: the hand moves.
    gain, offset : float
        Exposure: pixels times 1 +- gain, plus +- offset gray levels.
    gamma : float
        The sensor's tone curve, to the power of 1 +- gamma.
    white : float
        White balance: each channel times 1 +- white.
    noise : float
        Largest standard deviation, in gray levels, of the sensor's noise.
    share : float
        Share of the images that are degraded; the others are only turned, so that the best view is learned too.
    """

    turns: bool = True
    angle: float = 20.0
    crop: float = 0.7
    coarsest: float = 0.2
    blur: float = 1.5
    gain: float = 0.25
    offset: float = 20.0
    gamma: float = 0.2
    white: float = 0.12
    noise: float = 6.0
    share: float = 0.8


PLAIN: Final = Augmentation(turns=False, share=0.0)
"""No change: only the camera's view."""


def augment(frames: Frames, generator: Generator, settings: Augmentation, *, side: Side) -> Frames:
    """Return the frames changed at random and seen through the camera.

    Parameters
    ----------
    frames : (n, 144, 144, 3) uint8 ndarray
        Before RGB565.
    generator : numpy.random.Generator
        The same state gives the same images.
    settings : Augmentation
    side : {96, 48}

    Returns
    -------
    (n, side, side, 3) uint8 ndarray
    """
    # One array of noise for the batch, of which each image takes its own part: generating it is the slowest step.
    tape = generator.standard_normal(2 * frames[0].size, dtype=np.float32)
    changed = np.stack([_change(frame, generator, settings, tape) for frame in frames])
    return camera_view(changed, side=side)


def _change(frame: Frames, generator: Generator, settings: Augmentation, tape: Tape) -> Frames:
    if settings.turns:
        frame = _turn(frame, generator)
    if generator.random() >= settings.share:
        return frame
    image = _reframe(Image.fromarray(np.ascontiguousarray(frame)), generator, settings)
    image = _soften(image, generator, settings)
    return _expose(np.asarray(image), generator, settings, tape)


def _turn(frame: Frames, generator: Generator) -> Frames:
    turned = np.rot90(frame, int(generator.integers(4)))
    mirrored: Frames = turned[:, ::-1] if generator.random() < 0.5 else turned
    return mirrored


def _reframe(image: Image.Image, generator: Generator, settings: Augmentation) -> Image.Image:
    """Cut a turned square from inside the frame and bring it back to the frame's side."""
    radians = np.deg2rad(generator.uniform(-settings.angle, settings.angle))
    cosine, sine = np.cos(radians), np.sin(radians)
    reach = abs(cosine) + abs(sine)
    share = generator.uniform(settings.crop, 1.0) / reach
    spare = (1.0 - share * reach) / 2 * FRAME_SIDE
    middle = FRAME_SIDE / 2 + generator.uniform(-spare, spare, size=2)
    across = share * np.array([cosine, sine])
    left = middle[0] - (across[0] - across[1]) * FRAME_SIDE / 2
    top = middle[1] - (across[0] + across[1]) * FRAME_SIDE / 2
    matrix = (across[0], -across[1], left, across[1], across[0], top)
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _soften(image: Image.Image, generator: Generator, settings: Augmentation) -> Image.Image:
    side = round(FRAME_SIDE * generator.uniform(settings.coarsest, 1.0))
    radius = max(0.0, generator.uniform(-settings.blur, settings.blur))
    if side < FRAME_SIDE:
        small = image.resize((side, side), Image.Resampling.BOX)
        image = small.resize(image.size, Image.Resampling.BILINEAR)
    return image.filter(ImageFilter.GaussianBlur(radius)) if radius > 0 else image


def _expose(pixels: Frames, generator: Generator, settings: Augmentation, tape: Tape) -> Frames:
    """Change exposure, tone curve and white balance by one table a channel, then add noise."""
    gain = 1 + generator.uniform(-settings.gain, settings.gain)
    white = 1 + generator.uniform(-settings.white, settings.white, size=3)
    gamma = 1 + generator.uniform(-settings.gamma, settings.gamma)
    offset = generator.uniform(-settings.offset, settings.offset)
    deviation = generator.uniform(0, settings.noise)
    levels = 255 * (np.arange(256)[:, None] / 255) ** gamma * gain * white + offset
    table = np.clip(np.rint(levels), 0, 255).astype(np.int16)
    seen = np.stack([table[pixels[..., channel], channel] for channel in range(3)], axis=-1)
    start = int(generator.integers(tape.size - pixels.size))
    noise = np.rint(tape[start : start + pixels.size] * np.float32(deviation)).astype(np.int16).reshape(pixels.shape)
    noisy: Frames = np.clip(seen + noise, 0, 255).astype(np.uint8)
    return noisy
