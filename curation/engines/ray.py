"""The engine of many machines: Ray Data maps functions over shards.

Every machine of the cluster has the same version of the program installed and sees the sources under the same paths or
URLs. The shards of a lost worker are computed again by another one.
"""

import contextlib
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from curation.engines.protocol import Result, Task
from curation.errors import CurationError, ErrorCode
from curation.release import VERSION

if TYPE_CHECKING:
    import ray.data

Batch = dict[str, Any]

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
    """

    address: str | None = None
    is_remote: ClassVar[bool] = True

    @cached_property
    def _data(self) -> Any:  # noqa: ANN401 - a module; Ray is an extra and may be missing
        """Connect, and return the module ``ray.data``."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent
        try:
            import ray
            import ray.data
        except ImportError as fault:
            raise CurationError(
                ErrorCode.EXTRA_MISSING,
                "Ray is not installed",
                hint="In the project's folder: pip install -e '.[scale]' -c constraints.txt",
            ) from fault
        if not ray.is_initialized():
            try:
                ray.init(self.address, include_dashboard=None, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as fault:
                where = f" at {self.address}" if self.address else ""
                raise CurationError(
                    ErrorCode.CLUSTER_FAILED,
                    f"cannot reach a Ray cluster{where}: {fault}",
                    hint="Start one with `ray start --head`, then pass `--address HOST:6379`.",
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
        finished = self.as_completed(function, shards)
        for number in range(len(shards)):
            while number not in early:
                place, result = next(finished)
                early[place] = result
            yield early.pop(number)

    def as_completed(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Yield number and result of each shard as soon as it is there; raises what ``map`` raises."""
        if len(shards) < 2:
            yield from enumerate(map(function, shards))
            return
        rows = [{"number": number, "task": pickle.dumps(shard)} for number, shard in enumerate(shards)]
        tasks = self._data.from_items(rows, override_num_blocks=len(rows))
        mapped = tasks.map_batches(
            partial(_work, function, VERSION), batch_size=1, batch_format="numpy", num_cpus=CORES_A_SHARD
        )
        for row in self._rows(mapped):
            outcome = pickle.loads(row["outcome"])  # noqa: S301 - our own worker wrote it
            if isinstance(outcome, _Raised):
                outcome.error.add_note(f"on a worker of the cluster:\n{outcome.trace}")
                raise outcome.error
            yield int(row["number"]), outcome

    def each_alone(
        self, function: Callable[[Task], Result], shards: Sequence[Task]
    ) -> Iterator[tuple[int, Result | None]]:
        """Yield number and result of each shard; a crash of a worker is an error of the cluster, which repeats it."""
        yield from self.as_completed(function, shards)

    def _rows(self, dataset: "ray.data.Dataset") -> Iterator[Batch]:
        with _explained():
            yield from dataset.iter_rows()


@dataclass(frozen=True)
class _Raised:
    """What a worker's function raised; it is sent as a value, so that Ray does not repeat the shard."""

    error: Exception
    trace: str


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what Ray raises for a lost cluster into a user error."""
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayError as fault:
        raise CurationError(
            ErrorCode.CLUSTER_FAILED,
            f"the Ray cluster could not finish the work: {fault}",
            hint="Run the command again: finished work is kept.",
        ) from fault


def _work(function: Callable[[Any], Any], version: str, batch: Batch) -> Batch:
    """Run the function on one shard, on a machine of the cluster."""
    try:
        if version != VERSION:
            raise CurationError(
                ErrorCode.CLUSTER_MISMATCH,
                f"a machine of the cluster has curation {VERSION}, this one {version}",
                hint="Install the same version on every machine.",
            )
        outcome = function(pickle.loads(batch["task"][0]))  # noqa: S301 - this program's own driver wrote it
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver raises it
        outcome = _Raised(error, traceback.format_exc())
    return {"number": batch["number"], "outcome": np.array([pickle.dumps(outcome)], dtype=object)}
