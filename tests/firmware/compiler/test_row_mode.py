"""The choice between row mode and frame mode, and the light of each class."""

from __future__ import annotations

import pytest

from firmware.compiler import export, load_board, read_model
from firmware.compiler.lights import assign_lights
from firmware.compiler.row_mode import choose_mode, estimate_heaviest_row
from tests.firmware.builds import draw_inputs, run_on_board
from tests.firmware.compiler.networks import Network, ds_cnn, inverted_residual

BOARD = load_board("nano33ble")


def _wide() -> bytes:
    """A net whose second block is so wide that one of its rows takes longer than the camera leaves."""
    net = Network((96, 96, 3), seed=1)
    at = net.depthwise(net.convolve(net.input, 16, stride=(2, 2)))
    at = net.convolve(at, 16, window=(1, 1))
    at = net.depthwise(net.convolve(at, 96, window=(1, 1)), stride=(2, 2))
    at = net.convolve(at, 24, window=(1, 1))
    return net.finish(net.softmax(net.dense(net.mean(at), 2)))


def test_a_fast_net_takes_rows_and_a_slow_one_whole_frames():
    """The reason has the time of the heaviest row, the clock, and what the camera leaves."""
    fast, slow = choose_mode(read_model(ds_cnn()), BOARD), choose_mode(read_model(_wide()), BOARD)
    assert (fast.rows, slow.rows) == (True, False)
    assert fast.heaviest_us < BOARD.camera.slack_us < slow.heaviest_us
    for mode in (fast, slow):
        assert f"{mode.heaviest_us / 1000:.1f} ms at 64 MHz" in mode.reason
        assert "3.5 ms of 4.7 ms" in mode.reason


def test_a_net_that_needs_its_whole_input_takes_frames():
    """It has no row mode at any speed."""
    net = Network((96, 96, 3), seed=1)
    model = read_model(net.finish(net.softmax(net.dense(net.mean(net.convolve(net.input, 4)), 2))))
    assert not choose_mode(model, BOARD).rows
    assert estimate_heaviest_row(model, BOARD.instructions) is None


@pytest.mark.parametrize("content", [ds_cnn(), inverted_residual()], ids=["ds_cnn", "inverted residual"])
def test_the_estimate_is_near_the_count_on_the_emulated_board(content, tmp_path):
    """The heaviest row is within a quarter of the one that was counted, or within 10,000 instructions."""
    model = read_model(content)
    counted = run_on_board(model, draw_inputs(model, 3), tmp_path, rows=True).heaviest_row
    estimate = estimate_heaviest_row(model, BOARD.instructions)
    assert estimate == pytest.approx(counted, rel=0.25, abs=10_000)


@pytest.mark.parametrize(("content", "rows"), [(ds_cnn(), 1), (_wide(), 0)], ids=["fast", "slow"])
def test_the_header_selects_the_mode_of_the_export(content, rows, tmp_path):
    """A build without options takes the chosen mode, and the reason is in the header."""
    labels = ("healthy", "melanoma")
    done = export(content, tmp_path, labels=labels, alarm="melanoma", data_version="drawn@v1", board=BOARD)
    text = (tmp_path / "model.h").read_text()
    assert f"#define MODEL_ROWS {rows}\n" in text
    assert done.mode.reason.split(":")[0] in text


def test_the_alarm_is_red_and_no_class_is_blue():
    """The other classes have green, yellow, cyan, magenta and white; later ones share the last color."""
    labels = ("cat", "dog", "fire", "owl", "elk", "fox", "bee", "ant")
    lights = {light.label: light for light in assign_lights(labels, "fire")}
    assert [lights[label].color for label in labels] == [
        *("green", "yellow", "red", "cyan", "magenta", "white", "white", "white")
    ]
    assert [label for label in labels if lights[label].blinks] == ["fire"]
    assert all(light.bits & 7 != 4 for light in lights.values())
    assert [lights[label].bits for label in ("cat", "fire")] == [2, 9]
