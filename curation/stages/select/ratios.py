"""Splits by ratios: whole groups, as near to the shares as they allow; what was held out before stays."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import get_args

import numpy as np

from curation.dataset.manifest import SPLITS
from curation.dataset.recipe import Split
from curation.stages.select.group_search import Groups, GroupSearch, search
from curation.stages.select.plan import SplitPlan, Targets, held_before, share_out
from curation.stages.select.pool import HELD_OUT, NOWHERE, NUMBER, Flags, Numbers, Pool, Sides

_TRAIN = NUMBER["train"]
_ROUNDS = 6


def divide(
    pool: Pool, labels: Sequence[str], ratios: Mapping[Split, float], *, balance: bool
) -> tuple[SplitPlan, Sides]:
    """Return the sides of the groups and the split of each candidate.

    The result is fed back as the previous version until it stays the same, so that building twice changes nothing.

    Parameters
    ----------
    pool : Pool
    labels : sequence of str
        The classes.
    ratios : mapping of split to float
        They add up to 1.
    balance : bool
        Every class gets as many images in each split as the others.
    """
    plan, chosen = _divide_once(pool, labels, ratios, balance=balance)
    for _ in range(_ROUNDS):
        plan, again = _divide_once(pool.follow(chosen), labels, ratios, balance=balance)
        if np.array_equal(again, chosen):
            break
        chosen = again
    plan.pool = pool
    return plan, chosen


def _divide_once(
    pool: Pool, labels: Sequence[str], ratios: Mapping[Split, float], *, balance: bool
) -> tuple[SplitPlan, Sides]:
    held = {label: held_before(pool, label) for label in labels}
    least = {split: max(of_class[split] for of_class in held.values()) for split in HELD_OUT if split in ratios}
    plan = SplitPlan(pool)
    _assign(plan, labels, ratios, least=least if balance else {})
    if not balance:
        return plan, plan.take({label: dict.fromkeys(ratios, 0) for label in labels}, exact=False)
    for label in labels:
        for split, count in least.items():
            plan.fill(label, split, count)
    return plan, plan.take(_level(plan, labels, ratios, held, least), exact=True)


def _assign(
    plan: SplitPlan, labels: Sequence[str], ratios: Mapping[Split, float], *, least: Mapping[Split, int]
) -> None:
    """Give every free group a side."""
    pool = plan.pool
    splits = [split for split in get_args(Split) if split in ratios]
    label, where = _number_labels(pool, labels), np.full(len(SPLITS), NOWHERE)
    where[[NUMBER[split] for split in splits]] = np.arange(len(splits))
    lies = plan.lies(slice(None))
    is_free = pool.given[pool.group] == NOWHERE
    usable = (is_free | pool.may_stand[lies, np.arange(len(lies))]) & (label >= 0)
    counted = usable & ~is_free & (where[lies] >= 0)
    sizes = np.bincount(label[usable & (is_free | (where[lies] >= 0))], minlength=len(labels))
    fixed = np.zeros((len(labels), len(splits)), np.int64)
    np.add.at(fixed, (label[counted], where[lies[counted]]), 1)
    cells = np.unique(np.stack([label[counted], pool.group[counted]]), axis=1)
    fixed_groups = np.zeros_like(fixed)
    np.add.at(fixed_groups, (cells[0], where[pool.given[cells[1]]]), 1)
    found, groups = _list_groups(pool, label, usable & is_free)
    goals = np.array([_goals(size, ratios, splits, least) for size in sizes.tolist()])
    soft = _was_in_train(pool)[found] if "train" in ratios else np.zeros(len(found), np.bool_)
    order = np.lexsort((np.arange(len(found)), _is_reluctant(pool)[found]))
    task = GroupSearch(groups, sizes, goals, fixed, fixed_groups)
    numbers = np.array([NUMBER[split] for split in splits], np.int8)
    sides = numbers[search(task, order[~soft[order]], soft=soft)]
    plan.side[found] = np.where(sides == _TRAIN, NOWHERE, sides)


def _number_labels(pool: Pool, labels: Sequence[str]) -> Numbers:
    number = np.full(len(pool.row), -1)
    for place, label in enumerate(labels):
        number[pool.labels.get(label, slice(0, 0))] = place
    return number


def _list_groups(pool: Pool, label: Numbers, free: Flags) -> tuple[Numbers, Groups]:
    """Return the numbers of the free groups, sorted by their keyed hash, and what they contain."""
    found = np.unique(pool.group[free])
    found = found[np.argsort(pool.key[found], kind="stable")]
    place = np.full(len(pool.given), -1)
    place[found] = np.arange(len(found))
    width = int(label.max(initial=0)) + 1
    cells, images = np.unique(place[pool.group[free]] * width + label[free], return_counts=True)
    return found, Groups(len(found), cells // width, cells % width, images)


def _goals(
    size: int, ratios: Mapping[Split, float], splits: Sequence[Split], least: Mapping[Split, int]
) -> list[float]:
    """Return the shares that a class of a size should have: the ratios, or more where more was held out before."""
    if all(count <= ratios[split] * size for split, count in least.items()):
        return [ratios[split] for split in splits]
    whole = share_out(size, ratios, least=least)
    return [whole[split] / max(1, size) for split in splits]


def _level(
    plan: SplitPlan,
    labels: Sequence[str],
    ratios: Mapping[Split, float],
    held: Mapping[str, Mapping[Split, int]],
    least: Mapping[Split, int],
) -> Targets:
    """Return the same counts for every class: what the smallest class can have, in the ratios; what was held stays."""
    smallest = min(plan.pool.count(label) for label in labels)
    wanted = share_out(smallest, ratios, least=least)
    room = {split: min(len(plan.usable(label, split)) for label in labels) for split in ratios}
    common = {split: min(room[split], wanted[split]) for split in ratios}
    if "train" in ratios:
        whole = common["train"] / Fraction(str(ratios["train"]))
        for split in least:
            share = max(least[split], ceil(Fraction(str(ratios[split])) * whole))
            common[split] = min(common[split], share)
    return {
        label: {split: max(count, held[label].get(split, 0)) for split, count in common.items()} for label in labels
    }


def _was_in_train(pool: Pool) -> Flags:
    """Return which groups had images in train, and none held out, in the previous version."""
    was = np.full(len(pool.given), NOWHERE, np.int8)
    np.maximum.at(was, pool.group, pool.before)
    train: Flags = was == _TRAIN
    return train


def _is_reluctant(pool: Pool) -> Flags:
    """Return which groups hold images of the source's train that may fill a held-out split."""
    reluctant = np.zeros(len(pool.given), np.bool_)
    reluctant[pool.group[pool.refills]] = True
    return reluctant
