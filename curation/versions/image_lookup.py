"""Finds the rows of a manifest that a user names: by id, path, file name, sha256 or published file."""

import difflib
import re
import unicodedata
from collections.abc import Iterator

import polars as pl

from curation.storage.archive_members import storable_name
from curation.storage.control_characters import show_line

PREFIX = re.compile(r"[0-9a-f]{4,64}")
MANY = 20_000
"""Beyond so many names only those with the same beginning are compared with an unknown one."""


def find_rows(rows: pl.DataFrame, query: str) -> pl.DataFrame:
    """Return the rows that a query names.

    An id that this program printed always finds its row and no other, also where the name holds control characters,
    which are printed as escapes, a backslash, undecodable bytes or a space at its end.

    Parameters
    ----------
    rows : polars.DataFrame
        A manifest's rows.
    query : str
        An id, a path in a source or its end, a file name with or without its suffix, the first 4 or more digits of a
        sha256, or a published file. A backslash may stand for ``/``.
    """
    for wanted in _spellings(query):
        same = rows.filter(pl.col("id").str.normalize("NFC") == wanted)
        found = same if same.height else rows.filter(_fits(wanted))
        if found.height:
            return found
    return _find_shown(rows, query) if "\\" in query else rows.clear()


def _spellings(query: str) -> Iterator[str]:
    """Yield what a query may mean, the most literal first."""
    literal = unicodedata.normalize("NFC", query)
    for spelling in (literal, literal.strip(), literal.strip().replace("\\", "/")):
        if spelling:
            yield storable_name(spelling)


def _fits(wanted: str) -> pl.Expr:
    path = pl.col("path").str.normalize("NFC")
    name = path.str.split("/").list.last()
    fits = [
        path == wanted,
        path.str.ends_with(f"/{wanted}"),
        name == wanted,
        name.str.replace(r"\.[^.]*$", "") == wanted,
        pl.col("file").str.split("/").list.last() == wanted,
        pl.lit(f"/{wanted}").str.ends_with(pl.lit("/") + pl.col("file")),
    ]
    if PREFIX.fullmatch(wanted.lower()):
        fits.append(pl.col("sha256").str.starts_with(wanted.lower()))
    return pl.any_horizontal(fit.fill_null(value=False) for fit in fits)


def _find_shown(rows: pl.DataFrame, query: str) -> pl.DataFrame:
    """Return the rows whose id, or the end of whose path, is printed as the query."""
    shown = [f"/{unicodedata.normalize('NFC', show_line(row_id))}" for row_id in rows["id"]]
    literal = unicodedata.normalize("NFC", query)
    for wanted in (f"/{literal}", f"/{literal.strip()}"):
        for hits in ([text == wanted for text in shown], [text.endswith(wanted) for text in shown]):
            if any(hits):
                return rows.filter(pl.Series(hits, dtype=pl.Boolean))
    return rows.clear()


def near_names(rows: pl.DataFrame, query: str) -> list[str]:
    """Return up to three file names that are similar to one that no row has."""
    wanted = query.replace("\\", "/").rsplit("/", 1)[-1]
    names = rows["path"].str.split("/").list.last().unique().sort()
    parts = names.filter(names.str.to_lowercase().str.contains(wanted.lower(), literal=True)) if wanted else names[:0]
    if len(names) > MANY:
        names = names.filter(names.str.starts_with(wanted[:4]))
    close = difflib.get_close_matches(wanted, names.to_list()[:MANY], 3, cutoff=0.7)
    return list(dict.fromkeys([*close, *parts.head(3)]))[:3]
