"""Decides whether the firmware takes an image row by row, which only a fast net can, or as a whole frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from firmware.compiler.boards import Board, InstructionRates
from firmware.compiler.model import Layer, Model, count_macs
from firmware.compiler.planning import schedule_rows
from firmware.compiler.scratch import rows_read
from firmware.compiler.steps import Block, to_steps

ROW_INSTRUCTIONS: Final = 10_000
"""What the engine does with a row besides the layers, by counts on the emulated board."""
OWN_INSTRUCTIONS: Final = 45_000
"""What the application does with a row besides the net: the mean of the sensor's lines, preprocessing, and quality."""


@dataclass(frozen=True)
class Mode:
    """How the firmware takes an image.

    Parameters
    ----------
    rows : bool
    reason : str
        A sentence with the figures that decided it.
    heaviest_us : float, optional
        The estimated time for the heaviest row; None where the net cannot take rows.
    """

    rows: bool
    reason: str
    heaviest_us: float | None = None


def choose_mode(model: Model, board: Board | None) -> Mode:
    """Choose the mode for a net; without a board, or with an unknown camera, rows where they are possible.

    A late row lacks lines of the sensor; one that is so late that all its lines are over comes with the next frame. The
    heaviest row therefore has to end while at least one line of the next row is still to come.
    """
    heaviest = estimate_heaviest_row(model, board.instructions) if board else None
    if schedule_rows(model, to_steps(model)) is None:
        return Mode(False, "whole frames: the first layers of this net need the whole input")
    if board is None or board.camera is None or heaviest is None:
        return Mode(True, "row by row: the net allows it, and the time of the camera's lines is not known")
    microseconds = 1e6 * (heaviest + OWN_INSTRUCTIONS) * board.instructions.cycles_per_instruction / board.clock_hz
    fits = microseconds <= board.camera.slack_us
    return Mode(
        fits,
        f"{'row by row' if fits else 'whole frames'}: the heaviest row takes about {microseconds / 1000:.1f} ms at "
        f"{board.clock_hz / 1e6:g} MHz, and the camera leaves {board.camera.slack_us / 1000:.1f} ms of "
        f"{board.camera.row_us / 1000:.1f} ms a row",
        microseconds,
    )


def estimate_heaviest_row(model: Model, rates: InstructionRates) -> float | None:
    """Return the instructions of the row of the input that causes most work; None where the net takes no rows."""
    schedule = schedule_rows(model, to_steps(model))
    if schedule is None:
        return None
    blocks = [step for step in schedule.groups[0] if isinstance(step, Block)]
    height = blocks[0].source.shape[1]
    costs = zip(*_costs_by_row(model, blocks, rates, height), strict=True)
    return ROW_INSTRUCTIONS + max(map(math.fsum, costs))


def _costs_by_row(
    model: Model, blocks: list[Block], rates: InstructionRates, height: int
) -> Iterator[tuple[float, ...]]:
    """Yield, for each block, what it costs at each row of the net's input."""
    for number, block in enumerate(blocks):
        expand, rest = _cost_of_a_row(model, block, rates)
        took = _taken_by(blocks[:number], height)
        given = _taken_by(blocks[: number + 1], height)
        yield tuple(
            expand * (took[row + 1] - took[row]) + rest * (given[row + 1] - given[row]) for row in range(height)
        )


def _taken_by(blocks: list[Block], height: int) -> list[int]:
    """Return how many rows the last of these blocks has given after each number of rows of the input."""
    counts = list(range(height + 1))
    for block in blocks:
        rows = block.result.shape[1]
        needed = [rows_read(block, row) for row in range(rows)]
        counts = [sum(need <= taken for need in needed) for taken in counts]
    return counts


def _cost_of_a_row(model: Model, block: Block, rates: InstructionRates) -> tuple[float, float]:
    """Return what a block costs for each row that it takes, and for each row that it gives."""
    expand = _cost(model, block.expand.layer, rates) if block.expand else 0.0
    rest = sum(_cost(model, stage.layer, rates) for stage in (block.depthwise, block.project))
    if block.add is not None:
        rest += math.prod(block.result.shape) * rates.output
    return expand / block.source.shape[1], rest / block.result.shape[1]


def _cost(model: Model, layer: Layer, rates: InstructionRates) -> float:
    each = (
        rates.depthwise
        if layer.op == "DEPTHWISE_CONV_2D"
        else rates.convolution
        if layer.window != (1, 1)
        else rates.pointwise
    )
    return count_macs(model, layer) * each + math.prod(model.result(layer).shape) * rates.output
