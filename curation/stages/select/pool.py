"""Draws the candidates of a selection from the manifest, in an order that no file's name and no shuffle decides.

Everything is a number in an array, one place a candidate: a million of them take some tens of megabytes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import Selection, Split
from curation.errors import CurationError, ErrorCode

Flags: TypeAlias = npt.NDArray[np.bool_]
Sides: TypeAlias = npt.NDArray[np.int8]
Numbers: TypeAlias = npt.NDArray[np.int64]

HELD_OUT: tuple[Split, ...] = ("test", "val")
NUMBER: Mapping[Split, int] = {"train": 0, "val": 1, "test": 2}
"""Of several sides that a group is given, the one of the largest number wins."""
NOWHERE: Final = -1
_NAMED: Final = 3
"""Groups that an error names."""
_HASHED: Final = 65_536  # names that are Python objects at once


@dataclass(frozen=True)
class Pool:
    """The kept rows of the classes: class by class, within a class by the keyed hashes of group and sample.

    Parameters
    ----------
    labels : mapping
        Class -> where its candidates lie in the arrays.
    row : (n,) int64 ndarray
        Number of the manifest's row.
    group : (n,) int64 ndarray
        Number of the group.
    side : (n,) int8 ndarray
        The source's own split, where it binds, as ``NUMBER`` has it; else ``NOWHERE``.
    before : (n,) int8 ndarray
        The split it had in the previous version, or ``NOWHERE``.
    disputed : (n,) bool ndarray
    refills : (n,) bool ndarray
        An image of the source's train that may fill a held-out split that is short.
    given : (groups,) int8 ndarray
        The side of each group by the source or the previous version, or ``NOWHERE``.
    key : (groups,) uint64 ndarray
        The keyed hash of each group.
    """

    labels: Mapping[str, slice]
    row: Numbers
    group: Numbers
    side: Sides
    before: Sides
    disputed: Flags
    refills: Flags
    given: Sides
    key: npt.NDArray[np.uint64]

    def count(self, label: str) -> int:
        """Return how many candidates a class has."""
        part = self.labels.get(label, slice(0, 0))
        return int(part.stop - part.start)

    def count_groups(self, label: str) -> int:
        """Return how many groups the candidates of a class are."""
        return len(np.unique(self.group[self.labels.get(label, slice(0, 0))]))

    def follow(self, chosen: Sides) -> "Pool":
        """Return the pool as the next build draws it, after a version with these splits of the candidates."""
        given = np.full(len(self.given), NOWHERE, np.int8)
        binding = (self.side != NOWHERE) & ~self.refills
        np.maximum.at(given, self.group[binding], self.side[binding])
        held_out = chosen > NUMBER["train"]
        np.maximum.at(given, self.group[held_out], chosen[held_out])
        return replace(self, before=chosen, given=given)

    @cached_property
    def may_stand(self) -> npt.NDArray[np.bool_]:
        """Return where each image may be, (3, n): the source's train never in test, disputed ones only in train."""
        allowed = np.empty((len(SPLITS), len(self.row)), np.bool_)
        for split, number in NUMBER.items():
            own = (self.side == NOWHERE) | (self.side == number)
            held_out = ~self.disputed & (own | (self.before == number) | self.refills)
            allowed[number] = own if split == "train" else held_out
        return allowed


def draw_pool(rows: pl.DataFrame, rule: Selection, *, previous: pl.DataFrame | None) -> Pool:
    """Return the kept rows as candidates, and the sides that are given.

    A group with any image of the previous test (or val) stays on that side, also where that image is excluded now: a
    near duplicate of a tested image must not be trained on.

    Raises
    ------
    CurationError
        GROUP_SPANS_SPLITS where a group has images of the previous test and of the previous val.
    """
    needed = rows.select("id", "group", "label", "source_split", "sha256", "excluded_by", "disputed", page=_PAGE)
    kept = needed.with_row_index("row").filter(pl.col("excluded_by").is_null()).drop("excluded_by")
    groups = kept.select(pl.col("group").unique(maintain_order=True)).with_row_index("number")
    numbered = kept.join(groups, on="group", how="left", maintain_order="left")
    group = numbered["number"].to_numpy().astype(np.int64)
    side = _as_sides(kept["source_split"]) if rule.source_split == "respect" else np.full(kept.height, NOWHERE, np.int8)
    refills = (side == NUMBER["train"]) & rule.refill_test
    before, given = _look_back(needed, kept, groups, previous, wanted=_splits_of(rule))
    binding = (side != NOWHERE) & ~refills
    np.maximum.at(given, group[binding], side[binding])
    names = kept.select(pl.format("{}#{}", "sha256", "page")).to_series()
    number = kept["label"].rank("dense").to_numpy()
    key = hash_names(rule.seed, groups["group"])
    # Where groups are whole, the order within one is of no effect, and hashing it takes most of the time.
    whole = rule.ratios is not None and not rule.balance
    order = np.lexsort((key[group], number) if whole else (hash_names(rule.seed, names), key[group], number))
    starts = np.searchsorted(number[order], np.arange(1, number.max(initial=0) + 2))
    labels = kept["label"].unique().sort().to_list()
    return Pool(
        {label: slice(int(starts[n]), int(starts[n + 1])) for n, label in enumerate(labels)},
        kept["row"].to_numpy().astype(np.int64)[order],
        group[order],
        side[order],
        before[order],
        kept["disputed"].fill_null(value=False).to_numpy()[order],
        refills[order],
        given,
        key,
    )


_PAGE = pl.col("page").fill_null(1)


def _look_back(
    rows: pl.DataFrame, kept: pl.DataFrame, groups: pl.DataFrame, previous: pl.DataFrame | None, *, wanted: set[str]
) -> tuple[Sides, Sides]:
    """Return the split that each kept row had before, and the held-out side that each group is bound to by that."""
    before, given = np.full(kept.height, NOWHERE, np.int8), np.full(groups.height, NOWHERE, np.int8)
    if previous is None or not previous.height:
        return before, given
    on = ["sha256", "page"]
    earlier = previous.select(*on, "split").filter(pl.col("split").is_in(sorted(wanted)))
    last = earlier.unique(on, keep="last", maintain_order=True)
    before = _as_sides(kept.select(on).join(last, on=on, how="left", maintain_order="left")["split"])
    held_out = earlier.filter(pl.col("split").is_in(HELD_OUT))
    _check_sides(rows.select("id", *on, "group").join(held_out, on=on))
    bound = rows.select(*on, "group").join(held_out, on=on).join(groups, on="group")
    np.maximum.at(given, bound["number"].to_numpy(), _as_sides(bound["split"]))
    return before, given


def _check_sides(held_out: pl.DataFrame) -> None:
    """Raise where a group has images of the previous test and val: one of them would have to move."""
    spanning = held_out.filter(pl.col("split").n_unique().over("group") > 1).sort("group", "id")
    if not spanning.height:
        return
    moving = spanning.filter(pl.col("split") == "val").unique(["sha256", "page"], maintain_order=True)
    pairs = spanning.group_by("group", maintain_order=True).agg(
        pl.col("id").filter(pl.col("split") == split).first().alias(split) for split in HELD_OUT
    )
    named = [f"{test} ({HELD_OUT[0]}) and {val} ({HELD_OUT[1]})" for _, test, val in pairs.head(_NAMED).iter_rows()]
    more = [f"and {pairs.height - _NAMED} more"] if pairs.height > _NAMED else []
    groups = "1 group joins" if pairs.height == 1 else f"{pairs.height} groups join"
    images = "1 image" if moving.height == 1 else f"{moving.height} images"
    raise CurationError(
        ErrorCode.GROUP_SPANS_SPLITS,
        f"{groups} images that earlier versions have in test and in val; {images} would move from val to test: "
        f"{'; '.join([*named, *more])}",
        hint='`selection.previous = "none"` in the recipe draws a new split. If these images do not belong together, '
        "change the source's `group`, or separate two near duplicates with `decide --not-duplicates`.",
    )


def _as_sides(splits: pl.Series) -> Sides:
    return splits.replace_strict(dict(NUMBER), default=NOWHERE, return_dtype=pl.Int8).fill_null(NOWHERE).to_numpy()


def _splits_of(rule: Selection) -> set[str]:
    if rule.ratios is not None:
        return set(rule.ratios)
    tables = [value for value in (rule.counts or {}).values() if isinstance(value, dict)]
    named: list[str] = [*(rule.counts or {}), *(split for table in tables for split in table)]
    return {split for split in named if split in SPLITS}


def hash_names(seed: int, names: pl.Series) -> npt.NDArray[np.uint64]:
    """Return the first eight bytes of the sha256 of seed and name, as numbers."""
    start = f"{seed}/".encode()
    parts = [
        b"".join(hashlib.sha256(start + name.encode()).digest()[:8] for name in names[at : at + _HASHED])
        for at in range(0, len(names), _HASHED)
    ]
    return np.frombuffer(b"".join(parts), ">u8").astype(np.uint64)
