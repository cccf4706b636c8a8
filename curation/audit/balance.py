"""How many of what: classes, splits, sources, strata; and what a test set of this size can show at all."""

import math
from collections.abc import Collection
from typing import Final

import polars as pl

from curation.audit.crosstabs import tally_values
from curation.cross_validation import wilson_interval
from curation.dataset.findings import Finding, Outcome, count_of

STRATA: Final = ("sex", "site", "skin_type", "age")
PEOPLE: Final = (*STRATA, "patient", "lesion")
UNEVEN: Final = 1.5
"""The largest class against the smallest, from which on they are uneven."""
WIDE: Final = 0.1
"""The width of the interval, from which on a test is too small to tell good from very good."""
TOGETHER: Final = 0.3
"""Cramer's V from which on a stratum goes with the label: a medium effect after Cohen."""
LEAST_KNOWN: Final = 40
"""With fewer pictures whose stratum is known it is not judged."""
POWER_Z: Final = 1.959964 + 0.841621
"""Two-sided 5 %, power 80 %."""


def find_imbalance(rows: pl.DataFrame, *, named: Collection[str] = (), people: bool = False) -> Outcome:
    """Return what is uneven or too small.

    Of people is spoken only where something is known of them, or where the recipe names it: not of cats and dogs.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows.
    named : collection of str
        The manifest's columns that the recipe takes from a metadata file.
    people : bool
        Whether the recipe says that the pictures show people: then it is asked who they are, also where nobody knows.
    """
    about_people = people or any(rows[column].null_count() < rows.height or column in named for column in PEOPLE)
    findings = [_classes(rows), *_test_sizes(rows), _one_source_test(rows), *(_strata(rows) if about_people else [])]
    known = rows.with_columns(age=_bands(pl.col("age")))
    strata = [column for column in STRATA if known[column].null_count() < known.height]
    findings += [_goes_with_label(known, column) for column in ("source", *strata)]
    checks = [("what a test can show", _tell_sizes(rows))]
    checks += [("who is in it", _tell_strata(rows))] if about_people else []
    tallies = [tally_values(known, column, says=f"Pictures by {_word(column)}") for column in ("source", *strata)]
    return Outcome(tuple(each for each in findings if each is not None), tuple(checks), tuple(tallies))


def _word(column: str) -> str:
    return column.replace("_", " ")


def _bands(age: pl.Expr) -> pl.Expr:
    """Return ages in years as bands of twenty."""
    low = (age / 20).floor().clip(0, 4).cast(pl.Int64) * 20
    inside = pl.concat_str(low, pl.lit(" to "), low + 19)
    return pl.when(low >= 80).then(pl.lit("80 and over")).otherwise(inside)


def association(rows: pl.DataFrame, column: str) -> float:
    """Return how far a column and the label go together: Cramer's V, 0 for not at all, 1 for one tells the other.

    Parameters
    ----------
    rows : polars.DataFrame
        With ``label`` and the column; rows that lack one are left out.
    """
    from scipy.stats.contingency import association as measure

    counts = rows.drop_nulls(["label", column]).group_by("label", column).len()
    table = counts.sort("label", column).pivot(column, index="label", values="len", sort_columns=True).fill_null(0)
    numbers = table.drop("label").to_numpy()
    return float(measure(numbers, method="cramer")) if min(numbers.shape, default=0) > 1 else 0.0


def _goes_with_label(rows: pl.DataFrame, column: str) -> Finding | None:
    known = rows.drop_nulls(["label", column])
    together = association(known, column)
    if known.height < LEAST_KNOWN or together < TOGETHER or (column == "source" and together > 0.999):
        return None  # a source that tells the class for certain is a finding of the shortcuts
    word = _word(column)
    return Finding(
        id=f"balance-{column.replace('_', '-')}",
        severity="warning",
        says=f"{word} goes with the label (Cramer's V {together:.2f}; {_tell_commonest(known, column)}): "
        "a model may learn one for the other",
        count=known.height,
        advice=f"balance the classes over {word}, or test within each of its values before you believe an accuracy",
        figures={"cramers_v": round(together, 3)},
    )


def _tell_commonest(known: pl.DataFrame, column: str) -> str:
    counts = known.group_by("label", column).len().sort("label", "len", column, descending=[False, True, False])
    first = counts.group_by("label", maintain_order=True).agg(
        pl.col(column).first(), pl.col("len").first(), pl.sum("len").alias("all")
    )
    return "; ".join(f"{label}: {value} {100 * most / every:.0f} %" for label, value, most, every in first.rows())


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
        low, high = wilson_interval(0.95 * total, total)
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
        says="test and train come from the same sources: the test says nothing about another camera or place",
        count=rows.filter(pl.col("split") == "test").height,
        advice="keep one source for the test alone before you claim that it works elsewhere",
    )


def _strata(rows: pl.DataFrame) -> list[Finding]:
    known = rows.group_by("label").agg(pl.col(column).is_not_null().any() for column in STRATA)
    unknown = [column for column in STRATA if not known[column].any()]
    one_sided = [column for column in STRATA if known[column].any() and not known[column].all()]
    if not unknown and not one_sided:
        return []
    words = [f"nothing is known of {', '.join(map(_word, unknown))}"] if unknown else []
    words += [f"{', '.join(map(_word, one_sided))} is known of some classes alone"] if one_sided else []
    return [
        Finding(
            id="balance-strata",
            severity="note",
            says=f"{'; '.join(words)}: whether it works alike for everybody cannot be checked",
            count=rows.height,
            advice="name the source's metadata file in the recipe (`metadata`), if it has one",
        )
    ]


def _tell_sizes(rows: pl.DataFrame) -> str:
    told = []
    for split, total, least in _held_out(rows):
        low, high = wilson_interval(total, total)
        told.append(
            f"{split} holds {count_of(total, 'picture')}: with all of them right the true rate may still be from "
            f"{100 * low:.1f} % to {100 * high:.0f} % (of the {least:,} of its smallest class alone, from "
            f"{100 * wilson_interval(least, least)[0]:.1f} %), and two models must differ by "
            f"{100 * smallest_difference(total):.0f} points to be told apart"
        )
    return "; ".join(told) or "there is no test and no val"


def _tell_strata(rows: pl.DataFrame) -> str:
    known = [f"{_word(column)} of {rows.height - rows[column].null_count():,}" for column in STRATA]
    return f"of {count_of(rows.height, 'picture')} we know {', '.join(known)}"
