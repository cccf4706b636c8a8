"""The live view of a board: scores as bars, the verdict in the LED's color, and the camera's image."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from curation.cli_runner import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from curation.board import BoardVersion, Scores

_BAR_CELLS = 40
_OTHER_LINES = 10
"""The lines of the view without the image."""


class Lines:
    """One line per image, for pipes and files: text, or the board's JSON. No image is requested."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, scores: "Scores") -> None:
        """Print one line without delay."""
        typer.echo(scores.model_dump_json(exclude_none=True) if self._as_json else describe(scores))
        sys.stdout.flush()

    def wants_image(self, every_s: float) -> bool:
        """Return False: images are not printed."""
        return False

    def show_image(self, packed: bytes | None) -> None:
        """Show nothing."""


class Panel:
    """A terminal's live view."""

    def __init__(self, version: "BoardVersion") -> None:
        from rich.live import Live

        self._version = version
        self._image: Text | None = None
        self._due = time.monotonic()
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the last view on the screen."""
        self._live.stop()

    def show(self, scores: "Scores") -> None:
        """Draw the scores of one image, and the last image."""
        self._live.update(draw_view(self._version, scores, self._image), refresh=True)

    def wants_image(self, every_s: float) -> bool:
        """Return whether the last image is old enough to be replaced."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + every_s
        return True

    def show_image(self, packed: bytes | None) -> None:
        """Draw a frame from the next scores on, or none."""
        columns, lines = self._live.console.size
        self._image = (
            None if packed is None else draw_image(packed, columns=columns, lines=max(1, lines - _OTHER_LINES))
        )


def draw_view(version: "BoardVersion", scores: "Scores", image: "Text | None") -> "RenderableType":
    """Return the whole view: the board, its scores and the image."""
    from rich.console import Group
    from rich.text import Text

    who = f"{version.board}, firmware {version.firmware}, model {version.model}, trained on {version.dataset}"
    shown = [] if image is None else [Text(), image]
    end = Text("Ctrl-C ends. Not a medical device.", style="dim")
    return Group(Text(clean(who)), Text(), *draw_scores(scores), *shown, end)


def draw_scores(scores: "Scores") -> "list[RenderableType]":
    """Return the verdict, a bar for each label, and the quality of the image."""
    from rich.text import Text

    lines = [Text(f" {clean(scores.verdict)} ", style=f"reverse {_style_of(scores.led)}")]
    lines[0].append(f"  LED {scores.led}", style="not reverse")
    width = max((len(label) for label in scores.scores or {}), default=0)
    for label, share in sorted((scores.smoothed or scores.scores or {}).items()):
        full = round(max(0.0, min(1.0, share)) * _BAR_CELLS)
        lines.append(Text(f"{clean(label):<{width}}  {'█' * full}{'░' * (_BAR_CELLS - full)} {share:6.1%}"))
    facts = {
        "brightness": scores.brightness,
        "sharpness": scores.sharpness,
        "clipped": None if scores.clipped is None else f"{scores.clipped:.1%}",
        "inference": None if scores.us is None else f"{scores.us / 1000:.1f} ms",
    }
    facts_text = "  ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    return [*lines, Text(f"image {scores.frame}  {facts_text}", style="dim")]


def _style_of(led: str) -> str:
    color, _, blinking = led.partition(" ")
    return "dim" if color == "off" else f"bold {color}" if blinking else color


def draw_image(packed: bytes, *, columns: int, lines: int) -> "Text":
    """Draw a frame with half blocks, as large as fits; each cell shows two pixels, one above the other.

    Parameters
    ----------
    packed : bytes
        50,688 bytes, RGB565.
    columns, lines : int
        The available space, in cells.
    """
    from rich.text import Text

    from curation.board import Frame
    from curation.images import area_average

    pixels = Frame(packed).pixels
    height, width = pixels.shape[:2]
    scale = min(1.0, columns / width, 2 * lines / height)
    down, across = max(1, int(height * scale / 2)), max(1, int(width * scale))
    small = area_average(pixels, height=2 * down, width=across, axis=0)
    drawn = Text()
    for upper, lower in zip(small[0::2].tolist(), small[1::2].tolist(), strict=True):
        for (r, g, b), (red, green, blue) in zip(upper, lower, strict=True):
            drawn.append("▀", style=f"rgb({r},{g},{b}) on rgb({red},{green},{blue})")
        drawn.append("\n")
    return drawn


def describe(scores: "Scores") -> str:
    """Return the board's result for an image, in one line."""
    parts = [
        f"{label} {score:.1%}" for label, score in sorted((scores.scores or {}).items(), key=lambda pair: -pair[1])
    ]
    parts += [f"inference {scores.us / 1000:.1f} ms"] if scores.us is not None else []
    return clean(f"{scores.verdict} (LED {scores.led})" + (f": {', '.join(parts)}" if parts else ""))
