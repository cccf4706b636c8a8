"""Opens a published version for training: verified first, then its pictures as the camera's frames."""

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
from curation.errors import CurationError
from curation.images import DecodeFailure, area_average, area_average_144, camera_view, center_square, decode
from curation.images.camera import Side
from curation.versions import Home, Version, load, verify

Frames = npt.NDArray[np.uint8]
COLUMNS: Final = (
    "id", "sha256", "page", "file", "file_sha256", "label", "split", "group", "source", "disputed", "reserve",
)  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """Pictures of a version with what is known of each; every array has the same first side n.

    Parameters
    ----------
    table : polars.DataFrame
        Columns ``COLUMNS`` and the metadata columns, a row for each image.
    labels : (n,) int64 ndarray
        Index into the version's classes.
    frames : (n, 144, 144, 3) uint8 ndarray
        The centre square at the height of a QCIF frame, before the camera's RGB565.
    plain : (n, side, side, 3) uint8 ndarray
        The centre square area-averaged to the input's side, without the camera.
    metadata : tuple of Metadata
        The metadata columns of the version.
    """

    table: pl.DataFrame
    labels: npt.NDArray[np.int64]
    frames: Frames
    plain: Frames
    metadata: tuple[Metadata, ...] = ()

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self.table.height

    def take(self, rows: npt.NDArray[np.int64]) -> "Samples":
        """Return the pictures of these row numbers, in that order."""
        return replace(
            self,
            table=self.table[rows.tolist()],
            labels=self.labels[rows],
            frames=self.frames[rows],
            plain=self.plain[rows],
        )

    def of_split(self, split: str) -> "Samples":
        """Return the pictures of one split."""
        return self.take(np.flatnonzero((self.table["split"] == split).to_numpy()))

    def view(self, side: Side) -> Frames:
        """Return the pictures as the network sees them through the camera: (n, side, side, 3) uint8."""
        return camera_view(self.frames, side=side)

    @property
    def groups(self) -> list[str]:
        """The group of each picture: what belongs together and never straddles a split."""
        return self.table["group"].to_list()


@dataclass(frozen=True)
class Material:
    """A verified version, opened for training.

    Parameters
    ----------
    version : curation.versions.Version
    classes : tuple of str
        In the order of the network's outputs.
    alarm : str
        The class the board warns of.
    samples : Samples
        All kept pictures, sorted by split, label, sha256 and page.
    """

    version: Version
    classes: tuple[str, ...]
    alarm: str
    samples: Samples

    @property
    def reference(self) -> str:
        """``name@v<n>``."""
        return f"{self.version.name}@v{self.version.number}"


def open_material(home: Home, reference: str, *, side: Side = 96, alarm: str | None = None) -> Material:
    """Verify a published version and read its pictures.

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
        Where there is no such version, a byte of its folder was changed, it has fewer than two classes, or a class
        has nothing to train on.
    """
    version = load(home, reference)
    check_whole(home, version)
    classes = tuple(version.description["classes"])
    check_trainable(version, classes)
    return Material(version, classes, choose_alarm(version, classes, alarm), read_samples(version, classes, side=side))


def check_whole(home: Home, version: Version) -> None:
    """Raise a ``CurationError`` that lists what is wrong with a version's folder, if anything is."""
    reference = f"{version.name}@v{version.number}"
    problems = verify(home, reference).problems
    if problems:
        shown = [f"  {problem}" for problem in problems[:10]]
        more = [f"  ... and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise CurationError(
            "\n".join([f"{reference} is not what was published, so nothing is trained on it:", *shown, *more]),
            hint=f"move {version.folder} away, then `python -m curation build {reference}` makes it again",
        )


def check_trainable(version: Version, classes: Sequence[str]) -> None:
    """Raise a ``CurationError`` where a version cannot be learnt from or judged by.

    One class alone is one reason, a class without training or without test pictures another.
    """
    reference = f"{version.name}@v{version.number}"
    if len(classes) < 2:
        raise CurationError(f"{reference} has one class ({', '.join(classes)}): there is nothing to tell apart")
    counts = version.description["counts"]
    empty = [
        f"{split} has no {name}"
        for split in ("train", "test")
        for name in classes
        if not counts.get(split, {}).get(name)
    ]
    if empty:
        raise CurationError(
            f"{reference}: {'; '.join(empty)}",
            hint=f"`python -m curation show {reference}` counts what it holds; the recipe's [selection] asks for it",
        )


def choose_alarm(version: Version, classes: Sequence[str], asked: str | None) -> str:
    """Return the class the board warns of: the one asked for, else the first that the version's recipe names."""
    if asked is not None:
        if asked not in classes:
            raise CurationError(f"there is no class {asked!r}", hint=f"the classes are {', '.join(classes)}")
        return asked
    recipe = version.folder / "recipe.toml"
    if recipe.is_file():
        named = list(tomllib.loads(recipe.read_text(encoding="utf-8"))["labels"]["classes"])
        return next((name for name in named if name in classes), classes[0])
    return classes[0]


def read_samples(version: Version, classes: Sequence[str], *, side: Side) -> Samples:
    """Read every kept picture of a version.

    Raises
    ------
    CurationError
        Where a picture's bytes are not those of the manifest any more, or give no picture.
    """
    rows = version.samples()
    metadata = version.manifest.metadata
    table = rows.select(*COLUMNS, *(column.name for column in metadata))
    frames = np.empty((table.height, 144, 144, 3), np.uint8)
    plain = np.empty((table.height, side, side, 3), np.uint8)
    for number, (file, digest) in enumerate(table.select("file", "file_sha256").rows()):
        frames[number], plain[number] = frame_of(_read(Path(file), digest), side=side, name=file)
    labels = np.array([classes.index(label) for label in table["label"]], dtype=np.int64)
    return Samples(table, labels, frames, plain, metadata)


def frame_of(content: bytes, *, side: Side, name: str) -> tuple[Frames, Frames]:
    """Return a picture's frame (144, 144, 3) and its plain view (side, side, 3), both uint8.

    Raises
    ------
    CurationError
        Where the bytes give no picture; names the file.
    """
    try:
        square = center_square(decode(content).pixels)
    except DecodeFailure as fault:
        raise CurationError(f"{name}: gives no picture: {fault}") from fault
    return area_average_144(square), area_average(square, height=side, width=side)


def _read(path: Path, digest: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise CurationError(f"{path}: changed while it was being read")
    return content


def join(parts: Sequence[Samples]) -> Samples:
    """Return the pictures of all parts, one after the other."""
    first = parts[0]
    return replace(
        first,
        table=pl.concat([part.table for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        frames=np.concatenate([part.frames for part in parts]),
        plain=np.concatenate([part.plain for part in parts]),
    )
