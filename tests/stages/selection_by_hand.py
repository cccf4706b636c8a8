"""Selection as one would do it by hand, an image at a time: slow, and what the arrays are compared with."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from curation.dataset.recipe import Recipe, Split
from curation.stages.select.plan import Targets, share_out
from tests.builders import fates

Fate: TypeAlias = tuple[str, str, str | None] | None

HELD_OUT: tuple[Split, ...] = ("test", "val")


@dataclass(frozen=True)
class Candidate:
    """A kept row of a class."""

    id: str
    group: str
    side: Split | None
    before: Split | None
    disputed: bool
    refills: bool
    order: tuple[int, int]

    def may_stand(self, split: Split) -> bool:
        """Say whether it may stand in a split."""
        if split == "train":
            return self.side in {None, "train"}
        return not self.disputed and (self.side in {None, split} or self.before == split or self.refills)


Pool = Mapping[str, Sequence[Candidate]]


@dataclass
class Plan:
    """The sides of groups while the splits are made."""

    pool: Pool
    given: Mapping[str, Split]
    side: dict[str, Split] = field(init=False)

    def __post_init__(self) -> None:
        self.side = dict(self.given)

    def usable(self, label: str, split: Split) -> list[Candidate]:
        """Return who may stand in a split, the first to be taken first."""
        found = [
            each
            for each in self.pool.get(label, ())
            if self.side.get(each.group, "train") == split and each.may_stand(split)
        ]
        held_out = split in HELD_OUT
        return sorted(found, key=lambda each: (each.disputed, each.before != split, held_out and each.refills))

    def free_groups(self, label: str, split: Split) -> list[tuple[str, int]]:
        """Return the free groups in order, and how many of the class each would bring."""
        free = [each for each in self.pool.get(label, ()) if each.group not in self.side and each.may_stand(split)]
        reluctant = {each.group for each in free if each.refills}
        return sorted(Counter(each.group for each in free).items(), key=lambda pair: pair[0] in reluctant)

    def fill(self, label: str, split: Split, count: int, *, in_part: bool) -> None:
        """Move free groups to a held-out side until the class can have its count there."""
        need = count - len(self.usable(label, split))
        for whole in (True, False) if in_part else (False,):
            for group, gain in self.free_groups(label, split):
                if need > 0 and (gain <= need or not whole):
                    self.side[group] = split
                    need -= gain

    def take(self, targets: Targets, *, exact: bool) -> dict[str, Split]:
        """Return id -> split of who is taken."""
        return {
            each.id: split
            for label, wanted in targets.items()
            for split, count in wanted.items()
            for each in self.usable(label, split)[: count if exact else None]
        }

    def release(self, chosen: Mapping[str, Split]) -> None:
        """Give groups back to train that were moved for nothing."""
        needed = {each.group for found in self.pool.values() for each in found if chosen.get(each.id) in HELD_OUT}
        for group in set(self.side) - set(self.given) - needed:
            del self.side[group]


def select_by_hand(
    rows: pl.DataFrame, recipe: Recipe, previous: pl.DataFrame | None
) -> dict[str, tuple[Split | None, bool | None, Fate]]:
    """Return id -> split, reserve and reason of every row; the rows stand as they do once context was set aside."""
    pool, given = draw(rows, recipe, previous)
    rule = recipe.selection
    if rule.ratios is None:
        targets: Targets = {label: rule.wanted(label) for label in recipe.classes}
    else:
        sizes = {label: len(pool.get(label, ())) for label in recipe.classes}
        least = min(sizes.values())
        held = {label: stayed(pool.get(label, ()), given) for label in recipe.classes}
        room = {split: max(by[split] for by in held.values()) for split in HELD_OUT} if rule.balance else {}
        targets = {
            label: share_out(least if rule.balance else sizes[label], rule.ratios, least=room)
            for label in recipe.classes
        }
    plan, chosen = choose(pool, given, targets, exact=rule.ratios is None or rule.balance)
    if rule.ratios is not None and rule.balance:
        got = Counter((label, chosen.get(each.id)) for label, found in pool.items() for each in found)
        cut = {split: min(got[label, split] for label in recipe.classes) for split in rule.ratios}
        level = {
            label: {split: max(count, held[label].get(split, 0)) for split, count in cut.items()}
            for label in recipe.classes
        }
        chosen = plan.take(level, exact=True)
    found_before = zip(rows["id"], fates(rows), strict=True)
    chosen_as: dict[str, tuple[Split | None, bool | None, Fate]] = {
        name: (None, None, fate) for name, fate in found_before
    }
    for found in pool.values():
        for each in found:
            taken = chosen.get(each.id)
            why = None if taken else explain(each, plan.side.get(each.group, "train"))
            chosen_as[each.id] = (taken, each.disputed if taken else None, why)
    return chosen_as


def stayed(found: Sequence[Candidate], given: Mapping[str, Split]) -> Counter[Split]:
    """Return how many were held out before, by split, and may be so again."""
    return Counter(
        each.before
        for each in found
        if each.before in HELD_OUT and given.get(each.group) == each.before and each.may_stand(each.before)
    )


def draw(rows: pl.DataFrame, recipe: Recipe, previous: pl.DataFrame | None) -> tuple[Pool, Mapping[str, Split]]:
    """Return the candidates of each class in order, and the groups whose side is given."""
    rule = recipe.selection
    wanted = set(rule.ratios) if rule.ratios is not None else {s for c in recipe.classes for s in rule.wanted(c)}
    before = {(sha, page): split for sha, page, split in (previous.iter_rows() if previous is not None else ())}
    before = {picture: split for picture, split in before.items() if split in wanted}
    sides: dict[str, set[Split]] = defaultdict(set)
    pool: dict[str, list[Candidate]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        page = row["page"] or 1
        was = before.get((row["sha256"], page))
        if was in HELD_OUT:
            sides[row["group"]].add(was)
        if row["excluded_by"] is not None:
            continue
        own = row["source_split"] if rule.source_split == "respect" else None
        refills = rule.refill_test and own == "train"
        if own is not None and not refills:
            sides[row["group"]].add(own)
        order = (hashed(rule.seed, row["group"]), hashed(rule.seed, f"{row['sha256']}#{page}"))
        pool[row["label"]].append(Candidate(row["id"], row["group"], own, was, bool(row["disputed"]), refills, order))
    for found in pool.values():
        found.sort(key=lambda each: each.order)
    return pool, {group: min(given, key=("test", "val", "train").index) for group, given in sides.items()}


def hashed(seed: int, name: str) -> int:
    """Return a number that orders names alike everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8])


def choose(
    pool: Pool, given: Mapping[str, Split], targets: Targets, *, exact: bool
) -> tuple[Plan, Mapping[str, Split]]:
    """Try the orders in which classes and splits can be served; the first that is short of least is taken."""
    labels = list(targets)
    tried: list[tuple[int, Plan, Mapping[str, Split]]] = []
    for order in (labels, labels[::-1], sorted(labels, key=lambda label: len(pool.get(label, ())))):
        for splits in (HELD_OUT, HELD_OUT[::-1]):
            plan = Plan(pool, given)
            for split in splits:
                for label in order:
                    plan.fill(label, split, targets[label].get(split, 0), in_part=exact)
            plan.release(plan.take(targets, exact=exact))
            chosen = plan.take(targets, exact=exact)
            had = Counter((label, chosen.get(each.id)) for label, found in pool.items() for each in found)
            short = sum(max(0, n - had[label, split]) for label, by in targets.items() for split, n in by.items())
            tried.append((short, plan, chosen))
    _, plan, chosen = min(tried if exact else tried[:1], key=lambda attempt: attempt[0])
    return plan, chosen


def explain(each: Candidate, side: Split) -> Fate:
    """Return step, reason and detail of a row that was not selected."""
    if each.may_stand(side):
        return ("select", "disputed-not-needed", None) if each.disputed else ("select", "surplus", side)
    if each.side is not None and each.side != side:
        return "select", "leakage", side
    return "select", "disputed-held-out", side
