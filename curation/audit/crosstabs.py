"""Counts and shares by split and class: the tables behind an audit's findings."""

from collections.abc import Mapping

import polars as pl

from curation.dataset.findings import Crosstab
from curation.dataset.split_counts import splits_and_labels

MAX_ROWS = 12
"""Of more values the rarest are counted together."""
UNKNOWN, OTHERS = "not known", "others"


def count_values(rows: pl.DataFrame, column: str, *, says: str) -> Crosstab:
    """Return how many images each value of a column has in each split and class, the commonest values first.

    Parameters
    ----------
    rows : polars.DataFrame
        With ``split``, ``label`` and the column, as text.
    column : str
    says : str
        The caption.
    """
    pairs = splits_and_labels(rows)
    totals = rows.drop_nulls(column).group_by(column).len().sort("len", column, descending=[True, False])
    names = totals[column].head(MAX_ROWS).to_list()
    value = pl.when(pl.col(column).is_null()).then(pl.lit(UNKNOWN)).otherwise(
        pl.when(pl.col(column).is_in(names)).then(pl.col(column)).otherwise(pl.lit(OTHERS))
    )  # fmt: skip
    counted = rows.select("split", "label", value=value).group_by("value", "split", "label").len()
    counts = {(name, split, label): count for name, split, label, count in counted.rows()}
    present = {name for name, *_ in counts}
    shown = [name for name in dict.fromkeys([*names, OTHERS, UNKNOWN]) if name in present]
    table = tuple((name, tuple(float(counts.get((name, *pair), 0)) for pair in pairs)) for name in shown)
    return Crosstab(name=column, says=says, columns=_heads(pairs), rows=table, unit="pictures")


def share_rules(rows: pl.DataFrame, rules: Mapping[str, pl.Expr], *, name: str, says: str) -> Crosstab:
    """Return the share of each split and class for which each rule holds.

    Parameters
    ----------
    rows : polars.DataFrame
        With ``split``, ``label`` and the columns of the rules.
    rules : mapping of str to polars.Expr
        The words of a row -> a boolean expression.
    name, says : str
        The table's name and caption.
    """
    pairs = splits_and_labels(rows)
    shares = rows.group_by("split", "label").agg(
        [rule.mean().alias(f"rule{place}") for place, rule in enumerate(rules.values())]
    )
    known = {(split, label): values for split, label, *values in shares.rows()}
    table = tuple(
        (words, tuple(round(float(known[pair][place]), 4) for pair in pairs)) for place, words in enumerate(rules)
    )
    return Crosstab(name=name, says=says, columns=_heads(pairs), rows=table, unit="share")


def _heads(pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{split}: {label}" for split, label in pairs)
