"""Runs a session with the firmware on the emulated board, and prints the messages and the changes of the light."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curation.board import Board, Frame, SerialPort, prepare_frame
from curation.errors import CurationError, ErrorCode
from curation.versions import Home
from training.export import read_test_samples
from training.inference import open_int8
from training.runs import Run, find_runs, open_run

MACHINE = ("qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "pty")
COUNTED = ("-icount", "shift=0", "-semihosting-config", "enable=on,target=native")
LAMP_TEST_MS = 1200
"""Red, green and blue at the start."""
PATIENCE = 4.0
"""An emulated board on a busy machine is slow."""


@dataclass
class Emulated:
    """A board under emulation.

    Parameters
    ----------
    port : str
        The pseudo-terminal of its serial line.
    process : subprocess.Popen
    printed : list of str
        The lines that it printed next to its serial line so far, such as ``1200 light red``.
    """

    port: str
    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        """Start to read its lines, or the pipe would fill."""
        self.reader = threading.Thread(target=self._read_lines)
        self.reader.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - a pipe was requested
        self.printed.extend(line.rstrip() for line in self.process.stdout)

    @property
    def lights(self) -> tuple[tuple[int, str], ...]:
        """Each change of the light: milliseconds since the start, and its color or off."""
        found = (re.fullmatch(r"(\d+) light (.+)", line) for line in tuple(self.printed))
        return tuple((int(each[1]), each[2]) for each in found if each)

    def wait(self, timeout_s: float = 120) -> int:
        """Wait until the watchdog ends it, and return the largest size of its stack, in bytes."""
        self.process.wait(timeout_s)
        self.reader.join(timeout_s)  # its last line has the figure
        last = next(line for line in reversed(self.printed) if "stack" in line)
        return int(last.rpartition(" ")[2])


@contextmanager
def emulate(program: Path, folder: Path, *, camera: Sequence[Frame] | None = None) -> Iterator[Emulated]:
    """Run the firmware on the emulated board.

    Parameters
    ----------
    program : Path
        ``board-*.elf``
    folder : Path
        The folder it runs in, for this program alone.
    camera : sequence of Frame, optional
        What the camera shows, repeated; None for a camera that does not answer.
    """
    (folder / "camera.bin").unlink(missing_ok=True)
    if camera is not None:
        (folder / "camera.bin").write_bytes(b"".join(frame.packed for frame in camera))
    process = subprocess.Popen(
        [*MACHINE, *COUNTED, "-kernel", str(program.resolve())],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was requested
    try:
        first = next((found[1] for line in process.stdout if (found := re.search(r"redirected to (\S+)", line))), None)
        if first is None:
            raise CurationError(ErrorCode.BOARD_SILENT, f"{program}: the emulator did not start")
        board = Emulated(first, process)
        yield board
        process.kill()
        board.reader.join(10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Recorded:
    """A port that shows its traffic: only the first row of an image, and as many live scores as requested."""

    def __init__(self, name: str, show: Callable[[str], None]) -> None:
        self._port, self._show, self._rest = SerialPort(name), show, b""
        self.live = 0
        self.name = name

    def read(self, timeout_s: float) -> bytes:
        """Return the bytes that have arrived."""
        content = self._port.read(timeout_s)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._write_down("<", line.decode("ascii", "replace").rstrip())
        return content

    def write(self, content: bytes) -> None:
        """Send bytes."""
        for line in content.decode("ascii").splitlines():
            self._write_down(">", line)
        self._port.write(content)

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def _write_down(self, way: str, line: str) -> None:
        if '"injected":false' in line:
            self.live -= 1
            if self.live < 0:
                return
        row = re.match(r'row (\d+)|\{"type":"taken","y":(\d+)', line)
        if line and not (row and int(row[1] or row[2])):
            self._show(f"{way} {line if not line.startswith('row') else line[:40] + '...'}{'  (143 more)' * bool(row)}")


@dataclass(frozen=True)
class SessionImages:
    """The images that are sent to the board.

    Parameters
    ----------
    alarming, calm : Frame
        An image that the net assigns to the alarm class with over 80 %, and one that it assigns to another class.
    """

    alarming: Frame
    calm: Frame


def hold_session(program: Path, folder: Path, images: SessionImages, show: Callable[[str], None]) -> int:
    """Run a session with a board whose camera shows black, then with one whose camera does not answer.

    Parameters
    ----------
    program : Path
        ``board-*.elf``
    folder : Path
        An empty folder to run in.
    images : SessionImages
    show : callable
        Called with each line.

    Returns
    -------
    int
        The largest size of the stack, in bytes.
    """
    black = prepare_frame(np.zeros((144, 144, 3), np.uint8))
    show("# a camera that shows black")
    with emulate(program, folder, camera=[black]) as emulated, _meet(emulated, show) as (board, port):
        board.stream_scores(False)
        show("# golden vectors")
        board.run_golden()
        show("# live scores of the black image")
        _show_live(board, port)
        _await_blue(emulated, after=0)
        _show_lights(emulated, 0, show)
        for title, frame in (
            ("an image of the alarm class, sent by the PC", images.alarming),
            ("an image of another class", images.calm),
        ):
            show(f"# {title}")
            before = len(emulated.lights)
            board.inject(frame)
            _await_blue(emulated, after=before)
            _show_lights(emulated, before, show)
        show("# timing")
        board.read_timing()
        board.reset()
        stack = emulated.wait()
    show("# a camera that does not answer")
    with emulate(program, folder) as emulated, _meet(emulated, show) as (board, port):
        _show_live(board, port)
        try:
            board.take_frame()
        except CurationError as fault:
            show(f"error: {fault.message}")
        _await_blue(emulated, after=0)
        _show_lights(emulated, 0, show)
        board.reset()
        return max(stack, emulated.wait())


@contextmanager
def _meet(emulated: Emulated, show: Callable[[str], None]) -> Iterator[tuple[Board, Recorded]]:
    port = Recorded(emulated.port, show)
    try:
        yield Board(port, timeout_factor=PATIENCE), port
    finally:
        port.close()


def _show_live(board: Board, port: Recorded) -> None:
    """Let the board stream its scores once."""
    port.live = 1
    board.stream_scores(True)
    while port.live > 0:
        board.next_scores()
    board.stream_scores(False)


def _await_blue(emulated: Emulated, *, after: int) -> None:
    """Wait until the light, at least one change later, is blue again: the camera shows nothing to classify."""
    end = time.monotonic() + 120
    while len(emulated.lights) <= after or emulated.lights[-1][1] != "blue" or emulated.lights[-1][0] < LAMP_TEST_MS:
        if time.monotonic() > end:
            raise CurationError(
                ErrorCode.BOARD_SILENT,
                "the light did not turn blue within two minutes",
                hint="Compile the program from this run.",
            )
        time.sleep(0.02)


def _show_lights(emulated: Emulated, before: int, show: Callable[[str], None]) -> None:
    show("light: " + ", ".join(f"{at:,} ms {color}" for at, color in emulated.lights[before:]))


def choose_images(run: Run, home: Home) -> SessionImages:
    """Return the test images of a run's version with the highest probability, of the alarm class and of another.

    Raises
    ------
    CurationError
        VERSION_MISSING where the version is not here, or another version has its number.
    """
    test = read_test_samples(run, home)
    alarm = run.classes.index(run.alarm)
    scores = open_int8(run).probabilities(test.view(run.side))[:, alarm]
    ours = test.labels == alarm
    alarming = int(np.where(ours, scores, -1).argmax())
    calm = int(np.where(ours, 2, scores).argmin())
    return SessionImages(prepare_frame(test.frames[alarming]), prepare_frame(test.frames[calm]))


def main(arguments: list[str] | None = None) -> int:
    """Run the session with a run's firmware and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a training run: its name or folder")
    parser.add_argument("program", type=Path, metavar="PROGRAM", help="board-*.elf, compiled from it")
    given = parser.parse_args(arguments)
    try:
        images = choose_images(open_run(find_runs(), given.run), Home.find())
        with tempfile.TemporaryDirectory() as folder:
            stack = hold_session(given.program, Path(folder), images, lambda line: print(line, flush=True))
    except CurationError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    print(f"stack: {stack:,} bytes used at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
