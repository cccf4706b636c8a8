"""Locks name their owner and wait for one another; a file system without locks is an error."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from curation.errors import CurationError, ErrorCode
from curation.storage.locks import find_owner, hold_lock, try_lock

WITHOUT_FCNTL = """
import sys, warnings
warnings.simplefilter("ignore")
sys.modules["fcntl"] = None
from pathlib import Path
from curation.storage.locks import find_owner, hold_lock, try_lock
lock = Path(sys.argv[1])
with hold_lock(lock), try_lock(lock) as second:
    print(second, find_owner(lock) is not None)
with try_lock(lock) as held:
    print(held, find_owner(lock) is not None)
"""


def test_a_held_lock_names_its_owner_and_leaves_no_file(tmp_path: Path) -> None:
    """While a lock is held its owner is known; afterwards neither a lock file nor an owner is left."""
    lock = tmp_path / "one.lock"
    with hold_lock(lock):
        assert f"pid {os.getpid()} on " in (find_owner(lock) or "")
    assert find_owner(lock) is None
    assert not any(tmp_path.iterdir())


def test_a_lock_file_can_be_kept(tmp_path: Path) -> None:
    """On request the empty lock file stays for the next one, without an owner."""
    lock = tmp_path / "one.lock"
    with hold_lock(lock, keep_file=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["one.lock"]
    assert find_owner(lock) is None


def test_a_second_holder_waits_and_is_given_the_owner(tmp_path: Path) -> None:
    """on_wait is called once with the owner, and the lock is had when the first holder is done."""
    lock, owners, order = tmp_path / "one.lock", [], []
    waiting = threading.Event()

    def wait() -> None:
        def hear(owner: str) -> None:
            owners.append(owner)
            waiting.set()

        with hold_lock(lock, on_wait=hear):
            order.append("second")

    with hold_lock(lock):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    assert len(owners) == 1
    assert f"pid {os.getpid()} on " in owners[0]


def test_trying_a_lock_does_not_wait(tmp_path: Path) -> None:
    """A lock that is held is not had and stays as it is; a free one is had for the block."""
    lock = tmp_path / "one.lock"
    with hold_lock(lock):
        with try_lock(lock) as held:
            assert not held
        assert find_owner(lock) is not None
    with try_lock(lock) as held:
        assert held
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where the operating system refuses file locks the error has its own code and names the file."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    lock = tmp_path / "one.lock"
    with pytest.raises(CurationError, match=r"one\.lock") as caught, hold_lock(lock):
        pass
    assert caught.value.code == ErrorCode.LOCKS_UNSUPPORTED


def test_a_folder_that_cannot_be_written_is_the_systems_error(tmp_path: Path) -> None:
    """A lock below a file raises OSError, which the callers explain."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), hold_lock(tmp_path / "file" / "one.lock"):
        pass


def test_locks_work_on_a_system_without_fcntl(tmp_path: Path) -> None:
    """Where Python has no fcntl a lock still keeps others out, names its owner and leaves no file."""
    command = [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path / "one.lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True", "True", "True"], done.stderr
    assert not any(tmp_path.iterdir())
