"""The engine of one machine: this process, or a pool started afresh (spawn), which is the same on every system."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from curation.engines.protocol import Result, Task, search_here
from curation.errors import CurationError
from curation.hashing import Pairs, SearchReport

SHARDS_AHEAD = 3
"""Shards each worker may be ahead of the consumer; bounds the memory whatever the number of images."""


def count_cores() -> int:
    """Return the processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Parameters
    ----------
    workers : int
        1 works in this process.
    """

    workers: int = 1
    far: ClassVar[bool] = False

    def map(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[Result]:
        """Yield ``function(shard)`` in order; a single shard is not worth a process.

        Raises
        ------
        CurationError
            Where a worker was killed from outside (out of memory, most often).
        """
        if self.workers == 1 or len(shards) < 2:
            yield from (function(shard) for shard in shards)
            return
        with self._pool(len(shards)) as pool:
            waiting: deque[Future[Result]] = deque()
            for shard in shards:
                waiting.append(pool.submit(function, shard))
                if len(waiting) >= self.workers * SHARDS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def as_finished(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Yield number and result of each shard as soon as it is there; raises what ``map`` raises."""
        if self.workers == 1 or len(shards) < 2:
            yield from enumerate(map(function, shards))
            return
        with self._pool(len(shards)) as pool:
            waiting: dict[Future[Result], int] = {}
            for number, shard in enumerate(shards):
                waiting[pool.submit(function, shard)] = number
                while len(waiting) >= self.workers * SHARDS_AHEAD:
                    yield from _take_finished(waiting)
            while waiting:
                yield from _take_finished(waiting)

    def candidates(
        self,
        hashes: NDArray[np.uint64],
        radius: int,
        keys: NDArray[np.integer] | None,
        plan: SearchReport | None = None,
    ) -> Iterator[Pairs]:
        """Yield the pairs within the radius; the search runs on threads of this process."""
        return search_here(hashes, radius, keys, plan)

    @contextmanager
    def _pool(self, shards: int) -> Iterator[ProcessPoolExecutor]:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(self.workers, shards), mp_context=context, initializer=_leave_interrupts)
        try:
            yield pool
        except BrokenProcessPool as fault:
            raise CurationError(
                "a worker process was ended from outside (the system may be out of memory)",
                hint="run it again: what was finished is kept; `--workers 1` needs the least memory",
            ) from fault
        except BaseException:
            _end_at_once(pool)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _take_finished(waiting: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    """Wait for one shard at least, and yield and forget all that are finished."""
    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in sorted(finished, key=waiting.__getitem__):
        yield waiting.pop(future), future.result()


def _end_at_once(pool: ProcessPoolExecutor) -> None:
    """End the workers without waiting for the shards they are at: Ctrl-C ends at once."""
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _leave_interrupts() -> None:
    """Let the parent alone answer Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
