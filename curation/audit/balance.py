"""How many of what: classes, splits, sources, strata; and what a test set of this size can show at all."""

import math
from typing import Final

import polars as pl

from curation.audit.probing import wilson
from curation.findings import Finding, Outcome, count_of

STRATA: Final = ("sex", "site", "skin_type", "age")
UNEVEN: Final = 1.5
"""The largest class against the smallest, from which on they are uneven."""
WIDE: Final = 0.1
"""The width of the interval, from which on a test is too small to tell good from very good."""
POWER_Z: Final = 1.959964 + 0.841621
"""Two-sided 5 %, power 80 %."""


def find_imbalance(rows: pl.DataFrame) -> Outcome:
    """Return what is uneven or too small.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows.
    """
    findings = [_classes(rows), *_test_sizes(rows), _one_source_test(rows), *_strata(rows)]
    checks = [("what a test can show", _tell_sizes(rows)), ("who is in it", _tell_strata(rows))]
    return Outcome(tuple(each for each in findings if each is not None), tuple(checks))


def smallest_difference(trials: int, *, rate: float = 0.9) -> float:
    """Return the difference between two models that a test of this size shows four times out of five.

    Two independent proportions around ``rate``, 5 % two-sided: (1.96 + 0.84) * sqrt(2 p (1 - p) / n).
    """
    return POWER_Z * math.sqrt(2 * rate * (1 - rate) / trials) if trials else 1.0


def _held_out(rows: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Return (split, pictures, pictures of the smallest class) of every split but train."""
    counts = rows.filter(pl.col("split") != "train").group_by("split", "label").len()
    sums = counts.group_by("split").agg(pl.col("len").sum(), pl.col("len").min().alias("least")).sort("split")
    return [(str(split), int(total), int(least)) for split, total, least in sums.rows()]


def _classes(rows: pl.DataFrame) -> Finding | None:
    train = rows.filter(pl.col("split") == "train").group_by("label").len().sort("label")
    if train.height < 2:
        return None
    most, least = int(train["len"].max()), int(train["len"].min())  # type: ignore[arg-type]  # integers
    if most <= UNEVEN * least:
        return None
    told = ", ".join(f"{count:,} {label}" for label, count in train.rows())
    return Finding(
        id="balance-classes",
        severity="warning",
        says=f"the classes are uneven in train: {told}",
        count=most - least,
        advice="weigh the classes in training, or set `balance = true` or counts under [selection]",
        figures={"ratio": round(most / least, 3)},
    )


def _test_sizes(rows: pl.DataFrame) -> list[Finding]:
    findings = []
    for split, total, least in _held_out(rows):
        low, high = wilson(0.95 * total, total)
        if high - low < WIDE:
            continue
        figures = {"pictures": float(total), "low": round(low, 3), "high": round(high, 3)}
        findings.append(
            Finding(
                id=f"balance-{split}-size",
                severity="warning",
                says=f"{split} holds {total} pictures ({least} of its smallest class): an accuracy of 95 % "
                f"measured on it could as well be {100 * low:.0f} % or {100 * high:.0f} %, and two models must "
                f"differ by {100 * smallest_difference(total):.0f} points to be told apart",
                count=total,
                advice="compare models by repeated grouped cross-validation over all pictures, or collect a larger one",
                figures={**figures, "smallest_difference": round(smallest_difference(total), 3)},
            )
        )
    return findings


def _one_source_test(rows: pl.DataFrame) -> Finding | None:
    known = rows.filter(pl.col("split").is_in(["train", "test"])).select("split", "source").drop_nulls().unique()
    sources = known.group_by("split").agg(pl.col("source").sort()).sort("split")
    if sources.height < 2 or sources["source"][0].to_list() != sources["source"][1].to_list():
        return None
    return Finding(
        id="balance-same-sources",
        severity="note",
        says="test and train come from the same sources: the test says nothing about another camera or clinic",
        count=rows.filter(pl.col("split") == "test").height,
        advice="keep one source for the test alone before you claim that it works elsewhere",
    )


def _strata(rows: pl.DataFrame) -> list[Finding]:
    unknown = [column for column in STRATA if rows[column].null_count() == rows.height]
    if not unknown:
        return []
    words = ", ".join(column.replace("_", " ") for column in unknown)
    return [
        Finding(
            id="balance-strata",
            severity="note",
            says=f"nothing is known of {words}: whether it works alike for everybody cannot be checked",
            count=rows.height,
            advice="name the source's metadata file in the recipe (`metadata`), if it has one",
        )
    ]


def _tell_sizes(rows: pl.DataFrame) -> str:
    told = []
    for split, total, _ in _held_out(rows):
        low, high = wilson(total, total)
        told.append(
            f"{split} holds {count_of(total, 'picture')}: with all of them right the true rate may still be from "
            f"{100 * low:.1f} % to {100 * high:.0f} %, and two models must differ by "
            f"{100 * smallest_difference(total):.0f} points to be told apart"
        )
    return "; ".join(told) or "there is no test and no val"


def _tell_strata(rows: pl.DataFrame) -> str:
    known = [f"{column.replace('_', ' ')} of {rows.height - rows[column].null_count():,}" for column in STRATA]
    return f"of {count_of(rows.height, 'picture')} we know {', '.join(known)}"
