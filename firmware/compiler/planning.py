"""Plans what a network takes on the board: memory with a whole input or row by row, flash, the cost of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from firmware.compiler.arena import Buffer, Layout, Overlap, lay_out
from firmware.compiler.flash import estimate_flash_bytes
from firmware.compiler.model import Layer, Model, Operator, Shape, count_macs
from firmware.compiler.scratch import may_coincide, overlap_distance, scratch_bytes, stream_distance
from firmware.compiler.steps import Block, Step, final_tensor, sources_of, to_steps

StepGroup: TypeAlias = tuple[Step, ...]
"""Steps that run together: one step, or blocks that hand their rows to one another."""

PROGRESS: Final = "progress"
PROGRESS_BYTES: Final = 8
"""The state of a stream between two rows, per block."""
_INTERPRETER_ALIGNMENT: Final = 16


@dataclass(frozen=True)
class LayerCost:
    """What one layer is and costs.

    Parameters
    ----------
    name : str
        The name of the tensor it makes.
    op : str
    shape : tuple of int
        Of what it makes.
    macs : int
        Multiplications with a weight in one inference.
    bytes : int
        Of its weights, biases and scales in flash, as the ``.tflite`` file has them.
    activation_bytes : int
        Of what it makes, if that were held whole.
    """

    name: str
    op: Operator
    shape: Shape
    macs: int
    bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Schedule:
    """In which order a network runs, and where everything lies.

    Parameters
    ----------
    groups : tuple of tuple of steps
    layout : Layout
        Offsets of ``tensor <n>``, ``scratch <step>`` and ``row <step>`` in the arena.
    takes_rows : bool
        The input is never held: the first run takes it row by row.
    """

    groups: tuple[StepGroup, ...]
    layout: Layout
    takes_rows: bool


@dataclass(frozen=True)
class ArenaPlan:
    """What a network takes on the board.

    Parameters
    ----------
    arena_bytes : int
        Where the whole input is held.
    row_mode_arena_bytes : int, optional
        Where the input comes row by row; None where the network does not allow it.
    flash_bytes : int
        Weights, tables and the engine's code together, an estimate (within 10 % of what is linked).
    macs : int
    interpreter_arena_bytes : int
        The size of the tensors in an interpreter that stores every layer's result whole, greedily planned.
    layers : tuple of LayerCost
    """

    arena_bytes: int
    row_mode_arena_bytes: int | None
    flash_bytes: int
    macs: int
    interpreter_arena_bytes: int
    layers: tuple[LayerCost, ...]


def plan_model(model: Model) -> ArenaPlan:
    """Plan a network's memory and cost.

    Raises
    ------
    CurationError
        A layer's accumulator could leave 32 bits.
    """
    steps = to_steps(model)
    rows = schedule_rows(model, steps)
    costs = tuple(_cost(model, layer) for layer in model.layers)
    return ArenaPlan(
        arena_bytes=schedule_frame(model, steps).layout.size_bytes,
        row_mode_arena_bytes=None if rows is None else rows.layout.size_bytes,
        flash_bytes=estimate_flash_bytes(model, steps),
        macs=sum(cost.macs for cost in costs),
        interpreter_arena_bytes=interpreter_arena_bytes(model),
        layers=costs,
    )


def schedule_frame(model: Model, steps: tuple[Step, ...]) -> Schedule:
    """Find the smallest arena that contains the whole input."""
    return min((_schedule(model, steps, count, takes_rows=False) for count in _streams(model, steps)), key=_size)


def schedule_rows(model: Model, steps: tuple[Step, ...]) -> Schedule | None:
    """Find the smallest arena for an input that comes row by row; None where the first step wants it whole."""
    first = steps[0]
    if not isinstance(first, Block) or first.residual == "input" or first.source.index != model.input:
        return None
    if len(model.readers(model.input)) > 1:
        return None
    return min((_schedule(model, steps, count, takes_rows=True) for count in _streams(model, steps)), key=_size)


def _size(schedule: Schedule) -> int:
    return schedule.layout.size_bytes


def _streams(model: Model, steps: tuple[Step, ...]) -> list[int]:
    """List how many of the first steps may run as one stream: 1, and so on as long as they are a chain of blocks."""
    counts = [1]
    for before, after in pairwise(steps):
        if not isinstance(before, Block) or not isinstance(after, Block) or after.residual == "input":
            break
        if after.source.index != before.result.index or len(model.readers(before.result.index)) > 1:
            break
        counts.append(counts[-1] + 1)
    return counts


def _schedule(model: Model, steps: tuple[Step, ...], streamed: int, *, takes_rows: bool) -> Schedule:
    groups: tuple[StepGroup, ...] = (steps[:streamed], *((step,) for step in steps[streamed:]))
    buffers: tuple[Buffer, ...] = (*_tensor_buffers(model, groups, takes_rows=takes_rows), *_scratch_buffers(groups))
    if takes_rows:
        buffers += (Buffer(PROGRESS, PROGRESS_BYTES * streamed, 0, 0),)
    layout = lay_out(buffers, _overlaps(groups, buffers))
    return Schedule(groups=groups, layout=layout, takes_rows=takes_rows)


def tensor_name(index: int) -> str:
    """Name a tensor's buffer."""
    return f"tensor {index}"


def _tensor_buffers(model: Model, groups: tuple[StepGroup, ...], *, takes_rows: bool) -> tuple[Buffer, ...]:
    first = {} if takes_rows else {model.input: 0}
    last = dict.fromkeys(first, 0)
    for time, group in enumerate(groups):
        for source in sources_of(group[0]):
            if source.index in first:
                last[source.index] = time
        first[group[-1].result.index] = last[group[-1].result.index] = time
    last[final_tensor(model).index] = len(groups) - 1
    return tuple(
        Buffer(tensor_name(index), model.tensors[index].size_bytes, first[index], last[index])
        for index in sorted(first)
    )


def _scratch_buffers(groups: tuple[StepGroup, ...]) -> tuple[Buffer, ...]:
    buffers, number = [], 0
    for time, group in enumerate(groups):
        for step in group:
            if scratch_bytes(step):
                buffers.append(Buffer(f"scratch {number}", scratch_bytes(step), time, time))
            if step is not group[-1]:
                shape = step.result.shape
                buffers.append(Buffer(f"row {number}", shape[2] * shape[3], time, time))
            number += 1
    return tuple(buffers)


def _overlaps(groups: tuple[StepGroup, ...], buffers: tuple[Buffer, ...]) -> tuple[Overlap, ...]:
    lives = {buffer.name: buffer for buffer in buffers}
    overlaps: list[Overlap] = []
    for time, group in enumerate(groups):
        distance = _group_distance(group)
        result = lives[tensor_name(group[-1].result.index)]
        sources = {tensor_name(source.index) for source in sources_of(group[0])} & lives.keys()
        overlaps += [
            Overlap(source, result.name, distance, may_coincide(group[0]))
            for source in sorted(sources)
            if distance is not None and lives[source].last == time == result.first
        ]
    return tuple(overlaps)


def _group_distance(group: StepGroup) -> int | None:
    blocks = tuple(step for step in group if isinstance(step, Block))
    return stream_distance(blocks) if len(blocks) == len(group) else overlap_distance(group[0])


def _cost(model: Model, layer: Layer) -> LayerCost:
    constants = (model.tensors[number] for number in layer.inputs if number >= 0)
    stored = [tensor for tensor in constants if tensor.values is not None and layer.op not in ("PAD", "MEAN")]
    return LayerCost(
        name=layer.name,
        op=layer.op,
        shape=model.result(layer).shape,
        macs=count_macs(model, layer),
        bytes=sum(tensor.size_bytes + 4 * tensor.scales.size for tensor in stored),
        activation_bytes=model.result(layer).size_bytes,
    )


def interpreter_arena_bytes(model: Model) -> int:
    """Plan the tensors as TensorFlow Lite Micro does: each held whole, the largest first, 16 bytes aligned.

    Source: ``GreedyMemoryPlanner`` of tflite-micro. What its interpreter and kernels allocate besides is not counted.
    """
    first, last = {model.input: 0}, {model.input: 0}
    for time, layer in enumerate(model.layers):
        for number in layer.inputs:
            if number in first:
                last[number] = time
        first[layer.output] = last[layer.output] = time
    last[model.output] = len(model.layers) - 1
    buffers = tuple(
        Buffer(tensor_name(index), _aligned(model.tensors[index].size_bytes), first[index], last[index])
        for index in sorted(first)
    )
    return lay_out(buffers, ()).size_bytes


def _aligned(size: int) -> int:
    return -(-size // _INTERPRETER_ALIGNMENT) * _INTERPRETER_ALIGNMENT
