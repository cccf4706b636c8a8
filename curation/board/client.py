"""A board and its commands: version, scores, a frame, an image sent to it, its own tests."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from curation.board.bring_up import BringUp
from curation.board.frames import ROW_BYTES, Frame
from curation.board.messages import (
    FRAME_HEIGHT,
    BoardVersion,
    BringUpEnd,
    Done,
    FrameEnd,
    FrameRow,
    FrameStart,
    Golden,
    GoldenEnd,
    Rates,
    Ready,
    Registers,
    Scores,
    SelfTest,
    Taken,
    Timing,
)
from curation.board.port import Port, SerialPort
from curation.board.request_response import (
    ANSWER_SECONDS,
    ATTEMPTS,
    IMAGE_SECONDS,
    Connection,
    DamagedAnswer,
    NoAnswer,
    RefusedCommand,
)
from curation.errors import CurationError, ErrorCode

QUIET_SECONDS = 15.0
"""A board that sends nothing for this long has stopped."""

Answer = TypeVar("Answer")


class Board:
    """A board whose version of the protocol has been checked.

    Parameters
    ----------
    port : Port
    notify : callable, optional
        Called with a sentence for each line that cannot be read and each repeated request.
    timeout_factor : float
        Factor on every timeout; an emulated board is slower than a real one.

    Raises
    ------
    CurationError
        The device does not answer, or has another version of the protocol.
    """

    def __init__(self, port: Port, *, notify: Callable[[str], None] | None = None, timeout_factor: float = 1.0) -> None:
        self._connection = Connection(port, notify=notify or (lambda sentence: None), timeout_factor=timeout_factor)
        self.name = port.name
        self.version = self._handshake()

    @property
    def dropped(self) -> int:
        """The number of lines so far that could not be read."""
        return self._connection.dropped

    def close(self) -> None:
        """Close the port."""
        self._connection.port.close()

    def stream_scores(self, wanted: bool) -> None:
        """Have the board send its scores continuously, or stop it."""
        self._request(f"scores {'on' if wanted else 'off'}", Done)

    def next_scores(self, within_s: float = QUIET_SECONDS) -> Scores:
        """Return the next scores that the board sends by itself.

        Raises
        ------
        CurationError
            The board sends nothing, or is gone.
        """
        scores = self._connection.next_scores(within_s)
        if scores is None:
            raise CurationError(
                ErrorCode.BOARD_SILENT,
                f"{self.name}: the board has sent nothing for {within_s:g} seconds",
                hint="Press its reset button, or plug it in again.",
            )
        return scores

    def take_frame(self) -> Frame:
        """Have the board take an image and send it; a damaged one is requested once more.

        Raises
        ------
        CurationError
            The board has no camera, is gone or silent, or the image arrived damaged twice.
        """
        return self._connection.retry(self._take_frame, "the image")

    def inject(self, frame: Frame) -> Scores:
        """Send the board an image in place of its camera's, and return its scores.

        Raises
        ------
        CurationError
            The board is gone or silent, or the image arrived damaged twice.
        """
        return self._connection.retry(lambda: self._inject(frame), "the injected image")

    def run_golden(self) -> tuple[Golden, ...]:
        """Run the golden vectors that came with the model, in order.

        Raises
        ------
        CurationError
            Vectors were lost twice, or the board is gone or silent.
        """
        return self._connection.retry(self._run_golden, "the golden vectors")

    def read_timing(self) -> Timing:
        """Return how long the last image took."""
        return self._request("timing", Timing)

    def run_selftest(self) -> SelfTest:
        """Run the start-up test again."""
        return self._request("selftest", SelfTest, within_s=IMAGE_SECONDS)

    def lock_exposure(self, wanted: bool) -> None:
        """Stop the camera's automatic exposure and white balance at their current values, or start them again.

        Raises
        ------
        CurationError
            The board has no camera whose exposure can be locked, or is gone or silent.
        """
        self._request(f"lock {'on' if wanted else 'off'}", Done)

    def bring_up(self) -> BringUp:
        """Compare the camera's registers, measure its signals, run the tests, and take an image.

        Raises
        ------
        CurationError
            The board is gone or silent.
        """
        tested = self.run_selftest()
        values, rates, facts = self._connection.retry(self._bring_up, "`bring-up`")
        vectors = self.run_golden()
        try:
            frame = self.take_frame()
        except CurationError as fault:
            if fault.code is not ErrorCode.CAMERA_MISSING:
                raise
            frame = None
        return BringUp(self.version, tested, values, rates, facts, vectors, self.read_timing(), frame)

    def reset(self) -> None:
        """Restart the board; on USB its port disappears."""
        self._request("reset", Done)

    def _request(self, command: str, kind: type[Answer], *, within_s: float = ANSWER_SECONDS) -> Answer:
        def request() -> Answer:
            self._connection.send(command)
            return self._connection.expect(kind, within_s=within_s)

        return self._connection.retry(request, f"`{command}`")

    def _handshake(self) -> BoardVersion:
        """Return the board's version; a newline first ends what is left in a buffer on either side."""
        for _ in range(ATTEMPTS + 1):
            self._connection.send("")
            self._connection.drain()
            self._connection.send("version")
            try:
                return self._connection.expect(BoardVersion)
            except (NoAnswer, RefusedCommand):
                continue  # the board refuses the rest of a line that was in its buffer
        dropped = f" ({self.dropped} lines could not be read)" if self.dropped else ""
        raise CurationError(
            ErrorCode.BOARD_SILENT,
            f"{self.name}: no device answers in the board's protocol{dropped}",
            hint="Check that this is the board's port and that the firmware is installed (firmware/README.md). "
            "Otherwise press the reset button.",
        )

    def _take_frame(self) -> Frame:
        self._connection.send("frame")
        self._connection.expect(FrameStart, within_s=IMAGE_SECONDS)
        content = bytearray()
        for y in range(FRAME_HEIGHT):
            message = self._connection.expect(FrameRow, FrameEnd)
            if not isinstance(message, FrameRow) or message.y != y:
                raise DamagedAnswer(f"row {y} is missing")
            content += _decode_row(message)
        frame = Frame(bytes(content))
        if self._connection.expect(FrameEnd).crc32 != frame.crc32:
            raise DamagedAnswer("its CRC is wrong")
        return frame

    def _inject(self, frame: Frame) -> Scores:
        self._connection.send("inject")
        self._connection.expect(Ready)
        for y in range(FRAME_HEIGHT):
            self._connection.send(f"row {y} {b64encode(frame.row(y)).decode('ascii')}")
            if (taken := self._connection.expect(Taken).y) != y:
                raise DamagedAnswer(f"row {taken} was taken for row {y}")
        self._connection.send(f"end {frame.crc32}")
        while not (scores := self._connection.expect(Scores, within_s=IMAGE_SECONDS)).injected:
            pass  # the scores of a camera image that was being processed
        return scores

    def _bring_up(self) -> tuple[tuple[tuple[int, int, int], ...], Rates | None, BringUpEnd]:
        self._connection.send("bring-up")
        values: list[tuple[int, int, int]] = []
        rates: Rates | None = None
        while True:
            message = self._connection.expect(Registers, Rates, BringUpEnd, within_s=IMAGE_SECONDS)
            if isinstance(message, BringUpEnd):
                return tuple(values), rates, message
            if isinstance(message, Registers):
                values += message.values
            elif isinstance(message, Rates):
                rates = message

    def _run_golden(self) -> tuple[Golden, ...]:
        self._connection.send("golden")
        vectors: list[Golden] = []
        while True:
            message = self._connection.expect(Golden, GoldenEnd, within_s=IMAGE_SECONDS)
            if isinstance(message, GoldenEnd):
                break
            if isinstance(message, Golden):
                vectors.append(message)
        right = sum(vector.ok for vector in vectors)
        if (message.passed, message.failed) != (right, len(vectors) - right):
            raise DamagedAnswer(f"{len(vectors)} of {message.passed + message.failed} arrived")
        return tuple(vectors)


def _decode_row(row: FrameRow) -> bytes:
    try:
        content = b64decode(row.text, validate=True)
    except binascii.Error as fault:
        raise DamagedAnswer(f"row {row.y} is not base64") from fault
    if len(content) != ROW_BYTES:
        raise DamagedAnswer(f"row {row.y} has {len(content)} bytes")
    return content


@contextmanager
def open_board(
    name: str, *, notify: Callable[[str], None] | None = None, timeout_factor: float = 1.0
) -> Iterator[Board]:
    """Open a serial port, check the board's version, and close the port at the end.

    Parameters
    ----------
    name : str
        "/dev/ttyACM0", "COM3", or a pseudo-terminal.

    Raises
    ------
    CurationError
        The port cannot be opened, or no board answers there.
    """
    port = SerialPort(name)
    try:
        yield Board(port, notify=notify, timeout_factor=timeout_factor)
    finally:
        port.close()
