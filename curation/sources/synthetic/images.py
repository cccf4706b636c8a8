"""Images that look like dermoscopy, of lesions and bare skin, generated from a random generator alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curation.sources.synthetic.texture import (
    Field,
    between,
    chance,
    clouds,
    direction,
    dots,
    fractal,
    pick,
    plane,
    scatter,
    smoothstep,
    soften,
)

Lesion = Literal["melanoma", "nevus", "seborrheic keratosis"]
Pixels = NDArray[np.uint8]
Colour = tuple[float, float, float]

SKINS: tuple[Colour, ...] = (
    (0.96, 0.74, 0.70),
    (0.93, 0.62, 0.53),
    (0.84, 0.76, 0.66),
    (0.76, 0.73, 0.78),
    (0.95, 0.87, 0.78),
    (0.72, 0.64, 0.60),
    (0.97, 0.70, 0.74),
    (0.66, 0.66, 0.66),
    (0.85, 0.66, 0.50),
)

TAN, BROWN, DARK, BLACK = (0.72, 0.51, 0.34), (0.50, 0.30, 0.18), (0.29, 0.16, 0.11), (0.13, 0.09, 0.09)
BLUE, RED, SCAR = (0.42, 0.44, 0.53), (0.74, 0.36, 0.33), (0.86, 0.79, 0.77)
ROSE, GREY, YELLOW = (0.70, 0.45, 0.38), (0.55, 0.47, 0.42), (0.74, 0.60, 0.40)


@dataclass(frozen=True)
class Character:
    """What makes one kind of lesion: ranges are drawn from evenly, strengths are in 0..1."""

    pigments: tuple[Colour, ...]
    colors: tuple[int, int]
    lobes: tuple[int, int]
    rough: tuple[float, float]
    edge: tuple[float, float]
    opacity: tuple[float, float]
    net: float
    net_jitter: float
    globules: float
    milia: float


CHARACTERS: Mapping[Lesion, Character] = {
    "melanoma": Character(
        pigments=(TAN, BROWN, BROWN, DARK, DARK, BLACK, BLUE, RED, SCAR),
        colors=(4, 6),
        lobes=(2, 4),
        rough=(0.25, 0.5),
        edge=(0.3, 0.8),
        opacity=(0.75, 0.97),
        net=0.55,
        net_jitter=1.0,
        globules=0.7,
        milia=0.0,
    ),
    "nevus": Character(
        pigments=(TAN, BROWN, DARK, ROSE),
        colors=(2, 2),
        lobes=(1, 1),
        rough=(0.08, 0.2),
        edge=(0.2, 0.5),
        opacity=(0.55, 0.9),
        net=0.45,
        net_jitter=0.55,
        globules=0.25,
        milia=0.0,
    ),
    "seborrheic keratosis": Character(
        pigments=(TAN, GREY, YELLOW, BROWN),
        colors=(2, 3),
        lobes=(1, 2),
        rough=(0.2, 0.35),
        edge=(0.04, 0.1),
        opacity=(0.6, 0.9),
        net=0.3,
        net_jitter=1.0,
        globules=0.15,
        milia=0.9,
    ),
}


def draw_lesion(rng: np.random.Generator, label: Lesion, size: tuple[int, int]) -> Pixels:
    """Return a drawn lesion on skin.

    Parameters
    ----------
    size : (width, height) in pixels

    Returns
    -------
    (height, width, 3) uint8 ndarray, sRGB
    """
    shape = (size[1], size[0])
    character = CHARACTERS[label]
    image = _skin(rng, shape, texture=between(rng, 0.5, 1.0))
    inside = _outline(rng, shape, character)
    image = _pigment(rng, image, inside, character)
    image = _marks(rng, image, inside, character)
    if chance(rng, 0.4):
        image = _hairs(rng, image, count=1 + pick(rng, 6))
    if chance(rng, 0.2):
        image = _bubbles(rng, image)
    if chance(rng, 0.18):
        image = _tube(rng, image)
    return _develop(rng, image)


def draw_skin(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Return skin without a lesion, of twice the size of a patch each way, to be cut into four patches.

    Parameters
    ----------
    size : (width, height) of one patch in pixels

    Returns
    -------
    (2 * height, 2 * width, 3) uint8 ndarray, sRGB
    """
    shape = (2 * size[1], 2 * size[0])
    image = _skin(rng, shape, texture=between(rng, 1.1, 1.9))
    image = _creases(rng, image)
    if chance(rng, 0.5):
        image = _vessels(rng, image)
    if chance(rng, 0.35):
        image = _hairs(rng, image, count=2 + pick(rng, 5))
    if chance(rng, 0.25):
        image = _bubbles(rng, image)
    return _develop(rng, image)


def _skin(rng: np.random.Generator, shape: tuple[int, int], *, texture: float) -> Field:
    """Return bare skin: tone, uneven light, mottled redness, pores and grain; ``texture`` scales all but the light."""
    tone = SKINS[pick(rng, len(SKINS))]
    x, y = plane(shape)
    along, across = direction(rng)
    light = 1.0 + between(rng, 0.02, 0.16) * (x * along + y * across) + 0.05 * fractal(rng, shape, 2.0, 2)
    mottle = fractal(rng, shape, between(rng, 4.0, 9.0), 3) * (0.055 * texture)
    redness = fractal(rng, shape, between(rng, 3.0, 7.0), 3) * (0.05 * texture)
    pits = dots(rng, shape, between(rng, 18.0, 36.0), share=0.6) * (0.05 * texture)
    grain = fractal(rng, shape, min(shape) / 4.0, 2) * (0.03 * texture)
    value = light + mottle - pits + grain
    jitter = [between(rng, -0.04, 0.04) for _ in range(3)]
    channels = [(tone[0] + jitter[0]) * value]
    channels += [(tone[k] + jitter[k]) * (value - redness - 0.5 * pits) for k in (1, 2)]
    return np.stack(channels, axis=2)


def _outline(rng: np.random.Generator, shape: tuple[int, int], character: Character) -> Field:
    """Return how deep inside the lesion a pixel lies: 0 at the edge, 1 at the middle, negative outside."""
    x, y = plane(shape)
    wide, high = shape[1] / min(shape), shape[0] / min(shape)
    centre = (between(rng, -0.2, 0.2) * wide, between(rng, -0.2, 0.2) * high)
    radius = between(rng, 0.15, 0.42)
    depth = np.full(shape, -9.0)
    for lobe in range(character.lobes[0] + pick(rng, character.lobes[1] - character.lobes[0] + 1)):
        cos, sin = direction(rng)
        far = radius * between(rng, 0.4, 0.95) if lobe else 0.0
        dx, dy = x - centre[0] - cos * far, y - centre[1] - sin * far
        size = radius * (between(rng, 0.35, 0.75) if lobe else 1.0)
        cos, sin = direction(rng)
        flat = between(rng, 0.6, 1.0)
        u, v = (dx * cos + dy * sin) / size, (dy * cos - dx * sin) / (size * flat)
        depth = np.maximum(depth, 1.0 - np.sqrt(u * u + v * v))
    rough = between(rng, *character.rough)
    waves = fractal(rng, shape, between(rng, 2.5, 5.0) / max(radius, 0.2), 3)
    return depth + rough * waves + 0.06 * fractal(rng, shape, 40.0, 1)


def _pigment(rng: np.random.Generator, image: Field, inside: Field, character: Character) -> Field:
    """Return the image with the lesion's colors laid over the skin."""
    shape = (image.shape[0], image.shape[1])
    order = list(character.pigments)
    count = character.colors[0] + pick(rng, character.colors[1] - character.colors[0] + 1)
    chosen = [order.pop(pick(rng, len(order))) for _ in range(count)]
    paint = np.empty_like(image)
    paint[:] = chosen[0]
    for color in chosen[1:]:
        patch = smoothstep(fractal(rng, shape, between(rng, 3.0, 8.0), 3) + 0.3 * inside, -0.2, 0.7)
        paint = paint + (np.array(color) - paint) * patch[:, :, None]
    paint = paint * (1.0 + 0.16 * fractal(rng, shape, 18.0, 3))[:, :, None]
    cover = smoothstep(inside, 0.0, between(rng, *character.edge))
    # Pigment is never even: let the skin shine through in clouds.
    uneven = 1.0 - 0.35 * smoothstep(fractal(rng, shape, 6.0, 2), 0.0, 0.8)
    cover = cover * between(rng, *character.opacity) * uneven
    return image + (paint - image) * cover[:, :, None]


def _marks(rng: np.random.Generator, image: Field, inside: Field, character: Character) -> Field:
    """Return the image with network, globules and milia, as far as the lesion's character has them."""
    shape = (image.shape[0], image.shape[1])
    body = smoothstep(inside, 0.0, 0.3)
    net = scatter(rng, shape, between(rng, 24.0, 38.0), jitter=character.net_jitter)
    lines = 1.0 - smoothstep(net.second - net.nearest, 0.0, 0.5)
    where = smoothstep(fractal(rng, shape, 4.0, 2), -0.3, 0.8) * body
    image = image * (1.0 - character.net * between(rng, 0.4, 1.0) * lines * where)[:, :, None]
    globules = dots(rng, shape, between(rng, 16.0, 28.0), share=0.5) * smoothstep(inside, 0.1, 0.25)
    image = image + (np.array(DARK) - image) * (0.8 * character.globules * globules)[:, :, None]
    if character.milia == 0.0:
        return image
    pearls = dots(rng, shape, between(rng, 10.0, 16.0), share=0.5) * body
    return image + (np.array((0.93, 0.88, 0.76)) - image) * (0.75 * character.milia * pearls)[:, :, None]


def _hairs(rng: np.random.Generator, image: Field, *, count: int) -> Field:
    """Return the image with bent hairs across it."""
    x, y = plane((image.shape[0], image.shape[1]))
    pixel = 1.0 / min(image.shape[:2])
    shade = np.array((0.16, 0.11, 0.09)) if chance(rng, 0.75) else np.array((0.80, 0.68, 0.50))
    for _ in range(count):
        cos, sin = direction(rng)
        along, off = x * cos + y * sin, y * cos - x * sin
        bend, at = between(rng, -0.7, 0.7), between(rng, -0.55, 0.55)
        gap = np.abs(off - at - bend * along * along)
        thick = between(rng, 0.1, 0.9) * pixel
        start, length = between(rng, -0.8, 0.3), between(rng, 0.35, 1.3)
        ends = smoothstep(along, start, start + 0.05) * (1.0 - smoothstep(along, start + length, start + length + 0.05))
        hair = (1.0 - smoothstep(gap, thick, thick + 1.2 * pixel)) * ends * between(rng, 0.5, 0.95)
        image = image + (shade - image) * hair[:, :, None]
    return image


def _bubbles(rng: np.random.Generator, image: Field) -> Field:
    """Return the image with a few bubbles of the immersion fluid: bright rings with a dark edge."""
    x, y = plane((image.shape[0], image.shape[1]))
    for _ in range(1 + pick(rng, 4)):
        dx, dy = x - between(rng, -0.5, 0.5), y - between(rng, -0.5, 0.5)
        ring = np.abs(np.sqrt(dx * dx + dy * dy) - between(rng, 0.015, 0.05))
        bright = 1.0 - smoothstep(ring, 0.002, 0.010)
        dark = smoothstep(ring, 0.006, 0.010) * (1.0 - smoothstep(ring, 0.010, 0.018))
        image = image * (1.0 - 0.12 * dark)[:, :, None]
        image = image + (1.0 - image) * (0.35 * bright)[:, :, None]
    return image


def _tube(rng: np.random.Generator, image: Field) -> Field:
    """Return the image as seen down the dermoscope's tube: black beyond a circle."""
    x, y = plane((image.shape[0], image.shape[1]))
    dx, dy = x - between(rng, -0.05, 0.05), y - between(rng, -0.05, 0.05)
    distance = np.sqrt(dx * dx + dy * dy)
    edge = between(rng, 0.5, 0.62)
    seen = (1.0 - smoothstep(distance, edge, edge + 0.03)) * (1.0 - 0.35 * smoothstep(distance, 0.2, edge))
    return image * seen[:, :, None] + 0.03


def _creases(rng: np.random.Generator, image: Field) -> Field:
    """Return the skin with the creases between its fields, and folds in one direction."""
    shape = (image.shape[0], image.shape[1])
    fields = scatter(rng, shape, between(rng, 14.0, 40.0))
    strength = between(rng, 0.03, 0.1) * clouds(rng, shape, 4.0) * 2.0
    crease = (1.0 - smoothstep(fields.second - fields.nearest, 0.0, 0.5)) * strength
    hills = (fields.lot - 0.5) * between(rng, 0.01, 0.05)
    folds = np.abs(fractal(rng, shape, between(rng, 3.0, 6.0), 2))
    fold = (1.0 - smoothstep(folds, 0.0, 0.12)) * between(rng, 0.0, 0.1)
    return image * (1.0 - crease + hills - fold)[:, :, None]


def _vessels(rng: np.random.Generator, image: Field) -> Field:
    """Return the skin with faint red vessels shining through."""
    shape = (image.shape[0], image.shape[1])
    ridge = np.abs(fractal(rng, shape, between(rng, 4.0, 8.0), 3))
    here = smoothstep(clouds(rng, shape, 3.0), 0.4, 0.65)
    vessel = (1.0 - smoothstep(ridge, 0.0, 0.1)) * here * between(rng, 0.1, 0.3)
    return image + (np.array((0.68, 0.30, 0.30)) - image) * vessel[:, :, None]


def _develop(rng: np.random.Generator, image: Field) -> Pixels:
    """Return the 8-bit image: a lens's softness and a sensor's noise, then rounded."""
    image = image + (soften(image, 1) - image) * between(rng, 0.2, 0.9)
    image = image * between(rng, 0.86, 1.06)
    noise = (rng.random(image.shape) - 0.5) * between(rng, 0.01, 0.03)
    # Rounded twice on purpose: what a processor might still do to the last bits must not reach a pixel.
    levels = np.floor(np.round((image + noise) * 255.0, 6) + 0.5)
    return np.clip(levels, 0.0, 255.0).astype(np.uint8)
