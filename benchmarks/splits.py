"""Measures how near the splits come to 80/10/10 under groups, how growth keeps them, and how long that takes.

Sets of 5 and 44 groups of about 60 images, and of 1,000 and 100,000 groups of 1 to 100 (log-uniform), in two classes;
each group has one class, or images of both. "best possible" is the smallest miss after growth among all divisions of
few groups of one class each in which nothing leaves test and val. The worst of three seeds is reported, of 100,000
groups one.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from measuring import load_average, print_table, write_results

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import parse_recipe
from curation.stages.select import ShortCountError, select

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
LABELS = ("c0", "c1")
FEW = 44
"""Up to so many groups of one class each, the best of all divisions after growth is computed."""
RECIPE = parse_recipe(
    {
        "sources": [{"name": "src", "kind": "folder", "path": ".", "label": "c0"}],
        "labels": {"classes": {label: [label] for label in LABELS}, "context": "*"},
        "selection": {"ratios": SHARES},
    },
    name="splits",
    base=Path(),
)


def draw_groups(groups: int, *, mixed: bool, seed: int, name: str) -> Manifest:
    """Return rows as they stand after dedup."""
    random = np.random.default_rng(seed)
    if groups < 1000:
        sizes = np.clip(random.normal(60, 12, groups), 20, 120).astype(int)
    else:
        sizes = np.exp(random.uniform(0, np.log(101), groups)).astype(int)
    group = np.repeat(np.arange(groups), sizes)
    label = random.integers(2, size=len(group)) if mixed else group % 2
    numbers = pl.Series(np.arange(len(group)))
    table = pl.DataFrame({"group": group, "label": label, "number": numbers}).select(
        id=pl.format(name + "/{}", "number"),
        source=pl.lit("src"),
        path=pl.format("{}", "number"),
        sha256=pl.format(name + "-{}", "number"),
        group=pl.format(name + " group {}", "group"),
        label=pl.format("c{}", "label"),
        disputed=pl.lit(value=False),
        width=pl.lit(100),
    )
    return Manifest(table)


def worst_miss(after: Manifest) -> tuple[float, float]:
    """Return by how many points a split misses its share at most: in all, and in any class."""
    found = []
    for part in (after.kept, *after.kept.partition_by("label")):
        counts = dict(part.group_by("split").len().iter_rows())
        found.append(max(100 * abs(counts.get(split, 0) / part.height - share) for split, share in SHARES.items()))
    return found[0], max(found[1:])


def best_after_growth(first: pl.DataFrame, new: pl.DataFrame) -> float:
    """Return the smallest miss of the worst class that any division reaches which moves nothing out of test and val.

    Every way to give the new groups and those of train to the splits is tried, by the sums that can be reached.
    """
    worst = 0.0
    for label in LABELS:
        held, found = first.filter(pl.col("label") == label), new.filter(pl.col("label") == label)
        sides = {split: held.filter(pl.col("split") == split).height for split in SHARES}
        free = pl.concat([held.filter(pl.col("split") == "train").select("group"), found.select("group")])
        size = held.height + found.height
        sums = {(sides["val"], sides["test"])}
        for count in free.group_by("group").len().sort("group")["len"].to_list():
            moved = {(val + count, test) for val, test in sums} | {(val, test + count) for val, test in sums}
            sums |= {each for each in moved if max(each) < 0.3 * size}
        shares = [{"val": val / size, "test": test / size, "train": 1 - (val + test) / size} for val, test in sums]
        worst = max(worst, min(max(abs(100 * (share[key] - SHARES[key])) for key in SHARES) for share in shares))
    return worst


def measure(groups: int, *, mixed: bool, seed: int) -> dict[str, Any]:
    """Return the misses before and after growth by a tenth, what moved, and the seconds of the first selection."""
    old = draw_groups(groups, mixed=mixed, seed=seed, name="old")
    start = time.perf_counter()
    first = select(old, RECIPE)
    seconds = time.perf_counter() - start
    previous = first.kept.select("sha256", pl.col("page").fill_null(1), "split")
    new = draw_groups(max(1, groups // 10), mixed=mixed, seed=seed + 100, name="new")
    grown = select(Manifest(pl.concat([old.rows, new.rows])), RECIPE, previous=previous)
    now = previous.join(grown.kept.select("sha256", now="split"), on="sha256", how="left")
    moved = now.filter(pl.col("now").is_null() | (pl.col("now") != pl.col("split")))
    few = groups <= FEW and not mixed
    return {
        "images": len(old),
        "all": worst_miss(first)[0],
        "class": worst_miss(first)[1],
        "grown all": worst_miss(grown)[0],
        "grown class": worst_miss(grown)[1],
        **({"best possible": best_after_growth(first.kept, new.rows)} if few else {}),
        "left test or val": moved.filter(pl.col("split") != "train").height,
        "left train": moved.filter(pl.col("split") == "train").height,
        "seconds": seconds,
    }


def main() -> None:
    """Measure all sizes, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, nargs="*", default=[5, 44, 1000, 100_000])
    rows = []
    for groups in parser.parse_args().groups:
        for mixed in (False, True):
            runs = []
            for seed in range(3 if groups < 100_000 else 1):
                try:
                    runs.append(measure(groups, mixed=mixed, seed=seed))
                except ShortCountError:  # a class of two groups has none for one of three splits
                    continue
            worst = {key: max(run[key] for run in runs) for key in runs[0]} if runs else {}
            rows.append({"groups": groups, "classes in a group": "both" if mixed else "one", **worst})
    head = list(max(rows, key=len))
    shown = [
        [
            f"{row[key]:,.2f}"
            if isinstance(row.get(key), float)
            else row.get(key, "not computed" if "images" in row else "impossible")
            for key in head
        ]
        for row in rows
    ]
    print_table(head, shown, left=2)
    print(write_results("splits", {"rows": rows, "load": load_average()}))


if __name__ == "__main__":
    main()
