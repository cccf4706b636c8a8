"""The live view in Chromium: it replays a session of the real firmware, and speaks with it over a serial port."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from curation.board import SerialPort, prepare_frame
from tests.board.firmwares import build_for_host, run_on_host, write_frames
from tests.firmware.builds import FIRMWARE
from tests.firmware.test_application import run
from tests.review.browsing import open_chromium
from tests.review.conftest import CHROMIUM, SCREENS

pytestmark = pytest.mark.slow
PAGE = FIRMWARE / "live.html"

# The browser's port, whose other end is the real firmware on a pseudo-terminal.
BRIDGE = """
Object.defineProperty(navigator, "serial", {value: {requestPort: async () => ({
  open: async () => {}, setSignals: async () => {}, close: async () => {},
  readable: new ReadableStream({async pull(controller) {
    controller.enqueue(Uint8Array.from(atob(await window.readPort()), (character) => character.charCodeAt(0)));
  }}),
  writable: new WritableStream({write: (chunk) => window.writePort(String.fromCharCode(...chunk))}),
})}});
"""


@pytest.fixture(scope="module")
def page():
    """Open the page once, without a network."""
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e '.[dev]'")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM} (Debian: apt-get install chromium)")
    with open_chromium(CHROMIUM) as browser:
        context = browser.new_context(viewport={"width": 1100, "height": 820}, offline=True)
        context.add_init_script(BRIDGE)
        opened = context.new_page()
        opened.goto(PAGE.as_uri())
        yield opened
        context.close()


@pytest.fixture(scope="module")
def frame():
    """Draw a frame with structure."""
    blocks = np.random.default_rng(4).integers(0, 256, (24, 30, 3), np.uint8)
    return prepare_frame(np.repeat(np.repeat(blocks, 6, axis=0), 6, axis=1))


@pytest.fixture(scope="module")
def session(frame, tmp_path_factory) -> Path:
    """Record what the firmware sends: its start, scores, and a frame."""
    folder = tmp_path_factory.mktemp("session")
    frames = write_frames(folder / "frames", [frame])
    output = run(build_for_host(rows=True).program, frames, script="2500 frame\n2900 timing\n", until=4000)
    lines = [f"{2 * number} < {json.dumps(line, separators=(',', ':'))}" for number, line in enumerate(output.lines)]
    path = folder / "drawn.session"
    path.write_text("\n".join([*lines, "9000 < {torn line", ""]))
    return path


def read_pixels(page) -> np.ndarray:
    """Return what the canvas shows: (144, 176, 3) uint8."""
    text = page.evaluate(
        "(() => { const data = document.getElementById('image').getContext('2d').getImageData(0, 0, 176, 144).data;"
        " let text = ''; for (const byte of data) text += String.fromCharCode(byte); return btoa(text); })()"
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(144, 176, 4)[..., :3]


def test_a_replayed_session_shows_image_scores_light_and_sharpness(page, session, frame):
    """Every pixel is the frame's; verdict, light and sharpness are the last scores'; a torn line is counted."""
    messages = [json.loads(line.partition(" < ")[2]) for line in session.read_text().splitlines()[:-1]]
    last = next(message for message in reversed(messages) if message["type"] == "scores")
    page.set_input_files("#replay", session)
    page.get_by_text("Replayed").wait_for()
    assert page.inner_text("#verdict") == last["verdict"]
    assert page.get_attribute("#light", "aria-label") == f"light: {last['led']}"
    assert f"now {last['sharpness']}" in page.inner_text("#sharpness")
    for label, share in last["smoothed"].items():
        assert f"{label} {100 * share:.1f} %" in page.inner_text("#scores")
    assert re.search(r"1 frames, 1 lines that could not be read", page.inner_text("#note"))
    np.testing.assert_array_equal(read_pixels(page), frame.pixels)
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / "live-view.png")


def test_a_damaged_frame_is_reported_and_not_shown(page, session, frame, tmp_path):
    """A changed CRC leaves the image as it was."""
    before = read_pixels(page)
    wrong = session.read_text().replace(frame.crc32, "00000000")
    (tmp_path / "wrong.session").write_text(wrong.replace('"y":3,', '"y":3 ,'))
    page.set_input_files("#replay", tmp_path / "wrong.session")
    page.get_by_text("Replayed").wait_for()
    assert page.evaluate("liveView.frames") == 0
    np.testing.assert_array_equal(read_pixels(page), before)


def test_another_file_is_refused(page, tmp_path):
    """The note gives the form of a line."""
    (tmp_path / "notes.txt").write_text("hello\n")
    page.set_input_files("#replay", tmp_path / "notes.txt")
    page.get_by_text("This file is not a session").wait_for()


def test_the_page_speaks_with_the_firmware(page, frame, tmp_path):
    """Connected to the real firmware, it shows scores and requests frames, and saves what it received as a session."""
    frames = write_frames(tmp_path / "frames", [frame])
    with run_on_host(build_for_host(rows=True).program, "--camera", frames) as (name, _):
        port = SerialPort(name)
        page.expose_function("readPort", lambda: base64.b64encode(port.read(0.05)).decode())
        page.expose_function("writePort", lambda text: port.write(text.encode()))
        page.click("#connect")
        for _ in range(600):
            page.wait_for_timeout(100)
            if page.evaluate("liveView.frames >= 2 && liveView.scored >= 2"):
                break
        assert "drawn@v1" in page.inner_text("#facts")
        np.testing.assert_array_equal(read_pixels(page), frame.pixels)
        lines = page.evaluate("liveView.session")
        page.click("#stop")
        page.get_by_text("Disconnected.").wait_for()
        port.close()
    assert all(re.fullmatch(r"\d+ < .+", line) for line in lines)
    assert any('"type":"frame-end"' in line for line in lines)


def test_the_page_needs_nothing_from_elsewhere():
    """It refers to no host and no other file, and its policy forbids both."""
    text = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"https?:|(?:src|href)=", text)
    assert "default-src 'none'" in text
    assert "melanoma" not in text.lower()
