"""From a published version to a finished run: train, quantize, judge, write."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from curation.errors import CurationError
from curation.images import camera_view
from curation.storage.disk_errors import explain_disk_faults
from curation.versions import Home
from curation.versions.originals import Originals, open_originals
from firmware.compiler import DEFAULT_BOARD, load_board, measure_budget
from training.bias_probes import look_for_shortcuts
from training.board_fit import require_fit
from training.data import Samples, TrainingData, open_training_data
from training.evaluate import Probabilities, evaluate
from training.fit import FitListener, FitSettings, SilentFitListener, fit
from training.folds import check_cross_validation, count_possible_folds, count_version_folds, cross_validate, hold_out
from training.models import build_model, find_architecture, predict
from training.out_of_distribution import Context, judge_context, list_context, read_context
from training.quantize import QuantizedModel, quantize
from training.run_summary import Assessment, RunResults
from training.runs import (
    Run,
    describe_run,
    find_runs,
    name_run,
    open_run,
    publish_dir,
    read_config,
    staging_dir,
    tool_version,
    write_run,
)

NO_BOARD: Final = "none"
SHORTCUT_FOLDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is made, in addition to the settings of the training.

    Parameters
    ----------
    home : Home
        The folder ``datasets/``.
    runs : pathlib.Path
        The folder of all runs.
    board : str
        The board that the model has to fit; ``none`` for a model that is only compared with others.
    alarm : str, optional
        The class the board warns of; by default the first that the recipe names.
    folds, repeats : int
        Of the cross-validation; 0 folds for none.
    originals : tuple of pathlib.Path
        Where the sources' archives may lie, for the images of other classes.
    again : bool
        Train again although the run exists.
    listener : FitListener
    """

    home: Home = field(default_factory=Home.find)
    runs: Path = field(default_factory=find_runs)
    board: str = DEFAULT_BOARD
    alarm: str | None = None
    folds: int = 0
    repeats: int = 1
    originals: tuple[Path, ...] = ()
    again: bool = False
    listener: FitListener = field(default_factory=SilentFitListener)


def make_run(reference: str, settings: FitSettings, options: RunOptions | None = None) -> Run:
    """Train a net on a published version and write its run; the same version and settings give the same run.

    An existing run is returned; an interrupted one is resumed.

    Parameters
    ----------
    reference : str
        ``melanoma``, ``melanoma@v2`` or ``melanoma@<digest prefix>``.
    settings : FitSettings
    options : RunOptions, optional

    Raises
    ------
    CurationError
        Where the version is damaged or cannot be trained on, or the model does not fit the board.
    """
    options = options or RunOptions()
    listener, architecture = options.listener, find_architecture(settings.model)
    board = None if options.board == NO_BOARD else load_board(options.board)
    data = open_training_data(options.home, reference, side=settings.side, alarm=options.alarm)
    settings = resolve_weights(settings, listener=listener)
    identity = {"board": options.board, "folds": options.folds, "repeats": options.repeats}
    name = name_run(data, settings, identity)
    folder = options.runs / name
    if folder.is_dir() and not options.again:
        return _open_existing(data, options, name)
    if options.folds:
        check_cross_validation(data.samples, folds=options.folds, repeats=options.repeats, seed=settings.seed)
        own = count_version_folds(data.samples)
        if own not in {0, options.folds}:
            listener.note(f"the version has {own} folds, which are not used: {options.folds} were asked for")
    if board is not None:
        require_fit(architecture, board, classes=len(data.classes), side=settings.side)
    elif not architecture.for_board:
        listener.note(f"{architecture.name} is trained for comparison; no board can run it")
    originals = open_originals(data.version, places=options.originals)
    _warn_of_missing(data, originals, listener=listener)
    with explain_disk_faults(f"{folder}: cannot be written", within=options.runs, setting="--runs"):
        place = staging_dir(options.runs, name)
        start = time.monotonic(), time.process_time()
        quantized = train_and_quantize(data, settings, place, name=name, listener=listener)
        took = time.monotonic() - start[0], time.process_time() - start[1]
        assessment = assess(data, quantized, settings, originals, options, place)
        budget = measure_budget(quantized.int8.content, board) if board is not None else None
        results = RunResults(name, data, settings, quantized, assessment, budget, *took)
        write_run(place, results, config=describe_run(data, settings, identity))
        publish_dir(place, folder)
    return Run(folder, read_config(folder))


def _open_existing(data: TrainingData, options: RunOptions, name: str) -> Run:
    run = open_run(options.runs, name)
    unasked = options.originals and not run.metrics["context"]["alarms"] and list_context(data.version).height
    further = " and judges it on the images of other classes" if unasked else ""
    options.listener.note(f"{name} exists already; --again trains it again{further}")
    return run


def resolve_weights(settings: FitSettings, *, listener: FitListener) -> FitSettings:
    """Return the settings with weights that exist: where ImageNet's are missing, the net starts from scratch.

    The listener gets the reason. The run then has the name and the result of ``weights="none"``.
    """
    if settings.weights == "none":
        return settings
    try:
        build_model(find_architecture(settings.model), classes=2, side=settings.side, weights=settings.weights)
    except CurationError as fault:
        listener.note(f"{fault.message}; {settings.model} starts from scratch")
        return replace(settings, weights="none")
    return settings


def train_and_quantize(
    data: TrainingData, settings: FitSettings, place: Path, *, name: str, listener: FitListener
) -> QuantizedModel:
    """Train on the version's training images and quantize; its test images are not used."""
    train, val = split_training(data, seed=settings.seed)
    if settings.weights == "none":
        listener.note(f"{settings.model} starts from scratch, without ImageNet weights")
    fitted = fit(
        train,
        val,
        settings,
        classes=len(data.classes),
        checkpoint=place / "checkpoint.npz",
        logs=place / "logs",
        listener=listener,
    )
    listener.note("quantizing to int8, and measuring what that costs")
    origin = {
        "run": name,
        "data": data.reference,
        "digest": data.version.digest,
        "tool": tool_version(),
        "classes": list(data.classes),
        "alarm": data.alarm,
    }
    return quantize(fitted, train, val, settings, metadata=origin, listener=listener)


def split_training(data: TrainingData, *, seed: int) -> tuple[Samples, Samples]:
    """Return the images to train on and those that decide when to stop: the val split, else groups of train."""
    train, val = data.samples.of_split("train"), data.samples.of_split("val")
    if len(val) and set(np.unique(val.labels)) == set(np.unique(train.labels)):
        return train, val
    inner, stop = hold_out(train, seed=seed)
    return train.take(inner), train.take(stop)


def assess(
    data: TrainingData,
    quantized: QuantizedModel,
    settings: FitSettings,
    originals: Originals,
    options: RunOptions,
    place: Path,
) -> Assessment:
    """Judge the int8 model on the test images, on classes it was not trained on, and in a cross-validation."""
    samples, int8, listener = data.samples, quantized.int8, options.listener
    listener.note("judging it: the test images, other classes, its worst mistakes")
    test = evaluate(
        samples.of_split("test"),
        int8.probabilities,
        classes=data.classes,
        alarm=data.alarm,
        side=settings.side,
        unrounded=lambda images: predict(quantized.fitted.model, images),
    )
    context = read_context(data.version, originals, side=settings.side)
    context_answers: Probabilities = int8.probabilities(camera_view(context.frames, side=settings.side))
    alarms = judge_context(context.table["source_label"].to_list(), context_answers, alarm=data.alarm_index)
    folds, held_out = None, None
    if options.folds:
        folds, held_out = cross_validate(
            samples,
            settings,
            classes=len(data.classes),
            alarm=data.alarm_index,
            folds=options.folds,
            repeats=options.repeats,
            folder=place,
            listener=listener,
        )
    listener.note("measuring what the border, the color and the sharpness alone predict")
    shortcut_folds = options.folds or count_possible_folds(samples, SHORTCUT_FOLDS)
    return Assessment(
        answers=int8.probabilities(samples.view(settings.side)),
        test=test,
        shortcuts=look_for_shortcuts(samples, side=settings.side, folds=shortcut_folds, seed=settings.seed),
        context=context.table,
        context_answers=context_answers,
        alarms=alarms,
        context_note=_describe_context(context),
        folds=folds,
        held_out=held_out,
    )


def _warn_of_missing(data: TrainingData, originals: Originals, *, listener: FitListener) -> None:
    """Note before the training, which takes minutes, that it cannot be judged on other classes at the end."""
    count = list_context(data.version).height
    if count and originals.missing:
        listener.note(
            f"the files of {', '.join(originals.missing)} were not found, or changed since the build: the model will "
            f"not be judged on {count:,} images of other classes; --originals sets where to look"
        )


def _describe_context(context: Context) -> str:
    """Return a sentence on the images of other classes, and on those that could not be read."""
    count = len(context.frames)
    if not count and not context.left_out:
        return "The version has no images of other classes."
    if not count:
        return (
            f"The version has {context.left_out:,} images of other classes, but the archives that contain them were "
            "not found; --originals sets where to look."
        )
    left_out = f" {context.left_out:,} more could not be read." if context.left_out else ""
    return f"{count:,} images of classes that the model was not trained on.{left_out}"
