"""The boards a model can be made for: one ``.toml`` file each in this folder, or a file of the user's own."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, StrictStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from curation.errors import CurationError, ErrorCode

DEFAULT_BOARD: Final = "nano33ble"
EXAMPLE: Final = "firmware/compiler/boards/nano33ble.toml"

Count = Annotated[int, Field(strict=True, ge=0)]
PositiveCount = Annotated[int, Field(strict=True, ge=1)]
InstructionRate = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class InstructionRates:
    """How many instructions a layer takes for each multiplication of its kind, and for each value it computes.

    Parameters
    ----------
    pointwise, depthwise, convolution : float
        For each multiplication.
    output : float
        For each value of the result.
    cycles_per_instruction : float
    """

    pointwise: InstructionRate
    depthwise: InstructionRate
    convolution: InstructionRate
    output: InstructionRate
    cycles_per_instruction: InstructionRate


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Camera:
    """When the camera sends a row: its lines are averaged, and the CPU is busy while it reads one.

    Parameters
    ----------
    line_us, read_us : int
        From one line of the sensor to the next, and the part of it in which the CPU reads.
    lines_a_row : int
    """

    line_us: PositiveCount
    read_us: PositiveCount
    lines_a_row: PositiveCount

    @property
    def row_us(self) -> int:
        """From one row to the next."""
        return self.line_us * self.lines_a_row

    @property
    def slack_us(self) -> int:
        """From the end of a row to the beginning of the last line of the next one."""
        return (2 * self.lines_a_row - 1) * self.line_us - (self.lines_a_row - 1) * self.line_us - self.read_us


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Board:
    """What a board has, and what its core takes of it.

    Parameters
    ----------
    name, title : str
    clock_hz : int
    ram_bytes, core_ram_bytes, camera_frame_bytes : int
        All RAM, what the core takes, and a whole frame of the camera.
    flash_bytes, core_flash_bytes : int
        All flash, and what the boot loader takes.
    instructions : InstructionRates
    camera : Camera, optional
        Without it, a net takes rows wherever it can.
    """

    name: StrictStr
    title: StrictStr
    clock_hz: PositiveCount
    ram_bytes: PositiveCount
    core_ram_bytes: Count
    camera_frame_bytes: Count
    flash_bytes: PositiveCount
    core_flash_bytes: Count
    instructions: InstructionRates
    camera: Camera | None = None

    @property
    def free_ram_bytes(self) -> int:
        """What is left for the model and, where one is held, the camera's frame."""
        return self.ram_bytes - self.core_ram_bytes

    @property
    def free_flash_bytes(self) -> int:
        """What is left for model and engine."""
        return self.flash_bytes - self.core_flash_bytes


def list_boards() -> tuple[str, ...]:
    """Return the names of the boards that come with the program, sorted."""
    found = resources.files(__name__).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in found if file.name.endswith(".toml")))


def load_board(name: str) -> Board:
    """Return a board.

    Parameters
    ----------
    name : str
        ``nano33ble``, or a path that ends in ``.toml``.

    Raises
    ------
    CurationError
        BOARD_UNKNOWN where there is no such board, or its file is not valid; every mistake is listed.
    """
    try:
        content = tomllib.loads(_read_text(name))
    except tomllib.TOMLDecodeError as fault:
        raise _invalid(name, [str(fault)]) from None
    try:
        return TypeAdapter(Board).validate_python(content)
    except ValidationError as fault:
        raise _invalid(name, [_show_mistake(error) for error in fault.errors()]) from None


def _read_text(name: str) -> str:
    if name.endswith(".toml"):
        try:
            return Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise CurationError(ErrorCode.BOARD_UNKNOWN, f"{name}: the board file cannot be read: {fault}") from None
    if name not in list_boards():
        raise CurationError(
            ErrorCode.BOARD_UNKNOWN,
            f"there is no board {name!r}",
            hint=f"Known boards: {', '.join(list_boards())}. Or give the path of a .toml file like {EXAMPLE}.",
        )
    return resources.files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _show_mistake(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    given = "" if error["type"] == "missing" else f" = {error['input']!r}"
    return f"{place}{given}: {error['msg']}"


def _invalid(name: str, mistakes: list[str]) -> CurationError:
    return CurationError(
        ErrorCode.BOARD_UNKNOWN,
        "\n".join([f"{name}: not a valid board file:", *(f"  {mistake}" for mistake in mistakes)]),
        hint=f"{EXAMPLE} shows what a board file contains.",
    )
