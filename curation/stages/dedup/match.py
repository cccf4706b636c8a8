"""Matches rows: by bytes, by pixels, by thumbnail, and by hash confirmed by thumbnail and detail."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.dataset.borderline import LISTED, NARROW, Borderline, BorderlinePair
from curation.dataset.columns import LOOKALIKE
from curation.dataset.recipe import Duplicates
from curation.hashing import INVERSE, ComparedPairs, ConfirmedPairs, Fingerprints, Search, confirmed_pairs

Integers: TypeAlias = npt.NDArray[np.int64]

EXACT, PIXELS, NEAR = "exact", "same pixels", "near"
_KINDS = pl.Enum([EXACT, PIXELS, NEAR])


@dataclass(frozen=True)
class Likeness:
    """Confirmed duplicates among n rows.

    Parameters
    ----------
    same_bytes, same_pixels, same_thumbnail : (n,) int64 ndarray
        For each row the one row that stands for all that share it; its own number where none does.
    i, j : (m,) int64 ndarray
        Confirmed pairs of rows that stand for all of their thumbnail.
    distance, correlation, symmetry : (m,) ndarray of uint8, float32, uint8
        Of each pair: bits, thumbnail correlation, and the orientation in which j resembles i.
    difference : (m,) float32 ndarray
        The largest local difference, relative to the calibrated limit.
    borderline : Borderline
        The pairs that are nearly the same.
    """

    same_bytes: Integers
    same_pixels: Integers
    same_thumbnail: Integers
    i: Integers
    j: Integers
    distance: npt.NDArray[np.uint8]
    correlation: npt.NDArray[np.float32]
    symmetry: npt.NDArray[np.uint8]
    difference: npt.NDArray[np.float32]
    borderline: Borderline

    @property
    def a(self) -> Integers:
        """One end of every edge; those of equal bytes, pixels or thumbnails are stars, so a thousand blanks are 999."""
        return np.concatenate([*(_star(same)[0] for same in self._equal()), self.i])

    @property
    def b(self) -> Integers:
        """The other end of every edge."""
        return np.concatenate([*(_star(same)[1] for same in self._equal()), self.j])

    @property
    def linked(self) -> npt.NDArray[np.bool_]:
        """Which rows resemble another, (n,)."""
        linked = np.zeros(len(self.same_bytes), np.bool_)
        linked[self.a] = True
        linked[self.b] = True
        return linked | linked[self.same_thumbnail]

    def _equal(self) -> tuple[Integers, Integers, Integers]:
        return self.same_bytes, self.same_pixels, self.same_thumbnail

    def as_column(self, ids: pl.Series) -> pl.Series:
        """Return for each row its direct duplicates (id, kind, distance, correlation, symmetry), sorted by id.

        ``ids`` ascend, as a manifest's do.
        """
        kinds = [*zip((EXACT, PIXELS, NEAR), self._equal(), strict=True)]
        tables = [_edges(*_star(same), kind=kind) for kind, same in kinds]
        near: dict[str, Any] = {"kind": NEAR, "distance": self.distance, "correlation": self.correlation}
        tables.append(_table(self.i, self.j, **near, symmetry=self.symmetry))
        tables.append(_table(self.j, self.i, **near, symmetry=np.array(INVERSE, np.uint8)[self.symmetry]))
        edges = pl.concat(tables).unique(["row", "other"], keep="first", maintain_order=True).sort("row", "other")
        edges = edges.with_columns(id=ids.gather(edges["other"]))
        names = [field.name for field in LOOKALIKE.fields]
        lists = edges.group_by("row", maintain_order=True).agg(lookalikes=pl.struct(names))
        place = np.full(len(ids), -1, np.int64)
        place[lists["row"].to_numpy()] = np.arange(lists.height)
        return lists["lookalikes"].cast(pl.List(LOOKALIKE)).gather(pl.Series(place).replace(-1, None))


def match_rows(
    rows: pl.DataFrame,
    fingerprints: Fingerprints,
    rules: Duplicates,
    *,
    apart: frozenset[tuple[str, str]],
    search: Search | None = None,
) -> Likeness:
    """Return all confirmed duplicates, except the pairs that a reviewer declared not to be duplicates.

    Rows are compared in the order of their sha256: the distance of two hashes in another orientation hangs a little on
    which of the two is turned, and a file's name must not decide that.
    """
    order = rows["sha256"].arg_sort(nulls_last=True).to_numpy()
    shas = rows["sha256"].gather(order)
    flat = rows["flat"].fill_null(value=True)
    pairs = confirmed_pairs(
        fingerprints.reorder(order),
        radius=rules.radius,
        correlation=rules.correlation,
        tolerance=rules.tolerance,
        symmetries=rules.symmetries and rules.hash == "phash",
        eligible=(rows["phash"].is_not_null() & ~flat).to_numpy()[order],
        # A veto is about this image and must not apply to others with the same thumbnail.
        alone=shas.is_in(sorted({sha for pair in apart for sha in pair})).fill_null(value=False).to_numpy(),
        search=search,
    )
    stands = _stand(shas, pairs.i, pairs.j, apart)
    same_thumbnail = np.empty(rows.height, dtype=np.int64)
    same_thumbnail[order] = order[pairs.first]
    return Likeness(
        first_of(_page_name(rows)),
        first_of(rows["pixel_sha256"]),
        same_thumbnail,
        order[pairs.i[stands]].astype(np.int64),
        order[pairs.j[stands]].astype(np.int64),
        pairs.distance[stands],
        pairs.correlation[stands].astype(np.float32),
        pairs.symmetry[stands],
        pairs.difference[stands],
        _find_borderline(pairs, stands, rows["id"].gather(order), rules.tolerance),
    )


def _find_borderline(
    pairs: ConfirmedPairs, stands: npt.NDArray[np.bool_], ids: pl.Series, tolerance: float
) -> Borderline:
    """Return the pairs nearest to the limit; ``ids`` are in the order in which the rows were compared."""
    narrow = np.flatnonzero(stands & (pairs.difference > NARROW * tolerance))
    nearest = narrow[np.lexsort((pairs.j[narrow], pairs.i[narrow], -pairs.difference[narrow]))][:LISTED][::-1]
    inside, outside = (
        _name_pairs(found, ids, same=same) for found, same in ((pairs.take(nearest), True), (pairs.nearest, False))
    )
    return Borderline(tolerance, pairs.rejected, len(narrow), (*inside, *outside[:LISTED]))


def _name_pairs(pairs: ComparedPairs, ids: pl.Series, *, same: bool) -> tuple[BorderlinePair, ...]:
    columns = (pairs.i, pairs.j, pairs.difference, pairs.distance, pairs.correlation, pairs.symmetry)
    return tuple(
        BorderlinePair(ids[i], ids[j], same, round(difference, 4), distance, round(correlation, 6), symmetry)
        for i, j, difference, distance, correlation, symmetry in zip(*(each.tolist() for each in columns), strict=True)
    )


def _page_name(rows: pl.DataFrame) -> pl.Series:
    """Return what names the bytes of a page: pages of one file are not copies of one another."""
    page = pl.col("page").fill_null(1)
    return rows.select(pl.when(page > 1).then(pl.format("{}#{}", "sha256", page)).otherwise("sha256")).to_series()


def first_of(column: pl.Series) -> Integers:
    """Return for each row the first row with the same value, (n,) int64; a null shares nothing."""
    rows = pl.int_range(len(column), eager=True, dtype=pl.Int64)
    frame = pl.DataFrame({"value": column, "row": rows})
    first = frame.select(pl.when(pl.col("value").is_null()).then("row").otherwise(pl.col("row").min().over("value")))
    return first.to_series().to_numpy()


def _stand(shas: pl.Series, i: Integers, j: Integers, apart: frozenset[tuple[str, str]]) -> npt.NDArray[np.bool_]:
    if not apart:
        return np.ones(len(i), dtype=bool)
    ends = zip(shas.gather(i), shas.gather(j), strict=True)
    return np.array([(min(pair), max(pair)) not in apart for pair in ends], dtype=bool)


def _star(same: Integers) -> tuple[Integers, Integers]:
    ray = np.flatnonzero(same != np.arange(len(same)))
    return same[ray], ray


def _edges(centre: Integers, ray: Integers, *, kind: str) -> pl.DataFrame:
    exact: dict[str, Any] = {"kind": kind, "distance": 0, "correlation": 1.0, "symmetry": 0}
    return pl.concat([_table(centre, ray, **exact), _table(ray, centre, **exact)])


def _table(row: Integers, other: Integers, **columns: str | float | npt.NDArray[Any]) -> pl.DataFrame:
    kinds = {field.name: field.dtype for field in LOOKALIKE.fields if field.name != "id"} | {"kind": _KINDS}
    filled = [
        (pl.Series(value) if isinstance(value, np.ndarray) else pl.lit(value)).cast(kinds[name]).alias(name)
        for name, value in columns.items()
    ]
    return pl.DataFrame({"row": row, "other": other}).with_columns(filled)
