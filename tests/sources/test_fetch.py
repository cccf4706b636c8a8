"""The fetch step finds its sources by kind, imports little, and cleans up after the dead."""

import subprocess
import sys

import pytest

from curation.dataset.recipe import FigshareSource, FolderSource
from curation.errors import ErrorCode
from curation.sources import fetch_all, find_source, read_lock
from curation.sources.fetch import KINDS
from curation.storage.cache import Cache
from tests.errors import fails_with
from tests.sources.builders import make_folder, make_zip
from tests.sources.servers import Article


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_module_with_fetch(kind):
    """A kind in a recipe names the module of this room that fetches it."""
    assert callable(find_source(kind).fetch)


def test_an_unknown_kind_is_an_error():
    """A kind that does not exist, or is another module of this room, is an error that lists the kinds."""
    for kind in ("ftp", "lock", "../errors"):
        with fails_with(ErrorCode.SOURCE_UNKNOWN, kind) as caught:
            find_source(kind)
        assert ", ".join(KINDS) in str(caught.value.hint)


def test_importing_the_room_is_cheap():
    """Neither the room nor a source that reads from disk imports clients, pydantic, tables or arrays."""
    code = (
        "import sys, curation.sources as s\n"
        "s.find_source('folder'), s.find_source('kaggle')\n"
        "heavy = {'kaggle', 'kagglesdk', 'requests', 'httpx', 'tenacity', 'pydantic', 'polars', 'numpy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_sources_come_in_the_recipes_order_and_only_pulls_are_locked(tmp_path, figshare):
    """Sources are given in the recipe's order; the lock holds those from the network, and forgets removed ones."""
    figshare.articles[7] = Article({"a.bin": b"a"})
    figshare.articles[8] = Article({"b.bin": b"b"})
    own = FolderSource(name="own", kind="folder", path=make_zip(tmp_path / "x.zip", {"a": b"a"}))
    seven = FigshareSource(name="seven", kind="figshare", article=7)
    eight = FigshareSource(name="eight", kind="figshare", article=8)
    lock = tmp_path / "set" / "lock.json"
    fetched = fetch_all([seven, own], cache=Cache(), lock=lock)
    assert [given.source for given in fetched] == ["seven", "own"]
    assert set(read_lock(lock)) == {"seven"}
    fetched = fetch_all([eight, seven], cache=Cache(), lock=lock)
    assert [(given.source, given.origin) for given in fetched] == [("eight", "network"), ("seven", "cache")]
    assert set(read_lock(lock)) == {"seven", "eight"}
    fetch_all([eight], cache=Cache(), lock=lock, update=True)
    assert set(read_lock(lock)) == {"eight"}


def test_sources_on_disk_need_no_lock(tmp_path):
    """A recipe of folders writes no lock."""
    own = FolderSource(name="own", kind="folder", path=make_folder(tmp_path / "own", {"a": b"a"}))
    fetch_all([own], cache=Cache(), lock=tmp_path / "lock.json")
    assert not (tmp_path / "lock.json").exists()


def test_what_killed_processes_left_is_swept(tmp_path):
    """The next fetch removes the temporary files of killed processes, in the cache and next to the lock."""
    cache = Cache()
    make_folder(cache.root, {"partial/x.json.0123.tmp": b"half"})
    own = FolderSource(name="own", kind="folder", path=make_folder(tmp_path / "own", {"a": b"a"}))
    fetch_all([own], cache=cache)
    assert not any((cache.root / "partial").iterdir())
