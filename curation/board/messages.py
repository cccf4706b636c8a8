"""The messages of `firmware/PROTOCOL.md` as frozen values, and the one function that parses a line."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from curation.board.lines import MAX_LINE_BYTES
from curation.errors import CurationError, ErrorCode

PROTOCOL: Final = 1
"""The version of the protocol that this program has."""

FRAME_WIDTH: Final = 176
FRAME_HEIGHT: Final = 144
"""The size of a QCIF frame, in pixels of two bytes."""

Color = Literal["off", "red", "green", "yellow", "blue", "magenta", "cyan", "white"]
Blinking = Literal[
    "red blinking", "green blinking", "yellow blinking", "magenta blinking", "cyan blinking", "white blinking"
]
Led = Color | Blinking
FaultCode = Literal[
    "unknown-command", "bad-argument", "too-long", "out-of-order", "bad-base64", "bad-crc", "time-out", "no-camera"
]


class _Message(BaseModel):
    # Newer firmware may send more fields than are read here; those that are read are required.
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class BoardVersion(_Message):
    """What runs on the board: its firmware, its model and the dataset version that the model was trained on."""

    type: Literal["version", "hello"]
    protocol: int
    firmware: str
    model: str
    dataset: str = Field(alias="data")
    digest: str
    labels: tuple[str, ...]
    alarm: str
    input: tuple[int, int, int]
    threshold: float
    rows: bool
    board: str


class ColorBar(_Message):
    """One bar of the sensor's test image: the expected color, and red, green and blue as they arrive, 0 to 255."""

    expected: str
    seen: tuple[int, int, int]
    ok: bool


class SelfTest(_Message):
    """The result of the start-up test: whether it passed, and for each part ``"ok"`` or the reason."""

    type: Literal["selftest"]
    ok: bool
    led: str
    camera: str
    pattern: str
    golden: str
    order: str = ""
    """The order of a pixel's bytes, as the color bars show it; empty if the firmware does not send it."""
    bars: tuple[ColorBar, ...] = ()


class Scores(_Message):
    """The scores of one image. Without an image, the fields that depend on it have the value None."""

    type: Literal["scores"]
    frame: int
    injected: bool = False
    scores: dict[str, float] | None = None
    """The scores of the net, by label."""
    smoothed: dict[str, float] | None = None
    """The smoothed scores, which decide the LED."""
    verdict: str
    led: Led
    brightness: float | None = None
    """Mean luma, 0 to 255."""
    clipped: float | None = None
    """Share of saturated pixels."""
    sharpness: float | None = None
    """Variance of the Laplacian of the luma of the net's input."""
    us: int | None = None
    """The duration of the inference in microseconds."""


class FrameStart(_Message):
    """The rows of a frame follow."""

    type: Literal["frame"]
    width: Literal[176]
    height: Literal[144]
    format: Literal["rgb565be"]


class FrameRow(_Message):
    """One row of a frame, in base64."""

    type: Literal["row"]
    y: Annotated[int, Field(ge=0, lt=FRAME_HEIGHT)]
    text: str = Field(alias="data")


class FrameEnd(_Message):
    """The end of a frame, with the CRC-32 of its bytes."""

    type: Literal["frame-end"]
    crc32: str


class Ready(_Message):
    """The board waits for an image."""

    type: Literal["ready"]


class Taken(_Message):
    """The board has received a row."""

    type: Literal["taken"]
    y: int


class Golden(_Message):
    """One golden vector: the logits of the board, and the expected ones."""

    type: Literal["golden"]
    vector: int
    ok: bool
    logits: tuple[int, ...]
    expected: tuple[int, ...]


class GoldenEnd(_Message):
    """The number of golden vectors that passed and failed."""

    type: Literal["golden-end"]
    passed: int
    failed: int


class Timing(_Message):
    """The durations of the last image in microseconds; 0 before the first."""

    type: Literal["timing"]
    frames: int
    capture_us: int
    inference_us: int
    loop_us: int
    row_us: int | None = None
    """The longest time for one row of the network."""
    lines_lost: int | None = None
    """The lines of the sensor that the rows lack, because the network was late."""


class Registers(_Message):
    """Some registers of the sensor: address, expected value, and the value read back."""

    type: Literal["registers"]
    values: tuple[tuple[int, int, int], ...]


class SignalRates(_Message):
    """The rates of the sensor's signals."""

    pixel_clock_hz: int
    line_ns: int
    frame_us: int
    lines: int


class Rates(_Message):
    """The measured rates, and those of the documentation."""

    type: Literal["rates"]
    measured: SignalRates
    documented: SignalRates


class BringUpEnd(_Message):
    """The end of a bring-up, with facts of the board; None where the board does not know them."""

    type: Literal["bring-up"]
    instruction_cache: int | None = None
    watchdog: int | None = None
    stack_bytes: int | None = None
    stack_used_bytes: int | None = None


class Done(_Message):
    """A command was carried out."""

    type: Literal["done"]
    command: str


class Help(_Message):
    """The commands of a board."""

    type: Literal["help"]
    commands: tuple[str, ...]


class Fault(_Message):
    """A command failed, and why."""

    type: Literal["error"]
    code: FaultCode
    message: str


Message = (
    BoardVersion
    | SelfTest
    | Scores
    | FrameStart
    | FrameRow
    | FrameEnd
    | Ready
    | Taken
    | Golden
    | GoldenEnd
    | Timing
    | Registers
    | Rates
    | BringUpEnd
    | Done
    | Help
    | Fault
)

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class UnreadableLine(Exception):
    """Raised for a line that is not a message; ``reason`` is short."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_line(line: bytes) -> Message:
    """Parse one line, without its newline.

    Raises
    ------
    UnreadableLine
        It is not a message of this protocol: noise, a torn line, an unknown type.
    CurationError
        The board has another version of the protocol.
    """
    if len(line) > MAX_LINE_BYTES:
        raise UnreadableLine("too long")
    try:
        fields = json.loads(line.decode("ascii"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise UnreadableLine("not JSON") from None
    if not isinstance(fields, dict):
        raise UnreadableLine("not a JSON object")
    if fields.get("type") in ("version", "hello"):
        _check_protocol(fields)
    try:
        return _MESSAGES.validate_python(fields)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnreadableLine(f"{place}: {first['msg']}" if place else first["msg"]) from None


def _check_protocol(fields: dict[str, Any]) -> None:
    version = fields.get("protocol")
    if not isinstance(version, int) or isinstance(version, bool):
        raise UnreadableLine("has no protocol version")
    if version != PROTOCOL:
        older = "this program" if version > PROTOCOL else "the board's firmware"
        raise CurationError(
            ErrorCode.PROTOCOL_MISMATCH,
            f"the board has version {version} of the protocol, this program has version {PROTOCOL}",
            hint=f"Update {older}, which is older. firmware/README.md describes how to upload firmware.",
        )
