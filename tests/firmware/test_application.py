"""The whole application on the host with a simulated clock: lights, messages and failures."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from curation.board import Frame, prepare_frame
from tests.board.firmwares import Built, build_for_host, write_frames
from tests.firmware.builds import ENGINE, FIRMWARE, SANITIZERS, build_engine


@dataclass(frozen=True)
class Output:
    """The output of a run of the firmware: messages, changes of the light with their time, and how it ended."""

    lines: list[dict]
    lights: list[tuple[int, str]]
    status: int
    errors: str

    def of(self, kind: str) -> list[dict]:
        """Return the messages of a type."""
        return [line for line in self.lines if line["type"] == kind]


def run(program: Path, camera: str, *options: str, until: int = 4000, script: str = "") -> Output:
    """Run the firmware until a time of its simulated clock; the script has lines ``MS TEXT``."""
    with tempfile.NamedTemporaryFile("w", suffix=".script") as file:
        file.write(script)
        file.flush()
        command = [program, "--camera", camera, "--script", file.name, "--until", str(until), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lights, errors = [], []
    for line in done.stderr.splitlines():
        words = line.split(" ", 2)
        if len(words) == 3 and words[1] == "light":
            lights.append((int(words[0]), words[2]))
        else:
            errors.append(line)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return Output(lines, lights, done.returncode, "\n".join(errors))


@pytest.fixture(scope="module", params=[True, False], ids=["rows", "frame"])
def firmware(request) -> Built:
    """Build it in row mode and in frame mode."""
    return build_for_host(rows=request.param)


@pytest.fixture(scope="module")
def shown(firmware) -> dict[str, Frame]:
    """Return an image that the synthetic network clearly classifies as melanoma, one as healthy, and one in between."""
    random = np.random.default_rng(7)
    blocks = random.integers(0, 256, (400, 1, 1, 3)) + random.integers(-60, 60, (400, 24, 24, 3))
    images = np.repeat(np.repeat(np.clip(blocks, 0, 255).astype(np.uint8), 6, axis=1), 6, axis=2)
    alarms = [scores["melanoma"] for scores in firmware.expect(images)]
    order = np.argsort(alarms)
    chosen = {"melanoma": order[-1], "healthy": order[0], "doubt": int(np.argmin(np.abs(np.array(alarms) - 0.65)))}
    assert alarms[chosen["melanoma"]] > 0.85
    assert alarms[chosen["healthy"]] < 0.3
    assert 0.55 < alarms[chosen["doubt"]] < 0.78
    return {name: prepare_frame(images[at]) for name, at in chosen.items()}


def test_the_start_shows_red_green_and_blue_and_reports_the_self_test(firmware, shown, tmp_path):
    """The lamps light in turn; then the camera, its byte order and the golden vectors are tested."""
    output = run(firmware.program, write_frames(tmp_path / "frames", [shown["healthy"]]))
    assert output.lights[:4] == [(0, "red"), (400, "green"), (800, "blue"), (1200, "off")]
    assert [line["type"] for line in output.lines[:2]] == ["hello", "selftest"]
    expected = {"ok": True, "led": "ok", "camera": "ok", "pattern": "ok", "golden": "ok", "order": "high first"}
    bars = output.lines[1].pop("bars")
    assert output.lines[1] == {"type": "selftest", **expected}
    assert [bar["expected"] for bar in bars] == ["white", "yellow", "cyan", "green", "magenta", "red", "blue", "black"]
    assert all(bar["ok"] for bar in bars)
    assert bars[1]["seen"] == [255, 255, 0]
    assert output.status == 0


@pytest.mark.parametrize(
    ("image", "led", "light"),
    [("melanoma", "red blinking", "red"), ("healthy", "green", "green"), ("doubt", "red", "red")],
)
def test_each_verdict_has_its_light(firmware, shown, tmp_path, image, led, light):
    """Green for healthy, red for melanoma, and red blinking at 1 Hz above 80 %."""
    output = run(firmware.program, write_frames(tmp_path / "frames", [shown[image]]), until=6000)
    assert {line["led"] for line in output.of("scores")} == {led}
    after = [each for each in output.lights if each[0] > 1200]
    if led == "red blinking":
        assert [color for _, color in after] == (["red", "off"] * 20)[: len(after)]
        assert {later - sooner for (sooner, _), (later, _) in pairwise(after)} == {500}
        assert len(after) > 7
    else:
        assert [color for _, color in after] == [light]


@pytest.mark.parametrize(
    ("camera", "verdict"), [("black", "dark"), ("white", "bright"), ("dead", "no camera"), ("frozen", "no camera")]
)
def test_the_light_is_blue_without_a_usable_image(firmware, camera, verdict):
    """The image is too dark or too bright, the camera does not respond, or its frames have no rows."""
    output = run(firmware.program, camera, until=12_000)
    assert {line["verdict"] for line in output.of("scores")} == {verdict}
    assert {line["led"] for line in output.of("scores")} == {"blue"}
    assert all("scores" not in line for line in output.of("scores"))
    assert output.lights[-1][1] == "blue"
    assert output.status == 0, "the watchdog resets the board only if the loop hangs"
    (test,) = output.of("selftest")
    assert test["ok"] is (camera in {"black", "white"})


def test_a_camera_that_fails_is_opened_again(firmware, shown, tmp_path):
    """The light turns blue at once; after the camera recovers, verdicts continue without earlier scores."""
    frames = write_frames(tmp_path / "frames", [shown["melanoma"]])
    output = run(firmware.program, frames, "--die-at", "3000", "--heal-at", "6500", until=9000)
    verdicts = [line["verdict"] for line in output.of("scores")]
    lost = verdicts.index("no camera")
    assert set(verdicts[:lost]) == {"melanoma"}
    assert verdicts[lost:].count("no camera") in {3, 4}
    assert verdicts[-1] == "melanoma"
    assert min(at for at, color in output.lights if color == "blue" and at > 1200) < 3100


def test_the_other_byte_order_is_detected(firmware, shown, tmp_path):
    """The color bars show that a camera sends the low byte first; the scores are the same."""
    frames = write_frames(tmp_path / "frames", [shown["melanoma"], shown["healthy"]])
    usual, swapped = run(firmware.program, frames), run(firmware.program, frames, "--low-first")
    assert [output.of("selftest")[0].pop("order") for output in (usual, swapped)] == ["high first", "low first"]
    assert swapped.lines == usual.lines


def test_a_camera_with_wrong_colors_is_refused(firmware, shown, tmp_path):
    """If the color bars do not show the order of the bytes, the light is blue and there is no verdict."""
    output = run(firmware.program, write_frames(tmp_path / "frames", [shown["melanoma"]]), "--gray-bars")
    assert output.of("selftest")[0]["pattern"] not in {"ok", "not tested"}
    assert {(line["verdict"], line["led"]) for line in output.of("scores")} == {("refused", "blue")}


@pytest.mark.slow
def test_a_wrong_golden_vector_is_refused(firmware, shown, tmp_path):
    """A network whose logits differ from the reference shows no verdict, not even for an injected image."""
    generated = tmp_path / "generated"
    shutil.copytree(firmware.program.parent / "generated", generated)
    text = (generated / "golden.h").read_text()
    head, _, logits = text.rpartition("golden_logits")
    opened = logits.index("{", logits.index("{") + 1) + 1
    number = logits[opened : logits.index(",", opened)]
    (generated / "golden.h").write_text(
        head + "golden_logits" + logits[:opened] + f" {int(number) ^ 1}" + logits[opened + len(number) :]
    )
    parts = (FIRMWARE / "application", ENGINE, generated)
    sources = [str(path) for part in (parts[0], generated) for path in sorted(part.glob("*.c"))]
    sources += map(str, build_engine("gcc"))
    program = tmp_path / "firmware"
    main = str(FIRMWARE / "boards" / "host" / "main.c")
    command = ["gcc", "-std=c11", "-O1", "-funsigned-char", *SANITIZERS, *(f"-I{part}" for part in parts)]
    subprocess.run([*command, "-DMODEL_ROWS=0", *sources, main, "-o", str(program)], check=True, timeout=120)
    script = "2000 golden\n" + inject(shown["melanoma"], at=2100)
    output = run(program, write_frames(tmp_path / "frames", [shown["melanoma"]]), script=script, until=5000)
    assert output.of("selftest")[0]["golden"] != "ok"
    assert {(line["verdict"], line["led"]) for line in output.of("scores")} == {("refused", "blue")}
    assert [line["ok"] for line in output.of("golden")] == [False, True]
    assert output.of("golden-end") == [{"type": "golden-end", "passed": 1, "failed": 1}]


def inject(frame: Frame, *, at: int, crc: str = "") -> str:
    """Return the script lines that inject an image."""
    import base64

    rows = [f"{at} row {y} {base64.b64encode(frame.row(y)).decode()}" for y in range(144)]
    return "\n".join([f"{at} inject", *rows, f"{at} end {crc or frame.crc32}", ""])


def test_the_light_shows_an_injected_image_for_three_seconds(firmware, shown, tmp_path):
    """The injected image is scored without smoothing; then the images of the camera continue."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    output = run(firmware.program, frames, script=inject(shown["melanoma"], at=2500), until=8000)
    (given,) = [line for line in output.of("scores") if line["injected"]]
    assert (given["verdict"], given["led"]) == ("melanoma", "red blinking")
    assert given["scores"] == given["smoothed"]
    assert [line["y"] for line in output.of("taken")] == list(range(144))
    blinking = [at for at, color in output.lights if color == "red" and at > 1200]
    back = min(at for at, color in output.lights if color == "green" and at > max(blinking))
    assert 2900 < back - blinking[0] < 3500
    assert output.of("scores")[-1]["verdict"] == "healthy"


@pytest.mark.parametrize("command", ["frame", "golden"])
def test_a_command_during_the_hold_does_not_mix_the_injected_image_into_later_verdicts(
    firmware, shown, tmp_path, command
):
    """The first image of the camera afterwards is not smoothed, as after the start."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    script = inject(shown["melanoma"], at=2500) + f"3000 {command}\n"
    output = run(firmware.program, frames, script=script, until=5000)
    given = next(place for place, line in enumerate(output.of("scores")) if line["injected"])
    following = output.of("scores")[given + 1]
    assert following["smoothed"] == following["scores"]
    assert following["verdict"] == "healthy"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("2000 dance\n", "unknown-command"),
        ("2000 scores loud\n", "bad-argument"),
        (f"2000 {'x' * 1500}\n", "too-long"),
        ("2000 row 0 AAAA\n", "out-of-order"),
        ("2000 inject\n2000 row 1 AAAA\n", "out-of-order"),
        ("2000 inject\n2000 row 0 AAAA\n", "bad-base64"),
        ("2000 inject\n2000 row zero AAAA\n", "out-of-order"),
        ("2000 inject\n2000 end 00000000\n", "out-of-order"),
        ("2000 inject\n", "time-out"),
    ],
)
def test_an_error_is_sent_and_the_camera_continues(firmware, shown, tmp_path, script, code):
    """Each wrong command gets one error with its code, and images are scored afterwards."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    output = run(firmware.program, frames, script=script + "5000 version\n", until=6000)
    assert [line["code"] for line in output.of("error")] == [code]
    assert len(output.of("version")) == 1
    assert output.lines[-1]["type"] == "scores"


def test_an_injected_image_with_a_wrong_crc_is_not_scored(firmware, shown, tmp_path):
    """The answer is an error instead of a verdict."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    output = run(firmware.program, frames, script=inject(shown["melanoma"], at=2000, crc="00000000"))
    assert [line["code"] for line in output.of("error")] == ["bad-crc"]
    assert not [line for line in output.of("scores") if line["injected"]]


def test_the_board_works_without_a_pc(firmware, shown, tmp_path):
    """The light behaves the same if the serial line takes no messages."""
    frames = write_frames(tmp_path / "frames", [shown["melanoma"]])
    script = "2000 version\n2500 frame\n"
    heard, unheard = (run(firmware.program, frames, *how, until=9000) for how in ((), ("--no-reader",)))
    assert unheard.lines == []
    assert unheard.lights == heard.lights
    assert run(firmware.program, frames, "--no-reader", script=script, until=12_000).status == 0


def test_a_frame_is_sent_as_the_camera_gives_it(firmware, shown, tmp_path):
    """All rows are sent in order, with their CRC; without a camera the answer is an error."""
    import base64

    output = run(firmware.program, write_frames(tmp_path / "frames", [shown["doubt"]]), script="2000 frame\n")
    rows = output.of("row")
    assert [row["y"] for row in rows] == list(range(144))
    assert b"".join(base64.b64decode(row["data"]) for row in rows) == shown["doubt"].packed
    assert output.of("frame-end") == [{"type": "frame-end", "crc32": shown["doubt"].crc32}]
    assert [line["code"] for line in run(firmware.program, "dead", script="3000 frame\n").of("error")] == ["no-camera"]


def test_a_frame_that_does_not_come_is_refused_with_its_cause(firmware):
    """If frames start without rows, the error has the same cause as the self-test."""
    output = run(firmware.program, "frozen", script="6000 frame\n", until=10_000)
    assert [line["message"] for line in output.of("error")] == [output.of("selftest")[0]["camera"]]


def test_after_reset_no_image_is_scored(firmware, shown, tmp_path):
    """The light is blue and no scores are sent until the board resets itself."""
    output = run(
        firmware.program, write_frames(tmp_path / "frames", [shown["melanoma"]]), script="2000 reset\n", until=8000
    )
    assert output.lines[-1]["type"] == "done"
    assert [light for at, light in output.lights if at >= 2000] == ["blue"]


def test_reset_resets_the_board_after_its_answer(firmware, shown, tmp_path):
    """The command is confirmed, and the board resets itself."""
    output = run(
        firmware.program, write_frames(tmp_path / "frames", [shown["doubt"]]), script="2000 reset\n", until=20_000
    )
    assert output.of("done") == [{"type": "done", "command": "reset"}]
    assert output.status == 4
    assert output.errors.endswith("restart")


def test_the_self_test_can_be_repeated(firmware, shown, tmp_path):
    """The lamps light again, and a second self-test is reported."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    output = run(firmware.program, frames, script="2500 selftest\n", until=6000)
    assert len(output.of("selftest")) == 2
    assert [color for at, color in output.lights if 2500 <= at < 3800][:4] == ["red", "green", "blue", "off"]


def test_a_board_without_such_parts_answers_the_bring_up(firmware, shown, tmp_path):
    """The emulated camera has no registers and no signals: the answer ends at once, and images continue."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    output = run(firmware.program, frames, script="2000 bring-up\n2500 lock on\n2600 lock loud\n", until=4000)
    assert output.of("bring-up") == [{"type": "bring-up"}]
    assert [line["code"] for line in output.of("error")] == ["no-camera", "bad-argument"]
    assert output.lines[-1]["type"] == "scores"
