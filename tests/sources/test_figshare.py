"""figshare, against a server on loopback that speaks its API and misbehaves."""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from curation.dataset.recipe import FigshareSource
from curation.errors import CurationError, ErrorCode
from curation.sources import Fetched, fetch_all, read_lock
from curation.sources.download import Wanted, download, open_client
from curation.sources.figshare import fetch
from curation.storage.archives import list_members
from curation.storage.cache import Cache
from curation.storage.retry import RetryPolicy
from tests.errors import fails_with
from tests.sources.builders import Ledger, make_folder, make_request, make_zip
from tests.sources.servers import Article, Fault, Server

SKIN = FigshareSource(name="skin", kind="figshare", article=7)
QUICK = RetryPolicy(attempts=4, first_pause=0.01, longest_pause=0.02, longest_wish=5)
PATCHES = os.urandom(3_000_000)
SHA256 = hashlib.sha256(PATCHES).hexdigest()
MD5 = hashlib.md5(PATCHES, usedforsecurity=False).hexdigest()
DROPS = Fault(cut=1_000_000)


@pytest.fixture
def article(figshare: Server) -> Article:
    """Publish one article of one file."""
    figshare.articles[7] = Article({"patches.bin": PATCHES})
    return figshare.articles[7]


def take(cache: Cache | None = None, settings: FigshareSource = SKIN, **parts) -> Fetched:
    """Fetch one article, without long pauses."""
    return fetch(make_request(settings, cache or Cache(), **parts), policy=QUICK)


def ranges(figshare: Server) -> list[str | None]:
    """Return the Range header of each request for a file."""
    return [seen.headers.get("Range") for seen in figshare.asked("^/files/")]


def nothing_unfinished(cache: Cache) -> bool:
    """Tell whether no part of a download is left."""
    return not any(cached.kind == "partial" for cached in cache.usage())


def test_an_article_is_downloaded_under_its_sha256(article):
    """A file lands in the cache under its sha256, and the article's own description comes with it."""
    cache = Cache()
    fetched = take(cache)
    (archive,) = fetched.archives
    assert archive.path == cache.archive_path(SHA256)
    assert archive.path.read_bytes() == PATCHES
    assert (archive.name, archive.sha256, archive.size_bytes, archive.md5) == ("patches.bin", SHA256, 3_000_000, MD5)
    assert fetched.origin == "network"
    assert fetched.version == "1"
    assert fetched.licence == "CC BY 4.0"
    assert fetched.doi == "10.6084/m9.figshare.7.v1"
    assert fetched.citation == "Somebody (2026): A drawn set. figshare."
    assert fetched.url == "https://figshare.com/articles/dataset/drawn/7"
    assert nothing_unfinished(cache)


def test_a_locked_article_in_the_cache_makes_no_request(article, figshare, tmp_path):
    """The first fetch writes the lock; from then on the cache alone answers, offline too, with the same content."""
    lock = tmp_path / "set" / "lock.json"
    (first,) = fetch_all([SKIN], cache=Cache(), lock=lock)
    line = read_lock(lock)["skin"]
    assert [asdict(file) for file in line.files] == [
        {"name": "patches.bin", "size_bytes": 3_000_000, "sha256": SHA256, "md5": first.archives[0].md5}
    ]
    assert (line.kind, line.version, line.doi) == ("figshare", "1", "10.6084/m9.figshare.7.v1")
    written = lock.read_bytes(), lock.stat().st_mtime_ns
    figshare.seen.clear()
    (again,) = fetch_all([SKIN], cache=Cache(), lock=lock, offline=True)
    assert figshare.seen == []
    assert (again.archives, again.origin) == (first.archives, "cache")
    assert (lock.read_bytes(), lock.stat().st_mtime_ns) == written


def test_a_lock_restores_an_empty_cache(article, tmp_path):
    """With the lock and without the cache the same files are downloaded again, and the lock stays as it is."""
    lock = tmp_path / "lock.json"
    (first,) = fetch_all([SKIN], cache=Cache(tmp_path / "one"), lock=lock)
    written = lock.read_bytes()
    (again,) = fetch_all([SKIN], cache=Cache(tmp_path / "two"), lock=lock)
    assert again.origin == "network"
    assert [archive.sha256 for archive in again.archives] == [archive.sha256 for archive in first.archives]
    assert lock.read_bytes() == written


def test_a_changed_article_is_an_error_until_it_is_updated(article, figshare, tmp_path):
    """A changed upstream is an error that names both hashes before anything is downloaded; an update takes it."""
    lock = tmp_path / "lock.json"
    fetch_all([SKIN], cache=Cache(tmp_path / "one"), lock=lock)
    written = lock.read_bytes()
    changed = PATCHES[::-1]
    article.files["patches.bin"], article.version = changed, 2
    figshare.seen.clear()
    with pytest.raises(CurationError) as caught:
        fetch_all([SKIN], cache=Cache(tmp_path / "two"), lock=lock)
    for part in ("version: locked 1, now 2", hashlib.md5(changed, usedforsecurity=False).hexdigest()):
        assert part in caught.value.message
    assert "--update" in str(caught.value.hint)
    assert figshare.asked("^/files/") == []
    assert lock.read_bytes() == written
    (updated,) = fetch_all([SKIN], cache=Cache(tmp_path / "two"), lock=lock, update=True)
    assert updated.archives[0].sha256 == hashlib.sha256(changed).hexdigest()
    assert read_lock(lock)["skin"].version == "2"


def test_a_change_that_only_the_sha256_shows_is_an_error(article, tmp_path):
    """Where figshare states no md5, other bytes of the same length are noticed by their sha256 after the download."""
    article.states_md5 = False
    lock = tmp_path / "lock.json"
    fetch_all([SKIN], cache=Cache(tmp_path / "one"), lock=lock)
    article.files["patches.bin"] = PATCHES[::-1]
    with fails_with(ErrorCode.SOURCE_CHANGED, SHA256, hashlib.sha256(PATCHES[::-1]).hexdigest()):
        fetch_all([SKIN], cache=Cache(tmp_path / "two"), lock=lock)


def test_an_update_downloads_only_what_changed(figshare, tmp_path):
    """An update takes files whose md5 the lock knows from the cache."""
    figshare.articles[7] = Article({"a.bin": b"a" * 1000, "b.bin": b"b" * 1000})
    lock = tmp_path / "lock.json"
    fetch_all([SKIN], cache=Cache(), lock=lock)
    figshare.articles[7].files["b.bin"] = b"B" * 1000
    figshare.seen.clear()
    (updated,) = fetch_all([SKIN], cache=Cache(), lock=lock, update=True)
    assert [seen.path for seen in figshare.asked("^/files/")] == ["/files/7/1"]
    assert [archive.path.read_bytes()[:1] for archive in updated.archives] == [b"a", b"B"]


def test_a_recipe_that_asks_for_something_else_is_an_error(article, tmp_path):
    """Another article, version or choice of files than was locked is an error, not a silent pull."""
    lock = tmp_path / "lock.json"
    fetch_all([SKIN], cache=Cache(), lock=lock)
    for change in ({"article": 8}, {"version": 1}, {"files": ("*.zip",)}):
        with fails_with(ErrorCode.SOURCE_CHANGED, "figshare article 7"):
            fetch_all([SKIN.model_copy(update=change)], cache=Cache(), lock=lock)


def test_a_pinned_version_is_asked_for(article, figshare):
    """A version in the recipe is the one that is asked for; one that does not exist is an error."""
    article.version = 3
    assert take(settings=SKIN.model_copy(update={"version": 3})).version == "3"
    assert figshare.asked("^/v2/articles/7/versions/3$")
    with fails_with(ErrorCode.NETWORK_FAILED, "versions/9", "404"):
        take(settings=SKIN.model_copy(update={"version": 9}))


def test_files_are_chosen_by_name(figshare):
    """Only files that a pattern names are taken, sorted by name; no match is an error that lists what is there."""
    figshare.articles[7] = Article({"b.zip": b"b", "a.zip": b"a", "read me.pdf": b"p"})
    fetched = take(settings=SKIN.model_copy(update={"files": ("*.zip",)}))
    assert [archive.name for archive in fetched.archives] == ["a.zip", "b.zip"]
    with fails_with(ErrorCode.NO_FILES, "*.tar", "a.zip, b.zip, read me.pdf"):
        take(settings=SKIN.model_copy(update={"files": ("*.tar",)}))


def test_a_name_that_an_article_holds_twice_is_two_files(figshare, tmp_path):
    """Both were called alike, so their rows had one id, and the build ended in a traceback."""
    files = {"a.tif": b"1", "b": b"2", "a~2.tif": b"3", "c": b"4"}
    figshare.articles[7] = Article(files, names={"b": "a.tif", "c": "a.tif"})
    (first,) = fetch_all([SKIN], cache=Cache(), lock=tmp_path / "lock.json")
    contents = {archive.name: archive.path.read_bytes() for archive in first.archives}
    assert contents == {"a.tif": b"1", "a~3.tif": b"2", "a~4.tif": b"4", "a~2.tif": b"3"}
    (again,) = fetch_all([SKIN], cache=Cache(), lock=tmp_path / "lock.json", offline=True)
    assert again.archives == first.archives


@pytest.mark.parametrize("count", [9, 10, 11, 101])
def test_all_files_of_a_long_article_are_taken(figshare, count):
    """An article shows ten of its files at most; the others are found on the pages of its list."""
    figshare.articles[7] = Article({f"{index:03}.tif": b"%d" % index for index in range(count)})
    assert [archive.path.read_bytes() for archive in take().archives] == [b"%d" % index for index in range(count)]


def test_hostile_names_never_reach_the_disk(figshare):
    """A file's name is text: one that leads elsewhere is stored under its sha256 like any."""
    figshare.articles[7] = Article({"../../escape.zip": b"zip"})
    cache = Cache()
    (archive,) = take(cache).archives
    assert archive.name == "../../escape.zip"
    assert archive.path == cache.archive_path(hashlib.sha256(b"zip").hexdigest())


@pytest.mark.parametrize(
    ("cuts", "starts"),
    [([1_000_000], [1_000_000]), ([0, 1_000_000, 0, 1_000_000], [1_000_000, 1_000_000, 2_000_000])],
)
def test_a_dropped_connection_is_resumed(article, figshare, cuts, starts):
    """After a drop the rest is asked for, on the condition that the file is the same, and nothing is sent twice."""
    figshare.faults.extend(Fault(cut=cut) for cut in cuts)
    assert take().archives[0].sha256 == SHA256
    asked = figshare.asked("^/files/")
    assert len(asked) == len(cuts) + 1
    resumed = [seen for seen in asked if "Range" in seen.headers]
    assert [seen.headers["Range"] for seen in resumed] == [f"bytes={start}-" for start in starts]
    assert all(seen.headers["If-Range"].startswith('"') for seen in resumed)
    assert all(seen.headers["Accept-Encoding"] == "identity" for seen in asked)


def test_a_long_file_may_drop_often(figshare):
    """Drops that each bring a good piece further do not use up the attempts."""
    content = os.urandom(12 << 20)
    figshare.articles[7] = Article({"long.bin": content})
    figshare.faults.extend([Fault(cut=(3 << 19) + 1)] * 7)
    assert take().archives[0].path.read_bytes() == content


def test_a_server_that_gives_a_little_each_time_ends_in_an_error(article, figshare):
    """Drops that bring next to nothing exhaust the attempts, and the error gives their number."""
    figshare.faults.extend([Fault(cut=10)] * 50)
    cache = Cache()
    with fails_with(ErrorCode.NETWORK_FAILED, "patches.bin", "4 times") as caught:
        take(cache)
    assert "resumed" in str(caught.value.hint)
    assert len(figshare.asked("^/files/")) == 4
    assert cache.find(SHA256) is None
    figshare.faults.clear()
    figshare.seen.clear()
    ledger = Ledger()
    assert take(cache, progress=ledger).archives[0].sha256 == SHA256
    assert ranges(figshare) == ["bytes=40-"]
    assert ledger.done == {0: 3_000_000}


def test_a_file_that_changes_between_attempts_starts_from_zero(article, figshare):
    """A file exchanged while it is downloaded is never put together from two; it is started again."""
    new = os.urandom(3_000_000)

    def exchange() -> None:
        article.files["patches.bin"] = new

    article.md5s["patches.bin"] = hashlib.md5(new, usedforsecurity=False).hexdigest()
    figshare.faults.append(Fault(cut=1_000_000, after=exchange))
    assert take().archives[0].path.read_bytes() == new
    assert ranges(figshare) == [None, "bytes=1000000-"]


def test_a_server_that_overlooks_the_condition_is_found_out(article, figshare):
    """A server that continues with other bytes in spite of If-Range is found out by its ETag."""
    new = os.urandom(3_000_000)

    def exchange() -> None:
        article.files["patches.bin"] = new

    article.states_md5 = False
    figshare.faults.extend([Fault(cut=1_000_000, after=exchange), Fault(ignore_condition=True)])
    assert take().archives[0].path.read_bytes() == new
    assert ranges(figshare) == [None, "bytes=1000000-", None]


def test_a_server_that_sends_another_range_is_found_out(article, figshare):
    """A server that continues at another byte than was asked for is not believed."""
    article.states_md5 = False
    figshare.faults.extend([DROPS, Fault(lag=1000, announce=-1000)])
    assert take().archives[0].sha256 == SHA256
    assert ranges(figshare) == [None, "bytes=1000000-", None]


def test_a_part_of_another_file_is_not_continued(figshare, tmp_path):
    """What was begun from another address is thrown away, though length and md5 are the same."""
    figshare.articles[7] = Article({"a.bin": PATCHES, "b.bin": PATCHES}, tags=False)
    figshare.faults.append(DROPS)
    with open_client() as client:
        for name, policy in (("0", RetryPolicy(attempts=1)), ("1", QUICK)):
            wanted = Wanted(name, f"{figshare.url}/files/7/{name}", len(PATCHES), MD5)
            with contextlib.suppress(CurationError):
                arrived = download(client, wanted, tmp_path, advance=lambda _: None, policy=policy)
    assert arrived.path.read_bytes() == PATCHES
    assert ranges(figshare) == [None, None]


def test_without_etags_the_md5_tells(article, figshare):
    """Where a server gives no ETag, a download put together from two files is found out by the md5."""
    new = os.urandom(3_000_000)

    def exchange() -> None:
        article.files["patches.bin"] = new

    article.tags = False
    article.md5s["patches.bin"] = hashlib.md5(new, usedforsecurity=False).hexdigest()
    figshare.faults.append(Fault(cut=1_000_000, after=exchange))
    assert take().archives[0].path.read_bytes() == new
    assert ranges(figshare) == [None, "bytes=1000000-", None]


def test_without_etag_and_md5_nothing_is_resumed(article, figshare):
    """Where nothing can tell that two halves belong together the download starts again."""
    article.tags = article.states_md5 = False
    figshare.faults.append(DROPS)
    assert take().archives[0].sha256 == SHA256
    assert ranges(figshare) == [None, None]


def test_a_server_that_ignores_ranges_starts_from_zero(article, figshare):
    """A server that sends the whole file again instead of the rest is read from its start."""
    figshare.faults.extend([DROPS, Fault(ignore_range=True)])
    ledger = Ledger()
    assert take(progress=ledger).archives[0].sha256 == SHA256
    assert ledger.done == {0: 3_000_000}


@pytest.mark.parametrize("announce", [-500_000, 500_000])
def test_a_wrong_content_length_is_survived(article, figshare, announce):
    """A server that announces less or more than it has once still gives the whole file."""
    figshare.faults.append(Fault(announce=announce))
    assert take().archives[0].sha256 == SHA256


@pytest.mark.parametrize(("size", "fact"), [(3_000_100, "got 3000000"), (2_999_900, "sent more")])
def test_a_wrong_length_is_an_error_that_names_both(article, size, fact):
    """A file that never has the length figshare states is an error with both sizes."""
    article.sizes["patches.bin"] = size
    cache = Cache()
    with fails_with(ErrorCode.NETWORK_FAILED, str(size), fact):
        take(cache)
    assert cache.find(SHA256) is None


def test_a_wrong_md5_is_an_error_that_names_both(article, figshare):
    """A file that never has the md5 figshare states is downloaded again, never added to the cache, and removed."""
    article.md5s["patches.bin"] = "0" * 32
    cache = Cache()
    with fails_with(ErrorCode.NETWORK_FAILED, "0" * 32, MD5):
        take(cache)
    assert ranges(figshare) == [None] * 4
    assert nothing_unfinished(cache)


def test_a_damaged_transfer_is_repeated(article, figshare):
    """Bytes damaged on the way are found by the md5 and downloaded again."""
    good = article.files["patches.bin"]
    article.md5s["patches.bin"] = hashlib.md5(good, usedforsecurity=False).hexdigest()
    article.files["patches.bin"] = b"X" + good[1:]

    def mend() -> None:
        article.files["patches.bin"] = good

    figshare.faults.append(Fault(after=mend))
    assert take().archives[0].sha256 == SHA256


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again(article, figshare, status):
    """A server that is busy or broken for a while is asked again, for the article and for the file."""
    figshare.api_faults.extend([status] * 2)
    figshare.faults.extend([Fault(status=status)] * 2)
    assert take().archives[0].sha256 == SHA256


def test_retry_after_in_seconds_is_honoured(article, figshare):
    """A server that asks for a pause of a second is given it."""
    figshare.faults.append(Fault(status=429, headers=(("Retry-After", "1"),)))
    take()
    first, second = figshare.asked("^/files/")
    assert second.time - first.time > 0.9


def test_retry_after_a_date_is_honoured(article, figshare):
    """A server that names the time of the next try is not asked before, however late the first one came."""
    wish = int(time.time()) + 2
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(wish))
    figshare.faults.append(Fault(status=429, headers=(("Retry-After", date),)))
    take()
    _, second = figshare.asked("^/files/")
    assert second.time + (time.time() - time.monotonic()) > wish - 0.1


def test_an_absurd_retry_after_is_an_error(article, figshare):
    """A server that asks for a pause of hours is not waited for; the error gives the pause."""
    figshare.faults.append(Fault(status=429, headers=(("Retry-After", "7200"),)))
    with fails_with(ErrorCode.NETWORK_FAILED, "429", "7200 s"):
        take()


def test_lasting_failures_end_in_an_error(article, figshare):
    """A server that stays broken is given up after a bounded number of tries."""
    figshare.faults.extend([Fault(status=503)] * 50)
    with fails_with(ErrorCode.NETWORK_FAILED, "503", "4 times"):
        take()
    assert len(figshare.asked("^/files/")) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_refusals_are_not_tried_again(article, figshare, status):
    """A server that refuses is believed at once."""
    figshare.faults.extend([Fault(status=status)] * 2)
    with fails_with(ErrorCode.NETWORK_FAILED, str(status)):
        take()
    assert len(figshare.asked("^/files/")) == 1


def test_a_missing_article_is_an_error(figshare):
    """An article that does not exist is an error with its address."""
    with fails_with(ErrorCode.NETWORK_FAILED, "/v2/articles/7", "404"):
        take()
    assert len(figshare.seen) == 1


def test_an_unreachable_server_is_an_error(monkeypatch):
    """Where no server listens the error names the failure, and the way without internet."""
    monkeypatch.setenv("FIGSHARE_API", "http://127.0.0.1:9")
    with fails_with(ErrorCode.NETWORK_FAILED, "ConnectError") as caught:
        take()
    assert "--mirror" in str(caught.value.hint)


def test_offline_is_an_error_with_a_next_step(figshare):
    """Where the network is not to be used the error explains the download by hand, and nothing is asked."""
    with fails_with(ErrorCode.OFFLINE, "figshare article 7") as caught:
        take(offline=True)
    assert "https://figshare.com/articles/dataset/_/7" in str(caught.value.hint)
    assert "MIRROR/figshare/7/" in str(caught.value.hint)
    assert figshare.seen == []


def test_an_answer_of_another_kind_is_an_error(figshare, article):
    """An answer that is not what figshare documents is an error, not a traceback."""
    article.sizes["patches.bin"] = "many"
    with fails_with(ErrorCode.NETWORK_FAILED, "/v2/articles/7"):
        take()


def test_every_byte_is_reported_once(article, figshare):
    """Drops, restarts and resumes leave the progress at the file's size."""
    figshare.faults.extend([DROPS, Fault(cut=500_000), Fault(cut=100_000, ignore_range=True), Fault(announce=-1)])
    ledger = Ledger()
    take(progress=ledger)
    assert ledger.started == [("download patches.bin", 3_000_000)]
    assert ledger.done == {0: 3_000_000}
    assert ledger.finished == [0]


PULL = """
import sys
from pathlib import Path
from curation.dataset.recipe import FigshareSource
from curation.sources import fetch_all
from curation.storage.cache import Cache
(fetched,) = fetch_all([FigshareSource(name="skin", kind="figshare", article=7)], cache=Cache(), lock=Path(sys.argv[1]))
print(fetched.archives[0].sha256)
"""


@contextlib.contextmanager
def pulling(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Pull in a process of its own, which does not outlive the test."""
    with subprocess.Popen([sys.executable, "-c", PULL, str(lock)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_download_is_resumed_by_the_next_process(article, figshare, tmp_path):
    """After kill -9 in the middle the next run asks for the rest only; nothing half is ever found."""
    figshare.faults.append(Fault(cut=1_500_000, stall=True))
    cache = Cache()
    with pulling(tmp_path / "lock.json"):
        wait_until(lambda: any(c.size_bytes == 1_500_000 and c.kind == "partial" for c in cache.usage()))
    assert cache.find(SHA256) is None
    assert not (tmp_path / "lock.json").exists()
    with pulling(tmp_path / "lock.json") as second:
        assert second.communicate()[0].strip() == SHA256
    assert ranges(figshare) == [None, "bytes=1500000-"]
    assert nothing_unfinished(cache)


def test_two_processes_that_want_the_same_file_download_it_once(article, figshare, tmp_path):
    """While one process downloads another waits for its turn, and finds what the first one left."""
    figshare.faults.append(Fault(cut=1_500_000))
    with pulling(tmp_path / "0.json") as one, pulling(tmp_path / "1.json") as two:
        assert [process.communicate()[0].strip() for process in (one, two)] == [SHA256] * 2
    assert ranges(figshare) == [None, "bytes=1500000-"]
    assert nothing_unfinished(Cache())
    assert Cache().find(SHA256) is not None
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "1.json").read_bytes()


def test_a_full_disk_is_an_error_before_the_download(article, figshare, small_disk):
    """Where the file cannot fit, the error gives the space needed, before anything is requested."""
    with fails_with(ErrorCode.DISK_FULL, "1 MB", "3 MB"):
        take(Cache(small_disk))
    assert figshare.asked("^/files/") == []


def test_a_disk_that_fills_up_meanwhile_is_an_error(article, figshare, small_disk):
    """A disk that is full in the middle of a download is an error; with room the download goes on."""
    article.files["patches.bin"] = PATCHES[:900_000]

    def fill() -> None:
        (small_disk / "others").write_bytes(bytes(600_000))

    figshare.faults.extend([Fault(cut=200_000, after=fill)])
    cache = Cache(small_disk)
    with fails_with(ErrorCode.DISK_FULL) as caught:
        take(cache)
    assert "CURATION_CACHE" in str(caught.value.hint)
    assert not (small_disk / "archives").exists()
    (small_disk / "others").unlink()
    assert take(cache).archives[0].path.read_bytes() == PATCHES[:900_000]


def test_a_read_only_cache_serves_a_locked_article(article, tmp_path, make_read_only):
    """A cache that cannot be written still serves what it holds; a download into it is an error with a hint."""
    lock = tmp_path / "lock.json"
    (first,) = fetch_all([SKIN], cache=Cache(tmp_path / "cache"), lock=lock)
    cache = Cache(make_read_only(tmp_path / "cache"))
    (again,) = fetch_all([SKIN], cache=cache, lock=lock)
    assert again.archives[0].sha256 == first.archives[0].sha256
    article.files["patches.bin"] = b"new"
    with fails_with(ErrorCode.DISK_READ_ONLY) as caught:
        fetch_all([SKIN], cache=cache, lock=lock, update=True)
    assert "CURATION_CACHE" in str(caught.value.hint)


def test_a_downloaded_zip_and_its_mirror_are_the_same(figshare, tmp_path):
    """A zip from the network and the same from a mirror have the same sha256 and members."""
    path = make_zip(tmp_path / "Patches.zip", {"Patches/1.tif": b"1"})
    figshare.articles[7] = Article({"Patches.zip": path.read_bytes()})
    make_folder(tmp_path / "mirror/figshare/7", {"Patches.zip": path.read_bytes()})
    (pulled,) = fetch_all([SKIN], cache=Cache())
    (mirrored,) = fetch_all([SKIN], cache=Cache(), mirror=tmp_path / "mirror")
    assert pulled.archives[0].sha256 == mirrored.archives[0].sha256
    members = [list_members(given.archives[0].path, name="Patches.zip") for given in (pulled, mirrored)]
    assert members[0] == members[1]
