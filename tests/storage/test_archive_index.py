"""Files are found by their id, and each archive is listed once."""

import os
from collections import Counter
from pathlib import Path

import pytest

from curation import Home, Options, build
from curation.engines import Local
from curation.storage.archive_index import Archive, ArchiveIndex, SourceArchive
from curation.storage.cache import Cache
from tests.builders import tiny_images, write_recipe, write_source
from tests.sources.builders import make_folder, make_zip


def index_of(archives: dict[str, Path], *, source: str = "src") -> ArchiveIndex:
    """Return the index of a source that consists of these archives."""
    parts = (
        SourceArchive(source, Archive(path, name, "0" * 64, 0), alone=len(archives) == 1)
        for name, path in archives.items()
    )
    return ArchiveIndex(tuple(parts))


def test_the_files_of_a_single_archive_have_the_sources_name_in_front(tmp_path: Path) -> None:
    """An id is source/path where the source has one archive."""
    archive = make_zip(tmp_path / "a.zip", {"x/1.jpg": b"one", "2.jpg": b"two"})
    index = index_of({"a.zip": archive})
    assert sorted(index.places) == ["src/2.jpg", "src/x/1.jpg"]
    assert index.read("src/x/1.jpg") == b"one"


def test_the_files_of_several_archives_have_the_archives_name_too(tmp_path: Path) -> None:
    """An id is source/archive/path where the source has several; a loose file's name stands there once."""
    zipped = make_zip(tmp_path / "a.zip", {"1.jpg": b"one"})
    loose = make_folder(tmp_path / "loose", {"2.jpg": b"two"}) / "2.jpg"
    index = index_of({"a.zip": zipped, "2.jpg": loose})
    assert sorted(index.places) == ["src/2.jpg", "src/a.zip/1.jpg"]
    assert index.read("src/2.jpg") == b"two"


def test_an_unknown_id_is_a_key_error(tmp_path: Path) -> None:
    """An id that no archive has is not read."""
    with pytest.raises(KeyError):
        index_of({"a.zip": make_zip(tmp_path / "a.zip", {"1.jpg": b"one"})}).read("src/2.jpg")


def test_a_build_lists_every_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing, ingest, probe and render of one build share one listing; it was made up to four times."""
    images = write_source(tmp_path / "images", tiny_images(each=10))
    write_recipe(tmp_path / "datasets", images=images, train=6, test=2)
    scans: Counter[str] = Counter()
    scandir = os.scandir

    def count(folder: str | Path = "."):
        scans[os.fspath(folder)] += 1
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", count)
    options = Options(home=Home(tmp_path / "datasets"), cache=Cache(tmp_path / "cache"), engine=Local(1))
    assert build("tiny", options).outcome == "published"
    below = {folder: times for folder, times in scans.items() if Path(folder).is_relative_to(images)}
    assert below
    assert set(below.values()) == {1}
