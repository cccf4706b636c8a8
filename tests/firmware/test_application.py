"""The application as a whole, on this machine, with a clock of its own: what it shows, says and survives."""

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

AFTER_TESTS_MS = 1600  # the lamps take 1,200


@dataclass(frozen=True)
class Told:
    """What a run of the firmware said over its line, what its light did and when, and how it ended."""

    lines: list[dict]
    lights: list[tuple[int, str]]
    status: int
    errors: str

    def of(self, kind: str) -> list[dict]:
        """Return the messages of a type."""
        return [line for line in self.lines if line["type"] == kind]


def run(program: Path, camera: str, *options: str, until: int = 4000, script: str = "") -> Told:
    """Run the firmware until a moment of its own clock; the script has lines ``MS TEXT``."""
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
    return Told(lines, lights, done.returncode, "\n".join(errors))


@pytest.fixture(scope="module", params=[True, False], ids=["rows", "frame"])
def firmware(request) -> Built:
    """Build it with rows taken as they come, and with memory for a whole frame."""
    return build_for_host(rows=request.param)


@pytest.fixture(scope="module")
def shown(firmware) -> dict[str, Frame]:
    """Return pictures that the drawn net is sure of: one it takes for melanoma, one for healthy, one in between."""
    random = np.random.default_rng(7)
    blocks = random.integers(0, 256, (400, 1, 1, 3)) + random.integers(-60, 60, (400, 24, 24, 3))
    pictures = np.repeat(np.repeat(np.clip(blocks, 0, 255).astype(np.uint8), 6, axis=1), 6, axis=2)
    alarms = [scores["melanoma"] for scores in firmware.expect(pictures)]
    order = np.argsort(alarms)
    chosen = {"melanoma": order[-1], "healthy": order[0], "doubt": int(np.argmin(np.abs(np.array(alarms) - 0.65)))}
    assert alarms[chosen["melanoma"]] > 0.85
    assert alarms[chosen["healthy"]] < 0.3
    assert 0.55 < alarms[chosen["doubt"]] < 0.78
    return {name: prepare_frame(pictures[at]) for name, at in chosen.items()}


def test_the_start_shows_red_green_and_blue_and_says_what_it_tested(firmware, shown, tmp_path):
    """Each lamp in its turn, then the camera, the order of its bytes, and the golden vectors."""
    told = run(firmware.program, write_frames(tmp_path / "frames", [shown["healthy"]]))
    assert told.lights[:4] == [(0, "red"), (400, "green"), (800, "blue"), (1200, "off")]
    assert [line["type"] for line in told.lines[:2]] == ["hello", "selftest"]
    expected = {"ok": True, "led": "ok", "camera": "ok", "pattern": "ok", "golden": "ok"}
    assert told.lines[1] == {"type": "selftest", **expected}
    assert told.status == 0


@pytest.mark.parametrize(
    ("picture", "led", "light"),
    [("melanoma", "red blinking", "red"), ("healthy", "green", "green"), ("doubt", "red", "red")],
)
def test_each_verdict_has_its_light(firmware, shown, tmp_path, picture, led, light):
    """Green for healthy, red for melanoma, and red at 1 Hz where it is over 80 %."""
    told = run(firmware.program, write_frames(tmp_path / "frames", [shown[picture]]), until=6000)
    assert {line["led"] for line in told.of("scores")} == {led}
    after = [each for each in told.lights if each[0] > 1200]
    if led == "red blinking":
        assert [color for _, color in after] == (["red", "off"] * 20)[: len(after)]
        assert {later - sooner for (sooner, _), (later, _) in pairwise(after)} == {500}
        assert len(after) > 7
    else:
        assert [color for _, color in after] == [light]


@pytest.mark.parametrize(
    ("camera", "verdict"), [("black", "dark"), ("white", "bright"), ("dead", "no camera"), ("frozen", "no camera")]
)
def test_blue_says_that_there_is_nothing_to_judge(firmware, camera, verdict):
    """A picture that cannot be used, a camera that does not answer, one that begins frames and gives none."""
    told = run(firmware.program, camera, until=12_000)
    assert {line["verdict"] for line in told.of("scores")} == {verdict}
    assert {line["led"] for line in told.of("scores")} == {"blue"}
    assert all("scores" not in line for line in told.of("scores"))
    assert told.lights[-1][1] == "blue"
    assert told.status == 0, "the watchdog bites only where the loop hangs"
    (test,) = told.of("selftest")
    assert test["ok"] is (camera in {"black", "white"})


def test_a_camera_that_dies_is_woken_again(firmware, shown, tmp_path):
    """Blue at once, and the verdict is back after it has healed; nothing of before is remembered."""
    frames = write_frames(tmp_path / "frames", [shown["melanoma"]])
    told = run(firmware.program, frames, "--die-at", "3000", "--heal-at", "6500", until=9000)
    verdicts = [line["verdict"] for line in told.of("scores")]
    lost = verdicts.index("no camera")
    assert set(verdicts[:lost]) == {"melanoma"}
    assert verdicts[lost:].count("no camera") in {3, 4}
    assert verdicts[-1] == "melanoma"
    assert min(at for at, color in told.lights if color == "blue" and at > 1200) < 3100


def test_the_other_order_of_bytes_is_found_out(firmware, shown, tmp_path):
    """A camera that gives the low byte first is seen through by its test picture, and the scores are the same."""
    frames = write_frames(tmp_path / "frames", [shown["melanoma"], shown["healthy"]])
    usual, swapped = run(firmware.program, frames), run(firmware.program, frames, "--low-first")
    assert swapped.lines == usual.lines


def test_a_camera_of_wrong_colours_is_refused(firmware, shown, tmp_path):
    """Without its test picture nobody knows what the net sees: blue, and no verdict."""
    told = run(firmware.program, write_frames(tmp_path / "frames", [shown["melanoma"]]), "--gray-bars")
    assert told.of("selftest")[0]["pattern"] not in {"ok", "not tested"}
    assert {(line["verdict"], line["led"]) for line in told.of("scores")} == {("refused", "blue")}


def test_a_wrong_golden_vector_is_refused(firmware, shown, tmp_path):
    """A net whose logits are not the reference's never shows a verdict, not for a given picture either."""
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
    told = run(program, write_frames(tmp_path / "frames", [shown["melanoma"]]), script=script, until=5000)
    assert told.of("selftest")[0]["golden"] != "ok"
    assert {(line["verdict"], line["led"]) for line in told.of("scores")} == {("refused", "blue")}
    assert [line["ok"] for line in told.of("golden")] == [False, True]
    assert told.of("golden-end") == [{"type": "golden-end", "passed": 1, "failed": 1}]


def inject(frame: Frame, *, at: int, crc: str = "") -> str:
    """Return the lines that give a picture to the board."""
    import base64

    rows = [f"{at} row {y} {base64.b64encode(frame.row(y)).decode()}" for y in range(144)]
    return "\n".join([f"{at} inject", *rows, f"{at} end {crc or frame.crc32}", ""])


def test_a_given_picture_keeps_the_light_for_three_seconds(firmware, shown, tmp_path):
    """The camera shows healthy skin; the picture given over the line is judged alone, and then the camera goes on."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    told = run(firmware.program, frames, script=inject(shown["melanoma"], at=2500), until=8000)
    (given,) = [line for line in told.of("scores") if line["injected"]]
    assert (given["verdict"], given["led"]) == ("melanoma", "red blinking")
    assert given["scores"] == given["smoothed"]
    assert [line["y"] for line in told.of("taken")] == list(range(144))
    blinking = [at for at, color in told.lights if color == "red" and at > 1200]
    back = min(at for at, color in told.lights if color == "green" and at > max(blinking))
    assert 2900 < back - blinking[0] < 3500
    assert told.of("scores")[-1]["verdict"] == "healthy"


@pytest.mark.parametrize("command", ["frame", "golden"])
def test_a_command_during_the_hold_leaves_the_injected_image_out_of_later_verdicts(firmware, shown, tmp_path, command):
    """The first image of the camera after it counts whole, as after a start."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    script = inject(shown["melanoma"], at=2500) + f"3000 {command}\n"
    told = run(firmware.program, frames, script=script, until=5000)
    given = next(place for place, line in enumerate(told.of("scores")) if line["injected"])
    following = told.of("scores")[given + 1]
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
def test_what_goes_wrong_is_said_and_the_camera_goes_on(firmware, shown, tmp_path, script, code):
    """One error, by its code, and pictures are judged again afterwards."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    told = run(firmware.program, frames, script=script + "5000 version\n", until=6000)
    assert [line["code"] for line in told.of("error")] == [code]
    assert len(told.of("version")) == 1
    assert told.lines[-1]["type"] == "scores"


def test_a_picture_with_a_wrong_crc_is_not_judged(firmware, shown, tmp_path):
    """What did not arrive as it was sent gets an error, not a verdict."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    told = run(firmware.program, frames, script=inject(shown["melanoma"], at=2000, crc="00000000"))
    assert [line["code"] for line in told.of("error")] == ["bad-crc"]
    assert not [line for line in told.of("scores") if line["injected"]]


def test_nobody_has_to_listen(firmware, shown, tmp_path):
    """With a line that takes nothing the light does what it does with one that takes all."""
    frames = write_frames(tmp_path / "frames", [shown["melanoma"]])
    script = "2000 version\n2500 frame\n"
    heard, unheard = (run(firmware.program, frames, *how, until=9000) for how in ((), ("--no-reader",)))
    assert unheard.lines == []
    assert unheard.lights == heard.lights
    assert run(firmware.program, frames, "--no-reader", script=script, until=12_000).status == 0


def test_a_frame_is_what_the_camera_shows(firmware, shown, tmp_path):
    """Every row, in order, with the CRC of them all; without a camera an error says so."""
    import base64

    told = run(firmware.program, write_frames(tmp_path / "frames", [shown["doubt"]]), script="2000 frame\n")
    rows = told.of("row")
    assert [row["y"] for row in rows] == list(range(144))
    assert b"".join(base64.b64decode(row["data"]) for row in rows) == shown["doubt"].packed
    assert told.of("frame-end") == [{"type": "frame-end", "crc32": shown["doubt"].crc32}]
    assert [line["code"] for line in run(firmware.program, "dead", script="3000 frame\n").of("error")] == ["no-camera"]


def test_a_frame_that_does_not_come_is_refused_with_its_cause(firmware):
    """A camera that begins frames and gives no rows: the error has the cause that the self-test has."""
    told = run(firmware.program, "frozen", script="6000 frame\n", until=7000)
    assert [line["message"] for line in told.of("error")] == [told.of("selftest")[0]["camera"]]


def test_after_reset_nothing_is_judged(firmware, shown, tmp_path):
    """The light is blue and no scores are sent until the watchdog restarts the board."""
    told = run(
        firmware.program, write_frames(tmp_path / "frames", [shown["melanoma"]]), script="2000 reset\n", until=8000
    )
    assert told.lines[-1]["type"] == "done"
    assert [light for at, light in told.lights if at >= 2000] == ["blue"]


def test_reset_lets_the_watchdog_bite(firmware, shown, tmp_path):
    """It is said to be done, and the board starts anew when the watchdog was not fed for its time."""
    told = run(
        firmware.program, write_frames(tmp_path / "frames", [shown["doubt"]]), script="2000 reset\n", until=20_000
    )
    assert told.of("done") == [{"type": "done", "command": "reset"}]
    assert told.status == 3
    assert told.errors.endswith("watchdog")


def test_the_tests_of_the_start_can_be_asked_for_again(firmware, shown, tmp_path):
    """The lamps come again and a second self-test is said."""
    frames = write_frames(tmp_path / "frames", [shown["healthy"]])
    told = run(firmware.program, frames, script="2500 selftest\n", until=6000)
    assert len(told.of("selftest")) == 2
    assert [color for at, color in told.lights if 2500 <= at < 3800][:4] == ["red", "green", "blue", "off"]
