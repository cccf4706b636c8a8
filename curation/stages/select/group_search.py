"""Assigns whole groups to splits so that every class comes as near to its shares as the groups allow.

The start follows the keyed hash of the groups, so that one group more moves few others. Then the best move of one
group, or exchange of two, is made until none brings the classes nearer. What is minimized is the sum over classes and
splits of the squared difference between share and goal; before that, the number of classes missing from a split;
after that, the same sum for all images together.

The bound: where the groups of a class hold that class alone and none is fixed, no move helps any more, so a split is
above its share by less than the smallest group that lies in it, and below by less than the largest of the smallest
groups of the other splits (two thirds of that with three splits).

All sums have a fixed order, so that the result is the same on every machine.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

TOLERANCE: Final = 0.01
"""A point: groups that were in train before leave it only where a class misses a goal by more."""
STARTS: Final = 16
"""Starts of the search among few groups, of which the best result is taken."""
FEW: Final = 400
"""Up to so many groups several starts are tried; of a class, so many groups are compared for exchanges."""
_EMPTY: Final = 1e3  # a class missing from a split outweighs any difference of shares
_TOGETHER: Final = 1e-3  # the weight of all images together: it decides between equals
_LEAST: Final = 1e-8  # of a group's own weight: less is rounding
_STEPS: Final = 5_000
_PAIRS: Final = 2e7  # comparisons of one exchange


@dataclass(frozen=True)
class Groups:
    """The groups that are to be assigned, sorted by their keyed hash: cells of group, class and images.

    Parameters
    ----------
    count : int
        Number of groups.
    group, label, images : (m,) int64 ndarray
        The cells, sorted by group: how many images of a class a group has.
    """

    count: int
    group: Numbers
    label: Numbers
    images: Numbers


@dataclass
class GroupSearch:
    """A search for the split of each group.

    Parameters
    ----------
    groups : Groups
    sizes : (classes,) int64 ndarray
        Images of each class, those of fixed groups included.
    goals : (classes, splits) float64 ndarray
        The share of each split in each class; each row adds up to 1.
    fixed, fixed_groups : (classes, splits) int64 ndarray
        Images and groups that lie in a split already.
    """

    groups: Groups
    sizes: Numbers
    goals: Floats
    fixed: Numbers
    fixed_groups: Numbers
    side: Numbers = field(init=False)
    _share: Floats = field(init=False)
    _square: Floats = field(init=False)
    _part: Floats = field(init=False)
    _due: Flags = field(init=False)

    def __post_init__(self) -> None:
        groups = self.groups
        self._share = groups.images / np.maximum(1, self.sizes)[groups.label]
        self._square = self._sum(self._share * self._share)
        self._part = self._sum(groups.images.astype(np.float64)) / max(1, int(self.sizes.sum()))
        self._due = self.goals * self.sizes[:, None] >= 0.5
        self.side = np.zeros(groups.count, np.int64)

    def _sum(self, values: Floats) -> Floats:
        """Return the sum of each group's cells, in their order."""
        return np.bincount(self.groups.group, values, minlength=self.groups.count).astype(np.float64)

    def count(self) -> tuple[Numbers, Numbers]:
        """Return the images and the groups of each class in each split."""
        place = self.groups.label * self.goals.shape[1] + self.side[self.groups.group]
        images = np.bincount(place, self.groups.images, minlength=self.goals.size).astype(np.int64)
        members = np.bincount(place, minlength=self.goals.size)
        return self.fixed + images.reshape(self.goals.shape), self.fixed_groups + members.reshape(self.goals.shape)

    def _is_empty(self, members: Numbers) -> Flags:
        """Return where a class is missing from a split of which its share is half an image or more."""
        empty: Flags = (members == 0) & self._due
        return empty

    def misses(self, images: Numbers) -> Floats:
        """Return by how much each class is above its goal in each split, as a share."""
        shares = images / np.maximum(1, self.sizes)[:, None]
        return np.where(self.sizes[:, None] > 0, shares - self.goals, 0.0)

    def cost(self) -> float:
        """Return what the search minimizes."""
        images, members = self.count()
        misses = self.misses(images)
        together = _together(images, self.goals, self.sizes)
        squares = sum((misses * misses).ravel().tolist()) + _TOGETHER * sum((together * together).tolist())
        return _EMPTY * int(self._is_empty(members).sum()) + float(squares)

    def worst(self) -> float:
        """Return the largest miss of any class; infinite where a class is missing from a split."""
        images, members = self.count()
        return float("inf") if self._is_empty(members).any() else float(np.abs(self.misses(images)).max())

    def is_exact(self) -> bool:
        """Return whether no class misses a goal by an image or more."""
        images, members = self.count()
        wanted = self.goals * self.sizes[:, None]
        return not self._is_empty(members).any() and bool((np.abs(images - wanted) < 1).all())

    def start(self, order: Numbers, turn: float = 0.0) -> None:
        """Assign all groups by their order: those of the same classes are cut in the shares that are still missing.

        Parameters
        ----------
        order : (n,) int64 ndarray
            The groups, those first that go to the last split first.
        turn : float
            Where on the circle of the order the cuts begin, 0 to 1.
        """
        missing = np.maximum(0.0, -self.misses(self._count_others(order)))
        weight = self._sum(self._share)
        for kind, members in self._kinds(order):
            need = np.zeros(self.goals.shape[1])
            for label in kind:
                need += missing[label]
            if need.sum() == 0:
                need[0] = 1.0
            edges = np.cumsum(need[::-1])
            ends = np.cumsum(weight[members])
            middle = (ends - weight[members] / 2) / ends[-1]
            place = np.searchsorted(edges[:-1] / edges[-1], (middle + turn) % 1.0, side="right")
            self.side[members] = len(need) - 1 - place

    def _count_others(self, order: Numbers) -> Numbers:
        """Return the images of each class in each split, those of some groups not counted."""
        others = np.ones(self.groups.count, np.bool_)
        others[order] = False
        cells = others[self.groups.group]
        place = (self.groups.label * self.goals.shape[1] + self.side[self.groups.group])[cells]
        images = np.bincount(place, self.groups.images[cells], minlength=self.goals.size).astype(np.int64)
        return self.fixed + images.reshape(self.goals.shape)

    def _kinds(self, order: Numbers) -> list[tuple[tuple[int, ...], Numbers]]:
        """Return the groups by the set of their classes, each in the given order."""
        starts = np.searchsorted(self.groups.group, np.arange(self.groups.count + 1))
        several = np.diff(starts) > 1
        kind = self.groups.label[starts[:-1]].copy()
        names: dict[tuple[int, ...], int] = {(label,): label for label in range(len(self.sizes))}
        for group in np.flatnonzero(several).tolist():
            labels = tuple(self.groups.label[starts[group] : starts[group + 1]].tolist())
            kind[group] = names.setdefault(labels, len(names))
        sorted_by_kind = order[np.argsort(kind[order], kind="stable")]
        edges = np.searchsorted(kind[sorted_by_kind], np.arange(len(names) + 1))
        parts = [sorted_by_kind[edges[number] : edges[number + 1]] for number in range(len(names))]
        return [(labels, parts[number]) for labels, number in names.items() if len(parts[number])]

    def improve(self, *, down_to: float = 0.0, only: Flags | None = None) -> None:
        """Move or exchange groups until nothing brings the classes nearer to their goals.

        Parameters
        ----------
        down_to : float
            Stop as soon as no class misses a goal by more.
        only : (n,) bool ndarray, optional
            The groups that may be moved.
        """
        only = np.ones(self.groups.count, np.bool_) if only is None else only
        for _ in range(_STEPS):
            if not only.any() or (down_to and self.worst() <= down_to):
                return
            if not (self._move(only) or self._exchange(only)):
                return

    def _move(self, only: Flags) -> bool:
        """Make the best move of one group; False where none helps."""
        images, members = self.count()
        misses, together = self.misses(images), _together(images, self.goals, self.sizes)
        cells, splits = self.groups, self.goals.shape[1]
        here = self.side[cells.group]
        empties = (members == 1) & self._due
        fills = (members == 0) & self._due
        gain = np.empty((splits, cells.count))
        for split in range(splits):
            nearer = self._share * (misses[cells.label, split] - misses[cells.label, here])
            lost = empties[cells.label, here].astype(np.float64) - fills[cells.label, split]
            whole = self._part * (together[split] - together[self.side]) + self._part * self._part
            gain[split] = 2 * (self._sum(nearer) + self._square + _TOGETHER * whole) + _EMPTY * self._sum(lost)
        gain[self.side, np.arange(cells.count)] = np.inf
        gain[:, ~only] = np.inf
        relative = np.where(gain < -_LEAST * self._square, gain, np.inf)
        split, group = divmod(int(np.argmin(relative)), cells.count)
        if not np.isfinite(relative[split, group]):
            return False
        self.side[group] = split
        return True

    def _exchange(self, only: Flags) -> bool:
        """Make the best exchange of two groups of the class that misses most, else of the next; False if none helps."""
        images, members = self.count()
        misses = self.misses(images)
        for label in np.argsort(-np.abs(misses).max(axis=1), kind="stable").tolist():
            of_class = self.groups.group[self.groups.label == label]
            found = of_class[only[of_class]][:FEW]
            if len(found) > 1 and self._exchange_among(found, misses, members):
                return True
        return False

    def _exchange_among(self, found: Numbers, misses: Floats, members: Numbers) -> bool:
        place = np.full(self.groups.count, -1)
        place[found] = np.arange(len(found))
        cells = np.flatnonzero(place[self.groups.group] >= 0)
        labels = np.unique(self.groups.label[cells])
        if len(found) ** 2 * len(labels) > _PAIRS:
            return False
        side = self.side[found]
        one, other = side[:, None], side[None, :]
        gain = np.zeros((len(found), len(found)))
        lost = np.zeros((len(found), len(found)), np.int64)
        for label in labels.tolist():
            share = np.zeros(len(found))
            mine = cells[self.groups.label[cells] == label]
            share[place[self.groups.group[mine]]] = self._share[mine]
            moved = share[:, None] - share[None, :]
            miss, inside, due = misses[label], members[label], self._due[label]
            gain += 2 * moved * (miss[other] - miss[one]) + 2 * moved * moved
            has = (share > 0).astype(np.int64)
            change = has[:, None] - has[None, :]
            left, right = inside[one] * due[one], inside[other] * due[other]
            lost += ((left == 1) & (change > 0)).astype(np.int64) + ((right == 1) & (change < 0))
            lost -= ((inside[one] == 0) & due[one] & (change < 0)).astype(np.int64)
            lost -= (inside[other] == 0) & due[other] & (change > 0)
        gain += _EMPTY * lost
        own = self._square[found]
        gain[(one == other) | (gain >= -_LEAST * np.maximum(own[:, None], own[None, :]))] = np.inf
        first, second = divmod(int(np.argmin(gain)), len(found))
        if not np.isfinite(gain[first, second]):
            return False
        self.side[found[first]], self.side[found[second]] = side[second], side[first]
        return True


def search(groups: GroupSearch, order: Numbers, *, soft: Flags) -> Numbers:
    """Return the split of each group.

    Parameters
    ----------
    groups : GroupSearch
    order : (n,) int64 ndarray
        The groups that have no split yet, those first that go to the last split first.
    soft : (n,) bool ndarray
        Groups that were in the first split before: they leave it only where a class misses its goal by a point.

    Returns
    -------
    (n,) int64 ndarray
    """
    best: tuple[float, Numbers] | None = None
    free = ~soft
    for turn in range(STARTS if 1 < len(order) <= FEW else 1):
        groups.side[soft] = 0
        groups.start(order, turn / STARTS)
        groups.improve(only=free)
        cost = groups.cost()
        if best is None or cost < best[0] * (1 - 1e-9):
            best = cost, groups.side.copy()
        if groups.is_exact():
            break
    if best is not None:
        groups.side[:] = best[1]
    if soft.any() and groups.worst() > TOLERANCE:
        groups.improve(down_to=TOLERANCE)
    return groups.side


def _together(images: Numbers, goals: Floats, sizes: Numbers) -> Floats:
    """Return by how much all images together are above the goal of each split, as a share."""
    whole = max(1, int(sizes.sum()))
    wanted = np.zeros(goals.shape[1])
    for row, size in zip(goals, sizes.tolist(), strict=True):
        wanted += row * (size / whole)
    above: Floats = images.sum(axis=0) / whole - wanted
    return above
