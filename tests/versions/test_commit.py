"""Publishing: verified, flushed, renamed, then told; never half."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from curation.errors import CurationError, ErrorCode
from curation.versions import commit, load, locked, open_staging, published, verify, write_draft
from tests.errors import fails_with
from tests.versions.builders import fill, make_home, make_manifest, make_recipe, make_rows, publish


def test_a_version_is_published_with_its_folder_its_line_and_its_split(tmp_path):
    """The first publication is v1: the folder verifies, the line names it, the split lists its images."""
    home = make_home(tmp_path)
    done = publish(home, make_rows())
    assert (done.outcome, done.line.version, done.notes) == ("published", 1, ())
    assert published(home, "squares") == (done.line,)
    assert verify(home, "squares@v1").problems == ()
    names = sorted(path.name for path in home.build("squares", 1).iterdir())
    assert names == [
        "CARD.md",
        "SHA256SUMS",
        "images",
        "manifest.parquet",
        "metadata.csv",
        "recipe.toml",
        "version.json",
    ]
    assert sorted(path.name for path in home.builds("squares").iterdir()) == [".lock", "v1"]


def test_the_same_choice_is_published_once(tmp_path):
    """A second build of the same choice changes no file at all."""
    home = make_home(tmp_path)
    first = publish(home, make_rows())
    before = {
        path: path.stat().st_mtime_ns for path in home.datasets.rglob("*") if path.is_file() and path.name != ".lock"
    }
    second = publish(home, make_rows(), created="2027-01-01T00:00:00+00:00")
    assert (second.outcome, second.line) == ("unchanged", first.line)
    after = {
        path: path.stat().st_mtime_ns for path in home.datasets.rglob("*") if path.is_file() and path.name != ".lock"
    }
    assert after == before


def test_another_choice_is_the_next_version_and_leaves_the_old_one_as_it_was(tmp_path):
    """v2 is added behind v1, whose line and files keep their bytes."""
    home = make_home(tmp_path)
    publish(home, make_rows(salt="a"))
    line = home.lines("squares").read_bytes()
    files = {path: path.read_bytes() for path in home.build("squares", 1).rglob("*") if path.is_file()}
    assert publish(home, make_rows(salt="b")).line.version == 2
    assert home.lines("squares").read_bytes().startswith(line)
    assert {path: path.read_bytes() for path in home.build("squares", 1).rglob("*") if path.is_file()} == files


def test_absent_files_are_restored_under_their_own_number(tmp_path):
    """Building an old choice again brings its folder back and writes no line."""
    home = make_home(tmp_path)
    first = publish(home, make_rows(salt="a"))
    publish(home, make_rows(salt="b"))
    files = {path.name: path.read_bytes() for path in home.build("squares", 1).rglob("*") if path.is_file()}
    shutil.rmtree(home.builds("squares"))
    text = home.lines("squares").read_bytes()
    again = publish(home, make_rows(salt="a"))
    assert (again.outcome, again.line, again.notes) == ("restored", first.line, ())
    assert home.lines("squares").read_bytes() == text
    assert {path.name: path.read_bytes() for path in home.build("squares", 1).rglob("*") if path.is_file()} == files


def test_restored_in_other_bytes_says_which_encoders(tmp_path):
    """The same choice by another encoder is restored, and both encoders are named."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    shutil.rmtree(home.builds("squares"))
    again = publish(home, make_rows(), encoder="drawn 2")
    assert again.outcome == "restored"
    assert again.line.encoder == "drawn 1"
    assert len(again.notes) == 1
    assert "the same choice in other bytes" in again.notes[0]
    assert "by drawn 2, published as" in again.notes[0]


def test_a_lost_split_is_written_again_with_the_files(tmp_path):
    """Where both the files and v1.csv are gone, the restoration brings both back."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    split = home.split("squares", 1).read_bytes()
    shutil.rmtree(home.builds("squares"))
    home.split("squares", 1).unlink()
    (note,) = publish(home, make_rows()).notes
    assert "v1.csv was missing" in note
    assert home.split("squares", 1).read_bytes() == split


def test_a_publication_ends_the_draft(tmp_path):
    """Whatever stood in the way does so no longer, also where nothing new is published."""
    home = make_home(tmp_path)
    for _ in range(2):
        with locked(home, "squares") as held:
            write_draft(
                held, make_manifest(make_rows()), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "too few")
            )
        publish(home, make_rows())
        assert not home.draft("squares").exists()


def test_a_build_that_does_not_verify_is_a_bug_and_is_not_published(tmp_path):
    """An image that a stage damaged stops the commit before anything is moved."""
    home = make_home(tmp_path)
    with locked(home, "squares") as held, open_staging(held) as build:
        fill(build.folder, make_rows(), make_recipe(), number=1)
        next((build.folder / "images").rglob("*.jpg")).write_bytes(b"")
        with pytest.raises(RuntimeError, match="does not verify"):
            commit(build)
    assert published(home, "squares") == ()
    assert [path.name for path in home.builds("squares").iterdir()] == [".lock"]


@pytest.mark.parametrize(("name", "number"), [("squares", 2), ("circles", 1)])
def test_a_build_under_a_wrong_name_is_a_bug(tmp_path, name, number):
    """What version.json says of itself has to be its turn."""
    home = make_home(tmp_path)
    with locked(home, "squares") as held, open_staging(held) as build:
        fill(build.folder, make_rows(), make_recipe(name=name), number=number)
        with pytest.raises(ValueError, match="squares@v1"):
            commit(build)


def test_a_folder_in_the_way_is_not_overwritten(tmp_path):
    """Something that stands where the version goes is an error, and stays."""
    home = make_home(tmp_path)
    with locked(home, "squares") as held, open_staging(held) as build:
        fill(build.folder, make_rows(), make_recipe(), number=1)
        home.build("squares", 1).write_text("mine")
        with fails_with(ErrorCode.TARGET_EXISTS, "v1"):
            commit(build)
    assert home.build("squares", 1).read_text() == "mine"


def test_a_build_that_fails_leaves_no_temp_folder(tmp_path):
    """Whatever ends the staging ends its folder."""
    home = make_home(tmp_path)
    with pytest.raises(FileNotFoundError), locked(home, "squares") as held, open_staging(held) as build:
        shutil.copy(home.dataset("squares") / "recipe.toml", build.folder / "no" / "such")
    assert [path.name for path in home.builds("squares").iterdir()] == [".lock"]


def test_the_moment_of_publication_is_in_the_line_and_nowhere_else(tmp_path):
    """Without a given moment it is now, in UTC; the folder holds no clock."""
    home = make_home(tmp_path)
    with locked(home, "squares") as held, open_staging(held) as build:
        fill(build.folder, make_rows(), make_recipe(), number=1)
        line = commit(build).line
    moment = datetime.fromisoformat(line.created)
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    assert "created" not in load(home, "squares").description


def test_published_twice_from_nothing_gives_the_same_bytes(tmp_path):
    """Two fresh homes hold the same lines, splits and folders, byte for byte."""
    contents = []
    for side in ("one", "two"):
        home = make_home(tmp_path / side)
        publish(home, make_rows())
        files = [path for path in home.datasets.rglob("*") if path.is_file() and path.name != ".lock"]
        contents.append({path.relative_to(home.datasets).as_posix(): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert json.loads(contents[0]["squares/versions.jsonl"])["version"] == 1
