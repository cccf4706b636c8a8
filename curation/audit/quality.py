"""Blur, exposure, size, compression, and what lies on the skin: per class and split, by fixed thresholds."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from curation.audit.crosstabs import tally_shares
from curation.audit.measurements import Measured
from curation.dataset.findings import Finding, Outcome, count_of

RULES: Final[Mapping[str, tuple[str, pl.Expr, str]]] = {
    "blur": ("are blurred", pl.col("sharpness_fine") < 1.2, "set `min_sharpness` under [quality], or exclude them"),
    "exposure": (
        "are burnt out or black over a tenth of their area",
        (pl.col("overexposed") > 0.1) | ((pl.col("underexposed") - pl.col("black_border")) > 0.1),
        "set `min_brightness` and `max_brightness` under [quality], or exclude them",
    ),
    "size": ("are smaller than 48 px", pl.col("short_side") < 48, "set `min_side` under [quality]"),
    "compression": (
        "are compressed so hard that it shows",
        pl.col("table0_mean") > 30,
        "raise `quality` under [render], or look for better originals",
    ),
    "hair": ("show hairs", pl.col("hair") > 0.03, "see that both classes have them"),
    "ruler": (
        "may show a ruler",
        pl.col("ruler") > 0.75,
        "see that both classes have them, or try `crop_border` (see `audit --remedies`)",
    ),
    "border": (
        "have a black border",
        pl.col("black_border") > 0.02,
        "try `crop_border` under [render]: `audit --remedies` shows whether it helps",
    ),
}
ONE: Final[Mapping[str, str]] = {
    "are blurred": "is blurred",
    "are burnt out or black over a tenth of their area": "is burnt out or black over a tenth of its area",
    "are smaller than 48 px": "is smaller than 48 px",
    "are compressed so hard that it shows": "is compressed so hard that it shows",
    "show hairs": "shows hairs",
    "have a black border": "has a black border",
}
RARE: Final = 0.01
LOPSIDED: Final = 0.15
"""The difference of shares between two classes, from which on an artefact speaks for a label."""


def find_poor(measured: Measured) -> Outcome:
    """Return what is of poor quality, and what lies on the pictures of one class more than on those of another."""
    if not len(measured.grey):
        return Outcome(checks=(("quality", "no picture could be read"),))
    table = measured.table.filter(pl.col("bytes").is_not_null())
    findings, checks = [], []
    for name, (words, rule, advice) in RULES.items():
        hit = table.filter(rule).sort("id")
        by_class = table.group_by("label").agg(rule.mean().alias("share")).sort("label").rows()
        told = ", ".join(f"{100 * share:.1f} % of {label}" for label, share in by_class)
        checks.append((f"pictures that {words}", f"{hit.height:,} of {table.height:,}: {told}"))
        spread = max(share for _, share in by_class) - min(share for _, share in by_class)
        if not hit.height:
            continue
        lopsided, shifted = spread >= LOPSIDED, _tell_shift(table, rule)
        findings.append(
            Finding(
                id=f"quality-{name}",
                severity="warning" if lopsided or shifted else "note",
                says=f"{count_of(hit.height, 'picture')} {words if hit.height > 1 else ONE.get(words, words)} ({told})"
                + (": they speak for a label" if lopsided else "")
                + shifted,
                count=hit.height,
                which=tuple(hit["id"]),
                advice=advice,
                figures={f"share of {label}": round(share, 4) for label, share in by_class},
            )
        )
    rules = {f"pictures that {words}": rule for words, rule, _ in RULES.values()}
    shares = tally_shares(table, rules, name="quality", says="Share of the pictures")
    return Outcome(tuple(findings), tuple(checks), (shares,))


def _tell_shift(table: pl.DataFrame, rule: pl.Expr) -> str:
    """Say where a class shows it much more, or much less, in a held-out split than in train; empty where none does.

    More or less by ``LOPSIDED``, and by less than one chance in a hundred (Fisher's exact test): a test of sixteen
    pictures differs by much without meaning anything.
    """
    from scipy.stats import fisher_exact

    counts = table.group_by("label", "split").agg(rule.sum().cast(pl.Int64).alias("hits"), pl.len().alias("all"))
    known = {(label, split): (int(hits), int(every)) for label, split, hits, every in counts.rows()}
    told = []
    for (label, split), (hits, every) in sorted(known.items()):
        trained, seen = known.get((label, "train"), (0, 0))
        if split == "train" or not seen or abs(hits / every - trained / seen) < LOPSIDED:
            continue
        chance = fisher_exact([[hits, every - hits], [trained, seen - trained]])[1]
        if chance < RARE:
            told.append(f"{100 * hits / every:.0f} % of {label} in {split}, {100 * trained / seen:.0f} % in train")
    return f"; {'; '.join(told)}: what is tested is not what is trained on" if told else ""


def find_unreadable(measured: Measured, reference: str) -> Outcome:
    """Return the published files that cannot be opened: a version must have none.

    Parameters
    ----------
    reference : str
        ``name@v<n>``: what the advice is to be given for.
    """
    told = f"{measured.table.height:,} files opened, {len(measured.unreadable)} could not be"
    if not measured.unreadable:
        return Outcome(checks=(("every file opens", told),))
    finding = Finding(
        id="quality-unreadable",
        severity="error",
        says=f"{count_of(len(measured.unreadable), 'published file')} cannot be opened",
        count=len(measured.unreadable),
        which=tuple(f"{name}: {reason}" for name, reason in measured.unreadable),
        advice=f"`python -m curation verify {reference}` says all that changed since it was published; move the "
        f"version's folder away, and `python -m curation build {reference}` makes it again",
    )
    return Outcome((finding,), (("every file opens", told),))
