"""Repeated stratified group k-fold: nets judged only on groups they never saw, for an interval that means something."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.data import Samples
from training.evaluate import CrossValidation, pool_folds
from training.fit import Listener, Settings, fit, predict
from training.oracle import open_oracle
from training.quantise import quantise
from training.runs import write_text
from training.scores import Probabilities
from training.splits import cut_folds, hold_out


def cross_validate(
    samples: Samples,
    settings: Settings,
    *,
    classes: int,
    folds: int,
    repeats: int,
    folder: Path,
    listener: Listener,
) -> tuple[CrossValidation, Probabilities]:
    """Train and quantise a net for each fold and judge it on the rest.

    Each fold holds out groups of its own learning part to decide when to stop, and calibrates on that part alone, just
    as a run does. What a fold came to is kept in ``folder``, so that an interruption costs an epoch.

    Parameters
    ----------
    samples : Samples
        All pictures, whatever their split.
    settings : Settings
    classes, folds, repeats : int
    folder : pathlib.Path
        For what is finished; it must belong to these pictures and settings alone.
    listener : Listener

    Returns
    -------
    CrossValidation
    (n, classes) float32 ndarray
        What int8 nets that never saw a picture's group say of it, the mean over the repeats.
    """
    right: list[tuple[float, float]] = []
    answers = np.zeros((len(samples), classes), np.float32)
    hits, spent = np.zeros(2), np.zeros(2)
    for repeat in range(repeats):
        for number, (learn, judge) in enumerate(cut_folds(samples, folds=folds, seed=settings.seed + repeat)):
            listener.note(f"fold {number + 1} of {folds}, repeat {repeat + 1} of {repeats}")
            path = folder / f"fold-{repeat}-{number}.json"
            if not path.is_file():
                seeded = replace(settings, seed=settings.seed + 1000 * repeat + number)
                start = time.monotonic(), time.process_time()
                judged = judge_fold(samples.take(learn), samples.take(judge), seeded, classes, path, listener)
                took = time.monotonic() - start[0], time.process_time() - start[1]
                said = {"int8": judged[0].tolist(), "float": judged[1].tolist(), "seconds": took[0], "cpu": took[1]}
                write_text(path, json.dumps(said))
            kept = json.loads(path.read_text(encoding="utf-8"))
            int8, unrounded = (np.array(kept[kind], np.float32) for kind in ("int8", "float"))
            correct = np.array([(said.argmax(axis=1) == samples.labels[judge]).sum() for said in (int8, unrounded)])
            answers[judge] += int8 / repeats
            hits += correct
            right.append((float(correct[0]) / len(judge), float(correct[1]) / len(judge)))
            spent += kept["seconds"], kept["cpu"]
    pooled = pool_folds(hits / repeats, right, folds=folds, repeats=repeats, pictures=len(samples), spent=spent)
    return pooled, answers


def judge_fold(
    learn: Samples, judge: Samples, settings: Settings, classes: int, place: Path, listener: Listener
) -> tuple[Probabilities, Probabilities]:
    """Return what a net says to ``judge`` as int8, made of ``learn`` as a run makes it, and as float: (n, classes)."""
    inner, stop = hold_out(learn, seed=settings.seed)
    checkpoint = place.with_suffix(".npz")
    fitted = fit(
        learn.take(inner), learn.take(stop), settings, classes=classes, checkpoint=checkpoint, listener=listener
    )
    quantised = quantise(fitted, learn.take(inner), learn.take(stop), settings, listener=listener)
    checkpoint.unlink(missing_ok=True)
    seen = judge.view(settings.side)
    return open_oracle(quantised.int8).probabilities(seen), predict(fitted.model, seen)
