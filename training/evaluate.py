"""Judges a model on pictures: through the camera and without it, by stratum, and on classes it was never taught."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.dataset.columns import Metadata
from curation.dataset.strata import find_strata
from training.data import Frames, Samples
from training.scores import LED_THRESHOLD, Probabilities, Rate, Scores, rate, score, share_of

AGE_BANDS: Final = (30, 45, 60, 75)


class Judge(Protocol):
    """A model that answers, float or int8."""

    def __call__(self, pictures: Frames) -> Probabilities:
        """Return (n, classes) float32 probabilities for (n, side, side, 3) uint8 pictures."""


@dataclass(frozen=True)
class Stratum:
    """How often answers were right on a part of the pictures."""

    column: str
    value: str
    accuracy: Rate


@dataclass(frozen=True)
class Alarms:
    """How often the board would warn of pictures of a class it was never taught."""

    source_label: str
    alarms: Rate
    blinking: Rate


@dataclass(frozen=True)
class Evaluation:
    """What a model says to the pictures of one split.

    Parameters
    ----------
    camera, plain : Scores
        Of the int8 model through the camera's view, and on the same pictures without the camera.
    float_camera : Scores, optional
        Of the net before it was quantised, through the camera.
    strata : tuple of Stratum
        Through the camera.
    """

    camera: Scores
    plain: Scores
    float_camera: Scores | None
    strata: tuple[Stratum, ...]

    @property
    def lost(self) -> float | None:
        """Points of accuracy (of 100) that quantisation cost; negative where it gained."""
        if self.float_camera is None or self.float_camera.accuracy.share is None or self.camera.accuracy.share is None:
            return None
        return 100 * (self.float_camera.accuracy.share - self.camera.accuracy.share)


def evaluate(
    samples: Samples, judge: Judge, *, classes: Sequence[str], alarm: str, side: int, float_judge: Judge | None = None
) -> Evaluation:
    """Judge a model on pictures whose class is known.

    Parameters
    ----------
    samples : Samples
        At least one picture.
    judge : Judge
        The int8 model.
    classes : sequence of str
    alarm : str
        The class the board warns of.
    side : {96, 48}
    float_judge : Judge, optional
        The net before it was quantised.
    """
    settings = {"classes": len(classes), "alarm": list(classes).index(alarm)}
    seen = samples.view(96 if side == 96 else 48)
    answers = judge(seen)
    return Evaluation(
        camera=score(samples.labels, answers, **settings),
        plain=score(samples.labels, judge(samples.plain), **settings),
        float_camera=score(samples.labels, float_judge(seen), **settings) if float_judge else None,
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


def judge_context(labels: Sequence[str], probabilities: Probabilities, *, alarm: int) -> tuple[Alarms, ...]:
    """Return how often each class the model was never taught gets the alarm, the most frequent class first.

    Parameters
    ----------
    labels : sequence of str, length n
        Source labels.
    probabilities : (n, classes) float32 ndarray
    alarm : int
        Index of the alarm class.
    """
    names = np.array(labels)
    found = []
    for name in sorted(set(labels)):
        inside = probabilities[names == name]
        found.append(Alarms(name, share_of(inside.argmax(axis=1) == alarm), share_of(inside[:, alarm] > LED_THRESHOLD)))
    return tuple(sorted(found, key=lambda alarms: -(alarms.alarms.share or 0.0)))


@dataclass(frozen=True)
class CrossValidation:
    """Accuracy over repeated stratified group k-fold: judged by nets that saw no kin of a picture.

    Parameters
    ----------
    folds, repeats : int
    int8, unrounded : Rate
        Of the pictures, after and before rounding to 8 bits. Hits are the mean over the repeats, so that a picture
        counts once however often it was judged.
    by_fold : tuple of (float, float)
        Accuracy of int8 and float in each fold.
    seconds, cpu_seconds : float
        For all folds; a fold that was interrupted counts from where it went on.
    """

    folds: int
    repeats: int
    int8: Rate
    unrounded: Rate
    by_fold: tuple[tuple[float, float], ...]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Unseen:
    """What the int8 nets of a cross-validation say, each asked only of pictures whose group it never saw.

    Parameters
    ----------
    answers : (n, classes) float32 ndarray
        The mean over the repeats.
    first : (n, classes) float32 ndarray
        Of the first repeat alone: one net's answer to each picture.
    nets : tuple of bytes
        The int8 models of the first repeat.
    net_of : (n,) int64 ndarray
        Which of them was asked of each picture.
    scores : Scores
        Of ``first``, so that each picture counts once and no answer is better than a single net's.
    strata : tuple of Stratum
        The same by part of the pictures.
    """

    answers: Probabilities
    first: Probabilities
    nets: tuple[bytes, ...]
    net_of: npt.NDArray[np.int64]
    scores: Scores
    strata: tuple[Stratum, ...]


def pool_folds(
    hits: npt.NDArray[np.float64],
    by_fold: Sequence[tuple[float, float]],
    *,
    folds: int,
    repeats: int,
    pictures: int,
    spent: npt.NDArray[np.float64],
) -> CrossValidation:
    """Return what folds come to together.

    Parameters
    ----------
    hits : (2,) float64 ndarray
        Pictures the int8 and the float nets got right, the mean over the repeats.
    by_fold : sequence of (float, float)
        Accuracy of int8 and float in each fold.
    folds, repeats, pictures : int
    spent : (2,) float64 ndarray
        Seconds by the clock and of CPU.
    """
    int8, unrounded = (rate(float(count), pictures) for count in hits)
    return CrossValidation(folds, repeats, int8, unrounded, tuple(by_fold), float(spent[0]), float(spent[1]))
