"""The camera driver with a simulated sensor: accesses to registers take simulated time.

The waveforms follow the data sheet of the sensor. A real sensor is not tested.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.firmware.builds import FIRMWARE, require
from tests.firmware.test_arduino import run, unpack

SENSOR = Path(__file__).resolve().parent / "sensor"
SKETCH = FIRMWARE / "arduino" / "melanoma_detector"
WORK_US, ROW_US = 50, 100


@dataclass(frozen=True)
class Scene:
    """The values that a scene printed, and the rows that it read: (144, 176, 2) uint8."""

    values: dict[str, str]
    rows: np.ndarray


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Compile the driver with the simulation instead of the vendors' headers, with sanitizers."""
    compiler = "g++" if shutil.which("g++") else "clang++"
    require(compiler)
    folder = tmp_path_factory.mktemp("sensor")
    sources = [SENSOR / "sensor.cpp", SKETCH / "ov7675.cpp", SKETCH / "sccb.cpp"]
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", f"-I{SENSOR}", f"-I{SKETCH}"]
    run(compiler, *flags, *sources, "-o", "scene", cwd=folder)
    return folder / "scene"


def play(program: Path, *, broken: str = "none", work_us: int = WORK_US, row_us: int = ROW_US, bars: bool = False):
    """Run one scene."""
    arguments = [broken, str(work_us), str(row_us), "bars" if bars else "image"]
    done = subprocess.run([program, *arguments], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[:300] + done.stderr
    head, _, rows = done.stdout.partition(b"rows\n")
    values = dict(line.split(maxsplit=1) for line in head.decode().splitlines())
    return Scene(values, np.frombuffer(rows, np.uint8).reshape(144, 176, 2))


def sent_lines() -> np.ndarray:
    """Return the center 528x432 pixels of the simulated image: (144, 3, 176, 3, 3), unscaled."""
    line, place = np.mgrid[0:480, 0:1280]
    sent = ((line * 31 + place * 7 + line * place // 5) & 255).astype(np.uint8).reshape(480, 640, 2)
    return unpack(sent[24:456, 56:584]).reshape(144, 3, 176, 3, 3)


def mean_of(lines: np.ndarray) -> np.ndarray:
    """Return the rounded mean of some of a row's lines: (176, 3)."""
    return np.floor(lines.mean(axis=(0, 2)) + 0.5).astype(int)


def test_each_pixel_of_a_frame_is_the_mean_of_nine(program):
    """A caller in time gets all lines of the center of the image, averaged three by three without a shift."""
    scene = play(program)
    assert scene.values["status"] == "ok"
    for row, lines in zip(unpack(scene.rows), sent_lines(), strict=True):
        np.testing.assert_array_equal(row, mean_of(lines))


@pytest.mark.parametrize(
    ("work_us", "row_us", "loses_lines"), [(50, 3000, True), (3000, 2500, True), (7000, 0, False), (50, 9000, False)]
)
def test_a_late_caller_never_gets_a_shifted_row(program, work_us, row_us, loses_lines):
    """A row has only its own lines, fewer if the caller is late; a missed row comes with a later frame."""
    scene = play(program, work_us=work_us, row_us=row_us)
    assert scene.values["status"] == "ok"
    fewer = 0
    for row, lines in zip(unpack(scene.rows), sent_lines(), strict=True):
        subsets = [list(some) for count in (3, 2, 1) for some in itertools.combinations(range(3), count)]
        found = [np.array_equal(row, mean_of(lines[some])) for some in subsets]
        assert any(found)
        fewer += not found[0]
    assert (fewer > 0) == loses_lines


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        ("control", "no answer on SIOC and SIOD"),
        ("chip", "the chip is not an OV7670 or OV7675"),
        ("vsync", "no VSYNC"),
        ("href", "no HREF"),
        ("pclk", "no PCLK"),
    ],
)
def test_a_broken_wire_is_reported(program, broken, status):
    """The report comes within three seconds, and no call takes longer than the contract allows."""
    scene = play(program, broken=broken)
    assert scene.values["status"] == status
    assert int(scene.values["ms"]) < 3000
    assert int(scene.values["longest_call_us"]) < 500_000


def test_interrupts_and_calls_are_short(program):
    """Interrupts are off for at most a line and its gap; a call takes at most the time of a row, setup 50 ms."""
    for bars, row_us in ((False, 100), (True, 5000)):
        scene = play(program, bars=bars, row_us=row_us)
        assert int(scene.values["longest_off_us"]) < 2000
        assert int(scene.values["longest_call_us"]) < 100_000


def test_color_bars_are_switched_on_and_off(program):
    """Color bars set bit 7 of the vertical scaling register; an image clears it."""
    assert int(play(program, bars=True).values["register_71"]) == 0x35 | 0x80
    assert int(play(program).values["register_71"]) == 0x35


def test_the_sensor_is_configured(program):
    """The sensor is set to VGA and RGB, with a clock of 16 MHz on XCLK."""
    values = play(program).values
    assert values["register_12"] == "4"
    assert values["clock"].split() == [str(0x80000000), "27"]
