"""Cuts images into folds by group, and cross-validates: nets judged only on groups that they were not trained on."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.cross_validation import assign_folds
from curation.errors import CurationError, ErrorCode
from curation.storage.atomic_files import replace_file
from firmware.compiler.tflite_reference import ReferenceModel, open_reference
from training.data import Samples
from training.evaluate import Probabilities, Rate, Scores, Stratum, judge_strata, rate, score
from training.fit import FitListener, FitSettings, fit
from training.models import predict
from training.quantize import quantize

HELD_OUT_FOLDS: Final = 7
"""A version without a val split validates on a seventh of its training images."""

Rows = npt.NDArray[np.int64]


def cut_folds(samples: Samples, *, folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield (train, test) row numbers of a stratified group k-fold: each image is tested exactly once.

    Where the version has so many folds of its own, they are used; the groups of its test split are added to them.

    Parameters
    ----------
    samples : Samples
    folds : int
        Two or more.
    seed : int

    Raises
    ------
    CurationError
        SPLIT_EMPTY where a class has fewer groups than there are folds.
    """
    fewest = _fewest_groups(samples)
    if folds < 2 or fewest < folds:
        raise CurationError(
            ErrorCode.SPLIT_EMPTY,
            f"{folds} folds are not possible: a class has {fewest} groups, and every fold needs one of each class",
            hint=f"Ask for 2 to {fewest} folds." if fewest >= 2 else "The version needs more groups in each class.",
        )
    if count_version_folds(samples) == folds:
        fold = _use_version_folds(samples, folds)
    else:
        fold = assign_folds(samples.labels, np.array(samples.groups), folds=folds, seed=seed)
    for number in range(folds):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def count_version_folds(samples: Samples) -> int:
    """Return the number of folds that the version itself has; 0 where it has none, or some of them are not here."""
    found: set[int] = set(samples.table["fold"].drop_nulls()) if "fold" in samples.table.columns else set()
    return len(found) if found and len(found) == max(found) else 0


def _use_version_folds(samples: Samples, folds: int) -> Rows:
    """Return the version's fold of each image, from 0; the groups without one are added class by class, by name."""
    fold: Rows = samples.table["fold"].cast(pl.Int64).fill_null(0).to_numpy() - 1
    known = fold >= 0
    first = {group: int(label) for group, label in zip(samples.groups, samples.labels, strict=True)}
    left = sorted(
        {group for group, there in zip(samples.groups, known, strict=True) if not there},
        key=lambda group: (first[group], group),
    )
    number = {group: place % folds for place, group in enumerate(left)}
    return np.where(known, fold, [number.get(group, 0) for group in samples.groups])


def hold_out(samples: Samples, *, seed: int) -> tuple[Rows, Rows]:
    """Return the row numbers to train on and those to validate on: stratified, groups whole.

    Raises
    ------
    CurationError
        SPLIT_EMPTY where a class has too few groups for both sides.
    """
    count = count_possible_folds(samples, HELD_OUT_FOLDS)
    if count < 2:
        raise CurationError(
            ErrorCode.SPLIT_EMPTY,
            "a class has one group of training images; a second one is needed to decide when to stop",
            hint="The version needs more groups in each class.",
        )
    return next(cut_folds(samples, folds=count, seed=seed))


def count_possible_folds(samples: Samples, wanted: int) -> int:
    """Return how many folds can be cut, ``wanted`` at most."""
    return min(wanted, _fewest_groups(samples))


def check_cross_validation(samples: Samples, *, folds: int, repeats: int, seed: int) -> None:
    """Raise a SPLIT_EMPTY error where a fold would leave a class too few groups to train and to validate on.

    Parameters
    ----------
    samples : Samples
    folds, repeats, seed : int
        As they will be cut: repeat n by ``seed`` + n.
    """
    groups = np.array(samples.groups)
    for repeat in range(repeats):
        for train, _ in cut_folds(samples, folds=folds, seed=seed + repeat):
            for label in np.unique(samples.labels):
                left = len(np.unique(groups[train][samples.labels[train] == label]))
                if left < 2:
                    raise CurationError(
                        ErrorCode.SPLIT_EMPTY,
                        f"{folds} folds are not possible: one of them leaves {left} group of a class to train on; "
                        "a second one is needed to decide when to stop",
                        hint="Ask for more folds, or for none; the version has few groups in each class.",
                    )


def _fewest_groups(samples: Samples) -> int:
    """Return the number of groups of the class that has the fewest."""
    pairs = {(int(label), group) for label, group in zip(samples.labels, samples.groups, strict=True)}
    return min(sum(label == wanted for label, _ in pairs) for wanted in sorted({label for label, _ in pairs}))


@dataclass(frozen=True)
class CrossValidation:
    """Accuracy over repeated stratified group k-fold: each image judged by nets that did not see its group.

    Parameters
    ----------
    folds, repeats : int
    int8, unrounded : Rate
        Of the images, after and before rounding to 8 bits. Hits are the mean over the repeats, so that an image
        counts once however often it was judged.
    by_fold : tuple of (float, float)
        Accuracy of int8 and float in each fold.
    seconds, cpu_seconds : float
        For all folds; a fold that was interrupted counts from where it was resumed.
    """

    folds: int
    repeats: int
    int8: Rate
    unrounded: Rate
    by_fold: tuple[tuple[float, float], ...]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class HeldOut:
    """What the int8 nets of a cross-validation predict, each only for images whose group it did not see.

    Parameters
    ----------
    answers : (n, classes) float32 ndarray
        The mean over the repeats.
    first : (n, classes) float32 ndarray
        Of the first repeat alone: one net's answer to each image.
    nets : tuple of ReferenceModel
        The int8 models of the first repeat.
    net_of : (n,) int64 ndarray
        Which of them judged each image.
    scores : Scores
        Of ``first``, so that each image counts once and no answer is better than a single net's.
    strata : tuple of Stratum
        The same by part of the images.
    """

    answers: Probabilities
    first: Probabilities
    nets: tuple[ReferenceModel, ...]
    net_of: npt.NDArray[np.int64]
    scores: Scores
    strata: tuple[Stratum, ...]


@dataclass(frozen=True)
class Fold:
    """The net of one fold, and how it judges the images that were held out.

    Parameters
    ----------
    net : ReferenceModel
        The int8 model.
    int8, unrounded : (n, classes) float32 ndarray
        What the int8 and the float net predict for the images that were held out.
    seconds, cpu_seconds : float
    """

    net: ReferenceModel
    int8: Probabilities
    unrounded: Probabilities
    seconds: float
    cpu_seconds: float


def cross_validate(
    samples: Samples,
    settings: FitSettings,
    *,
    classes: int,
    alarm: int,
    folds: int,
    repeats: int,
    folder: Path,
    listener: FitListener,
) -> tuple[CrossValidation, HeldOut]:
    """Train and quantize a net for each fold and judge it on the rest.

    Each fold holds out groups of its own training part to decide when to stop, and calibrates on that part alone, as a
    run does. A finished fold is kept in ``folder``, so that an interruption costs an epoch.

    Parameters
    ----------
    samples : Samples
        All images, of any split.
    settings : FitSettings
    classes, alarm : int
        The number of classes, and the index of the one the board warns of.
    folds, repeats : int
    folder : pathlib.Path
        For finished folds; only for these images and settings.
    listener : FitListener
    """
    by_fold: list[tuple[float, float]] = []
    predicted = np.zeros((repeats, len(samples), classes), np.float32)
    hits, spent = np.zeros(2), np.zeros(2)
    net_of, nets = np.zeros(len(samples), np.int64), []
    for repeat in range(repeats):
        for number, (train, test) in enumerate(cut_folds(samples, folds=folds, seed=settings.seed + repeat)):
            listener.note(f"fold {number + 1} of {folds}, repeat {repeat + 1} of {repeats}")
            seeded = replace(settings, seed=settings.seed + 1000 * repeat + number)
            place = folder / f"fold-{repeat}-{number}"
            fold = finish_fold(samples.take(train), samples.take(test), seeded, classes, place, listener)
            right = [_count_right(answers, samples.labels[test]) for answers in (fold.int8, fold.unrounded)]
            hits += right
            spent += (fold.seconds, fold.cpu_seconds)
            by_fold.append((right[0] / len(test), right[1] / len(test)))
            predicted[repeat, test] = fold.int8
            if repeat == 0:
                net_of[test] = number
                nets.append(fold.net)
    pooled = pool_folds(hits / repeats, by_fold, folds=folds, repeats=repeats, images=len(samples), spent=spent)
    scores = score(samples.labels, predicted[0], classes=classes, alarm=alarm)
    strata = judge_strata(samples.table, samples.metadata, predicted[0].argmax(axis=1) == samples.labels)
    return pooled, HeldOut(predicted.mean(axis=0), predicted[0], tuple(nets), net_of, scores, strata)


def _count_right(answers: Probabilities, labels: npt.NDArray[np.int64]) -> float:
    return float((answers.argmax(axis=1) == labels).sum())


def pool_folds(
    hits: npt.NDArray[np.float64],
    by_fold: list[tuple[float, float]],
    *,
    folds: int,
    repeats: int,
    images: int,
    spent: npt.NDArray[np.float64],
) -> CrossValidation:
    """Return the figures of all folds together.

    Parameters
    ----------
    hits : (2,) float64 ndarray
        Images that the int8 and the float nets classify correctly, the mean over the repeats.
    by_fold : list of (float, float)
        Accuracy of int8 and float in each fold.
    folds, repeats, images : int
    spent : (2,) float64 ndarray
        Seconds by the clock and of CPU.
    """
    int8, unrounded = (rate(float(count), images) for count in hits)
    return CrossValidation(folds, repeats, int8, unrounded, tuple(by_fold), float(spent[0]), float(spent[1]))


def finish_fold(
    train: Samples, test: Samples, settings: FitSettings, classes: int, place: Path, listener: FitListener
) -> Fold:
    """Return a fold's net and answers; where ``place`` (less its suffixes) has them already, nothing is trained."""
    figures, net = place.with_suffix(".json"), place.with_suffix(".tflite")
    if figures.is_file() and net.is_file():
        kept = json.loads(figures.read_text(encoding="utf-8"))
        int8, unrounded = (np.array(kept[kind], np.float32) for kind in ("int8", "float"))
        return Fold(open_reference(net.read_bytes()), int8, unrounded, kept["seconds"], kept["cpu"])
    fold = judge_fold(train, test, settings, classes, place.with_suffix(".npz"), listener)
    kept = {
        "int8": fold.int8.tolist(),
        "float": fold.unrounded.tolist(),
        "seconds": fold.seconds,
        "cpu": fold.cpu_seconds,
    }
    replace_file(net, fold.net.content)
    replace_file(figures, json.dumps(kept).encode())
    return fold


def judge_fold(
    train: Samples, test: Samples, settings: FitSettings, classes: int, checkpoint: Path, listener: FitListener
) -> Fold:
    """Return the int8 model that a run would make of ``train``, and how it and its float net judge ``test``."""
    start = time.monotonic(), time.process_time()
    inner, stop = (train.take(rows) for rows in hold_out(train, seed=settings.seed))
    fitted = fit(inner, stop, settings, classes=classes, checkpoint=checkpoint, listener=listener)
    quantized = quantize(fitted, inner, stop, settings, listener=listener)
    checkpoint.unlink(missing_ok=True)
    seen = test.view(settings.side)
    answers, unrounded = quantized.int8.probabilities(seen), predict(fitted.model, seen)
    took = time.monotonic() - start[0], time.process_time() - start[1]
    return Fold(quantized.int8, answers, unrounded, *took)
