"""Estimates the flash a network takes with the engine that runs it: the generated tables, and measured code."""

from __future__ import annotations

from typing import Final

from firmware.compiler.model import Model
from firmware.compiler.scratch import stem_taps, up_to_four
from firmware.compiler.steps import Block, Plain, Pointwise, Stage, Step

CHANNEL_BYTES: Final = 12
"""Bias, multiplier and shift of one output channel."""
ENGINE_BYTES: Final = 6_500
"""The kernels' code at -Os with the hot file at -O3, for Cortex-M4, measured."""
_STEP_BYTES: Final = 80
_DEPTHWISE_TAPS: Final = 12
"""Three rows of four 16-bit weights: the middle one is stored twice, for two neighboring outputs."""


def estimate_flash_bytes(model: Model, steps: tuple[Step, ...]) -> int:
    """Add up tables and code, in bytes; the same for every network of the same layers."""
    return ENGINE_BYTES + sum(_STEP_BYTES + _table_bytes(step) for step in steps)


def _table_bytes(step: Step) -> int:
    if isinstance(step, Block):
        depthwise = len(step.depthwise.kernel.channels) * (CHANNEL_BYTES + 2 * _DEPTHWISE_TAPS)
        return _expand_bytes(step) + depthwise + _pointwise_bytes(step.project)
    if isinstance(step, Pointwise):
        return _pointwise_bytes(step.stage)
    return _plain_bytes(step)


def _expand_bytes(block: Block) -> int:
    if block.expand is None:
        return 0
    if block.is_stem:
        return len(block.expand.kernel.channels) * (CHANNEL_BYTES + 2 * 3 * stem_taps(block))
    return _pointwise_bytes(block.expand)


def _pointwise_bytes(stage: Stage) -> int:
    taps = int(stage.kernel.weights.shape[1])
    return len(stage.kernel.channels) * (CHANNEL_BYTES + up_to_four(taps))


def _plain_bytes(step: Plain) -> int:
    if step.kernel is None:
        return 0
    return int(step.kernel.weights.size) + CHANNEL_BYTES * len(step.kernel.channels)
