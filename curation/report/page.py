"""The page of a version: one HTML file without a script, from values alone; every string of the data is escaped."""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import polars as pl
from markupsafe import Markup, escape

from curation.dataset.finding_texts import AS_PUBLISHED
from curation.dataset.findings import NOTABLE_AUC, SEVERITIES, Audit, Finding, Probe
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, parse_recipe
from curation.report.excluded_gallery import (
    MOST_CONFLICTS,
    MOST_GROUPS,
    MOST_UNREADABLE,
    SIDE,
    Evidence,
    disputed,
    find_clusters,
    sample_pairs,
)
from curation.report.sankey import draw_flows, tell_flows
from curation.report.summary import Settled, Summary, find_settled, summarise
from curation.report.tiles import Sheets, Tile, lay_out, read_tile, thin_out
from curation.report.version_diff import Changes
from curation.versions import Version

MOST_TILES: Final = 3000
"""Of more pictures the page shows so many, evenly spread over each split and class."""
SMALL_FROM: Final = 1200
"""With more pictures the tiles are smaller, so that the page stays under five megabytes."""
NAMED: Final = 60
"""How many names a finding spells out."""
LONGEST: Final = 90
"""Longer names are cut in their middle."""
SENTENCES: Final = 3000
"""What the audit says is read to its end: only past this, which no check reaches, is text cut."""
ABOUT_ARCHIVE: Final[Mapping[str, Any]] = dict.fromkeys(("version", "licence", "doi", "citation"))
"""What a version may say of an archive besides its name and sha256."""


@dataclass(frozen=True)
class Shown:
    """A picture on the page: its tile, if there is one, and what stands under it."""

    tile: Tile | None
    name: str
    words: str = ""


@dataclass(frozen=True)
class Gallery:
    """The pictures of one split and class."""

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
        Published, or the temp folder of a build under way; its pictures are shown small.
    audit : Audit
        Of that version.
    evidence : Evidence, optional
        What is shown of the excluded pictures; without it they are told in words alone.
    before : Changes, optional
        What differs from the version before.
    """
    from jinja2 import Environment, StrictUndefined

    grouped = [source.name for source in recipe.sources if source.group is not None]
    manifest, seen = version.manifest, evidence or Evidence()
    summary = summarise(manifest, classes=recipe.classes, grouped=grouped)
    galleries, sheets = show_samples(version)
    proofs = lay_out(sorted(seen.tiles.items()), side=SIDE, quality=72)
    originals = {name: Tile(tile.sheet + len(sheets.uris), *_place(tile)) for name, tile in proofs.places.items()}
    tiles = {**sheets.places, **originals}
    room = files("curation.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "short": shorten,
        "file": file_of,
        "folder": folder_of,
        "percent": percent,
        "coded": mark_code,
        "count": lambda number: f"{number:,}",
    }
    template = environment.from_string((room / "page.html.j2").read_text(encoding="utf-8"))
    first, second = tell_flows(manifest.rows)
    return template.render(
        style=(room / "page.css").read_text(encoding="utf-8"),
        version=version,
        description=version.description,
        recipe=recipe,
        summary=summary,
        audit=audit,
        severities=SEVERITIES,
        verdict=tell_risk(audit),
        probes=audit.probes,
        galleries=galleries,
        sheets=list(zip(sheets.uris + proofs.uris, sheets.sizes + proofs.sizes, strict=True)),
        flows=(*first, *second),
        drawing=draw_flows(first, second),
        clusters=_show_clusters(manifest, tiles),
        conflicts=_show_conflicts(manifest, summary, tiles),
        settled=_show_settled(find_settled(manifest.rows, recipe.labels.class_of()), tiles),
        disputes=[_shown(tiles, name) for name in disputed(manifest)[:MOST_CONFLICTS]],
        strata=[crosstab for crosstab in audit.crosstabs if crosstab.unit == "pictures"],
        shares=[crosstab for crosstab in audit.crosstabs if crosstab.unit == "share"],
        published=AS_PUBLISHED,
        notable=NOTABLE_AUC,
        doubtful=_show_finding(audit, "labels-doubtful", tiles),
        unreadable=summary.unreadable[:MOST_UNREADABLE],
        calibration=calibrate(seen, recipe, tiles),
        quality=tell_quality(audit.table),
        before=before,
        archives=[{**ABOUT_ARCHIVE, **archive} for archive in version.description.get("archives", [])],
        named=NAMED,
        sentences=SENTENCES,
        most_conflicts=MOST_CONFLICTS,
        column=column,
    )


def read_recipe(version: Version) -> Recipe:
    """Return the recipe that stands in a version's folder.

    Raises
    ------
    CurationError
        Where it is not valid (any more).
    """
    path = version.folder / "recipe.toml"
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return parse_recipe(raw, name=version.name, base=version.folder, where=str(path))


def shorten(text: object, longest: int = LONGEST) -> str:
    """Return text of one line, cut in its middle where it is long: the end of a path tells more than its middle."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    return plain if len(plain) <= longest else f"{plain[: longest // 3]}…{plain[-(longest - longest // 3 - 1) :]}"


def file_of(name: object, longest: int = 34) -> str:
    """Return the last part of an id: the file."""
    return shorten(str(name).rpartition("/")[2], longest)


def folder_of(name: object, longest: int = 34) -> str:
    """Return the last folder of an id, which tells more than where the archive lies."""
    return shorten(str(name).rpartition("/")[0].rpartition("/")[2], longest)


def percent(share: float) -> str:
    """Return a share as a percentage: nothing at all is told apart from next to nothing."""
    return f"{100 * share:.1f} %" if share else "0"


def mark_code(text: object, longest: int = SENTENCES) -> Markup:
    """Return escaped text, begun with a capital, what stands between backticks as code."""
    plain = shorten(text, longest)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(plain[:1].upper() + plain[1:]))))  # noqa: S704  # escaped before the tags are put in


def _place(tile: Tile) -> tuple[int, int, int]:
    return tile.left, tile.top, tile.side


def _shown(tiles: Mapping[str, Tile], name: str, words: str = "") -> Shown:
    return Shown(tiles.get(name), name, words)


def show_samples(version: Version) -> tuple[tuple[Gallery, ...], Sheets]:
    """Return a gallery for each split and class, and the sheets their tiles stand on."""
    samples = version.samples()
    side = 64 if samples.height <= SMALL_FROM else 40
    share = min(1.0, MOST_TILES / max(1, samples.height))
    galleries, sheets = [], Sheets()
    order = {split: place for place, split in enumerate(("train", "val", "test"))}
    pairs = samples.select("split", "label").unique().rows()
    for split, label in sorted(pairs, key=lambda pair: (order.get(pair[0], 9), pair[1])):
        part = samples.filter((pl.col("split") == split) & (pl.col("label") == label))
        paths = dict(part.select("id", "file").rows())
        names = thin_out(part["id"].to_list(), max(1, int(part.height * share)))
        laid = lay_out(((name, read_tile(Path(paths[name]), side)) for name in names), side=side, quality=70)
        sheets = sheets.beside(laid)
        galleries.append(Gallery(split, label, part.height, tuple(_shown(sheets.places, name) for name in names)))
    return tuple(galleries), sheets


@dataclass(frozen=True)
class Risk:
    """What a reader has to know before any accuracy: in how many words it takes."""

    severity: str
    headline: str
    sentences: tuple[str, ...]


def tell_risk(audit: Audit) -> Risk:
    """Return the shortcut risk in plain words: it is the first thing a page says."""
    known = [probe for probe in audit.probes if probe.auc is not None]
    if not known:
        why = audit.probes[0].why_not if audit.probes else "no probe was made"
        headline = "Nobody knows yet whether the label can be told by accident"
        return Risk("warning", headline, (f"The shortcuts could not be measured: {why}.",))
    findings = {finding.id: finding for finding in audit.findings}
    told = [each for each in known if f"shortcut-{each.name}" in findings]
    shown = [each for each in audit.findings if each.topic == "shortcut" and each.id != "shortcut-unknown"]
    worst = min((SEVERITIES.index(each.severity) for each in shown), default=3)
    sentences = tuple(_risk_sentences(known, told, findings))
    if worst >= 2 and "shortcut-unknown" in findings:
        return Risk("warning", "Too few pictures to tell whether the label can be told by accident", sentences)
    if worst == 0:
        headline = "A model can score high on this set without looking at what it is about"
    elif worst == 1:
        headline = "Part of the label can be told without looking at what it is about"
    elif worst == 2:
        headline = "The label can be told a little without looking at what it is about; no strong shortcut was found"
    else:
        headline = "No strong shortcut to the label was found"
    return Risk(("error", "warning", "note", "good")[worst], headline, sentences)


def _risk_sentences(known: Sequence[Probe], told: Sequence[Probe], findings: Mapping[str, Finding]) -> Iterable[str]:
    strong = sorted((each for each in told if each.name != "thumbnail"), key=lambda each: -(each.auc or 0))[:3]
    shares = [100 * (each.auc or 0) for each in strong]
    if strong:
        others = [f"{share:.1f} % by {each.looks_at}" for each, share in zip(strong[1:], shares[1:], strict=True)]
        yield (
            f"A simple model that sees one thing only ({strong[0].looks_at}) puts a random {strong[0].label} picture "
            f"before a random other one {shares[0]:.1f} % of the time"
            + (f"; it is {', and '.join(others)}" if others else "")
            + ". Guessing would give 50 %."
        )
    if "shortcut-source" in findings:
        yield (
            "Every class comes from sources of its own, so a model that tells the cameras apart is right every time. "
            "An accuracy measured on this set alone, however high, is no evidence that the model sees what it should."
        )
    if "shortcut-unknown" in findings:
        yield findings["shortcut-unknown"].says
    elif not strong:
        best = max(known, key=lambda each: each.auc or 0)
        yield (
            f"Each of {len(known)} simple models that cannot see what matters stays near chance; the best of them, "
            f"by {best.looks_at}, has an area under the curve of {best}."
        )


def _show_clusters(manifest: Manifest, tiles: Mapping[str, Tile]) -> dict[str, Any]:
    clusters = find_clusters(manifest)
    shown = []
    for cluster in clusters[:MOST_GROUPS]:
        rest = len(cluster.duplicates) - 5
        shown.append(
            {
                "first": _shown(tiles, cluster.representative, "stands for them"),
                "others": [_shown(tiles, name, how) for name, how in cluster.duplicates[:5]],
                "more": max(0, rest),
            }
        )
    return {"total": len(clusters), "files": sum(len(each.duplicates) for each in clusters), "shown": shown}


def _show_conflicts(manifest: Manifest, summary: Summary, tiles: Mapping[str, Tile]) -> list[tuple[Shown, str, str]]:
    kept = frozenset(manifest.kept["id"])
    shown = []
    for conflict in summary.conflicts[:MOST_CONFLICTS]:
        used = [name for name in conflict.ids if name in kept]
        words = " / ".join(claim.removeprefix("context:") for claim in conflict.claims)
        shown.append((_shown(tiles, conflict.ids[0]), words, "used in this version" if used else "not used"))
    return shown


def _show_settled(settled: Sequence[Settled], tiles: Mapping[str, Tile]) -> list[tuple[Shown, Settled]]:
    return [(_shown(tiles, next((name for name in each.ids if name in tiles), each.ids[0])), each) for each in settled]


def _show_finding(audit: Audit, name: str, tiles: Mapping[str, Tile], *, most: int = 24) -> list[Shown]:
    found = next((finding for finding in audit.findings if finding.id == name), None)
    return [_shown(tiles, each) for each in found.which[:most]] if found else []


@dataclass(frozen=True)
class Distance:
    """How many pairs lie at one distance, how many of them are one picture, and a few of them."""

    bits: int
    same: int
    different: int
    inside: bool
    samples: tuple[tuple[Shown, Shown, float], ...]


def calibrate(evidence: Evidence, recipe: Recipe, tiles: Mapping[str, Tile]) -> dict[str, Any]:
    """Return the histogram of distances, a few pairs at each, and where the thresholds stand."""
    rule = recipe.duplicates
    counts = (
        evidence.pairs.with_columns(same=pl.col("correlation") >= rule.correlation)
        .group_by("distance")
        .agg(pl.col("same").sum(), pl.len())
        .sort("distance")
    )
    sampled = sample_pairs(evidence.pairs)
    steps = []
    for bits, same, count in counts.rows():
        pairs = sampled.filter(pl.col("distance") == bits).select("one", "other", "correlation").rows()
        shown = tuple((_shown(tiles, one), _shown(tiles, other), float(like)) for one, other, like in pairs)
        steps.append(Distance(bits, int(same), int(count - same), bits <= rule.radius, shown))
    most = max((max(each.same, each.different) for each in steps), default=1)
    last = max([rule.radius + 1, *(each.bits for each in steps)])
    bars = [(each, _log_share(each.same, most), _log_share(each.different, most)) for each in steps]
    return {"steps": steps, "bars": bars, "are": evidence.pairs_are, "rule": rule, "last": last}


def _log_share(count: int, most: int) -> float:
    """Return how high a bar of so many is, 0 to 1: a few pairs have to be seen beside thousands."""
    return math.log1p(count) / math.log1p(most)


QUALITY: Final = {
    "sharpness_fine": "sharpness (log)",
    "brightness": "brightness",
    "contrast": "contrast",
    "saturation": "saturation",
    "bytes_per_pixel": "bytes per pixel",
    "corners": "corners less sides",
}


def tell_quality(table: pl.DataFrame, *, bins: int = 24) -> list[dict[str, Any]]:
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
