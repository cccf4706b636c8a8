"""What an int8 model costs on a board: memory, flash, multiplications and time, per layer and in all."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from curation.errors import CurationError
from firmware.compiler import Layer, Model, count_macs, plan, read_model

DEFAULT_BOARD = "nano33ble"
COUNTS: Final[Mapping[str, int]] = {
    "clock_hz": 1,
    "ram_bytes": 1,
    "core_ram_bytes": 0,
    "camera_frame_bytes": 0,
    "flash_bytes": 1,
    "core_flash_bytes": 0,
}
"""The whole numbers of a board file, and the least that each can be."""
RATES: Final = ("pointwise", "depthwise", "convolution", "output", "cycles_per_instruction")


@dataclass(frozen=True)
class Board:
    """What a board has, and what its core takes of it.

    Parameters
    ----------
    name, title : str
    clock_hz : int
    ram_bytes, core_ram_bytes, camera_frame_bytes : int
        All of it, what the core takes, and a whole frame of the camera.
    flash_bytes, core_flash_bytes : int
    instructions : mapping
        For each multiplication of a ``pointwise``, ``depthwise`` or other ``convolution``, and for each value of the
        ``output``; and ``cycles_per_instruction``.
    """

    name: str
    title: str
    clock_hz: int
    ram_bytes: int
    core_ram_bytes: int
    camera_frame_bytes: int
    flash_bytes: int
    core_flash_bytes: int
    instructions: Mapping[str, float]

    @property
    def free_ram_bytes(self) -> int:
        """What is left for the model and, where one is held, the camera's frame."""
        return self.ram_bytes - self.core_ram_bytes

    @property
    def free_flash_bytes(self) -> int:
        """What is left for model and engine."""
        return self.flash_bytes - self.core_flash_bytes


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
        What the model needs beside the camera in the cheaper of the two ways, and what the board has.
    flash_bytes, free_flash_bytes : int
    macs : int
    instructions : float
        Of one inference, estimated.
    milliseconds : float
        Of one inference at the board's clock, estimated.
    layers : tuple of LayerBudget
    problems : tuple of str
        One sentence for each thing the board has not enough of; empty where the model fits.
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


def list_boards() -> tuple[str, ...]:
    """Return the names of the boards that come with the program, sorted."""
    found = resources.files("training").joinpath("boards").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in found if file.name.endswith(".toml")))


def load_board(name: str) -> Board:
    """Return a board by its name, or from a file of one's own.

    Parameters
    ----------
    name : str
        ``nano33ble``, or a path that ends in ``.toml``.

    Raises
    ------
    CurationError
        Where there is none, or its file lacks a value.
    """
    if name.endswith(".toml"):
        text = _read_text(Path(name))
    elif name in list_boards():
        text = resources.files("training").joinpath("boards", f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise CurationError(
            f"there is no board {name!r}",
            hint=f"known: {', '.join(list_boards())}; or the path of a .toml file like training/boards/nano33ble.toml",
        )
    try:
        board = Board(**tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as fault:
        raise CurationError(
            f"{name}: not a board: {fault}", hint="training/boards/nano33ble.toml shows what a board file holds"
        ) from None
    faults = list(_find_faults(board))
    if faults:
        raise CurationError(
            "\n".join([f"{name}: not a board:", *(f"  {fault}" for fault in faults)]),
            hint="training/boards/nano33ble.toml shows what a board file holds",
        )
    return board


def _find_faults(board: Board) -> Iterator[str]:
    """Yield a sentence for each value of a board file that is none."""
    for key in ("name", "title"):
        if not isinstance(getattr(board, key), str):
            yield f"{key} is no text"
    for key, least in COUNTS.items():
        value: object = getattr(board, key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            yield f"{key} = {value!r}, where a whole number of {least} or more is expected"
    rates: object = board.instructions
    if not isinstance(rates, Mapping):
        yield f"instructions = {rates!r}, where a table is expected"
        return
    missing = [key for key in RATES if key not in rates]
    if missing:
        yield f"[instructions] lacks {', '.join(missing)}"
    for key, value in rates.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            yield f"[instructions] {key} = {value!r}, where a number of 0 or more is expected"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise CurationError(f"{path}: cannot be read: {fault}") from None


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
        Where it is no int8 model, or holds what the firmware cannot run; each such layer is named.
    """
    model = read_model(content)
    planned = plan(model)
    layers = tuple(_cost(model, layer, board) for layer in model.layers)
    seconds_each = board.instructions["cycles_per_instruction"] / board.clock_hz
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
        each = rates["depthwise"]
    elif layer.op == "CONV_2D" and layer.window != (1, 1):
        each = rates["convolution"]
    else:
        each = rates["pointwise"]
    instructions = macs * each + values * rates["output"]
    constants = [model.tensors[number] for number in layer.inputs if number >= 0]
    return LayerBudget(
        name=layer.name,
        op=layer.op,
        shape=result.shape,
        macs=macs,
        weight_bytes=sum(tensor.size_bytes for tensor in constants if tensor.values is not None),
        activation_bytes=result.size_bytes,
        milliseconds=1000 * instructions * rates["cycles_per_instruction"] / board.clock_hz,
    )


def refuse_excess(budget: Budget, *, name: str, nearest: str | None) -> None:
    """Raise a ``CurationError`` with the figures where a model does not fit its board.

    Parameters
    ----------
    budget : Budget
    name : str
        What the model is called.
    nearest : str, optional
        The largest model that fits, if any does.
    """
    if budget.problems:
        lines = "\n".join(f"  {problem}" for problem in budget.problems)
        raise CurationError(
            f"{name} does not fit {budget.board}:\n{lines}",
            hint=f"the nearest model that fits is {nearest}" if nearest else "no model fits this board",
        )


def read_largest(content: bytes) -> tuple[int, int]:
    """Return (bytes of constants, bytes of the largest activation) of any ``.tflite``, whatever it is made of.

    Less than what it needs in flash and RAM; enough to say why a model that the firmware cannot run is out of reach.
    """
    from ai_edge_litert import schema_py_generated as schema

    packed: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    constants = sum(len(buffer.data) for buffer in packed.buffers if buffer.data is not None)
    sizes = [
        math.prod(int(side) for side in tensor.shape)
        for tensor in packed.subgraphs[0].tensors
        if tensor.shape is not None and packed.buffers[tensor.buffer].data is None
    ]
    return constants, max(sizes, default=0)
