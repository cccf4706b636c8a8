"""Images of different objects that are framed alike, drawn here: gauges, signs and solar cells."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

DRAWN, SIDE = 320, 160


def gauges(count: int) -> list[NDArray[np.uint8]]:
    """Return gauges that differ in where the needle points, by at least six degrees."""
    return [_finish(_gauge(math.radians(135 + 6 * number)), seed=number) for number in range(count)]


def _gauge(angle: float) -> Image.Image:
    image = Image.new("RGB", (DRAWN, DRAWN), (210, 212, 205))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 300, 300), outline=(30, 30, 30), width=8, fill=(240, 240, 235))
    for tick in range(11):
        turn = math.radians(135 + 27 * tick)
        x, y = math.cos(turn), math.sin(turn)
        draw.line((160 + x * 110, 160 + y * 110, 160 + x * 130, 160 + y * 130), fill=(20, 20, 20), width=4)
    draw.text((215, 225), "kPa", font=ImageFont.load_default(size=40), fill=(20, 20, 20), anchor="mm")
    draw.line((160, 160, 160 + math.cos(angle) * 100, 160 + math.sin(angle) * 100), fill=(180, 20, 20), width=6)
    draw.ellipse((150, 150, 170, 170), fill=(20, 20, 20))
    return image


def signs(count: int) -> list[NDArray[np.uint8]]:
    """Return speed signs that differ in their digits."""
    return [_finish(_sign(str(10 + number)), seed=number) for number in range(count)]


def _sign(digits: str) -> Image.Image:
    image = Image.new("RGB", (DRAWN, DRAWN), (90, 110, 140))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 300, 300), fill=(200, 20, 30))
    draw.ellipse((50, 50, 270, 270), fill=(245, 245, 245))
    draw.text((160, 160), digits, font=ImageFont.load_default(size=150), fill=(15, 15, 15), anchor="mm")
    return image


def cells(count: int) -> list[NDArray[np.uint8]]:
    """Return solar cells of grainy silicon; every other one has a crack."""
    return [_cell(number, cracked=number % 2 == 1) for number in range(count)]


def _cell(seed: int, *, cracked: bool) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (DRAWN, DRAWN), (120, 120, 120))
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 8, 312, 312), fill=(150, 150, 150))
    for across in (80, 160, 240):
        draw.line((across, 8, across, 312), fill=(60, 60, 60), width=6)
    if cracked:
        x, y = random.uniform(60, 260, 2)
        turn, points = random.uniform(0, math.pi), [(x, y)]
        for _ in range(6):
            turn += random.normal(0, 0.4)
            x, y = x + math.cos(turn) * 18, y + math.sin(turn) * 18
            points.append((x, y))
        draw.line(points, fill=(50, 50, 50), width=4)
    grain = Image.fromarray(random.integers(0, 256, (20, 20), dtype=np.uint8)).resize(
        (DRAWN, DRAWN), Image.Resampling.BICUBIC
    )
    levels = np.asarray(image).astype(np.float64) + (np.asarray(grain).astype(np.float64)[..., None] - 128) * 0.06
    return _finish(Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)), seed=seed)


def _finish(image: Image.Image, *, seed: int) -> NDArray[np.uint8]:
    """Return an image at its size, with the noise of a camera: (SIDE, SIDE, 3) uint8."""
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 3, (SIDE, SIDE, 1))
    return np.clip(small + noise, 0, 255).astype(np.uint8)
