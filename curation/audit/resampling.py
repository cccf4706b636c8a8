"""Resamples stacks of gray images: crops averaged by area, means of neighborhoods, gradients."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
EMPTY: Final = np.float32(1e-6)


def weights(scale: Floats, start: Floats, side: int, *, length: int) -> Floats:
    """Return for each crop the matrix that averages a stretch of a line into equal cells: (n, side, length) float32.

    Parameters
    ----------
    scale, start : (n,) float32 ndarray
        The stretch, as shares of the line.
    side : int
        Cells.
    length : int
        Pixels of the line.
    """
    edges = (start[:, None] + np.arange(side + 1, dtype=np.float32) * scale[:, None] / np.float32(side)) * length
    pixel = np.arange(length, dtype=np.float32)
    covered: Floats = np.minimum(edges[:, 1:, None], pixel + 1) - np.maximum(edges[:, :-1, None], pixel)
    covered = np.maximum(covered, 0)
    shares: Floats = (covered / np.maximum(covered.sum(axis=2, keepdims=True), EMPTY)).astype(np.float32)
    return shares


def cut(images: Floats, scale: Floats, top: Floats, left: Floats, side: int) -> Floats:
    """Return a crop of each image, averaged to side x side cells: (n, side, side) float32.

    Parameters
    ----------
    images : (n, s, s) float32 ndarray
    scale, top, left : (n,) float32 ndarray
        The crop's side and place, as shares of the image's side.
    side : int
    """
    rows = weights(scale, top, side, length=images.shape[1])
    columns = weights(scale, left, side, length=images.shape[2])
    found: Floats = np.matmul(np.matmul(rows, images), columns.transpose(0, 2, 1))
    return found


def box_mean(images: Floats, reach: int) -> Floats:
    """Return the mean of the (2 * reach + 1) squared cells around each; edge cells are repeated outwards."""
    size = 2 * reach + 1
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    height, width = images.shape[1:]
    rows = padded[:, :height].copy()
    for shift in range(1, size):
        rows += padded[:, shift : shift + height]
    sums = rows[:, :, :width].copy()
    for shift in range(1, size):
        sums += rows[:, :, shift : shift + width]
    sums /= np.float32(size * size)
    return sums


def gradients(images: Floats) -> tuple[Floats, Floats]:
    """Return how much each cell rises downwards and to the right, from its two neighbors: two (n, h, w) float32."""
    down, across = np.empty_like(images), np.empty_like(images)
    half = np.float32(0.5)
    down[:, 1:-1] = (images[:, 2:] - images[:, :-2]) * half
    down[:, 0], down[:, -1] = images[:, 1] - images[:, 0], images[:, -1] - images[:, -2]
    across[:, :, 1:-1] = (images[:, :, 2:] - images[:, :, :-2]) * half
    across[:, :, 0], across[:, :, -1] = images[:, :, 1] - images[:, :, 0], images[:, :, -1] - images[:, :, -2]
    return down, across
