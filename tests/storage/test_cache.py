"""The cache contains whole files only, under their sha256, also with several writers and killed ones."""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import platformdirs
import pytest

from curation.errors import ErrorCode
from curation.storage.atomic_files import replace_file
from curation.storage.cache import Cache
from tests.errors import fails_with
from tests.sources.builders import make_folder

CONTENT = b"an archive" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def add_archive(cache: Cache, content: bytes = CONTENT) -> Path:
    """Put an archive into the cache the way a download does."""
    with cache.partial("test") as folder:
        (folder / "body").write_bytes(content)
        return cache.add_archive(folder / "body", hashlib.sha256(content).hexdigest())


def age(path: Path, seconds: float = 3600) -> None:
    """Make a file look as if it had not been touched lately."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_root_is_the_argument_else_the_environment_else_the_users(tmp_path, monkeypatch):
    """The cache is at the given folder, else at $CURATION_CACHE, else in the user's cache folder."""
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "environment"))
    assert Cache(tmp_path / "given").root == tmp_path / "given"
    assert Cache().root == tmp_path / "environment"
    monkeypatch.delenv("CURATION_CACHE")
    assert Cache().root == Path(platformdirs.user_cache_dir("curation"))
    assert not any(tmp_path.iterdir())


def test_an_added_archive_is_found_under_its_sha256(tmp_path):
    """An added archive is found by its sha256, by another Cache too, and nothing unfinished is left."""
    path = add_archive(Cache(tmp_path))
    assert path == tmp_path / "archives" / SHA256[:2] / SHA256
    assert Cache(tmp_path).find(SHA256) == path
    assert Cache(tmp_path).find("0" * 64) is None
    assert not any((tmp_path / "partial").iterdir())


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT.replace(b"a", b"b")])
def test_a_damaged_archive_is_not_found_and_is_replaced(tmp_path, damage):
    """An archive whose bytes changed in the cache is not found; adding it again repairs it."""
    cache = Cache(tmp_path)
    path = add_archive(cache)
    path.write_bytes(damage)
    age(path)
    assert cache.find(SHA256) is None
    assert "is damaged" in cache.warnings[0]
    add_archive(cache)
    assert cache.find(SHA256) == path


def test_an_unchanged_file_is_not_read_again(tmp_path):
    """A file whose size, time and inode are unchanged keeps its known sha256."""
    cache = Cache(tmp_path / "cache")
    path = make_folder(tmp_path, {"x.zip": CONTENT}) / "x.zip"
    age(path)
    assert cache.file_sha256s(path, [path]) == (SHA256,)
    status = path.stat()
    with path.open("r+b") as stream:  # neither size nor time shows this change
        stream.write(b"X")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.file_sha256s(path, [path]) == (SHA256,)


def test_a_file_that_was_read_where_it_stands_is_recalled_while_it_is_unchanged(tmp_path):
    """A mirror's archive is found again by its sha256, until it changes or is gone."""
    cache, archive = Cache(tmp_path / "cache"), tmp_path / "mirror.zip"
    archive.write_bytes(CONTENT)
    age(archive)
    assert cache.recall(SHA256) is None
    cache.file_sha256s(archive, [archive])
    assert Cache(tmp_path / "cache").recall(SHA256) == archive
    archive.write_bytes(CONTENT)
    assert cache.recall(SHA256) is None
    archive.unlink()
    assert cache.recall(SHA256) is None


def test_a_changed_file_is_read_again(tmp_path):
    """A file that was written to, or exchanged for another, is hashed again."""
    cache = Cache(tmp_path / "cache")
    path = make_folder(tmp_path, {"x.zip": CONTENT}) / "x.zip"
    age(path)
    cache.file_sha256s(path, [path])
    path.write_bytes(CONTENT.replace(b"a", b"b"))
    assert cache.file_sha256s(path, [path]) != (SHA256,)
    age(path)
    cache.file_sha256s(path, [path])
    make_folder(tmp_path, {"new": CONTENT.replace(b"a", b"c")})
    os.utime(tmp_path / "new", ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    (tmp_path / "new").replace(path)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert cache.file_sha256s(path, [path]) == (expected,)


def test_a_file_written_just_now_is_not_trusted(tmp_path):
    """A file young enough to change again within the clock's grain is hashed again the next time."""
    cache = Cache(tmp_path / "cache")
    path = make_folder(tmp_path, {"x.zip": CONTENT}) / "x.zip"
    cache.file_sha256s(path, [path])
    status = path.stat()
    path.write_bytes(CONTENT.replace(b"a", b"b"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.file_sha256s(path, [path]) != (SHA256,)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"files": 3}', b'{"files": [[1, 2]]}', b'{"files": [["a", "b", 1, 1, "c"]]}', b"\xff"],
)
def test_a_corrupt_index_counts_as_empty(tmp_path, damage):
    """Whatever stands in an index file, what is not understood is hashed again and written again."""
    cache = Cache(tmp_path / "cache")
    path = make_folder(tmp_path, {"x.zip": CONTENT}) / "x.zip"
    age(path)
    cache.file_sha256s(path, [path])
    (index,) = (tmp_path / "cache" / "index").iterdir()
    good = index.read_bytes()
    index.write_bytes(damage)
    assert cache.file_sha256s(path, [path]) == (SHA256,)
    assert index.read_bytes() == good


def test_progress_counts_every_byte_once(tmp_path):
    """Bytes are reported whether a file is read or known already."""
    cache = Cache(tmp_path / "cache")
    path = make_folder(tmp_path, {"x.zip": CONTENT}) / "x.zip"
    age(path)
    for _ in range(2):
        counted: list[int] = []
        cache.file_sha256s(path, [path], advance=counted.append)
        assert sum(counted) == len(CONTENT)


def test_a_missing_file_has_no_sha256(tmp_path):
    """A file that cannot be read gives None, and the others their hash."""
    make_folder(tmp_path, {"a": CONTENT})
    digests = Cache(tmp_path / "cache").file_sha256s(tmp_path, [tmp_path / "a", tmp_path / "b"])
    assert digests == (SHA256, None)


def test_a_read_only_cache_gives_what_it_has(tmp_path, make_read_only):
    """With a cache that cannot be written, what is in it is found, and hashing goes on with a warning."""
    writable = Cache(tmp_path / "cache")
    add_archive(writable)
    cache = Cache(make_read_only(tmp_path / "cache"))
    assert cache.find(SHA256) == cache.archive_path(SHA256)
    path = make_folder(tmp_path, {"x.zip": CONTENT}) / "x.zip"
    age(path)
    for _ in range(2):
        assert cache.file_sha256s(path, [path]) == (SHA256,)
    assert len(cache.warnings) == 1
    assert "Read-only file system" in cache.warnings[0]
    with fails_with(ErrorCode.DISK_READ_ONLY) as caught:
        add_archive(cache)
    assert "CURATION_CACHE" in str(caught.value.hint)


def test_a_file_in_place_of_the_cache_is_an_error_when_writing(tmp_path):
    """Where the cache's path is a file, reading finds nothing and writing is an error."""
    (tmp_path / "cache").write_bytes(b"")
    cache = Cache(tmp_path / "cache")
    assert cache.find(SHA256) is None
    assert cache.usage() == ()
    cache.recover()
    assert not cache.keep(cache.folder("probe") / "x", b"x")
    with fails_with(ErrorCode.FILE_UNREADABLE):
        add_archive(cache)
    with fails_with(ErrorCode.FILE_UNREADABLE):
        cache.check_room(1)


def test_a_full_disk_keeps_nothing_half_written(small_disk):
    """On a full disk what is only remembered is given up with a warning, and what was there stays whole."""
    cache = Cache(small_disk)
    path = cache.folder("probe") / "x"
    assert cache.keep(path, b"1" * 1000)
    assert not cache.keep(path, b"2" * (2 << 20))
    assert path.read_bytes() == b"1" * 1000
    assert "No space left on device" in cache.warnings[0]
    assert not any((small_disk / "partial").iterdir())
    with fails_with(ErrorCode.DISK_FULL, "1 MB", "4 MB"):
        cache.check_room(4_000_000)


def test_usage_lists_every_file_with_its_kind(tmp_path):
    """For gc every file is listed, sorted, with its kind, size and last use."""
    cache = Cache(tmp_path)
    path = add_archive(cache)
    cache.keep(cache.folder("probe") / "ab" / "x", b"123")
    usage = cache.usage()
    assert [(cached.kind, cached.size_bytes) for cached in usage if cached.kind != "index"] == [
        ("archives", len(CONTENT)),
        ("probe", 3),
    ]
    assert [cached.path for cached in usage] == sorted(cached.path for cached in usage)
    age(path, 1000)
    (aged,) = [cached for cached in cache.usage() if cached.kind == "archives"]
    assert aged.last_used == pytest.approx(time.time() - 1000, abs=100)


def _add_often(root: Path) -> list[str]:
    cache = Cache(root)
    found = []
    for _ in range(8):
        add_archive(cache)
        path = cache.find(SHA256)
        found.append(hashlib.sha256(path.read_bytes()).hexdigest() if path else "missing")
    return found


def test_processes_that_add_the_same_archive_do_not_disturb_each_other(tmp_path):
    """Several processes that add one archive repeatedly find it whole every time."""
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = [job.result() for job in [pool.submit(_add_often, tmp_path) for _ in range(3)]]
    assert {digest for found in results for digest in found} == {SHA256}
    assert not any((tmp_path / "partial").iterdir())


def _hold(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with Cache(root).partial("one") as folder:
        (folder / "body").write_bytes(b"half")
        ready.set()
        time.sleep(60)


def test_a_killed_process_leaves_its_part_and_no_lock(tmp_path):
    """After kill -9 the next process gets the unfinished download at once, with what was in it."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with Cache(tmp_path).partial("one") as folder:
        assert (folder / "body").read_bytes() == b"half"
        (folder / "body").unlink()
    assert not any((tmp_path / "partial").iterdir())


def _write_forever(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    cache = Cache(root)
    while True:
        cache.keep(cache.folder("probe") / "x", json.dumps(["x" * 200_000]).encode())
        ready.set()


def test_a_killed_writer_leaves_a_whole_file_and_what_it_left_is_swept(tmp_path):
    """Killed at any moment, a writer leaves the old or the new file; its temporary one goes with the next run."""
    context = multiprocessing.get_context("spawn")
    for _ in range(3):
        ready = context.Event()
        process = context.Process(target=_write_forever, args=(tmp_path, ready))
        process.start()
        assert ready.wait(30)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert len(json.loads((tmp_path / "probe" / "x").read_bytes())[0]) == 200_000
    (tmp_path / "partial" / "x.0123.tmp").write_bytes(b"left by another")
    Cache(tmp_path).recover()
    assert not any((tmp_path / "partial").iterdir())


def test_sweeping_spares_what_a_living_process_writes(tmp_path):
    """A temporary file that is held stays; the same file left behind goes."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=_hold_temporary, args=(tmp_path, ready, go))
    process.start()
    assert ready.wait(30)
    Cache(tmp_path).recover()
    go.set()
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "probe").read_bytes() == b"new"


def _hold_temporary(
    root: Path, ready: "multiprocessing.synchronize.Event", go: "multiprocessing.synchronize.Event"
) -> None:
    real = os.fsync

    def wait(descriptor: int) -> None:  # the disk takes its time until the other has swept
        ready.set()
        go.wait(30)
        real(descriptor)

    os.fsync = wait
    Cache(root).keep(root / "probe", b"new")


def test_a_failed_replacement_leaves_the_old_file(tmp_path):
    """Where the new content cannot be put in place the old one stays and nothing else is left."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="director"):
        replace_file(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
