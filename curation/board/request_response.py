"""Asking and being answered over a port: noise is passed over, damage asked about once more, silence said plainly."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from curation.board.lines import LineSplitter
from curation.board.messages import Fault, Message, Scores, Unreadable, parse_line
from curation.board.port import Port
from curation.errors import CurationError

ANSWER_SECONDS: Final = 3.0
"""A board that is in the middle of a picture answers after it."""

PICTURE_SECONDS: Final = 10.0
"""Taking a picture, and a self-test with its colours, take longer."""

ATTEMPTS: Final = 2
_SETTLE_SECONDS = 0.3
_SETTLE_LIMIT_SECONDS = 15.0
_KEPT_SCORES = 64
_TRANSIENT = frozenset({"bad-crc", "bad-base64", "out-of-order", "time-out", "too-long"})
_HINTS = {
    "no-camera": "check the camera's ribbon or wires (firmware/README.md has the table), then press the reset button",
    "unknown-command": "the board's firmware is older than this program: upload it anew (firmware/README.md)",
}

Kind = TypeVar("Kind")
Result = TypeVar("Result")


class Damaged(Exception):
    """Raised where what came is not whole; asking again may help."""


class NoAnswer(Damaged):
    """Raised where an answer did not come."""


class Refused(Damaged):
    """Raised where the board answered that it would not."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code}: {fault.message}")
        self.code = fault.code


class Conversation:
    """Lines over a port. What the board says by itself meanwhile is kept for whoever watches.

    Parameters
    ----------
    port : Port
    tell : callable
        Hears a sentence about each line that could not be read, and about each second try.
    patience : float
        Factor on every time-out; an emulated board is slower than a real one.
    """

    def __init__(self, port: Port, *, tell: Callable[[str], None], patience: float = 1.0) -> None:
        self.port = port
        self.dropped = 0
        self._tell = tell
        self._patience = patience
        self._splitter = LineSplitter()
        self._heard: deque[Message] = deque()
        self._scores: deque[Scores] = deque(maxlen=_KEPT_SCORES)

    def send(self, command: str) -> None:
        """Send one line."""
        self.port.write(f"{command}\n".encode("ascii"))

    def expect(self, *kinds: type[Kind], within_s: float = ANSWER_SECONDS) -> Kind:
        """Return the next message of one of these kinds; what the board says by itself meanwhile is kept.

        Raises
        ------
        Refused
            The board answers with an error.
        NoAnswer
            No such message came in time.
        """
        end = self._end(within_s)
        while (message := self._next(end)) is not None:
            if isinstance(message, kinds):
                return message
            if isinstance(message, Fault):
                raise Refused(message)
            if isinstance(message, Scores):
                self._scores.append(message)
        raise NoAnswer("nothing came in time")

    def next_scores(self, within_s: float) -> Scores | None:
        """Return the next scores that the board said by itself, or None where none came in time."""
        end = self._end(within_s)
        while not self._scores:
            message = self._next(end)
            if message is None:
                return None
            if isinstance(message, Scores):
                self._scores.append(message)
        return self._scores.popleft()

    def insist(self, act: Callable[[], Result], what: str) -> Result:
        """Return what `act` returns, tried once more where something came damaged or not at all.

        Raises
        ------
        CurationError
            It failed twice, or the board refuses for a reason that stays.
        """
        for attempt in range(ATTEMPTS):
            try:
                return act()
            except Damaged as fault:
                stays = isinstance(fault, Refused) and fault.code not in _TRANSIENT
                if stays or attempt + 1 == ATTEMPTS:
                    raise self.explain(fault, what) from fault
                self._tell(f"{self.port.name}: {what}: {fault}; asked again")
                self.settle()
        raise AssertionError("the last attempt returns or raises")

    def explain(self, fault: Damaged, what: str) -> CurationError:
        """Say a fault in the words of a user error."""
        where = self.port.name
        if isinstance(fault, Refused):
            hint = _HINTS.get(fault.code, "try another cable or another USB socket, without a hub")
            return CurationError(f"{where}: {what}: the board says {fault}", hint=hint)
        if isinstance(fault, NoAnswer):
            return CurationError(
                f"{where}: {what}: the board does not answer", hint="press its reset button, or plug it in again"
            )
        return CurationError(
            f"{where}: {what} came damaged {ATTEMPTS} times: {fault}",
            hint="try another cable or another USB socket, without a hub",
        )

    def settle(self) -> None:
        """Hear out whatever is still on its way, but for scores, which never end."""
        limit = self._end(_SETTLE_LIMIT_SECONDS)
        end = self._end(_SETTLE_SECONDS)
        while time.monotonic() < min(end, limit) and (message := self._next(end)) is not None:
            if isinstance(message, Scores):
                self._scores.append(message)
            else:
                end = self._end(_SETTLE_SECONDS)

    def _end(self, seconds: float) -> float:
        return time.monotonic() + seconds * self._patience

    def _next(self, end: float) -> Message | None:
        """Return the next message, or None where none came until then."""
        while not self._heard:
            left = end - time.monotonic()
            content = self.port.read(max(left, 0))
            if not content and left <= 0:
                return None
            for line in self._splitter.feed(content):
                self._hear(line)
        return self._heard.popleft()

    def _hear(self, line: bytes) -> None:
        try:
            self._heard.append(parse_line(line))
        except Unreadable as fault:
            self.dropped += 1
            self._tell(f"{self.port.name}: a line that cannot be read ({fault.reason}): {_show(line)}")


def _show(line: bytes) -> str:
    text = line.decode("ascii", "backslashreplace")
    return text if len(text) <= 60 else f"{text[:57]}..."
