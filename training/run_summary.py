"""What a training has come to: the values from which figures, card and page of a run are written."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from training.bias_probes import Shortcut
from training.budget import Budget
from training.data import Material, Samples
from training.evaluate import Alarms, CrossValidation, Evaluation, Unseen
from training.fit import FitSettings, Fitted
from training.runs import plain
from training.scores import Probabilities, Rate

MOST_OF_IT: Final = 0.9
"""A shortcut that reaches this share of the way from guessing to the model's accuracy explains nearly all of it."""


@dataclass(frozen=True)
class Quantised:
    """A net and its int8 form.

    Parameters
    ----------
    fitted : Fitted
    int8, unrounded : bytes
        ``.tflite`` files, int8 and float32.
    lost : float
        Points of accuracy (of 100) that quantisation cost on all pictures the net knew, before any fine-tuning.
    finetuned : bool
        Whether the net was fine-tuned to bear it.
    calibration : Samples
        The pictures it was calibrated on.
    """

    fitted: Fitted
    int8: bytes
    unrounded: bytes
    lost: float
    finetuned: bool
    calibration: Samples


@dataclass(frozen=True)
class Verdict:
    """All that is known of how good a model is.

    Parameters
    ----------
    test : Evaluation
        On the version's test pictures.
    shortcuts : tuple of Shortcut
    context : polars.DataFrame
        The pictures of classes that were never taught, as far as they could be read.
    context_said : (n, classes) float32 ndarray
        What the int8 model says to them.
    alarms : tuple of Alarms
        The same by source label.
    context_note : str
        A sentence on what was asked.
    folds : CrossValidation, optional
    unseen : Unseen, optional
        What nets of the cross-validation that never saw a picture's group say of each kept picture.
    """

    test: Evaluation
    shortcuts: tuple[Shortcut, ...]
    context: pl.DataFrame
    context_said: Probabilities
    alarms: tuple[Alarms, ...]
    context_note: str
    folds: CrossValidation | None
    unseen: Unseen | None


@dataclass(frozen=True)
class Results:
    """A run before it is written.

    Parameters
    ----------
    name : str
        The run's.
    material : Material
    settings : FitSettings
    quantised : Quantised
    verdict : Verdict
    budget : Budget, optional
        None for a model that no board was asked for.
    seconds, cpu_seconds : float
        The training and the quantisation took by the clock, and of all cores together.
    """

    name: str
    material: Material
    settings: FitSettings
    quantised: Quantised
    verdict: Verdict
    budget: Budget | None
    seconds: float
    cpu_seconds: float

    def as_metrics(self) -> dict[str, Any]:
        """Return all figures as JSON-able values: what ``metrics.json`` holds."""
        verdict, quantised = self.verdict, self.quantised
        return {
            "data": {
                "reference": self.material.reference,
                "digest": self.material.version.digest,
                "counts": self.material.version.description["counts"],
                "reserve": self.material.version.description["reserve"],
            },
            "classes": list(self.material.classes),
            "alarm": self.material.alarm,
            "one_answer": self.one_answer(),
            "first_line": self.first_line(),
            "second_line": self.second_line(),
            "test": plain(verdict.test),
            "cross_validation": self._folded(),
            "shortcuts": plain(verdict.shortcuts),
            "context": {"note": verdict.context_note, "alarms": plain(verdict.alarms)},
            "quantisation": {
                "lost_points_before": quantised.lost,
                "finetuned": quantised.finetuned,
                "calibration_sha256": quantised.calibration.table["sha256"].to_list(),
            },
            "epochs": plain(quantised.fitted.epochs),
            "best_epoch": quantised.fitted.best,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "budget": plain(self.budget) if self.budget else None,
        }

    def _folded(self) -> dict[str, Any] | None:
        folds, unseen = self.verdict.folds, self.verdict.unseen
        if folds is None or unseen is None:
            return None
        return {**plain(folds), "scores": plain(unseen.scores), "strata": plain(unseen.strata)}

    def one_answer(self) -> str | None:
        """Return the class it calls all test pictures, though they are of several; None where it tells them apart."""
        confusion = np.array(self.verdict.test.camera.confusion)
        given = np.flatnonzero(confusion.sum(axis=0))
        there = np.flatnonzero(confusion.sum(axis=1))
        return self.material.classes[int(given[0])] if len(given) == 1 < len(there) else None

    def first_line(self) -> str:
        """Return the sentence everybody has to read: what a model that never sees the lesion reaches.

        Where the model has learnt nothing that is the sentence: no figure of it means anything.
        """
        if (answer := self.one_answer()) is not None:
            fitted, asked = self.quantised.fitted, self.verdict.test.camera.accuracy.of
            return (
                f"It calls all {asked:,} test pictures {answer}: it has learnt nothing that tells the classes apart "
                f"(its best epoch was {fitted.best} of {len(fitted.epochs)}). Train it longer, or on more pictures."
            )
        best = max(self.verdict.shortcuts, key=lambda shortcut: shortcut.accuracy.share or 0.0)
        own, where = self.own_accuracy()
        told, share = f"from {best.name} alone ({best.sees})", best.accuracy.share or 0.0
        reached = (
            f"{100 * share:.1f} % of the pictures are told right; this model reaches {_percent(own.share)} {where}."
        )
        doubt = " Its accuracy does not show that it looks at what it should."
        if share >= own.low:
            well = "better" if share > own.high else "about as well"
            return f"A model that never sees the middle of a picture does {well}: {told}, {reached}{doubt}"
        chance = float(np.bincount(self.material.samples.labels).max()) / len(self.material.samples)
        if share - chance >= MOST_OF_IT * ((own.share or 0.0) - chance):
            return f"Nearly all of this can be told without the middle of a picture: {told}, {reached}{doubt}"
        return f"{told[0].upper()}{told[1:]}, {reached}"

    def second_line(self) -> str | None:
        """Return the sentence on what the model says to classes it was never taught; None where none could be asked."""
        alarms = self.verdict.alarms
        if not alarms or self.one_answer() is not None:
            return None
        hits, asked = sum(one.alarms.hits for one in alarms), sum(one.alarms.of for one in alarms)
        worst = max(alarms, key=lambda one: one.alarms.low)  # a class of two pictures, both called so, says little
        return (
            f"Shown pictures of other classes, it calls {hits:,.0f} of {asked:,} {self.material.alarm} "
            f"({worst.source_label}: {_percent(worst.alarms.share)}): it was never taught the difference."
        )

    def own_accuracy(self) -> tuple[Rate, str]:
        """Return the accuracy that says most, and where it was measured."""
        folds = self.verdict.folds
        if folds is not None:
            return folds.int8, f"in a {folds.folds}-fold cross-validation"
        accuracy = self.verdict.test.camera.accuracy
        return accuracy, f"on {accuracy.of} test pictures"


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0.0):.1f} %"
