"""Groups become train, val and test, with exact counts or ratios per class and no group on two sides.

The order within a class comes from a keyed hash of the group (and within a group of the sample), never from a
shuffle, so that one image more or less moves few others. With a previous version, what was in test stays in test.
"""

from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from math import ceil

import numpy as np
import polars as pl

from curation.dataset.manifest import SPLITS, Manifest, count_reasons, has_reason, is_excluded_by
from curation.dataset.recipe import Recipe, Split
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason
from curation.stages.select.folds import assign_version_folds
from curation.stages.select.plan import SplitPlan, choose
from curation.stages.select.pool import HELD_OUT, NUMBER, Pool, Sides, draw_pool
from curation.stages.select.ratios import divide

__all__ = ["ShortCountError", "select"]

MAX_LISTED = 12
"""The number of labels that a hint lists."""


class ShortCountError(CurationError):
    """A count cannot be reached.

    Attributes
    ----------
    short : mapping of (label, split) to (wanted, had)
    manifest : Manifest
        Every row, with the reason why it is not available.
    """

    def __init__(
        self, message: str, *, hint: str | None, manifest: Manifest, short: Mapping[tuple[str, Split], tuple[int, int]]
    ) -> None:
        super().__init__(ErrorCode.COUNT_SHORT, message, hint=hint)
        self.manifest = manifest
        self.short = short


def select(manifest: Manifest, recipe: Recipe, *, previous: pl.DataFrame | None = None) -> Manifest:
    """Choose the samples of every split.

    Parameters
    ----------
    manifest : Manifest
        After dedup.
    recipe : Recipe
        Its ``selection`` and ``conflicts``.
    previous : polars.DataFrame, optional
        ``sha256``, ``page``, ``split`` and possibly ``fold`` of an earlier version.

    Raises
    ------
    ShortCountError
        Where a count cannot be reached; the message has the counts, and what was excluded for which reasons.
    CurationError
        Where images are disputed and the recipe's policy is ``error``.
    """
    _check_labelled(manifest, recipe)
    manifest = _set_context_aside(manifest)
    manifest = _apply_conflict_policy(manifest, recipe)
    rule = recipe.selection
    pool = draw_pool(manifest.rows, rule, previous=previous)
    if rule.ratios is None:
        plan, chosen = choose(pool, {label: rule.wanted(label) for label in recipe.classes})
    else:
        plan, chosen = divide(pool, recipe.classes, rule.ratios, balance=rule.balance)
    manifest = _mark(manifest, plan, chosen)
    _check_counts(manifest, recipe, plan)
    if rule.folds is None:
        return manifest
    return assign_version_folds(manifest, rule.folds, seed=rule.seed, previous=previous)


def _check_labelled(manifest: Manifest, recipe: Recipe) -> None:
    """Raise where no image has a label yet, or the recipe names no class: such a set is reviewed first."""
    rows = manifest.rows
    labelled = rows.select((pl.col("label").is_not_null() | (pl.col("source_label") != "")).any()).item()
    if recipe.classes and (labelled or not rows.height):
        return
    what = "no image has a label yet" if recipe.classes else "the recipe names no class"
    first = "" if recipe.classes else "Name the classes under [labels.classes] in the recipe, then "
    then = f"label the images with `python -m curation review {recipe.name}` and build again."
    raise CurationError(ErrorCode.NO_LABELS, what, hint=first + (then if first else then[0].upper() + then[1:]))


def _set_context_aside(manifest: Manifest) -> Manifest:
    reasons = manifest.rows.select(pl.when(pl.col("label").is_null()).then(pl.lit(Reason.CONTEXT_CLASS.value)))
    return manifest.exclude("select", reasons.to_series(), manifest.rows["source_label"])


def _apply_conflict_policy(manifest: Manifest, recipe: Recipe) -> Manifest:
    policy = recipe.conflicts.policy
    disputed = manifest.kept.filter(pl.col("disputed"))
    if policy == "error" and disputed.height:
        names = ", ".join(disputed["id"].head(5)) + (", ..." if disputed.height > 5 else "")
        raise CurationError(
            ErrorCode.DISPUTED_IMAGES,
            f"{disputed.height} images have more than one label: {names}",
            hint="Decide with `python -m curation review`, or set conflicts.policy to reserve or exclude.",
        )
    if policy == "reserve" and recipe.selection.counts is not None:
        return manifest
    reasons = manifest.rows.select(pl.when(pl.col("disputed")).then(pl.lit(Reason.DISPUTED.value))).to_series()
    return manifest.exclude("select", reasons, manifest.rows["claims"].list.join(", "))


def _mark(manifest: Manifest, plan: SplitPlan, chosen: Sides) -> Manifest:
    """Fill ``split`` and ``reserve``, and the reason of each row that was not chosen."""
    pool = plan.pool
    lies = plan.lies(slice(None))
    found = pl.DataFrame(
        {
            "split": _as_splits(chosen),
            "disputed": pool.disputed,
            "own": _as_splits(pool.side),
            "lies": _as_splits(lies),
            "may_stand": pool.may_stand[lies, np.arange(len(lies))],
        }
    ).select("split", reserve=pl.when(pl.col("split").is_not_null()).then("disputed"), reason=_REASON, detail=_DETAIL)
    place = np.full(len(manifest), -1, np.int64)
    place[pool.row] = np.arange(len(pool.row))
    where = pl.Series(place).replace(-1, None)
    marked = manifest.with_columns(found["split"].gather(where), found["reserve"].gather(where))
    return marked.exclude("select", found["reason"].gather(where), found["detail"].gather(where))


def _as_splits(sides: Sides) -> pl.Series:
    names = {number: split for split, number in NUMBER.items()}
    return pl.Series(sides).replace_strict(names, default=None, return_dtype=pl.String)


_REASON = (
    pl.when(pl.col("split").is_not_null())
    .then(None)
    .when(pl.col("may_stand") & pl.col("disputed"))
    .then(pl.lit(Reason.DISPUTED_NOT_NEEDED.value))
    .when("may_stand")
    .then(pl.lit(Reason.SURPLUS.value))
    .when(pl.col("own") != pl.col("lies"))
    .then(pl.lit(Reason.LEAKAGE.value))
    .otherwise(pl.lit(Reason.DISPUTED_HELD_OUT.value))
)
_DETAIL = pl.when(~(pl.col("may_stand") & pl.col("disputed"))).then("lies")


def _check_counts(manifest: Manifest, recipe: Recipe, plan: SplitPlan) -> None:
    """Raise where a count is short; with ratios, where a split that is asked for has no image of a class."""
    pool = plan.pool
    counts = manifest.kept.group_by("label", "split").len()
    kept = Counter({(label, split): count for label, split, count in counts.iter_rows()})
    if recipe.selection.ratios is None:
        asked = {
            (label, split): count for label in recipe.classes for split, count in recipe.selection.wanted(label).items()
        }
    else:
        asked = {(label, split): 1 for label in recipe.classes for split in recipe.selection.ratios}
    short = {key: count for key, count in asked.items() if kept[key] < count}
    if not short:
        return
    least = "at least " if recipe.selection.ratios is not None else ""
    lines = []
    for (label, split), count in short.items():
        others = [f"{kept[label, other]} in {other}" for other in SPLITS if other != split and kept[label, other]]
        elsewhere = f" (and {' and '.join(others)})" if others else ""
        lines.append(f"{label}: {split} needs {least}{count} and has {kept[label, split]}{elsewhere}")
    for label in sorted({label for label, _ in short}):
        seen = manifest.rows.filter(pl.col("label") == label)
        rejected = manifest.rejected.filter(pl.col("label") == label)
        reasons = [f"{each.rows} {each}" for each in count_reasons(rejected)]
        out = f"{rejected.height} excluded ({'; '.join(reasons)})" if reasons else "none excluded"
        lines.append(f"{label}: {seen.height} in all, {out}{_describe_groups(pool, label)}")
        if (label, "train") in short and (moved := _count_moved(plan, label)):
            images = "1 image that was" if moved == 1 else f"{moved} images that were"
            lines.append(f"{label}: {images} in train would move, as their groups have images that were held out")
    labels = set(manifest.rows["label"].drop_nulls().unique())
    absent = _name_absent_labels(manifest, recipe, {label for label, _ in short})
    lines += absent
    unlabelled = manifest.rejected.filter(is_excluded_by("label")).height
    lines += [f"{unlabelled} images have no label"] if unlabelled else []
    raise ShortCountError(
        "Too few images\n" + "\n".join(f"  {line}" for line in lines),
        hint=f"The source has these labels: {_count_labels(manifest)}. Put them under their classes in labels.classes."
        if absent and any(label not in labels for label, _ in short)
        else _advise(recipe, manifest, plan, set(short)),
        manifest=manifest,
        short={(label, split): (count, kept[label, split]) for (label, split), count in short.items()},
    )


def _describe_groups(pool: Pool, label: str) -> str:
    """Return the number of groups of a class's candidates, or nothing where each is its own group."""
    count, groups = pool.count(label), pool.count_groups(label)
    if groups == count:
        return ""
    return f"; the {count} candidates form {groups} {'group' if groups == 1 else 'groups'}"


def _name_absent_labels(manifest: Manifest, recipe: Recipe, short: set[str]) -> list[str]:
    """Return a line for each class that fell short and has source labels that no file has."""
    seen = sorted(manifest.rows["source_label"].drop_nulls().unique().to_list())
    lines = []
    for label in sorted(short):
        wanted = recipe.labels.classes[label]
        absent = [name for name in wanted if name not in seen]
        if absent:
            near = [f"did you mean {name!r}?" for name in get_close_matches(absent[0], seen, n=1)]
            names = ", ".join(map(repr, absent))
            there = ", ".join(map(repr, seen[:MAX_LISTED])) + (", ..." if len(seen) > MAX_LISTED else "")
            lines.append("; ".join([f"{label}: no file has the label {names}; the labels are {there}", *near]))
    return lines


def _count_labels(manifest: Manifest) -> str:
    """Return the source labels with their numbers of images, the most frequent first."""
    counts = manifest.rows.filter(pl.col("source_label") != "")["source_label"].value_counts()
    found = counts.sort(["count", "source_label"], descending=[True, False]).rows()
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    return ", ".join(f"{label!r} ({count})" for label, count in found[:MAX_LISTED]) + more or "none"


def _count_moved(plan: SplitPlan, label: str) -> int:
    """Return how many images of a class were in train and lie on a held-out side now because of the version before."""
    pool, part = plan.pool, plan.pool.labels.get(label, slice(0, 0))
    by_source = np.unique(pool.group[pool.side > NUMBER["train"]])
    moved = (pool.before[part] == NUMBER["train"]) & (pool.given[pool.group[part]] > NUMBER["train"])
    return int(np.count_nonzero(moved & ~np.isin(pool.group[part], by_source)))


def _advise(recipe: Recipe, manifest: Manifest, plan: SplitPlan, keys: set[tuple[str, Split]]) -> str:
    """Return what would help here, the most likely first."""
    rule, advice, pool, short = recipe.selection, list[str](), plan.pool, {split for _, split in keys}
    joined = any(split == "train" and _count_moved(plan, label) for label, split in keys)
    if joined:
        advice.append('`selection.previous = "none"` draws a new split; nothing stays held out because of the last one')
    disputes = has_reason(Reason.DISPUTED, Reason.DISPUTED_HELD_OUT, Reason.DISPUTED_NOT_NEEDED)
    counted, disputed = rule.ratios is None, manifest.rows.select(disputes.any()).item()
    held_out = (has_reason(Reason.SURPLUS) & pl.col("detail").is_in(HELD_OUT)) | has_reason(Reason.LEAKAGE)
    crowded = [
        label
        for label in recipe.classes
        if pool.count_groups(label) < min(pool.count(label), len(rule.ratios or rule.wanted(label)))
    ]
    if crowded:
        advice.append(
            f"a group lies on one side only, and {', '.join(crowded)} {'has' if len(crowded) == 1 else 'have'} fewer "
            "groups than there are splits: check the sources' `group`, and an image of it with `explain`"
        )
    if counted and recipe.conflicts.policy == "exclude" and "train" in short and disputed:
        advice.append('conflicts.policy = "reserve" would use disputed images, in train only')
    if short & set(HELD_OUT) and rule.source_split == "respect" and (pool.given == NUMBER["train"]).any():
        advice.append(
            'selection.refill_test = true or source_split = "ignore" would take images of the source\'s train'
        )
    if not joined and (pool.before > NUMBER["train"]).any() and manifest.rows.select(held_out.any()).item():
        advice.append('selection.previous = "none" would release the test images of the previous version')
    if counted:
        return "; ".join([*advice, "lower what selection asks for, or add a source"])
    least = ceil(1 / min((rule.ratios or {}).values(), default=1.0))
    advice.append(
        f"these selection.ratios need about {least} images of each class: add a source, remove a split, or enlarge the "
        "shares of the small splits"
    )
    if disputed:
        advice.append("ratios never use disputed images: decide them with `python -m curation review`")
    return "; ".join(advice)
