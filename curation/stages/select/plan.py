"""Which group lies on which side, and which of its samples are taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import Split
from curation.stages.select.pool import HELD_OUT, NOWHERE, NUMBER, Flags, Numbers, Pool, Sides

Targets = Mapping[str, Mapping[Split, int]]

_TRAIN = NUMBER["train"]


@dataclass
class SplitPlan:
    """The sides of groups while the splits are made; a group without a side lies in train if no split takes it."""

    pool: Pool
    side: Sides = field(init=False)

    def __post_init__(self) -> None:
        self.side = self.pool.given.copy()

    def lies(self, part: slice) -> Sides:
        """Return on which side the group of each candidate lies as things stand."""
        side = self.side[self.pool.group[part]]
        side[side == NOWHERE] = _TRAIN
        return side

    def usable(self, label: str, split: Split) -> Numbers:
        """Return the class's candidates that may stand in a split.

        Undisputed before disputed, then who was there before, then who belongs there before who refills, in order.
        """
        pool, part, number = self.pool, self.pool.labels.get(label, slice(0, 0)), NUMBER[split]
        found = np.flatnonzero((self.lies(part) == number) & pool.may_stand[number, part]) + part.start
        behind = pool.disputed[found] * np.uint8(4) + (pool.before[found] != number) * np.uint8(2)
        if split in HELD_OUT:
            behind += pool.refills[found]
        best_first: Numbers = found[np.argsort(behind, kind="stable")]
        return best_first

    def free_groups(self, label: str, split: Split) -> tuple[Numbers, Numbers]:
        """Return the free groups in order, the source's train last, and how many of the class each would bring."""
        pool, part = self.pool, self.pool.labels.get(label, slice(0, 0))
        free = (self.side[pool.group[part]] == NOWHERE) & pool.may_stand[NUMBER[split], part]
        found = np.flatnonzero(free) + part.start
        groups, first, group, gains = np.unique(
            pool.group[found], return_index=True, return_inverse=True, return_counts=True
        )
        reluctant = np.zeros(len(groups), np.bool_)
        reluctant[group[pool.refills[found]]] = True
        order = np.lexsort((first, reluctant))
        return groups[order], gains[order]

    def fill(self, label: str, split: Split, count: int) -> None:
        """Move free groups to a held-out side until the class can have its count there.

        Those that fit whole come first, in hash order, so that little is left over.
        """
        need = count - len(self.usable(label, split))
        for whole in (True, False):
            if need <= 0:
                return
            groups, gains = self.free_groups(label, split)
            moved = _fit_whole(gains, need) if whole else np.cumsum(gains) - gains < need
            self.side[groups[moved]] = NUMBER[split]
            need -= int(gains[moved].sum())

    def take(self, targets: Targets, *, exact: bool) -> Sides:
        """Return the split of each candidate that is taken; whole held-out groups, unless counts are to be exact."""
        chosen = np.full(len(self.pool.row), NOWHERE, np.int8)
        for label, wanted in targets.items():
            for split, count in wanted.items():
                chosen[self.usable(label, split)[: count if exact else None]] = NUMBER[split]
        return chosen

    def release(self, chosen: Sides) -> None:
        """Return the groups to train that were moved to a held-out side and of which no image was taken there."""
        needed = self.pool.given != NOWHERE
        needed[self.pool.group[chosen > _TRAIN]] = True
        self.side[~needed] = NOWHERE


def _fit_whole(gains: npt.NDArray[np.int64], need: int) -> Flags:
    """Return who is taken by a walk that takes each that still fits whole."""
    taken = np.zeros(len(gains), np.bool_)
    for place, gain in enumerate(gains.tolist()):
        if gain <= need:
            taken[place] = True
            need -= gain
            if need == 0:
                break
    return taken


def choose(pool: Pool, targets: Targets) -> tuple[SplitPlan, Sides]:
    """Return the sides of the groups and the split of each candidate, for exact counts.

    Groups that hold several classes make one order of serving them fail where another does not: a few are tried, and
    the first that falls short of nothing is taken, else the one that falls short of least.
    """
    labels = list(targets)
    orders = [labels, labels[::-1], sorted(labels, key=pool.count)]
    tried: list[tuple[int, int, SplitPlan, Sides]] = []
    for order in orders:
        for first in HELD_OUT:
            plan = SplitPlan(pool)
            for split in sorted(HELD_OUT, key=lambda split: split != first):
                for label in order:
                    plan.fill(label, split, targets[label].get(split, 0))
            plan.release(plan.take(targets, exact=True))
            chosen = plan.take(targets, exact=True)
            missing = count_missing(pool, targets, chosen)
            if not missing:
                return plan, chosen
            tried.append((missing, len(tried), plan, chosen))
    _, _, plan, chosen = min(tried, key=lambda attempt: attempt[:2])
    return plan, chosen


def count_missing(pool: Pool, targets: Targets, chosen: Sides) -> int:
    """Return how many samples are missing to the targets."""
    return sum(
        max(0, count - int(np.count_nonzero(chosen[pool.labels.get(label, slice(0, 0))] == NUMBER[split])))
        for label, wanted in targets.items()
        for split, count in wanted.items()
    )


def held_before(pool: Pool, label: str) -> dict[Split, int]:
    """Return how many of a class each held-out split of the previous version had that may still stand there."""
    part = pool.labels.get(label, slice(0, 0))
    lies = SplitPlan(pool).lies(part)
    there = {split: (pool.before[part] == NUMBER[split]) & (lies == NUMBER[split]) for split in HELD_OUT}
    return {split: int(np.count_nonzero(found & pool.may_stand[NUMBER[split], part])) for split, found in there.items()}


def share_out(
    size: int, ratios: Mapping[Split, float], *, least: Mapping[Split, int] | None = None
) -> dict[Split, int]:
    """Return whole numbers that add up to ``size`` in the given ratios, by largest remainder.

    A split that has to hold at least so many takes what it lacks from train.

    >>> share_out(11, {"train": 0.8, "val": 0.1, "test": 0.1})
    {'train': 9, 'val': 1, 'test': 1}
    >>> share_out(11, {"train": 0.8, "val": 0.1, "test": 0.1}, least={"test": 3})
    {'train': 7, 'val': 1, 'test': 3}
    """
    exact = {split: Fraction(str(ratio)) * size for split, ratio in ratios.items()}
    shares = {split: int(share) for split, share in exact.items()}
    left = size - sum(shares.values())
    by_remainder = sorted(exact, key=lambda split: (shares[split] - exact[split], SPLITS.index(split)))
    whole = {split: shares[split] + (split in by_remainder[:left]) for split in ratios}
    for split, count in (least or {}).items():
        lacks = min(max(0, count - whole.get(split, count)), whole.get("train", 0))
        if lacks:
            whole[split] += lacks
            whole["train"] -= lacks
    return whole
