"""Kaggle, by its own client against a server on loopback that speaks its API and misbehaves."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.dataset.recipe import KaggleSource
from curation.errors import ErrorCode
from curation.sources import Fetched, fetch_all, read_lock
from curation.sources.kaggle import fetch
from curation.storage.archives import list_members
from curation.storage.cache import Cache
from tests.errors import fails_with
from tests.sources.builders import Ledger, make_request, make_zip
from tests.sources.servers import Fault, Server

ISIC = KaggleSource(name="isic", kind="kaggle", dataset="owner/set")
PINNED = ISIC.model_copy(update={"version": 2})
MEMBERS = {"Set/Train/nevus/a.jpg": os.urandom(700_000), "Set/Test/nevus/b.jpg": os.urandom(700_000)}
STORAGE = "^/storage/"

# All tests here share port 7777; under xdist one worker takes them in turn rather than all of them waiting.
pytestmark = pytest.mark.xdist_group("kaggle")


@pytest.fixture
def archive(kaggle: Server, tmp_path: Path) -> bytes:
    """Publish one dataset."""
    content = make_zip(tmp_path / "published.zip", MEMBERS).read_bytes()
    kaggle.datasets["owner/set"] = content
    return content


def take(cache: Cache | None = None, settings: KaggleSource = ISIC, **parts) -> Fetched:
    """Fetch one dataset."""
    return fetch(make_request(settings, cache or Cache(), **parts))


def nothing_unfinished(cache: Cache) -> bool:
    """Tell whether no part of a download is left."""
    return not any(cached.kind == "partial" for cached in cache.usage())


def test_a_dataset_is_downloaded_under_its_sha256(archive, kaggle, capfd):
    """A zip lands in the cache under its sha256, with version and licence, and the client's prints stay inside."""
    cache = Cache()
    fetched = take(cache)
    (given,) = fetched.archives
    assert given.sha256 == hashlib.sha256(archive).hexdigest()
    assert given.path == cache.archive_path(given.sha256)
    assert given.path.read_bytes() == archive
    assert (given.name, given.size_bytes) == ("set.zip", len(archive))
    assert (fetched.version, fetched.licence, fetched.origin) == ("3", "CC0-1.0", "network")
    assert fetched.url == "https://www.kaggle.com/datasets/owner/set"
    assert [member.path for member in list_members(given.path)] == sorted(MEMBERS)
    assert nothing_unfinished(cache)
    assert capfd.readouterr() == ("", "")
    (asked,) = kaggle.asked("DownloadDataset$")
    assert json.loads(asked.body) == {"ownerSlug": "owner", "datasetSlug": "set"}


def test_a_public_dataset_needs_no_credentials(archive, kaggle):
    """Without credentials the server is asked all the same, and decides."""
    take()
    assert all("Authorization" not in seen.headers for seen in kaggle.seen)


@pytest.mark.parametrize("place", ["environment", "kaggle.json"])
def test_credentials_are_used_as_kaggle_documents_them(archive, kaggle, monkeypatch, tmp_path, place):
    """A key from the environment or from kaggle.json is sent."""
    if place == "environment":
        monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
        monkeypatch.setenv("KAGGLE_KEY", "secret")
    else:
        (tmp_path / ".kaggle").mkdir()
        (tmp_path / ".kaggle" / "kaggle.json").write_text('{"username": "somebody", "key": "secret"}')
    take()
    assert kaggle.asked("DownloadDataset$")[0].headers["Authorization"] == "Basic c29tZWJvZHk6c2VjcmV0"


def test_a_token_is_used(archive, kaggle, monkeypatch):
    """A token from the environment is sent."""
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good")
    take()
    assert kaggle.asked("DownloadDataset$")[0].headers["Authorization"] == "Bearer good"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_an_error_with_a_next_step(archive, kaggle, status, capfd):
    """A refusal is an error that names token, file, page, place and command; the client neither exits nor prints."""
    kaggle.refusal = status
    with fails_with(
        ErrorCode.CREDENTIALS_MISSING if status < 404 else ErrorCode.NETWORK_FAILED, "isic", str(status), "owner/set"
    ) as caught:
        take()
    hint = str(caught.value.hint)
    for part in (
        "KAGGLE_API_TOKEN",
        "kaggle.json",
        "https://www.kaggle.com/datasets/owner/set",
        "MIRROR/kaggle/owner/set.zip",
        "--mirror MIRROR",
    ):
        assert part in hint
    assert capfd.readouterr() == ("", "")


def test_a_missing_dataset_is_an_error(kaggle):
    """A dataset that does not exist is an error, and nothing stays in the cache."""
    cache = Cache()
    with fails_with(ErrorCode.NETWORK_FAILED, "404"):
        take(cache)
    assert nothing_unfinished(cache)


def test_an_unreachable_server_is_an_error(kaggle, monkeypatch):
    """Where no server listens the error names the failure, and the way without internet."""
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")  # port 80, where no server listens
    with fails_with(ErrorCode.NETWORK_FAILED, "owner/set") as caught:
        take()
    assert "--mirror" in str(caught.value.hint)


def test_offline_is_an_error_with_a_next_step(archive, kaggle):
    """Where the network is not to be used nothing is asked, and the error explains the download by hand."""
    with fails_with(ErrorCode.OFFLINE, "owner/set") as caught:
        take(offline=True)
    assert "MIRROR/kaggle/owner/set.zip" in str(caught.value.hint)
    assert kaggle.seen == []


def test_a_pinned_version_is_asked_for(archive, kaggle):
    """A version in the recipe is the one that is asked for and recorded."""
    assert take(settings=PINNED).version == "2"
    assert json.loads(kaggle.asked("DownloadDataset$")[0].body)["datasetVersionNumber"] == 2


def test_a_server_that_tells_no_version_is_enough(archive, kaggle):
    """Where Kaggle does not describe the dataset it is downloaded all the same."""
    kaggle.version = None
    fetched = take()
    assert (fetched.version, fetched.licence) == (None, None)
    assert take(settings=PINNED).version == "2"


def test_a_locked_dataset_in_the_cache_makes_no_request(archive, kaggle, tmp_path):
    """The first fetch writes the lock; from then on the cache answers alone."""
    lock = tmp_path / "lock.json"
    (first,) = fetch_all([ISIC], cache=Cache(), lock=lock)
    line = read_lock(lock)["isic"]
    assert (line.version, line.licence, line.files[0].sha256) == ("3", "CC0-1.0", first.archives[0].sha256)
    kaggle.seen.clear()
    (again,) = fetch_all([ISIC], cache=Cache(), lock=lock, offline=True)
    assert (again.archives, again.origin, kaggle.seen) == (first.archives, "cache", [])


def test_a_new_version_is_an_error_until_it_is_updated(archive, kaggle, tmp_path):
    """A new version upstream is an error before anything is downloaded; an update takes it."""
    lock = tmp_path / "lock.json"
    fetch_all([ISIC], cache=Cache(tmp_path / "one"), lock=lock)
    kaggle.datasets["owner/set"] = make_zip(tmp_path / "new.zip", {"new.jpg": b"new"}).read_bytes()
    kaggle.version = 4
    kaggle.seen.clear()
    with fails_with(ErrorCode.SOURCE_CHANGED, "locked 3, now 4"):
        fetch_all([ISIC], cache=Cache(tmp_path / "two"), lock=lock)
    assert kaggle.asked(STORAGE) == []
    (updated,) = fetch_all([ISIC], cache=Cache(tmp_path / "two"), lock=lock, update=True)
    assert updated.version == read_lock(lock)["isic"].version == "4"


def test_other_bytes_under_the_same_version_are_an_error(archive, kaggle, tmp_path):
    """An archive exchanged without a new version is an error with both hashes, and is not kept."""
    lock = tmp_path / "lock.json"
    fetch_all([ISIC], cache=Cache(tmp_path / "one"), lock=lock)
    new = make_zip(tmp_path / "new.zip", {"new.jpg": b"new"}).read_bytes()
    kaggle.datasets["owner/set"] = new
    before, now = hashlib.sha256(archive).hexdigest(), hashlib.sha256(new).hexdigest()
    cache = Cache(tmp_path / "two")
    with fails_with(ErrorCode.SOURCE_CHANGED, before, now) as caught:
        fetch_all([ISIC], cache=cache, lock=lock)
    assert "--update" in str(caught.value.hint)
    assert nothing_unfinished(cache)
    assert cache.find(now) is None


def test_the_same_archive_is_not_downloaded_twice(archive, kaggle):
    """An archive whose ETag and length are known is taken from the cache."""
    cache = Cache()
    first = take(cache)
    assert take(cache, update=True) == first
    assert [seen.headers.get("Range") for seen in kaggle.asked(STORAGE)] == [None, None]
    assert len(list(cache.folder("archives").rglob("*"))) == 2


@pytest.mark.parametrize("name", ["not a zip", "truncated", "damaged"])
def test_what_is_no_whole_zip_is_an_error_and_removed(archive, kaggle, name):
    """A page instead of the zip, a zip cut short and a zip with a wrong byte are never added to the cache."""
    kaggle.datasets["owner/set"], code = {
        "not a zip": (b"<html>sign in</html>", ErrorCode.DOWNLOAD_DAMAGED),
        "truncated": (archive[:-100], ErrorCode.ARCHIVE_DAMAGED),
        "damaged": (archive[:5000] + bytes([archive[5000] ^ 0xFF]) + archive[5001:], ErrorCode.DOWNLOAD_DAMAGED),
    }[name]
    cache = Cache()
    with fails_with(code):
        take(cache)
    assert nothing_unfinished(cache)
    assert not cache.folder("archives").exists()
    kaggle.datasets["owner/set"] = archive
    assert take(cache).archives[0].path.read_bytes() == archive


@pytest.mark.slow
def test_a_dropped_connection_is_resumed(archive, kaggle):
    """After a drop the client asks for the rest, on the condition that the file is the same."""
    kaggle.faults.append(Fault(cut=1_000_000))
    ledger = Ledger()
    assert take(progress=ledger).archives[0].path.read_bytes() == archive
    first, second = kaggle.asked(STORAGE)
    start = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 1_000_000
    assert second.headers["If-Range"].startswith('"')
    assert "Range" not in first.headers
    assert (ledger.started, ledger.finished) == ([("download set.zip", len(archive))], [0])
    assert ledger.done == {0: len(archive)}


@pytest.mark.slow
def test_a_dataset_that_changes_between_attempts_starts_from_zero(archive, kaggle):
    """A zip exchanged for one of the same length while it is downloaded is never put together from two."""
    new = archive.replace(b"nevus", b"naevi")

    def exchange() -> None:
        kaggle.datasets["owner/set"] = new

    kaggle.faults.append(Fault(cut=1_000_000, after=exchange))
    assert take().archives[0].path.read_bytes() == new
    assert [seen.headers.get("Range") is None for seen in kaggle.asked(STORAGE)] == [True, False]


@pytest.mark.slow
def test_a_dataset_that_grows_between_attempts_is_an_error_once(archive, kaggle, tmp_path):
    """A zip exchanged for a longer one while it is downloaded is an error; the next run takes the new one."""
    new = make_zip(tmp_path / "new.zip", {**MEMBERS, "new.jpg": b"new"}).read_bytes()

    def exchange() -> None:
        kaggle.datasets["owner/set"] = new

    kaggle.faults.append(Fault(cut=1_000_000, after=exchange))
    cache = Cache()
    with fails_with(ErrorCode.DOWNLOAD_DAMAGED, str(len(new)), str(len(archive))) as caught:
        take(cache)
    assert "by hand" in str(caught.value.hint)
    assert not cache.folder("archives").exists()
    assert take(cache).archives[0].path.read_bytes() == new
    assert nothing_unfinished(cache)


PULL = """
import sys
from pathlib import Path
from curation.dataset.recipe import KaggleSource
from curation.sources import fetch_all
from curation.storage.cache import Cache
isic = KaggleSource(name="isic", kind="kaggle", dataset="owner/set")
(fetched,) = fetch_all([isic], cache=Cache(), lock=Path(sys.argv[1]))
print(fetched.archives[0].sha256)
"""


def test_a_killed_download_is_resumed_by_the_next_process(kaggle, tmp_path):
    """After kill -9 in the middle the next run asks for the rest only; nothing half is ever found."""
    archive = make_zip(tmp_path / "big.zip", {"a.jpg": os.urandom(4 << 20)}).read_bytes()
    kaggle.datasets["owner/set"] = archive
    kaggle.faults.append(Fault(cut=3 << 20, stall=True))
    cache = Cache()
    command = [sys.executable, "-c", PULL, str(tmp_path / "lock.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not any(c.size_bytes >= 2 << 20 and c.kind == "partial" for c in cache.usage()):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()
    assert not cache.folder("archives").exists()
    assert not (tmp_path / "lock.json").exists()
    assert take(cache).archives[0].path.read_bytes() == archive
    resumed = [seen.headers["Range"] for seen in kaggle.asked(STORAGE) if "Range" in seen.headers]
    assert len(resumed) == 1
    assert int(resumed[0].removeprefix("bytes=").removesuffix("-")) >= 2 << 20
    assert nothing_unfinished(cache)


def test_a_full_disk_is_an_error_before_the_download(kaggle, tmp_path, small_disk):
    """Where the zip cannot fit there is an error at once, rather than after the client's retries."""
    kaggle.datasets["owner/set"] = make_zip(tmp_path / "big.zip", {"a.jpg": os.urandom(4 << 20)}).read_bytes()
    with fails_with(ErrorCode.DISK_FULL, "1 MB", "4.2 MB"):
        take(Cache(small_disk))


def test_a_read_only_cache_is_an_error_with_a_hint(archive, tmp_path, make_read_only):
    """A download needs a cache that can be written."""
    (tmp_path / "cache").mkdir()
    with fails_with(ErrorCode.DISK_READ_ONLY) as caught:
        take(Cache(make_read_only(tmp_path / "cache")))
    assert "CURATION_CACHE" in str(caught.value.hint)
