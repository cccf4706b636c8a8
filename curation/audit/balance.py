"""Counts classes, splits, sources and strata, and what a test set of this size can show."""

import math
from collections.abc import Sequence
from typing import Any, Final

import polars as pl
from scipy.stats.contingency import association as contingency_association

from curation.audit.crosstabs import count_values
from curation.cross_validation import wilson_interval
from curation.dataset.columns import PERSONAL_ROLES, Metadata, Role, role_values
from curation.dataset.finding_texts import column_words, count_of
from curation.dataset.findings import AuditPart, Check, Finding
from curation.dataset.strata import find_strata

STRATA: Final[tuple[Role, ...]] = ("sex", "site", "skin_type", "age")
"""The roles that describe persons."""
UNEVEN: Final = 1.5
"""The ratio of the largest class to the smallest from which on they are uneven."""
WIDE: Final = 0.1
"""The width of the interval from which on a test is too small to compare good models."""
ASSOCIATED: Final = 0.3
"""Cramer's V from which on a stratum is associated with the label: a medium effect (Cohen, 1988)."""
MIN_KNOWN: Final = 40
"""With fewer images whose stratum is known it is not judged."""
POWER_Z: Final = 1.959964 + 0.841621
"""Two-sided 5 %, power 80 %."""


def find_imbalance(rows: pl.DataFrame, metadata: Sequence[Metadata] = (), *, people: bool = False) -> AuditPart:
    """Return what is uneven or too small.

    People are checked only if a column describes them or the recipe states that they are shown.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows.
    metadata : sequence of Metadata
        The columns that the recipe takes from a metadata file.
    people : bool
        Whether the recipe states that the images show people: then their strata are checked even if all are unknown.
    """
    about_people = people or any(column.role in PERSONAL_ROLES for column in metadata)
    people_values = rows.with_columns(role_values(metadata, role).alias(role) for role in STRATA)
    findings = [
        _classes(rows),
        *_test_sizes(rows),
        _same_sources(rows),
        _strata(people_values) if about_people else None,
    ]
    strata = find_strata(rows, metadata, band_ages=_band_ages)
    known = rows.with_columns(strata.values())
    findings += [_associated(known, column) for column in ("source", *strata)]
    checks = [Check("test-size", "what a test can show", _describe_sizes(rows))]
    checks += [Check("strata", "who is in it", _describe_strata(people_values))] if about_people else []
    crosstabs = [
        count_values(known, column, says=f"Images by {column_words(column)}") for column in ("source", *strata)
    ]
    return AuditPart(tuple(each for each in findings if each is not None), tuple(checks), tuple(crosstabs))


def _band_ages(ages: pl.Series) -> pl.Series:
    """Return ages in years as bands of twenty."""
    low = (pl.col("age") / 20).floor().clip(0, 4).cast(pl.Int64) * 20
    inside = pl.concat_str(low, pl.lit(" to "), low + 19)
    bands = pl.when(low >= 80).then(pl.lit("80 and over")).otherwise(inside)
    return pl.DataFrame({"age": ages}).select(bands).to_series()


def association(rows: pl.DataFrame, column: str) -> float:
    """Return how strongly a column and the label are associated: Cramer's V, from 0 (not) to 1 (one gives the other).

    Parameters
    ----------
    rows : polars.DataFrame
        With ``label`` and the column; rows that lack one are not used.
    """
    counts = rows.drop_nulls(["label", column]).group_by("label", column).len()
    table = counts.sort("label", column).pivot(column, index="label", values="len", sort_columns=True).fill_null(0)
    numbers = table.drop("label").to_numpy()
    return float(contingency_association(numbers, method="cramer")) if min(numbers.shape, default=0) > 1 else 0.0


def _associated(rows: pl.DataFrame, column: str) -> Finding | None:
    known = rows.drop_nulls(["label", column])
    strength = association(known, column)
    if known.height < MIN_KNOWN or strength < ASSOCIATED or (column == "source" and strength > 0.999):
        return None  # a source that gives the class for certain is a finding of the shortcuts
    return Finding(
        id=f"balance-{column.replace('_', '-')}",
        severity="warning",
        count=known.height,
        figures={"cramers_v": round(strength, 3)},
        facts={"column": column, "commonest": _commonest(known, column)},
    )


def _commonest(known: pl.DataFrame, column: str) -> list[list[Any]]:
    """Return [label, its commonest value, share] of every class."""
    counts = known.group_by("label", column).len().sort("label", "len", column, descending=[False, True, False])
    first = counts.group_by("label", maintain_order=True).agg(
        pl.col(column).first(), pl.col("len").first(), pl.sum("len").alias("all")
    )
    return [[label, value, round(most / every, 4)] for label, value, most, every in first.rows()]


def smallest_difference(trials: int, *, rate: float = 0.9) -> float:
    """Return the difference between two models that a test of this size shows four times out of five.

    Two independent proportions around ``rate``, 5 % two-sided: (1.96 + 0.84) * sqrt(2 p (1 - p) / n).
    """
    return POWER_Z * math.sqrt(2 * rate * (1 - rate) / trials) if trials else 1.0


def _held_out(rows: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Return (split, images, images of the smallest class) of every split but train."""
    counts = rows.filter(pl.col("split") != "train").group_by("split", "label").len()
    sums = counts.group_by("split").agg(pl.col("len").sum(), pl.col("len").min().alias("least")).sort("split")
    return [(str(split), int(total), int(least)) for split, total, least in sums.rows()]


def _classes(rows: pl.DataFrame) -> Finding | None:
    train = rows.filter(pl.col("split") == "train").group_by("label").len().sort("label")
    if train.height < 2:
        return None
    most, least = max(train["len"].to_list()), min(train["len"].to_list())
    if most <= UNEVEN * least:
        return None
    return Finding(
        id="balance-classes",
        severity="warning",
        count=most - least,
        figures={"ratio": round(most / least, 3)},
        facts={"classes": [list(row) for row in train.rows()]},
    )


def _test_sizes(rows: pl.DataFrame) -> list[Finding]:
    findings = []
    for split, total, least in _held_out(rows):
        low, high = wilson_interval(0.95 * total, total)
        if high - low < WIDE:
            continue
        figures = {"pictures": float(total), "low": round(low, 3), "high": round(high, 3)}
        findings.append(
            Finding(
                id=f"balance-{split}-size",
                severity="warning",
                count=total,
                figures={**figures, "smallest_difference": round(smallest_difference(total), 3)},
                facts={"split": split, "least": least},
            )
        )
    return findings


def _same_sources(rows: pl.DataFrame) -> Finding | None:
    known = rows.filter(pl.col("split").is_in(["train", "test"])).select("split", "source").drop_nulls().unique()
    sources = known.group_by("split").agg(pl.col("source").sort()).sort("split")
    if sources.height < 2 or sources["source"][0].to_list() != sources["source"][1].to_list():
        return None
    return Finding(
        id="balance-same-sources",
        severity="note",
        count=rows.filter(pl.col("split") == "test").height,
        facts={"sources": sources["source"][0].to_list()},
    )


def _strata(rows: pl.DataFrame) -> Finding | None:
    known = rows.group_by("label").agg(pl.col(column).is_not_null().any() for column in STRATA)
    unknown = [column for column in STRATA if not known[column].any()]
    partial = [column for column in STRATA if known[column].any() and not known[column].all()]
    if not unknown and not partial:
        return None
    return Finding(
        id="balance-strata", severity="note", count=rows.height, facts={"unknown": unknown, "partial": partial}
    )


def _describe_sizes(rows: pl.DataFrame) -> str:
    parts = []
    for split, total, least in _held_out(rows):
        low, high = wilson_interval(total, total)
        parts.append(
            f"{split} has {count_of(total, 'image')}: if all are classified correctly, the true accuracy may still be "
            f"{100 * low:.1f} % to {100 * high:.0f} % (of the {least:,} of its smallest class alone, "
            f"{100 * wilson_interval(least, least)[0]:.1f} % or more), and two models must differ by "
            f"{100 * smallest_difference(total):.0f} points before the difference is significant"
        )
    return "; ".join(parts) or "there are no test and val splits"


def _describe_strata(rows: pl.DataFrame) -> str:
    known = [f"{column_words(column)} known for {rows.height - rows[column].null_count():,}" for column in STRATA]
    return f"of {count_of(rows.height, 'image')}: {', '.join(known)}"
