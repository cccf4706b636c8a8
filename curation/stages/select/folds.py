"""Cuts train and val into folds by group and class; with a version before, images keep their fold."""

import numpy as np
import polars as pl

from curation.dataset.manifest import Manifest
from curation.stages.select.group_search import Groups, GroupSearch, search
from curation.stages.select.pool import Numbers, hash_names

_SPLITS = ("train", "val")
_PAGE = pl.col("page").fill_null(1)


def assign_version_folds(manifest: Manifest, folds: int, *, seed: int, previous: pl.DataFrame | None) -> Manifest:
    """Fill ``fold``, from 1, of the chosen images of train and val.

    Parameters
    ----------
    manifest : Manifest
        Its splits are chosen.
    folds : int
        Two or more.
    seed : int
        Of the keyed hash of the groups.
    previous : polars.DataFrame, optional
        ``sha256``, ``page`` and, where the version before has folds, ``fold``: as many folds are kept.
    """
    table = manifest.rows.select("sha256", "label", "group", "split", "excluded_by", page=_PAGE).with_row_index("row")
    table = table.filter(pl.col("excluded_by").is_null() & pl.col("split").is_in(_SPLITS)).sort("label", "sha256")
    if not table.height:
        return manifest
    table = table.with_columns(
        number=pl.col("group").rank("dense") - 1, label=pl.col("label").rank("dense").cast(pl.Int64) - 1
    )
    before = _read_before(table, previous, folds)
    group, label = (table[name].cast(pl.Int64).to_numpy() for name in ("number", "label"))
    count, classes = int(group.max()) + 1, int(label.max()) + 1
    fold = np.full(count, folds, np.int64)
    known = before >= 0
    np.minimum.at(fold, group[known], before[known])
    is_free = fold == folds
    fixed, fixed_groups = np.zeros((classes, folds), np.int64), np.zeros((classes, folds), np.int64)
    held = ~is_free[group]
    np.add.at(fixed, (label[held], fold[group[held]]), 1)
    cells = np.unique(np.stack([label[held], group[held]]), axis=1)
    np.add.at(fixed_groups, (cells[0], fold[cells[1]]), 1)
    names = table.unique("number", keep="first").sort("number")["group"]
    order = np.argsort(hash_names(seed, pl.Series([f"fold/{name}" for name in names])), kind="stable")
    found = order[is_free[order]]
    place = np.full(count, -1)
    place[found] = np.arange(len(found))
    free = is_free[group]
    keys, images = np.unique(place[group[free]] * classes + label[free], return_counts=True)
    groups = Groups(len(found), keys // classes, keys % classes, images)
    goals = np.full((classes, folds), 1 / folds)
    task = GroupSearch(groups, np.bincount(label, minlength=classes), goals, fixed, fixed_groups)
    fold[found] = search(task, np.arange(len(found)), soft=np.zeros(len(found), np.bool_))
    values = np.zeros(len(manifest), np.int64)
    values[table["row"].to_numpy()] = fold[group] + 1
    return manifest.with_columns(fold=pl.Series(values).replace(0, None))


def _read_before(table: pl.DataFrame, previous: pl.DataFrame | None, folds: int) -> Numbers:
    """Return the fold that each image had before, from 0; -1 where it had none, or there were more or fewer folds."""
    if previous is None or "fold" not in previous.columns or previous["fold"].max() != folds:
        return np.full(table.height, -1)
    known = previous.select("sha256", "page", before="fold").unique(["sha256", "page"])
    joined = table.join(known, on=["sha256", "page"], how="left", maintain_order="left")
    return joined["before"].cast(pl.Int64).fill_null(0).to_numpy() - 1
