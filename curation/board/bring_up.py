"""The bring-up of a board: each documented property next to what was measured, as text or as a page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from curation.board.frames import Frame, encode_png
from curation.board.messages import BoardVersion, BringUpEnd, Golden, Rates, SelfTest, Timing

RATE_TOLERANCE = 0.03
"""A measured rate may differ by this share; the board's own clock and the sensor's are the same."""
IMAGE_FRAMES = 2
"""An image may take the time of this many frames."""


@dataclass(frozen=True)
class BringUp:
    """What a board found out about itself.

    Parameters
    ----------
    version : BoardVersion
    tested : SelfTest
    registers : tuple of (int, int, int)
        Address, expected value and the value read back.
    rates : Rates, optional
        None without a camera whose signals can be measured.
    facts : BringUpEnd
    golden : tuple of Golden
    timing : Timing
    frame : Frame, optional
    """

    version: BoardVersion
    tested: SelfTest
    registers: tuple[tuple[int, int, int], ...]
    rates: Rates | None
    facts: BringUpEnd
    golden: tuple[Golden, ...]
    timing: Timing
    frame: Frame | None


@dataclass(frozen=True)
class Fact:
    """One property of the board.

    Parameters
    ----------
    name, expected, seen : str
    ok : bool, optional
        None where it is only reported, or could not be measured.
    """

    name: str
    expected: str
    seen: str
    ok: bool | None


def list_facts(found: BringUp) -> tuple[Fact, ...]:
    """Return every property that the documentation promises, with what was seen, in the order of the page."""
    return (*_camera_facts(found), *_signal_facts(found), *_board_facts(found))


def _camera_facts(found: BringUp) -> Iterator[Fact]:
    tested = found.tested
    yield Fact("camera", "ok", tested.camera, tested.camera == "ok")
    wrong = [
        f"0x{at:02X} is 0x{seen:02X}, not 0x{expected:02X}"
        for at, expected, seen in found.registers
        if expected != seen
    ]
    if found.registers:
        shown = "; ".join(wrong[:8]) + ("; ..." if len(wrong) > 8 else "")
        yield Fact("registers read back", f"{len(found.registers)} equal", shown or "all equal", not wrong)
    yield Fact("color bars", "ok", tested.pattern, tested.pattern == "ok")
    if tested.order:
        known = tested.order in ("high first", "low first")
        yield Fact("order of a pixel's bytes", "high first", tested.order, known)
    for number, bar in enumerate(tested.bars, start=1):
        yield Fact(f"bar {number}", bar.expected, ", ".join(map(str, bar.seen)), bar.ok)


def _signal_facts(found: BringUp) -> Iterator[Fact]:
    if found.rates is None:
        yield Fact("signals of the camera", "measured", "not measured", None)
        return
    seen, documented = found.rates.measured, found.rates.documented
    for name, unit, one, other in (
        ("PCLK in a line", "Hz", documented.pixel_clock_hz, seen.pixel_clock_hz),
        ("HREF, one line", "ns", documented.line_ns, seen.line_ns),
        ("VSYNC, one frame", "us", documented.frame_us, seen.frame_us),
    ):
        yield Fact(name, f"{one:,} {unit}", f"{other:,} {unit}", abs(other - one) <= RATE_TOLERANCE * one)
    yield Fact("lines of a frame", str(documented.lines), str(seen.lines), seen.lines == documented.lines)


def _board_facts(found: BringUp) -> Iterator[Fact]:
    facts, timing = found.facts, found.timing
    if facts.instruction_cache is not None:
        yield Fact("instruction cache", "on", "on" if facts.instruction_cache else "off", bool(facts.instruction_cache))
    if facts.watchdog is not None:
        yield Fact("watchdog with a PC", "off", "on" if facts.watchdog else "off", not facts.watchdog)
    right = sum(vector.ok for vector in found.golden)
    yield Fact("golden vectors", f"{len(found.golden)} equal", f"{right} equal", right == len(found.golden))
    if timing.lines_lost is not None:
        yield Fact("sensor lines lost in an image", "few of 432", str(timing.lines_lost), None)
    frame_us = found.rates.documented.frame_us if found.rates else 0
    yield Fact("inference", "", f"{timing.inference_us:,} us", None)
    if timing.row_us is not None:
        yield Fact("heaviest row", "", f"{timing.row_us:,} us", None)
    limit = IMAGE_FRAMES * frame_us
    shown = f"at most {limit:,} us" if limit else ""
    yield Fact("image and verdict", shown, f"{timing.loop_us:,} us", timing.loop_us <= limit if limit else None)
    if facts.stack_bytes is not None and facts.stack_used_bytes is not None:
        free = facts.stack_bytes - facts.stack_used_bytes
        yield Fact("free stack", "more than 0 B", f"{free:,} of {facts.stack_bytes:,} B", free > 0)


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; }
td.ok { color: #176f2c; } td.wrong { color: #b3261e; font-weight: 600; } td.open { color: #666; }
img { image-rendering: pixelated; width: 352px; height: 288px; border: 1px solid #999; }
.bar { display: inline-block; width: 1em; height: 1em; border: 1px solid #999; vertical-align: -.15em; }
"""


def write_page(found: BringUp) -> str:
    """Return one HTML page without parts from elsewhere, which can be sent as it is."""
    facts = list_facts(found)
    wrong = [fact.name for fact in facts if fact.ok is False]
    verdict = (
        "Everything that was measured is as documented." if not wrong else f"Not as documented: {', '.join(wrong)}."
    )
    version = found.version
    return "\n".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>Bring-up of {escape(version.board)}</title><style>{_STYLE}</style>",
            f"<h1>Bring-up of {escape(version.board)}</h1>",
            f"<p>Firmware {escape(version.firmware)}, model {escape(version.model)}, "
            f"trained on {escape(version.dataset)}, {'row by row' if version.rows else 'whole frames'}.</p>",
            f"<p><strong>{escape(verdict)}</strong></p>",
            "<table><tr><th>property<th>as documented<th>as seen<th></tr>",
            *(_write_row(fact) for fact in facts),
            "</table>",
            "<p>The board cannot see its own light: at the start it shows red, green and blue, in this order.</p>",
            _write_image(found.frame),
            "<h2>Registers</h2>" if found.registers else "",
            ", ".join(f"0x{at:02X}=0x{seen:02X}" for at, _, seen in found.registers),
            "</html>\n",
        )
    )


def _write_row(fact: Fact) -> str:
    kind, word = {True: ("ok", "ok"), False: ("wrong", "differs"), None: ("open", "")}[fact.ok]
    cells = "".join(f"<td>{escape(text)}" for text in (fact.name, fact.expected, fact.seen))
    return f'<tr>{cells}<td class="{kind}">{word}</tr>'


def _write_image(frame: Frame | None) -> str:
    if frame is None:
        return "<p>The camera gave no image.</p>"
    data = b64encode(encode_png(frame)).decode("ascii")
    return f'<h2>An image</h2><img alt="the camera\'s image" src="data:image/png;base64,{data}">'
