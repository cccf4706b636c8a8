"""What leaves a version: its samples, each read with its checksum, and the order and shards they leave in."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import polars as pl

from curation.dataset.columns import Metadata
from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import CLASS_PATTERN
from curation.errors import CurationError
from curation.versions import Version

Advance: TypeAlias = Callable[[int], None]

PROVENANCE = ("sha256", "file_sha256", "group", "source", "licence")
"""What every format that has room for it says of a sample, besides split and label."""


@dataclass(frozen=True)
class Sample:
    """One published picture.

    Parameters
    ----------
    split, label : str
    name : str
        The stem of its file, unique within the version: hex digits and ``-p<page>``, nothing a source chose.
    path : pathlib.Path
    size_bytes : int
    sha256 : str
        Of the source file.
    file_sha256 : str
        Of the published file.
    group, source : str
    licence : str, optional
    reserve : bool
        Used although disputed.
    metadata : mapping of str to str, int, float or None
        The values of the version's metadata columns.
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

    def read(self) -> bytes:
        """Return the picture's bytes.

        Raises
        ------
        CurationError
            Where the file is gone or is not the one that was published.
        """
        try:
            content = self.path.read_bytes()
        except OSError as fault:
            raise CurationError(f"{self.path}: {fault.strerror}", hint=_VERIFY) from fault
        found = hashlib.sha256(content).hexdigest()
        if found != self.file_sha256:
            raise CurationError(
                f"{self.path}: changed since it was published: its sha256 is {found[:12]}, "
                f"the manifest says {self.file_sha256[:12]}",
                hint=_VERIFY,
            )
        return content

    def provenance(self) -> dict[str, str | None]:
        """Return where it comes from, in the columns ``PROVENANCE``."""
        origin: dict[str, str | None] = {
            "sha256": self.sha256,
            "file_sha256": self.file_sha256,
            "group": self.group,
            "source": self.source,
            "licence": self.licence,
        }
        return origin

    def known_metadata(self) -> dict[str, Any]:
        """Return the metadata columns that have a value."""
        return {name: value for name, value in self.metadata.items() if value is not None}


@dataclass(frozen=True)
class Outgoing:
    """A version on its way out.

    Parameters
    ----------
    version : Version
    samples : tuple of Sample
        Sorted by split (train, val, test), label and name.
    advance : callable
        Is told the bytes of every picture that was written.
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
        """The version as a person writes it: ``melanoma@v2``."""
        return f"{self.version.name}@v{self.version.number}"

    @property
    def content_digest(self) -> str:
        """The sha256 over split, label and file of all samples."""
        return str(self.version.description["content_digest"])

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, sorted; the place of one is its number in formats that count."""
        return tuple(sorted(self.version.description["classes"]))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold samples, in the order train, val, test."""
        used = {sample.split for sample in self.samples}
        return tuple(split for split in SPLITS if split in used)

    def identity(self) -> dict[str, str]:
        """Return what tells this version from every other, as each format carries it inside."""
        return {"version": self.reference, "digest": self.version.digest, "content_digest": self.content_digest}

    def mixed(self, split: str) -> list[Sample]:
        """Return a split's samples in the order of their names: classes mixed, and the same on every machine."""
        return sorted((sample for sample in self.samples if sample.split == split), key=lambda sample: sample.name)

    def copy(self, sample: Sample, target: Path) -> bytes:
        """Write a sample's picture to ``target`` and return its bytes."""
        content = sample.read()
        target.write_bytes(content)
        self.advance(len(content))
        return content


_VERIFY = "`python -m curation verify` names every changed file; `build` makes a version again once its folder is away"


def gather(version: Version, *, advance: Advance = lambda size_bytes: None) -> Outgoing:
    """Return a version's samples, ready to leave.

    Raises
    ------
    CurationError
        Where a label or a file name in the manifest could lead out of a folder, or a picture is missing: the version
        was tampered with.
    """
    columns = ("split", "label", "file", "sha256", "file_sha256", "group", "source", "licence", "reserve")
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
    if split not in SPLITS or not CLASS_PATTERN.fullmatch(label) or name.is_absolute() or ".." in name.parts:
        raise CurationError(f"{folder / 'manifest.parquet'}: {file!r}, {label!r}, {split!r} is no sample", hint=_VERIFY)
    path = folder / name
    try:
        size_bytes = path.lstat().st_size
    except OSError as fault:
        raise CurationError(f"{path}: {fault.strerror}", hint=_VERIFY) from fault
    if path.is_symlink():
        raise CurationError(f"{path}: a symbolic link, where only files belong", hint=_VERIFY)
    chosen = {key: row[key] for key in ("sha256", "file_sha256", "group", "source", "licence", "reserve")}
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
    """Yield the samples in their order, as many at a time as fit into ``max_bytes``, at least one.

    Parameters
    ----------
    cost : callable
        The bytes a sample takes.
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
    """Return the bytes of all pictures."""
    return sum(sample.size_bytes for sample in samples)
