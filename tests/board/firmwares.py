"""The real firmware to talk to: the application with a drawn network, on this machine and on the emulated board."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from curation.board import Frame
from curation.images import camera_view, to_tensor
from firmware.compiler import export
from firmware.compiler.tflite_reference import run_reference
from tests.firmware.builds import BOARD_FLAGS, EMULATOR, ENGINE, FIRMWARE, SANITIZERS, build_engine, require
from tests.firmware.compiler.networks import Network

LABELS = ("healthy", "melanoma")


@dataclass(frozen=True)
class Built:
    """A firmware and the network in it."""

    program: Path
    network: bytes

    def expect(self, pictures: np.ndarray) -> list[dict[str, float]]:
        """Return the scores that the reference kernels give for images, (n, h, w, 3) uint8, in the camera's view."""
        inputs = to_tensor(camera_view(pictures))
        scores = run_reference(self.network, inputs).scores
        return [{label: (int(q) + 128) / 256 for label, q in zip(LABELS, row, strict=True)} for row in scores]


def draw_network() -> bytes:
    """Draw a net without a mean before its last layer, so that its scores hang on every part of the image."""
    net = Network((96, 96, 3), seed=2)  # one that is sure of some images, either way, and in doubt of others
    at = net.convolve(net.input, 8, stride=(2, 2))
    for channels, stride in ((12, 2), (16, 2), (16, 2)):
        at = net.convolve(net.depthwise(at, stride=(stride, stride)), channels, window=(1, 1))
    return net.finish(net.softmax(net.dense(at, len(LABELS))))


@cache
def build_for_host(*, rows: bool) -> Built:
    """Compile the application for this machine, with sanitisers, once a session."""
    require("gcc")
    folder = Path(tempfile.mkdtemp(prefix="firmware-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = ["-std=c11", "-O1", "-funsigned-char", *SANITIZERS]
    return _build(folder, rows, "gcc", flags, [FIRMWARE / "boards" / "host" / "main.c", *build_engine("gcc")])


def build_for_board(folder: Path, *, rows: bool) -> Built:
    """Compile the application for the emulated Cortex-M4, with Arduino's flags."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    main = [FIRMWARE / "boards" / "emulated" / "main.c", EMULATOR / "start.c", EMULATOR / "emulator.c"]
    main += sorted(ENGINE.glob("*.c"))
    return _build(folder, rows, "arm-none-eabi-gcc", [*BOARD_FLAGS, f"-I{EMULATOR}"], main)


def _build(folder: Path, rows: bool, compiler: str, flags: list[str], main: list[Path]) -> Built:
    network, generated, program = draw_network(), folder / "generated", folder / "firmware"
    export(network, generated, labels=LABELS, alarm="melanoma", data_version="drawn@v1", data_digest="ab" * 32)
    application = FIRMWARE / "application"
    sources = [path for part in (application, generated) for path in sorted(part.glob("*.c"))]
    includes = [f"-I{part}" for part in (application, ENGINE, generated)]
    command = [compiler, *flags, f"-DMODEL_ROWS={int(rows)}", *includes, *map(str, sources + main), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return Built(program, network)


@contextlib.contextmanager
def run_on_host(program: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the firmware on this machine and give the name of its serial port, and the process."""
    running = subprocess.Popen([program, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    try:
        word, name = running.stdout.readline().split()
        assert word == "serial"
        yield name, running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def write_frames(path: Path, frames: list[Frame]) -> str:
    """Write what the camera shows, over and over, and return the path as an option."""
    path.write_bytes(b"".join(frame.packed for frame in frames))
    return str(path)
