"""The folder of a run: what is written into it, and how it is opened again and checked."""

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property, reduce
from importlib.metadata import version
from operator import getitem
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from curation.dataset.manifest import digest_of
from curation.errors import CurationError
from curation.storage.atomic_files import write_atomically
from training.data import Material
from training.fit import FitSettings

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
"""What every command that speaks of a run expects in its ``metrics.json``."""


@dataclass(frozen=True)
class Run:
    """A finished training.

    Parameters
    ----------
    folder : pathlib.Path
        Its name is the run's.
    config : mapping
        What ``config.toml`` says.
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
    def reference(self) -> str:
        """The version it was trained on, ``name@v<n>``."""
        return f"{self.config['data']['name']}@v{self.config['data']['version']}"

    @property
    def exact_reference(self) -> str:
        """The same by its digest: elsewhere another version may have that number."""
        return f"{self.config['data']['name']}@{self.config['data']['digest']}"

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` says."""
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


def name_run(material: Material, settings: FitSettings, options: Mapping[str, Any]) -> str:
    """Return the name of the run that this version and these settings give: the same ones, the same name."""
    identity = {"digest": material.version.digest, "alarm": material.alarm, "settings": plain(settings), **options}
    return f"{material.version.name}-v{material.version.number}-{settings.model}-{digest_of(identity)[:8]}"


def list_runs(runs: Path) -> tuple[tuple[Run, ...], tuple[CurationError, ...]]:
    """Return the finished runs below a folder, sorted by name, and what is wrong with those that cannot be read.

    What is no run is passed over.
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
    """Return the folders of the finished runs, sorted by name; the hidden ones are still being made."""
    return sorted(path.parent for path in runs.glob("*/config.toml") if not path.parent.name.startswith("."))


def open_run(runs: Path, name: str) -> Run:
    """Open a run by its name, the beginning of its name that no other shares, or the path of its folder.

    Raises
    ------
    CurationError
        Where there is none or more than one of that name, or a file of it is missing or was changed.
    """
    folder = _find_folder(runs, name)
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise CurationError(f"{folder}: a run without {', '.join(missing)}", hint="train it again")
    run = Run(folder, read_config(folder))
    for file, digest in sorted(_read_metrics(folder)["files"].items()):
        if not (folder / file).is_file():
            raise CurationError(f"{folder / file}: missing", hint="train it again")
        if hashlib.sha256(run.read(file)).hexdigest() != digest:
            raise CurationError(
                f"{folder / file}: not the file that the run wrote (its sha256 differs from metrics.json)",
                hint="take it back from where it was copied, or train again with --again",
            )
    return run


def _find_folder(runs: Path, name: str) -> Path:
    for path in (Path(name), runs / name):
        if name and (path / "config.toml").is_file():
            return path if path.name else path.resolve()  # of "." the name is that of the folder one stands in
    folders = _list_folders(runs)
    fitting = [folder for folder in folders if folder.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(folder.name for folder in fitting or folders)
    fault = f"several runs start with {name!r}" if fitting else f"{runs}: there is no run {name!r}"
    raise CurationError(fault, hint=f"there are: {known}" if known else "`python -m training fit NAME` makes one")


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a run's ``config.toml`` says.

    Raises
    ------
    CurationError
        Where it cannot be read or lacks what every run says.
    """
    path = folder / "config.toml"
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
        for key in ("name", "version", "digest", "classes", "alarm"):
            config["data"][key]
        config["settings"]["side"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as fault:
        raise CurationError(f"{path}: not the settings of a run: {fault}", hint="train it again") from None
    return config


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if not set(NEEDED) - {"metrics.json"} <= set(metrics["files"]):
            raise ValueError("no checksums")
        for figure in FIGURES:
            reduce(getitem, figure.split("."), metrics)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        told = f"it lacks {fault}" if isinstance(fault, KeyError) else fault
        raise CurationError(f"{path}: not the figures of a run: {told}", hint="train it again") from None
    return dict(metrics)


def plain(value: Any) -> Any:
    """Return a value as JSON and TOML know them: dataclasses as mappings, arrays and tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(part) for key, part in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.toml``: tables of plain values, one level of tables within them."""
    write_text(folder / "config.toml", "\n".join(_table("", config)).lstrip("\n") + "\n")


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    own = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"\n[{name}]"] if name and own else []
    # A JSON string, number, boolean or list of them is written alike in TOML, but for JSON's two-part \u escapes.
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in own.items() if value is not None]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _table(f"{name}.{key}" if name else key, value)
    return lines


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json`` with the sha256 of every other file of the run."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "metrics.json"
    }
    text = json.dumps({**plain(metrics), "files": files}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / "metrics.json", text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a Parquet file, whole or not at all."""
    write_atomically(path, lambda part: table.write_parquet(part, compression="zstd"))


def workshop(runs: Path, name: str) -> Path:
    """Return the folder in which a run is made; what an interrupted training left there is taken up again."""
    folder = runs / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CurationError(f"{runs}: not a folder", hint="--runs or $TRAINING_RUNS says where runs lie") from None
    return folder


def settle(workshop: Path, folder: Path) -> None:
    """Move a finished run to its place in one step; an older run of that name makes way."""
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    workshop.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
