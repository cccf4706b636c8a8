"""Measures how time and memory of the pure stages (label to select) grow from a thousand to a million rows.

Each size runs in its own process; its peak resident memory includes the input table. The thumbnails (1 KB per row) are
where the probe keeps them: above 65,536 rows in a file. The search within dedup has its own column.

The rows are synthetic: seven in ten belong to one of two classes, the rest are context. One in twenty has a near
duplicate with an equal thumbnail, one in a hundred an exact duplicate, some of them with another label or on the other
side of the source's split. Four in a hundred share a group key with another row.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from measuring import children, peak_mb, print_table, write_results
from numpy.typing import NDArray

from curation.dataset.decisions import Ruling
from curation.dataset.manifest import Manifest, check_conservation
from curation.dataset.recipe import Recipe, parse_recipe
from curation.hashing import Fingerprints, Pairs, SearchReport, ThumbnailStore, find_candidates
from curation.stages.decide import decide
from curation.stages.dedup import dedup
from curation.stages.label import label
from curation.stages.quality import quality
from curation.stages.select import select

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def make_recipe(rows: int, *, symmetries: bool) -> Recipe:
    """Return a recipe of two classes that takes about half of the rows."""
    raw = {
        "sources": [{"name": "src", "kind": "folder", "path": ".", "label": "a"}],
        "labels": {"classes": {"a": ["a"], "b": ["b"]}, "context": "*"},
        "quality": {"min_side": 120},
        "duplicates": {"symmetries": symmetries},
        "selection": {
            "counts": {"train": rows // 5, "val": rows // 100, "test": rows // 100},
            "refill_test": True,
        },
    }
    return parse_recipe(raw, name="growth", base=Path())


def make_rows(count: int) -> tuple[Manifest, Fingerprints]:
    """Return the probe's results for ``count`` files."""
    rng = np.random.default_rng(count)
    hashes = rng.integers(0, 1 << 64, (count, 8), dtype=np.uint64)
    spool = ThumbnailStore()
    for start in range(0, count, 10_000):
        spool.add(rng.integers(0, 256, (min(10_000, count - start), 32, 32), np.uint8))
    places = np.arange(count)
    origin = np.arange(count)
    twins = rng.permutation(count)[: count // 10 * 2].reshape(2, -1)
    near, exact = np.split(twins, [count // 20], axis=1)
    exact = exact[:, : count // 100]
    hashes[near[1]] = hashes[near[0]]
    hashes[near[1], 0] ^= np.uint64(1) << rng.integers(0, 64, near.shape[1]).astype(np.uint64)
    places[near[1]] = places[near[0]]
    for table in (hashes, places, origin):
        table[exact[1]] = table[exact[0]]
    keys = rng.permutation(count)[: count // 25]
    group = np.full(count, -1)
    group[keys] = rng.integers(0, max(1, len(keys) // 2), len(keys))
    number = pl.Series(np.arange(count))
    names = pl.select(pl.format("src/{}.jpg", number.cast(pl.String).str.zfill(9))).to_series()
    sides = rng.integers(100, 2000, count)[origin]
    rows = pl.DataFrame(
        {
            "id": names,
            "source": "src",
            "path": names.str.strip_prefix("src/"),
            "page": pl.Series(np.ones(count, np.uint32)),
            "sha256": pl.Series(origin).hash(1).cast(pl.String).str.zfill(20)
            + pl.Series(origin).cast(pl.String).str.zfill(44),
            "size_bytes": sides * 37,
            "source_label": pl.Series(rng.choice(["a", "b", "other"], count, p=[0.35, 0.35, 0.3])),
            "source_split": pl.Series(rng.choice(["train", "test"], count, p=[0.95, 0.05])),
            "width": pl.Series(sides.astype(np.uint32)),
            "height": pl.Series(sides.astype(np.uint32)),
            "phash": hashes[:, 0],
            "flat": np.zeros(count, np.bool_),
            "sharpness": rng.random(count),
            "brightness": rng.random(count) * 255,
            "contrast": rng.random(count) * 60,
        }
    ).with_columns(group_key=pl.when(pl.Series(group) >= 0).then(pl.format("src:{}", pl.Series(group))))
    return Manifest(rows), Fingerprints(hashes, spool.rows(places))


def measure(count: int, *, symmetries: bool) -> dict[str, object]:
    """Run the stages over so many rows and return seconds of each and the peak memory."""
    recipe = make_recipe(count, symmetries=symmetries)
    manifest, fingerprints = make_rows(count)
    before_mb = peak_mb()
    searched, cpu = [0.0], time.process_time()

    def search(hashes: NDArray[np.uint64], radius: int, keys: NDArray[np.int64], plan: SearchReport) -> Iterator[Pairs]:
        """Search in this process, and count the time that takes."""
        stream = find_candidates(hashes, radius, keys, plan)
        while True:
            start = time.perf_counter()
            pairs = next(stream, None)
            searched[0] += time.perf_counter() - start
            if pairs is None:
                return
            yield pairs

    steps = {
        "label": lambda table: label(table, recipe.labels),
        "decide": lambda table: decide(table, Ruling({}, {}, frozenset(), {}), classes=recipe.classes).manifest,
        "quality": lambda table: quality(table, recipe.quality),
        "dedup": lambda table: dedup(table, fingerprints, recipe.duplicates, search=search),
        "select": lambda table: select(table, recipe),
    }
    seconds = {}
    for name, step in steps.items():
        start = time.perf_counter()
        after = step(manifest)
        seconds[name] = time.perf_counter() - start
        check_conservation(manifest, after, stage=name)
        manifest = after
    seconds["dedup"] -= searched[0]
    seconds["search"] = searched[0]
    excluded = len(manifest) - manifest.kept.height
    return {
        "rows": count,
        "kept": manifest.kept.height,
        "excluded": excluded,
        "seconds": seconds,
        "total": sum(seconds.values()),
        "cpu": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "peak_mb_before": before_mb,
    }


def main() -> None:
    """Measure every size, print, and write ``results/growth.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=SIZES)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--symmetries", action="store_true", help="search all eight orientations")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, symmetries=asked.symmetries)))
        return
    more = ["--symmetries"] if asked.symmetries else []
    results = [children(__file__, "--one", str(count), *more) for count in asked.rows]
    print(f"\nlabel to select, radius 8, {'eight orientations' if asked.symmetries else 'one orientation'}")
    print_table(
        ("rows", "kept", *results[0]["seconds"], "total s", "CPU s", "us per row", "peak MB", "input MB"),
        [
            (
                f"{row['rows']:,}",
                f"{row['kept']:,}",
                *(f"{s:.2f}" for s in row["seconds"].values()),
                f"{row['total']:.2f}",
                f"{row['cpu']:.2f}",
                f"{row['total'] / row['rows'] * 1e6:.1f}",
                f"{row['peak_mb']:.0f}",
                f"{row['peak_mb_before']:.0f}",
            )
            for row in results
        ],
    )
    write_results(f"growth{'_symmetries' if asked.symmetries else ''}", {"sizes": results})


if __name__ == "__main__":
    main()
