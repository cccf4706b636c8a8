"""The loops that read a line of the sensor keep up with it, by the cycles of their instructions."""

from __future__ import annotations

import pytest

from tests.firmware.builds import require
from tests.firmware.cycles import BYTE, CYCLE_NS, KEPT, Core, compile_capture, is_right, measure, run

LIMIT_NS = 600


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """Compile the driver's file with Arduino's flags."""
    require("arm-none-eabi-g++", "arm-none-eabi-objdump")
    return compile_capture(tmp_path_factory.mktemp("capture"))


@pytest.mark.parametrize("cached", [True, False], ids=["cache on", "cache off"])
def test_no_phase_of_the_loops_loses_a_byte(code, cached):
    """The first poll comes in less than 600 ns after HREF, and lines stay right if it comes that late."""
    timing = measure(code, cached=cached, phases=16, delay_step=9, stop_after=8)
    assert timing.wrong == 0
    assert timing.exit_ns < LIMIT_NS <= timing.holds_ns


@pytest.mark.parametrize("cached", [True, False], ids=["cache on", "cache off"])
def test_a_whole_line_is_read(code, cached):
    """All bytes of the center arrive in their places, and the function returns within the line."""
    core = run(Core(code, cached, 413), stop_after=KEPT + 1)
    assert len(core.stored) == KEPT
    assert is_right(core)
    assert core.cycle < 413 + 1280 * BYTE


def test_a_loop_that_is_a_byte_late_is_noticed(code):
    """A poll that comes after the first clock pulse shifts the line, and the model finds that."""
    core = run(Core(code, True, 413, late=int(1000 / CYCLE_NS)), stop_after=8)
    assert not is_right(core)
