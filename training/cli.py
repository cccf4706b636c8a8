"""The command line: one function for each verb parses, calls the library and prints; heavy imports stay inside."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation.cli_runner import clean, print_error, print_json, run_command
from training.console import (
    ProgressScreen,
    print_budget,
    print_evaluation,
    print_exported,
    print_run,
    print_runs,
    print_search,
    print_warning,
)

if TYPE_CHECKING:
    from curation.versions import Home

__all__ = ["app", "main"]

MOST_SEED = 2**31 - 1
"""numpy, scikit-learn and TensorFlow accept it, and the seeds of the folds, which are derived from it."""

app = typer.Typer(
    name="training",
    help="Turn one published version into an int8 model that fits a 256 KB board, and measure how good it really is.",
    epilog="Begin with: python -m training fit sample",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class StartingWeights(StrEnum):
    """Where a net starts from."""

    none = "none"
    imagenet = "imagenet"


class Side(StrEnum):
    """Side of the network's input in pixels."""

    large = "96"
    small = "48"


class Part(StrEnum):
    """Which images of a version are judged."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class Target(StrEnum):
    """What an export is for."""

    firmware = "firmware"


Version = Annotated[str, typer.Argument(help="NAME, NAME@v2 or NAME@<digest>: a published version", metavar="VERSION")]
RunName = Annotated[str, typer.Argument(help="A run's name, the beginning of it, or its folder", metavar="RUN")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document")]
Originals = Annotated[
    list[Path] | None,
    typer.Option(help="Where the sources' archives are, to judge the model on images of other classes (repeatable)"),
]
OnlyBoardName = Annotated[str, typer.Option("--board", help="The board: a name or a .toml file")]
BoardName = Annotated[str, typer.Option(help="The board that the model has to fit: a name, a .toml file, or none")]


@dataclass(frozen=True)
class Folders:
    """The folders that the options before the verb set."""

    datasets: Path | None = None
    runs: Path | None = None

    def find_home(self) -> "Home":
        """Return the folder of datasets."""
        from curation.versions import Home

        return Home.find(self.datasets)

    def find_runs(self) -> Path:
        """Return the folder of runs."""
        from training.runs import find_runs

        return find_runs(self.runs)


@app.callback()
def folders(
    context: typer.Context,
    datasets: Annotated[
        Path | None, typer.Option(help="The folder of definitions and builds [$CURATION_DATASETS, else ./datasets]")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="The folder of runs [$TRAINING_RUNS, else ./training/runs]")] = None,
) -> None:
    """Pass the folders to every verb."""
    context.obj = Folders(datasets, runs)


@app.command(
    epilog="Examples: python -m training fit melanoma;  fit melanoma@v2 --model mobilenet_v2 --alpha 0.2 --folds 5;  "
    "fit melanoma --model resnet50 --board none"
)
def fit(
    context: typer.Context,
    version: Version,
    model: Annotated[
        str, typer.Option(help="ds_cnn, mobilenet_v2, efficientnet or resnet50, or a full name like ds_cnn_s")
    ] = "ds_cnn",
    alpha: Annotated[str | None, typer.Option(help="Width of mobilenet_v2: 0.1, 0.2 or 0.35")] = None,
    size: Annotated[str | None, typer.Option(help="Size of ds_cnn: xs or s")] = None,
    side: Annotated[Side, typer.Option(help="Side of the input in pixels")] = Side.large,
    weights: Annotated[
        StartingWeights, typer.Option(help="Start from scratch, or from ImageNet's weights where they exist")
    ] = (StartingWeights.none),
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same model, byte for byte")
    ] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs at most")] = 40,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after this many epochs without improvement [15; mobilenet_v2: 40]"),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images in each step [32; mobilenet_v2: 16, at half the rate]")
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            min=0, help="Also cross-validate with this many folds (the version's own, if it has so many); 0: no"
        ),
    ] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats of the cross-validation")] = 1,
    board: BoardName = "nano33ble",
    alarm: Annotated[str | None, typer.Option(help="The class the board warns of [the recipe's first]")] = None,
    originals: Originals = None,
    again: Annotated[bool, typer.Option("--again", help="Train again although the run exists")] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a version, quantize and judge it, and write its run; the same command resumes it."""
    from curation.versions import find
    from training.fit import FitSettings
    from training.framework import load_keras
    from training.models import find_architecture
    from training.train_run import RunOptions, make_run

    chosen: Folders = context.obj
    if find_spec("tensorflow") is not None:
        find(chosen.find_home(), version)  # a mistyped name is an error before TensorFlow is imported
        if not as_json:
            typer.echo("starting TensorFlow ...", err=True)  # which takes some seconds
    load_keras()  # fails at once where the extra is missing
    if folds == 0 and repeats > 1:
        raise typer.BadParameter("--repeats needs --folds")
    if alpha and size:
        raise typer.BadParameter("--alpha belongs to mobilenet_v2, --size to ds_cnn: give one of them")
    settings = FitSettings(
        model=find_architecture(model, variant=alpha or size).name,
        side=96 if side is Side.large else 48,
        weights=weights.value,
        seed=seed,
        epochs=epochs,
        patience=patience or 0,
        batch=batch or 0,
    )
    with ProgressScreen(quiet=as_json) as screen:
        options = RunOptions(
            home=chosen.find_home(),
            runs=chosen.find_runs(),
            board=board,
            alarm=alarm,
            folds=folds,
            repeats=repeats,
            originals=tuple(originals or ()),
            again=again,
            listener=screen,
        )
        run = make_run(version, settings, options)
    if as_json:
        print_json({"run": run.name, "folder": str(run.folder), "metrics": run.metrics})
    else:
        print_run(run)


@app.command(epilog="Example: python -m training search melanoma --folds 3 --model ds_cnn_xs --model ds_cnn_s")
def search(
    context: typer.Context,
    version: Version,
    model: Annotated[list[str] | None, typer.Option(help="A net to try (repeatable) [all that fit a board]")] = None,
    side: Annotated[list[Side] | None, typer.Option(help="A side to try (repeatable) [both]")] = None,
    board: OnlyBoardName = "nano33ble",
    folds: Annotated[int, typer.Option(min=2, help="Folds of the training split")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs at most, in each fold")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 1,
    again: Annotated[bool, typer.Option("--again", help="Search again although the search exists")] = False,
    as_json: Json = False,
) -> None:
    """Train every net that fits a board in folds of the training split; print a table and the Pareto front."""
    from firmware.compiler import load_board
    from training.fit import FitSettings
    from training.framework import load_keras
    from training.models import find_architecture
    from training.search import search as find_nets

    chosen: Folders = context.obj
    load_keras()
    with ProgressScreen(quiet=as_json) as screen:
        found = find_nets(
            version,
            FitSettings(epochs=epochs, patience=epochs, seed=seed),
            home=chosen.find_home(),
            runs=chosen.find_runs(),
            board=load_board(board),
            models=[find_architecture(name).name for name in model or ()],
            sides=[96 if one is Side.large else 48 for one in side or Side],
            folds=folds,
            again=again,
            listener=screen,
        )
    if as_json:
        typer.echo((found.folder / "search.json").read_text(encoding="utf-8"))
    else:
        print_search(found)


@app.command(
    epilog="Examples: python -m training evaluate melanoma-v1;  evaluate melanoma-v1 --on melanoma@v2 --part all"
)
def evaluate(
    context: typer.Context,
    run: RunName,
    on: Annotated[str | None, typer.Option(help="The version to judge it on [its own]", metavar="VERSION")] = None,
    part: Annotated[Part, typer.Option(help="Which of its images")] = Part.test,
    as_json: Json = False,
) -> None:
    """Judge a run on a version, without the images it was trained on."""
    from firmware.compiler.tflite_reference import require_litert
    from training.inference import evaluate_on_version
    from training.run_summary import plain
    from training.runs import open_run

    chosen: Folders = context.obj
    require_litert()
    opened = open_run(chosen.find_runs(), run)
    found = evaluate_on_version(opened, chosen.find_home(), on or opened.exact_reference, part=part.value)
    if as_json:
        print_json({"run": opened.name, **plain(found)})
    else:
        print_evaluation(opened, found)


@app.command(epilog="Example: python -m training predict melanoma-v1 photo.jpg other.png")
def predict(
    context: typer.Context,
    run: RunName,
    images: Annotated[list[Path], typer.Argument(help="Image files")],
    as_json: Json = False,
) -> None:
    """Print what a run's int8 model predicts for image files. It is not a diagnosis."""
    from firmware.compiler.tflite_reference import require_litert
    from training.inference import Unreadable, predict_files
    from training.runs import open_run

    chosen: Folders = context.obj
    require_litert()
    opened = open_run(chosen.find_runs(), run)
    found: list[dict[str, Any]] = []
    for one in predict_files(opened, images):
        if isinstance(one, Unreadable):
            found.append({"path": str(one.path), "error": one.fault.message, "code": one.fault.code})
            print_error(one.fault)
            continue
        found.append({"path": str(one.path), "answer": one.answer, "probabilities": one.probabilities})
        if not as_json:
            share = 100 * one.probabilities[one.answer]
            typer.echo(f"{clean(one.path)}: {one.answer} ({share:.1f} %)")
    if as_json:
        print_json(found)
    elif any("answer" in one for one in found):
        print_warning(opened)
    if any("error" in one for one in found):
        raise typer.Exit(1)


@app.command(
    epilog="Examples: python -m training export melanoma-v1 --to firmware;  "
    "export model.tflite --to firmware --label healthy --label melanoma --alarm melanoma"
)
def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A run, or an int8 .tflite file", metavar="RUN")],
    to: Annotated[Target, typer.Option("--to", help="The target")] = Target.firmware,
    output: Annotated[Path, typer.Option(help="The folder to write into")] = Path("firmware/generated"),
    board: OnlyBoardName = "nano33ble",
    label: Annotated[list[str] | None, typer.Option(help="Only for a .tflite: its output labels, in order")] = None,
    alarm: Annotated[str | None, typer.Option(help="Only for a .tflite: the label the board warns of")] = None,
) -> None:
    """Compile a model for the firmware: model.c, model.h and golden.h."""
    from firmware.compiler.tflite_reference import require_litert
    from training.export import export_file, export_run
    from training.runs import open_run

    chosen: Folders = context.obj
    require_litert()
    if not model.endswith(".tflite") and (label or alarm):
        raise typer.BadParameter("a run knows its labels; --label and --alarm are for a .tflite file")
    if model.endswith(".tflite"):
        done = export_file(Path(model), output, labels=label or [], alarm=alarm, board=board)
    else:
        done = export_run(open_run(chosen.find_runs(), model), output, home=chosen.find_home(), board=board)
    print_exported(done)


@app.command(epilog="Examples: python -m training budget model_int8.tflite;  budget melanoma-v1 --layers")
def budget(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="An int8 .tflite file, or a run", metavar="MODEL")],
    board: OnlyBoardName = "nano33ble",
    layers: Annotated[bool, typer.Option("--layers", help="Also layer by layer")] = False,
    as_json: Json = False,
) -> None:
    """Print what a model costs on a board; the exit code is 1 where it does not fit."""
    from firmware.compiler import load_board, measure_budget
    from firmware.compiler.tflite_reference import require_litert
    from training.board_fit import refuse_unfit
    from training.data import read_file
    from training.run_summary import plain
    from training.runs import open_run

    chosen: Folders = context.obj
    require_litert()
    if model.endswith(".tflite"):
        content = read_file(Path(model))
    else:
        content = open_run(chosen.find_runs(), model).read("model_int8.tflite")
    asked = load_board(board)
    found = measure_budget(content, asked)
    if as_json:
        print_json(plain(found))
        raise typer.Exit(1 if found.problems else 0)  # the document contains the problems
    print_budget(found, layers=layers)
    refuse_unfit(content, found, asked, name=model)


@app.command("list", epilog="Example: python -m training list")
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """List the runs; the exit code is 1 where one of them is damaged."""
    from training.runs import list_runs

    chosen: Folders = context.obj
    folder = chosen.find_runs()
    found, faults = list_runs(folder)
    for fault in faults:
        print_error(fault)
    if as_json:
        print_json([{"run": one.name, "data": one.reference, "metrics": one.metrics} for one in found])
    elif found:
        print_runs(found)
    elif not faults:
        typer.echo(f"{folder}: no run yet; `python -m training fit sample` makes one")
    if faults:
        raise typer.Exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 error in the input, 2 wrong usage, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    resumes = {"fit", "search"} & set(given)
    after = ": the same command resumes after the last finished epoch" if resumes else "; finished runs are complete"
    return run_command(app, given, program="python -m training", interrupted=after)
