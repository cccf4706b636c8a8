"""Drawn objects that are framed alike and differ in one place, as cells, gauges and signs of real sets do."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
SIDE = 240
LIMITS = ("20", "30", "50", "60", "70", "80", "90", "100", "120", "130")


def as_shot(drawn: Image.Image, rng: np.random.Generator) -> Picture:
    """Return a drawing as a camera takes it: a little more or less light, from one side, and noise; (h, w, 3) uint8."""
    gray = np.asarray(drawn).astype(np.float64)
    slope = 1 + rng.uniform(-0.03, 0.03) * np.linspace(-1, 1, gray.shape[1])
    shot = gray * rng.uniform(0.95, 1.05) * slope + rng.normal(0, 2, gray.shape)
    return np.repeat(shot.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _ground(rng: np.random.Generator, level: int, spread: int) -> Image.Image:
    coarse = Image.fromarray(rng.random((6, 6), dtype=np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Image.fromarray((level + spread * (np.asarray(coarse) - 0.5)).clip(0, 255).astype(np.uint8))


def gauges(count: int = 24) -> Iterator[Picture]:
    """Yield one gauge at ``count`` readings: only its needle moves."""
    rng = np.random.default_rng(1)
    ground, middle = _ground(rng, 170, 40), SIDE / 2
    for reading in range(count):
        image = ground.copy()
        pen = ImageDraw.Draw(image)
        pen.ellipse((20, 20, SIDE - 20, SIDE - 20), fill=225, outline=40, width=6)
        angle = (0.75 + 1.5 * reading / (count - 1)) * np.pi
        tip = (middle + 85 * np.cos(angle), middle + 85 * np.sin(angle))
        pen.line((middle, middle, *tip), fill=60, width=3)
        yield as_shot(image, rng)


def signs(count: int = 20) -> Iterator[tuple[str, Picture]]:
    """Yield speed limits on one road, as number and image: each number several times."""
    rng = np.random.default_rng(2)
    ground = _ground(rng, 120, 60)
    for number in range(count):
        image, limit = ground.copy(), LIMITS[number % len(LIMITS)]
        pen = ImageDraw.Draw(image)
        pen.ellipse((24, 24, SIDE - 24, SIDE - 24), fill=235, outline=90, width=17)
        pen.text((SIDE / 2, SIDE / 2), limit, fill=40, anchor="mm", font=ImageFont.load_default(SIDE / 3))
        yield limit, as_shot(image, rng)


def cells(count: int = 24, *, contrast: int = 70) -> Iterator[Picture]:
    """Yield one solar cell with another crack each time; the first has none."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    ground = 170 - 40 * (x**4 + y**4)
    ground[np.abs(np.abs(y) - 0.5) < 0.02] = 70
    for number in range(count):
        crack = Image.new("L", (SIDE, SIDE))
        if number:
            angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7, 2) * SIDE
            points = [tuple(place.tolist())]
            for _ in range(6):
                angle += rng.uniform(-0.6, 0.6)
                place = place + SIDE * 0.05 * np.array([np.cos(angle), np.sin(angle)])
                points.append(tuple(place.tolist()))
            ImageDraw.Draw(crack).line(points, fill=contrast, width=2)
        cracked = (ground - np.asarray(crack).astype(np.float64)).clip(0, 255)
        yield as_shot(Image.fromarray(cracked.astype(np.uint8)), rng)
