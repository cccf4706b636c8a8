"""The verb `board`: what it prints, its JSON, its exit codes, against a peer on a pseudo-terminal."""

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from curation.board.messages import BoardVersion, Scores
from curation.cli import main
from curation.cli.progress import draw_image, draw_view
from curation.images import decode, to_rgb565
from tests.board.peers import SCORES, VERSION, Script, draw_frame, peer, say
from tests.builders import as_bytes, texture

PROJECT = Path(__file__).resolve().parents[2]


def ask(capsys: pytest.CaptureFixture[str], script: Script, *arguments: str) -> tuple[int, str, str]:
    """Run the verb against a peer and return its exit code and what it printed."""
    with peer(script) as (name, _):
        code = main(["board", name, *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_watching_prints_a_line_an_image(capsys):
    """Verdict, LED, scores and time, where the output is not a terminal."""
    code, out, _ = ask(capsys, Script(), "--count", "2")
    assert code == 0
    assert out.splitlines() == ["melanoma (LED red blinking): melanoma 93.4%, healthy 6.6%, inference 36.1 ms"] * 2


def test_watching_in_json_gives_what_the_board_said(capsys):
    """One JSON document a line, for other programs."""
    code, out, _ = ask(capsys, Script(), "--count", "3", "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [SCORES] * 3


def test_a_board_without_an_image_is_watched_too(capsys):
    """Where the camera is dead there are no scores, and the line says why."""
    blind = {"type": "scores", "frame": 3, "injected": False, "verdict": "no camera", "led": "blue"}
    script = Script(scores=[say({"type": "done", "command": "scores"}), say(blind)])
    code, out, _ = ask(capsys, script, "--count", "1")
    assert (code, out) == (0, "no camera (LED blue)\n")


def test_a_frame_is_written_without_loss(capsys, tmp_path):
    """The PNG holds the camera's own bytes."""
    code, out, _ = ask(capsys, Script(), "--frame", str(tmp_path / "a.png"))
    assert code == 0
    assert "lossless" in out
    assert to_rgb565(decode((tmp_path / "a.png").read_bytes()).pixels).tobytes() == draw_frame().packed


def test_an_image_is_given_to_the_board(capsys, tmp_path):
    """The answer is the board's about this image."""
    (tmp_path / "mole.jpg").write_bytes(as_bytes(texture(1)))
    code, out, _ = ask(capsys, Script(), "--inject", str(tmp_path / "mole.jpg"))
    assert code == 0
    assert "mole.jpg: melanoma (LED red blinking)" in out


@pytest.mark.parametrize(
    ("option", "text"),
    [("--version", "drawn@v1"), ("--timing", "inference_us  3"), ("--golden", "2 of 2 golden vectors")],
)
def test_one_question_has_text_and_json(capsys, option, text):
    """A person reads the one, a program the other."""
    code, out, _ = ask(capsys, Script(), option)
    assert code == 0
    assert text in out
    code, out, _ = ask(capsys, Script(), option, "--json")
    assert code == 0
    assert json.loads(out)


def test_a_wrong_golden_vector_ends_with_1(capsys):
    """It is named with what was expected."""
    wrong = {"type": "golden", "vector": 1, "ok": False, "logits": [5, 6], "expected": [7, 8]}
    script = Script(golden=[say(wrong), say({"type": "golden-end", "passed": 0, "failed": 1})])
    code, out, _ = ask(capsys, script, "--golden")
    assert code == 1
    assert "vector 1: logits [5, 6], expected [7, 8]" in out


def test_a_failed_selftest_ends_with_1(capsys):
    """The part that failed says why."""
    tested = {"type": "selftest", "ok": False, "led": "ok", "camera": "no answer", "pattern": "", "golden": "ok"}
    code, out, _ = ask(capsys, Script(selftest=[say(tested)]), "--selftest")
    assert code == 1
    assert "no answer" in out


def test_collecting_says_what_to_do_next(capsys, tmp_path):
    """The images, and the lines for a recipe."""
    arguments = ("--collect", "melanoma", "--into", str(tmp_path), "--group", "mole-3", "--count", "2", "--every", "0")
    code, out, _ = ask(capsys, Script(), *arguments)
    assert code == 0
    assert "melanoma/mole-3-0002.png" in out
    assert 'kind = "board"' in out
    assert len(list(tmp_path.rglob("*.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("PORT", "--golden", "--timing"), "--golden, --timing"),
        (("PORT", "--collect", "melanoma"), "--into"),
        (("PORT", "--into", "x"), "--into"),
        (("--golden",), "PORT"),
        (("PORT", "--count", "0"), "--count"),
    ],
)
def test_wrong_usage_ends_with_2(capsys, arguments, text):
    """Before any port is opened."""
    assert main(["board", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_a_fault_is_an_error_and_a_hint(capsys, tmp_path):
    """No traceback: a port that does not exist, a file that is not an image."""
    assert main(["board", "/dev/ttyNOWHERE"]) == 1
    assert "/dev/ttyNOWHERE" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("no picture")
    code, _, errors = ask(capsys, Script(), "--inject", str(tmp_path / "a.txt"))
    assert code == 1
    assert "not an image" in errors
    code, _, errors = ask(capsys, Script(), "--frame", str(tmp_path / "no" / "a.png"))
    assert code == 1
    assert str(tmp_path / "no") in errors


def test_hostile_words_of_a_board_are_shown_and_not_obeyed(capsys):
    """A board that sends control characters cannot rewrite the terminal."""
    script = Script(version=[b"\x1b[2Jnoise\n", say({**VERSION, "model": "\x1b[2Jx"})])
    code, out, errors = ask(capsys, script, "--version")
    assert code == 0
    assert "\x1b" not in out + errors
    assert "\\x1b[2Jx" in out


@pytest.mark.parametrize(("columns", "lines", "cells"), [(88, 36, 88 * 36), (80, 14, 34 * 14), (200, 90, 176 * 72)])
def test_the_live_view_draws_verdict_bars_and_image(columns, lines, cells):
    """What a person sees in a terminal: the LED's words, a bar a label, and the image as large as there is room."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="truecolor", height=100)
    version, scores = BoardVersion.model_validate(VERSION), Scores.model_validate(SCORES)
    picture = draw_image(draw_frame().packed, columns=columns, lines=lines)
    console.print(draw_view(version, scores, picture))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue()
    assert "LED red blinking" in drawn
    assert "87.1%" in drawn
    assert drawn.count("▀") == cells
    if columns == 200:  # nothing is scaled: the first cell is the first two pixels
        upper, lower = draw_frame().pixels[:2, 0].tolist()
        assert "38;2;{};{};{};48;2;{};{};{}m▀".format(*upper, *lower) in drawn


def interrupt(script: Script, *arguments: str) -> tuple[int, str, str]:
    """Run the verb as a process of its own, press Ctrl-C after its first line, and return how it ended."""
    with peer(script) as (name, _):
        running = subprocess.Popen(
            [sys.executable, "-m", "curation", "board", name, *arguments],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert running.stdout is not None
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out, errors = running.communicate(timeout=60)
    return running.returncode, first + out, errors


def test_watching_ends_with_ctrl_c():
    """That is how one stops watching: no error, nothing printed about it."""
    scores = [say({"type": "done", "command": "scores"}), *[say(SCORES)] * 200]
    code, out, errors = interrupt(Script(scores=scores))
    assert code == 0
    assert "melanoma (LED red blinking)" in out
    assert errors == ""


def test_collecting_stopped_by_ctrl_c_leaves_whole_images(tmp_path):
    """Exit code 130, how many there are, and every one of them decodes."""
    arguments = ("--collect", "melanoma", "--into", str(tmp_path), "--count", "1000", "--every", "0.2")
    code, _, errors = interrupt(Script(), *arguments)
    assert code == 130
    assert "1 of 1000" in errors
    pictures = sorted(tmp_path.rglob("*.png"))
    assert pictures
    assert all(decode(path.read_bytes()).pixels.shape == (144, 176, 3) for path in pictures)
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_maker_s_guide_names_options_that_are_there(capsys):
    """Whatever firmware/README.md tells its reader to type is an option of the verb."""
    guide = (PROJECT / "firmware" / "README.md").read_text(encoding="utf-8")
    typed = {
        option
        for line in re.findall(r"(?:python -m curation )?board (?:PORT|/dev/\S+)[^\n`]*", guide)
        for option in re.findall(r"--[a-z-]+", line)
    }
    assert {"--collect", "--into", "--group", "--selftest"} <= typed
    main(["board", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert typed <= known
