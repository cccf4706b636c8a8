"""Images that several versions share are one file."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from curation.versions import Home, PublishedImage, link_or_copy, reuse, verify
from curation.versions.problems import ProblemCode
from tests.versions.builders import make_home, make_recipe, make_rows, publish, sha

RENDERING = make_recipe().rendering()


@pytest.fixture
def home(tmp_path) -> Home:
    """Return a home with two versions that share half of their images."""
    home = make_home(tmp_path)
    publish(home, make_rows(salt="a"))
    publish(home, [*make_rows(salt="a")[:3], *make_rows(salt="b")[3:]])
    return home


def test_every_image_of_every_version_is_offered_once(home):
    """The images of all versions are found by sha256 and page, with the sha256 of their file."""
    offered = reuse(home, "squares", rendering=RENDERING, encoder="drawn 1")
    wanted = {row["sha256"] for salt in "ab" for row in make_rows(salt=salt) if row.get("excluded_by") is None}
    wanted -= {row["sha256"] for row in make_rows(salt="b")[:3]}
    assert set(offered) == {(sha256, 1) for sha256 in wanted}
    assert all(picture.path.exists() for picture in offered.values())


@pytest.mark.parametrize(("rendering", "encoder"), [({"other": 1}, "drawn 1"), (RENDERING, "drawn 2")])
def test_other_pixels_or_another_encoder_are_not_offered(home, rendering, encoder):
    """A version mixes neither renderings nor encoders."""
    assert reuse(home, "squares", rendering=rendering, encoder=encoder) == {}


def test_a_version_that_is_absent_or_damaged_offers_nothing(home):
    """What cannot be read is passed over; the other version still gives what it has."""
    shutil.rmtree(home.build("squares", 1))
    assert len(reuse(home, "squares", rendering=RENDERING, encoder="drawn 1")) == 6
    (home.build("squares", 2) / "manifest.parquet").write_bytes(b"")
    assert reuse(home, "squares", rendering=RENDERING, encoder="drawn 1") == {}
    description = home.build("squares", 2) / "version.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "digest": sha(1)}))
    assert reuse(home, "squares", rendering=RENDERING, encoder="drawn 1") == {}


def test_a_shared_image_is_one_file(home, tmp_path):
    """Taking an image over makes a second name for the same file."""
    picture = reuse(home, "squares", rendering=RENDERING, encoder="drawn 1")[make_rows(salt="a")[0]["sha256"], 1]
    target = tmp_path / "datasets" / "builds" / "new" / "a.jpg"
    assert link_or_copy(picture, target)
    assert target.samefile(picture.path)


def test_damage_in_a_shared_image_is_told_of_every_version_that_has_it(home):
    """The versions hold one file under two names: after a write into it, both are reported as damaged."""
    folders = home.build("squares", 1), home.build("squares", 2)
    first, second = ({path.name: path for path in sorted(folder.rglob("*.jpg"))} for folder in folders)
    shared = first[min(set(first) & set(second))]
    second[shared.name].unlink()
    second[shared.name].hardlink_to(shared)
    with shared.open("ab") as file:
        file.write(b"x")
    for number, other in ((1, "v2"), (2, "v1")):
        found = verify(home, f"squares@v{number}")
        assert ProblemCode.FILE_CHANGED in {problem.code for problem in found.problems}
        assert f"damaged files are shared with {other} (" in (found.hint or "")
    own = second[min(set(second) - set(first))]
    with own.open("ab") as file:
        file.write(b"x")
    shutil.rmtree(folders[0])
    assert "are shared with" not in (verify(home, "squares@v2").hint or "")


def test_a_changed_or_lost_image_is_not_taken_over(home, tmp_path):
    """An image whose bytes are not the published ones has to be rendered again."""
    picture = reuse(home, "squares", rendering=RENDERING, encoder="drawn 1")[make_rows(salt="a")[0]["sha256"], 1]
    picture.path.write_bytes(b"edited")
    assert not link_or_copy(picture, tmp_path / "a.jpg")
    picture.path.unlink()
    assert not link_or_copy(picture, tmp_path / "a.jpg")
    assert not (tmp_path / "a.jpg").exists()


def test_across_file_systems_an_image_is_copied(home, tmp_path):
    """Where no link can be made, a copy serves."""
    other = Path("/dev/shm")  # noqa: S108 (another file system than the tests' folder, on most machines)
    if not os.access(other, os.W_OK) or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    picture = reuse(home, "squares", rendering=RENDERING, encoder="drawn 1")[make_rows(salt="a")[0]["sha256"], 1]
    folder = other / f"curation-{os.getpid()}"
    try:
        assert link_or_copy(picture, folder / "a.jpg")
        assert (folder / "a.jpg").read_bytes() == picture.path.read_bytes()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_any_other_fault_of_the_disk_is_raised(tmp_path):
    """A full or missing folder is not hidden behind a copy."""
    (tmp_path / "a").write_bytes(b"")
    picture = PublishedImage(tmp_path / "a", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    (tmp_path / "b").touch()
    with pytest.raises(FileExistsError) as caught:
        link_or_copy(picture, tmp_path / "b")
    assert caught.value.errno == errno.EEXIST
