"""Every row's original is found again, whatever its source consists of and however its file is named."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from curation import Home, Options, build, load
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.storage.cache import Cache
from curation.versions import Version
from curation.versions.originals import open_originals
from tests.builders import as_bytes, texture, write_source
from tests.sources.servers import Article, Server, figshare

__all__ = ["figshare"]

RECIPE = """
title = "Tiny"
[[sources]]
name = "src"
{source}
{pattern}
[labels.classes]
cat = ["cat"]
dog = ["dog"]
[duplicates]
near = false
[selection.ratios]
train = 1.0
"""


def publish(folder: Path, source: str, *, pattern: str = 'pattern = "(?P<label>cat|dog)"') -> Version:
    """Build a version of one source with two classes."""
    home = Home(folder / "datasets")
    (home.dataset("tiny")).mkdir(parents=True)
    (home.dataset("tiny") / "recipe.toml").write_text(RECIPE.format(source=source, pattern=pattern), encoding="utf-8")
    build("tiny", Options(home=home, cache=Cache(folder / "cache"), engine=Local(1)))
    return load(home, "tiny")


def read_all(version: Version, cache: Path, *places: Path) -> list[str]:
    """Return the sha256 of every row's original, in the order of the rows."""
    originals = open_originals(version, places=places, cache=cache)
    rows = version.manifest.rows.select("id", "page", "sha256").rows()
    contents = [originals.read(name, page=page or 1, sha256=sha) for name, page, sha in rows]
    return [hashlib.sha256(content).hexdigest() for content in contents]


def test_the_loose_files_of_an_article_are_found(tmp_path: Path, figshare: Server) -> None:
    """The files of a figshare article without an archive, which were not found under the ids of their rows, are."""
    files = {
        f"{label}_{number}.png": as_bytes(texture(number + 10 * (label == "dog")))
        for label in ("cat", "dog")
        for number in range(2)
    }
    figshare.articles[7] = Article(files)
    version = publish(tmp_path, 'kind = "figshare"\narticle = 7')
    assert version.manifest.rows.height == 4
    assert read_all(version, tmp_path / "cache") == version.manifest.rows["sha256"].to_list()


def test_a_file_whose_name_has_a_number_sign_is_found(tmp_path: Path) -> None:
    """A path with a #, which was taken for a page of another file, is read like any other."""
    files = {
        name: as_bytes(texture(number)) for number, name in enumerate(("cat/a#2.png", "cat/b.png", "dog/#1/c.png"))
    }
    images = write_source(tmp_path / "images", files)
    version = publish(tmp_path, f'kind = "folder"\npath = "{images.as_posix()}"')
    assert read_all(version, tmp_path / "empty", images) == version.manifest.rows["sha256"].to_list()


def test_the_rows_of_a_parquet_file_are_found(tmp_path: Path) -> None:
    """The images inside a Hugging Face set, which were looked for as files of its folder, are found in the cache."""
    (tmp_path / "set").mkdir()
    images = [as_bytes(texture(number)) for number in range(4)]
    pl.DataFrame({"image": images, "label": ["cat", "cat", "dog", "dog"]}).write_parquet(tmp_path / "set" / "a.parquet")
    version = publish(tmp_path, f'kind = "huggingface"\npath = "{(tmp_path / "set").as_posix()}"', pattern="")
    assert read_all(version, tmp_path / "cache") == version.manifest.rows["sha256"].to_list()


def test_what_cannot_be_read_has_a_code(tmp_path: Path) -> None:
    """A missing place, a missing archive, and other bytes are errors of different codes."""
    images = write_source(
        tmp_path / "images", {f"{label}/a.png": as_bytes(texture(n)) for n, label in enumerate(("cat", "dog"))}
    )
    version = publish(tmp_path, f'kind = "folder"\npath = "{images.as_posix()}"')
    name, sha = version.manifest.rows.select("id", "sha256").row(0)
    with pytest.raises(CurationError, match="nowhere") as caught:
        open_originals(version, places=[tmp_path / "nowhere"], cache=tmp_path / "empty")
    assert caught.value.code == ErrorCode.SOURCE_MISSING
    assert open_originals(version, cache=tmp_path / "empty").missing == (), (
        "its own folder is where the recipe names it"
    )
    moved = images.rename(tmp_path / "moved")
    absent = open_originals(version, cache=tmp_path / "empty")
    assert absent.missing == ("src",)
    with pytest.raises(CurationError, match=name) as caught:
        absent.read(name, sha256=sha)
    assert caught.value.code == ErrorCode.ORIGINALS_MISSING
    with pytest.raises(CurationError, match=name) as caught:
        open_originals(version, places=[moved], cache=tmp_path / "empty").read(name, sha256="0" * 64)
    assert caught.value.code == ErrorCode.SOURCE_CHANGED
