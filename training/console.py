"""What the command line prints: progress of a training, figures of a run, tables."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from curation.cli_runner import clean, print_table
from curation.storage.control_characters import show_lines

if TYPE_CHECKING:
    from firmware.compiler import Budget, Exported
    from training.fit import Epoch
    from training.inference import VersionEvaluation
    from training.runs import Run
    from training.search import SearchResults


class ProgressScreen:
    """A listener that draws a bar with loss and accuracy on a terminal, and prints a line for each epoch elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        """Start with an empty screen."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        if self._live is not None:
            self._live.stop()

    def epoch(self, epoch: "Epoch") -> None:
        """Show an epoch."""
        if self._quiet:
            return
        figures = (
            f"loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}; "
            f"validation {epoch.val_loss:.4f}, {epoch.val_accuracy:.4f}"
        )
        if not sys.stderr.isatty():
            typer.echo(f"epoch {epoch.number:>3} of {epoch.of}: {figures}", err=True)
            return
        if self._live is None or epoch.number == 1:
            self._begin(epoch.of)
        self._live.update(self._task, completed=epoch.number, description=figures)

    def note(self, sentence: str) -> None:
        """Print a message at once."""
        typer.echo(show_lines(sentence), err=True)

    def _begin(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._live is not None:
            self._live.stop()
        columns = [MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}")]
        self._live = Progress(*columns, console=Console(stderr=True), transient=True)
        self._live.start()
        self._task = self._live.add_task("", total=total)


def print_run(run: "Run") -> None:
    """Print the figures of a run, and where its page is."""
    metrics = run.metrics
    typer.echo(metrics["first_line"])
    if metrics["second_line"]:
        typer.echo(metrics["second_line"])
    rows = _test_rows(metrics["test"], alarm=metrics["alarm"])
    if folds := metrics["cross_validation"]:
        rows.append((f"{folds['repeats']} x {folds['folds']}-fold by group, int8", show_rate(folds["int8"])))
        rows.append((f"{folds['repeats']} x {folds['folds']}-fold by group, float", show_rate(folds["unrounded"])))
        scores = folds["scores"]
        rows.append((f"in the folds: sensitivity for {metrics['alarm']}", show_rate(scores["sensitivity"])))
        rows.append(("in the folds: specificity", show_rate(scores["specificity"])))
        rows.append(("in the folds: sensitivity over 80 %", show_rate(scores["led"]["sensitivity"])))
        rows.append(("in the folds: specificity over 80 %", show_rate(scores["led"]["specificity"])))
    rows += [(f"{shortcut['name']} alone", show_rate(shortcut["accuracy"])) for shortcut in metrics["shortcuts"]]
    rows += [(f"{one['source_label']}: alarms", show_rate(one["alarms"])) for one in metrics["context"]["alarms"]]
    if budget := metrics["budget"]:
        rows += _budget_rows(budget)
    print_rows(rows)
    typer.echo(f"{metrics['context']['note']}\nrun: {run.folder}\npage: {run.folder / 'report.html'}")


def print_runs(found: "Sequence[Run]") -> None:
    """Print a table of runs."""
    head = ("run", "data", "test accuracy, int8", "cross-validation", "arena, B")
    rows = []
    for one in found:
        folds, budget = one.metrics["cross_validation"], one.metrics["budget"]
        rows.append(
            (
                one.name,
                one.reference,
                show_rate(one.metrics["test"]["camera"]["accuracy"]),
                show_rate(folds["int8"]) if folds else "",
                f"{budget['arena_bytes']:,}" if budget else "",
            )
        )
    print_table(head, rows, left=len(head))


def print_evaluation(run: "Run", found: "VersionEvaluation") -> None:
    """Print how a run judges a version."""
    from training.run_summary import plain  # numpy and polars would slow down --help

    evaluation = plain(found.evaluation)
    typer.echo(f"{run.name} on {found.reference}, {found.part}")
    if found.left_out:
        typer.echo(f"{found.left_out:,} images were left out: the run was trained on them or on one of their group")
    rows = _test_rows(evaluation, alarm=run.alarm, part=found.part)
    strata = evaluation["strata"]
    print_rows(rows + [(f"{one['column']} {one['value']}: accuracy", show_rate(one["accuracy"])) for one in strata])


def print_warning(run: "Run") -> None:
    """Print, after predictions, what they do not mean."""
    if run.metrics.get("domain", "dermatology") == "dermatology":  # older runs do not state it
        typer.echo("Not a medical device: see a doctor about any spot that worries you.", err=True)
    if run.metrics.get("one_answer"):  # older runs do not have it
        typer.echo(run.metrics["first_line"], err=True)
    elif alarms := run.metrics["context"]["alarms"]:
        rates = ", ".join(f"{100 * one['alarms']['share']:.0f} % of {one['source_label']}" for one in alarms)
        typer.echo(f"Of classes that it was not trained on, it predicts {run.alarm} for {rates}.", err=True)


def print_search(found: "SearchResults") -> None:
    """Print the table of a search, and where its page is."""
    from training.run_summary import plain  # numpy and polars would slow down --help

    front = {one.name for one in found.front()}
    head = ("net", "accuracy, int8", "RAM, B", "flash, B", "multiplications", "front")
    rows = [
        (
            one.name,
            show_rate(plain(one.accuracy.int8)) if one.accuracy else "does not fit",
            f"{one.budget.ram_bytes:,}",
            f"{one.budget.flash_bytes:,}",
            f"{one.budget.macs:,}",
            "yes" if one.name in front else "",
        )
        for one in found.candidates
    ]
    print_table(head, rows, left=len(head))
    typer.echo(f"page: {found.folder / 'search.html'}")


def print_exported(done: "Exported") -> None:
    """Print the files of an export, and what the model takes on the board."""
    for file in done.files:
        typer.echo(str(file))
    rows = done.plan.row_mode_arena_bytes
    streamed = "" if rows is None else f" ({rows:,} B with rows from the camera)"
    typer.echo(f"arena {done.plan.arena_bytes:,} B{streamed}, flash {done.plan.flash_bytes:,} B, estimated")
    typer.echo(f"mode: {done.mode.reason}")
    lights = (f"{light.label} {light.color}{' (blinks for a high score)' * light.blinks}" for light in done.lights)
    typer.echo(f"lights: {', '.join(lights)}; blue means no verdict")


def print_budget(found: "Budget", *, layers: bool) -> None:
    """Print what a model costs on a board, also layer by layer if requested."""
    from training.run_summary import plain  # numpy and polars would slow down --help

    print_rows(_budget_rows(plain(found)))
    if layers:
        head = ("layer", "operator", "result", "multiplications", "weights, B", "result, B", "ms")
        rows = [
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
        ]
        print_table(head, rows, left=len(head))


def _test_rows(test: dict[str, Any], *, alarm: str, part: str = "test") -> list[tuple[str, str]]:
    camera, name = test["camera"], "accuracy" if part == "all" else f"{part} accuracy"
    rows = [
        (f"{name}, int8, through the camera", show_rate(camera["accuracy"])),
        (f"sensitivity for {alarm}", show_rate(camera["sensitivity"])),
        ("specificity", show_rate(camera["specificity"])),
        ("sensitivity over 80 %", show_rate(camera["led"]["sensitivity"])),
        ("specificity over 80 %", show_rate(camera["led"]["specificity"])),
        (f"{name} without the camera", show_rate(test["plain"]["accuracy"])),
    ]
    if test["float_camera"]:
        rows.append(("test accuracy, float", show_rate(test["float_camera"]["accuracy"])))
    return rows


def _budget_rows(budget: dict[str, Any]) -> list[tuple[str, str]]:
    rows = "not possible" if budget["row_arena_bytes"] is None else f"{budget['row_arena_bytes']:,} B"
    return [
        ("arena, whole input held", f"{budget['arena_bytes']:,} B"),
        ("arena, rows from the camera", rows),
        ("tensors alone in TFLite Micro's plan", f"{budget['interpreter_arena_bytes']:,} B"),
        ("RAM without the core's", f"{budget['ram_bytes']:,} of {budget['free_ram_bytes']:,} B"),
        ("flash, estimated", f"{budget['flash_bytes']:,} of {budget['free_flash_bytes']:,} B"),
        ("multiplications", f"{budget['macs']:,}"),
        (f"time on {budget['board']}, estimated", f"{budget['milliseconds']:.0f} ms"),
    ]


def show_rate(found: dict[str, Any]) -> str:
    """Return a rate of ``metrics.json`` in percent, with its interval and number."""
    if found["share"] is None:
        return "no images"
    return f"{100 * found['share']:.1f} % ({100 * found['low']:.1f} to {100 * found['high']:.1f}, of {found['of']:,})"


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    width = max(len(clean(name)) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{clean(name):<{width}}  {clean(value)}")
