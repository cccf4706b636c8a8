"""Measures blur, exposure, size, compression and artifacts per class and split, by fixed thresholds."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
from scipy.stats import fisher_exact

from curation.audit.crosstabs import share_rules
from curation.audit.measurements import Measured
from curation.dataset.finding_texts import QUALITY
from curation.dataset.findings import AuditPart, Check, Finding

RULES: Final[Mapping[str, pl.Expr]] = {
    "blur": pl.col("sharpness_fine") < 1.2,
    "exposure": (pl.col("overexposed") > 0.1) | ((pl.col("underexposed") - pl.col("black_border")) > 0.1),
    "size": pl.col("short_side") < 48,
    "compression": pl.col("table0_mean") > 30,
    "lines": pl.col("hair") > 0.03,
    "marks": pl.col("ruler") > 0.75,
    "border": pl.col("black_border") > 0.02,
}
WORDS_OF: Final[Mapping[str, Mapping[str, str]]] = {"dermatology": {"lines": "hair", "marks": "ruler"}}
"""What a check is called where the recipe states the field: thin dark lines on skin are hairs."""
RARE: Final = 0.01
"""The p-value of Fisher's exact test below which a difference between train and a held-out split counts."""
LOPSIDED: Final = 0.15
"""The difference of shares between two classes from which on an artifact predicts a label."""


def find_poor(measured: Measured, *, domain: str | None = None) -> AuditPart:
    """Return the images of poor quality, and artifacts that one class shows more often than another.

    Parameters
    ----------
    measured : Measured
    domain : str, optional
        The field that the recipe states; its words name the checks.
    """
    words_of = WORDS_OF.get(domain or "", {})
    named = {words_of.get(name, name): rule for name, rule in RULES.items()}
    if not len(measured.gray):
        return AuditPart(checks=(Check("quality", "quality", "no image could be read"),))
    table = measured.table.filter(pl.col("bytes").is_not_null())
    findings, checks = [], []
    for name, rule in named.items():
        hit = table.filter(rule).sort("id")
        by_class = table.group_by("label").agg(rule.mean().alias("share")).sort("label").rows()
        shares = ", ".join(f"{100 * share:.1f} % of {label}" for label, share in by_class)
        words = f"images that {QUALITY[name].several}"
        checks.append(Check(f"quality-{name}", words, f"{hit.height:,} of {table.height:,}: {shares}"))
        if not hit.height:
            continue
        lopsided = max(share for _, share in by_class) - min(share for _, share in by_class) >= LOPSIDED
        shifts = _find_shifts(table, rule)
        findings.append(
            Finding(
                id=f"quality-{name}",
                severity="warning" if lopsided or shifts else "note",
                count=hit.height,
                which=tuple(hit["id"]),
                figures={f"share of {label}": round(share, 4) for label, share in by_class},
                facts={"classes": [list(row) for row in by_class], "lopsided": lopsided, "shifts": shifts},
            )
        )
    rules = {f"images that {QUALITY[name].several}": rule for name, rule in named.items()}
    crosstab = share_rules(table, rules, name="quality", says="Share of the images")
    return AuditPart(tuple(findings), tuple(checks), (crosstab,))


def _find_shifts(table: pl.DataFrame, rule: pl.Expr) -> list[list[Any]]:
    """Return [class, split, share, share in train] where a held-out split differs from train.

    By ``LOPSIDED`` or more, and with a p-value below ``RARE`` (Fisher's exact test): in a test of sixteen images large
    differences occur by chance.
    """
    counts = table.group_by("label", "split").agg(rule.sum().cast(pl.Int64).alias("hits"), pl.len().alias("all"))
    known = {(label, split): (int(hits), int(every)) for label, split, hits, every in counts.rows()}
    shifts: list[list[Any]] = []
    for (label, split), (hits, every) in sorted(known.items()):
        trained, seen = known.get((label, "train"), (0, 0))
        if split == "train" or not seen or abs(hits / every - trained / seen) < LOPSIDED:
            continue
        if fisher_exact([[hits, every - hits], [trained, seen - trained]])[1] < RARE:
            shifts.append([label, split, round(hits / every, 4), round(trained / seen, 4)])
    return shifts


def find_unreadable(measured: Measured, reference: str) -> AuditPart:
    """Return the published files that cannot be opened: a version must not have any.

    Parameters
    ----------
    measured : Measured
    reference : str
        ``name@v<n>``, for the advice.
    """
    result = f"{measured.table.height:,} files read, {len(measured.unreadable)} could not be opened"
    check = Check("files-open", "every file opens", result)
    if not measured.unreadable:
        return AuditPart(checks=(check,))
    finding = Finding(
        id="quality-unreadable",
        severity="error",
        count=len(measured.unreadable),
        which=tuple(f"{name}: {reason}" for name, reason in measured.unreadable),
        facts={"reference": reference},
    )
    return AuditPart((finding,), (check,))
