"""The engine of many machines: Ray Data maps functions over shards and groups what the search has to compare.

Every machine of the cluster has this very version of the program installed and sees the sources under the same paths
or URLs. A worker that is lost costs the shards it was at, which Ray gives to another one.
"""

import contextlib
import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.engines.protocol import Result, Task, search_here
from curation.errors import CurationError
from curation.hashing import Pairs, SearchReport, representatives
from curation.hashing.distributed_search import Sent, cut_bands, keep_closest, search_group, send

if TYPE_CHECKING:
    import ray.data

Batch = dict[str, Any]

SEARCH_HERE = 2_000_000
"""Up to so many distinct hashes are searched in this process, which takes less time than sending them around."""
ROWS_SENT = 65_536
SENT_BYTES = 24
PART_BYTES = 64 << 20
"""So many bytes of what is sent are grouped together; Ray's own 200 parts cost a small cluster most of its time."""
CORES_A_SHARD = 0.5
"""Two shards a core: while one waits to be read, sent or started (0.15 s each), the other keeps the core busy."""


@dataclass(frozen=True)
class Ray:
    """A Ray cluster; the first use connects to it, or starts one on this machine.

    Parameters
    ----------
    address : str, optional
        ``HOST:6379``, ``ray://HOST:10001`` or ``auto``; without it the cluster this process is connected to already,
        else one of this machine alone.
    search_here : int
        Up to so many distinct hashes are searched in this process.
    """

    address: str | None = None
    search_here: int = SEARCH_HERE
    far: ClassVar[bool] = True

    @cached_property
    def _data(self) -> Any:  # noqa: ANN401 - a module; Ray is an extra and may be missing
        """Connect, and return the module ``ray.data``."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
        try:
            import ray
            import ray.data
        except ImportError as fault:
            raise CurationError(
                "Ray is not installed", hint="in the project's folder: pip install -e '.[scale]' -c constraints.txt"
            ) from fault
        if not ray.is_initialized():
            try:
                ray.init(self.address, include_dashboard=None, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as fault:
                where = f" at {self.address}" if self.address else ""
                raise CurationError(
                    f"no Ray cluster can be reached{where}: {fault}",
                    hint="start one with `ray start --head`, and give --address HOST:6379",
                ) from fault
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        return ray.data

    @property
    def workers(self) -> int:
        """How many processor cores the cluster has at the moment."""
        import ray

        resources: dict[str, float] = self._data and ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray leaves this one untyped
        return int(resources.get("CPU", 1))

    def map(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[Result]:
        """Yield ``function(shard)`` in the order of the shards; those that finish early wait in the object store.

        Raises
        ------
        CurationError
            Where the function raises it, or the cluster is lost.
        """
        early: dict[int, Result] = {}
        finished = self.as_finished(function, shards)
        for number in range(len(shards)):
            while number not in early:
                place, result = next(finished)
                early[place] = result
            yield early.pop(number)

    def as_finished(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Yield number and result of each shard as soon as it is there; raises what ``map`` raises."""
        if len(shards) < 2:
            yield from enumerate(map(function, shards))
            return
        rows = [{"number": number, "task": pickle.dumps(shard)} for number, shard in enumerate(shards)]
        tasks = self._data.from_items(rows, override_num_blocks=len(rows))
        mapped = tasks.map_batches(
            partial(_work, function, _version()), batch_size=1, batch_format="numpy", num_cpus=CORES_A_SHARD
        )
        for row in self._rows(mapped):
            outcome = pickle.loads(row["outcome"])  # noqa: S301 - our own worker wrote it
            if isinstance(outcome, _Raised):
                outcome.error.add_note(f"on a worker of the cluster:\n{outcome.trace}")
                raise outcome.error
            yield int(row["number"]), outcome

    def candidates(
        self,
        hashes: NDArray[np.uint64],
        radius: int,
        keys: NDArray[np.integer] | None,
        plan: SearchReport | None = None,
    ) -> Iterator[Pairs]:
        """Yield the pairs within the radius; many hashes are compared by a group-by over the cluster."""
        first = representatives(hashes, keys)
        rows = np.flatnonzero(first == np.arange(len(first)))
        if len(rows) <= self.search_here:
            yield from search_here(hashes, radius, keys, plan)
            return
        distinct = hashes[rows].reshape(len(rows), -1)
        for pairs in self._join(distinct, radius):
            closest = keep_closest(pairs, distinct)
            yield Pairs(rows[closest.i], rows[closest.j], closest.distance, closest.symmetry)

    def _join(self, distinct: NDArray[np.uint64], radius: int) -> Iterator[Pairs]:
        starts = range(0, len(distinct), ROWS_SENT)
        tables = [
            {"start": start, "width": distinct.shape[1], "hashes": distinct[start : start + ROWS_SENT].tobytes()}
            for start in starts
        ]
        sent = self._data.from_items(tables, override_num_blocks=len(tables)).map_batches(
            partial(_send, radius), batch_size=1, batch_format="numpy"
        )
        parts = max(2 * self.workers, -(-distinct.size * len(cut_bands(radius)) * SENT_BYTES // PART_BYTES))
        found = sent.groupby("group", num_partitions=parts).map_groups(partial(_search, radius), batch_format="numpy")
        for batch in self._batches(found):
            i, j = batch["i"].astype(np.int64), batch["j"].astype(np.int64)
            yield Pairs(i, j, batch["distance"].astype(np.uint8), batch["symmetry"].astype(np.uint8))

    def _rows(self, dataset: "ray.data.Dataset") -> Iterator[Batch]:
        with _explained():
            yield from dataset.iter_rows()

    def _batches(self, dataset: "ray.data.Dataset") -> Iterator[Batch]:
        with _explained():
            for batch in dataset.iter_batches(batch_size=None, batch_format="numpy"):
                yield dict(batch)


@dataclass(frozen=True)
class _Raised:
    """What a worker's function raised; it travels as a value, so that Ray does not try the shard again."""

    error: Exception
    trace: str


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what Ray raises where the cluster is lost into the error that says what to do."""
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayError as fault:
        raise CurationError(
            f"the Ray cluster could not finish the work: {fault}",
            hint="run it again: every shard that was finished is kept",
        ) from fault


def _version() -> str:
    """Return the program's version; importing it by name from here would turn the floors of the house upside down."""
    return str(sys.modules["curation"].__version__)


def _work(function: Callable[[Any], Any], version: str, batch: Batch) -> Batch:
    """Work on one shard on some machine of the cluster."""
    try:
        if version != _version():
            raise CurationError(
                f"a machine of the cluster has curation {_version()}, this one {version}",
                hint="install the same version on every machine",
            )
        outcome = function(pickle.loads(batch["task"][0]))  # noqa: S301 - this program's own driver wrote it
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver raises it
        outcome = _Raised(error, traceback.format_exc())
    return {"number": batch["number"], "outcome": np.array([pickle.dumps(outcome)], dtype=object)}


def _send(radius: int, batch: Batch) -> Batch:
    """Send the hashes of some rows to the groups of their bands."""
    hashes = np.frombuffer(batch["hashes"][0], np.uint64).reshape(-1, int(batch["width"][0]))
    sent = send(hashes, radius, start=int(batch["start"][0]))
    return {"group": sent.group, "sender": sent.sender, "hashes": sent.hashes}


def _search(radius: int, group: Batch) -> Batch:
    """Search one group."""
    pairs = search_group(Sent(group["group"], group["sender"], group["hashes"]), radius)
    return {"i": pairs.i, "j": pairs.j, "distance": pairs.distance, "symmetry": pairs.symmetry}
