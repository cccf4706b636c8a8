"""What a board says, line by line: `firmware/PROTOCOL.md` as frozen values, and the one place a line is understood."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from curation.board.lines import MAX_LINE_BYTES
from curation.errors import CurationError

PROTOCOL: Final = 1
"""The version of the protocol that is spoken here."""

FRAME_WIDTH: Final = 176
FRAME_HEIGHT: Final = 144
"""Of a QCIF frame, in pixels of two bytes."""

Led = Literal["off", "green", "red", "red blinking", "blue"]
FaultCode = Literal[
    "unknown-command", "bad-argument", "too-long", "out-of-order", "bad-base64", "bad-crc", "time-out", "no-camera"
]


class _Message(BaseModel):
    # A newer firmware may say more than is read here; what is read has to be there.
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class BoardVersion(_Message):
    """What runs on the board: its firmware, the model in it and the version of the dataset it was trained on."""

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


class SelfTest(_Message):
    """The test of the start: whether all is well, and for each part ``"ok"`` or why not."""

    type: Literal["selftest"]
    ok: bool
    led: str
    camera: str
    pattern: str
    golden: str


class Scores(_Message):
    """What the board makes of one picture; without a picture, what comes from one is None."""

    type: Literal["scores"]
    frame: int
    injected: bool = False
    scores: dict[str, float] | None = None
    """The net's own, by label."""
    smoothed: dict[str, float] | None = None
    """What the LED goes by."""
    verdict: str
    led: Led
    brightness: float | None = None
    """Mean luma, 0 to 255."""
    clipped: float | None = None
    """Share of saturated pixels."""
    sharpness: float | None = None
    """Variance of the Laplacian of the luma of the net's input."""
    us: int | None = None
    """Microseconds the inference took."""


class FrameStart(_Message):
    """A frame's rows follow."""

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
    """A frame is whole where its bytes have this CRC-32."""

    type: Literal["frame-end"]
    crc32: str


class Ready(_Message):
    """The board waits for a picture."""

    type: Literal["ready"]


class Taken(_Message):
    """The board has a row."""

    type: Literal["taken"]
    y: int


class Golden(_Message):
    """One golden vector: the logits the board has, and those it should have."""

    type: Literal["golden"]
    vector: int
    ok: bool
    logits: tuple[int, ...]
    expected: tuple[int, ...]


class GoldenEnd(_Message):
    """How many golden vectors are right."""

    type: Literal["golden-end"]
    passed: int
    failed: int


class Timing(_Message):
    """How long the last picture took, in microseconds; 0 before the first."""

    type: Literal["timing"]
    frames: int
    capture_us: int
    inference_us: int
    loop_us: int


class Done(_Message):
    """A command was obeyed."""

    type: Literal["done"]
    command: str


class Help(_Message):
    """The commands of a board."""

    type: Literal["help"]
    commands: tuple[str, ...]


class Fault(_Message):
    """A command was not obeyed, and why."""

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
    | Done
    | Help
    | Fault
)

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class Unreadable(Exception):
    """Raised for a line that is no message; ``reason`` is short."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_line(line: bytes) -> Message:
    """Understand one line, without its newline.

    Raises
    ------
    Unreadable
        It is no message of this protocol: noise, a torn line, a word that is not known.
    CurationError
        The board speaks another version of the protocol.
    """
    if len(line) > MAX_LINE_BYTES:
        raise Unreadable("too long")
    try:
        said = json.loads(line.decode("ascii"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise Unreadable("no JSON") from None
    if not isinstance(said, dict):
        raise Unreadable("no JSON object")
    if said.get("type") in ("version", "hello"):
        _check_protocol(said)
    try:
        return _MESSAGES.validate_python(said)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unreadable(f"{place}: {first['msg']}" if place else first["msg"]) from None


def _check_protocol(said: dict[str, Any]) -> None:
    spoken = said.get("protocol")
    if not isinstance(spoken, int) or isinstance(spoken, bool):
        raise Unreadable("names no protocol")
    if spoken != PROTOCOL:
        newer = "this program" if spoken > PROTOCOL else "the board's firmware"
        raise CurationError(
            f"the board speaks version {spoken} of the protocol, this program version {PROTOCOL}",
            hint=f"{newer} is the older one: update it (firmware/README.md says how to upload)",
        )
