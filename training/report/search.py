"""Fills the page of a search."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from training.report.figures import draw_pareto
from training.report.page import render_page

if TYPE_CHECKING:
    from training.search import Cost, Search

UNITS = {"RAM": "RAM, bytes", "flash": "flash, bytes", "multiplications": "multiplications"}


def write_search_page(
    found: "Search", points: "Mapping[Cost, Sequence[tuple[str, float, float]]]", front: frozenset[str]
) -> str:
    """Return the page of a search as one HTML file.

    Parameters
    ----------
    found : Search
    points : mapping of a cost to (name, cost, accuracy) of each candidate that was trained
    front : frozenset of str
        The candidates no other beats.
    """
    figures = [
        (UNITS[kind], draw_pareto(shown, front, name=kind.lower(), xlabel=UNITS[kind]))
        for kind, shown in points.items()
    ]
    return render_page("search.html", found=found, figures=figures, front=front)
