"""Prepares a review for FiftyOne: media files, table, proposals and queues."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from curation.engines import Engine, Local, count_cores
from curation.errors import CurationError, ErrorCode
from curation.review.app_edits import settle_edits
from curation.review.fiftyone_sync import ReviewSubject, dataset_name, read_subject, synchronize_dataset
from curation.review.media import prepare_media
from curation.review.proposals import propose, read_map, read_predictions
from curation.review.review_session import ReviewSession, open_session
from curation.sources import Fetched, fetch_all, index_files
from curation.storage.archive_index import ArchiveIndex
from curation.storage.cache import Cache
from curation.versions import Home

MAP = "embeddings"
"""The brain key of the map."""


@dataclass(frozen=True)
class ReviewRequest:
    """What is to be reviewed.

    Parameters
    ----------
    reference : str
        NAME, NAME@v2 or NAME@draft.
    datasets : str
        The folder of definitions.
    reviewer : str
    mirror : str
        A folder to use instead of the network, or ``""``.
    proposals, map : str
        Folders of training runs, or ``""``.
    """

    reference: str
    datasets: str
    reviewer: str
    mirror: str = ""
    proposals: str = ""
    map: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the request as JSON-able values."""
        return asdict(self)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "ReviewRequest":
        """Return what ``as_json`` gave."""
        return cls(**{name: str(fields.get(name) or "") for name in cls.__dataclass_fields__})

    def open(self) -> ReviewSession:
        """Open the session."""
        return open_session(Home(Path(self.datasets)), self.reference, reviewer=self.reviewer)


@dataclass(frozen=True)
class PreparedReview:
    """Everything that a session shows, prepared without FiftyOne."""

    request: ReviewRequest
    session: ReviewSession
    rows: pl.DataFrame
    media: pl.DataFrame
    notes: tuple[str, ...]


def prepare(request: ReviewRequest, *, cache: Cache, engine: Engine | None = None) -> PreparedReview:
    """Read the table and write missing media files; FiftyOne is not required.

    Raises
    ------
    CurationError
        Where there is nothing to review, or a run cannot be read.
    """
    session = request.open()
    rows, notes = _read_rows(request, session)
    missing: list[str] = []
    media = prepare_media(
        session.manifest.rows,
        session.recipe,
        folder=cache.folder("review") / "media",
        archive_index=lambda: _index_files(session, cache, request.mirror, missing),
        built=session.table.folder if (session.table.folder / "images").is_dir() else None,
        engine=engine or Local(count_cores()),
    )
    return PreparedReview(request, session, rows, media, tuple(notes + missing))


def _read_rows(request: ReviewRequest, session: ReviewSession) -> tuple[pl.DataFrame, list[str]]:
    """Return the review table, with a run's proposals where they are asked for, and notes on these."""
    rows = session.rows()
    if not request.proposals:
        return rows, []
    rows = propose(rows, read_predictions(Path(request.proposals)))
    waiting = rows.filter(pl.col("queues").list.contains("unlabelled"))
    unseen = waiting["proposal"].null_count()
    return rows, [f"the run has no proposal for {unseen} of {waiting.height} unlabelled images"] if unseen else []


def _index_files(session: ReviewSession, cache: Cache, mirror: str, missing: list[str]) -> ArchiveIndex:
    """Index the sources that are available without the network; list the others in ``missing``."""
    fetched: list[Fetched] = []
    lock = session.home.dataset(session.name) / "lock.json"
    for source in session.recipe.sources:
        try:
            fetched += fetch_all(
                [source], cache=cache, mirror=Path(mirror) if mirror else None, lock=lock, offline=True
            )
        except CurationError:
            missing.append(
                f"the images of {source.name} cannot be shown, because its files are not available: "
                f"give --mirror, or run `python -m curation pull {session.name}`"
            )
    return index_files(fetched)


def show(prepared: PreparedReview, *, notify: Callable[[str], object]) -> Any:
    """Update the FiftyOne dataset to a prepared review, and return it.

    What was edited in it past the review's buttons, since it was written last, becomes decisions first.
    """
    request, session = prepared.request, prepared.session
    rows = prepared.rows
    if notes := settle_last_edits(session):
        for note in notes:
            notify(note)
        rows, _ = _read_rows(request, session)
    subject = ReviewSubject(
        session.name, session.reference, str(session.home.datasets.resolve()), request.map, request.reviewer
    )
    dataset = synchronize_dataset(rows, prepared.media, subject, metadata=prepared.session.manifest.metadata)
    if request.map:
        _draw_map(dataset, prepared.rows, Path(request.map))
    return dataset


def settle_last_edits(session: ReviewSession) -> tuple[str, ...]:
    """Return what became of edits in the App that no session has seen; empty where there are none."""
    import fiftyone as fo

    name = dataset_name(session.home.datasets, session.name)
    dataset = fo.load_dataset(name) if fo.dataset_exists(name) else None
    if dataset is None or read_subject(dataset) is None:
        return ()
    return settle_edits(dataset, session)


def _draw_map(dataset: Any, rows: pl.DataFrame, run: Path) -> None:
    """Show a run's embeddings in the App's embeddings panel."""
    import fiftyone.brain as fob

    placed = rows.select("id", "sha256").join(read_map(run), on="sha256", how="inner")
    if not placed.height:
        raise CurationError(
            ErrorCode.RUN_INVALID,
            f"{run}: the embeddings are of other images",
            hint="Give a run that was trained on a version of this dataset.",
        )
    ids = dict(zip(*dataset.values(["row", "id"]), strict=True))
    if MAP in dataset.list_brain_runs():
        dataset.delete_brain_run(MAP)
    view = dataset.select([ids[row] for row in placed["id"]], ordered=True)
    fob.compute_visualization(view, points=placed.select("x", "y").to_numpy(), brain_key=MAP)


def reload_session(fields: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Open a review in the running App, for a second ``review`` command; return its result as JSON-able values."""
    try:
        prepared = prepare(ReviewRequest.of(fields), cache=Cache(Path(environ["CURATION_CACHE"])))
        edits: list[str] = []
        dataset = show(prepared, notify=edits.append)
    except CurationError as fault:
        return {"code": fault.code, "error": fault.message, "hint": fault.hint}
    return {"dataset": dataset.name, "reference": prepared.session.reference, "notes": [*prepared.notes, *edits]}


def session_of(dataset: Any, *, environ: Mapping[str, str] = os.environ) -> ReviewSession:
    """Return the session of a FiftyOne dataset that a review made; the reviewer is the App's.

    Raises
    ------
    CurationError
        Where no review made the dataset.
    """
    subject = read_subject(dataset)
    if subject is None:
        raise CurationError(
            ErrorCode.REVIEW_MISSING,
            "no review opened this FiftyOne dataset",
            hint="Open one with `python -m curation review NAME`.",
        )
    folder = Home(Path(subject.datasets))
    built = folder.builds(subject.name) / subject.reference.partition("@")[2]
    audits = (built / "audit.json", built.with_name(f"{built.name}.audit.json"))
    read = (built / "manifest.parquet", *audits, folder.dataset(subject.name) / "recipe.toml")
    stamps = tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in read)
    return _open_once(subject.datasets, subject.reference, environ["CURATION_REVIEWER"], stamps)


@lru_cache(maxsize=8)
def _open_once(datasets: str, reference: str, reviewer: str, stamps: tuple[int, ...]) -> ReviewSession:
    return open_session(Home(Path(datasets)), reference, reviewer=reviewer)
