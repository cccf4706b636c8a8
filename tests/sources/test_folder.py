"""A folder, a zip, a tar or a loose file is a source where it stands."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from curation.dataset.recipe import FolderSource
from curation.errors import ErrorCode
from curation.sources import fetch_all
from curation.storage.archives import list_members, read_member
from curation.storage.cache import Cache
from tests.errors import fails_with
from tests.sources.builders import Ledger, as_nobody, make_folder, make_tar, make_zip

FILES = {"nevus/b.jpg": b"b" * 3000, "melanoma/a.jpg": b"a" * 200}


def fetch(path: Path, cache: Cache, **settings):
    """Fetch one folder source."""
    (fetched,) = fetch_all([FolderSource(name="own", kind="folder", path=path)], cache=cache, **settings)
    return fetched


def test_an_archive_is_fetched_where_it_stands(tmp_path):
    """A zip keeps its path, and is known by name, sha256 and size."""
    path = make_zip(tmp_path / "x.zip", FILES)
    fetched = fetch(path, Cache())
    (archive,) = fetched.archives
    assert (archive.path, archive.name, archive.size_bytes) == (path, "x.zip", path.stat().st_size)
    assert archive.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (fetched.source, fetched.origin, fetched.version) == ("own", "folder", None)


def test_a_folders_sha256_is_over_its_paths_and_bytes(tmp_path):
    """A folder has the same sha256 wherever and in whatever order it was written; each path and byte counts."""
    digests = {
        name: fetch(make_folder(tmp_path / name, files), Cache()).archives[0].sha256
        for name, files in {
            "one": FILES,
            "two": dict(reversed(FILES.items())),
            "renamed": {"nevus/c.jpg": b"b" * 3000, "melanoma/a.jpg": b"a" * 200},
            "other": {**FILES, "melanoma/a.jpg": b"a" * 199 + b"b"},
            "more": {**FILES, "empty.txt": b""},
        }.items()
    }
    assert digests["one"] == digests["two"]
    assert len(set(digests.values())) == 4


def test_an_unchanged_folder_is_not_read_again(tmp_path):
    """The second time a folder costs a stat a file; a file changed since is noticed."""
    folder = make_folder(tmp_path / "folder", FILES)
    hour_ago = time.time() - 3600
    for path in folder.rglob("*.jpg"):
        os.utime(path, (hour_ago, hour_ago))
    first = fetch(folder, Cache())
    with (folder / "melanoma" / "a.jpg").open("r+b") as stream:  # unseen from outside, so not to be noticed
        stream.write(b"X")
    os.utime(folder / "melanoma" / "a.jpg", (hour_ago, hour_ago))
    assert fetch(folder, Cache()) == first
    (folder / "melanoma" / "a.jpg").write_bytes(b"changed")
    assert fetch(folder, Cache()).archives[0].sha256 != first.archives[0].sha256


def test_an_unreadable_file_is_part_of_the_folders_sha256(open_folder, tmp_path):
    """A file that cannot be read does not end the fetch, and its coming back changes the sha256."""
    folder = make_folder(open_folder / "folder", FILES)
    whole = fetch(folder, Cache(tmp_path / "cache")).archives[0].sha256
    (folder / "melanoma" / "a.jpg").chmod(0)
    with as_nobody():
        assert fetch(folder, Cache(open_folder / "cache")).archives[0].sha256 != whole


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_unpacked_once_into_the_cache(tmp_path, mode):
    """A compressed tar is read from a plain one in the cache, under the sha256 of the one that came."""
    path = make_tar(tmp_path / "x.tar.any", FILES, mode=mode)
    cache = Cache()
    (archive,) = fetch(path, cache).archives
    assert archive.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert archive.path == cache.root / "tars" / f"{archive.sha256}.tar"
    assert {m.path: read_member(archive.path, m) for m in list_members(archive.path)} == FILES
    written = archive.path.stat().st_mtime_ns
    assert fetch(path, cache).archives == (archive,)
    assert archive.path.stat().st_mtime_ns == written
    assert not any((cache.root / "partial").iterdir())


def test_a_plain_tar_is_read_where_it_stands(tmp_path):
    """A plain tar needs no copy."""
    path = make_tar(tmp_path / "x.tar", FILES)
    assert fetch(path, Cache()).archives[0].path == path


def test_a_tar_that_expands_out_of_proportion_is_refused(tmp_path):
    """A compressed tar of mostly zeros is refused before it fills the disk, and leaves nothing."""
    path = make_tar(tmp_path / "x.tar.gz", {"bomb": bytes(40 << 20)}, mode="w:gz")
    cache = Cache()
    with fails_with(ErrorCode.ARCHIVE_REFUSED, "x.tar.gz"):
        fetch(path, cache)
    assert not any((cache.root / "partial").iterdir())
    assert not (cache.root / "tars").exists()


def test_a_damaged_compressed_tar_is_an_error(tmp_path):
    """A compressed tar cut short is an error that names it, and leaves nothing."""
    path = make_tar(tmp_path / "x.tar.gz", {"a": os.urandom(200_000)}, mode="w:gz")
    path.write_bytes(path.read_bytes()[:-40_000])
    cache = Cache()
    with fails_with(ErrorCode.ARCHIVE_DAMAGED, "x.tar.gz"):
        fetch(path, cache)
    assert not any((cache.root / "partial").iterdir())


def test_no_room_to_unpack_is_an_error(tmp_path, small_disk):
    """Where the plain tar does not fit on the cache's disk there is an error, and nothing is left."""
    path = make_tar(tmp_path / "x.tar.gz", {"a": os.urandom(2_000_000)}, mode="w:gz")
    with fails_with(ErrorCode.DISK_FULL) as caught:
        fetch(path, Cache(small_disk))
    assert "CURATION_CACHE" in str(caught.value.hint)
    assert [cached.kind for cached in Cache(small_disk).usage()] in ([], ["index"])


def test_what_is_not_there_or_not_permitted_is_an_error(tmp_path, open_folder):
    """A missing path, and an archive that may not be opened, are errors that name it."""
    with fails_with(ErrorCode.SOURCE_MISSING, "own", "missing.zip"):
        fetch(tmp_path / "missing.zip", Cache())
    path = make_zip(open_folder / "x.zip", FILES)
    path.chmod(0)
    with as_nobody(), fails_with(ErrorCode.FILE_UNREADABLE, "x.zip", "permission denied"):
        fetch(path, Cache(open_folder / "cache"))


def test_hashing_is_told_to_the_progress(tmp_path):
    """Every byte of an archive is reported once, and the task is ended."""
    path = make_zip(tmp_path / "x.zip", FILES)
    ledger = Ledger()
    fetch(path, Cache(), progress=ledger)
    size_bytes = path.stat().st_size
    assert ledger.started == [("hash x.zip", size_bytes)]
    assert ledger.done == {0: size_bytes}
    assert ledger.finished == [0]
