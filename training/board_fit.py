"""Estimates what an architecture costs on a board before it is trained, and names the nearest one that fits."""

import math
from functools import lru_cache

import numpy as np

from curation.errors import CurationError, ErrorCode
from curation.images.camera import Side
from firmware.compiler import Board, Budget, estimate_least, measure_budget, read_model
from training.framework import make_repeatable
from training.models import ARCHITECTURES, Architecture, build_model
from training.quantize import convert_int8


@lru_cache(maxsize=16)
def convert_untrained(name: str, *, classes: int, side: Side) -> bytes:
    """Return an architecture as int8 without training: it costs as much on a board as the trained one."""
    make_repeatable(0)
    model = build_model(ARCHITECTURES[name], classes=classes, side=side)
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    return convert_int8(model, images)


def estimate_budget(architecture: Architecture, board: Board, *, classes: int, side: Side) -> Budget:
    """Return what an architecture will cost.

    Raises
    ------
    CurationError
        DOES_NOT_FIT where the firmware cannot run it at all; with the figures and the nearest that fits.
    """
    content = convert_untrained(architecture.name, classes=classes, side=side)
    if architecture.for_board:
        return measure_budget(content, board)
    constants, largest = estimate_least(content)
    nearest = find_nearest(board, classes=classes, side=side)
    raise CurationError(
        ErrorCode.DOES_NOT_FIT,
        f"{architecture.name} does not fit {board.name}: its weights alone take {constants:,} B of "
        f"{board.free_flash_bytes:,} B flash, its largest activation {largest:,} B of {board.free_ram_bytes:,} B RAM, "
        "and the firmware has no kernels for some of its operators",
        hint=f"{_name_nearest(nearest)} `--board none` trains it for comparison.",
    )


def require_fit(architecture: Architecture, board: Board, *, classes: int, side: Side) -> Budget:
    """Return what an architecture will cost.

    Raises
    ------
    CurationError
        DOES_NOT_FIT with the figures and the nearest that fits.
    """
    budget = estimate_budget(architecture, board, classes=classes, side=side)
    if budget.problems:
        raise does_not_fit(budget, name=architecture.name, nearest=find_nearest(board, classes=classes, side=side))
    return budget


def refuse_unfit(content: bytes, budget: Budget, board: Board, *, name: str) -> None:
    """Raise a DOES_NOT_FIT error where an int8 model does not fit its board, with the nearest architecture that does.

    Parameters
    ----------
    content : bytes
        The ``.tflite``; an architecture that replaces it has the same input and as many classes.
    budget : Budget
        From ``firmware.compiler.measure_budget``.
    board : Board
    name : str
        The model's name.
    """
    if not budget.problems:
        return
    model = read_model(content)
    classes, side = model.tensors[model.output].shape[-1], model.tensors[model.input].shape[1]
    nearest = find_nearest(board, classes=max(2, classes), side=48 if side == 48 else 96)
    raise does_not_fit(budget, name=name, nearest=nearest)


def does_not_fit(budget: Budget, *, name: str, nearest: str | None) -> CurationError:
    """Return the error for a model that exceeds its board.

    Parameters
    ----------
    budget : Budget
    name : str
        The model's name.
    nearest : str, optional
        The largest architecture that fits, if any does.
    """
    problems = "\n".join(f"  {problem}" for problem in budget.problems)
    return CurationError(
        ErrorCode.DOES_NOT_FIT, f"{name} does not fit {budget.board}:\n{problems}", hint=_name_nearest(nearest)
    )


def find_nearest(board: Board, *, classes: int, side: Side) -> str | None:
    """Return the largest architecture, by its multiplications, that fits a board; None where none does."""
    # They are listed in the order of their multiplications; a conversion takes seconds.
    for name in reversed([name for name, architecture in ARCHITECTURES.items() if architecture.for_board]):
        if count_weight_bytes(name, classes=classes, side=side) > board.free_flash_bytes:
            continue
        if not measure_budget(convert_untrained(name, classes=classes, side=side), board).problems:
            return name
    return None


@lru_cache(maxsize=16)
def count_weight_bytes(name: str, *, classes: int, side: Side) -> int:
    """Return the bytes of an architecture's kernels as int8, without a conversion: its flash is at least that."""
    model = build_model(ARCHITECTURES[name], classes=classes, side=side)
    return sum(math.prod(weight.shape) for weight in model.trainable_weights if len(weight.shape) > 1)


def _name_nearest(nearest: str | None) -> str:
    return f"The nearest model that fits is {nearest}." if nearest else "No model fits this board."
