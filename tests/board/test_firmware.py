"""The PC's side against the real firmware: its C code, with sanitisers, behind a pseudo-terminal of this machine."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from curation import Home, Options, build
from curation.board import SerialPort, open_board, prepare_frame
from curation.board.messages import Ready, Taken
from curation.board.request_response import Connection, RefusedCommand
from curation.cli import main
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.images import camera_view, decode, to_rgb565
from curation.storage.cache import Cache
from tests.board.firmwares import LABELS, Built, build_for_host, run_on_host, write_frames
from tests.builders import as_bytes, texture

CLOSE = 0.00006  # scores are said with four places


@pytest.fixture(
    scope="module", params=[pytest.param(False, id="frame", marks=pytest.mark.slow), pytest.param(True, id="rows")]
)
def firmware(request) -> Built:
    """Build it twice: with memory for a whole frame, and with rows taken as they come."""
    return build_for_host(rows=request.param)


def draw_pictures(count: int, *, seed: int = 0) -> np.ndarray:
    """Draw images of blocks of colour, each another one: (n, 150, 200, 3) uint8."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 38, 50, 3), np.uint8)
    return np.repeat(np.repeat(blocks, 4, axis=1), 4, axis=2)[:, :150]


def measure_quality(view: np.ndarray) -> tuple[int, float, int]:
    """Return brightness, clipped and sharpness of what the net sees, (96, 96, 3) uint8, as the protocol has them."""
    luma = (view.astype(np.int64) @ [77, 150, 29] + 128) >> 8
    edges = 4 * luma[1:-1, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:] - luma[:-2, 1:-1] - luma[2:, 1:-1]
    variance = ((edges**2).sum() - edges.sum() ** 2 // edges.size) // edges.size
    clipped = int((luma >= 250).sum()) * 10000 // luma.size / 10000
    return int((luma.sum() + luma.size // 2) // luma.size), clipped, int(variance)


@pytest.fixture
def shown(tmp_path) -> tuple[str, list]:
    """Give a file of three frames for the camera, and the frames."""
    frames = [prepare_frame(picture) for picture in draw_pictures(3)]
    return write_frames(tmp_path / "frames", frames), frames


def test_version_and_tests_of_its_own(firmware, shown):
    """It says what runs there; its golden vectors and its self-test are right."""
    with run_on_host(firmware.program, "--camera", shown[0]) as (name, _), open_board(name) as board:
        assert (board.version.board, board.version.dataset, board.version.labels) == ("host", "drawn@v1", LABELS)
        assert board.version.alarm == "melanoma"
        vectors = board.run_golden()
        assert vectors
        assert all(vector.ok and vector.logits == vector.expected for vector in vectors)
        tested = board.run_selftest()
        assert tested.ok, tested
        assert board.dropped == 0


def test_live_scores_are_the_reference_s(firmware, shown):
    """Every image's scores are those of LiteRT's reference kernels for one of the frames the camera shows."""
    path, frames = shown
    expected = firmware.expect(np.stack([frame.pixels for frame in frames]))
    with run_on_host(firmware.program, "--camera", path) as (name, _), open_board(name) as board:
        board.stream_scores(True)
        seen = [board.next_scores() for _ in range(6)]
        assert board.dropped == 0
    numbers = [scores.frame for scores in seen]
    assert numbers == sorted(set(numbers))
    for scores in seen:
        assert not scores.injected
        assert scores.scores is not None
        assert any(scores.scores == pytest.approx(one, abs=CLOSE) for one in expected)


def test_a_frame_is_one_the_camera_showed(firmware, shown):
    """Bit for bit, however often it is asked for."""
    path, frames = shown
    with run_on_host(firmware.program, "--camera", path) as (name, _), open_board(name) as board:
        taken = [board.take_frame() for _ in range(3)]
        assert board.dropped == 0
    assert all(frame in frames for frame in taken)


def test_a_given_image_is_seen_as_training_sees_it(firmware, shown):
    """Scores, brightness and sharpness are those of the camera's view of the image: not one bit lies between."""
    pictures = draw_pictures(8, seed=5)
    expected = firmware.expect(pictures)
    with run_on_host(firmware.program, "--camera", shown[0]) as (name, _), open_board(name) as board:
        for picture, one in zip(pictures, expected, strict=True):
            scores = board.inject(prepare_frame(picture))
            assert scores.injected
            assert scores.scores == pytest.approx(one, abs=CLOSE)
            assert (scores.brightness, scores.clipped, scores.sharpness) == measure_quality(camera_view(picture))
    assert len({tuple(one.values()) for one in expected}) > 3


def test_what_arrives_damaged_is_refused_and_the_board_goes_on(firmware, shown):
    """A wrong CRC, a row that is not the next one, no base64, an unknown word, a line that is too long."""
    with run_on_host(firmware.program, "--camera", shown[0]) as (name, _):
        talk = Connection(SerialPort(name), notify=print)
        for lines, code in (
            (["row 0 AAAA"], "out-of-order"),
            (["inject", "row 3 AAAA"], "out-of-order"),
            (["inject", "row 0 !!!!"], "bad-base64"),
            (["dance"], "unknown-command"),
            (["x" * 3000], "too-long"),
        ):
            for line in lines:
                talk.send(line)
            with pytest.raises(RefusedCommand) as raised:
                talk.expect(Taken, within_s=10)
            assert raised.value.code == code, lines
        talk.send("inject")
        talk.expect(Ready)
        frame = prepare_frame(draw_pictures(1)[0])
        for y in range(144):
            talk.send(f"row {y} {base64.b64encode(frame.row(y)).decode()}")
            assert talk.expect(Taken, within_s=10).y == y
        talk.send(f"end {zlib.crc32(frame.packed) ^ 1:08x}")
        with pytest.raises(RefusedCommand, match="bad-crc"):
            talk.expect(Taken, within_s=10)
        talk.port.close()
        with open_board(name) as board:
            assert board.inject(frame).injected


def test_a_dead_camera(firmware):
    """The frame is refused, with the way to the wires; the scores say why there are none; a given image works."""
    picture = draw_pictures(1)
    with run_on_host(firmware.program, "--camera", "dead") as (name, _), open_board(name) as board:
        board.stream_scores(True)
        scores = board.next_scores(15)
        assert (scores.verdict, scores.led, scores.scores) == ("no camera", "blue", None)
        with pytest.raises(CurationError) as raised:
            board.take_frame()
        assert raised.value.code is ErrorCode.CAMERA_MISSING
        assert "wires" in raised.value.hint
        assert board.inject(prepare_frame(picture[0])).scores == pytest.approx(firmware.expect(picture)[0], abs=CLOSE)


def test_a_board_that_dies(firmware, shown):
    """Its process is killed in the middle of the conversation: the board is gone, said plainly."""
    with run_on_host(firmware.program, "--camera", shown[0]) as (name, running), open_board(name) as board:
        running.kill()
        running.wait()
        with pytest.raises(CurationError) as raised:
            board.take_frame()
        assert raised.value.code is ErrorCode.BOARD_GONE


@pytest.mark.slow
def test_collecting_from_the_command_line_makes_a_dataset(firmware, tmp_path, capsys):
    """What the camera showed is collected under two labels, built, and published."""
    captures = tmp_path / "captures"
    for seed, label in enumerate(LABELS):
        frames = [prepare_frame(picture) for picture in draw_pictures(200, seed=20 + seed)]  # none is shown twice
        path = write_frames(tmp_path / f"{label}.frames", frames)
        with run_on_host(firmware.program, "--camera", path) as (name, _):
            for group in range(2):
                arguments = ["--into", str(captures), "--group", f"{label}-{group}", "--count", "3", "--every", "0.2"]
                assert main(["board", name, "--collect", label, *arguments]) == 0
        for file in sorted((captures / label).glob("*.png")):
            assert to_rgb565(decode(file.read_bytes()).pixels).tobytes() in [frame.packed for frame in frames]
    assert "captures" in capsys.readouterr().out
    (tmp_path / "datasets" / "mine").mkdir(parents=True)
    (tmp_path / "datasets" / "mine" / "recipe.toml").write_text(
        f"""
[[sources]]
name = "camera"
kind = "board"
path = "{captures}"
[labels.classes]
healthy = ["healthy"]
melanoma = ["melanoma"]
[selection.ratios]
train = 0.5
test = 0.5
"""
    )
    home, cache = Home(tmp_path / "datasets"), Cache(tmp_path / "cache")
    built = build("mine", Options(home=home, cache=cache, engine=Local(1)))
    assert built.outcome == "published"
    rows = built.manifest.rows
    kept = rows.filter(rows["excluded_by"].is_null())
    assert rows.height == 2 * 2 * 3 + 1
    assert set(kept["label"]) == set(LABELS)
    assert set(kept["split"]) == {"train", "test"}


def test_an_image_file_through_the_command_line(firmware, shown, tmp_path, capsys):
    """The scores printed are the reference's for the file."""
    content = as_bytes(texture(4, width=170, height=130), "PNG")
    (tmp_path / "mole.png").write_bytes(content)
    with run_on_host(firmware.program, "--camera", shown[0]) as (name, _):
        assert main(["board", name, "--inject", str(tmp_path / "mole.png"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"] == pytest.approx(firmware.expect(decode(content).pixels[None])[0], abs=CLOSE)
