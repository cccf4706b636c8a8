"""The lock records what was pulled, as stable bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.dataset.recipe import KaggleSource
from curation.errors import CurationError, ErrorCode
from curation.sources import LockedFile, LockLine, read_lock, write_lock
from curation.sources.lock import check_unchanged, find_locked
from curation.storage.cache import Cache
from tests.errors import fails_with
from tests.sources.builders import make_request

LINE = LockLine(
    kind="kaggle",
    asked="Kaggle dataset owner/set",
    version="3",
    files=(LockedFile("set.zip", 10, "a" * 64, "b" * 32), LockedFile("more.zip", 20, "c" * 64, None)),
    licence="CC0-1.0",
    doi=None,
    citation="Somebody (2026): Größe",
    url="https://example.org",
)
SETTINGS = KaggleSource(name="isic", kind="kaggle", dataset="owner/set")

texts = st.text(st.characters(codec="utf-8"), max_size=20)
maybe = st.none() | texts
files = st.builds(LockedFile, name=texts, size_bytes=st.integers(0, 10**15), sha256=texts, md5=maybe)
lines = st.builds(
    LockLine,
    kind=texts,
    asked=texts,
    version=maybe,
    files=st.lists(files, max_size=3).map(tuple),
    licence=maybe,
    doi=maybe,
    citation=maybe,
    url=maybe,
)


@given(lock=st.dictionaries(texts, lines, max_size=3))
def test_a_lock_is_read_as_it_was_written(lock, tmp_path_factory):
    """Whatever a lock holds comes back, and writing it again, in any order, gives the same bytes."""
    path = tmp_path_factory.mktemp("lock") / "lock.json"
    write_lock(path, lock)
    content = path.read_bytes()
    assert read_lock(path) == lock
    write_lock(path, dict(reversed(lock.items())))
    assert path.read_bytes() == content
    assert content.endswith(b"\n")
    assert [other.name for other in path.parent.iterdir()] == ["lock.json"]


def test_a_lock_is_text_for_git(tmp_path):
    """A lock has sorted keys, a line a value, and letters as they are."""
    write_lock(tmp_path / "lock.json", {"isic": LINE})
    text = (tmp_path / "lock.json").read_text("utf-8")
    assert json.loads(text)["sources"]["isic"]["files"][0]["sha256"] == "a" * 64
    assert "Größe" in text
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_missing_lock_is_empty(tmp_path):
    """Where nothing was pulled yet nothing is locked."""
    assert read_lock(tmp_path / "lock.json") == {}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 2, "sources": {}}', '{"format": 1, "sources": {"a": {}}}', '{"format": 1}',
     '{"format": 1, "sources": {"a": {"files": [{"name": 1}]}}}'],
)  # fmt: skip
def test_what_is_no_lock_is_an_error(tmp_path, text):
    """A lock that cannot be understood is an error, not an empty lock."""
    (tmp_path / "lock.json").write_text(text)
    with fails_with(ErrorCode.LOCK_FILE_INVALID, "lock.json") as caught:
        read_lock(tmp_path / "lock.json")
    assert "git" in str(caught.value.hint)


def test_a_lock_that_cannot_be_written_is_an_error(tmp_path):
    """A folder in the lock's place is an error that names it, and nothing else is left."""
    (tmp_path / "lock.json").mkdir()
    with fails_with(ErrorCode.FILE_UNREADABLE, "lock.json"):
        write_lock(tmp_path / "lock.json", {})
    with fails_with(ErrorCode.FILE_UNREADABLE, "lock.json"):
        read_lock(tmp_path / "lock.json")
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]


def test_every_change_is_named_with_both_hashes():
    """What the network gives is compared part by part; the error names each change, before and after."""
    request = make_request(SETTINGS, Cache(), locked=LINE)
    check_unchanged(request, version="3", files=LINE.files)
    check_unchanged(request, version=None, files=[LockedFile("set.zip", 10, "", None), LINE.files[1]])
    now = [LockedFile("set.zip", 11, "d" * 64, "e" * 32), LockedFile("new.zip", 1, "f" * 64, None)]
    with pytest.raises(CurationError) as caught:
        check_unchanged(request, version="4", files=now)
    assert caught.value.message == (
        "source isic (Kaggle dataset owner/set) is not what lock.json recorded:\n"
        "  version: locked 3, now 4\n"
        "  more.zip: gone\n"
        "  new.zip: new\n"
        f"  set.zip: md5 locked {'b' * 32}, now {'e' * 32}\n"
        f"  set.zip: sha256 locked {'a' * 64}, now {'d' * 64}"
    )
    assert "pull NAME --update" in str(caught.value.hint)
    with fails_with(ErrorCode.SOURCE_CHANGED, "10 bytes", "11 bytes"):
        check_unchanged(request, version=None, files=[LockedFile("set.zip", 11, "", None), LINE.files[1]])
    check_unchanged(make_request(SETTINGS, Cache(), locked=LINE, update=True), version="4", files=now)
    check_unchanged(make_request(SETTINGS, Cache()), version="4", files=now)


def test_a_lock_for_something_else_is_an_error():
    """A recipe that asks for something else than what was locked is an error that names both."""
    request = make_request(SETTINGS, Cache(), locked=LINE)
    with fails_with(ErrorCode.SOURCE_CHANGED, "Kaggle dataset owner/other", "Kaggle dataset owner/set"):
        find_locked(request, "Kaggle dataset owner/other", by_hand="")
    assert find_locked(request, "Kaggle dataset owner/set", by_hand="") is None
