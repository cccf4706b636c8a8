"""Looks for the net that suits a board: every candidate's cost first, then its accuracy, and which ones none beats."""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter

from curation.dataset.manifest import digest_of
from curation.errors import CurationError
from curation.images.camera import Side
from curation.storage.disk_errors import explain_disk_faults
from curation.versions import Home
from training.board_fit import foresee
from training.budget import Board, Budget
from training.data import Material, open_material
from training.evaluate import CrossValidation
from training.fit import FitSettings, Listener
from training.folds import cross_validate
from training.models import ARCHITECTURES
from training.report import write_search_page
from training.runs import plain, settle, workshop, write_text
from training.splits import check_cross_validation

Cost = Literal["RAM", "flash", "multiplications"]
COSTS: Final[tuple[Cost, ...]] = ("RAM", "flash", "multiplications")
FIGURES: Final = "search.json"


@dataclass(frozen=True)
class Candidate:
    """A net that was looked at.

    Parameters
    ----------
    name : str
        Architecture and side of its input.
    budget : Budget
    accuracy : CrossValidation, optional
        On groups of the training split it did not see; None where the net was refused.
    """

    name: str
    budget: Budget
    accuracy: CrossValidation | None

    @property
    def share(self) -> float:
        """The accuracy of its int8 form; 0 where it was refused."""
        return (self.accuracy.int8.share or 0.0) if self.accuracy else 0.0

    def cost(self, kind: Cost) -> int:
        """Return one of its costs, in bytes or multiplications."""
        if kind == "RAM":
            return self.budget.ram_bytes
        return self.budget.flash_bytes if kind == "flash" else self.budget.macs


@dataclass(frozen=True)
class Search:
    """What a search found, and where it is written down."""

    reference: str
    board: str
    candidates: tuple[Candidate, ...]
    folder: Path

    def front(self) -> tuple[Candidate, ...]:
        """Return the candidates none of the others beats: not less accurate, and cheaper in some way."""
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
    listener: Listener,
) -> Search:
    """Train every net that fits a board, in folds of the training split, and write down how they compare.

    The test pictures are not looked at, so that the chosen net can still be judged by them. What was finished before an
    interruption is not done again, and a search that is there is returned as it is.

    Parameters
    ----------
    reference : str
    settings : FitSettings
        ``model``, ``side``, ``batch`` and ``rate`` are replaced by each candidate's.
    home, runs : Home, pathlib.Path
    board : Board
    models : sequence of str
        Architectures; all that are made for a board where there are none.
    sides : sequence of {96, 48}
    folds : int
    again : bool
        Whether a search that is there already makes way for a new one.
    listener : Listener

    Raises
    ------
    CurationError
        Where the version cannot be learnt from, no candidate fits, or the disk does not take what was found.
    """
    names = list(models) or [name for name, architecture in ARCHITECTURES.items() if architecture.for_board]
    material = open_material(home, reference)
    check_cross_validation(material.samples.of_split("train"), folds=folds, repeats=1, seed=settings.seed)
    paces = [replace(settings, model=model, side=side, batch=0, rate=0.0) for model in names for side in sides]
    identity = {
        "digest": material.version.digest,
        "alarm": material.alarm,
        "settings": plain(paces),
        "folds": folds,
        "board": plain(board),
    }
    name = f"search-{material.version.name}-v{material.version.number}-{digest_of(identity)[:8]}"
    if (runs / name / FIGURES).is_file() and not again:
        listener.note(f"{name} is there already; --again searches anew")
        return Search(material.reference, board.name, _read(runs / name / FIGURES), runs / name)
    with explain_disk_faults(f"{runs / name}: cannot be written", within=runs, setting="--runs"):
        place = workshop(runs, name)
        candidates = [_try(material, pace, board, folds=folds, place=place, listener=listener) for pace in paces]
        if not any(candidate.accuracy for candidate in candidates):
            problems = "\n".join(f"  {one.name}: {'; '.join(one.budget.problems)}" for one in candidates)
            raise CurationError(f"no candidate fits {board.name}:\n{problems}")
        found = Search(material.reference, board.name, tuple(candidates), runs / name)
        _write(place, found)
        settle(place, found.folder)
    return found


def _try(
    material: Material, settings: FitSettings, board: Board, *, folds: int, place: Path, listener: Listener
) -> Candidate:
    name = f"{settings.model}@{settings.side}"
    classes = len(material.classes)
    budget = foresee(ARCHITECTURES[settings.model], board, classes=classes, side=settings.side)
    if budget.problems:
        listener.note(f"{name} is refused: {'; '.join(budget.problems)}")
        return Candidate(name, budget, None)
    listener.note(
        f"{name}: {budget.ram_bytes:,} B RAM, {budget.flash_bytes:,} B flash, {budget.macs:,} multiplications"
    )
    folder = place / name
    folder.mkdir(exist_ok=True)
    accuracy, _ = cross_validate(
        material.samples.of_split("train"),
        settings,
        classes=classes,
        alarm=material.classes.index(material.alarm),
        folds=folds,
        repeats=1,
        folder=folder,
        listener=listener,
    )
    return Candidate(name, budget, accuracy)


def _read(path: Path) -> tuple[Candidate, ...]:
    """Return what `_write` wrote down of the candidates."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["candidates"]
        return TypeAdapter(tuple[Candidate, ...]).validate_python(told)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise CurationError(f"{path}: not the figures of a search: {fault}", hint="--again searches anew") from None


def _write(place: Path, found: Search) -> None:
    front = {candidate.name for candidate in found.front()}
    table = [
        {"name": one.name, "front": one.name in front, "budget": plain(one.budget), "accuracy": plain(one.accuracy)}
        for one in found.candidates
    ]
    said = {"data": found.reference, "board": found.board, "candidates": table}
    write_text(place / FIGURES, json.dumps(said, indent=2) + "\n")
    points = {
        kind: [(one.name, float(one.cost(kind)), one.share) for one in found.candidates if one.accuracy]
        for kind in COSTS
    }
    write_text(place / "search.html", write_search_page(found, points, frozenset(front)))
    for folder in sorted(place.glob("*@*")):
        shutil.rmtree(folder)
