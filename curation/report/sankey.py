"""Counts the files of a build from source to split, and lays the flow out as a Sankey diagram."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from curation.dataset.manifest import has_reason, is_excluded_by, is_not_image
from curation.dataset.split_counts import splits_and_labels
from curation.reasons import Reason

FATES: Final = (
    (has_reason(Reason.SYSTEM_FILE, Reason.PROGRAM_FOLDER), "system files"),
    (has_reason(Reason.METADATA_FILE), "metadata files"),
    (is_not_image(), "unreadable"),
    (is_excluded_by("decide"), "excluded by a reviewer"),
    (is_excluded_by("quality"), "poor quality"),
    (is_excluded_by("dedup"), "duplicates"),
    (has_reason(Reason.CONTEXT_CLASS), "other classes"),
    (has_reason(Reason.DISPUTED, Reason.DISPUTED_HELD_OUT, Reason.DISPUTED_NOT_NEEDED), "two labels, not needed"),
    (has_reason(Reason.SURPLUS), "surplus"),
)
"""What happened to excluded files, for readers who do not know the program; the first that applies."""
OTHER: Final = "excluded for other reasons"
KEPT: Final = "kept"

WIDTH, HEIGHT = 900, 360
BAR, GAP, WORDS = 12, 14, 16


@dataclass(frozen=True)
class Flow:
    """A number of files that go from one box to the next."""

    start: str
    end: str
    files: int


@dataclass(frozen=True)
class Box:
    """A box of the drawing; position and height in pixels of the drawing."""

    name: str
    files: int
    column: int
    x: float
    y: float
    height: float
    tone: str


@dataclass(frozen=True)
class Ribbon:
    """A flow of the drawing: an SVG path, its width in pixels, and its title."""

    path: str
    width: float
    tone: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """The whole flow."""

    boxes: tuple[Box, ...]
    ribbons: tuple[Ribbon, ...]
    width: int = WIDTH
    height: int = HEIGHT


def count_flows(rows: pl.DataFrame) -> tuple[tuple[Flow, ...], tuple[Flow, ...]]:
    """Return how many files go from each source to each fate, and how many kept ones to each split and class."""
    fate: pl.Expr = pl.lit(OTHER)
    for applies, words in reversed(FATES):
        fate = pl.when(applies).then(pl.lit(words)).otherwise(fate)
    fate = pl.when(pl.col("excluded_by").is_null()).then(pl.lit(KEPT)).otherwise(fate)
    rows = rows.select("source", "label", "split", fate=fate)
    first = rows.group_by("source", "fate").len().sort("source", "fate").rows()
    kept = rows.filter(pl.col("fate") == KEPT)
    counts = {(split, label): count for split, label, count in kept.group_by("split", "label").len().rows()}
    return (
        tuple(Flow(*row) for row in first),
        tuple(Flow(KEPT, f"{split}: {label}", counts[split, label]) for split, label in splits_and_labels(kept)),
    )


def draw_flows(first: Sequence[Flow], second: Sequence[Flow]) -> Drawing:
    """Lay the flows out in three columns: sources, fates, splits; kept files on top."""
    fates = sorted({flow.end for flow in first}, key=lambda name: (name != KEPT, name))
    columns = [
        _sums(first, sorted({flow.start for flow in first}), at="start"),
        _sums(first, fates, at="end"),
        _sums(second, list(dict.fromkeys(flow.end for flow in second)), at="end"),
    ]
    total = max(1, sum(files for _, files in columns[0]))
    most = max(len(column) for column in columns)
    scale = (HEIGHT - GAP * (most + 1) - 10) / total
    boxes = {box.name: box for number, column in enumerate(columns) for box in _stack(column, number, scale)}
    used: dict[tuple[str, str], float] = {}
    ribbons = [_ribbon(flow, boxes, used, scale) for flow in sorted(first, key=lambda each: fates.index(each.end))]
    ribbons += [_ribbon(flow, boxes, used, scale) for flow in second]
    # The text of a box of few files is taller than the box, so a column of many such boxes may be taller than HEIGHT.
    lowest = max((box.y + max(box.height, WORDS) for box in boxes.values()), default=0.0)
    return Drawing(tuple(boxes.values()), tuple(ribbons), height=max(HEIGHT, math.ceil(lowest) + 8))


def _sums(flows: Sequence[Flow], names: Sequence[str], *, at: str) -> list[tuple[str, int]]:
    return [(name, sum(flow.files for flow in flows if getattr(flow, at) == name)) for name in names]


def _stack(column: Sequence[tuple[str, int]], number: int, scale: float) -> list[Box]:
    boxes, y = [], 8.0
    x = (0, 330, 640)[number]
    for name, files in column:
        height = max(2.0, files * scale)
        tone = "source" if number == 0 else "kept" if name == KEPT or number == 2 else "out"
        boxes.append(Box(name, files, number, x, round(y, 1), round(height, 1), tone))
        y += max(height, WORDS) + GAP
    return boxes


def _ribbon(flow: Flow, boxes: dict[str, Box], used: dict[tuple[str, str], float], scale: float) -> Ribbon:
    start, end = boxes[flow.start], boxes[flow.end]
    width = max(1.0, flow.files * scale)
    top, bottom = used.get((flow.start, "out"), 0.0), used.get((flow.end, "in"), 0.0)
    used[flow.start, "out"], used[flow.end, "in"] = top + flow.files * scale, bottom + flow.files * scale
    y0, y1 = start.y + top + width / 2, end.y + bottom + width / 2
    x0, x1 = start.x + BAR, end.x
    bend = (x1 - x0) / 2
    path = f"M{x0:.1f} {y0:.1f}C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    tone = "kept" if end.tone == "kept" else "out"
    return Ribbon(path, round(width, 1), tone, f"{flow.files:,} from {flow.start} to {flow.end}")
