"""A board and what it can be asked: its version, scores, a frame, a picture given to it, its own tests."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from curation.board.frames import ROW_BYTES, Frame
from curation.board.messages import (
    FRAME_HEIGHT,
    BoardVersion,
    Done,
    FrameEnd,
    FrameRow,
    FrameStart,
    Golden,
    GoldenEnd,
    Ready,
    Scores,
    SelfTest,
    Taken,
    Timing,
)
from curation.board.port import Port, SerialPort
from curation.board.request_response import (
    ANSWER_SECONDS,
    ATTEMPTS,
    PICTURE_SECONDS,
    Conversation,
    Damaged,
    NoAnswer,
    Refused,
)
from curation.errors import CurationError

QUIET_SECONDS = 15.0
"""A board that says nothing for so long has stopped."""

Answer = TypeVar("Answer")


class Board:
    """A board that has said which protocol it speaks.

    Parameters
    ----------
    port : Port
    tell : callable, optional
        Hears a sentence about each line that could not be read, and about each second try.
    patience : float
        Factor on every time-out; an emulated board is slower than a real one.

    Raises
    ------
    CurationError
        Nothing there speaks the protocol, or another version of it.
    """

    def __init__(self, port: Port, *, tell: Callable[[str], None] | None = None, patience: float = 1.0) -> None:
        self._talk = Conversation(port, tell=tell or (lambda sentence: None), patience=patience)
        self.name = port.name
        self.version = self._meet()

    @property
    def dropped(self) -> int:
        """Lines that could not be read so far."""
        return self._talk.dropped

    def close(self) -> None:
        """Let the port go."""
        self._talk.port.close()

    def say_scores(self, wanted: bool) -> None:
        """Have the board say its scores by itself, or not."""
        self._ask(f"scores {'on' if wanted else 'off'}", Done)

    def next_scores(self, within_s: float = QUIET_SECONDS) -> Scores:
        """Return the next scores that the board says by itself.

        Raises
        ------
        CurationError
            None came in time, or the board is gone.
        """
        scores = self._talk.next_scores(within_s)
        if scores is None:
            raise CurationError(
                f"{self.name}: the board has said nothing for {within_s:g} seconds",
                hint="press its reset button, or plug it in again",
            )
        return scores

    def take_frame(self) -> Frame:
        """Have a picture taken and sent; one that came damaged is asked for once more.

        Raises
        ------
        CurationError
            The board has no camera, is gone or silent, or the picture came damaged twice.
        """
        return self._talk.insist(self._take_frame, "the picture")

    def inject(self, frame: Frame) -> Scores:
        """Give the board a picture in place of its camera's, and return what it makes of it.

        Raises
        ------
        CurationError
            The board is gone or silent, or the picture arrived damaged twice.
        """
        return self._talk.insist(lambda: self._inject(frame), "the picture given to it")

    def run_golden(self) -> tuple[Golden, ...]:
        """Run the golden vectors that came with the model, in order.

        Raises
        ------
        CurationError
            As many came twice not as the board says it ran, or it is gone or silent.
        """
        return self._talk.insist(self._run_golden, "the golden vectors")

    def ask_timing(self) -> Timing:
        """Ask how long the last picture took."""
        return self._ask("timing", Timing)

    def run_selftest(self) -> SelfTest:
        """Run the test of the start again."""
        return self._ask("selftest", SelfTest, within_s=PICTURE_SECONDS)

    def reset(self) -> None:
        """Have the watchdog start the board anew; on USB the port goes away with it."""
        self._ask("reset", Done)

    def _ask(self, command: str, kind: type[Answer], *, within_s: float = ANSWER_SECONDS) -> Answer:
        def ask() -> Answer:
            self._talk.send(command)
            return self._talk.expect(kind, within_s=within_s)

        return self._talk.insist(ask, f"`{command}`")

    def _meet(self) -> BoardVersion:
        """Learn who is there; what stood half in a buffer on either side is ended by a newline first."""
        for _ in range(ATTEMPTS + 1):
            self._talk.send("")
            self._talk.settle()
            self._talk.send("version")
            try:
                return self._talk.expect(BoardVersion)
            except (NoAnswer, Refused):
                continue  # what is refused is the rest of a line that stood in the board's buffer
        heard = f" ({self.dropped} lines could not be read)" if self.dropped else ""
        raise CurationError(
            f"{self.name}: nothing there speaks the board's protocol{heard}",
            hint="is it the board's port, and is the firmware on it (firmware/README.md)? Else press its reset button",
        )

    def _take_frame(self) -> Frame:
        self._talk.send("frame")
        self._talk.expect(FrameStart, within_s=PICTURE_SECONDS)
        content = bytearray()
        for y in range(FRAME_HEIGHT):
            message = self._talk.expect(FrameRow, FrameEnd)
            if not isinstance(message, FrameRow) or message.y != y:
                raise Damaged(f"row {y} is missing")
            content += _decode_row(message)
        frame = Frame(bytes(content))
        if self._talk.expect(FrameEnd).crc32 != frame.crc32:
            raise Damaged("its CRC is wrong")
        return frame

    def _inject(self, frame: Frame) -> Scores:
        self._talk.send("inject")
        self._talk.expect(Ready)
        for y in range(FRAME_HEIGHT):
            self._talk.send(f"row {y} {b64encode(frame.row(y)).decode('ascii')}")
            if (taken := self._talk.expect(Taken).y) != y:
                raise Damaged(f"row {taken} was taken for row {y}")
        self._talk.send(f"end {frame.crc32}")
        while not (scores := self._talk.expect(Scores, within_s=PICTURE_SECONDS)).injected:
            pass  # of a camera's picture that was under way
        return scores

    def _run_golden(self) -> tuple[Golden, ...]:
        self._talk.send("golden")
        vectors: list[Golden] = []
        while True:
            message = self._talk.expect(Golden, GoldenEnd, within_s=PICTURE_SECONDS)
            if isinstance(message, GoldenEnd):
                break
            if isinstance(message, Golden):
                vectors.append(message)
        right = sum(vector.ok for vector in vectors)
        if (message.passed, message.failed) != (right, len(vectors) - right):
            raise Damaged(f"{len(vectors)} of {message.passed + message.failed} came")
        return tuple(vectors)


def _decode_row(row: FrameRow) -> bytes:
    try:
        content = b64decode(row.text, validate=True)
    except binascii.Error as fault:
        raise Damaged(f"row {row.y} is no base64") from fault
    if len(content) != ROW_BYTES:
        raise Damaged(f"row {row.y} has {len(content)} bytes")
    return content


@contextmanager
def open_board(name: str, *, tell: Callable[[str], None] | None = None, patience: float = 1.0) -> Iterator[Board]:
    """Open a serial port, meet the board there, and let the port go in the end.

    Parameters
    ----------
    name : str
        "/dev/ttyACM0", "COM3", or a pseudo-terminal.

    Raises
    ------
    CurationError
        The port cannot be opened, or nothing there speaks the protocol; says what to do.
    """
    port = SerialPort(name)
    try:
        yield Board(port, tell=tell, patience=patience)
    finally:
        port.close()
