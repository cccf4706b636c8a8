"""Opens a published version for training: verified first, then its images as the camera's frames."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.dataset.columns import Metadata
from curation.errors import CurationError, ErrorCode
from curation.images import DecodeFailure, area_average, area_average_144, camera_view, center_square, decode
from curation.images.camera import Side
from curation.versions import Home, Version, load, verify

Frames = npt.NDArray[np.uint8]
COLUMNS: Final = (
    "id", "sha256", "page", "file", "file_sha256", "label", "split", "group", "source", "disputed", "reserve", "fold",
)  # fmt: skip
SHOWN_PROBLEMS: Final = 10


@dataclass(frozen=True)
class Samples:
    """Images of a version and the rows of their table; every array has the same first side n.

    Parameters
    ----------
    table : polars.DataFrame
        Columns ``COLUMNS`` and the metadata columns, a row for each image.
    labels : (n,) int64 ndarray
        Index into the version's classes.
    frames : (n, 144, 144, 3) uint8 ndarray
        The center square at the height of a QCIF frame, before the camera's RGB565.
    plain : (n, side, side, 3) uint8 ndarray
        The center square area-averaged to the input's side, without the camera.
    metadata : tuple of Metadata
        The metadata columns of the version.
    """

    table: pl.DataFrame
    labels: npt.NDArray[np.int64]
    frames: Frames
    plain: Frames
    metadata: tuple[Metadata, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return self.table.height

    def take(self, rows: npt.NDArray[np.int64]) -> "Samples":
        """Return the images of these row numbers, in that order."""
        return replace(
            self,
            table=self.table[rows.tolist()],
            labels=self.labels[rows],
            frames=self.frames[rows],
            plain=self.plain[rows],
        )

    def of_split(self, split: str) -> "Samples":
        """Return the images of one split."""
        return self.take(np.flatnonzero((self.table["split"] == split).to_numpy()))

    def view(self, side: Side) -> Frames:
        """Return the images as the network sees them through the camera: (n, side, side, 3) uint8."""
        return camera_view(self.frames, side=side)

    @property
    def groups(self) -> list[str]:
        """The group of each image; a group never straddles a split."""
        return self.table["group"].to_list()


@dataclass(frozen=True)
class TrainingData:
    """A verified version, opened for training.

    Parameters
    ----------
    version : curation.versions.Version
    classes : tuple of str
        In the order of the network's outputs.
    alarm : str
        The class the board warns of.
    samples : Samples
        All kept images, sorted by split, label, sha256 and page.
    """

    version: Version
    classes: tuple[str, ...]
    alarm: str
    samples: Samples

    @property
    def reference(self) -> str:
        """``name@v<n>``."""
        return reference_of(self.version)

    @property
    def domain(self) -> str | None:
        """The field that the version's recipe states."""
        return self.version.domain

    @property
    def alarm_index(self) -> int:
        """The number of the output that belongs to the alarm class."""
        return self.classes.index(self.alarm)


def reference_of(version: Version) -> str:
    """Return ``name@v<n>``."""
    return f"{version.name}@v{version.number}"


def open_training_data(home: Home, reference: str, *, side: Side = 96, alarm: str | None = None) -> TrainingData:
    """Verify a published version and read its images.

    Parameters
    ----------
    home : curation.versions.Home
    reference : str
        ``melanoma``, ``melanoma@v2`` or ``melanoma@<digest prefix>``.
    side : {96, 48}
        Of the network's input.
    alarm : str, optional
        The class the board warns of; by default the first that the recipe names.

    Raises
    ------
    CurationError
        VERSION_DAMAGED where a byte of its folder was changed, SPLIT_EMPTY where it has fewer than two classes or a
        class has no images to train on or to test with.
    """
    version = open_verified(home, reference)
    classes = tuple(version.description["classes"])
    check_trainable(version, classes)
    return TrainingData(
        version, classes, choose_alarm(version, classes, alarm), read_samples(version, classes, side=side)
    )


def open_verified(home: Home, reference: str) -> Version:
    """Open a published version whose files are those that were published.

    Raises
    ------
    CurationError
        VERSION_DAMAGED with the first problems that were found.
    """
    version = load(home, reference)
    name = reference_of(version)
    problems = verify(home, name).problems
    if problems:
        shown = [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
        more = [f"  ... and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
        raise CurationError(
            ErrorCode.VERSION_DAMAGED,
            "\n".join([f"{name} differs from what was published and is not used:", *shown, *more]),
            hint=f"Move {version.folder} away, then run `python -m curation build {name}`.",
        )
    return version


def check_trainable(version: Version, classes: Sequence[str]) -> None:
    """Raise a SPLIT_EMPTY error where a version has one class, or a class without training or test images."""
    name = reference_of(version)
    if len(classes) < 2:
        raise CurationError(
            ErrorCode.SPLIT_EMPTY, f"{name} has one class ({', '.join(classes)}); a classifier needs at least two"
        )
    counts = version.description["counts"]
    empty = [
        f"{split} has no {label}"
        for split in ("train", "test")
        for label in classes
        if not counts.get(split, {}).get(label)
    ]
    if empty:
        raise CurationError(
            ErrorCode.SPLIT_EMPTY,
            f"{name}: {'; '.join(empty)}",
            hint=f"`python -m curation show {name}` lists the counts; [selection] in the recipe sets them.",
        )


def choose_alarm(version: Version, classes: Sequence[str], asked: str | None) -> str:
    """Return the class the board warns of: the one asked for, else the first that the version's recipe names."""
    if asked is not None:
        if asked not in classes:
            raise CurationError(
                ErrorCode.LABEL_UNKNOWN, f"there is no class {asked!r}", hint=f"The classes are {', '.join(classes)}."
            )
        return asked
    recipe = version.folder / "recipe.toml"
    if recipe.is_file():
        named = list(tomllib.loads(recipe.read_text(encoding="utf-8"))["labels"]["classes"])
        return next((name for name in named if name in classes), classes[0])
    return classes[0]


def read_samples(version: Version, classes: Sequence[str], *, side: Side) -> Samples:
    """Read every kept image of a version.

    Raises
    ------
    CurationError
        VERSION_DAMAGED where a file changed while it was read, IMAGE_UNREADABLE where it cannot be decoded.
    """
    rows = version.samples()
    metadata = version.manifest.metadata
    table = rows.select(*COLUMNS, *(column.name for column in metadata))
    frames = np.empty((table.height, 144, 144, 3), np.uint8)
    plain = np.empty((table.height, side, side, 3), np.uint8)
    for number, (file, digest) in enumerate(table.select("file", "file_sha256").rows()):
        frames[number], plain[number] = read_frame(_read(Path(file), digest), side=side, name=file)
    labels = np.array([classes.index(label) for label in table["label"]], dtype=np.int64)
    return Samples(table, labels, frames, plain, metadata)


def read_frame(content: bytes, *, side: Side, name: str) -> tuple[Frames, Frames]:
    """Return an image's frame (144, 144, 3) and its plain view (side, side, 3), both uint8.

    Raises
    ------
    CurationError
        IMAGE_UNREADABLE with the file's name.
    """
    try:
        square = center_square(decode(content).pixels)
    except DecodeFailure as fault:
        raise CurationError(ErrorCode.IMAGE_UNREADABLE, f"{name}: not a readable image: {fault}") from fault
    return area_average_144(square), area_average(square, height=side, width=side)


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that the user named.

    Raises
    ------
    CurationError
        FILE_MISSING or FILE_UNREADABLE.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CurationError(ErrorCode.FILE_MISSING, f"{path}: no such file") from None
    except OSError as fault:
        raise CurationError(ErrorCode.FILE_UNREADABLE, f"{path}: cannot be read: {fault.strerror}") from None


def _read(path: Path, digest: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise CurationError(ErrorCode.VERSION_DAMAGED, f"{path}: the file changed while it was read")
    return content
