"""Trains on the real set and compares folds, test images, time, budget and reproducibility with their targets.

Each step runs ``python -m training`` in its own process. Its result is kept in the working folder, a cross-validation
fold by fold, so that an interrupted run continues with the same command and repeats at most one fold. A complete run
clears the folder, unless ``--keep`` is given.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import RESULTS, ROOT, SHARED, print_table, timed, write_results

MARKS = {
    "default, int8 in folds": 0.99,
    "mobilenet_v2 0.2, int8 in folds": 0.986,
    "int8 below float, points": 0.5,
    "one training, s": 240.0,
    "default, folds, s": 1200.0,
    "arena, B": 32_768,
    "multiplications": 900_000,
}
MOBILENET = ("--model", "mobilenet_v2", "--alpha", "0.2")


def prepare(work: Path, mirror: Path) -> dict[str, str]:
    """Build ``melanoma`` from the mirror below ``work``, and return the environment variables that set its folders."""
    env = {"CURATION_CACHE": str(work / "cache"), "CURATION_DATASETS": str(work / "datasets")}
    if not (work / "datasets/builds/melanoma").is_dir():
        shutil.copytree(ROOT / "datasets/melanoma", work / "datasets/melanoma", dirs_exist_ok=True)
        timed([sys.executable, "-m", "curation", "build", "melanoma", "--mirror", str(mirror), "-q"], env=env)
    return env


def train(runs: Path, env: dict[str, str], *options: str) -> dict[str, Any]:
    """Run ``fit melanoma`` into a folder of its own and return its figures, seconds, and the int8 model's sha256."""
    said = runs / "figures.json"
    if not said.is_file():
        spent = timed([sys.executable, "-m", "training", "--runs", str(runs), "fit", "melanoma", *options], env=env)
        folder = next(path.parent for path in sorted(runs.glob("*/metrics.json")))
        figures = {
            "metrics": json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
            "spent": spent,
            "sha256": hashlib.sha256((folder / "model_int8.tflite").read_bytes()).hexdigest(),
        }
        said.write_text(json.dumps(figures), encoding="utf-8")
    found: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
    return found


def show_rate(rate: dict[str, Any]) -> str:
    """Return a rate of ``metrics.json`` with its 95 % interval."""
    return f"{100 * rate['share']:.2f} % ({100 * rate['low']:.2f} to {100 * rate['high']:.2f}, of {rate['of']})"


def judge_folds(name: str, figures: dict[str, Any]) -> Iterator[tuple[str, str, str, bool | None]]:
    """Yield the rows of a cross-validation: name, figure, target, whether it is reached."""
    folds = figures["metrics"]["cross_validation"]
    cut = f"{folds['repeats']} x {folds['folds']}-fold"
    mark = MARKS[f"{name}, int8 in folds"]
    share = folds["int8"]["share"]
    yield f"{name}: {cut} by group, int8", show_rate(folds["int8"]), f"at least {100 * mark:.1f} %", share >= mark
    yield f"{name}: {cut} by group, float", show_rate(folds["unrounded"]), "", None
    limit = MARKS["int8 below float, points"]
    lost = 100 * (folds["unrounded"]["share"] - share)
    yield f"{name}: int8 below float, all folds", f"{lost:+.2f} points", f"at most {limit} points", lost <= limit
    drops = [100 * (unrounded - int8) for int8, unrounded in folds["by_fold"]]
    yield f"{name}: the same, fold by fold", " ".join(f"{drop:+.2f}" for drop in drops), "", None
    seconds, limit = folds["seconds"] / folds["repeats"], MARKS.get(f"{name}, folds, s")
    yield (
        f"{name}: {folds['folds']}-fold, once",
        f"{seconds:.0f} s ({folds['cpu_seconds'] / folds['repeats']:.0f} CPU s)",
        "" if limit is None else f"at most {limit:.0f} s",
        None if limit is None else seconds <= limit,
    )
    yield f"{name}: test images, int8", show_rate(figures["metrics"]["test"]["camera"]["accuracy"]), "", None


def judge_training(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, str, str, bool | None]]:
    """Yield the rows of the default model's own training."""
    metrics, spent = first["metrics"], first["spent"]
    limit = MARKS["one training, s"]
    yield (
        "fit and quantize",
        f"{metrics['seconds']:.0f} s ({metrics['cpu_seconds']:.0f} CPU s)",
        f"at most {limit:.0f} s",
        metrics["seconds"] <= limit,
    )
    yield (
        "the whole command, with its page",
        f"{spent['seconds']:.0f} s ({spent['cpu']:.0f} CPU s, load {spent['load']:.1f})",
        f"at most {limit:.0f} s",
        spent["seconds"] <= limit,
    )
    arena, macs = metrics["budget"]["arena_bytes"], metrics["budget"]["macs"]
    yield "arena, whole input held", f"{arena:,} B", f"at most {MARKS['arena, B']:,} B", arena <= MARKS["arena, B"]
    yield "multiplications", f"{macs:,}", f"at most {MARKS['multiplications']:,}", macs <= MARKS["multiplications"]
    yield "int8 model, first time", first["sha256"][:16], "", None
    yield "int8 model, same seed again", second["sha256"][:16], "equal", first["sha256"] == second["sha256"]
    for shortcut in metrics["shortcuts"]:
        yield f"{shortcut['name']} alone", show_rate(shortcut["accuracy"]), "", None


def main() -> None:
    """Train, print, and write ``results/training.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, default=SHARED / "mirror", help="the real sets' archives")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=Path, default=RESULTS / "training", help="folder for finished steps")
    parser.add_argument("--keep", action="store_true", help="leave the working folder, with its runs")
    given = parser.parse_args()
    if not given.mirror.is_dir():
        raise SystemExit(f"{given.mirror}: no such folder; pass the folder with the archives of `melanoma` as --mirror")
    work = given.work.resolve()
    env = prepare(work, given.mirror.resolve())
    cut = ("--folds", str(given.folds), "--repeats", str(given.repeats), "--originals", str(given.mirror.resolve()))
    turn = f"{given.repeats}x{given.folds}"
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "first": lambda: train(work / "first", env),
        "second": lambda: train(work / "second", env),
        "default": lambda: train(work / f"default-{turn}", env, *cut),
        "mobilenet_v2 0.2": lambda: train(work / f"mobilenet-{turn}", env, *MOBILENET, *cut),
    }
    found = {name: run() for name, run in steps.items()}
    rows = [
        *judge_training(found["first"], found["second"]),
        *judge_folds("default", found["default"]),
        *judge_folds("mobilenet_v2 0.2", found["mobilenet_v2 0.2"]),
    ]
    verdicts = {None: "", True: "reached", False: "MISSED"}
    print_table(
        ("melanoma, 2 classes, with the camera's view", "figure", "target", ""),
        [(name, figure, mark, verdicts[reached]) for name, figure, mark, reached in rows],
    )
    write_results("training", {"marks": MARKS, "rows": rows, "steps": found})
    if not given.keep:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
