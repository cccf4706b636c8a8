"""What an int8 model costs on a board: memory, flash, multiplications and time, per layer and in all."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from firmware.compiler.boards import Board
from firmware.compiler.model import Layer, Model, count_macs
from firmware.compiler.planning import plan_model
from firmware.compiler.reading import read_model
from firmware.compiler.unpack import unpack


@dataclass(frozen=True)
class LayerBudget:
    """What one layer costs."""

    name: str
    op: str
    shape: tuple[int, ...]
    macs: int
    weight_bytes: int
    activation_bytes: int
    milliseconds: float


@dataclass(frozen=True)
class Budget:
    """What a model costs on a board.

    Parameters
    ----------
    board : str
    arena_bytes : int
        As the firmware plans it, the whole input held.
    row_arena_bytes : int, optional
        As the firmware plans it where rows come from the camera one by one; None where the model does not allow it.
    interpreter_arena_bytes : int
        What TFLite Micro's planner would need for tensors alone; its own structures come on top.
    ram_bytes, free_ram_bytes : int
        What the model and the camera need in the cheaper of the two ways, and what the board has.
    flash_bytes, free_flash_bytes : int
    macs : int
    instructions : float
        Of one inference, estimated.
    milliseconds : float
        Of one inference at the board's clock, estimated.
    layers : tuple of LayerBudget
    problems : tuple of str
        One sentence for each kind of memory the board has too little of; empty where the model fits.
    """

    board: str
    arena_bytes: int
    row_arena_bytes: int | None
    interpreter_arena_bytes: int
    ram_bytes: int
    free_ram_bytes: int
    flash_bytes: int
    free_flash_bytes: int
    macs: int
    instructions: float
    milliseconds: float
    layers: tuple[LayerBudget, ...]
    problems: tuple[str, ...]


def measure_budget(content: bytes, board: Board) -> Budget:
    """Return what an int8 model costs.

    Parameters
    ----------
    content : bytes
        A ``.tflite`` file.
    board : Board

    Raises
    ------
    CurationError
        MODEL_INVALID or MODEL_UNSUPPORTED where the firmware cannot run it; each such layer is named.
    """
    model = read_model(content)
    planned = plan_model(model)
    layers = tuple(_cost(model, layer, board) for layer in model.layers)
    seconds_each = board.instructions.cycles_per_instruction / board.clock_hz
    milliseconds = sum(layer.milliseconds for layer in layers)
    held = planned.arena_bytes + board.camera_frame_bytes
    streamed = planned.row_mode_arena_bytes
    ram = held if streamed is None else min(held, streamed)
    return Budget(
        board=board.name,
        arena_bytes=planned.arena_bytes,
        row_arena_bytes=streamed,
        interpreter_arena_bytes=planned.interpreter_arena_bytes,
        ram_bytes=ram,
        free_ram_bytes=board.free_ram_bytes,
        flash_bytes=planned.flash_bytes,
        free_flash_bytes=board.free_flash_bytes,
        macs=planned.macs,
        instructions=milliseconds / 1000 / seconds_each,
        milliseconds=milliseconds,
        layers=layers,
        problems=tuple(_find_excess(board, ram=ram, flash=planned.flash_bytes)),
    )


def _find_excess(board: Board, *, ram: int, flash: int) -> Iterator[str]:
    for what, needed, free in (("RAM", ram, board.free_ram_bytes), ("flash", flash, board.free_flash_bytes)):
        if needed > free:
            yield f"{what}: {needed:,} B needed, {free:,} B free on {board.name} ({needed - free:,} B too many)"


def _cost(model: Model, layer: Layer, board: Board) -> LayerBudget:
    result = model.result(layer)
    macs, values = count_macs(model, layer), math.prod(result.shape)
    rates = board.instructions
    if layer.op == "DEPTHWISE_CONV_2D":
        each = rates.depthwise
    elif layer.op == "CONV_2D" and layer.window != (1, 1):
        each = rates.convolution
    else:
        each = rates.pointwise
    instructions = macs * each + values * rates.output
    constants = [model.tensors[number] for number in layer.inputs if number >= 0]
    return LayerBudget(
        name=layer.name,
        op=layer.op,
        shape=result.shape,
        macs=macs,
        weight_bytes=sum(tensor.size_bytes for tensor in constants if tensor.values is not None),
        activation_bytes=result.size_bytes,
        milliseconds=1000 * instructions * rates.cycles_per_instruction / board.clock_hz,
    )


def estimate_least(content: bytes) -> tuple[int, int]:
    """Return (bytes of constants, bytes of the largest activation) of any ``.tflite``, also an unsupported one.

    It needs at least that much flash and RAM.
    """
    packed = unpack(content)
    constants = sum(buffer.nbytes for buffer in packed.buffers)
    sizes = [
        math.prod(int(side) for side in tensor.shape)
        for tensor in packed.tensors
        if tensor.shape.size and not packed.buffers[tensor.buffer].size
    ]
    return constants, max(sizes, default=0)
