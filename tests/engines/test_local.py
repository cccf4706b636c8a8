"""The engine of one machine: order, errors, an end at once."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from curation.engines import Local, count_cores, keep_workers, survive_crashes
from curation.engines.local import SHARDS_AHEAD
from curation.errors import CurationError, ErrorCode

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60


def double(number: int) -> int:
    """Return twice the number, later ones sooner."""
    time.sleep(0.02 * (number % 3))
    return 2 * number


def leave_mark(path: Path) -> int:
    """Leave a file that says that this shard was done."""
    path.touch()
    return 1


def fail_at_three(number: int) -> int:
    """Raise for one shard."""
    if number == 3:
        raise CurationError(ErrorCode.OPTION_INVALID, "three is not welcome", hint="leave it out")
    return number


def end_itself(number: int) -> int:
    """Die as a process does that ran out of memory."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def grow(number: int) -> int:
    """Keep 400 MB from the third shard on, as a worker does that holds one large image, and return the process."""
    kept.append(b"x" * (400 << 20 if len(kept) == 2 else 1))
    time.sleep(0.3)
    return os.getpid()


kept: list[bytes] = []


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    """The order is that of the shards, whichever ends first."""
    assert list(Local(workers).map(double, range(9))) == [2 * n for n in range(9)]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_as_they_are_completed_with_their_numbers(workers: int) -> None:
    """Each shard comes once, under its own number, also where there are more than may be ahead."""
    completed = dict(Local(workers).as_completed(double, range(20)))
    assert completed == {n: 2 * n for n in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("work", ["map", "as_completed"])
def test_an_error_of_the_function_reaches_the_caller_whole(workers: int, work: str) -> None:
    """Code, message and hint cross the process boundary."""
    with pytest.raises(CurationError) as caught:
        list(getattr(Local(workers), work)(fail_at_three, range(6)))
    assert caught.value.code == ErrorCode.OPTION_INVALID
    assert caught.value.message == "three is not welcome"
    assert caught.value.hint == "leave it out"


def test_a_worker_that_is_killed_is_an_error_with_a_code() -> None:
    """The system's memory killer ends a worker, and the caller learns it."""
    with pytest.raises(CurationError) as caught:
        list(Local(2).map(end_itself, range(4)))
    assert caught.value.code == ErrorCode.WORKER_KILLED


def test_workers_run_no_further_ahead_than_memory_allows(tmp_path: Path) -> None:
    """A caller that takes one result and then waits finds a bounded number of shards done, however many there are."""
    for engine in (Local(1), Local(2)):
        for work in (engine.map, engine.as_completed):
            folder = tmp_path / f"{engine.workers}-{work.__name__}"
            folder.mkdir()
            stream = work(leave_mark, [folder / f"{number}" for number in range(60)])
            next(stream)
            time.sleep(1)
            ahead = engine.workers * SHARDS_AHEAD if engine.workers > 1 else 0
            assert 1 <= len(list(folder.iterdir())) <= 1 + ahead
            stream.close()


def test_a_worker_that_holds_a_large_image_stays() -> None:
    """Memory that a shard needs is not a leak: the worker is neither replaced nor warned about."""
    workers = set(Local(2).map(grow, range(14)))
    assert len(workers) == 2


def test_there_is_a_core() -> None:
    """The number of cores is what this process may use."""
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


SCRIPT = """
import multiprocessing, sys
from curation.engines import Local
if len(sys.argv) > 1:
    multiprocessing.set_start_method(sys.argv[1])
print(list(Local(2).map(abs, range(-4, 0))))
"""


@pytest.mark.parametrize("method", [None, *multiprocessing.get_all_start_methods()])
def test_a_script_without_a_main_guard_works_under_every_start_method(tmp_path: Path, method: str | None) -> None:
    """Its workers imported the script, which started workers again, or waited for a lock that it held itself."""
    script = tmp_path / "plain.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, script, *filter(None, [method])],
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "[4, 3, 2, 1]\n"


WAITING = """
import time
from curation.engines import Local
list(Local(2).map(time.sleep, [60.0] * 8))
"""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Sequence[psutil.Process]]]:
    """Give a script whose two workers sleep for a minute, and all processes that it started."""
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    with subprocess.Popen(
        [sys.executable, script], env=surroundings(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        started: list[psutil.Process] = []
        parent = psutil.Process(run.pid)
        wait_until(lambda: len(sleepers(parent)) == 2)
        started = parent.children(recursive=True)
        try:
            yield run, started
        finally:
            for process in [parent, *started]:
                if process.is_running():
                    process.kill()


def sleepers(parent: psutil.Process) -> list[psutil.Process]:
    """Return the workers that have got as far as their function: they have a second thread."""
    return [child for child in parent.children() if "popen_loky" in " ".join(child.cmdline()) and has_begun(child)]


def has_begun(worker: psutil.Process) -> bool:
    """Return whether a worker ignores Ctrl-C already."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) & 1 << (signal.SIGINT - 1))


def wait_until(holds: Callable[[], Any]) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def surroundings() -> dict[str, str]:
    """Return the environment of a script that uses this project."""
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ctrl_c_ends_at_once_with_all_workers(waiting: Any) -> None:
    """Shards that take a minute do not delay the end."""
    run, started = waiting
    start = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - start < 10
    assert errors.count("KeyboardInterrupt") == 1
    wait_until(lambda: not any(process.is_running() for process in started))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_end_with_a_parent_that_was_killed(waiting: Any) -> None:
    """Nothing stays after kill -9: no worker that waits for ever, no semaphore in /dev/shm."""
    run, started = waiting
    run.kill()
    run.wait()
    wait_until(lambda: not any(process.is_running() for process in started))
    assert not list(Path("/dev/shm").glob(f"*loky-{run.pid}-*"))  # noqa: S108 - where Linux keeps semaphores


def test_kept_workers_serve_several_calls_and_end_with_the_block():
    """The calls of a build share their processes, which are gone afterwards; other calls start their own."""
    with keep_workers(Local(2)) as engine:
        first = set(engine.map(_name_process, range(8)))
        second = set(engine.map(_name_process, range(8)))
    assert first | second == first
    assert len(first) <= 2
    assert set(Local(2).map(_name_process, range(8))).isdisjoint(first)
    assert not any(Path(f"/proc/{number}").exists() for number in first)


def test_kept_workers_are_started_anew_after_a_failure():
    """A call that fails ends its workers; the next call of the same block has others."""
    with keep_workers(Local(2)) as engine:
        first = set(engine.map(_name_process, range(8)))
        with pytest.raises(ZeroDivisionError):
            list(engine.map(_divide, [1, 0]))
        assert set(engine.map(_name_process, range(8))).isdisjoint(first)


def _name_process(shard: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def _divide(shard: int) -> float:
    return 1 / shard


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_shard_that_crashes_its_worker_costs_itself_alone(name: str) -> None:
    """The unfinished shards are repeated piece by piece; what crashes again is the only one without a result."""
    shards = [tuple(range(start, start + 3)) for start in range(0, 30, 3)]
    found = dict(
        survive_crashes(Local(2), _crash_at_seven, [(name, shard) for shard in shards], split=_pieces, join=_all)
    )
    expected = [[None if number == 7 else 2 * number for number in shard] for shard in shards]
    assert [found[place] for place in range(len(shards))] == expected


def test_a_worker_that_is_killed_from_outside_is_no_crash() -> None:
    """A machine's memory, or a person, decides nothing about an image."""
    shards = [("SIGKILL", (number,)) for number in range(12)]
    with pytest.raises(CurationError) as caught:
        list(survive_crashes(Local(2), _crash_at_seven, shards, split=_pieces, join=_all))
    assert caught.value.code == ErrorCode.WORKER_KILLED


def test_a_crash_that_does_not_come_again_costs_nothing(tmp_path: Path) -> None:
    """The first attempt leaves a mark and crashes, the second one works."""
    found = dict(Local(2).each_alone(_crash_once, [tmp_path / str(number) for number in range(3)]))
    assert found == {0: 1, 1: 1, 2: 1}


Numbers = tuple[str, tuple[int, ...]]


def _crash_at_seven(shard: Numbers) -> list[int | None]:
    name, numbers = shard
    if 7 in numbers:
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(5)
    return [2 * number for number in numbers]


def _crash_once(mark: Path) -> int:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)
    return 1


def _pieces(shard: Numbers) -> list[Numbers]:
    return [(shard[0], (number,)) for number in shard[1]]


def _all(shard: Numbers, pieces: Sequence[list[int | None] | None]) -> list[int | None]:
    return [number for piece in pieces for number in (piece or [None])]
