"""A peer at the other end of a pseudo-terminal: it speaks the protocol, and makes the faults a real line makes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import threading
import tty
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from curation.board import Board, SerialPort
from curation.board.frames import Frame, prepare_frame

VERSION = {
    "type": "version",
    "protocol": 1,
    "firmware": "0.1.0",
    "model": "test-0",
    "data": "drawn@v1",
    "digest": "ab",
    "labels": ["melanoma", "healthy"],
    "alarm": "melanoma",
    "input": [96, 96, 3],
    "threshold": 0.8,
    "rows": True,
    "board": "peer",
}
SCORES = {
    "type": "scores",
    "frame": 1,
    "injected": False,
    "scores": {"melanoma": 0.9336, "healthy": 0.0664},
    "smoothed": {"melanoma": 0.8711, "healthy": 0.1289},
    "verdict": "melanoma",
    "led": "red blinking",
    "brightness": 131,
    "clipped": 0.0021,
    "sharpness": 412,
    "us": 36120,
}
_COLORS = ("white", "yellow", "cyan", "green", "magenta", "red", "blue", "black")
SELF_TEST = {
    **{"type": "selftest", "ok": True, "led": "ok", "camera": "ok", "pattern": "ok", "golden": "ok"},
    "order": "high first",
    "bars": [{"expected": color, "seen": [90, 80, 70], "ok": color != "cyan"} for color in _COLORS],
}
_RATES = {"pixel_clock_hz": 1000000, "line_ns": 1568000, "frame_us": 799680, "lines": 480}
BRING_UP = [
    {"type": "registers", "values": [[17, 15, 15], [18, 4, 4]]},
    {"type": "registers", "values": [[19, 231, 0]]},
    {"type": "rates", "measured": {**_RATES, "line_ns": 1580000, "lines": 479}, "documented": _RATES},
    {"type": "bring-up", "instruction_cache": 1, "watchdog": 0, "stack_bytes": 16384, "stack_used_bytes": 900},
]
SILENCE: list[bytes] = []


def say(message: object) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def draw_frame(seed: int = 0) -> Frame:
    """Draw a frame of noise."""
    return prepare_frame(np.random.default_rng(seed).integers(0, 256, (150, 200, 3), np.uint8))


def say_frame(frame: Frame) -> list[bytes]:
    """Return the lines of a frame."""
    rows = [say({"type": "row", "y": y, "data": base64.b64encode(frame.row(y)).decode()}) for y in range(144)]
    head = say({"type": "frame", "width": 176, "height": 144, "format": "rgb565be"})
    return [head, *rows, say({"type": "frame-end", "crc32": frame.crc32})]


class Script:
    """What a peer answers to each command: a well-behaved board, but for the commands that are given otherwise."""

    def __init__(self, **answers: object) -> None:
        self._answers = answers
        self.heard: list[str] = []
        self.injected = bytearray()

    def answer(self, line: str) -> list[bytes]:
        """Return the lines that answer one line; a list of lists is one answer a time, the last for ever."""
        self.heard.append(line)
        word = line.partition(" ")[0]
        if word in self._answers:
            given = self._answers[word]
            if callable(given):
                return given(line)
            if given and isinstance(given[0], list):
                return given.pop(0) if len(given) > 1 else given[0]
            return list(given)
        return self._behave(line, word)

    def _behave(self, line: str, word: str) -> list[bytes]:
        match word:
            case "":
                return []
            case "version":
                return [say(VERSION)]
            case "scores":
                return [say({"type": "done", "command": "scores"}), *([say(SCORES)] * 3)]
            case "frame":
                return say_frame(draw_frame())
            case "inject":
                self.injected.clear()
                return [say({"type": "ready", "width": 176, "height": 144})]
            case "row":
                _, y, text = line.split()
                self.injected += base64.b64decode(text)
                return [say({"type": "taken", "y": int(y)})]
            case "end":
                if f"{zlib.crc32(self.injected):08x}" != line.split()[1]:
                    return [say({"type": "error", "code": "bad-crc", "message": "the picture came damaged"})]
                return [say(SCORES), say({**SCORES, "injected": True})]
            case "golden":
                vector = {"type": "golden", "ok": True, "logits": [1, 2], "expected": [1, 2]}
                rows = [say({**vector, "vector": number}) for number in range(2)]
                return [*rows, say({"type": "golden-end", "passed": 2, "failed": 0})]
            case "lock":
                return [say({"type": "done", "command": "lock"})]
            case "selftest":
                return [say(SELF_TEST)]
            case "bring-up":
                return [say(line) for line in BRING_UP]
            case "timing":
                return [say({"type": "timing", "frames": 3, "capture_us": 2, "inference_us": 3, "loop_us": 4})]
        return [say({"type": "error", "code": "unknown-command", "message": word})]


@contextlib.contextmanager
def peer(script: Script) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give the name of a port with a peer at its other end, and a function that pulls the plug."""
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    stop, stopped = os.pipe()
    lines = b""
    plug, pulled = threading.Lock(), threading.Event()

    def live() -> None:
        try:
            answer_for_ever()
        except OSError:  # the plug was pulled while it waited or wrote
            if not pulled.is_set():
                raise

    def answer_for_ever() -> None:
        nonlocal lines
        while True:
            ready, _, _ = select.select([master, stop], [], [])
            if stop in ready:
                return
            lines += os.read(master, 4096)
            *whole, lines = lines.split(b"\n")
            for line in whole:
                for reply in script.answer(line.decode("ascii", "replace")):
                    if select.select([stop], [], [], 0)[0]:
                        return
                    os.write(master, reply)

    thread = threading.Thread(target=live, daemon=True)
    thread.start()

    def unplug() -> None:
        with plug:
            if pulled.is_set():
                return
            pulled.set()
            os.write(stopped, b"x")
            os.close(slave)
            os.close(master)

    try:
        yield name, unplug
    finally:
        os.write(stopped, b"x")
        # A peer that is still writing is read until it has heard that it is over.
        while thread.is_alive():
            if not pulled.is_set() and select.select([slave], [], [], 0.05)[0]:
                os.read(slave, 65536)
            thread.join(0.05)
        unplug()
        for descriptor in (stop, stopped):
            os.close(descriptor)


@contextlib.contextmanager
def board_at(script: Script, *, told: list[str] | None = None, timeout_factor: float = 1.0) -> Iterator[Board]:
    """Give a board at the other end of a pseudo-terminal; only a test of silence has reason to be impatient."""
    with peer(script) as (name, _):
        port = SerialPort(name)
        try:
            yield Board(port, notify=(told if told is not None else []).append, timeout_factor=timeout_factor)
        finally:
            port.close()
