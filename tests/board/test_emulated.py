"""The PC's side against the firmware on the emulated Cortex-M4: its instructions, its memory, its serial line."""

from __future__ import annotations

import numpy as np
import pytest

from curation.board import open_board, prepare_frame
from curation.errors import CurationError
from curation.images import camera_view
from tests.board.firmwares import LABELS, Built, build_for_board, run_emulated, write_frames
from tests.board.test_firmware import CLOSE, draw_pictures, measure_quality

PATIENCE = 10  # an emulated board on a busy machine is slow
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[False, True], ids=["frame", "rows"])
def firmware(request, tmp_path_factory) -> Built:
    """Build it twice: with memory for a whole frame, and with rows taken as they come."""
    return build_for_board(tmp_path_factory.mktemp("firmware"), rows=request.param)


def test_a_whole_conversation(firmware, tmp_path):
    """Version, golden vectors, live scores, a frame, and given pictures, each bit as the references have it."""
    frames = [prepare_frame(picture) for picture in draw_pictures(2)]
    write_frames(tmp_path / "camera.bin", frames)
    shown = firmware.expect(np.stack([frame.pixels for frame in frames]))
    pictures = draw_pictures(2, seed=5)
    with run_emulated(firmware.program, tmp_path) as (name, _), open_board(name, patience=PATIENCE) as board:
        assert (board.version.board, board.version.labels) == ("emulated", LABELS)
        assert all(vector.ok for vector in board.run_golden())
        board.say_scores(True)
        for _ in range(3):
            scores = board.next_scores(60).scores
            assert any(scores == pytest.approx(one, abs=CLOSE) for one in shown)
        board.say_scores(False)
        assert board.take_frame() in frames
        for picture, one in zip(pictures, firmware.expect(pictures), strict=True):
            scores = board.inject(prepare_frame(picture))
            assert scores.scores == pytest.approx(one, abs=CLOSE)
            assert (scores.brightness, scores.clipped, scores.sharpness) == measure_quality(camera_view(picture))


def test_a_dead_camera(firmware, tmp_path):
    """Without frames the board goes on, says so, and still takes a picture that is given to it."""
    picture = draw_pictures(1)
    with run_emulated(firmware.program, tmp_path) as (name, _), open_board(name, patience=PATIENCE) as board:
        assert board.next_scores(60).verdict == "no camera"
        with pytest.raises(CurationError, match="no-camera"):
            board.take_frame()
        assert board.inject(prepare_frame(picture[0])).scores == pytest.approx(firmware.expect(picture)[0], abs=CLOSE)
