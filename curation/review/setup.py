"""Opens a review in FiftyOne: pictures, table, proposals and queues, for the App that starts or one that runs."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from curation.engines import Engine, Local, count_cores
from curation.errors import CurationError
from curation.review.fiftyone_sync import Subject, subject_of, synchronise
from curation.review.pictures import prepare_pictures
from curation.review.proposals import propose, read_map, read_predictions
from curation.review.review_session import Desk, open_desk
from curation.sources import Fetched, fetch_all
from curation.sources.shelf import Shelf
from curation.storage.cache import Cache
from curation.versions import Home

MAP = "embeddings"
"""The brain key of a run's map."""


@dataclass(frozen=True)
class Request:
    """What somebody wants to review.

    Parameters
    ----------
    reference : str
        NAME, NAME@v2 or NAME@draft.
    datasets : str
        The folder of definitions.
    reviewer : str
    mirror : str
        A folder that stands for the network, or ``""``.
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
    def of(cls, fields: Mapping[str, Any]) -> "Request":
        """Return what ``as_json`` gave."""
        return cls(**{name: str(fields.get(name) or "") for name in cls.__dataclass_fields__})

    def open(self) -> Desk:
        """Open the desk."""
        return open_desk(Home(Path(self.datasets)), self.reference, reviewer=self.reviewer)


@dataclass(frozen=True)
class Prepared:
    """Everything a session shows, before FiftyOne is asked."""

    request: Request
    desk: Desk
    rows: pl.DataFrame
    pictures: pl.DataFrame
    notes: tuple[str, ...]


def prepare(request: Request, *, cache: Cache, engine: Engine | None = None) -> Prepared:
    """Read the table and make the pictures that are missing; FiftyOne is not needed for it.

    Raises
    ------
    CurationError
        Where there is nothing to review, or a run cannot be read.
    """
    desk = request.open()
    rows, notes = desk.rows(), []
    if request.proposals:
        rows = propose(rows, read_predictions(Path(request.proposals)))
        waiting = rows.filter(pl.col("queues").list.contains("unlabelled"))
        unseen = waiting["proposal"].null_count()
        if unseen:
            notes.append(f"the run proposes nothing for {unseen} of {waiting.height} unlabelled pictures")
    missing: list[str] = []
    pictures = prepare_pictures(
        desk.manifest.rows,
        desk.recipe,
        folder=cache.folder("review") / "media",
        shelf=lambda: _open_shelf(desk, cache, request.mirror, missing),
        built=desk.table.folder if (desk.table.folder / "images").is_dir() else None,
        engine=engine or Local(count_cores()),
    )
    return Prepared(request, desk, rows, pictures, tuple(notes + missing))


def _open_shelf(desk: Desk, cache: Cache, mirror: str, missing: list[str]) -> Shelf:
    """Open what can be had without the network; name the sources that cannot."""
    fetched: list[Fetched] = []
    lock = desk.home.dataset(desk.name) / "lock.json"
    for source in desk.recipe.sources:
        try:
            fetched += fetch_all(
                [source], cache=cache, mirror=Path(mirror) if mirror else None, lock=lock, offline=True
            )
        except CurationError:
            missing.append(
                f"the files of {source.name} are not here, so their pictures cannot be shown: "
                f"give --mirror, or run `python -m curation pull {desk.name}`"
            )
    return Shelf(tuple(fetched))


def show(prepared: Prepared) -> Any:
    """Bring the FiftyOne dataset up to date with what was prepared, and return it."""
    request, desk = prepared.request, prepared.desk
    subject = Subject(desk.name, desk.reference, str(desk.home.datasets.resolve()), request.map)
    dataset = synchronise(prepared.rows, prepared.pictures, subject)
    if request.map:
        _draw_map(dataset, prepared.rows, Path(request.map))
    return dataset


def _draw_map(dataset: Any, rows: pl.DataFrame, run: Path) -> None:
    """Show where a run places the pictures in the App's embeddings panel."""
    import fiftyone.brain as fob

    placed = rows.select("id", "sha256").join(read_map(run), on="sha256", how="inner")
    if not placed.height:
        raise CurationError(f"{run}: its embeddings are of other pictures", hint="name a run on a version of this set")
    ids = dict(zip(*dataset.values(["row", "id"]), strict=True))
    if MAP in dataset.list_brain_runs():
        dataset.delete_brain_run(MAP)
    view = dataset.select([ids[row] for row in placed["id"]], ordered=True)
    fob.compute_visualization(view, points=placed.select("x", "y").to_numpy(), brain_key=MAP)


def reload_session(fields: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Open a review in the App that runs, for a second ``review`` command; return what to tell of it."""
    try:
        prepared = prepare(Request.of(fields), cache=Cache(Path(environ["CURATION_CACHE"])))
        dataset = show(prepared)
    except CurationError as fault:
        return {"error": fault.message, "hint": fault.hint}
    return {"dataset": dataset.name, "reference": prepared.desk.reference, "notes": list(prepared.notes)}


def desk_of(dataset: Any, *, environ: Mapping[str, str] = os.environ) -> Desk:
    """Return the desk of a FiftyOne dataset that a review made; the reviewer is the App's.

    Raises
    ------
    CurationError
        Where the dataset is none of a review's.
    """
    subject = subject_of(dataset)
    if subject is None:
        raise CurationError(
            "this FiftyOne dataset was not opened by a review", hint="open one with `python -m curation review NAME`"
        )
    folder = Home(Path(subject.datasets))
    built = folder.builds(subject.name) / subject.reference.partition("@")[2]
    audits = (built / "audit.json", built.with_name(f"{built.name}.audit.json"))
    read = (built / "manifest.parquet", *audits, folder.dataset(subject.name) / "recipe.toml")
    stamps = tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in read)
    return _open_once(subject.datasets, subject.reference, environ["CURATION_REVIEWER"], stamps)


@lru_cache(maxsize=8)
def _open_once(datasets: str, reference: str, reviewer: str, stamps: tuple[int, ...]) -> Desk:
    return open_desk(Home(Path(datasets)), reference, reviewer=reviewer)
