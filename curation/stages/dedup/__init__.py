"""Finds duplicates: groups for the split, representatives for the set, disputes for reviewers.

Two relations are kept apart. The connected component of confirmed duplicates decides the *group* (what may not lie on
two sides of a split) and the *dispute* (one image under two labels). The radius around the representative decides what
is *excluded*: no chain of near duplicates excludes an image that does not resemble the one that is kept.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from curation.dataset.borderline import Borderline
from curation.dataset.manifest import Manifest, has_action
from curation.dataset.recipe import Duplicates
from curation.hashing import Fingerprints, Search, connected_components
from curation.stages.dedup.match import Integers, Likeness, first_of, match_rows
from curation.stages.dedup.representatives import choose, rank

__all__ = ["Deduplicated", "dedup", "find_duplicates"]


class Deduplicated(NamedTuple):
    """The manifest after dedup, and the pairs that are nearly the same image."""

    manifest: Manifest
    borderline: Borderline


def dedup(
    manifest: Manifest,
    fingerprints: Fingerprints,
    rules: Duplicates,
    *,
    apart: frozenset[tuple[str, str]] = frozenset(),
    preferred: Mapping[str, int] | None = None,
    protected: frozenset[str] = frozenset(),
    search: Search | None = None,
    matches: Iterable[tuple[str, str]] = (),
) -> Manifest:
    """Return the manifest of ``find_duplicates``."""
    return find_duplicates(
        manifest,
        fingerprints,
        rules,
        apart=apart,
        preferred=preferred,
        protected=protected,
        search=search,
        matches=matches,
    ).manifest


def find_duplicates(
    manifest: Manifest,
    fingerprints: Fingerprints,
    rules: Duplicates,
    *,
    apart: frozenset[tuple[str, str]] = frozenset(),
    preferred: Mapping[str, int] | None = None,
    protected: frozenset[str] = frozenset(),
    search: Search | None = None,
    matches: Iterable[tuple[str, str]] = (),
) -> Deduplicated:
    """Find duplicates, name groups, choose representatives and mark disputes.

    Parameters
    ----------
    manifest : Manifest
        After quality. Rows that are excluded already still bear witness in groups and disputes.
    fingerprints : Fingerprints
        Aligned with the rows; those of files that cannot be decoded are ignored.
    rules : Duplicates
        The recipe's radius, correlation, tolerance, symmetries and whether near duplicates are excluded at all.
    apart : frozenset of (sha256, sha256)
        Pairs, smaller first, that a reviewer declared not to be duplicates.
    preferred : mapping of sha256 to int, optional
        What represents its duplicates before all others, the higher number first.
    protected : frozenset of sha256
        What was held out (test, val) before represents next, so that a grown dataset stays comparable.
    search : callable, optional
        What finds the candidates, such as an engine's; the result does not depend on it.
    matches : iterable of (sha256, sha256)
        Files that show the same scene: they share a group, and nothing is excluded for it.

    Returns
    -------
    Deduplicated
        The manifest has ``group``, ``representative``, ``distance``, ``correlation``, ``difference``, ``disputed``,
        ``claims`` and ``lookalikes`` filled, and duplicates excluded.
    """
    rows = manifest.rows
    likeness = match_rows(rows, fingerprints, rules, apart=apart, search=search)
    part = connected_components(rows.height, likeness.a, likeness.b)
    claims = name_disputes(rows, part)
    linked = np.flatnonzero(likeness.linked)
    some = rows.with_row_index("row")[linked]
    order = rank(some, claims["disputed"].gather(linked), preferred=preferred or {}, protected=protected)
    fate = choose(rows, likeness, order, near=rules.near, apart=apart)
    manifest = manifest.with_columns(
        name_groups(rows, likeness, matches), *claims, likeness.as_column(rows["id"]), *fate.columns()
    )
    return Deduplicated(manifest.exclude("dedup", fate.reasons(), fate.representatives()), likeness.borderline)


def name_groups(rows: pl.DataFrame, likeness: Likeness, matches: Iterable[tuple[str, str]] = ()) -> pl.Series:
    """Return each row's group: the smallest sha256 among all that look alike, match, or share a ``group_key`` or file.

    A match of a file that no source contains now is ignored.
    """
    every = np.arange(rows.height)
    key, file = first_of(rows["group_key"]), first_of(rows["sha256"])
    one, other = find_matches(rows["sha256"], matches)
    part = connected_components(
        rows.height, np.concatenate([likeness.a, key, file, one]), np.concatenate([likeness.b, every, every, other])
    )
    # The order of the sha256 as numbers: the smallest text of each part is then the smallest number.
    order = rows["sha256"].arg_sort(nulls_last=True).to_numpy()
    rank = np.empty(rows.height, np.int64)
    rank[order] = every
    smallest = np.full(rows.height, rows.height)
    np.minimum.at(smallest, part, rank)
    return rows["sha256"].gather(order[smallest[part]]).alias("group")


def find_matches(shas: pl.Series, matches: Iterable[tuple[str, str]]) -> tuple[Integers, Integers]:
    """Return the rows of both ends of the matches whose files are there, (k,) int64 each; a row of each file."""
    pairs = pl.DataFrame(list(matches), schema={"one": pl.String, "other": pl.String}, orient="row")
    rows = pl.DataFrame({"sha256": shas}).with_row_index("row").drop_nulls().unique("sha256", keep="first")
    for name in ("one", "other"):
        pairs = pairs.join(rows.rename({"sha256": name, "row": f"{name} row"}), on=name)
    ends = (pairs[f"{name} row"].to_numpy().astype(np.int64) for name in ("one", "other"))
    one, other = ends
    return one, other


def name_disputes(rows: pl.DataFrame, part: Integers) -> pl.DataFrame:
    """Return ``claims`` (sorted classes of the component where they differ, null else) and ``disputed``.

    A context row claims ``context:<source label>``; a relabelled row is settled, whatever its duplicates claim. Files
    that are not images claim nothing: two empty files are not one image under two labels.
    """
    context = pl.when(pl.col("source_label") != "").then(pl.lit("context:") + pl.col("source_label"))
    frame = rows.select(
        claim=pl.coalesce("label", context),
        settled=has_action("relabel"),
        part=pl.Series(part),
    )
    several = frame.filter(pl.Series(np.bincount(part, minlength=len(part))[part] > 1) & rows["width"].is_not_null())
    claims = several.group_by("part").agg(claims=pl.col("claim").drop_nulls().unique().sort())
    claims = claims.filter(pl.col("claims").list.len() > 1)
    place = np.full(len(part), -1, np.int64)
    place[claims["part"].to_numpy()] = np.arange(claims.height)
    return pl.DataFrame({"claims": claims["claims"].gather(pl.Series(place[part]).replace(-1, None))}).with_columns(
        disputed=pl.col("claims").is_not_null() & ~frame["settled"]
    )
