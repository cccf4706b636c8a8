"""Tries a finished run on pictures: on another version, or on files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from curation.errors import CurationError
from curation.images import camera_view
from curation.images.camera import Side
from curation.versions import Home
from firmware.compiler.tflite_reference import Oracle, open_oracle
from training.data import Samples, check_whole, frame_of, read_samples
from training.evaluate import Evaluation, evaluate
from training.runs import Run

Part = Literal["train", "val", "test", "all"]


@dataclass(frozen=True)
class Trial:
    """How a run did on a version.

    Parameters
    ----------
    reference : str
    part : str
    evaluation : Evaluation
    left_out : int
        Pictures not asked, because the run was trained on them or on one of their group.
    """

    reference: str
    part: Part
    evaluation: Evaluation
    left_out: int


@dataclass(frozen=True)
class Answer:
    """What a model says to one file."""

    path: Path
    answer: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Refusal:
    """A file that gives no picture, and why."""

    path: Path
    fault: str


def try_on_version(run: Run, home: Home, reference: str, *, part: Part = "test") -> Trial:
    """Judge a run's int8 model on a published version, without the pictures it knows.

    Parameters
    ----------
    run : Run
    home : Home
    reference : str
        Verified first.
    part : {"train", "val", "test", "all"}
        Which pictures of it.

    Raises
    ------
    CurationError
        Where the version is not what was published, has other classes, or nothing is left to ask.
    """
    from curation.versions import load

    version = load(home, reference)
    check_whole(home, version)
    named = f"{version.name}@v{version.number}"
    strangers = sorted(set(version.description["classes"]) - set(run.classes))
    if strangers:
        raise CurationError(
            f"{named} has classes that {run.name} does not know: {', '.join(strangers)}",
            hint=f"it knows {', '.join(run.classes)}",
        )
    samples = read_samples(version, run.classes, side=side_of(run))
    if part != "all":
        samples = samples.of_split(part)
    unknown = leave_out_known(samples, run, rows=version.manifest.rows)
    if not len(samples):
        raise CurationError(f"{named} has no {part} pictures")
    if not len(unknown):
        raise CurationError(
            f"{named}: {run.name} was trained on all {len(samples)} pictures of {part}: nothing is left"
        )
    evaluation = evaluate(
        unknown, oracle_of(run).probabilities, classes=run.classes, alarm=run.alarm, side=side_of(run)
    )
    return Trial(named, part, evaluation, len(samples) - len(unknown))


def leave_out_known(samples: Samples, run: Run, *, rows: pl.DataFrame) -> Samples:
    """Return the pictures of groups the run was not trained on; test pictures of its own version are unknown to it.

    Parameters
    ----------
    samples : Samples
    run : Run
    rows : polars.DataFrame
        Every row of the version, the excluded ones too (columns group and sha256): what the run was trained on may be
        there as a duplicate of a picture that is kept, or as what was over.
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


def predict_files(run: Run, paths: Sequence[Path]) -> Iterator[Answer | Refusal]:
    """Yield what a run's int8 model says to image files, through the camera's view; one that is none stops no other."""
    oracle = oracle_of(run)
    for path in paths:
        try:
            frame, _ = frame_of(_read(path), side=side_of(run), name=str(path))
        except CurationError as fault:
            yield Refusal(path, fault.message)
            continue
        said = oracle.probabilities(camera_view(frame, side=side_of(run))[None])[0]
        shares = {name: float(share) for name, share in zip(run.classes, said, strict=True)}
        yield Answer(path, run.classes[int(said.argmax())], shares)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise CurationError(f"{path}: cannot be read: {fault.strerror}") from None


def oracle_of(run: Run) -> Oracle:
    """Return a run's int8 model, ready to be asked."""
    path = run.folder / "model_int8.tflite"
    oracle = open_oracle(path.read_bytes(), name=str(path))
    if oracle.classes != len(run.classes) or oracle.side != side_of(run):
        raise CurationError(f"{path}: not the model that config.toml and labels.txt speak of", hint="train it again")
    return oracle


def side_of(run: Run) -> Side:
    """Return the side of a run's input in pixels."""
    return 96 if run.config["settings"]["side"] == 96 else 48
