"""The engine of one machine: order, errors, an end at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.engines import Local, count_cores
from curation.engines.local import SHARDS_AHEAD
from curation.errors import CurationError


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
        raise CurationError("three is not welcome", hint="leave it out")
    return number


def end_itself(number: int) -> int:
    """Die as a process does that ran out of memory."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    """Whoever finishes first, the order is that of the shards."""
    assert list(Local(workers).map(double, range(9))) == [2 * n for n in range(9)]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_as_they_are_finished_with_their_numbers(workers: int) -> None:
    """Each shard once, under its own number, also where there are more than may be ahead."""
    finished = dict(Local(workers).as_finished(double, range(20)))
    assert finished == {n: 2 * n for n in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_ends_the_finished_ones_too(workers: int) -> None:
    """What the function raises is raised where the results are taken."""
    with pytest.raises(CurationError, match="three is not welcome"):
        list(Local(workers).as_finished(fail_at_three, range(6)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_reaches_the_caller_whole(workers: int) -> None:
    """Message and hint cross the process boundary."""
    with pytest.raises(CurationError, match="three is not welcome") as caught:
        list(Local(workers).map(fail_at_three, range(6)))
    assert caught.value.hint == "leave it out"


def test_a_worker_that_is_killed_is_told() -> None:
    """The system's memory killer ends a worker, not the story."""
    with pytest.raises(CurationError, match="ended from outside"):
        list(Local(2).map(end_itself, range(4)))


def test_workers_run_no_further_ahead_than_memory_allows(tmp_path: Path) -> None:
    """Whoever takes one result and then waits finds a bounded number of shards done, however many there are."""
    for engine in (Local(1), Local(2)):
        for work in (engine.map, engine.as_finished):
            folder = tmp_path / f"{engine.workers}-{work.__name__}"
            folder.mkdir()
            stream = work(leave_mark, [folder / f"{number}" for number in range(60)])
            next(stream)
            time.sleep(1)
            ahead = engine.workers * SHARDS_AHEAD if engine.workers > 1 else 0
            assert 1 <= len(list(folder.iterdir())) <= 1 + ahead
            stream.close()


def test_there_is_a_core() -> None:
    """The number of cores is what this process may use."""
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


INTERRUPTED = """
import time
from curation.engines import Local
if __name__ == "__main__":
    print("ready", flush=True)
    list(Local(2).map(time.sleep, [60.0] * 8))
"""


@pytest.mark.slow
def test_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Shards that take a minute do not keep anybody waiting."""
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    run = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert run.stdout is not None
    run.stdout.readline()
    time.sleep(2)
    start = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=20)
    assert time.monotonic() - start < 10
