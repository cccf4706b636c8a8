"""Thresholds over the probe's raw values: a new threshold reads no pixels."""

import polars as pl

from curation.dataset.manifest import Manifest, has_action
from curation.dataset.recipe import Quality
from curation.reasons import Reason


def quality(manifest: Manifest, thresholds: Quality) -> Manifest:
    """Exclude what is too small, blurred, dark, bright or flat, unless a reviewer decided to keep it.

    The detail gives the value and the threshold, both in the unit of the manifest's column.
    """
    side = pl.min_horizontal("width", "height")
    # A blank or dark image has no edges either: the first reason is the cause, not what follows from it.
    rules = [
        (Reason.TOO_SMALL, side, "<", thresholds.min_side, "{:.0f} px"),
        (Reason.BLANK, pl.col("contrast"), "<", thresholds.min_contrast, "contrast {:.1f}"),
        (Reason.TOO_DARK, pl.col("brightness"), "<", thresholds.min_brightness, "brightness {:.1f}"),
        (Reason.TOO_BRIGHT, pl.col("brightness"), ">", thresholds.max_brightness, "brightness {:.1f}"),
        (Reason.BLURRED, pl.col("sharpness"), "<", thresholds.min_sharpness, "sharpness {:.1f}"),
    ]
    for reason, value, sign, limit, unit in rules:
        if limit is None:
            continue
        fails = value < limit if sign == "<" else value > limit
        found = manifest.rows.select(
            reason=pl.when(fails & ~has_action("keep", "relabel")).then(pl.lit(reason.value)),
            detail=pl.format(f"{_blank(unit)}, {sign} {limit:g}", _shown(value, unit)),
        )
        manifest = manifest.exclude("quality", found["reason"], found["detail"])
    return manifest


def _blank(unit: str) -> str:
    return unit.replace("{:.0f}", "{}").replace("{:.1f}", "{}")


def _shown(value: pl.Expr, unit: str) -> pl.Expr:
    return value.round(1) if ".1f" in unit else value
