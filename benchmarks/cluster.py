"""Measures a build on a Ray cluster of three nodes on this machine against the local engine, with and without a loss.

The pictures are drawn ones in one zip, each with bytes of its own. The nodes have as many cores together as the local
engine has workers, so that both have the same machine; starting the cluster and its workers is left out. For the last
run another node joins, and one is killed without grace when half of the pictures were looked at.
"""

import argparse
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from measuring import load_average, print_table, write_results
from throughput import make_drawn

from curation.engines import Engine, Local
from curation.engines.ray import CORES_A_SHARD, Ray
from curation.pipeline import Built, Options, Silent, build
from curation.sources import Cache
from curation.versions import Home

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


class Killer(Silent):
    """Kills a node when half of the bytes were looked at."""

    def __init__(self, cluster: Any) -> None:  # noqa: ANN401 - Ray's own
        super().__init__()
        self.progress, self._cluster, self._left = self, cluster, 0

    def start(self, description: str, total_bytes: int | None) -> int:
        """Remember how much half of it is."""
        self._left = (total_bytes or 0) // 2 if description == "look at pictures" else 0
        return 0

    def advance(self, task: int, size_bytes: int) -> None:
        """Kill when half of it is done."""
        if self._left > 0 and self._left <= size_bytes and self._cluster.worker_nodes:
            self._cluster.remove_node(next(iter(self._cluster.worker_nodes)), allow_graceful=False)
        self._left = max(0, self._left - size_bytes)

    def finish(self, task: int) -> None:
        """Do nothing."""


def make_archive(place: Path, count: int) -> Path:
    """Return a zip of so many pictures, every one with bytes of its own."""
    contents = [path.read_bytes() for path in sorted(make_drawn(500).iterdir())]
    archive = place / "set.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for number in range(count):
            comment = f"{number:08}".encode()
            content = contents[number % len(contents)]
            content = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
            opened.writestr(f"{'ab'[number % 2]}/{number:08}.jpg", content)
    return archive


def start_workers() -> None:
    """Have every node start its workers: so many shards that wait a while that all are needed."""
    engine = Ray()
    list(engine.map(time.sleep, [1.0] * int(2 * engine.workers / CORES_A_SHARD)))


def run(place: Path, name: str, archive: Path, engine: Engine, listener: Silent) -> tuple[Built, dict[str, Any]]:
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
    return built, {
        "engine": name,
        "seconds": seconds,
        "probe": stages["probe"],
        "digest": built.line.digest,
        "manifest": built.manifest.digest(),
        "load": load_average(),
    }


def main() -> None:
    """Compare, print, and write ``results/cluster.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5_000)
    count = parser.parse_args().count
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    place = Path(tempfile.mkdtemp())
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    try:
        archive = make_archive(place, count)
        _, local = run(place, "local, 2 workers", archive, Local(2), Silent())
        for _ in range(2):
            cluster.add_node(**NODE)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
        cluster.wait_for_nodes()
        start_workers()
        _, whole = run(place, "ray, 3 nodes", archive, Ray(), Silent())
        cluster.add_node(**NODE)
        cluster.wait_for_nodes()
        start_workers()
        nodes = len(cluster.worker_nodes)
        _, lost = run(place, "ray, one killed half-way", archive, Ray(), Killer(cluster))
        lost["killed"] = nodes - len(cluster.worker_nodes)
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(place, ignore_errors=True)
    if lost["killed"] != 1:
        raise SystemExit("no node was killed: the last line would say nothing")
    rows = [local, whole, lost]
    print(f"\n{count:,} drawn 600x450 JPEGs in one zip, cold, whole build")
    print_table(
        ("engine", "seconds", "of it probe", "over local", "same version", "same manifest", "load"),
        [
            (
                row["engine"],
                f"{row['seconds']:.1f}",
                f"{row['probe']:.1f}",
                f"{row['seconds'] / local['seconds']:.2f} x",
                row["digest"] == local["digest"],
                row["manifest"] == local["manifest"],
                f"{row['load']:.1f}",
            )
            for row in rows
        ],
    )
    write_results("cluster", {"count": count, "runs": rows})


if __name__ == "__main__":
    main()
