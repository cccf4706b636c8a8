"""The folder of a run: named, listed, opened and checked; and written, from models to model card and page."""

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from importlib.metadata import PackageNotFoundError, version
from operator import getitem
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import tomli_w

from curation.dataset.manifest import digest_of
from curation.errors import CurationError, ErrorCode
from curation.images.camera import Side
from curation.storage.atomic_files import replace_file, write_atomically
from curation.storage.hash_index import hash_file
from firmware.compiler.c_array import write_model_cc
from training.data import TrainingData
from training.evaluate import Probabilities
from training.figures import place_map
from training.fit import FitSettings
from training.models import embed
from training.report import write_report
from training.run_summary import RunResults, plain, write_card

RUNS: Final = Path("training/runs")
NEEDED: Final = ("config.toml", "labels.txt", "metrics.json", "model.keras", "model.tflite", "model_int8.tflite")
FIGURES: Final = (
    "alarm",
    "first_line",
    "second_line",
    "test.camera.accuracy.share",
    "test.plain.accuracy.share",
    "test.float_camera",
    "cross_validation",
    "shortcuts",
    "context.note",
    "context.alarms",
    "budget",
)
"""What every command that prints a run reads from its ``metrics.json``."""
PACKAGES: Final = ("tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """A finished training.

    Parameters
    ----------
    folder : pathlib.Path
        Its name is the run's.
    config : mapping
        The content of ``config.toml``.
    """

    folder: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the network's outputs."""
        return tuple(self.config["data"]["classes"])

    @property
    def alarm(self) -> str:
        """The class the board warns of."""
        return str(self.config["data"]["alarm"])

    @property
    def digest(self) -> str:
        """The digest of the version it was trained on."""
        return str(self.config["data"]["digest"])

    @property
    def reference(self) -> str:
        """The version it was trained on, ``name@v<n>``."""
        return f"{self.config['data']['name']}@v{self.config['data']['version']}"

    @property
    def exact_reference(self) -> str:
        """The same by its digest: on another machine another version may have that number."""
        return f"{self.config['data']['name']}@{self.digest}"

    @property
    def side(self) -> Side:
        """The side of the network's input in pixels."""
        return 96 if self.config["settings"]["side"] == 96 else 48

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        return _read_metrics(self.folder)

    def read(self, name: str) -> bytes:
        """Return the bytes of one of its files."""
        return (self.folder / name).read_bytes()


def tool_version() -> str:
    """Return this program's version."""
    return version("curation")


def find_runs(given: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all runs: the given one, else ``$TRAINING_RUNS``, else ``training/runs``."""
    return given or Path(environ.get("TRAINING_RUNS") or RUNS)


def name_run(data: TrainingData, settings: FitSettings, options: Mapping[str, Any]) -> str:
    """Return the name of the run that a version and settings give: the same ones, the same name."""
    identity = {"digest": data.version.digest, "alarm": data.alarm, "settings": plain(settings), **options}
    return f"{data.version.name}-v{data.version.number}-{settings.model}-{digest_of(identity)[:8]}"


def list_runs(runs: Path) -> tuple[tuple[Run, ...], tuple[CurationError, ...]]:
    """Return the finished runs in a folder, sorted by name, and the errors of those that cannot be read.

    Other folders are passed over.
    """
    found, faults = [], []
    for folder in _list_folders(runs):
        try:
            run = Run(folder, read_config(folder))
            _ = run.metrics  # a run is listed with its figures
            found.append(run)
        except CurationError as fault:
            faults.append(fault)
    return tuple(found), tuple(faults)


def _list_folders(runs: Path) -> list[Path]:
    """Return the folders of the finished runs, sorted by name; those of unfinished ones are hidden."""
    return sorted(path.parent for path in runs.glob("*/config.toml") if not path.parent.name.startswith("."))


def open_run(runs: Path, name: str) -> Run:
    """Open a run by its name, the beginning of its name that no other shares, or the path of its folder.

    Raises
    ------
    CurationError
        RUN_MISSING where no run or several have that name, RUN_INVALID where a file is missing or was changed.
    """
    folder = _find_folder(runs, name)
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise CurationError(
            ErrorCode.RUN_INVALID, f"{folder}: the run has no {', '.join(missing)}", hint="Train it again."
        )
    run = Run(folder, read_config(folder))
    for file, digest in sorted(run.metrics["files"].items()):
        if not (folder / file).is_file():
            raise CurationError(ErrorCode.RUN_INVALID, f"{folder / file}: missing", hint="Train it again.")
        if hashlib.sha256(run.read(file)).hexdigest() != digest:
            raise CurationError(
                ErrorCode.RUN_INVALID,
                f"{folder / file}: changed since the run was written (its sha256 differs from metrics.json)",
                hint="Copy it again from where it came, or train again with --again.",
            )
    return run


def _find_folder(runs: Path, name: str) -> Path:
    for path in (Path(name), runs / name):
        if name and (path / "config.toml").is_file():
            return path if path.name else path.resolve()  # "." has no name of its own
    folders = _list_folders(runs)
    fitting = [folder for folder in folders if folder.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(folder.name for folder in fitting or folders)
    raise CurationError(
        ErrorCode.RUN_MISSING,
        f"several runs start with {name!r}" if fitting else f"{runs}: there is no run {name!r}",
        hint=f"Runs: {known}." if known else "`python -m training fit NAME` makes one.",
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of a run's ``config.toml``.

    Raises
    ------
    CurationError
        RUN_INVALID where it cannot be read or is incomplete.
    """
    path = folder / "config.toml"
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
        for key in ("name", "version", "digest", "classes", "alarm"):
            config["data"][key]
        config["settings"]["side"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as fault:
        raise CurationError(
            ErrorCode.RUN_INVALID, f"{path}: not the settings of a run: {fault}", hint="Train it again."
        ) from None
    return config


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if not set(NEEDED) - {"metrics.json"} <= set(metrics["files"]):
            raise ValueError("it has no checksums")
        for figure in FIGURES:
            reduce(getitem, figure.split("."), metrics)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        reason = f"it lacks {fault}" if isinstance(fault, KeyError) else fault
        raise CurationError(
            ErrorCode.RUN_INVALID, f"{path}: not the figures of a run: {reason}", hint="Train it again."
        ) from None
    return dict(metrics)


def staging_dir(runs: Path, name: str) -> Path:
    """Return the hidden folder in which a run is made; an interrupted training is resumed there.

    Raises
    ------
    CurationError
        TARGET_EXISTS where the place for runs is a file.
    """
    folder = runs / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CurationError(
            ErrorCode.TARGET_EXISTS, f"{runs}: not a folder", hint="--runs or $TRAINING_RUNS sets the folder of runs."
        ) from None
    return folder


def publish_dir(staging: Path, folder: Path) -> None:
    """Move a finished run to its place in one step; it replaces an older run of that name."""
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    staging.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def describe_run(data: TrainingData, settings: FitSettings, options: Mapping[str, object]) -> dict[str, Any]:
    """Return the content of ``config.toml``: the version, the settings, and the programs that made the run."""
    described = data.version
    return {
        "tool": tool_version(),
        "data": {
            "name": described.name,
            "version": described.number,
            "digest": described.digest,
            "content_digest": described.description["content_digest"],
            "classes": list(data.classes),
            "alarm": data.alarm,
        },
        "settings": plain(settings),
        "options": dict(options),
        "packages": {name: found for name in PACKAGES if (found := _installed(name))},
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def write_run(place: Path, results: RunResults, *, config: Mapping[str, Any]) -> None:
    """Write every file of a run into its staging folder, and remove the checkpoints of its training."""
    data, quantized = results.data, results.quantized
    source = f"{data.reference} ({data.version.digest[:12]}), run {results.name}"
    quantized.fitted.model.save(place / "model.keras")
    (place / "model.tflite").write_bytes(quantized.unrounded)
    (place / "model_int8.tflite").write_bytes(quantized.int8.content)
    write_text(place / "labels.txt", list_labels(results))
    write_text(place / "model.cc", write_model_cc(quantized.int8.content, classes=data.classes, source=source))
    write_config(place, config)
    embeddings = tabulate_embeddings(results)
    _write_table(place / "predictions.parquet", tabulate_predictions(results))
    _write_table(place / "embeddings.parquet", embeddings)
    write_text(place / "MODEL_CARD.md", write_card(results))
    write_text(place / "report.html", write_report(results, embeddings))
    # A killed process leaves the hidden temporary file of what it was writing.
    for leftover in [place / "checkpoint.npz", *sorted(place.glob("fold-*")), *sorted(place.glob(".*.part"))]:
        leftover.unlink(missing_ok=True)
    _write_metrics(place, results.as_metrics())


def list_labels(results: RunResults) -> str:
    """Return the classes, one a line in the order of the outputs, and then, as comments, their version and run.

    A reader that goes by the number of the line finds each label; the comments follow the last one.
    """
    source = f"# {results.data.reference}, digest {results.data.version.digest}\n# run {results.name}\n"
    return "".join(f"{name}\n" for name in results.data.classes) + source


def tabulate_predictions(results: RunResults) -> pl.DataFrame:
    """Return the int8 model's predictions for each kept image and for each context image that could be read.

    Columns: id, sha256, page, source, split (null for context), label (null for context), source_label (null for kept
    images), predicted, confidence, alarm (the alarm class's probability), probabilities (in the order of the classes),
    unseen (the same from the cross-validation's nets, which did not see the image's group; null without one). Sorted
    by id.
    """
    data, assessment = results.data, results.assessment
    kept = data.samples.table.select("id", "sha256", "page", "source", "split", "label")
    held_out = assessment.held_out
    unseen = [None] * kept.height if held_out is None else held_out.answers.tolist()
    parts = [
        _with_answers(kept.with_columns(source_label=pl.lit(None, pl.String)), assessment.answers, data).with_columns(
            unseen=pl.Series(unseen, dtype=pl.List(pl.Float32))
        )
    ]
    if assessment.context.height:
        nothing = [pl.lit(None, pl.String).alias(name) for name in ("split", "label")]
        others = _with_answers(assessment.context.with_columns(nothing), assessment.context_answers, data)
        others = others.with_columns(unseen=pl.lit(None, pl.List(pl.Float32)))
        parts.append(others.select(parts[0].columns))
    return pl.concat(parts).sort("id")


def _with_answers(table: pl.DataFrame, probabilities: Probabilities, data: TrainingData) -> pl.DataFrame:
    answers = probabilities.argmax(axis=1)
    return table.with_columns(
        predicted=pl.Series([data.classes[answer] for answer in answers.tolist()], dtype=pl.String),
        confidence=pl.Series(probabilities.max(axis=1), dtype=pl.Float32),
        alarm=pl.Series(probabilities[:, data.alarm_index], dtype=pl.Float32),
        probabilities=pl.Series(probabilities.tolist(), dtype=pl.List(pl.Float32)),
    )


def tabulate_embeddings(results: RunResults) -> pl.DataFrame:
    """Return the float net's embedding of each kept image: id, sha256, page, embedding, and x and y of a map."""
    samples = results.data.samples
    embeddings = embed(results.quantized.fitted.model, samples.view(results.settings.side))
    placed = place_map(embeddings)
    return samples.table.select("id", "sha256", "page").with_columns(
        embedding=pl.Series(embeddings.tolist(), dtype=pl.List(pl.Float32)),
        x=pl.Series(np.ascontiguousarray(placed[:, 0])),
        y=pl.Series(np.ascontiguousarray(placed[:, 1])),
    )


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.toml``; values of None are omitted, because TOML has no null."""
    write_text(folder / "config.toml", tomli_w.dumps(_drop_none(config)))


def _drop_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _drop_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }


def _write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json`` with the sha256 of every other file of the run."""
    files = {
        path.name: hash_file(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "metrics.json"
    }
    text = json.dumps({**plain(metrics), "files": files}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / "metrics.json", text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    replace_file(path, text.encode())


def _write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a Parquet file atomically."""
    write_atomically(path, lambda part: table.write_parquet(part, compression="zstd"))
