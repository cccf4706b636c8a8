"""Shows where a picture matters to the int8 model: what happens to its answer when a patch is covered."""

from typing import Final

import numpy as np
import numpy.typing as npt

from firmware.compiler.tflite_reference import Oracle
from training.data import Frames

PATCHES: Final = 6
"""Patches along a side; each is covered together with half of its neighbours."""


def cover(picture: Frames, oracle: Oracle, *, answer: int) -> npt.NDArray[np.float32]:
    """Return how much of the answer's probability is lost where a patch is covered by the picture's mean colour.

    Occlusion sensitivity (Zeiler and Fergus 2014), asked of the very model that the board runs.

    Parameters
    ----------
    picture : (side, side, 3) uint8 ndarray
        Through the camera.
    oracle : Oracle
    answer : int
        The class whose probability is watched.

    Returns
    -------
    (2 * PATCHES - 1, 2 * PATCHES - 1) float32 ndarray
        Positive where the picture speaks for the answer.
    """
    side = picture.shape[0]
    patch, step = side // PATCHES, side // PATCHES // 2
    corners = [(top, left) for top in range(0, side - patch + 1, step) for left in range(0, side - patch + 1, step)]
    covered = np.repeat(picture[None], len(corners) + 1, axis=0)
    mean = np.rint(picture.mean(axis=(0, 1))).astype(np.uint8)
    for number, (top, left) in enumerate(corners, start=1):
        covered[number, top : top + patch, left : left + patch] = mean
    probability = oracle.probabilities(covered)[:, answer]
    across = round(len(corners) ** 0.5)
    lost: npt.NDArray[np.float32] = (probability[0] - probability[1:]).reshape(across, across)
    return lost
