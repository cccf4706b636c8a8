"""One build at a time, and a lock that dies with its process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from curation.versions import Home, locked, published, verify
from curation.versions.locks import find_holder
from tests.versions.builders import make_home

HOLD = """
import sys, time
from pathlib import Path
from curation.versions import Home, locked
with locked(Home(Path(sys.argv[1])), "squares"):
    print("held", flush=True)
    time.sleep(60)
"""
HOLD_WITH_CHILD = """
import os, sys, time
from pathlib import Path
from curation.versions import Home, locked
with locked(Home(Path(sys.argv[1])), "squares"):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path) -> Home:
    """Return a home that defines one dataset."""
    return make_home(tmp_path)


def start(code, home):
    """Start a process that holds the lock, and wait until it does; returns the process and what it said."""
    process = subprocess.Popen([sys.executable, "-c", code, str(home.datasets)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_free_lock_is_taken_without_waiting(home):
    """Without another build there is no message about waiting, and the lock can be taken again afterwards."""
    said = []
    for _ in range(2):
        with locked(home, "squares", on_wait=said.append) as held:
            assert (held.home, held.name) == (home, "squares")
    assert said == []
    assert find_holder(home, "squares") is None


def test_datasets_are_locked_one_by_one(home):
    """Two datasets are built at the same time."""
    said = []
    with locked(home, "squares"), locked(home, "circles", on_wait=said.append):
        assert said == []


def test_the_second_build_waits_and_names_whom_it_waits_for(home):
    """on_wait is called once, with a sentence that holds the other's process id, and the wait ends with the lock."""
    process, _ = start(HOLD, home)
    said, taken = [], threading.Event()

    def take():
        with locked(home, "squares", on_wait=said.append):
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        wait_until(lambda: said)
        assert f"pid {process.pid} on " in said[0]
        assert "squares" in said[0]
        assert not taken.is_set()
        assert f"pid {process.pid}" in (find_holder(home, "squares") or "")
    finally:
        process.kill()
        process.communicate()
        thread.join(timeout=30)
    assert taken.is_set()
    assert len(said) == 1


def test_a_lock_dies_with_its_process(home):
    """After kill -9 the next build takes the lock at once."""
    process, _ = start(HOLD, home)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = []
    with locked(home, "squares", on_wait=said.append):
        assert said == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_worker_does_not_keep_the_lock(home):
    """A worker that outlives its killed build does not hold the dataset back."""
    process, child = start(HOLD_WITH_CHILD, home)
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        os.kill(int(child), 0)
        said = []
        with locked(home, "squares", on_wait=said.append):
            assert said == []
    finally:
        os.kill(int(child), signal.SIGKILL)
        process.communicate()


def test_an_error_inside_frees_the_lock(home):
    """Whatever ends the block ends the lock."""
    with pytest.raises(ZeroDivisionError), locked(home, "squares"):
        raise ZeroDivisionError
    assert find_holder(home, "squares") is None


def test_who_holds_it_is_not_made_up_for_a_dataset_never_built(home):
    """Asking for the holder makes no file."""
    assert find_holder(home, "squares") is None
    assert not home.builds("squares").exists()


@pytest.mark.slow
@pytest.mark.parametrize("salts", [("a", "a"), ("a", "b")], ids=["the same", "different"])
def test_two_builds_at_once_publish_one_after_the_other(home, salts):
    """Of two processes the second waits: the same choice is published once, two choices get two numbers."""
    command = [sys.executable, "-m", "tests.versions.contender", str(home.datasets)]
    with locked(home, "squares"):
        builds = [subprocess.Popen([*command, salt], stdout=subprocess.PIPE, text=True) for salt in salts]
        told = [build.stdout.readline() for build in builds]
    said = [build.communicate(timeout=60)[0].strip() for build in builds]
    assert all(f"pid {os.getpid()} " in sentence for sentence in told)
    wanted = ["published 1", "unchanged 1"] if salts == ("a", "a") else ["published 1", "published 2"]
    assert sorted(said) == wanted
    for line in published(home, "squares"):
        assert verify(home, f"squares@v{line.version}").problems == ()


def test_spawned_workers_never_hold_the_lock(home):
    """A process that is started afresh during a build inherits no lock."""
    with locked(home, "squares"):
        worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(20,))
        worker.start()
    try:
        said = []
        with locked(home, "squares", on_wait=said.append):
            assert said == []
    finally:
        worker.kill()
        worker.join()


def wait_until(ready, seconds=30.0):
    """Wait until ``ready()`` is true; fail after a while."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
