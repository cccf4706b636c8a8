"""How far one gets without the lesion: what border, mean colour or sharpness alone say about the class.

A detector that is no better than these has perhaps learnt how the pictures were taken, not what they show.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.images import measure
from curation.images.camera import Side
from training.data import Frames, Samples
from training.scores import Rate, share_of
from training.splits import cut_folds

BORDER: Final = 1 / 6
"""How wide a frame is left, of the picture's side, when its middle is taken out."""
PERCENTILES: Final = (5, 25, 50, 75, 95)

Features = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """What a classifier reaches that sees only one thing."""

    name: str
    sees: str
    accuracy: Rate


def look_for_shortcuts(samples: Samples, *, side: Side, folds: int, seed: int) -> tuple[Shortcut, ...]:
    """Return how often each shortcut is right, in a stratified group k-fold over all given pictures.

    Each is a support vector machine with a radial kernel on features of the camera's view. None sees the middle of a
    picture other than averaged: the border is seen as mean, deviation and percentiles of each channel, the colour as
    the mean of each channel, the sharpness as one number.

    Parameters
    ----------
    samples : Samples
    side : {96, 48}
        The side of the view.
    folds : int
    seed : int
    """
    view = samples.view(side)
    cuts = list(cut_folds(samples, folds=folds, seed=seed))
    found = []
    for name, (sees, measure_it) in _KINDS.items():
        features, right = measure_it(view), np.zeros(len(samples), dtype=np.bool_)
        for learn, judge in cuts:
            answers = _classifier().fit(features[learn], samples.labels[learn]).predict(features[judge])
            right[judge] = answers == samples.labels[judge]
        found.append(Shortcut(name, sees, share_of(right)))
    return tuple(found)


def border_mask(side: int) -> npt.NDArray[np.bool_]:
    """Return (side, side) bool: True where a picture's border is."""
    width = round(side * BORDER)
    mask = np.ones((side, side), dtype=np.bool_)
    mask[width : side - width, width : side - width] = False
    return mask


def describe_border(view: Frames) -> Features:
    """Return mean, standard deviation and percentiles of each channel over the border: (n, 21) float64."""
    border = view[:, border_mask(view.shape[1])].astype(np.float64)
    spread = np.percentile(border, PERCENTILES, axis=1).transpose(1, 0, 2).reshape(len(view), -1)
    return np.concatenate([border.mean(axis=1), border.std(axis=1), spread], axis=1)


def describe_colour(view: Frames) -> Features:
    """Return the mean of each channel: (n, 3) float64."""
    means: Features = view.mean(axis=(1, 2), dtype=np.float64)
    return means


def describe_sharpness(view: Frames) -> Features:
    """Return the logarithm of the sharpness the data layer measures: (n, 1) float64."""
    grey = np.rint(view @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.array([[np.log1p(measure(picture).sharpness)] for picture in grey])


def _classifier() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=10.0))


_KINDS: Final[Mapping[str, tuple[str, Callable[[Frames], Features]]]] = {
    "border": ("the outer sixth of the picture, its middle taken out", describe_border),
    "colour": ("one colour, the mean of the picture", describe_colour),
    "sharpness": ("one number, how sharp the picture is", describe_sharpness),
}
