"""What a person watches: a board's scores as bars, its verdict in the LED's colour, and the camera's picture."""

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

_COLOURS = {"green": "green", "red": "red", "red blinking": "bold red", "blue": "blue", "off": "dim"}
_BAR_CELLS = 40
_LINES_BESIDE = 10
"""Lines of the view that are no picture."""


class Lines:
    """One line a picture, for pipes and files: text, or JSON as the board says it; no picture is asked for."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, scores: "Scores") -> None:
        """Print one line, at once."""
        typer.echo(scores.model_dump_json(exclude_none=True) if self._as_json else describe(scores))
        sys.stdout.flush()

    def wants_picture(self, every_s: float) -> bool:
        """Never: a picture is no line."""
        return False

    def show_picture(self, packed: bytes | None) -> None:
        """Show nothing."""


class Panel:
    """A terminal's live view."""

    def __init__(self, version: "BoardVersion") -> None:
        from rich.live import Live

        self._version = version
        self._picture: Text | None = None
        self._due = time.monotonic()
        self._live = Live(auto_refresh=False)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last view on the screen."""
        self._live.stop()

    def show(self, scores: "Scores") -> None:
        """Draw the scores of one picture, and the last picture."""
        self._live.update(draw_view(self._version, scores, self._picture), refresh=True)

    def wants_picture(self, every_s: float) -> bool:
        """Tell whether the last picture is old enough."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + every_s
        return True

    def show_picture(self, packed: bytes | None) -> None:
        """Draw a frame from the next scores on, or none."""
        columns, lines = self._live.console.size
        self._picture = (
            None if packed is None else draw_picture(packed, columns=columns, lines=max(1, lines - _LINES_BESIDE))
        )


def draw_view(version: "BoardVersion", scores: "Scores", picture: "Text | None") -> "RenderableType":
    """Return all that a person sees: who speaks, the scores, the picture."""
    from rich.console import Group
    from rich.text import Text

    who = f"{version.board}, firmware {version.firmware}, model {version.model}, trained on {version.dataset}"
    shown = [] if picture is None else [Text(), picture]
    end = Text("Ctrl-C ends. Not a medical device.", style="dim")
    return Group(Text(clean(who)), Text(), *draw_scores(scores), *shown, end)


def draw_scores(scores: "Scores") -> "list[RenderableType]":
    """Return the verdict, a bar a label, and what the picture is like."""
    from rich.text import Text

    lines = [Text(f" {clean(scores.verdict)} ", style=f"reverse {_COLOURS[scores.led]}")]
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
    told = "  ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    return [*lines, Text(f"picture {scores.frame}  {told}", style="dim")]


def draw_picture(packed: bytes, *, columns: int, lines: int) -> "Text":
    """Draw a frame with half blocks, as large as fits; of each cell the upper and the lower half is one pixel.

    Parameters
    ----------
    packed : bytes
        50,688 of them, RGB565.
    columns, lines : int
        What room there is, in cells.
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
    """Say what the board made of a picture, in one line."""
    parts = [
        f"{label} {score:.1%}" for label, score in sorted((scores.scores or {}).items(), key=lambda pair: -pair[1])
    ]
    parts += [f"inference {scores.us / 1000:.1f} ms"] if scores.us is not None else []
    return clean(f"{scores.verdict} (LED {scores.led})" + (f": {', '.join(parts)}" if parts else ""))
