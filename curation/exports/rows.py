"""The samples of a version, read with their checksums, and their order and shards in an export."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import polars as pl

from curation.dataset.columns import Metadata
from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import is_class_name
from curation.errors import CurationError, ErrorCode
from curation.versions import Version

Advance: TypeAlias = Callable[[int], None]

PROVENANCE = ("sha256", "file_sha256", "group", "source", "licence")
"""The columns that formats with metadata contain in addition to split and label."""


@dataclass(frozen=True)
class Sample:
    """One published image.

    Parameters
    ----------
    split, label : str
    name : str
        The stem of its file, unique within the version: hex digits and ``-p<page>``, no text from a source.
    path : pathlib.Path
    size_bytes : int
    sha256 : str
        The digest of the source file.
    file_sha256 : str
        The digest of the published file.
    group, source : str
    licence : str, optional
    reserve : bool
        Whether it is used although it is disputed.
    metadata : mapping of str to str, int, float or None
        The values of the version's metadata columns.
    fold : int, optional
        Of an image of train or val, from 1, where the version has folds.
    """

    split: str
    label: str
    name: str
    path: Path
    size_bytes: int
    sha256: str
    file_sha256: str
    group: str
    source: str
    licence: str | None
    reserve: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)
    fold: int | None = None

    def read(self) -> bytes:
        """Return the bytes of the image.

        Raises
        ------
        CurationError
            Where the file is missing or is not as it was published.
        """
        try:
            content = self.path.read_bytes()
        except OSError as fault:
            raise CurationError(ErrorCode.VERSION_DAMAGED, f"{self.path}: {fault.strerror}", hint=_VERIFY) from fault
        found = hashlib.sha256(content).hexdigest()
        if found != self.file_sha256:
            raise CurationError(
                ErrorCode.VERSION_DAMAGED,
                f"{self.path}: changed since it was published: its sha256 is {found[:12]} instead of "
                f"{self.file_sha256[:12]}",
                hint=_VERIFY,
            )
        return content

    def provenance(self) -> dict[str, str | int | None]:
        """Return the columns ``PROVENANCE``, and the fold if there is one."""
        origin: dict[str, str | int | None] = {
            "sha256": self.sha256,
            "file_sha256": self.file_sha256,
            "group": self.group,
            "source": self.source,
            "licence": self.licence,
        }
        return origin if self.fold is None else {**origin, "fold": self.fold}

    def known_metadata(self) -> dict[str, Any]:
        """Return the metadata columns that have a value."""
        return {name: value for name, value in self.metadata.items() if value is not None}


@dataclass(frozen=True)
class Outgoing:
    """A version that is being exported.

    Parameters
    ----------
    version : Version
    samples : tuple of Sample
        Sorted by split (train, val, test), label and name.
    advance : callable
        Called with the bytes of every image that was written.
    """

    version: Version
    samples: tuple[Sample, ...]
    advance: Advance = field(default=lambda size_bytes: None, compare=False)

    @property
    def metadata(self) -> tuple[Metadata, ...]:
        """The metadata columns of the version."""
        return self.version.manifest.metadata

    @property
    def reference(self) -> str:
        """The reference of the version: ``melanoma@v2``."""
        return f"{self.version.name}@v{self.version.number}"

    @property
    def content_digest(self) -> str:
        """The sha256 over the splits, labels and files of all samples."""
        return str(self.version.description["content_digest"])

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, sorted; formats with class numbers use their positions."""
        return tuple(sorted(self.version.description["classes"]))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that contain samples, in the order train, val, test."""
        used = {sample.split for sample in self.samples}
        return tuple(split for split in SPLITS if split in used)

    @property
    def has_folds(self) -> bool:
        """Whether the version has folds."""
        return any(sample.fold is not None for sample in self.samples)

    def identity(self) -> dict[str, str]:
        """Return the identity of the version that every format contains."""
        return {"version": self.reference, "digest": self.version.digest, "content_digest": self.content_digest}

    def mixed(self, split: str) -> list[Sample]:
        """Return the samples of a split in the order of their names: classes mixed, the same on every machine."""
        return sorted((sample for sample in self.samples if sample.split == split), key=lambda sample: sample.name)

    def copy(self, sample: Sample, target: Path) -> bytes:
        """Write the image of a sample to ``target`` and return its bytes."""
        content = sample.read()
        target.write_bytes(content)
        self.advance(len(content))
        return content


_VERIFY = (
    "`python -m curation verify` lists every changed file. Remove the version's folder, and `build` makes it again."
)


def gather(version: Version, *, advance: Advance = lambda size_bytes: None) -> Outgoing:
    """Return a version's samples for an export.

    Raises
    ------
    CurationError
        Where a label or a file name in the manifest could lead out of a folder, or an image is missing: the version was
        changed.
    """
    columns = ("split", "label", "file", "sha256", "file_sha256", "group", "source", "licence", "reserve", "fold")
    names = [column.name for column in version.manifest.metadata]
    kept = version.manifest.kept.with_columns(pl.col("reserve").fill_null(value=False))
    rows = kept.select(*columns, pl.struct(names).alias("metadata") if names else pl.lit(None).alias("metadata"))
    samples = [_open(version.folder, row) for row in rows.iter_rows(named=True)]
    order = {split: place for place, split in enumerate(SPLITS)}
    samples.sort(key=lambda sample: (order[sample.split], sample.label, sample.name))
    return Outgoing(version, tuple(samples), advance)


def _open(folder: Path, row: Mapping[str, Any]) -> Sample:
    file, label, split = str(row["file"]), str(row["label"]), str(row["split"])
    name = PurePosixPath(file)
    if split not in SPLITS or not is_class_name(label) or name.is_absolute() or ".." in name.parts:
        raise CurationError(
            ErrorCode.VERSION_DAMAGED,
            f"{folder / 'manifest.parquet'}: invalid sample: {file!r}, {label!r}, {split!r}",
            hint=_VERIFY,
        )
    path = folder / name
    try:
        size_bytes = path.lstat().st_size
    except OSError as fault:
        raise CurationError(ErrorCode.VERSION_DAMAGED, f"{path}: {fault.strerror}", hint=_VERIFY) from fault
    if path.is_symlink():
        raise CurationError(ErrorCode.VERSION_DAMAGED, f"{path}: is a symbolic link", hint=_VERIFY)
    chosen = {key: row[key] for key in ("sha256", "file_sha256", "group", "source", "licence", "reserve", "fold")}
    return Sample(
        split=split,
        label=label,
        name=name.stem,
        path=path,
        size_bytes=size_bytes,
        metadata=row["metadata"] or {},
        **chosen,
    )


def cut(samples: Sequence[Sample], *, max_bytes: int, cost: Callable[[Sample], int]) -> Iterator[list[Sample]]:
    """Yield the samples in order, as many at a time as fit into ``max_bytes``, at least one.

    Parameters
    ----------
    cost : callable
        Returns the bytes of a sample.
    """
    part: list[Sample] = []
    size = 0
    for sample in samples:
        more = cost(sample)
        if part and size + more > max_bytes:
            yield part
            part, size = [], 0
        part.append(sample)
        size += more
    if part:
        yield part


def total_bytes(samples: Iterable[Sample]) -> int:
    """Return the bytes of all images."""
    return sum(sample.size_bytes for sample in samples)
