"""Chooses which row represents its duplicates, and which rows are excluded as duplicates of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from curation.dataset.manifest import has_action
from curation.hashing import INVERSE
from curation.reasons import Reason
from curation.stages.dedup.match import EXACT, NEAR, PIXELS, Integers, Likeness


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How a row resembles its representative: bits, thumbnail correlation, orientation, largest local difference."""

    kind: str
    distance: int = 0
    correlation: float = 1.0
    symmetry: int = 0
    difference: float = 0.0


@dataclass(frozen=True)
class Fate:
    """Who represents whom: excluded row -> the row that represents it and how it resembles that one."""

    ids: pl.Series
    excluded: Mapping[int, tuple[int, Resemblance]]

    def columns(self) -> list[pl.Series]:
        """Return ``representative`` (a row's own id where it represents others) and how each resembles it."""
        rows = np.fromiter(self.excluded, np.int64, len(self.excluded))
        by = np.fromiter((row for row, _ in self.excluded.values()), np.int64, len(rows))
        names = self._scatter(np.concatenate([by, rows]), np.concatenate([by, by]))
        return [
            self.ids.gather(names).alias("representative"),
            self._as_column([how.distance for _, how in self.excluded.values()], pl.UInt8).alias("distance"),
            self._as_column([how.correlation for _, how in self.excluded.values()], pl.Float32).alias("correlation"),
            self._as_column([how.difference for _, how in self.excluded.values()], pl.Float32).alias("difference"),
        ]

    def reasons(self) -> pl.Series:
        """Return why each duplicate is excluded, null for the others."""
        return self._as_column([_REASONS[how.kind].value for _, how in self.excluded.values()], pl.String)

    def representatives(self) -> pl.Series:
        """Return the id of the row that represents each duplicate, null for the others."""
        return self._as_column(self.ids.gather([row for row, _ in self.excluded.values()]), pl.String)

    def _as_column(self, values: Sequence[object] | pl.Series, kind: type[pl.DataType]) -> pl.Series:
        """Return a column of one value for each excluded row, in the order of ``excluded``, null for the others."""
        rows = np.fromiter(self.excluded, np.int64, len(self.excluded))
        return pl.Series(values, dtype=kind).gather(self._scatter(rows, np.arange(len(rows))))

    def _scatter(self, rows: Integers, numbers: Integers) -> pl.Series:
        """Return for each row its number, null where it has none."""
        place = np.full(len(self.ids), -1, np.int64)
        place[rows] = numbers
        return pl.Series(place).replace(-1, None)


_REASONS = {EXACT: Reason.EXACT_DUPLICATE, PIXELS: Reason.SAME_PIXELS, NEAR: Reason.NEAR_DUPLICATE}


def rank(
    rows: pl.DataFrame, disputed: pl.Series, *, preferred: Mapping[str, int], protected: frozenset[str]
) -> Integers:
    """Return the numbers of the kept rows, the best representative first, (k,) int64.

    Preferred by reviewers; a row of a class before a context row (else a class would lose images to its context);
    what was held out before; the test side before train (among rows of a class); undisputed before disputed; then
    the largest in pixels, the least compressed, the smallest sha256, the smallest id.

    Parameters
    ----------
    rows : polars.DataFrame
        Some of the manifest's rows; ``row`` is the number of each.
    """
    context = pl.col("label").is_null()
    side = pl.col("source_split").replace_strict({"test": 0, "val": 1}, default=2, return_dtype=pl.Int8)
    area = pl.col("width").cast(pl.Float64) * pl.col("height")
    keys: list[pl.Expr] = [
        -pl.col("sha256").replace_strict(dict(preferred), default=0, return_dtype=pl.Int64),
        context,
        ~pl.col("sha256").is_in(sorted(protected)),
        pl.when(context).then(0).otherwise(side.fill_null(2)),
        pl.lit(disputed),
        -area,
        -(pl.col("size_bytes") / area),
        pl.col("sha256"),
        pl.col("id"),
    ]
    frame = rows.select("row", "excluded_by", *(key.alias(f"key{place}") for place, key in enumerate(keys)))
    kept = frame.filter(pl.col("excluded_by").is_null())
    return kept.sort([f"key{place}" for place in range(len(keys))])["row"].to_numpy().astype(np.int64)


def choose(
    rows: pl.DataFrame, likeness: Likeness, order: Integers, *, near: bool, apart: frozenset[tuple[str, str]]
) -> Fate:
    """Walk the kept rows that resemble another, the best first: each that still stands represents its neighbors.

    These are excluded. A near duplicate that a reviewer decided to keep is spared (it stays in the group, so it cannot
    leak); so are all near duplicates where the recipe asks for it.
    """
    neighbours = _Neighbours(likeness)
    shas = rows["sha256"]
    spared = rows.select(has_action("keep")).to_series().to_numpy() | (not near)
    standing = rows["excluded_by"].is_null().to_numpy()
    settled = bytearray(rows.height)
    excluded: dict[int, tuple[int, Resemblance]] = {}
    for row in order.tolist():
        if row in excluded:
            continue
        settled[row] = True
        for other, how in neighbours.of(row):
            if settled[other] or not standing[other] or other in excluded:
                continue
            if how.kind == NEAR and spared[other]:
                continue
            if apart and how.kind != EXACT and (min(ends := (shas[row], shas[other])), max(ends)) in apart:
                continue
            excluded[other] = row, how
    return Fate(rows["id"], excluded)


class _Neighbours:
    """The confirmed duplicates of a row, the strongest kind first."""

    def __init__(self, likeness: Likeness) -> None:
        self._bytes = _Shared(likeness.same_bytes)
        self._pixels = _Shared(likeness.same_pixels)
        self._thumbnail = _Shared(likeness.same_thumbnail)
        self._near = _Pairs(likeness)

    def of(self, row: int) -> Iterator[tuple[int, Resemblance]]:
        """Yield every row that resembles ``row``, and how; a row may come again under a weaker kind."""
        yield from ((other, _SAME_BYTES) for other in self._bytes.with_row(row))
        yield from ((other, _SAME_PIXELS) for other in self._pixels.with_row(row))
        yield from ((other, _SAME_THUMBNAIL) for other in self._thumbnail.with_row(row))
        for equal, how in self._near.of(self._thumbnail.first(row)):
            yield from ((other, how) for other in self._thumbnail.with_row(equal))


_SAME_BYTES, _SAME_PIXELS, _SAME_THUMBNAIL = (Resemblance(kind) for kind in (EXACT, PIXELS, NEAR))


class _Pairs:
    """The confirmed pairs in both directions, looked up by either end: 22 bytes a direction."""

    def __init__(self, likeness: Likeness) -> None:
        ends = np.concatenate([likeness.i, likeness.j])
        order = np.argsort(ends, kind="stable")
        back = np.array(INVERSE, np.uint8)[likeness.symmetry]
        self._ends = ends[order]
        self._others = np.concatenate([likeness.j, likeness.i])[order].astype(np.int32)
        self._distance = np.tile(likeness.distance, 2)[order]
        self._correlation = np.tile(likeness.correlation, 2)[order]
        self._symmetry = np.concatenate([likeness.symmetry, back])[order]
        self._difference = np.tile(likeness.difference, 2)[order]

    def of(self, row: int) -> Iterator[tuple[int, Resemblance]]:
        part = slice(*np.searchsorted(self._ends, (row, row + 1)))
        columns = (self._others, self._distance, self._correlation, self._symmetry, self._difference)
        for other, *measured in zip(*(column[part].tolist() for column in columns), strict=True):
            yield other, Resemblance(NEAR, *measured)


class _Shared:
    """The rows that share a value, looked up by any of them."""

    def __init__(self, same: Integers) -> None:
        self._same = same
        self._members: dict[int, list[int]] = {}
        for ray in np.flatnonzero(same != np.arange(len(same))).tolist():
            self._members.setdefault(int(same[ray]), [int(same[ray])]).append(ray)

    def first(self, row: int) -> int:
        return int(self._same[row])

    def with_row(self, row: int) -> list[int]:
        return self._members.get(int(self._same[row]), [row])
