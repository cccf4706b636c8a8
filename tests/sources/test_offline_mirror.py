"""A mirror folder stands for the network, with archives as downloaded or unpacked by hand."""

import zipfile
from pathlib import Path

import pytest

from curation.dataset.recipe import FigshareSource, KaggleSource
from curation.errors import CurationError, ErrorCode
from curation.sources import fetch_all
from curation.storage.archives import list_members
from curation.storage.cache import Cache
from tests.errors import fails_with
from tests.sources.builders import make_folder, make_zip

ISIC = KaggleSource(name="isic", kind="kaggle", dataset="owner/set")
SKIN = FigshareSource(name="skin", kind="figshare", article=7)
LESIONS = {"Set/Train/nevus/b.jpg": b"b", "Set/Test/nevus/a.jpg": b"a"}
PATCHES = {"Patches/1.tif": b"1", "Patches/2.tif": b"2"}


def paths(fetched) -> list[tuple[str, list[str]]]:
    """Return each archive's name and its members' paths."""
    return [
        (archive.name, [member.path for member in list_members(archive.path, name=archive.name)])
        for archive in fetched.archives
    ]


def make_mirror(root: Path) -> Path:
    """Write a mirror as the README describes it."""
    make_folder(root, {"kaggle/owner/nothing": b"", "figshare/7/nothing": b""})
    (root / "figshare/7/nothing").unlink()
    make_zip(root / "kaggle/owner/set.zip", LESIONS)
    make_zip(root / "figshare/7/Patches.zip", PATCHES)
    return root


def test_archives_are_found(tmp_path):
    """Both sources are taken from the mirror; no lock is written, and a wrong one is not read."""
    lock = tmp_path / "lock.json"
    lock.write_text("not a lock")
    isic, skin = fetch_all(
        [ISIC, SKIN], cache=Cache(), mirror=make_mirror(tmp_path / "mirror"), lock=lock, offline=True
    )
    assert paths(isic) == [("set.zip", sorted(LESIONS))]
    assert paths(skin) == [("Patches.zip", sorted(PATCHES))]
    assert (isic.origin, skin.origin) == ("mirror", "mirror")
    assert lock.read_text() == "not a lock"


def test_an_unpacked_archive_has_the_same_paths(tmp_path):
    """What was unpacked by hand gives the same members as the archives."""
    mirror = make_mirror(tmp_path / "mirror")
    unpacked = tmp_path / "unpacked"
    for archive, folder in [("kaggle/owner/set.zip", "kaggle/owner/set"), ("figshare/7/Patches.zip", "figshare/7")]:
        with zipfile.ZipFile(mirror / archive) as packed:
            packed.extractall(unpacked / folder)
    as_packed = fetch_all([ISIC, SKIN], cache=Cache(), mirror=mirror)
    as_unpacked = fetch_all([ISIC, SKIN], cache=Cache(), mirror=unpacked)
    for packed, loose in zip(as_packed, as_unpacked, strict=True):
        assert [members for _, members in paths(packed)] == [members for _, members in paths(loose)]


def test_the_archive_wins_over_what_it_was_unpacked_to(tmp_path):
    """If there are a Kaggle zip and its unpacked folder, the zip is read."""
    mirror = make_mirror(tmp_path)
    make_folder(mirror / "kaggle/owner/set", {"changed.jpg": b""})
    assert paths(fetch_all([ISIC], cache=Cache(), mirror=mirror)[0]) == [("set.zip", sorted(LESIONS))]


def test_all_files_of_an_article_are_taken(tmp_path):
    """Archives and loose files of an article are each an archive, sorted by name; `files` chooses among them."""
    mirror = make_mirror(tmp_path)
    make_zip(mirror / "figshare/7/A.zip", {"a.tif": b"a"})
    left = {".DS_Store": b"", "Thumbs.db": b"\xd0\xcf", "__MACOSX/._A.zip": b"\x00\x05\x16\x07"}
    make_folder(mirror / "figshare/7", {"metadata.csv": b"a,b\n", **left})
    (skin,) = fetch_all([SKIN], cache=Cache(), mirror=mirror)
    assert paths(skin) == [
        ("A.zip", ["a.tif"]),
        ("Patches.zip", sorted(PATCHES)),
        ("metadata.csv", ["metadata.csv"]),
    ]
    chosen = SKIN.model_copy(update={"files": ("P*.zip", "*.csv")})
    (skin,) = fetch_all([chosen], cache=Cache(), mirror=mirror)
    assert [archive.name for archive in skin.archives] == ["Patches.zip", "metadata.csv"]
    missing = SKIN.model_copy(update={"files": ("*.rar",)})
    with fails_with(ErrorCode.MIRROR_INCOMPLETE, "figshare/7/*.rar"):
        fetch_all([missing], cache=Cache(), mirror=mirror)


def test_archives_next_to_folders_are_ambiguous(tmp_path):
    """An article's archives together with unpacked folders are an error."""
    mirror = make_mirror(tmp_path)
    make_folder(mirror / "figshare/7/Patches", {"1.tif": b"1"})
    with fails_with(ErrorCode.MIRROR_INCOMPLETE, "Patches"):
        fetch_all([SKIN], cache=Cache(), mirror=mirror)


def test_what_is_missing_is_named_with_every_place(tmp_path):
    """A missing download is an error that lists the places that were read."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(CurationError) as caught:
        fetch_all([ISIC], cache=Cache(), mirror=tmp_path / "empty")
    assert str(tmp_path / "empty/kaggle/owner/set.zip") in caught.value.message
    assert str(tmp_path / "empty/kaggle/owner/set\n") in caught.value.message + "\n"
    with fails_with(ErrorCode.MIRROR_INCOMPLETE, "figshare article 7", "empty/figshare/7/<file name>"):
        fetch_all([SKIN], cache=Cache(), mirror=tmp_path / "empty")
    with fails_with(ErrorCode.MIRROR_INCOMPLETE, "nowhere"):
        fetch_all([ISIC], cache=Cache(), mirror=tmp_path / "nowhere")


def test_the_real_mirror_is_read_whole(mirror):
    """The mirror of the real sets gives its 2,357 and 628 files."""
    isic = KaggleSource(name="isic", kind="kaggle", dataset="nodoubttome/skin-cancer9-classesisic")
    skin = FigshareSource(name="skin", kind="figshare", article=6091007)
    fetched = fetch_all([isic, skin], cache=Cache(), mirror=mirror)
    assert [len(members) for given in fetched for _, members in paths(given)] == [2357, 628]
