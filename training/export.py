"""Compiles a run, or any int8 ``.tflite``, to the C files that the firmware is built from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.errors import CurationError, ErrorCode
from curation.versions import Home
from firmware.compiler import Exported, export, load_board, measure_budget
from training.board_fit import refuse_unfit
from training.data import Samples, open_verified, read_file, read_samples
from training.quantize import read_metadata
from training.runs import Run

GOLDEN: Final = 4


def export_run(run: Run, target: Path, *, home: Home, board: str) -> Exported:
    """Compile a run's int8 model, with test images of its version as golden vectors where the version is here.

    Raises
    ------
    CurationError
        MODEL_UNSUPPORTED or DOES_NOT_FIT where the board cannot run the model; with the figures, and what would fit.
    """
    content = run.read("model_int8.tflite")
    chosen = load_board(board)
    refuse_unfit(content, measure_budget(content, chosen), chosen, name=run.name)
    return export(
        content,
        target,
        labels=run.classes,
        alarm=run.alarm,
        data_version=run.reference,
        data_digest=run.digest,
        name=run.name,
        golden=_choose_golden(run, home),
        arena_limit_bytes=chosen.free_ram_bytes,
        board=chosen,
    )


def export_file(path: Path, target: Path, *, labels: Sequence[str], alarm: str | None, board: str) -> Exported:
    """Compile an int8 ``.tflite`` that does not belong to a run; its labels are given, or in its own metadata.

    Raises
    ------
    CurationError
        As ``export_run``, and OPTION_INVALID where neither names the labels.
    """
    content = read_file(path)
    chosen = load_board(board)
    refuse_unfit(content, measure_budget(content, chosen), chosen, name=path.name)
    metadata = read_metadata(content)
    names = list(labels) or list(metadata.get("classes", ()))
    if not names:
        raise CurationError(
            ErrorCode.OPTION_INVALID,
            f"{path}: the labels of its outputs are not known",
            hint="Give --label once for each output, in order.",
        )
    return export(
        content,
        target,
        labels=names,
        alarm=alarm or str(metadata.get("alarm", names[0])),
        data_version=str(metadata.get("data", "unknown")),
        data_digest=str(metadata.get("digest", "")),
        name=path.stem,
        arena_limit_bytes=chosen.free_ram_bytes,
        board=chosen,
    )


def read_test_samples(run: Run, home: Home) -> Samples:
    """Return the test images of the version that a run was trained on.

    Raises
    ------
    CurationError
        VERSION_MISSING where the version is not here, or another version has its number.
    """
    version = open_verified(home, run.reference)
    if version.digest != run.digest:
        raise CurationError(
            ErrorCode.VERSION_MISSING, f"{run.reference} is another version than the one {run.name} was trained on"
        )
    return read_samples(version, run.classes, side=run.side).of_split("test")


def _choose_golden(run: Run, home: Home) -> npt.NDArray[np.uint8] | None:
    """Return test images, the classes in turn; None where the version is not here (drawn ones are used then)."""
    try:
        test = read_test_samples(run, home)
    except CurationError:
        return None
    turns = test.table.with_row_index("row").with_columns(turn=pl.int_range(pl.len()).over("label")).sort("turn", "row")
    return test.take(turns["row"].to_numpy().astype(np.int64)[:GOLDEN]).view(run.side)
