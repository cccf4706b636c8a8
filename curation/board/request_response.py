"""Requests and responses over a port: noise is skipped, and a damaged or missing response is requested once more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from curation.board.lines import LineSplitter
from curation.board.messages import Fault, Message, Scores, UnreadableLine, parse_line
from curation.board.port import Port
from curation.errors import CurationError, ErrorCode

ANSWER_SECONDS: Final = 3.0
"""A board that is processing an image answers afterwards."""

IMAGE_SECONDS: Final = 10.0
"""Taking an image, and the self-test with its color bars, take longer."""

ATTEMPTS: Final = 2
_SETTLE_SECONDS = 0.3
_SETTLE_LIMIT_SECONDS = 15.0
_KEPT_SCORES = 64
_TRANSIENT = frozenset({"bad-crc", "bad-base64", "out-of-order", "time-out", "too-long"})
_CABLE_HINT = "Try another cable or another USB socket, without a hub."
_RESET_HINT = "Press the board's reset button, or plug it in again."
_REFUSALS = {
    "no-camera": (
        ErrorCode.CAMERA_MISSING,
        "Check the camera's ribbon or wires (firmware/README.md has the table), then press the reset button.",
    ),
    "unknown-command": (
        ErrorCode.PROTOCOL_MISMATCH,
        "The board's firmware is older than this program: upload it again (firmware/README.md).",
    ),
}

Kind = TypeVar("Kind")
Result = TypeVar("Result")


class DamagedAnswer(Exception):
    """Raised where a response is damaged; asking again may help."""


class NoAnswer(DamagedAnswer):
    """Raised where no response came in time."""


class RefusedCommand(DamagedAnswer):
    """Raised where the board responds with an error."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.message}")
        self.code = fault.code


class Connection:
    """Commands and messages, line by line. Scores that the board sends by itself in between are kept.

    Parameters
    ----------
    port : Port
    notify : callable
        Called with a sentence for each line that cannot be read and each repeated request.
    timeout_factor : float
        Factor on every timeout; an emulated board is slower than a real one.
    """

    def __init__(self, port: Port, *, notify: Callable[[str], None], timeout_factor: float = 1.0) -> None:
        self.port = port
        self.dropped = 0
        self._notify = notify
        self._timeout_factor = timeout_factor
        self._splitter = LineSplitter()
        self._messages: deque[Message] = deque()
        self._scores: deque[Scores] = deque(maxlen=_KEPT_SCORES)

    def send(self, command: str) -> None:
        """Send one line."""
        self.port.write(f"{command}\n".encode("ascii"))

    def expect(self, *kinds: type[Kind], within_s: float = ANSWER_SECONDS) -> Kind:
        """Return the next message of one of these kinds; scores that come in between are kept.

        Raises
        ------
        RefusedCommand
            The board responds with an error.
        NoAnswer
            No such message came in time.
        """
        end = self._deadline(within_s)
        while (message := self._next_message(end)) is not None:
            if isinstance(message, kinds):
                return message
            if isinstance(message, Fault):
                raise RefusedCommand(message)
            if isinstance(message, Scores):
                self._scores.append(message)
        raise NoAnswer("no response in time")

    def next_scores(self, within_s: float) -> Scores | None:
        """Return the next scores that the board sent by itself, or None where none came in time."""
        end = self._deadline(within_s)
        while not self._scores:
            message = self._next_message(end)
            if message is None:
                return None
            if isinstance(message, Scores):
                self._scores.append(message)
        return self._scores.popleft()

    def retry(self, act: Callable[[], Result], what: str) -> Result:
        """Return what `act` returns, trying once more where a response is damaged or missing.

        Raises
        ------
        CurationError
            It failed twice, or the board refuses for a lasting reason.
        """
        for attempt in range(ATTEMPTS):
            try:
                return act()
            except DamagedAnswer as fault:
                stays = isinstance(fault, RefusedCommand) and fault.code not in _TRANSIENT
                if stays or attempt + 1 == ATTEMPTS:
                    raise self.as_error(fault, what) from fault
                self._notify(f"{self.port.name}: {what}: {fault}; retrying")
                self.drain()
        raise AssertionError("the last attempt returns or raises")

    def as_error(self, fault: DamagedAnswer, what: str) -> CurationError:
        """Return a fault as an error for the user."""
        where = self.port.name
        if isinstance(fault, RefusedCommand):
            code, hint = _REFUSALS.get(fault.code, (ErrorCode.BOARD_FAULT, _CABLE_HINT))
            return CurationError(code, f"{where}: {what}: the board reports {fault}", hint=hint)
        if isinstance(fault, NoAnswer):
            return CurationError(
                ErrorCode.BOARD_SILENT, f"{where}: {what}: the board does not answer", hint=_RESET_HINT
            )
        return CurationError(
            ErrorCode.TRANSFER_DAMAGED, f"{where}: {what} arrived damaged {ATTEMPTS} times: {fault}", hint=_CABLE_HINT
        )

    def drain(self) -> None:
        """Discard what is still on its way, except for scores, which never end."""
        limit = self._deadline(_SETTLE_LIMIT_SECONDS)
        end = self._deadline(_SETTLE_SECONDS)
        while time.monotonic() < min(end, limit) and (message := self._next_message(end)) is not None:
            if isinstance(message, Scores):
                self._scores.append(message)
            else:
                end = self._deadline(_SETTLE_SECONDS)

    def _deadline(self, seconds: float) -> float:
        return time.monotonic() + seconds * self._timeout_factor

    def _next_message(self, end: float) -> Message | None:
        """Return the next message, or None where none came by the deadline."""
        while not self._messages:
            left = end - time.monotonic()
            content = self.port.read(max(left, 0))
            if not content and left <= 0:
                return None
            for line in self._splitter.feed(content):
                self._receive(line)
        return self._messages.popleft()

    def _receive(self, line: bytes) -> None:
        try:
            self._messages.append(parse_line(line))
        except UnreadableLine as fault:
            self.dropped += 1
            self._notify(f"{self.port.name}: unreadable line ({fault.reason}): {_show(line)}")


def _show(line: bytes) -> str:
    text = line.decode("ascii", "backslashreplace")
    return text if len(text) <= 60 else f"{text[:57]}..."
