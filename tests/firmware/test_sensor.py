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
from tests.firmware.test_arduino import SANITIZERS, run, unpack

SENSOR = Path(__file__).resolve().parent / "sensor"
SKETCH = FIRMWARE / "arduino" / "detector"
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
    application = FIRMWARE / "application"
    # The driver includes its settings from where `assemble` puts them.
    (folder / "src").symlink_to(application)
    run("gcc", "-c", "-std=c11", "-O1", "-g", *SANITIZERS, application / "color_bar_test.c", cwd=folder)
    sources = [SENSOR / "sensor.cpp", *(SKETCH / f"{part}.cpp" for part in ("ov7675", "line_capture", "sccb"))]
    sources += [folder / "color_bar_test.o"]
    flags = ["-std=c++17", "-O1", "-g", *SANITIZERS, f"-I{folder}", f"-I{application}"]
    flags += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", f"-I{SENSOR}", f"-I{SKETCH}"]
    run(compiler, *flags, *sources, "-o", "scene", cwd=folder)
    return folder / "scene"


def play(
    program: Path,
    *,
    broken: str = "none",
    work_us: int = WORK_US,
    row_us: int | Path = ROW_US,
    bars: bool = False,
    gain: float = 1.0,
    gamma: float = 1.0,
    order: str = "high",
) -> Scene:
    """Run one scene; ``row_us`` is the time of other work after each row, or a file with 144 of them."""
    arguments = [broken, str(work_us), str(row_us), "bars" if bars else "image", str(gain), str(gamma), order]
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
    ("work_us", "row_us", "loses_lines"), [(50, 3000, True), (3000, 2500, True), (4500, 0, False), (50, 9000, False)]
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
    """The start-up test, which begins with the color bars, reports it within five seconds; no call is too long."""
    scene = play(program, broken=broken, bars=True)
    assert scene.values["status"] == status
    assert int(scene.values["ms"]) < 5000
    assert int(scene.values["longest_call_us"]) < 500_000


def test_interrupts_and_calls_are_short(program):
    """Interrupts are off for at most a line and its gap; a call takes at most 0.15 s (the set-up)."""
    for bars, row_us in ((False, 100), (True, 5000)):
        scene = play(program, bars=bars, row_us=row_us)
        assert int(scene.values["longest_off_us"]) < 2000
        assert int(scene.values["longest_call_us"]) < 150_000
        assert int(scene.values.get("longest_measuring_us", 0)) < 500_000


def test_color_bars_are_switched_on_and_off(program):
    """Color bars set bit 7 of the vertical scaling register; an image clears it."""
    assert int(play(program, bars=True).values["register_71"]) == 0x35 | 0x80
    assert int(play(program).values["register_71"]) == 0x35


@pytest.mark.parametrize("order", ["high", "low"])
@pytest.mark.parametrize(("gain", "gamma"), [(1.0, 1.0), (0.45, 1.0), (1.6, 1.0), (1.0, 2.2), (0.6, 0.45)])
def test_the_color_bars_of_a_right_sensor_pass(program, gain, gamma, order):
    """The sensor draws them over its whole width, the driver keeps the center; gain and gamma change their levels."""
    values = play(program, bars=True, gain=gain, gamma=gamma, order=order).values
    assert values["status"] == "ok"
    assert values["order"] == f"{order} first"
    assert int(values["wrong_bars"]) == 0
    assert [each.partition("=")[0] for each in values["bars"].split()] == [
        *("white", "yellow", "cyan", "green", "magenta", "red", "blue", "black")
    ]


def test_flat_bars_leave_the_order_unknown(program):
    """A sensor without contrast does not show which byte comes first."""
    values = play(program, bars=True, gain=0.05).values
    assert values["order"] == "unknown"


def test_the_sensor_is_configured(program):
    """The sensor is set to VGA and RGB, with a clock of 16 MHz on XCLK; the instruction cache is on."""
    values = play(program).values
    assert values["register_12"] == "4"
    assert values["clock"].split() == [str(0x80000000), "27"]
    assert values["cache"] == "1"


def test_the_registers_are_read_back(program):
    """Every setting that can be compared has the value that was written."""
    values = play(program).values
    assert int(values["compared"]) > 100
    assert int(values["differing"]) == 0


def test_the_signals_are_measured(program):
    """The clock of the pixels, a line, a frame and its lines are within one percent of the documentation."""
    values = play(program).values
    assert values["measured"] == "ok"
    seen, documented = ([int(word) for word in values[name].split()] for name in ("seen", "documented"))
    assert seen == pytest.approx(documented, rel=0.01)
    assert documented == [1_000_000, 1_568_000, 799_680, 480]


def test_exposure_and_white_balance_are_locked(program):
    """Locking clears the bits of automatic exposure, gain and white balance, and leaves the filter against flicker."""
    values = play(program).values
    assert (int(values["locked"]), int(values["unlocked"])) == (0xE0, 0xE7)


def test_frames_pass_until_the_exposure_has_settled(program):
    """The first image comes after five frames; color bars need no exposure and come sooner."""
    image, bars = (int(play(program, bars=bars).values["ms"]) for bars in (False, True))
    assert 5 * 800 < image < 12 * 800
    assert bars < 4 * 800
