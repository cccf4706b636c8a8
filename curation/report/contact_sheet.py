"""Draws a contact sheet as one SVG: samples of a version, duplicates and conflicting labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from PIL import Image

from curation.dataset.findings import count_of
from curation.dataset.split_counts import splits_and_labels
from curation.report.excluded_gallery import Cluster, Evidence, find_clusters
from curation.report.summary import claim_words, find_conflicts
from curation.report.templates import render_template, shorten
from curation.report.tiles import data_uri, read_tile, sample_evenly
from curation.versions import Version

SIDE: Final = 64
GAP: Final = 6
COLUMNS: Final = 12
LEFT, TOP, HEAD, UNDER = 20, 24, 26, 15
PAIRS: Final = 3
CONFLICTS: Final = 3


@dataclass(frozen=True)
class Placed:
    """An image on the sheet: its place in pixels, and its data URI."""

    x: int
    y: int
    width: int
    height: int
    uri: str


@dataclass(frozen=True)
class Line:
    """A line of text on the sheet, its place in pixels."""

    x: int
    y: int
    text: str
    kind: str = "head"


def write_sheet(version: Version, *, evidence: Evidence) -> str:
    """Return the contact sheet: a row of images for each split and class, pairs of duplicates, images with two labels.

    Parameters
    ----------
    version : Version
        Its published images make the rows.
    evidence : Evidence
        The excluded images, as far as they are available.
    """
    placed: list[Placed] = []
    lines: list[Line] = []
    y = _rows(version, placed, lines, TOP)
    y = _pairs(version, evidence, placed, lines, y)
    values = {
        "width": LEFT * 2 + COLUMNS * (SIDE + GAP) - GAP,
        "height": y,
        "title": f"{version.name}@v{version.number}: images, duplicates and conflicting labels",
        "placed": placed,
        "lines": lines,
    }
    return render_template("sheet.svg.j2", values)


def _rows(version: Version, placed: list[Placed], lines: list[Line], y: int) -> int:
    samples = version.samples()
    for split, label in splits_and_labels(samples):
        part = samples.filter((pl.col("split") == split) & (pl.col("label") == label))
        paths = dict(part.select("id", "file").rows())
        names = sample_evenly(part["id"].to_list(), COLUMNS)
        lines.append(Line(LEFT, y + 12, f"{split}: {label}, {count_of(part.height, 'image')}"))
        strip = _join_tiles([read_tile(Path(paths[name]), SIDE) for name in names])
        placed.append(Placed(LEFT, y + HEAD - 6, strip.width, strip.height, data_uri(strip, quality=80)))
        y += HEAD + SIDE + GAP
    return y


def _join_tiles(tiles: Sequence[Image.Image]) -> Image.Image:
    """Return tiles next to one another with a gap, as one image: a dozen JPEG headers would weigh more."""
    strip = Image.new("RGB", (len(tiles) * (SIDE + GAP) - GAP, SIDE), (255, 255, 255))
    for number, tile in enumerate(tiles):
        strip.paste(tile, (number * (SIDE + GAP), 0))
    return strip


def _pairs(version: Version, evidence: Evidence, placed: list[Placed], lines: list[Line], y: int) -> int:
    clusters = find_clusters(version.manifest)
    usable = [each for each in clusters if {each.representative, each.duplicates[0].id} <= set(evidence.tiles)]
    conflicts = [each for each in find_conflicts(version.manifest.rows) if each.ids[0] in evidence.tiles]
    top = y + 8
    if usable:
        count = sum(len(each.duplicates) for each in clusters)
        lines.append(Line(LEFT, top + 12, f"{count_of(count, 'duplicate')} excluded, for example"))
        for number, cluster in enumerate(_varied(usable)[:PAIRS]):
            how = cluster.duplicates[0]
            tiles = [evidence.tiles[each].resize((SIDE, SIDE)) for each in (cluster.representative, how.id)]
            x = LEFT + number * (2 * SIDE + 3 * GAP)
            pair = _join_tiles(tiles)
            placed.append(Placed(x, top + HEAD - 6, pair.width, SIDE, data_uri(pair, quality=80)))
            lines.append(Line(x, top + HEAD + SIDE + 8, shorten(how.kind, 24), "small"))
    if conflicts:
        start = LEFT + PAIRS * (2 * SIDE + 3 * GAP) + 2 * GAP
        lines.append(Line(start, top + 12, f"{count_of(len(conflicts), 'image')} under two labels"))
        for number, conflict in enumerate(conflicts[:CONFLICTS]):
            x = start + number * (SIDE + 10 * GAP)
            image = evidence.tiles[conflict.ids[0]].resize((SIDE, SIDE))
            placed.append(Placed(x, top + HEAD - 6, SIDE, SIDE, data_uri(image, quality=80)))
            for row, claim in enumerate(conflict.claims[:2]):
                words = shorten(claim_words(claim), 20)
                lines.append(Line(x, top + HEAD + SIDE + 8 + row * 13, words, "small"))
    return top + HEAD + SIDE + 2 * UNDER + 14 if usable or conflicts else y + 8


def _varied(clusters: Sequence[Cluster]) -> list[Cluster]:
    """Return the clusters in an order that alternates between the kinds of duplicates."""
    seen: dict[str, int] = {}
    ranked = []
    for place, cluster in enumerate(clusters):
        how = cluster.duplicates[0].kind
        seen[how] = seen.get(how, 0) + 1
        ranked.append((seen[how], place, cluster))
    return [cluster for _, _, cluster in sorted(ranked, key=lambda each: each[:2])]
