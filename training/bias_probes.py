"""How well the border, the mean color or the sharpness alone predict the class.

A model that is not better than these has perhaps learned how the images were taken, not what they show.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.cross_validation import assign_folds, predict_held_out
from curation.images import measure
from curation.images.camera import Side
from training.data import Frames, Samples
from training.evaluate import Rate, share_of

BORDER: Final = 1 / 6
"""Width of the border, of the image's side."""
PERCENTILES: Final = (5, 25, 50, 75, 95)

Features = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """The accuracy of a classifier that sees only one thing."""

    name: str
    sees: str
    accuracy: Rate


def look_for_shortcuts(samples: Samples, *, side: Side, folds: int, seed: int) -> tuple[Shortcut, ...]:
    """Return the accuracy of each shortcut in a stratified group k-fold over all given images.

    Each is a support vector machine with a radial kernel on features of the camera's view. None sees the middle of an
    image other than averaged: the border as mean, deviation and percentiles of each channel, the color as the mean of
    each channel, the sharpness as one number.

    Parameters
    ----------
    samples : Samples
    side : {96, 48}
        The side of the view.
    folds : int
        At most as many as the class with the fewest groups has groups.
    seed : int
    """
    view = samples.view(side)
    fold = assign_folds(samples.labels, np.array(samples.groups), folds=folds, seed=seed)
    found = []
    for name, (sees, describe) in _KINDS.items():
        answers = predict_held_out(fold, _fit_and_predict(describe(view), samples.labels))
        found.append(Shortcut(name, sees, share_of(answers == samples.labels)))
    return tuple(found)


def _fit_and_predict(
    features: Features, labels: npt.NDArray[np.int64]
) -> Callable[[npt.NDArray[np.bool_]], npt.NDArray[Any]]:
    def predict(held_out: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        model = _classifier().fit(features[~held_out], labels[~held_out])
        answers: npt.NDArray[Any] = model.predict(features[held_out])
        return answers

    return predict


def _classifier() -> Any:
    from sklearn.pipeline import make_pipeline  # one second to import
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=10.0))


def border_mask(side: int) -> npt.NDArray[np.bool_]:
    """Return (side, side) bool: True where an image's border is."""
    width = round(side * BORDER)
    mask = np.ones((side, side), dtype=np.bool_)
    mask[width : side - width, width : side - width] = False
    return mask


def describe_border(view: Frames) -> Features:
    """Return mean, standard deviation and percentiles of each channel over the border: (n, 21) float64."""
    border = view[:, border_mask(view.shape[1])].astype(np.float64)
    spread = np.percentile(border, PERCENTILES, axis=1).transpose(1, 0, 2).reshape(len(view), -1)
    return np.concatenate([border.mean(axis=1), border.std(axis=1), spread], axis=1)


def describe_color(view: Frames) -> Features:
    """Return the mean of each channel: (n, 3) float64."""
    means: Features = view.mean(axis=(1, 2), dtype=np.float64)
    return means


def describe_sharpness(view: Frames) -> Features:
    """Return the logarithm of the sharpness that ``curation.images`` measures: (n, 1) float64."""
    gray = np.rint(view @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.array([[np.log1p(measure(image).sharpness)] for image in gray])


_KINDS: Final[Mapping[str, tuple[str, Callable[[Frames], Features]]]] = {
    "border": ("the outer sixth of the image, without its middle", describe_border),
    "color": ("the mean color of the image", describe_color),
    "sharpness": ("the sharpness of the image, one number", describe_sharpness),
}
