"""The results of a training, and the figures, sentences and model card that are written from them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from firmware.compiler import Budget
from training.bias_probes import Shortcut
from training.data import TrainingData
from training.evaluate import Evaluation, Probabilities, Rate
from training.fit import FitSettings
from training.folds import CrossValidation, HeldOut
from training.out_of_distribution import Alarms
from training.quantize import QuantizedModel

EXPLAINED: Final = 0.9
"""A shortcut that reaches this share of the way from guessing to the model's accuracy explains nearly all of it."""
CAUTIONS: Final[Mapping[str, str]] = {
    "dermatology": "**Not a medical device.** It was made to show how a detector is built. It must not be used to "
    "find, exclude or follow any disease. See a doctor about any spot on the skin that worries you."
}
"""Field that a recipe states -> what every reader of a run's card has to know."""
ShortcutLevel = Literal["better", "equal", "nearly", "less"]


@dataclass(frozen=True)
class Assessment:
    """How good a model is.

    Parameters
    ----------
    answers : (n, classes) float32 ndarray
        What the int8 model predicts for all kept images.
    test : Evaluation
        On the version's test images.
    shortcuts : tuple of Shortcut
    context : polars.DataFrame
        The images of classes that it was not trained on, as far as they could be read.
    context_answers : (n, classes) float32 ndarray
        What the int8 model predicts for them.
    alarms : tuple of Alarms
        The same by source label.
    context_note : str
        A sentence on the images that were judged.
    folds : CrossValidation, optional
    held_out : HeldOut, optional
        What the nets of the cross-validation predict for images whose group they did not see.
    """

    answers: Probabilities
    test: Evaluation
    shortcuts: tuple[Shortcut, ...]
    context: pl.DataFrame
    context_answers: Probabilities
    alarms: tuple[Alarms, ...]
    context_note: str
    folds: CrossValidation | None
    held_out: HeldOut | None


@dataclass(frozen=True)
class RunResults:
    """A run before it is written.

    Parameters
    ----------
    name : str
        The run's.
    data : TrainingData
    settings : FitSettings
    quantized : QuantizedModel
    assessment : Assessment
    budget : Budget, optional
        None for a model that was not made for a board.
    seconds, cpu_seconds : float
        Of training and quantization, by the clock and of all cores together.
    """

    name: str
    data: TrainingData
    settings: FitSettings
    quantized: QuantizedModel
    assessment: Assessment
    budget: Budget | None
    seconds: float
    cpu_seconds: float

    def as_metrics(self) -> dict[str, Any]:
        """Return all figures as JSON-able values: the content of ``metrics.json``, with the keys of 0.1.0."""
        assessment, quantized, version = self.assessment, self.quantized, self.data.version
        return {
            "data": {
                "reference": self.data.reference,
                "digest": version.digest,
                "counts": version.description["counts"],
                "reserve": version.description["reserve"],
            },
            "classes": list(self.data.classes),
            "alarm": self.data.alarm,
            "domain": self.data.domain,
            "one_answer": self.one_answer(),
            "first_line": self.first_line(),
            "second_line": self.second_line(),
            "test": plain(assessment.test),
            "cross_validation": self._cross_validation(),
            "shortcuts": plain(assessment.shortcuts),
            "context": {"note": assessment.context_note, "alarms": plain(assessment.alarms)},
            "quantisation": {
                "lost_points_before": quantized.lost,
                "finetuned": quantized.finetuned,
                "calibration_sha256": quantized.calibration.table["sha256"].to_list(),
            },
            "epochs": plain(quantized.fitted.epochs),
            "best_epoch": quantized.fitted.best,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "budget": plain(self.budget) if self.budget else None,
        }

    def _cross_validation(self) -> dict[str, Any] | None:
        folds, held_out = self.assessment.folds, self.assessment.held_out
        if folds is None or held_out is None:
            return None
        return {**plain(folds), "scores": plain(held_out.scores), "strata": plain(held_out.strata)}

    def one_answer(self) -> str | None:
        """Return the class that it predicts for all test images of several classes; None where it predicts others."""
        confusion = np.array(self.assessment.test.camera.confusion)
        given = np.flatnonzero(confusion.sum(axis=0))
        there = np.flatnonzero(confusion.sum(axis=1))
        return self.data.classes[int(given[0])] if len(given) == 1 < len(there) else None

    def best_shortcut(self) -> Shortcut:
        """Return the shortcut with the highest accuracy."""
        return max(self.assessment.shortcuts, key=lambda shortcut: shortcut.accuracy.share or 0.0)

    def shortcut_level(self) -> ShortcutLevel:
        """Return how the best shortcut compares with the model: better, equal, nearly as good, or plainly less."""
        share, (own, _) = self.best_shortcut().accuracy.share or 0.0, self.own_accuracy()
        if share >= own.low:
            return "better" if share > own.high else "equal"
        chance = float(np.bincount(self.data.samples.labels).max()) / len(self.data.samples)
        return "nearly" if share - chance >= EXPLAINED * ((own.share or 0.0) - chance) else "less"

    def first_line(self) -> str:
        """Return the sentence that every reader has to see: what a model that sees one simple feature reaches.

        Where the model has learned nothing, the sentence is that: its other figures mean nothing.
        """
        if (answer := self.one_answer()) is not None:
            fitted, count = self.quantized.fitted, self.assessment.test.camera.accuracy.of
            return (
                f"It predicts {answer} for all {count:,} test images: it has learned nothing that separates the "
                f"classes (its best epoch was {fitted.best} of {len(fitted.epochs)}). Train longer, or on more images."
            )
        best, (own, where) = self.best_shortcut(), self.own_accuracy()
        reached = (
            f"{best.name} alone ({best.sees}) classifies {_percent(best.accuracy.share)} of the images correctly; "
            f"this model reaches {_percent(own.share)} {where}."
        )
        doubt = " Its accuracy does not show that it uses what it should."
        match self.shortcut_level():
            case "better":
                return f"A classifier that never sees the middle of an image is better: {reached}{doubt}"
            case "equal":
                return f"A classifier that never sees the middle of an image is about as good: {reached}{doubt}"
            case "nearly":
                return f"The middle of an image is hardly needed for this accuracy: {reached}{doubt}"
            case "less":
                return f"{reached[0].upper()}{reached[1:]}"

    def second_line(self) -> str | None:
        """Return the sentence on classes that it was not trained on; None where none could be judged."""
        alarms = self.assessment.alarms
        if not alarms or self.one_answer() is not None:
            return None
        hits, asked = sum(one.alarms.hits for one in alarms), sum(one.alarms.of for one in alarms)
        worst = max(alarms, key=lambda one: one.alarms.low)  # two of two images are weak evidence
        return (
            f"It predicts {self.data.alarm} for {hits:,.0f} of {asked:,} images of other classes "
            f"({worst.source_label}: {_percent(worst.alarms.share)}); it was not trained to separate them."
        )

    def own_accuracy(self) -> tuple[Rate, str]:
        """Return the most reliable accuracy, and where it was measured."""
        folds = self.assessment.folds
        if folds is not None:
            return folds.int8, f"in a {folds.folds}-fold cross-validation"
        accuracy = self.assessment.test.camera.accuracy
        return accuracy, f"on {accuracy.of} test images"


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0.0):.1f} %"


def plain(value: Any) -> Any:
    """Return a value as JSON and TOML can hold it: dataclasses as mappings, arrays and tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(part) for key, part in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def write_card(results: RunResults) -> str:
    """Return the text of ``MODEL_CARD.md``: purpose, data, figures and limits; every number is in ``metrics.json``."""
    return "\n".join(_card_lines(results)) + "\n"


def _card_lines(results: RunResults) -> Iterator[str]:
    data, assessment, settings = results.data, results.assessment, results.settings
    yield f"# Model card: {results.name}\n"
    if caution := CAUTIONS.get(data.domain or ""):
        yield caution + "\n"
    yield results.first_line() + "\n"
    if second := results.second_line():
        yield second + "\n"
    yield "## Model\n"
    yield f"- Architecture: `{settings.model}`, input {settings.side}x{settings.side} RGB, int8"
    yield f"- Outputs: {', '.join(data.classes)}"
    yield f"- Alarm class: {data.alarm}"
    yield f"- Data: `{data.reference}`, digest `{data.version.digest}`"
    yield f"- Disputed images among its training data: {data.version.description['reserve']}"
    fitted = results.quantized.fitted
    yield f"- Seed {settings.seed}; {len(fitted.epochs)} epochs, the best was {fitted.best}\n"
    yield "## Accuracy\n"
    yield "Through the board's camera path, int8, with Wilson 95 % intervals.\n"
    yield "| figure | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in _figures(results))
    yield ""
    yield "## Accuracy without the middle of the image\n"
    yield "| what a classifier sees | accuracy |\n|---|---|"
    yield from (f"| {shortcut.sees} | {shortcut.accuracy} |" for shortcut in assessment.shortcuts)
    yield ""
    yield "## Classes that it was not trained on\n"
    yield assessment.context_note + " The model was not trained to separate them from the alarm class.\n"
    if assessment.alarms:
        yield f"| class | predicted {data.alarm} | over 80 % |\n|---|---|---|"
        yield from (f"| {alarms.source_label} | {alarms.alarms} | {alarms.blinking} |" for alarms in assessment.alarms)
        yield ""
    yield "## Cost\n"
    yield from _costs(results)


def _figures(results: RunResults) -> Iterator[tuple[str, Rate | str]]:
    test, folds, held_out = results.assessment.test, results.assessment.folds, results.assessment.held_out
    yield "test accuracy", test.camera.accuracy
    yield f"sensitivity for {results.data.alarm}", test.camera.sensitivity
    yield "specificity", test.camera.specificity
    yield "sensitivity over 80 %", test.camera.led.sensitivity
    yield "specificity over 80 %", test.camera.led.specificity
    yield "test accuracy without the camera", test.plain.accuracy
    if test.lost is not None:
        yield "int8 below float, points", f"{test.lost:.2f}"
    if folds is not None:
        yield f"{folds.repeats} x {folds.folds}-fold by group, int8", folds.int8
        yield f"{folds.repeats} x {folds.folds}-fold by group, float", folds.unrounded
    if held_out is not None:
        yield f"in the folds: sensitivity for {results.data.alarm}", held_out.scores.sensitivity
        yield "in the folds: specificity", held_out.scores.specificity
        yield "in the folds: sensitivity over 80 %", held_out.scores.led.sensitivity
        yield "in the folds: specificity over 80 %", held_out.scores.led.specificity


def _costs(results: RunResults) -> Iterator[str]:
    budget = results.budget
    if budget is None:
        yield "Trained for comparison, not for a board."
        return
    rows = "" if budget.row_arena_bytes is None else f", {budget.row_arena_bytes:,} B with rows from the camera"
    yield f"- Arena: {budget.arena_bytes:,} B{rows} (tensors in TFLite Micro: {budget.interpreter_arena_bytes:,} B)"
    yield f"- Flash: {budget.flash_bytes:,} B, estimated"
    yield f"- {budget.macs:,} multiplications, about {budget.milliseconds:.0f} ms on {budget.board}, estimated"
