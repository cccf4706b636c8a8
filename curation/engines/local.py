"""The engine of one machine: this process, or a pool of fresh processes, which is the same on every system."""

import faulthandler
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from curation.engines.protocol import Engine, Result, Task, WorkerCrashedError
from curation.errors import CurationError, ErrorCode

if TYPE_CHECKING:
    import loky

SHARDS_AHEAD = 3
"""Shards each worker may be ahead of the consumer; bounds the memory whatever the number of images."""
ORPHAN_CHECK_S = 1.0
NO_RECYCLING = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e15"}
"""A worker that holds a large image does not leak: loky must not replace it, and warn, at 300 MB."""


def count_cores() -> int:
    """Return the processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Parameters
    ----------
    workers : int
        1 works in this process. More are started when there is work for two of them, and never import the script
        that called: it needs no ``if __name__ == "__main__":``.
    kept : KeptWorkers, optional
        Workers that several calls share; by default each call starts and ends its own. See ``keep_workers``.
    """

    workers: int = 1
    kept: "KeptWorkers | None" = field(default=None, repr=False, compare=False)
    is_remote: ClassVar[bool] = False

    def map(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[Result]:
        """Yield ``function(shard)`` in order; a single shard is not worth a process.

        Raises
        ------
        CurationError
            Where a worker was killed from outside (out of memory, most often).
        WorkerCrashedError
            Where a worker was ended by its own code; in this process that ends the program.
        """
        if self.workers == 1 or len(shards) < 2:
            yield from (function(shard) for shard in shards)
            return
        with self._open_pool(min(self.workers, len(shards))) as pool:
            waiting: deque[Future[Result]] = deque()
            for shard in shards:
                waiting.append(pool.submit(function, shard))
                if len(waiting) >= self.workers * SHARDS_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def as_completed(self, function: Callable[[Task], Result], shards: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Yield number and result of each shard as soon as it is there; raises what ``map`` raises."""
        if self.workers == 1 or len(shards) < 2:
            yield from enumerate(map(function, shards))
            return
        waiting: dict[Future[Result], int] = {}
        number = -1
        try:
            with self._open_pool(min(self.workers, len(shards))) as pool:
                for number, shard in enumerate(shards):
                    waiting[pool.submit(function, shard)] = number
                    while len(waiting) >= self.workers * SHARDS_AHEAD:
                        yield from _take_completed(waiting)
                while waiting:
                    yield from _take_completed(waiting)
        except WorkerCrashedError as crash:
            raise WorkerCrashedError(sorted({*waiting.values(), number})) from crash

    def each_alone(
        self, function: Callable[[Task], Result], shards: Sequence[Task]
    ) -> Iterator[tuple[int, Result | None]]:
        """Yield number and result of one shard at a time, in another process; None where that crashes twice.

        Raises
        ------
        CurationError
            Where that process was killed from outside.
        """
        alone = Local(1)
        workers = KeptWorkers(1)
        try:
            for number, shard in enumerate(shards):
                result = None
                for _ in range(2):
                    try:
                        with replace(alone, kept=workers)._open_pool(1) as pool:
                            result = pool.submit(function, shard).result()
                        break
                    except WorkerCrashedError:
                        continue
                yield number, result
        finally:
            workers.end(kill=True)

    @contextmanager
    def _open_pool(self, workers: int) -> Iterator[Executor]:
        """Give the kept workers, or start some and end them: at once where the consumer fails or stops early."""
        kept = self.kept or KeptWorkers(workers)
        try:
            yield kept.start()
        except BrokenProcessPool as fault:
            crashed = kept.has_crashed()
            kept.end(kill=True)
            if crashed:
                raise WorkerCrashedError from fault
            raise CurationError(
                ErrorCode.WORKER_KILLED,
                "a worker process was ended from outside (the system may be out of memory)",
                hint="Run the command again: finished work is kept; `--workers 1` needs the least memory.",
            ) from fault
        except BaseException:
            kept.end(kill=True)
            raise
        finally:
            if self.kept is None:
                kept.end()


class KeptWorkers:
    """Worker processes that are started when first needed, and serve until they are ended."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: loky.ProcessPoolExecutor | None = None
        self._traces: Path | None = None

    def start(self) -> Executor:
        """Return the running workers; start them where there are none."""
        if self._pool is None:
            import loky  # a build that starts no worker is done sooner without it

            self._traces = Path(tempfile.mkdtemp(prefix="curation-workers-"))
            self._pool = loky.ProcessPoolExecutor(
                self._workers,
                initializer=_prepare_worker,
                initargs=(os.getpid(), str(self._traces)),
                env=NO_RECYCLING,
            )
        started: Executor = self._pool
        return started

    def has_crashed(self) -> bool:
        """Return whether a worker left a trace of a fatal error, which one that is killed from outside does not."""
        return self._traces is not None and any(trace.stat().st_size for trace in self._traces.iterdir())

    def end(self, *, kill: bool = False) -> None:
        """End the workers, after their work or at once; where none run, nothing happens."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(kill_workers=True) if kill else pool.shutdown()
        traces, self._traces = self._traces, None
        if traces is not None:
            shutil.rmtree(traces, ignore_errors=True)


@contextmanager
def keep_workers(engine: Engine) -> Iterator[Engine]:
    """Give an engine whose calls share their workers until the block ends: starting them costs half a second."""
    if not isinstance(engine, Local) or engine.workers == 1 or engine.kept is not None:
        yield engine
        return
    kept = KeptWorkers(engine.workers)
    try:
        yield replace(engine, kept=kept)
    except BaseException:
        kept.end(kill=True)
        raise
    finally:
        kept.end()


def _take_completed(waiting: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    """Wait for one shard at least, and yield and forget all that are completed."""
    completed, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in sorted(completed, key=waiting.__getitem__):
        result = future.result()  # one that fails is still among those that wait
        yield waiting.pop(future), result


_traces: list[BinaryIO] = []
"""The open file that a fatal error is written to."""


def _prepare_worker(parent: int, traces: str) -> None:
    """Let the parent alone answer Ctrl-C, end with the parent where that is killed, and leave a trace of a crash."""
    _traces.append(Path(traces, str(os.getpid())).open("wb", buffering=0))  # noqa: SIM115 - open as long as the worker
    faulthandler.enable(_traces[-1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(1)
