"""The PC's side against the firmware on the emulated Cortex-M4: its instructions, its memory, its serial line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from curation.board import open_board, prepare_frame
from curation.images import camera_view
from firmware.tools.session import PATIENCE, Emulated, SessionImages, emulate, hold_session
from tests.board.firmwares import LABELS, Built, build_for_board
from tests.board.test_firmware import CLOSE, draw_pictures, measure_quality

pytestmark = pytest.mark.slow


def test_a_whole_conversation(tmp_path):
    """With memory for a whole frame: live scores, a frame, a given image, each bit as the references have it."""
    firmware = build_for_board(tmp_path, rows=False)
    frames = [prepare_frame(picture) for picture in draw_pictures(2)]
    shown = firmware.expect(np.stack([frame.pixels for frame in frames]))
    pictures = draw_pictures(1, seed=5)
    with (
        emulate(firmware.program, tmp_path, camera=frames) as emulated,
        open_board(emulated.port, timeout_factor=PATIENCE) as board,
    ):
        assert (board.version.board, board.version.labels) == ("emulated", LABELS)
        assert all(vector.ok for vector in board.run_golden())
        board.stream_scores(True)
        for _ in range(3):
            scores = board.next_scores(60).scores
            assert any(scores == pytest.approx(one, abs=CLOSE) for one in shown)
        board.stream_scores(False)
        assert board.take_frame() in frames
        for picture, one in zip(pictures, firmware.expect(pictures), strict=True):
            scores = board.inject(prepare_frame(picture))
            assert scores.scores == pytest.approx(one, abs=CLOSE)
            assert (scores.brightness, scores.clipped, scores.sharpness) == measure_quality(camera_view(picture))


def test_the_last_line_of_a_board_is_read_before_it_is_used():
    """On a busy machine the size of the stack was looked for before the line with it had been read."""
    code = "import sys; sys.stdout.write('booting\\n' * 5000 + 'most of the stack 1234\\n')"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    board = Emulated("none", process)
    assert board.wait() == 1234
    assert len(board.printed) == 5001
    process.stdout.close()


def test_the_recorded_session(tmp_path):
    """What `make firmware` shows: a black frame, golden vectors, given images, a dead camera; each has its light."""
    firmware = build_for_board(tmp_path, rows=True)
    alarming, calm = (prepare_frame(picture) for picture in choose_sure_pictures(firmware))
    told: list[str] = []
    stack = hold_session(firmware.program, tmp_path, SessionImages(alarming, calm), told.append)
    assert 0 < stack <= 2048
    heard = [json.loads(line[2:]) for line in told if line.startswith("< {") and "(143 more)" not in line]
    assert [each["board"] for each in heard if each["type"] == "version"] == ["emulated"] * 2
    assert [each["failed"] for each in heard if each["type"] == "golden-end"] == [0]
    verdicts = [(each["verdict"], each["led"]) for each in heard if each["type"] == "scores"]
    black, alarm = ("dark", "blue"), ("melanoma", "red blinking")
    assert verdicts == [black, alarm, ("healthy", "green"), ("no camera", "blue")]
    assert [each["code"] for each in heard if each["type"] == "error"] == ["no-camera"]
    start, blinking, steady, dead = (read_lights(line) for line in told if line.startswith("light: "))
    assert [colour for _, colour in start] == ["red", "green", "blue", "off", "blue"]
    assert [colour for _, colour in blinking] == ["red", "off"] * 3 + ["red", "blue"]
    assert {round((later - sooner) / 10) for (sooner, _), (later, _) in pairwise(blinking[:-1])} == {50}  # 1 Hz
    assert [colour for _, colour in steady] == ["green", "blue"]
    assert 2900 < steady[1][0] - steady[0][0] < 3300
    assert dead[-1][1] == "blue"


def choose_sure_pictures(firmware: Built) -> tuple[np.ndarray, np.ndarray]:
    """Return an image that the drawn net takes for melanoma with over 80 %, and one that it surely does not."""
    pictures = np.repeat(np.repeat(np.random.default_rng(7).integers(0, 256, (300, 1, 1, 3), np.uint8), 144, 1), 144, 2)
    coarse = np.random.default_rng(8).integers(-60, 60, (300, 24, 24, 3)).repeat(6, axis=1).repeat(6, axis=2)
    pictures = np.clip(pictures + coarse, 0, 255).astype(np.uint8)
    alarms = np.array([scores["melanoma"] for scores in firmware.expect(pictures)])
    assert alarms.max() > 0.85
    assert alarms.min() < 0.3
    return pictures[alarms.argmax()], pictures[alarms.argmin()]


def read_lights(line: str) -> list[tuple[int, str]]:
    """Return when the light became what."""
    return [(int(at.replace(",", "")), colour) for at, colour in re.findall(r"([\d,]+) ms (\w+)", line)]
