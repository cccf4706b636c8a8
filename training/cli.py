"""The command line: parse, call the library, print. One function a verb; heavy imports stay inside them."""

import json
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curation.cli_runner import run_command
from curation.errors import CurationError

if TYPE_CHECKING:
    from training.fit import Epoch
    from training.runs import Run

__all__ = ["app", "main"]

MOST_SEED = 2**31 - 1
"""numpy's, scikit-learn's and TensorFlow's generators all take it, and those of the folds after it."""

app = typer.Typer(
    name="training",
    help="Turn one published version into an int8 model that fits a 256 KB board, and say how good it really is.",
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
    """Which pictures of a version are asked about."""

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
    typer.Option(help="Where the sources' archives lie, to try the classes the version holds back (repeatable)"),
]
BoardName = Annotated[str, typer.Option(help="What it has to fit: a board's name or .toml file; none: no board")]


@app.callback()
def settings(
    datasets: Annotated[
        Path | None, typer.Option(help="The folder of definitions and builds [$CURATION_DATASETS, else ./datasets]")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Where runs are kept [$TRAINING_RUNS, else ./training/runs]")
    ] = None,
) -> None:
    """Hand the folders on to every verb."""
    if datasets is not None:
        os.environ["CURATION_DATASETS"] = str(datasets)
    if runs is not None:
        os.environ["TRAINING_RUNS"] = str(runs)


@app.command(
    epilog="Examples: python -m training fit melanoma;  fit melanoma@v2 --model mobilenet_v2 --alpha 0.2 --folds 5;  "
    "fit melanoma --model resnet50 --board none"
)
def fit(
    version: Version,
    model: Annotated[
        str, typer.Option(help="ds_cnn, mobilenet_v2, efficientnet or resnet50, or a full name like ds_cnn_s")
    ] = "ds_cnn",
    alpha: Annotated[str | None, typer.Option(help="Width of mobilenet_v2: 0.1, 0.2 or 0.35")] = None,
    size: Annotated[str | None, typer.Option(help="Size of ds_cnn: xs or s")] = None,
    side: Annotated[Side, typer.Option(help="Side of the input in pixels")] = Side.large,
    weights: Annotated[
        StartingWeights, typer.Option(help="Start from scratch, or from ImageNet's weights where they can be had")
    ] = (StartingWeights.none),
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same model, byte for byte")
    ] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="At most")] = 40,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs without improvement after which it stops; unsaid: 15, for mobilenet_v2 40"),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Pictures a step; unsaid: 32, for mobilenet_v2 16 at half the rate")
    ] = None,
    folds: Annotated[int, typer.Option(min=0, help="Also cross-validate with this many folds (0: not)")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="How often the cross-validation is repeated")] = 1,
    board: BoardName = "nano33ble",
    alarm: Annotated[str | None, typer.Option(help="The class the board warns of [the recipe's first]")] = None,
    originals: Originals = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew although there is such a run")] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a version, quantise it, judge it and write its run; interrupted, the same command goes on."""
    from curation.versions import Home, find
    from training.fit import FitSettings
    from training.framework import load_keras
    from training.models import find_architecture
    from training.runs import find_runs
    from training.train_run import Options, produce

    if find_spec("tensorflow") is not None:
        find(Home.find(), version)  # a mistyped name is told before TensorFlow is there
        if not as_json:
            typer.echo("starting TensorFlow ...", err=True)  # which takes some seconds
    load_keras()  # says at once where the extra is missing
    if folds == 0 and repeats > 1:
        raise typer.BadParameter("there is no cross-validation to repeat: --folds says how it is cut")
    if alpha and size:
        raise typer.BadParameter("--alpha is mobilenet_v2's, --size is ds_cnn's: a net has one of them")
    chosen = FitSettings(
        model=find_architecture(model, variant=alpha or size).name,
        side=96 if side is Side.large else 48,
        weights=weights.value,
        seed=seed,
        epochs=epochs,
        patience=patience or 0,
        batch=batch or 0,
    )
    with Screen(quiet=as_json) as screen:
        options = Options(
            home=Home.find(),
            runs=find_runs(),
            board=board,
            alarm=alarm,
            folds=folds,
            repeats=repeats,
            originals=tuple(originals or ()),
            again=again,
            listener=screen,
        )
        run = produce(version, chosen, options)
    _show_run(run, as_json=as_json)


@app.command(epilog="Example: python -m training search melanoma --folds 3 --model ds_cnn_xs --model ds_cnn_s")
def search(
    version: Version,
    model: Annotated[
        list[str] | None, typer.Option(help="A net to try (repeatable) [all that are made for a board]")
    ] = None,
    side: Annotated[list[Side] | None, typer.Option(help="A side to try (repeatable) [both]")] = None,
    board: BoardName = "nano33ble",
    folds: Annotated[int, typer.Option(min=2, help="Folds of the training split each is judged in")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="At most, in each fold")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 1,
    again: Annotated[bool, typer.Option("--again", help="Search anew what is there already")] = False,
    as_json: Json = False,
) -> None:
    """Train every net that fits a board in folds of the training split; end in a table and the Pareto front."""
    from curation.versions import Home
    from training.budget import load_board
    from training.fit import FitSettings
    from training.framework import load_keras
    from training.models import find_architecture
    from training.runs import find_runs, plain
    from training.search import search as look

    load_keras()
    sides = [int(one.value) for one in side] if side else [96, 48]
    with Screen(quiet=as_json) as screen:
        found = look(
            version,
            FitSettings(epochs=epochs, patience=epochs, seed=seed),
            home=Home.find(),
            runs=find_runs(),
            board=load_board(board),
            models=[find_architecture(name).name for name in model or ()],
            sides=[96 if one == 96 else 48 for one in sides],
            folds=folds,
            again=again,
            listener=screen,
        )
    if as_json:
        typer.echo((found.folder / "search.json").read_text(encoding="utf-8"))
        return
    front = {one.name for one in found.front()}
    head = ("net", "accuracy, int8", "RAM, B", "flash, B", "multiplications", "front")
    rows = [
        (
            one.name,
            _rate(plain(one.accuracy.int8)) if one.accuracy else "refused",
            f"{one.budget.ram_bytes:,}",
            f"{one.budget.flash_bytes:,}",
            f"{one.budget.macs:,}",
            "yes" if one.name in front else "",
        )
        for one in found.candidates
    ]
    _print_table(head, rows)
    typer.echo(f"page: {found.folder / 'search.html'}")


@app.command(
    epilog="Examples: python -m training evaluate melanoma-v1;  evaluate melanoma-v1 --on melanoma@v2 --part all"
)
def evaluate(
    run: RunName,
    on: Annotated[str | None, typer.Option(help="The version to try it on [its own]", metavar="VERSION")] = None,
    part: Annotated[Part, typer.Option(help="Which pictures of it")] = Part.test,
    as_json: Json = False,
) -> None:
    """Judge a run on a version, without the pictures it was trained on."""
    from curation.versions import Home
    from training.framework import require_litert
    from training.inference import try_on_version
    from training.runs import find_runs, open_run, plain

    require_litert()
    opened = open_run(find_runs(), run)
    trial = try_on_version(opened, Home.find(), on or opened.exact_reference, part=part.value)
    if as_json:
        typer.echo(json.dumps({"run": opened.name, **plain(trial)}, indent=2))
        return
    typer.echo(f"{opened.name} on {trial.reference}, {trial.part}")
    if trial.left_out:
        typer.echo(f"{trial.left_out:,} pictures left out: it was trained on them or on one of their group")
    rows = _test_rows(plain(trial.evaluation), alarm=opened.alarm, part=trial.part)
    strata = trial.evaluation.strata
    _print_rows(rows + [(f"{one.column} {one.value}: accuracy", _rate(plain(one.accuracy))) for one in strata])


@app.command(epilog="Example: python -m training predict melanoma-v1 photo.jpg other.png")
def predict(
    run: RunName,
    images: Annotated[list[Path], typer.Argument(help="Image files")],
    as_json: Json = False,
) -> None:
    """Say what a run's int8 model sees in image files. It is no diagnosis."""
    from training.framework import require_litert
    from training.inference import Refusal, predict_files
    from training.runs import find_runs, open_run

    require_litert()
    opened = open_run(find_runs(), run)
    told: list[dict[str, Any]] = []
    for one in predict_files(opened, images):
        if isinstance(one, Refusal):
            told.append({"path": str(one.path), "error": one.fault})
            typer.echo(f"error: {one.fault}", err=True)
            continue
        told.append({"path": str(one.path), "answer": one.answer, "probabilities": one.probabilities})
        if not as_json:
            typer.echo(f"{one.path}: {one.answer} ({100 * one.probabilities[one.answer]:.1f} %)")
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    elif any("answer" in one for one in told):
        _tell_what_it_is(opened)
    if any("error" in one for one in told):
        raise typer.Exit(1)


def _tell_what_it_is(opened: "Run") -> None:
    typer.echo("Not a medical device: see a doctor about any spot that worries you.", err=True)
    if opened.metrics.get("one_answer"):  # runs of before do not say
        typer.echo(opened.metrics["first_line"], err=True)
        return
    if alarms := opened.metrics["context"]["alarms"]:
        told = ", ".join(f"{100 * one['alarms']['share']:.0f} % of {one['source_label']}" for one in alarms)
        typer.echo(f"Of what it was never taught to tell apart, it called {opened.alarm}: {told}.", err=True)


@app.command(
    epilog="Examples: python -m training export melanoma-v1 --to firmware;  "
    "export model.tflite --to firmware --label healthy --label melanoma --alarm melanoma"
)
def export(
    model: Annotated[str, typer.Argument(help="A run, or an int8 .tflite file", metavar="RUN")],
    to: Annotated[Target, typer.Option("--to", help="What it is for")] = Target.firmware,
    output: Annotated[Path, typer.Option(help="The folder to write into")] = Path("firmware/generated"),
    board: Annotated[str, typer.Option(help="What it has to fit: a board's name or .toml file")] = "nano33ble",
    label: Annotated[list[str] | None, typer.Option(help="Of a .tflite: what its outputs mean, in order")] = None,
    alarm: Annotated[str | None, typer.Option(help="Of a .tflite: the label the board warns of")] = None,
) -> None:
    """Compile a model for the firmware: model.c, model.h and golden.h."""
    from curation.versions import Home
    from training.export import export_file, export_run
    from training.framework import require_litert
    from training.runs import find_runs, open_run

    require_litert()
    if not model.endswith(".tflite") and (label or alarm):
        raise typer.BadParameter("a run says itself what its outputs mean; --label and --alarm are a .tflite's")
    if model.endswith(".tflite"):
        done = export_file(Path(model), output, labels=label or [], alarm=alarm, board=board)
    else:
        done = export_run(open_run(find_runs(), model), output, home=Home.find(), board=board)
    for file in done.files:
        typer.echo(str(file))
    rows = done.plan.row_mode_arena_bytes
    streamed = "" if rows is None else f" ({rows:,} B with rows from the camera)"
    typer.echo(f"arena {done.plan.arena_bytes:,} B{streamed}, flash {done.plan.flash_bytes:,} B, estimated")


@app.command(epilog="Examples: python -m training budget model_int8.tflite;  budget melanoma-v1 --layers")
def budget(
    model: Annotated[str, typer.Argument(help="An int8 .tflite file, or a run", metavar="MODEL")],
    board: Annotated[str, typer.Option(help="A board's name or .toml file")] = "nano33ble",
    layers: Annotated[bool, typer.Option("--layers", help="Also layer by layer")] = False,
    as_json: Json = False,
) -> None:
    """Say what a model costs on a board; ends with 1 where it does not fit."""
    from training.board_fit import refuse_unfit
    from training.budget import load_board, measure_budget
    from training.framework import require_litert
    from training.runs import find_runs, open_run, plain

    require_litert()
    if model.endswith(".tflite"):
        try:
            content = Path(model).read_bytes()
        except OSError as fault:
            raise CurationError(f"{model}: cannot be read: {fault.strerror}") from None
    else:
        content = open_run(find_runs(), model).read("model_int8.tflite")
    asked = load_board(board)
    found = measure_budget(content, asked)
    if as_json:
        typer.echo(json.dumps(plain(found), indent=2))
        raise typer.Exit(1 if found.problems else 0)  # which stand in the document
    _print_rows(_budget_rows(plain(found)))
    if layers:
        head = ("layer", "operator", "result", "multiplications", "weights, B", "result, B", "ms")
        _print_table(
            head,
            [
                (
                    one.name.split(";")[0][-40:],
                    one.op,
                    "x".join(str(length) for length in one.shape[1:]),
                    f"{one.macs:,}",
                    f"{one.weight_bytes:,}",
                    f"{one.activation_bytes:,}",
                    f"{one.milliseconds:.2f}",
                )
                for one in found.layers
            ],
        )
    refuse_unfit(content, found, asked, name=model)


@app.command("list", epilog="Example: python -m training list")
def list_all(as_json: Json = False) -> None:
    """Say which runs there are; ends with 1 where one of them is damaged."""
    from training.runs import find_runs, list_runs

    folder = find_runs()
    found, faults = list_runs(folder)
    for fault in faults:
        typer.echo(f"error: {fault.message}", err=True)
    if as_json:
        said = [{"run": one.name, "data": one.reference, "metrics": one.metrics} for one in found]
        typer.echo(json.dumps(said, indent=2))
    elif found:
        _print_runs(found)
    elif not faults:
        typer.echo(f"{folder}: no run yet; `python -m training fit sample` makes one")
    if faults:
        raise typer.Exit(1)


def _print_runs(found: "Sequence[Run]") -> None:
    head = ("run", "data", "test accuracy, int8", "cross-validation", "arena, B")
    rows = []
    for one in found:
        metrics = one.metrics
        folds, cost = metrics["cross_validation"], metrics["budget"]
        rows.append(
            (
                one.name,
                one.reference,
                _rate(metrics["test"]["camera"]["accuracy"]),
                _rate(folds["int8"]) if folds else "",
                f"{cost['arena_bytes']:,}" if cost else "",
            )
        )
    _print_table(head, rows)


class Screen:
    """A listener that draws a bar with loss and accuracy on a terminal, and prints a line an epoch elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> "Screen":
        """Begin with nothing on the screen."""
        return self

    def __exit__(self, *fault: object) -> None:
        """Clear the bar away."""
        if self._live is not None:
            self._live.stop()

    def epoch(self, epoch: "Epoch") -> None:
        """Show an epoch."""
        if self._quiet:
            return
        words = (
            f"loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}; "
            f"validation {epoch.val_loss:.4f}, {epoch.val_accuracy:.4f}"
        )
        if not sys.stderr.isatty():
            typer.echo(f"epoch {epoch.number:>3} of {epoch.of}: {words}", err=True)
            return
        if self._live is None or epoch.number == 1:
            self._begin(epoch.of)
        self._live.update(self._task, completed=epoch.number, description=words)

    def note(self, sentence: str) -> None:
        """Say at once what is worth knowing."""
        typer.echo(sentence, err=True)

    def _begin(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._live is not None:
            self._live.stop()
        columns = [MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}")]
        self._live = Progress(*columns, console=Console(stderr=True), transient=True)
        self._live.start()
        self._task = self._live.add_task("", total=total)


def _show_run(run: "Run", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"run": run.name, "folder": str(run.folder), "metrics": run.metrics}, indent=2))
        return
    metrics = run.metrics
    typer.echo(metrics["first_line"])
    if metrics["second_line"]:
        typer.echo(metrics["second_line"])
    rows = _test_rows(metrics["test"], alarm=metrics["alarm"])
    if folds := metrics["cross_validation"]:
        rows.append((f"{folds['repeats']} x {folds['folds']}-fold by group, int8", _rate(folds["int8"])))
        rows.append((f"{folds['repeats']} x {folds['folds']}-fold by group, float", _rate(folds["unrounded"])))
        scores = folds["scores"]
        rows.append((f"in the folds: sensitivity for {metrics['alarm']}", _rate(scores["sensitivity"])))
        rows.append(("in the folds: specificity", _rate(scores["specificity"])))
        rows.append(("in the folds: sensitivity over 80 %", _rate(scores["led"]["sensitivity"])))
        rows.append(("in the folds: specificity over 80 %", _rate(scores["led"]["specificity"])))
    rows += [(f"{shortcut['name']} alone", _rate(shortcut["accuracy"])) for shortcut in metrics["shortcuts"]]
    rows += [(f"{alarms['source_label']}: alarms", _rate(alarms["alarms"])) for alarms in metrics["context"]["alarms"]]
    if budget := metrics["budget"]:
        rows += _budget_rows(budget)
    _print_rows(rows)
    typer.echo(f"{metrics['context']['note']}\nrun: {run.folder}\npage: {run.folder / 'report.html'}")


def _test_rows(test: dict[str, Any], *, alarm: str, part: str = "test") -> list[tuple[str, str]]:
    camera, name = test["camera"], "accuracy" if part == "all" else f"{part} accuracy"
    rows = [
        (f"{name}, int8, through the camera", _rate(camera["accuracy"])),
        (f"sensitivity for {alarm}", _rate(camera["sensitivity"])),
        ("specificity", _rate(camera["specificity"])),
        ("sensitivity over 80 %", _rate(camera["led"]["sensitivity"])),
        ("specificity over 80 %", _rate(camera["led"]["specificity"])),
        (f"{name} without the camera", _rate(test["plain"]["accuracy"])),
    ]
    if test["float_camera"]:
        rows.append(("test accuracy, float", _rate(test["float_camera"]["accuracy"])))
    return rows


def _budget_rows(budget: dict[str, Any]) -> list[tuple[str, str]]:
    rows = "not possible" if budget["row_arena_bytes"] is None else f"{budget['row_arena_bytes']:,} B"
    return [
        ("arena, whole input held", f"{budget['arena_bytes']:,} B"),
        ("arena, rows from the camera", rows),
        ("tensors alone in TFLite Micro's plan", f"{budget['interpreter_arena_bytes']:,} B"),
        ("RAM beside the core", f"{budget['ram_bytes']:,} of {budget['free_ram_bytes']:,} B"),
        ("flash, estimated", f"{budget['flash_bytes']:,} of {budget['free_flash_bytes']:,} B"),
        ("multiplications", f"{budget['macs']:,}"),
        (f"time on {budget['board']}, estimated", f"{budget['milliseconds']:.0f} ms"),
    ]


def _rate(found: dict[str, Any]) -> str:
    if found["share"] is None:
        return "none to ask"
    return f"{100 * found['share']:.1f} % ({100 * found['low']:.1f} to {100 * found['high']:.1f}, of {found['of']:,})"


def _print_rows(rows: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 input at fault, 2 usage, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    goes_on = {"fit", "search"} & set(given)
    told = ": the same command goes on after the last finished epoch" if goes_on else "; finished runs are whole"
    return run_command(app, given, program="python -m training", interrupted=told)
