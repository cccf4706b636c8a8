"""The small thing around the steps of a build: it times them, checks that no row is lost, and informs the listener."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from curation.dataset.borderline import Borderline
from curation.dataset.manifest import Manifest, check_conservation
from curation.versions import Renewal


@dataclass(frozen=True)
class StageLine:
    """What one step did: the rows after it, and the time it took."""

    step: str
    rows: int
    kept: int
    excluded: int
    seconds: float


class Stopped(Exception):
    """The build has reached the step after which it was asked to stop."""


class _Hearer(Protocol):
    def stage(self, line: StageLine) -> None:
        """Receive the counts and the time of a step that has ended."""


class Journal:
    """What happened in a build so far. The result and a draft are made from it; no step reads it.

    Parameters
    ----------
    listener
        Its ``stage`` is called after each step.
    until : str, optional
        ``Stopped`` is raised after this step.

    Attributes
    ----------
    current : str
        The step that runs, or ran last.
    rows : Manifest
        As the last step that ended left them.
    stages : list of StageLine
    notes : list of str
        What a user should know.
    borderline : Borderline
        The pairs that are nearly the same, once duplicates were searched.
    renewal : Renewal, optional
        What became of the images of the last version whose files are gone.
    """

    def __init__(self, listener: _Hearer, *, until: str | None = None) -> None:
        self.listener, self.until = listener, until
        self.current = ""
        self.rows = Manifest(pl.DataFrame({"id": []}, schema={"id": pl.String}))
        self.stages: list[StageLine] = []
        self.notes: list[str] = []
        self.borderline = Borderline()
        self.renewal: Renewal | None = None

    @contextmanager
    def step(
        self, name: str, *, conserves: bool = True, adds_pages: bool = False
    ) -> Iterator[Callable[[Manifest], Manifest]]:
        """Run a step; what is given to the function that this yields are the rows after it, which it returns.

        Parameters
        ----------
        conserves : bool
            Check that the step keeps every row, its bytes, and the reason of every excluded row.
        adds_pages : bool
            The step may add rows for further pages.
        """
        self.current, start = name, time.perf_counter()
        before, after = self.rows, [self.rows]

        def record(rows: Manifest) -> Manifest:
            if conserves:
                check_conservation(before, rows, stage=name, grows=adds_pages)
            after.append(rows)
            return rows

        yield record
        self.rows = after[-1]
        kept = self.rows.kept.height
        line = StageLine(name, len(self.rows), kept, len(self.rows) - kept, time.perf_counter() - start)
        self.stages.append(line)
        self.listener.stage(line)
        if name == self.until:
            raise Stopped
