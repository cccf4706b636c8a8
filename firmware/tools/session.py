"""Plays a conversation with the firmware on the emulated board, and prints what both said and what the light did."""

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
        The pseudo-terminal at which it listens.
    process : subprocess.Popen
    said : list of str
        What it printed beside its serial line so far, such as ``1200 light red``.
    """

    port: str
    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def lights(self) -> tuple[tuple[int, str], ...]:
        """Each change of the light: milliseconds since the start, and its color or off."""
        found = (re.fullmatch(r"(\d+) light (.+)", line) for line in tuple(self.said))
        return tuple((int(each[1]), each[2]) for each in found if each)

    def wait(self, timeout_s: float = 120) -> int:
        """Wait until the watchdog ends it, and return how much of its stack was ever used, in bytes."""
        self.process.wait(timeout_s)
        last = next(line for line in reversed(self.said) if "stack" in line)
        return int(last.rpartition(" ")[2])


@contextmanager
def emulate(program: Path, folder: Path, *, camera: Sequence[Frame] | None = None) -> Iterator[Emulated]:
    """Run the firmware on the emulated board.

    Parameters
    ----------
    program : Path
        ``board-*.elf``
    folder : Path
        The one it runs in, its own.
    camera : sequence of Frame, optional
        What the camera shows, over and over; None for a camera that does not answer.
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
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        first = next((found[1] for line in process.stdout if (found := re.search(r"redirected to (\S+)", line))), None)
        if first is None:
            raise CurationError(ErrorCode.BOARD_SILENT, f"{program}: the emulator did not start")
        board = Emulated(first, process)
        lines = process.stdout
        reader = threading.Thread(target=lambda: board.said.extend(iter(lambda: lines.readline().rstrip(), "")))
        reader.start()  # or the pipe fills
        yield board
        process.kill()
        reader.join(10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Recorded:
    """A port that tells the lines that go over it: of an image's rows the first, of live scores as many as asked."""

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self._port, self._tell, self._rest = SerialPort(name), tell, b""
        self.live = 0
        self.name = name

    def read(self, timeout_s: float) -> bytes:
        """Return what has come."""
        content = self._port.read(timeout_s)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._write_down("<", line.decode("ascii", "replace").rstrip())
        return content

    def write(self, content: bytes) -> None:
        """Send all of it."""
        for line in content.decode("ascii").splitlines():
            self._write_down(">", line)
        self._port.write(content)

    def close(self) -> None:
        """Let the port go."""
        self._port.close()

    def _write_down(self, way: str, line: str) -> None:
        if '"injected":false' in line:
            self.live -= 1
            if self.live < 0:
                return
        row = re.match(r'row (\d+)|\{"type":"taken","y":(\d+)', line)
        if line and not (row and int(row[1] or row[2])):
            self._tell(f"{way} {line if not line.startswith('row') else line[:40] + '...'}{'  (143 more)' * bool(row)}")


@dataclass(frozen=True)
class SessionImages:
    """What is shown to the board, and what its net makes of it.

    Parameters
    ----------
    alarming, calm : Frame
        One that the net takes for the alarm's class with over 80 %, one that it surely takes for another.
    """

    alarming: Frame
    calm: Frame


def hold_session(program: Path, folder: Path, images: SessionImages, tell: Callable[[str], None]) -> int:
    """Talk with a board whose camera sees nothing but black, then with one whose camera is dead.

    Parameters
    ----------
    program : Path
        ``board-*.elf``
    folder : Path
        An empty one, to run in.
    images : SessionImages
    tell : callable
        Hears each line.

    Returns
    -------
    int
        How much of the stack was ever used, in bytes.
    """
    black = prepare_frame(np.zeros((144, 144, 3), np.uint8))
    tell("# a camera that shows black")
    with emulate(program, folder, camera=[black]) as emulated, _meet(emulated, tell) as (board, port):
        board.stream_scores(False)
        tell("# its golden vectors")
        board.run_golden()
        tell("# what it says of the black image by itself")
        _show_live(board, port)
        _await_blue(emulated, after=0)
        _tell_lights(emulated, 0, tell)
        for title, frame in (
            ("an image of the alarm's class, given to it", images.alarming),
            ("an image of another class", images.calm),
        ):
            tell(f"# {title}")
            before = len(emulated.lights)
            board.inject(frame)
            _await_blue(emulated, after=before)
            _tell_lights(emulated, before, tell)
        tell("# how long it takes")
        board.read_timing()
        board.reset()
        stack = emulated.wait()
    tell("# a dead camera")
    with emulate(program, folder) as emulated, _meet(emulated, tell) as (board, port):
        _show_live(board, port)
        try:
            board.take_frame()
        except CurationError as fault:
            tell(f"error: {fault.message}")
        _await_blue(emulated, after=0)
        _tell_lights(emulated, 0, tell)
        board.reset()
        return max(stack, emulated.wait())


@contextmanager
def _meet(emulated: Emulated, tell: Callable[[str], None]) -> Iterator[tuple[Board, Recorded]]:
    port = Recorded(emulated.port, tell)
    try:
        yield Board(port, timeout_factor=PATIENCE), port
    finally:
        port.close()


def _show_live(board: Board, port: Recorded) -> None:
    """Have the board say its scores once by itself."""
    port.live = 1
    board.stream_scores(True)
    while port.live > 0:
        board.next_scores()
    board.stream_scores(False)


def _await_blue(emulated: Emulated, *, after: int) -> None:
    """Wait until the light, at least one change later, says again that the camera shows nothing to judge."""
    end = time.monotonic() + 120
    while len(emulated.lights) <= after or emulated.lights[-1][1] != "blue" or emulated.lights[-1][0] < LAMP_TEST_MS:
        if time.monotonic() > end:
            raise CurationError(
                ErrorCode.BOARD_SILENT,
                "the light did not turn blue within two minutes",
                hint="Compile the program from this run.",
            )
        time.sleep(0.02)


def _tell_lights(emulated: Emulated, before: int, tell: Callable[[str], None]) -> None:
    tell("light: " + ", ".join(f"{at:,} ms {color}" for at, color in emulated.lights[before:]))


def choose_images(run: Run, home: Home) -> SessionImages:
    """Return the test images of a run's version that its net is surest of, the alarm's and another class's.

    Raises
    ------
    CurationError
        The version is not here, or is not the one the run was trained on.
    """
    test = read_test_samples(run, home)
    alarm = run.classes.index(run.alarm)
    scores = open_int8(run).probabilities(test.view(run.side))[:, alarm]
    ours = test.labels == alarm
    alarming = int(np.where(ours, scores, -1).argmax())
    calm = int(np.where(ours, 2, scores).argmin())
    return SessionImages(prepare_frame(test.frames[alarming]), prepare_frame(test.frames[calm]))


def main(arguments: list[str] | None = None) -> int:
    """Hold the session with a run's firmware and print it."""
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
