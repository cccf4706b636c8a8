"""Compares a build on a Ray cluster of three nodes on this machine with the local engine, with and without a lost node.

The images are synthetic, in one zip, and differ in their bytes. All nodes together have as many cores as the local
engine has workers. A small build runs first, so that the start of the cluster and its workers is not measured. Then the
local engine, the cluster, and the cluster with one more node run in turn; in the last case one node is killed after
half of the images were probed. The cluster checks for dead nodes twice a second (``HEALTH``): with Ray's default it
takes half a minute, which would be most of such a short run.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from measuring import load_average, print_table, write_results
from throughput import make_drawn

from curation.engines import Engine, Local
from curation.engines.ray import CORES_A_SHARD, Ray
from curation.pipeline import Options, SilentListener, build
from curation.stages.probe import SHARD_FILES
from curation.storage.cache import Cache
from curation.versions import Home

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
HEALTH = {"health_check_period_ms": 500, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}
HEAD = {**NODE, "num_cpus": 0, "include_dashboard": False, "_system_config": HEALTH}
SMALL = 12 * SHARD_FILES


class Killer(SilentListener):
    """Kills a node after half of the bytes were probed."""

    def __init__(self, cluster: Any) -> None:  # noqa: ANN401 - Ray's own
        super().__init__()
        self.progress, self._cluster, self._left = self, cluster, 0

    def start(self, description: str, total_bytes: int | None) -> int:
        """Store half of the total."""
        self._left = (total_bytes or 0) // 2 if description == "read images" else 0
        return 0

    def advance(self, task: int, size_bytes: int) -> None:
        """Kill a node after half of the total."""
        if self._left > 0 and self._left <= size_bytes and self._cluster.worker_nodes:
            self._cluster.remove_node(next(iter(self._cluster.worker_nodes)), allow_graceful=False)
        self._left = max(0, self._left - size_bytes)

    def finish(self, task: int) -> None:
        """Do nothing."""


def make_archive(place: Path, count: int, name: str = "set") -> Path:
    """Return a zip of ``count`` images that differ in their bytes."""
    contents = [path.read_bytes() for path in sorted(make_drawn(500).iterdir())]
    archive = place / f"{name}.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for number in range(count):
            comment = f"{number:08}".encode()
            content = contents[number % len(contents)]
            content = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
            opened.writestr(f"{'ab'[number % 2]}/{number:08}.jpg", content)
    return archive


def start_workers(place: Path, name: str) -> None:
    """Make every node start all its workers, by shards that sleep, and import everything."""
    engine = Ray()
    list(engine.map(time.sleep, [1.0] * int(2 * engine.workers / CORES_A_SHARD)))
    run(place, name, make_archive(place, SMALL, name), engine, SilentListener())


def run(place: Path, name: str, archive: Path, engine: Engine, listener: SilentListener) -> dict[str, Any]:
    """Build up to select, from a cold cache."""
    dataset = place / name / "many"
    dataset.mkdir(parents=True)
    (dataset / "recipe.toml").write_text(
        f"[[sources]]\nname = 'src'\nkind = 'folder'\npath = '{archive}'\npattern = '(?P<label>[^/]+)/'\n"
        "[labels.classes]\na = ['a']\nb = ['b']\n[selection.counts]\ntrain = 100\ntest = 20\n"
    )
    options = Options(home=Home(place / name), cache=Cache(place / f"cache-{name}"), engine=engine, listener=listener)
    start = time.perf_counter()
    built = build("many", options)
    seconds = time.perf_counter() - start
    stages = {line.step: line.seconds for line in built.stages}
    assert built.line is not None  # noqa: S101 - it was just published
    return {
        "seconds": seconds,
        "probe": stages["probe"],
        "digest": built.line.digest,
        "manifest": built.manifest.digest(),
        "load": load_average(),
    }


def run_all(place: Path, archive: Path, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Build in turn: locally, on two nodes and the head, and on three of which one is killed; return all figures."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    found: dict[str, list[dict[str, Any]]] = {
        "local, 2 workers": [],
        "ray, 3 nodes": [],
        "ray, one killed half-way": [],
    }
    cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    try:
        for _ in range(2):
            cluster.add_node(**NODE)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        cluster.wait_for_nodes()
        start_workers(place, "started")
        for turn in range(rounds):
            found["local, 2 workers"].append(run(place, f"local{turn}", archive, Local(2), SilentListener()))
            found["ray, 3 nodes"].append(run(place, f"ray{turn}", archive, Ray(), SilentListener()))
            cluster.add_node(**NODE)
            cluster.wait_for_nodes()
            start_workers(place, f"started{turn}")
            found["ray, one killed half-way"].append(run(place, f"killed{turn}", archive, Ray(), Killer(cluster)))
            if len(cluster.worker_nodes) != 2:
                raise SystemExit("no node was killed, so the last row is not valid")
    finally:
        ray.shutdown()
        cluster.shutdown()
    return found


def main() -> None:
    """Compare, print, and write ``results/cluster.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    try:
        found = run_all(place, make_archive(place, asked.count), asked.rounds)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    results = {(run["digest"], run["manifest"]) for runs in found.values() for run in runs}
    medians = {
        engine: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "probe", "load")}
        for engine, runs in found.items()
    }
    local = medians["local, 2 workers"]["seconds"]
    print(f"\n{asked.count:,} synthetic 600x450 JPEGs in one zip, cold, whole build, medians of {asked.rounds}")
    print_table(
        ("engine", "seconds", "of it probe", "x local", "min", "max", "load"),
        [
            (
                engine,
                f"{each['seconds']:.1f}",
                f"{each['probe']:.1f}",
                f"{each['seconds'] / local:.2f}",
                f"{min(run['seconds'] for run in found[engine]):.1f}",
                f"{max(run['seconds'] for run in found[engine]):.1f}",
                f"{each['load']:.1f}",
            )
            for engine, each in medians.items()
        ],
    )
    print(f"version and manifest: {'equal in all runs' if len(results) == 1 else 'NOT equal'}")
    write_results("cluster", {"count": asked.count, "medians": medians, "same": len(results) == 1, "runs": found})


if __name__ == "__main__":
    main()
