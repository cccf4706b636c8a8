"""How a build is run: where it reads and writes, where it computes, and who hears about it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from curation.engines import Engine, Local, count_cores
from curation.pipeline.journal import StageLine
from curation.storage.cache import Cache
from curation.storage.progress import Progress, SilentProgress
from curation.versions import Home


class Listener(Protocol):
    """Receives what happens during a build."""

    @property
    def progress(self) -> Progress:
        """What shows the progress of long work."""

    def stage(self, line: StageLine) -> None:
        """Receive the counts and the time of a step that has ended."""

    def note(self, sentence: str) -> None:
        """Receive a message that the user should see at once."""


@dataclass
class SilentListener:
    """A listener that shows nothing."""

    progress: Progress = field(default_factory=SilentProgress)

    def stage(self, line: StageLine) -> None:
        """Ignore it."""

    def note(self, sentence: str) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Options:
    """How a build is run. No option changes what is chosen and published.

    Parameters
    ----------
    home : Home
        The folder ``datasets/``.
    cache : Cache
        Downloads, and what was computed from them.
    mirror : Path, optional
        A folder that is read instead of the network.
    offline : bool
        Do not use the network.
    engine : Engine
        Where the images are read and written.
    quick : bool
        Leave the audit of a new version for later: it states so until ``audit`` has added the findings.
    upload : str, optional
        A URL (``s3://bucket/builds``). The built version is copied to ``<upload>/<name>/v<n>``.
    listener : Listener
        Receives progress, steps and messages.
    """

    home: Home = field(default_factory=Home.find)
    cache: Cache = field(default_factory=Cache)
    mirror: Path | None = None
    offline: bool = False
    engine: Engine = field(default_factory=lambda: Local(count_cores()))
    quick: bool = False
    upload: str | None = None
    listener: Listener = field(default_factory=SilentListener)
