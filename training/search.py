"""Finds the net that suits a board: the cost of every candidate first, then its accuracy, and the Pareto front."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from curation.dataset.manifest import digest_of
from curation.errors import CurationError, ErrorCode
from curation.images.camera import Side
from curation.storage.disk_errors import explain_disk_faults
from curation.versions import Home
from firmware.compiler import Board, Budget
from training.board_fit import estimate_budget
from training.data import TrainingData, open_training_data
from training.figures import draw_pareto
from training.fit import FitListener, FitSettings
from training.folds import CrossValidation, check_cross_validation, cross_validate
from training.models import ARCHITECTURES
from training.report import render_page
from training.run_summary import plain
from training.runs import publish_dir, staging_dir, write_text

Cost = Literal["RAM", "flash", "multiplications"]
COSTS: Final[Mapping[Cost, str]] = {"RAM": "RAM, bytes", "flash": "flash, bytes", "multiplications": "multiplications"}
"""Each cost with the label of its axis."""
FIGURES: Final = "search.json"


@dataclass(frozen=True)
class Candidate:
    """A net of a search.

    Parameters
    ----------
    name : str
        Architecture and side of its input.
    budget : Budget
    accuracy : CrossValidation, optional
        On groups of the training split it did not see; None where the net does not fit.
    """

    name: str
    budget: Budget
    accuracy: CrossValidation | None

    @property
    def share(self) -> float:
        """The accuracy of its int8 form; 0 where it does not fit."""
        return (self.accuracy.int8.share or 0.0) if self.accuracy else 0.0

    def cost(self, kind: Cost) -> int:
        """Return one of its costs, in bytes or multiplications."""
        match kind:
            case "RAM":
                return self.budget.ram_bytes
            case "flash":
                return self.budget.flash_bytes
            case "multiplications":
                return self.budget.macs


@dataclass(frozen=True)
class SearchResults:
    """The candidates of a search, and the folder with its table and page."""

    reference: str
    board: str
    candidates: tuple[Candidate, ...]
    folder: Path

    def front(self) -> tuple[Candidate, ...]:
        """Return the Pareto front."""
        return pareto(self.candidates)


def pareto(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates that no other equals or beats in accuracy and every cost while better in one."""
    tried = [candidate for candidate in candidates if candidate.accuracy is not None]

    def beats(one: Candidate, other: Candidate) -> bool:
        mine = (-one.share, *(one.cost(kind) for kind in COSTS))
        theirs = (-other.share, *(other.cost(kind) for kind in COSTS))
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))

    return tuple(one for one in tried if not any(beats(other, one) for other in tried))


def search(
    reference: str,
    settings: FitSettings,
    *,
    home: Home,
    runs: Path,
    board: Board,
    models: Sequence[str] = (),
    sides: Sequence[Side] = (96, 48),
    folds: int = 3,
    again: bool = False,
    listener: FitListener,
) -> SearchResults:
    """Train every net that fits a board in folds of the training split, and write a table and a page.

    The test images are not used, so that the chosen net can still be judged on them. An interrupted search is resumed,
    and an existing one is returned.

    Parameters
    ----------
    reference : str
    settings : FitSettings
        ``model``, ``side``, ``batch`` and ``rate`` are replaced by each candidate's.
    home, runs : Home, pathlib.Path
    board : Board
    models : sequence of str
        Architectures; by default all that are made for a board.
    sides : sequence of {96, 48}
    folds : int
    again : bool
        Search again although the search exists.
    listener : FitListener

    Raises
    ------
    CurationError
        Where the version cannot be trained on, the disk is full, or (DOES_NOT_FIT) no candidate fits.
    """
    names = list(models) or [name for name, architecture in ARCHITECTURES.items() if architecture.for_board]
    data = open_training_data(home, reference)
    check_cross_validation(data.samples.of_split("train"), folds=folds, repeats=1, seed=settings.seed)
    trials = [replace(settings, model=model, side=side, batch=0, rate=0.0) for model in names for side in sides]
    identity = {
        "digest": data.version.digest,
        "alarm": data.alarm,
        "settings": plain(trials),
        "folds": folds,
        "board": plain(board),
    }
    name = f"search-{data.version.name}-v{data.version.number}-{digest_of(identity)[:8]}"
    folder = runs / name
    if (folder / FIGURES).is_file() and not again:
        listener.note(f"{name} exists already; --again searches again")
        return SearchResults(data.reference, board.name, _read(folder / FIGURES), folder)
    with explain_disk_faults(f"{folder}: cannot be written", within=runs, setting="--runs"):
        place = staging_dir(runs, name)
        candidates = [_try(data, trial, board, folds=folds, place=place, listener=listener) for trial in trials]
        if not any(candidate.accuracy for candidate in candidates):
            problems = "\n".join(f"  {one.name}: {'; '.join(one.budget.problems)}" for one in candidates)
            raise CurationError(ErrorCode.DOES_NOT_FIT, f"no candidate fits {board.name}:\n{problems}")
        found = SearchResults(data.reference, board.name, tuple(candidates), folder)
        _write(place, found)
        publish_dir(place, folder)
    return found


def _try(
    data: TrainingData, settings: FitSettings, board: Board, *, folds: int, place: Path, listener: FitListener
) -> Candidate:
    name = f"{settings.model}@{settings.side}"
    classes = len(data.classes)
    budget = estimate_budget(ARCHITECTURES[settings.model], board, classes=classes, side=settings.side)
    if budget.problems:
        listener.note(f"{name} does not fit: {'; '.join(budget.problems)}")
        return Candidate(name, budget, None)
    listener.note(
        f"{name}: {budget.ram_bytes:,} B RAM, {budget.flash_bytes:,} B flash, {budget.macs:,} multiplications"
    )
    folder = place / name
    folder.mkdir(exist_ok=True)
    accuracy, _ = cross_validate(
        data.samples.of_split("train"),
        settings,
        classes=classes,
        alarm=data.alarm_index,
        folds=folds,
        repeats=1,
        folder=folder,
        listener=listener,
    )
    return Candidate(name, budget, accuracy)


def _read(path: Path) -> tuple[Candidate, ...]:
    try:
        candidates: Any = json.loads(path.read_text(encoding="utf-8"))["candidates"]
        return TypeAdapter(tuple[Candidate, ...]).validate_python(candidates)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise CurationError(
            ErrorCode.RUN_INVALID, f"{path}: not the figures of a search: {fault}", hint="Search again with --again."
        ) from None


def _write(place: Path, found: SearchResults) -> None:
    front = {candidate.name for candidate in found.front()}
    table = [
        {"name": one.name, "front": one.name in front, "budget": plain(one.budget), "accuracy": plain(one.accuracy)}
        for one in found.candidates
    ]
    content = {"data": found.reference, "board": found.board, "candidates": table}
    write_text(place / FIGURES, json.dumps(content, indent=2) + "\n")
    write_text(place / "search.html", write_search_page(found))
    for folder in sorted(place.glob("*@*")):
        shutil.rmtree(folder)


def write_search_page(found: SearchResults) -> str:
    """Return the page of a search as one HTML file."""
    front = frozenset(candidate.name for candidate in found.front())
    trained = [one for one in found.candidates if one.accuracy]
    figures = [
        (
            label,
            draw_pareto(
                [(one.name, float(one.cost(kind)), one.share) for one in trained],
                front,
                name=kind.lower(),
                xlabel=label,
            ),
        )
        for kind, label in COSTS.items()
    ]
    return render_page("search.html", found=found, figures=figures, front=front)
