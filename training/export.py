"""Hands a run, or any int8 ``.tflite``, over to whoever builds the firmware."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.errors import CurationError
from curation.versions import Home, load
from firmware.compiler import Exported, export
from training.board_fit import refuse_unfit
from training.budget import load_board, measure_budget
from training.data import check_whole, read_samples
from training.inference import side_of
from training.quantise import read_metadata
from training.runs import Run

GENERATED: Final = Path("firmware/generated")
GOLDEN: Final = 4


def export_run(run: Run, target: Path, *, home: Home, board: str) -> Exported:
    """Compile a run's int8 model for the board, with test pictures of its version as golden vectors if they are here.

    Raises
    ------
    CurationError
        Where the firmware cannot run the model or it does not fit the board; with the figures, and what would fit.
    """
    content = run.read("model_int8.tflite")
    asked = load_board(board)
    refuse_unfit(content, measure_budget(content, asked), asked, name=run.name)
    return export(
        content,
        target,
        labels=run.classes,
        alarm=run.alarm,
        data_version=run.reference,
        data_digest=str(run.config["data"]["digest"]),
        name=run.name,
        golden=_choose_golden(run, home),
        arena_limit_bytes=asked.free_ram_bytes,
    )


def export_file(path: Path, target: Path, *, labels: Sequence[str], alarm: str | None, board: str) -> Exported:
    """Compile an int8 ``.tflite`` that is no run's; its labels are told, or stand in its own metadata.

    Raises
    ------
    CurationError
        As ``export_run``, and where nobody says what its outputs mean.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise CurationError(f"{path}: cannot be read: {fault.strerror}") from None
    asked = load_board(board)
    refuse_unfit(content, measure_budget(content, asked), asked, name=path.name)
    said = read_metadata(content)
    names = list(labels) or list(said.get("classes", ()))
    if not names:
        raise CurationError(f"{path}: nothing says what its outputs mean", hint="give --label once for each, in order")
    return export(
        content,
        target,
        labels=names,
        alarm=alarm or str(said.get("alarm", names[0])),
        data_version=str(said.get("data", "unknown")),
        data_digest=str(said.get("digest", "")),
        name=path.stem,
        arena_limit_bytes=asked.free_ram_bytes,
    )


def _choose_golden(run: Run, home: Home) -> npt.NDArray[np.uint8] | None:
    """Return test pictures, the classes in turn; None where the version is not here (then drawn ones are taken)."""
    try:
        version = load(home, run.reference)
        check_whole(home, version)
    except CurationError:
        return None
    if version.digest != run.config["data"]["digest"]:
        return None
    test = read_samples(version, run.classes, side=side_of(run)).of_split("test")
    turns = test.table.with_row_index("row").with_columns(turn=pl.int_range(pl.len()).over("label")).sort("turn", "row")
    return test.take(turns["row"].to_numpy().astype(np.int64)[:GOLDEN]).view(side_of(run))
