"""Thresholds over the probe's raw values: a new threshold reads no pixels."""

import polars as pl

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Quality


def quality(manifest: Manifest, thresholds: Quality) -> Manifest:
    """Exclude what is too small, blurred, dark, bright or flat; a picture somebody decided to keep is spared.

    The reason gives the value and the threshold, both in the unit of the manifest's column.
    """
    side = pl.min_horizontal("width", "height")
    # A blank or dark picture has no edges either: what is most wrong is said, not what follows from it.
    rules = [
        ("too small", side, "<", thresholds.min_side, "{:.0f} px"),
        ("blank", pl.col("contrast"), "<", thresholds.min_contrast, "contrast {:.1f}"),
        ("too dark", pl.col("brightness"), "<", thresholds.min_brightness, "brightness {:.1f}"),
        ("too bright", pl.col("brightness"), ">", thresholds.max_brightness, "brightness {:.1f}"),
        ("blurred", pl.col("sharpness"), "<", thresholds.min_sharpness, "sharpness {:.1f}"),
    ]
    for name, value, sign, limit, unit in rules:
        if limit is None:
            continue
        fails = value < limit if sign == "<" else value > limit
        text = pl.format(f"quality: {name} ({_blank(unit)}, {sign} {limit:g})", _shown(value, unit))
        spared = pl.col("decision").str.contains(r"(^|; )(keep|relabel)").fill_null(value=False)
        manifest = manifest.exclude(manifest.rows.select(pl.when(fails & ~spared).then(text)).to_series())
    return manifest


def _blank(unit: str) -> str:
    return unit.replace("{:.0f}", "{}").replace("{:.1f}", "{}")


def _shown(value: pl.Expr, unit: str) -> pl.Expr:
    return value.round(1) if ".1f" in unit else value
