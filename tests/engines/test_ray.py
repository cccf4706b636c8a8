"""The engine of many machines, on a cluster of three nodes on this one; one of them is killed half-way."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.engines import Local
from curation.engines.ray import Ray
from curation.errors import CurationError, ErrorCode
from curation.pipeline import Options, build
from curation.storage.cache import Cache
from curation.versions import Home
from tests.builders import as_bytes, texture, write_recipe, write_source

pytest.importorskip("ray", reason="Ray is an extra")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves its sockets, subprocesses and log files to the end of the interpreter.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Give a cluster of three nodes with one core each, with this process connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(**NODE)
    ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
    nodes.wait_for_nodes()
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def tell_process(number: int) -> tuple[int, int]:
    """Return twice the number and who computed it."""
    time.sleep(0.05)
    return 2 * number, os.getpid()


def fail_at_three(number: int) -> int:
    """Raise for one shard."""
    if number == 3:
        raise CurationError(ErrorCode.OPTION_INVALID, "three is not welcome", hint="leave it out")
    return number


def break_at_three(number: int) -> int:
    """Have a bug for one shard."""
    return number // (3 - number)


def test_a_cluster_maps_and_raises_as_this_machine_does(cluster: Any) -> None:
    """Results keep their order, errors their code and hint, and bugs their trace."""
    engine = Ray()
    assert engine.workers == 3
    results = list(engine.map(tell_process, range(30)))
    assert [double for double, _ in results] == [2 * number for number in range(30)]
    assert os.getpid() not in {pid for _, pid in results}
    assert {number: double for number, (double, _) in engine.as_completed(tell_process, range(9))} == {
        number: 2 * number for number in range(9)
    }
    with pytest.raises(CurationError) as caught:
        list(engine.map(fail_at_three, range(6)))
    assert caught.value.code == ErrorCode.OPTION_INVALID
    assert caught.value.hint == "leave it out"
    with pytest.raises(ZeroDivisionError) as broken:
        list(engine.map(break_at_three, range(6)))
    assert "break_at_three" in broken.value.__notes__[0]


def make_pictures(each: int) -> dict[str, bytes]:
    """Return images of two classes, some of them in two copies."""
    files = {}
    for number in range(each):
        files[f"melanoma/m{number:04}.jpg"] = as_bytes(texture(number))
        files[f"healthy/h{number:04}.jpg"] = as_bytes(texture(10_000 + number))
        if number % 10 == 0:
            files[f"melanoma/again{number:04}.jpg"] = as_bytes(texture(number), quality=60)
    return files


class Killer:
    """A listener that kills a node of the cluster, without grace, when half of the images were read."""

    def __init__(self, cluster: Any, cache: Path) -> None:
        self.cluster, self.cache = cluster, cache
        self.killed_after: int | None = None
        self.progress, self.total, self.seen = self, 0, 0

    def start(self, description: str, total_bytes: int | None) -> int:
        """Store the number of bytes to read."""
        self.total, self.seen = (total_bytes or 0) if description == "read images" else 0, 0
        return 0

    def advance(self, task: int, size_bytes: int) -> None:
        """Kill when half of it is done."""
        self.seen += size_bytes
        if self.total and self.seen * 2 >= self.total and self.killed_after is None:
            self.killed_after = len(list(self.cache.glob("probe/*/*.parquet")))
            node = next(iter(self.cluster.worker_nodes))
            self.cluster.remove_node(node, allow_graceful=False)

    def finish(self, task: int) -> None:
        """Ignore it."""

    def stage(self, line: object) -> None:
        """Ignore it."""

    def note(self, sentence: str) -> None:
        """Ignore it."""


def test_a_build_survives_the_death_of_a_node_with_the_digest_of_one_machine(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards are kept while the work goes on, the lost ones are done again, and nothing of it shows in the version."""
    monkeypatch.setattr("curation.stages.probe.SHARD_FILES", 8)
    images = write_source(tmp_path / "images", make_pictures(120))
    write_recipe(tmp_path / "away", images=images, train=40, test=10)
    write_recipe(tmp_path / "here", images=images, train=40, test=10)
    killer = Killer(cluster, tmp_path / "cache")
    away = Options(home=Home(tmp_path / "away"), cache=Cache(tmp_path / "cache"), engine=Ray(), listener=killer)
    there = build("tiny", away)
    assert killer.killed_after is not None
    assert killer.killed_after > 2
    here = build("tiny", Options(home=Home(tmp_path / "here"), cache=Cache(tmp_path / "other"), engine=Local(1)))
    assert there.line is not None
    assert here.line is not None
    assert (there.line.digest, there.line.content_digest) == (here.line.digest, here.line.content_digest)
    assert there.manifest.digest() == here.manifest.digest()
    cluster.add_node(**NODE)
    cluster.wait_for_nodes()


def test_a_lost_run_goes_on_from_the_shards_that_were_finished(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is interrupted half-way; the next run reads what is missing alone, on whatever engine."""
    monkeypatch.setattr("curation.stages.probe.SHARD_FILES", 8)
    images = write_source(tmp_path / "images", make_pictures(60))
    write_recipe(tmp_path, images=images, train=20, test=5)
    seen = []

    class Interrupting(Killer):
        def advance(self, task: int, size_bytes: int) -> None:
            self.seen += size_bytes
            if self.total and self.seen * 2 >= self.total:
                raise KeyboardInterrupt

    class Counting(Local):
        def as_completed(self, function: Any, shards: Any) -> Any:
            seen.extend(shards)
            return super().as_completed(function, shards)

    cache = Cache(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        build(
            "tiny", Options(home=Home(tmp_path), cache=cache, engine=Ray(), listener=Interrupting(cluster, cache.root))
        )
    finished = len(list(cache.folder("probe").glob("*/*.parquet")))
    built = build("tiny", Options(home=Home(tmp_path), cache=cache, engine=Counting(1)), until="probe")
    assert built.manifest.rows["width"].null_count() == 0
    looked_at = sum(len(shard.members) for shard in seen)
    assert 0 < looked_at <= len(built.manifest) - 8 * (finished - 1)


def test_a_machine_that_does_not_see_the_source_is_told(tmp_path: Path) -> None:
    """What one machine has and another lacks is an error that says what to do, not a set of unreadable images."""
    from curation.stages.probe import probe_remote

    class Gone:
        archive = tmp_path / "only-here.zip"

    with pytest.raises(CurationError, match="only-here") as caught:
        probe_remote(Gone())  # type: ignore[arg-type]  # all it looks at before it reads
    assert "s3://" in str(caught.value.hint)
