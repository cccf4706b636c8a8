"""The interface of a source: it takes a request and returns archives with their sha256 and origin.

A source is one module of this room, named after its kind, with a function ``fetch(request: Request) -> Fetched``. It
never prints: what takes time is reported to the request's progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from curation.storage.archive_index import Archive, SourceArchive
from curation.storage.cache import Cache
from curation.storage.progress import Progress

Origin = Literal["network", "cache", "mirror", "folder", "drawn"]
Settings = TypeVar("Settings", covariant=True)


@dataclass(frozen=True)
class SidecarLabel:
    """The label and the split of an image in the words of a file that a tool wrote next to the images."""

    label: str | None
    split: str | None = None


@dataclass(frozen=True)
class Fetched:
    """What was fetched from a source: verified archives, sorted by name, and the source's own description.

    Parameters
    ----------
    asked : str, optional
        What the recipe asked the network for, in one line: the lock keeps it, so that a changed recipe is noticed.
    sidecar_labels : mapping of str to SidecarLabel
        By path inside the source, where files rather than paths give labels and splits.
    sidecar_files : frozenset of str
        Paths of the files that only describe others; they are not images, and are excluded as such.
    stored_elsewhere : mapping of str to str
        The images that a table names without containing them, by their paths in the archive: the names.
    """

    source: str
    archives: tuple[Archive, ...]
    version: str | None
    licence: str | None
    doi: str | None
    citation: str | None
    url: str | None
    origin: Origin
    asked: str | None = None
    sidecar_labels: Mapping[str, SidecarLabel] = field(default_factory=dict)
    sidecar_files: frozenset[str] = frozenset()
    stored_elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[SourceArchive, ...]:
        """The archives as parts of this source."""
        alone = len(self.archives) == 1
        return tuple(SourceArchive(self.source, archive, alone) for archive in self.archives)


@dataclass(frozen=True)
class LockedFile:
    """One downloaded file as the lock keeps it."""

    name: str
    size_bytes: int
    sha256: str
    md5: str | None


@dataclass(frozen=True)
class LockLine:
    """What one source gave when it was pulled; see `Fetched` for the parts."""

    kind: str
    asked: str
    version: str | None
    files: tuple[LockedFile, ...]
    licence: str | None
    doi: str | None
    citation: str | None
    url: str | None


@dataclass(frozen=True)
class Request(Generic[Settings]):
    """Everything a source needs to fetch.

    Parameters
    ----------
    name : str
        The source's name in the recipe.
    settings
        The source's table in the recipe.
    cache : Cache
    mirror : Path, optional
        The folder to take downloads from instead of the network.
    locked : LockLine, optional
        The record of the last pull; None where there is none, or where it is replaced without comparison.
    update : bool
        Ask the network again, and take what it gives.
    offline : bool
        Never ask the network.
    progress : Progress
    """

    name: str
    settings: Settings
    cache: Cache
    mirror: Path | None
    locked: LockLine | None
    update: bool
    offline: bool
    progress: Progress


class Source(Protocol):
    """A module that fetches one kind of source."""

    def fetch(self, request: Request[Any], /) -> Fetched:
        """Return verified archives, or raise a CurationError with the next step."""
