"""Compares a version, published or not yet, with the previous one, image by image."""

from dataclasses import dataclass

import polars as pl

from curation.errors import CurationError
from curation.versions import Home, Version, previous_split

KEY = ["sha256", "page"]


@dataclass(frozen=True)
class Changes:
    """The images that two versions treat differently.

    Parameters
    ----------
    before : str
        The previous version, as ``v<n>``.
    unchanged : int
    lines : tuple of (str, str, str, str)
        Kind (added, removed, moved, relabelled), id or sha256, before, after; sorted.
    why_not : str
        Why they cannot be compared.
    """

    before: str
    unchanged: int = 0
    lines: tuple[tuple[str, str, str, str], ...] = ()
    why_not: str = ""

    def count(self, kind: str) -> int:
        """Return how many images changed in this way."""
        return sum(line[0] == kind for line in self.lines)


def changes_since_previous(home: Home, version: Version) -> Changes | None:
    """Return what differs from the previous version; None for the first."""
    name, number = version.name, version.number - 1
    if number < 1:
        return None
    try:
        return compare(previous_split(home, name, f"v{number}"), version.manifest.rows, name=f"v{number}")
    except CurationError as fault:
        return Changes(f"v{number}", why_not=fault.message)


def compare(before: pl.DataFrame, rows: pl.DataFrame, *, name: str) -> Changes:
    """Compare a published split with the rows of another version.

    Parameters
    ----------
    before : polars.DataFrame
        ``sha256``, ``page``, ``split`` and ``label`` of the previous version.
    rows : polars.DataFrame
        All rows of the version after.
    name : str
        The name of the previous version.
    """
    after = rows.filter(pl.col("excluded_by").is_null()).select(
        "sha256", pl.col("page").fill_null(1).cast(pl.Int64), "id", "split", "label"
    )
    known = before.select("sha256", pl.col("page").cast(pl.Int64), split_before="split", label_before="label")
    both = known.join(after, on=KEY, how="full", coalesce=True).sort(KEY)
    ids = dict(rows.drop_nulls("sha256").sort("id", descending=True).select("sha256", "id").rows())
    lines, unchanged = [], 0
    for row in both.iter_rows(named=True):
        was = f"{row['split_before']}/{row['label_before']}" if row["split_before"] else ""
        now = f"{row['split']}/{row['label']}" if row["split"] else ""
        if was == now:
            unchanged += 1
            continue
        relabelled = was and now and row["label_before"] != row["label"]
        kind = "added" if not was else "removed" if not now else "relabelled" if relabelled else "moved"
        lines.append((kind, row["id"] or ids.get(row["sha256"]) or row["sha256"][:12], was, now))
    return Changes(name, unchanged, tuple(sorted(lines)))
