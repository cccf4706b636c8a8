"""Writes the page of a version: one HTML file without a script; every string of the data is escaped."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
from PIL import Image

from curation.dataset.borderline import Borderline, read_borderline
from curation.dataset.finding_texts import AS_PUBLISHED
from curation.dataset.findings import NOTABLE_AUC, SEVERITIES, Audit
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, parse_recipe
from curation.dataset.split_counts import splits_and_labels
from curation.images.orientation import SYMMETRIES
from curation.report.excluded_gallery import (
    MAX_CLUSTERS,
    MAX_COMPARED,
    MAX_CONFLICTS,
    MAX_UNREADABLE,
    SIDE,
    Evidence,
    find_clusters,
    find_disputed,
    sample_pairs,
)
from curation.report.risk import assess_risk
from curation.report.sankey import count_flows, draw_flows
from curation.report.summary import ResolvedConflict, Summary, claim_words, find_resolved, summarize
from curation.report.templates import MAX_TEXT_LENGTH, read_resource, render_template
from curation.report.tiles import Sheets, Tile, pack_tiles, pack_within, read_tile, sample_evenly
from curation.report.version_diff import Changes
from curation.versions import Version

MAX_TILES: Final = 1200
"""Of more images the page shows so many, evenly spread over each split and class."""
MAX_GALLERIES: Final = 60
"""Of more splits and classes the page shows so many."""
SMALL_FROM: Final = 600
"""With more images the tiles are smaller."""
MAX_GALLERY_LENGTH, MAX_EVIDENCE_LENGTH = 1_200_000, 800_000
"""Characters of the sheets of published and of excluded images: the page stays below 3 MB for any size of set."""
MAX_COLUMNS: Final = 60
"""The columns of a table of splits and classes that are shown."""
MAX_NAMES: Final = 60
"""The number of names that are listed for a finding."""
ABOUT_ARCHIVE: Final[Mapping[str, Any]] = dict.fromkeys(("version", "licence", "doi", "citation"))
"""What a version may contain about an archive besides its name and sha256."""


@dataclass(frozen=True)
class Shown:
    """An image on the page: its tile, if there is one, and its caption."""

    tile: Tile | None
    name: str
    words: str = ""


@dataclass(frozen=True)
class Gallery:
    """The images of one split and class."""

    split: str
    label: str
    total: int
    tiles: tuple[Shown, ...]


def write_page(
    version: Version, recipe: Recipe, audit: Audit, *, evidence: Evidence | None = None, before: Changes | None = None
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    version : Version
        Published, or the temporary folder of a running build; its images are shown as tiles.
    audit : Audit
        Of that version.
    evidence : Evidence, optional
        The excluded images; without it they are only listed.
    before : Changes, optional
        What differs from the previous version.
    """
    grouped = [source.name for source in recipe.sources if source.group is not None]
    manifest, seen = version.manifest, evidence or Evidence()
    summary = summarize(manifest, classes=recipe.classes, grouped=grouped)
    galleries, sheets = show_galleries(version)
    proofs = pack_within(sorted(seen.tiles.items()), side=SIDE, quality=72, most=MAX_EVIDENCE_LENGTH)
    originals = {name: Tile(tile.sheet + len(sheets.uris), *_place(tile)) for name, tile in proofs.places.items()}
    tiles = {**sheets.places, **originals}
    first, second = count_flows(manifest.rows)
    values = {
        "style": read_resource("page.css"),
        "version": version,
        "description": version.description,
        "recipe": recipe,
        "summary": summary,
        "audit": audit,
        "severities": SEVERITIES,
        "risk": assess_risk(audit),
        "probes": audit.probes,
        "galleries": galleries,
        "hidden": hide_galleries(version),
        "sheets": list(zip(sheets.uris + proofs.uris, sheets.sizes + proofs.sizes, strict=True)),
        "flows": (*first, *second),
        "drawing": draw_flows(first, second),
        "clusters": _show_clusters(manifest, tiles),
        "conflicts": _show_conflicts(manifest, summary, tiles),
        "resolved": _show_resolved(find_resolved(manifest.rows, recipe.labels.class_of()), tiles),
        "disputes": [_shown(tiles, name) for name in find_disputed(manifest)[:MAX_CONFLICTS]],
        "strata": [crosstab for crosstab in audit.crosstabs if crosstab.unit == "pictures"],
        "shares": [crosstab for crosstab in audit.crosstabs if crosstab.unit == "share"],
        "published": AS_PUBLISHED,
        "notable": NOTABLE_AUC,
        "doubtful": _show_finding(audit, "labels-doubtful", tiles),
        "unreadable": summary.unreadable[:MAX_UNREADABLE],
        "calibration": calibrate(seen, recipe, tiles),
        "borderline": _show_borderline(read_borderline(version.folder), tiles),
        "quality": quality_histograms(audit.table),
        "before": before,
        "archives": [{**ABOUT_ARCHIVE, **archive} for archive in version.description.get("archives", [])],
        "named": MAX_NAMES,
        "sentences": MAX_TEXT_LENGTH,
        "max_conflicts": MAX_CONFLICTS,
        "max_columns": MAX_COLUMNS,
        "max_compared": MAX_COMPARED,
        "column": column,
    }
    return render_template("page.html.j2", values)


def read_recipe(version: Version) -> Recipe:
    """Return the recipe in a version's folder.

    Raises
    ------
    CurationError
        Where it is not valid or no longer valid.
    """
    path = version.folder / "recipe.toml"
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return parse_recipe(raw, name=version.name, base=version.folder, where=str(path))


def _place(tile: Tile) -> tuple[int, int, int]:
    return tile.left, tile.top, tile.side


def _shown(tiles: Mapping[str, Tile], name: str, words: str = "") -> Shown:
    return Shown(tiles.get(name), name, words)


def show_galleries(version: Version) -> tuple[tuple[Gallery, ...], Sheets]:
    """Return a gallery for each split and class, and the sheets with their tiles."""
    samples = version.samples().select("id", "split", "label", "file")
    side = 64 if samples.height <= SMALL_FROM else 40
    parts = samples.partition_by("split", "label", as_dict=True)
    pairs = splits_and_labels(samples)[:MAX_GALLERIES]
    share = min(1.0, MAX_TILES / max(1, samples.height))
    read = {pair: _read_tiles(parts[pair], share, side) for pair in pairs}
    while True:
        packed = [pack_tiles(tiles, side=side, quality=70) for tiles in read.values()]
        length = sum(sheets.length for sheets in packed)
        if length <= MAX_GALLERY_LENGTH or max(map(len, read.values())) == 1:
            break
        fewer = 0.95 * MAX_GALLERY_LENGTH / length
        read = {pair: sample_evenly(tiles, max(1, int(len(tiles) * fewer))) for pair, tiles in read.items()}
    galleries, sheets = [], Sheets()
    for (pair, tiles), own in zip(read.items(), packed, strict=True):
        sheets = sheets.append(own)
        names = (name for name, _ in tiles)
        galleries.append(Gallery(*pair, parts[pair].height, tuple(_shown(sheets.places, name) for name in names)))
    return tuple(galleries), sheets


def hide_galleries(version: Version) -> tuple[str, ...]:
    """Return the splits and classes that have no gallery on the page."""
    return tuple(f"{split}: {label}" for split, label in splits_and_labels(version.manifest.kept)[MAX_GALLERIES:])


def _read_tiles(part: pl.DataFrame, share: float, side: int) -> list[tuple[str, Image.Image]]:
    chosen = sample_evenly(part.select("id", "file").rows(), max(1, int(part.height * share)))
    return [(name, read_tile(Path(path), side)) for name, path in chosen]


def _show_clusters(manifest: Manifest, tiles: Mapping[str, Tile]) -> dict[str, Any]:
    clusters = find_clusters(manifest)
    shown = []
    for cluster in clusters[:MAX_CLUSTERS]:
        rest = len(cluster.duplicates) - 5
        shown.append(
            {
                "first": _shown(tiles, cluster.representative, "representative"),
                "others": [_shown(tiles, each.id, str(each)) for each in cluster.duplicates[:5]],
                "more": max(0, rest),
            }
        )
    return {"total": len(clusters), "files": sum(len(each.duplicates) for each in clusters), "shown": shown}


def _show_conflicts(manifest: Manifest, summary: Summary, tiles: Mapping[str, Tile]) -> list[tuple[Shown, str, str]]:
    kept = frozenset(manifest.kept["id"])
    shown = []
    for conflict in summary.conflicts[:MAX_CONFLICTS]:
        used = [name for name in conflict.ids if name in kept]
        words = " / ".join(map(claim_words, conflict.claims))
        shown.append((_shown(tiles, conflict.ids[0]), words, "used in this version" if used else "not used"))
    return shown


def _show_resolved(
    resolved: Sequence[ResolvedConflict], tiles: Mapping[str, Tile]
) -> list[tuple[Shown, ResolvedConflict]]:
    return [(_shown(tiles, next((name for name in each.ids if name in tiles), each.ids[0])), each) for each in resolved]


def _show_finding(audit: Audit, name: str, tiles: Mapping[str, Tile], *, most: int = 24) -> list[Shown]:
    found = next((finding for finding in audit.findings if finding.id == name), None)
    return [_shown(tiles, each) for each in found.which[:most]] if found else []


@dataclass(frozen=True)
class Distance:
    """The pairs at one distance: how many show the same image, how many do not, and a few of them."""

    bits: int
    same: int
    different: int
    inside: bool
    samples: tuple[tuple[Shown, Shown, float, bool], ...]


def _show_borderline(borderline: Borderline | None, tiles: Mapping[str, Tile]) -> dict[str, Any] | None:
    """Return the pairs that are nearly the same, those on either side of the limit; None where there are none."""
    if borderline is None or not borderline.count:
        return None
    sides = {
        same: [
            (_shown(tiles, pair.id), _shown(tiles, pair.other), pair) for pair in borderline.pairs if pair.same is same
        ]
        for same in (True, False)
    }
    return {"facts": borderline, "same": sides[True][::-1], "apart": sides[False], "orientations": SYMMETRIES}


def calibrate(evidence: Evidence, recipe: Recipe, tiles: Mapping[str, Tile]) -> dict[str, Any]:
    """Return the histogram of distances, a few pairs of each, and the thresholds."""
    rule = recipe.duplicates
    counts = evidence.pairs.group_by("distance").agg(pl.col("same").sum(), pl.len()).sort("distance")
    sampled = sample_pairs(evidence.pairs)
    steps = []
    for bits, same, count in counts.rows():
        pairs = sampled.filter(pl.col("distance") == bits).select("one", "other", "correlation", "same").rows()
        shown = tuple((_shown(tiles, one), _shown(tiles, other), float(like), same) for one, other, like, same in pairs)
        steps.append(Distance(bits, int(same), int(count - same), bits <= rule.radius, shown))
    most = max((max(each.same, each.different) for each in steps), default=1)
    last = max([rule.radius + 1, *(each.bits for each in steps)])
    bars = [(each, _log_share(each.same, most), _log_share(each.different, most)) for each in steps]
    return {"steps": steps, "bars": bars, "pairing": evidence.pairing, "rule": rule, "last": last}


def _log_share(count: int, most: int) -> float:
    """Return the height of a bar, 0 to 1, logarithmic: a few pairs must be visible next to thousands."""
    return math.log1p(count) / math.log1p(most)


QUALITY: Final = {
    "sharpness_fine": "sharpness (log)",
    "brightness": "brightness",
    "contrast": "contrast",
    "saturation": "saturation",
    "bytes_per_pixel": "bytes per pixel",
    "corners": "corners minus sides",
}


def quality_histograms(table: pl.DataFrame, *, bins: int = 24) -> list[dict[str, Any]]:
    """Return the distribution of a few measured values per class, each class's counts as shares of its largest bin."""
    if "bytes" not in table.columns:
        return []
    known, charts = table.filter(pl.col("bytes").is_not_null()), []
    for name, words in QUALITY.items():
        low, high = known[name].quantile(0.005) or 0.0, known[name].quantile(0.995) or 0.0
        if not known.height or high <= low:
            continue
        place = ((pl.col(name) - low) / (high - low) * bins).floor().clip(0, bins - 1).cast(pl.Int64)
        counted = known.group_by("label", place.alias("bin")).len()
        curves = []
        for label in sorted(known["label"].drop_nulls().unique()):
            own = dict(counted.filter(pl.col("label") == label).select("bin", "len").rows())
            top = max(own.values(), default=1)
            curves.append((label, [round(own.get(number, 0) / top, 3) for number in range(bins)]))
        charts.append({"name": words, "low": low, "high": high, "curves": curves})
    return charts


def column(values: Sequence[float], *, width: float, height: float) -> str:
    """Return an SVG path that draws values of 0 to 1 as a stepped area."""
    step = width / len(values)
    points = "".join(f"V{height * (1 - value):.1f}h{step:.2f}" for value in values)
    return f"M0 {height:.1f}{points}V{height:.1f}Z"
