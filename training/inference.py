"""Uses a finished run: on the images of a version, or on image files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from curation.errors import CurationError, ErrorCode
from curation.images import camera_view
from curation.versions import Home
from firmware.compiler.tflite_reference import ReferenceModel, open_reference
from training.data import Samples, open_verified, read_file, read_frame, read_samples, reference_of
from training.evaluate import Evaluation, evaluate
from training.runs import Run

Part = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class VersionEvaluation:
    """How a run's int8 model judges a version.

    Parameters
    ----------
    reference : str
    part : str
    evaluation : Evaluation
    left_out : int
        Images that were not judged, because the run was trained on them or on one of their group.
    """

    reference: str
    part: Part
    evaluation: Evaluation
    left_out: int


@dataclass(frozen=True)
class Prediction:
    """What a model predicts for one file."""

    path: Path
    answer: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Unreadable:
    """A file that is not a readable image."""

    path: Path
    fault: CurationError


def evaluate_on_version(run: Run, home: Home, reference: str, *, part: Part = "test") -> VersionEvaluation:
    """Judge a run's int8 model on a published version, without the images it knows.

    Parameters
    ----------
    run : Run
    home : Home
    reference : str
        The version is verified first.
    part : {"train", "val", "test", "all"}
        Which of its images.

    Raises
    ------
    CurationError
        VERSION_DAMAGED, CLASSES_DIFFER, or SPLIT_EMPTY where no image is left to judge.
    """
    version = open_verified(home, reference)
    name = reference_of(version)
    strangers = sorted(set(version.description["classes"]) - set(run.classes))
    if strangers:
        raise CurationError(
            ErrorCode.CLASSES_DIFFER,
            f"{name} has classes that {run.name} was not trained on: {', '.join(strangers)}",
            hint=f"It was trained on {', '.join(run.classes)}.",
        )
    samples = read_samples(version, run.classes, side=run.side)
    if part != "all":
        samples = samples.of_split(part)
    if not len(samples):
        raise CurationError(ErrorCode.SPLIT_EMPTY, f"{name} has no {part} images")
    unknown = leave_out_known(samples, run, rows=version.manifest.rows)
    if not len(unknown):
        raise CurationError(
            ErrorCode.SPLIT_EMPTY, f"{name}: {run.name} was trained on all {len(samples)} images of {part}"
        )
    int8 = open_int8(run)
    evaluation = evaluate(unknown, int8.probabilities, classes=run.classes, alarm=run.alarm, side=run.side)
    return VersionEvaluation(name, part, evaluation, len(samples) - len(unknown))


def leave_out_known(samples: Samples, run: Run, *, rows: pl.DataFrame) -> Samples:
    """Return the images of groups the run was not trained on; it does not know the test images of its own version.

    Parameters
    ----------
    samples : Samples
    run : Run
    rows : polars.DataFrame
        Every row of the version, the excluded ones too (columns group and sha256): an image that the run was trained on
        may be there as a duplicate of an image that is kept, or as surplus.
    """
    table = pl.read_parquet(run.folder / "predictions.parquet", columns=["sha256", "split"])
    trained = set(table.filter(pl.col("split").is_in(["train", "val"]))["sha256"])
    tested = set(table.filter(pl.col("split") == "test")["sha256"])
    known = {group for group, sha in rows.select("group", "sha256").rows() if sha in trained and sha not in tested}
    keep = [
        row
        for row, (group, sha) in enumerate(samples.table.select("group", "sha256").rows())
        if sha in tested or (group not in known and sha not in trained)
    ]
    return samples.take(np.array(keep, dtype=np.int64))


def predict_files(run: Run, paths: Sequence[Path]) -> Iterator[Prediction | Unreadable]:
    """Yield a run's predictions for image files, through the camera's view; unreadable files are reported as such."""
    int8 = open_int8(run)
    for path in paths:
        try:
            frame, _ = read_frame(read_file(path), side=run.side, name=str(path))
        except CurationError as fault:
            yield Unreadable(path, fault)
            continue
        probabilities = int8.probabilities(camera_view(frame, side=run.side)[None])[0]
        shares = {name: float(share) for name, share in zip(run.classes, probabilities, strict=True)}
        yield Prediction(path, run.classes[int(probabilities.argmax())], shares)


def open_int8(run: Run) -> ReferenceModel:
    """Open a run's int8 model.

    Raises
    ------
    CurationError
        MODEL_INVALID where it is not the model that the run's settings describe.
    """
    path = run.folder / "model_int8.tflite"
    int8 = open_reference(path.read_bytes(), name=str(path))
    if int8.classes != len(run.classes) or int8.side != run.side:
        raise CurationError(
            ErrorCode.MODEL_INVALID,
            f"{path}: not the model that config.toml and labels.txt describe",
            hint="Train it again.",
        )
    return int8
