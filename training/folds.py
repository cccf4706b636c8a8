"""Repeated stratified group k-fold: nets judged only on groups they never saw, for an interval that means something."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.storage.atomic_files import replace_file
from firmware.compiler.tflite_reference import open_oracle
from training.data import Samples
from training.evaluate import CrossValidation, Unseen, judge_strata, pool_folds
from training.fit import FitSettings, Listener, fit, predict
from training.quantise import quantise
from training.runs import write_text
from training.scores import Probabilities, score
from training.splits import cut_folds, hold_out


def cross_validate(
    samples: Samples,
    settings: FitSettings,
    *,
    classes: int,
    alarm: int,
    folds: int,
    repeats: int,
    folder: Path,
    listener: Listener,
) -> tuple[CrossValidation, Unseen]:
    """Train and quantise a net for each fold and judge it on the rest.

    Each fold holds out groups of its own learning part to decide when to stop, and calibrates on that part alone, just
    as a run does. What a fold came to is kept in ``folder``, so that an interruption costs an epoch.

    Parameters
    ----------
    samples : Samples
        All pictures, whatever their split.
    settings : FitSettings
    classes, alarm : int
        How many classes there are, and the index of the one the board warns of.
    folds, repeats : int
    folder : pathlib.Path
        For what is finished; it must belong to these pictures and settings alone.
    listener : Listener

    Returns
    -------
    CrossValidation, Unseen
    """
    right: list[tuple[float, float]] = []
    said = np.zeros((repeats, len(samples), classes), np.float32)
    hits, spent = np.zeros(2), np.zeros(2)
    net_of, nets = np.zeros(len(samples), np.int64), []
    for repeat in range(repeats):
        for number, (learn, judge) in enumerate(cut_folds(samples, folds=folds, seed=settings.seed + repeat)):
            listener.note(f"fold {number + 1} of {folds}, repeat {repeat + 1} of {repeats}")
            seeded = replace(settings, seed=settings.seed + 1000 * repeat + number)
            place = folder / f"fold-{repeat}-{number}"
            fold = finish_fold(samples.take(learn), samples.take(judge), seeded, classes, place, listener)
            hits += fold.hits
            spent += fold.spent
            right.append((float(fold.hits[0]) / len(judge), float(fold.hits[1]) / len(judge)))
            said[repeat, judge] = fold.int8
            if repeat == 0:
                net_of[judge] = number
                nets.append(fold.net)
    pooled = pool_folds(hits / repeats, right, folds=folds, repeats=repeats, pictures=len(samples), spent=spent)
    scores = score(samples.labels, said[0], classes=classes, alarm=alarm)
    strata = judge_strata(samples.table, samples.metadata, said[0].argmax(axis=1) == samples.labels)
    return pooled, Unseen(said.mean(axis=0), said[0], tuple(nets), net_of, scores, strata)


@dataclass(frozen=True)
class Fold:
    """What one fold has come to.

    Parameters
    ----------
    net : bytes
        The int8 model.
    int8 : (n, classes) float32 ndarray
        What it says to the pictures it was judged on.
    hits : (2,) float64 ndarray
        How many of them int8 and float net got right.
    spent : (2,) float64 ndarray
        Seconds by the clock and of CPU.
    """

    net: bytes
    int8: Probabilities
    hits: npt.NDArray[np.float64]
    spent: npt.NDArray[np.float64]


def finish_fold(
    learn: Samples, judge: Samples, settings: FitSettings, classes: int, place: Path, listener: Listener
) -> Fold:
    """Return what a fold comes to; where ``place`` (less its suffixes) holds that already, nothing is trained."""
    figures, net = place.with_suffix(".json"), place.with_suffix(".tflite")
    if not (figures.is_file() and net.is_file()):
        start = time.monotonic(), time.process_time()
        content, int8, unrounded = judge_fold(learn, judge, settings, classes, place.with_suffix(".npz"), listener)
        took = time.monotonic() - start[0], time.process_time() - start[1]
        said = {"int8": int8.tolist(), "float": unrounded.tolist(), "seconds": took[0], "cpu": took[1]}
        replace_file(net, content)
        write_text(figures, json.dumps(said))
    kept = json.loads(figures.read_text(encoding="utf-8"))
    answers = [np.array(kept[kind], np.float32) for kind in ("int8", "float")]
    hits = np.array([float((said.argmax(axis=1) == judge.labels).sum()) for said in answers])
    return Fold(net.read_bytes(), answers[0], hits, np.array([kept["seconds"], kept["cpu"]]))


def judge_fold(
    learn: Samples, judge: Samples, settings: FitSettings, classes: int, checkpoint: Path, listener: Listener
) -> tuple[bytes, Probabilities, Probabilities]:
    """Return the int8 model made of ``learn`` as a run makes it, and what it and its float net say to ``judge``."""
    inner, stop = hold_out(learn, seed=settings.seed)
    fitted = fit(
        learn.take(inner), learn.take(stop), settings, classes=classes, checkpoint=checkpoint, listener=listener
    )
    quantised = quantise(fitted, learn.take(inner), learn.take(stop), settings, listener=listener)
    checkpoint.unlink(missing_ok=True)
    seen = judge.view(settings.side)
    return quantised.int8, open_oracle(quantised.int8).probabilities(seen), predict(fitted.model, seen)
