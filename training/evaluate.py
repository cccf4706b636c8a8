"""Judges a model on images whose class is known: rates with intervals, curves, calibration, and parts of the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.cross_validation import wilson_interval
from curation.dataset.columns import Metadata
from curation.dataset.strata import find_strata
from curation.images.camera import Side
from training.data import Frames, Samples

LED_THRESHOLD: Final = 0.8
"""Above this probability of the alarm class the board's red light blinks."""
CALIBRATION_BINS: Final = 10
AGE_BANDS: Final = (30, 45, 60, 75)

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


class Predictor(Protocol):
    """A model that predicts, float or int8."""

    def __call__(self, images: Frames) -> Probabilities:
        """Return (n, classes) float32 probabilities for (n, side, side, 3) uint8 images."""


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval (Wilson 1927).

    Parameters
    ----------
    hits, of : float, int
        ``hits`` may be a fraction where it is a mean over repeated trials.
    share : float or None
        From 0 to 1; None without trials.
    low, high : float
        The interval; 0 and 1 without trials.
    """

    hits: float
    of: int
    share: float | None
    low: float
    high: float

    def __str__(self) -> str:
        """Return the share with its interval and number."""
        if self.share is None:
            return "none"
        return f"{self.share:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.of})"


def rate(hits: float, of: int) -> Rate:
    """Return a share with its Wilson 95 % interval.

    Examples
    --------
    >>> print(rate(32, 32))
    1.000 (0.893 to 1.000, n = 32)
    """
    return Rate(hits, of, hits / of if of else None, *wilson_interval(hits, of))


@dataclass(frozen=True)
class Threshold:
    """Sensitivity and specificity of warning only above a probability."""

    threshold: float
    sensitivity: Rate
    specificity: Rate


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: their mean confidence, and how often they were right."""

    low: float
    high: float
    confidence: float | None
    right: Rate


@dataclass(frozen=True)
class Scores:
    """How good predictions are. The alarm class against all others is the positive side of every two-sided figure.

    Parameters
    ----------
    accuracy : Rate
    sensitivity : Rate
        Of the alarm class, by the most probable class.
    specificity : Rate
        Of all other classes together.
    confusion : tuple of tuples
        Rows are true classes, columns are predicted classes.
    roc_auc, pr_auc : float or None
        Area under the receiver operating characteristic; average precision. None where one side is empty.
    roc, pr : tuple of (float, float)
        (false alarms, sensitivity) and (sensitivity, precision), from one end to the other.
    calibration_error : float
        Expected calibration error over ten bins (Guo et al. 2017).
    brier : float
        Mean squared distance of the probabilities from the truth, over all classes (Brier 1950).
    bins : tuple of Bin
    led : Threshold
        At 0.8, where the board's light blinks.
    """

    accuracy: Rate
    sensitivity: Rate
    specificity: Rate
    confusion: tuple[tuple[int, ...], ...]
    roc_auc: float | None
    pr_auc: float | None
    roc: tuple[tuple[float, float], ...]
    pr: tuple[tuple[float, float], ...]
    calibration_error: float
    brier: float
    bins: tuple[Bin, ...]
    led: Threshold


def score(labels: Labels, probabilities: Probabilities, *, classes: int, alarm: int) -> Scores:
    """Return how good predictions are.

    Parameters
    ----------
    labels : (n,) int64 ndarray
        n at least 1.
    probabilities : (n, classes) float32 ndarray
    classes, alarm : int
        How many classes there are, and the index of the one the board warns of.
    """
    answers = probabilities.argmax(axis=1)
    positive = labels == alarm
    roc, roc_auc, pr, pr_auc = _curves(positive, probabilities[:, alarm])
    bins = _bins(answers == labels, probabilities.max(axis=1))
    gaps = [
        bin.right.of * abs(bin.confidence - bin.right.share)
        for bin in bins
        if bin.confidence is not None and bin.right.share is not None
    ]
    truth = np.eye(classes)[labels]
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    return Scores(
        accuracy=share_of(answers == labels),
        sensitivity=share_of(answers[positive] == alarm),
        specificity=share_of(answers[~positive] != alarm),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        roc_auc=roc_auc,
        pr_auc=pr_auc,
        roc=roc,
        pr=pr,
        calibration_error=float(sum(gaps) / len(labels)),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        bins=bins,
        led=judge_threshold(positive, probabilities[:, alarm], LED_THRESHOLD),
    )


def share_of(right: npt.NDArray[np.bool_]) -> Rate:
    """Return the rate of true values."""
    return rate(int(right.sum()), len(right))


def judge_threshold(positive: npt.NDArray[np.bool_], probability: Probabilities, threshold: float) -> Threshold:
    """Return sensitivity and specificity of warning only where the probability is over the threshold."""
    warned = probability > threshold
    return Threshold(threshold, share_of(warned[positive]), share_of(~warned[~positive]))


def _curves(
    positive: npt.NDArray[np.bool_], probability: Probabilities
) -> tuple[tuple[tuple[float, float], ...], float | None, tuple[tuple[float, float], ...], float | None]:
    if positive.all() or not positive.any():
        return (), None, (), None
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    false_alarms, sensitivity, _ = roc_curve(positive, probability)
    precision, recall, _ = precision_recall_curve(positive, probability)
    return (
        _pairs(false_alarms, sensitivity),
        float(roc_auc_score(positive, probability)),
        _pairs(recall, precision),
        float(average_precision_score(positive, probability)),
    )


def _pairs(one: Sequence[float], other: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in zip(one, other, strict=True))


def _bins(right: npt.NDArray[np.bool_], confidence: Probabilities) -> tuple[Bin, ...]:
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    places = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, CALIBRATION_BINS - 1)
    found = []
    for number, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        inside = places == number
        mean = float(confidence[inside].mean()) if inside.any() else None
        found.append(Bin(low, high, mean, share_of(right[inside])))
    return tuple(found)


@dataclass(frozen=True)
class Stratum:
    """The accuracy on a part of the images."""

    column: str
    value: str
    accuracy: Rate


@dataclass(frozen=True)
class Evaluation:
    """How a model judges the images of one split.

    Parameters
    ----------
    camera, plain : Scores
        Of the int8 model through the camera's view, and on the same images without the camera.
    float_camera : Scores, optional
        Of the net before it was quantized, through the camera.
    strata : tuple of Stratum
        Through the camera.
    """

    camera: Scores
    plain: Scores
    float_camera: Scores | None
    strata: tuple[Stratum, ...]

    @property
    def lost(self) -> float | None:
        """Points of accuracy (of 100) that quantization cost; negative where it gained."""
        if self.float_camera is None or self.float_camera.accuracy.share is None or self.camera.accuracy.share is None:
            return None
        return 100 * (self.float_camera.accuracy.share - self.camera.accuracy.share)


def evaluate(
    samples: Samples,
    int8: Predictor,
    *,
    classes: Sequence[str],
    alarm: str,
    side: Side,
    unrounded: Predictor | None = None,
) -> Evaluation:
    """Judge a model on images whose class is known.

    Parameters
    ----------
    samples : Samples
        At least one image.
    int8 : Predictor
        The int8 model.
    classes : sequence of str
    alarm : str
        The class the board warns of.
    side : {96, 48}
    unrounded : Predictor, optional
        The float model before it was quantized.
    """
    names = list(classes)
    seen = samples.view(side)
    answers = int8(seen)

    def judge(probabilities: Probabilities) -> Scores:
        return score(samples.labels, probabilities, classes=len(names), alarm=names.index(alarm))

    return Evaluation(
        camera=judge(answers),
        plain=judge(int8(samples.plain)),
        float_camera=judge(unrounded(seen)) if unrounded else None,
        strata=judge_strata(samples.table, samples.metadata, answers.argmax(axis=1) == samples.labels),
    )


def judge_strata(
    table: pl.DataFrame, metadata: Sequence[Metadata], right: npt.NDArray[np.bool_]
) -> tuple[Stratum, ...]:
    """Return the accuracy for each value of each stratum that has several; unknown values are left out."""
    found = []
    strata = {name: table[name].cast(pl.String) for name in ("source", "disputed")}
    strata |= find_strata(table, metadata, band_ages=band_ages)
    for column, values in strata.items():
        for value in sorted(set(values.drop_nulls())):
            inside = (values == value).fill_null(False).to_numpy()
            found.append(Stratum(column, value, share_of(right[inside])))
    counts = {column: sum(stratum.column == column for stratum in found) for column in strata}
    return tuple(stratum for stratum in found if counts[stratum.column] > 1)


def band_ages(ages: pl.Series) -> pl.Series:
    """Return ages in years as bands of 15 years, as text; null where the age is not known."""
    return pl.Series([None if age is None else _name_band(age) for age in ages], dtype=pl.String)


def _name_band(age: float) -> str:
    low = max((edge for edge in AGE_BANDS if edge <= age), default=0)
    high = min((edge for edge in AGE_BANDS if edge > age), default=None)
    return f"{low} and over" if high is None else f"{low} to {high - 1}"
