"""Which metadata columns divide a set into strata, and their values as text: for the audit and for the evaluation."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final

import polars as pl

from curation.dataset.columns import IDENTITY_ROLES, Metadata, Role

STRATA_ROLES: Final[tuple[Role, ...]] = ("sex", "site", "skin_type", "age", "camera")
"""The roles whose columns are always strata, in the order in which they are reported."""
MAX_VALUES: Final = 24
"""A column without a role is a stratum up to so many different values; a number of more is cut into quarters."""


def find_strata(
    rows: pl.DataFrame, metadata: Iterable[Metadata], *, band_ages: Callable[[pl.Series], pl.Series]
) -> dict[str, pl.Series]:
    """Return the strata with at least one value: name -> values as text, aligned with the rows.

    Parameters
    ----------
    rows : polars.DataFrame
        With the metadata columns.
    metadata : iterable of Metadata
    band_ages : function of Series to Series
        Cuts ages in years into bands of text.
    """
    order = {role: place for place, role in enumerate(STRATA_ROLES)}
    columns = [column for column in metadata if column.role not in IDENTITY_ROLES]
    columns.sort(key=lambda column: order[column.role] if column.role in order else len(order))
    found = {}
    for column in columns:
        values = rows[column.name]
        if values.null_count() == len(values):
            continue
        text = band_ages(values) if column.role == "age" else _as_text(values)
        if column.role is not None or text.n_unique() <= MAX_VALUES:
            found[column.name] = text.alias(column.name)
    return found


def _as_text(values: pl.Series) -> pl.Series:
    """Return values as text; numbers of many different values as quarters."""
    if not values.dtype.is_numeric() or values.n_unique() <= MAX_VALUES:
        return values.cast(pl.String)
    numbers = values.cast(pl.Float64)
    low, high = float(numbers.quantile(0) or 0), float(numbers.quantile(1) or 0)
    inner = sorted({float(numbers.quantile(share) or 0) for share in (0.25, 0.5, 0.75)} - {low, high})
    names = [f"{one:g} to {other:g}" for one, other in pairwise([low, *inner, high])]
    place = pl.Series(inner, dtype=pl.Float64).search_sorted(numbers.fill_null(low), side="left")
    return pl.Series(names, dtype=pl.String).gather(place).set(values.is_null(), None)
