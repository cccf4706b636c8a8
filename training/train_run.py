"""From a published version to a finished run, readable as the story of a model: train, quantise, judge, write down."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from curation.errors import CurationError
from curation.images import camera_view
from curation.images.camera import Side
from curation.storage.disk_errors import explain_disk_faults
from curation.versions import Home
from curation.versions.originals import open_originals
from firmware.compiler.tflite_reference import open_oracle
from training.bias_probes import look_for_shortcuts
from training.board_fit import require_fit
from training.budget import DEFAULT_BOARD, Board, load_board, measure_budget
from training.data import Material, Samples, open_material
from training.evaluate import evaluate, judge_context
from training.fit import FitSettings, Listener, SilentFitListener, fit, predict
from training.folds import cross_validate
from training.models import build_model, find_architecture
from training.out_of_distribution import Context, list_context, read_context
from training.quantise import add_metadata, quantise
from training.run_summary import Quantised, Results, Verdict
from training.run_writer import describe_run, write_run
from training.runs import Run, find_runs, name_run, open_run, read_config, settle, tool_version, workshop
from training.splits import check_cross_validation, count_possible_folds, hold_out

SHORTCUT_FOLDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is made; beside the settings of the training itself.

    Parameters
    ----------
    home : Home
        Where ``datasets/`` lies.
    runs : pathlib.Path
        Where runs are kept.
    board : str
        What the model has to fit; ``none`` for a model that is only compared with others.
    alarm : str, optional
        The class the board warns of; by default the first the recipe names.
    folds, repeats : int
        Of the cross-validation; no folds, none.
    originals : tuple of pathlib.Path
        Where the sources' archives may lie, for the classes the version holds back.
    again : bool
        Train anew although there is such a run.
    listener : Listener
    """

    home: Home = field(default_factory=Home.find)
    runs: Path = field(default_factory=find_runs)
    board: str = DEFAULT_BOARD
    alarm: str | None = None
    folds: int = 0
    repeats: int = 1
    originals: tuple[Path, ...] = ()
    again: bool = False
    listener: Listener = field(default_factory=SilentFitListener)


def produce(reference: str, settings: FitSettings, options: Options | None = None) -> Run:
    """Train a net on a published version and write its run; the same version and settings give the same run.

    A run that is there already is returned as it is; one that was interrupted is taken up where it stopped.

    Parameters
    ----------
    reference : str
        ``melanoma``, ``melanoma@v2`` or ``melanoma@<digest prefix>``.
    settings : FitSettings
    options : Options, optional

    Raises
    ------
    CurationError
        Where the version is not what was published or cannot be learnt from, or the model does not fit the board.
    """
    options = options or Options()
    architecture = find_architecture(settings.model)
    board = None if options.board == "none" else load_board(options.board)
    material = open_material(options.home, reference, side=settings.side, alarm=options.alarm)
    settings = settle_weights(settings, listener=options.listener)
    asked = {"board": options.board, "folds": options.folds, "repeats": options.repeats}
    name = name_run(material, settings, asked)
    folder = options.runs / name
    if folder.is_dir() and not options.again:
        run = open_run(options.runs, name)
        unasked = options.originals and not run.metrics["context"]["alarms"] and list_context(material.version).height
        further = ", and asks it about the pictures of other classes" if unasked else ""
        options.listener.note(f"{name} is there already; --again trains it anew{further}")
        return run
    if options.folds:
        check_cross_validation(material.samples, folds=options.folds, repeats=options.repeats, seed=settings.seed)
    if board is not None:
        require_fit(architecture, board, classes=len(material.classes), side=settings.side)
    elif not architecture.for_board:
        options.listener.note(f"{architecture.name} is trained to compare with: no board will run it")
    _warn_of_missing(material, options)
    with explain_disk_faults(f"{folder}: cannot be written", within=options.runs, setting="--runs"):
        place = workshop(options.runs, name)
        results = _produce(material, settings, options, board, name=name, place=place)
        write_run(place, results, config=describe_run(material, settings, asked))
        settle(place, folder)
    return Run(folder, read_config(folder))


def _produce(
    material: Material, settings: FitSettings, options: Options, board: Board | None, *, name: str, place: Path
) -> Results:
    """Train in the workshop, judge what came out, and count what it costs."""
    start = time.monotonic(), time.process_time()
    quantised = train(material, settings, place, listener=options.listener)
    trained = time.monotonic() - start[0], time.process_time() - start[1]
    origin = {
        "run": name,
        "data": material.reference,
        "digest": material.version.digest,
        "tool": tool_version(),
        "classes": list(material.classes),
        "alarm": material.alarm,
    }
    quantised = replace(
        quantised,
        int8=add_metadata(quantised.int8, origin),
        unrounded=add_metadata(quantised.unrounded, origin),
    )
    verdict = judge(material, quantised, settings, options, place)
    budget = measure_budget(quantised.int8, board) if board is not None else None
    return Results(name, material, settings, quantised, verdict, budget, *trained)


def settle_weights(settings: FitSettings, *, listener: Listener) -> FitSettings:
    """Return the settings with the weights that can be had: without ImageNet's the net starts from scratch, said aloud.

    The run is then the one that ``weights="none"`` gives, under its name.
    """
    if settings.weights == "none":
        return settings
    try:
        build_model(find_architecture(settings.model), classes=2, side=settings.side, weights=settings.weights)
    except CurationError as fault:
        listener.note(f"{fault.message}; so {settings.model} starts from scratch")
        return replace(settings, weights="none")
    return settings


def train(material: Material, settings: FitSettings, place: Path, *, listener: Listener) -> Quantised:
    """Train on the version's training pictures and quantise; its test pictures are not looked at."""
    learn, stop = split_training(material, seed=settings.seed)
    if settings.weights == "none":
        listener.note(f"{settings.model} starts from scratch, without ImageNet weights")
    fitted = fit(
        learn,
        stop,
        settings,
        classes=len(material.classes),
        checkpoint=place / "checkpoint.npz",
        logs=place / "logs",
        listener=listener,
    )
    listener.note("quantising to int8, and measuring what that costs")
    return quantise(fitted, learn, stop, settings, listener=listener)


def split_training(material: Material, *, seed: int) -> tuple[Samples, Samples]:
    """Return the pictures to learn from and those that say when to stop: the val split, else groups of train."""
    train, val = material.samples.of_split("train"), material.samples.of_split("val")
    if len(val) and set(np.unique(val.labels)) == set(np.unique(train.labels)):
        return train, val
    inner, stop = hold_out(train, seed=seed)
    return train.take(inner), train.take(stop)


def judge(material: Material, quantised: Quantised, settings: FitSettings, options: Options, place: Path) -> Verdict:
    """Judge the int8 model on the test pictures, on classes it was never taught, and in a cross-validation."""
    options.listener.note("judging it: the test pictures, classes it was never taught, its worst mistakes")
    oracle, test = open_oracle(quantised.int8), material.samples.of_split("test")
    evaluation = evaluate(
        test,
        oracle.probabilities,
        classes=material.classes,
        alarm=material.alarm,
        side=settings.side,
        float_judge=lambda pictures: predict(quantised.fitted.model, pictures),
    )
    context, note = read_held_back(material, options, side=settings.side)
    seen = camera_view(context.frames, side=settings.side)
    said = oracle.probabilities(seen) if len(seen) else np.empty((0, len(material.classes)), np.float32)
    alarms = judge_context(context.table["source_label"].to_list(), said, alarm=material.classes.index(material.alarm))
    folds, unseen = None, None
    if options.folds:
        folds, unseen = cross_validate(
            material.samples,
            settings,
            classes=len(material.classes),
            alarm=material.classes.index(material.alarm),
            folds=options.folds,
            repeats=options.repeats,
            folder=place,
            listener=options.listener,
        )
    cuts = options.folds or count_possible_folds(material.samples, SHORTCUT_FOLDS)
    options.listener.note("trying how far the border, the colour and the sharpness alone would come")
    shortcuts = look_for_shortcuts(material.samples, side=settings.side, folds=cuts, seed=settings.seed)
    return Verdict(evaluation, shortcuts, context.table, said, alarms, note, folds, unseen)


def _warn_of_missing(material: Material, options: Options) -> None:
    """Say before the training, which takes minutes, that it cannot be asked about other classes at the end."""
    asked = list_context(material.version).height
    missing = open_originals(material.version, places=options.originals).missing
    if asked and missing:
        options.listener.note(
            f"the archives of {', '.join(missing)} are not here, so it will not be asked about the {asked:,} pictures "
            "of other classes; --originals says where to look"
        )


def read_held_back(material: Material, options: Options, *, side: Side) -> tuple[Context, str]:
    """Return the pictures of classes that were never taught, and a sentence on those that could not be had."""
    asked = list_context(material.version).height
    originals = open_originals(material.version, places=options.originals)
    context = read_context(material.version, originals, side=side)
    if not asked:
        return context, "The version holds back no pictures of other classes."
    if not len(context.frames):
        return context, (
            f"The version holds back {asked:,} pictures of other classes, but the archives they lie in are not here; "
            "--originals says where to look."
        )
    left = f" {context.left_out:,} more could not be read." if context.left_out else ""
    return context, f"{len(context.frames):,} pictures of classes the model was never taught.{left}"
