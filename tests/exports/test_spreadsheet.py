"""Cells that a spreadsheet would run."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.exports.spreadsheet import escape_formulas


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]
)
def test_a_formula_is_shown_as_text(cell):
    """An apostrophe goes before what would be run."""
    assert escape_formulas(pl.DataFrame({"a": [cell]}))["a"].to_list() == [f"'{cell}"]


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",)))), min_size=1))
def test_every_other_cell_stays_and_every_cell_comes_back(cells):
    """What is written is read by a CSV reader as it was, but for the apostrophe; empty and missing are both empty."""
    table = escape_formulas(
        pl.DataFrame({"number": list(range(len(cells))), "a": cells}, schema_overrides={"a": pl.String})
    )
    text = table.write_csv(quote_style="non_numeric", line_terminator="\n")
    read = [row[1] for row in csv.reader(io.StringIO(text, newline=""), strict=True)][1:]
    assert [cell.removeprefix("'") for cell in read] == [(cell or "").removeprefix("'") for cell in cells]
    assert not [cell for cell in read if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
