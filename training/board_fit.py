"""Finds, before anything is trained, what an architecture will cost on a board, and the nearest one that fits."""

from functools import lru_cache

import numpy as np

from curation.errors import CurationError
from curation.images.camera import Side
from firmware.compiler import read_model
from training.budget import Board, Budget, measure_budget, read_largest, refuse_excess
from training.framework import make_repeatable
from training.models import ARCHITECTURES, Architecture, build_model
from training.quantise import convert_int8


@lru_cache(maxsize=16)
def convert_untrained(name: str, *, classes: int, side: Side) -> bytes:
    """Return an architecture as int8 with weights nobody trained: it costs on a board what the trained one will."""
    make_repeatable(0)
    model = build_model(ARCHITECTURES[name], classes=classes, side=side)
    pictures = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    return convert_int8(model, pictures)


def foresee(architecture: Architecture, board: Board, *, classes: int, side: Side) -> Budget:
    """Return what an architecture will cost.

    Raises
    ------
    CurationError
        Where the firmware cannot run it at all; with the figures that say why not, and the nearest that fits.
    """
    content = convert_untrained(architecture.name, classes=classes, side=side)
    if architecture.for_board:
        return measure_budget(content, board)
    constants, largest = read_largest(content)
    raise CurationError(
        f"{architecture.name} is not for {board.name}: its weights alone take {constants:,} B of "
        f"{board.free_flash_bytes:,} B flash, its largest activation {largest:,} B of {board.free_ram_bytes:,} B RAM, "
        "and it is made of operators the firmware has no kernels for",
        hint=_advise(find_nearest(board, classes=classes, side=side)),
    )


def require_fit(architecture: Architecture, board: Board, *, classes: int, side: Side) -> Budget:
    """Return what an architecture will cost, if it fits.

    Raises
    ------
    CurationError
        Where it does not; with the figures and the nearest that does.
    """
    budget = foresee(architecture, board, classes=classes, side=side)
    if budget.problems:
        refuse_excess(budget, name=architecture.name, nearest=find_nearest(board, classes=classes, side=side))
    return budget


def refuse_unfit(content: bytes, budget: Budget, board: Board, *, name: str) -> None:
    """Raise a ``CurationError`` where an int8 model does not fit its board: the figures, and the nearest that does.

    Parameters
    ----------
    content : bytes
        The ``.tflite``: what takes its place would have its input and as many classes.
    budget : Budget
        From ``training.budget.measure_budget``.
    board : Board
    name : str
        What the model is called.
    """
    if not budget.problems:
        return
    model = read_model(content)
    classes, side = model.tensors[model.output].shape[-1], model.tensors[model.input].shape[1]
    nearest = find_nearest(board, classes=max(2, classes), side=48 if side == 48 else 96)
    refuse_excess(budget, name=name, nearest=nearest)


def find_nearest(board: Board, *, classes: int, side: Side) -> str | None:
    """Return the largest architecture, by its multiplications, that fits a board; None where none does."""
    # They stand in the order of their multiplications: most questions are answered by converting the largest alone.
    for name in reversed([name for name, architecture in ARCHITECTURES.items() if architecture.for_board]):
        if not measure_budget(convert_untrained(name, classes=classes, side=side), board).problems:
            return name
    return None


def _advise(nearest: str | None) -> str:
    fits = f"the nearest model that fits is {nearest}" if nearest else "no model fits this board"
    return f"{fits}; `--board none` trains it all the same, to compare with"
