"""Noise fields that every machine computes alike: the paper, pores, nets and hairs of the drawn images.

Only ``+ - * /``, ``sqrt``, comparisons and the plain draws of the generator are used, elementwise. IEEE 754 fixes
those to the last bit; ``exp``, ``sin`` and sums of floats differ between processors, and a pixel would follow them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Distances to scattered points, in units of the mean point spacing.

    Parameters
    ----------
    nearest, second : (h, w) float64 ndarray
        Distance to the nearest and to the second nearest point.
    lot : (h, w) float64 ndarray
        A number in 0..1 that belongs to the nearest point.
    """

    nearest: Field
    second: Field
    lot: Field


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number in ``low..high``; unlike ``Generator.uniform`` without a fused multiply-add."""
    return low + (high - low) * float(rng.random())


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with a probability in 0..1."""
    return float(rng.random()) < probability


def pick(rng: np.random.Generator, count: int) -> int:
    """Return one of ``0..count-1``."""
    return min(int(float(rng.random()) * count), count - 1)


def direction(rng: np.random.Generator) -> tuple[float, float]:
    """Return a unit vector, evenly spread over the angles, without a sine."""
    while True:
        x, y = between(rng, -1.0, 1.0), between(rng, -1.0, 1.0)
        length = x * x + y * y
        if 0.01 < length <= 1.0:
            root = float(np.sqrt(length))
            return x / root, y / root


def plane(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Return the x and y of every pixel, centered, the shorter side being 1 long."""
    height, width = shape
    short = min(shape)
    x = (np.arange(width) + 0.5 - width / 2.0) / short
    y = (np.arange(height) + 0.5 - height / 2.0) / short
    return np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)


def smoothstep(field: Field, low: float, high: float) -> Field:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between."""
    t = np.clip((field - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Field:
    """Return smooth noise in 0..1 with ``cells`` bumps along the shorter side (a quadratic B-spline over a grid)."""
    height, width = shape
    scale = cells / min(shape)
    grid = rng.random((int(height * scale) + 4, int(width * scale) + 4))
    rows, down = _spline(height, scale, float(rng.random()))
    columns, across = _spline(width, scale, float(rng.random()))
    tall = grid[rows] * down[0][:, None] + grid[rows + 1] * down[1][:, None] + grid[rows + 2] * down[2][:, None]
    return np.asarray(
        tall[:, columns] * across[0] + tall[:, columns + 1] * across[1] + tall[:, columns + 2] * across[2]
    )


def fractal(rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int) -> Field:
    """Return clouds upon clouds, about -1..1, each octave half as strong and twice as fine."""
    total = np.zeros(shape)
    strength = 1.0
    for octave in range(octaves):
        total = total + (clouds(rng, shape, cells * 2**octave) - 0.5) * (2.0 * strength)
        strength = strength / 2.0
    return total


def scatter(rng: np.random.Generator, shape: tuple[int, int], cells: float, *, jitter: float = 1.0) -> Cells:
    """Return the distances to points, one in each square of a bent grid with ``cells`` squares along the shorter side.

    Method: S. Worley, "A cellular texture basis function", SIGGRAPH 1996. A smaller ``jitter`` is more regular.
    """
    height, width = shape
    scale = cells / min(shape)
    size = (int(height * scale) + 6, int(width * scale) + 6)
    off_y, off_x, lots = (rng.random(size).ravel() for _ in range(3))
    y = (np.arange(height) + 0.5)[:, None] * scale + 2.0 + 1.2 * (clouds(rng, shape, cells / 4.0) - 0.5)
    x = (np.arange(width) + 0.5) * scale + 2.0 + 1.2 * (clouds(rng, shape, cells / 4.0) - 0.5)
    row, column = y.astype(np.int64), x.astype(np.int64)
    # Positions within the square, so that a neighbour's offset is a constant.
    y, x, home = y - row, x - column, row * size[1] + column
    nearest, second = np.full(shape, 9.0), np.full(shape, 9.0)
    lot = np.zeros(shape)
    margin = (1.0 - jitter) / 2.0
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            at = home + (i * size[1] + j)
            dy = off_y[at] * jitter + (i + margin) - y
            dx = off_x[at] * jitter + (j + margin) - x
            distance = dy * dy + dx * dx
            lot = np.where(distance < nearest, lots[at], lot)
            second = np.minimum(second, np.maximum(distance, nearest))
            nearest = np.minimum(nearest, distance)
    return Cells(nearest=np.sqrt(nearest), second=np.sqrt(second), lot=lot)


def dots(rng: np.random.Generator, shape: tuple[int, int], cells: float, *, share: float) -> Field:
    """Return round dots of differing size, 1 in their middle and 0 between them.

    One may stand in each square of a grid with ``cells`` squares along the shorter side; a ``share`` of them does.
    A dot never leaves its square, so no neighbor is needed.
    """
    height, width = shape
    scale = cells / min(shape)
    size = (int(height * scale) + 2, int(width * scale) + 2)
    middle_y, middle_x, radius, lots = (rng.random(size) for _ in range(4))
    y = (np.arange(height) + 0.5) * scale + float(rng.random())
    x = (np.arange(width) + 0.5) * scale + float(rng.random())
    row, column = y.astype(np.int64), x.astype(np.int64)
    at = np.ix_(row, column)
    radius = np.where(lots < share, 0.08 + 0.14 * radius, 0.0)
    dy = (0.22 + 0.56 * middle_y)[at] - (y - row)[:, None]
    dx = (0.22 + 0.56 * middle_x)[at] - (x - column)
    size_here = radius[at]
    inside = size_here * size_here - (dy * dy + dx * dx)
    return np.asarray(np.clip(inside * 60.0, 0.0, 1.0))


def soften(image: Field, radius: int) -> Field:
    """Return an image blurred by a box of ``2 * radius + 1`` pixels, twice, edges repeated.

    The window is added shift by shift, so that the order of the additions is ours.
    """
    for axis in (0, 1, 0, 1):
        length = image.shape[axis]
        padding = [(radius, radius) if side == axis else (0, 0) for side in range(image.ndim)]
        wide = np.pad(image, padding, mode="edge")
        shifted = [wide[(slice(None),) * axis + (slice(k, k + length),)] for k in range(2 * radius + 1)]
        total = shifted[0]
        for window in shifted[1:]:
            total = total + window
        image = total / (2 * radius + 1)
    return image


def _spline(length: int, scale: float, start: float) -> tuple[NDArray[np.int64], tuple[Field, Field, Field]]:
    """Return for each pixel the first of three grid points and their weights, which sum to 1."""
    position = (np.arange(length) + 0.5) * scale + start
    first = position.astype(np.int64)
    t = position - first
    left = 0.5 * (1.0 - t) * (1.0 - t)
    right = 0.5 * t * t
    return first, (left, 1.0 - left - right, right)
