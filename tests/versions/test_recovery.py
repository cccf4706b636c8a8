"""After a crash at any moment the next run clears up or finishes."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from curation.errors import CurationError, ErrorCode
from curation.versions import Home, locked, open_draft, published, recover, verify, write_draft
from curation.versions.describe import write_sums
from tests.errors import fails_with
from tests.versions.builders import fill, make_home, make_manifest, make_recipe, make_rows, publish

OLD, NEW = make_rows(salt="old"), make_rows(salt="new")


def swept(home):
    """Sweep as the next build does, and return what it says."""
    with locked(home, "squares") as held:
        return recover(held)


def make_scene(folder, *, with_old=True, drafted=True, stash=NEW, number=2) -> Home:
    """Lay out ``folder/before``: a home with a version and a draft, and in ``stash`` what waits to be published."""
    home = make_home(folder / "before")
    if with_old:
        publish(home, OLD)
    if drafted:
        with locked(home, "squares") as held:
            write_draft(held, make_manifest(OLD), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "old"))
    fill(folder / "before" / "stash", stash, make_recipe(), number=number)
    return home


def kill_at_every_step(folder, operation, mode="changes"):
    """Return the homes that a killed operation left, in the order of the moment it was killed at."""
    command = [sys.executable, "-m", "tests.versions.crashes", str(folder), operation, mode]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
    assert done.returncode == 0, done.stderr
    killed = int(done.stdout)
    homes = [Home(path / "datasets") for path in sorted(folder.glob("killed-*"))]
    assert len(homes) == killed + 1
    return homes[:-1], homes[-1]


def temp_names(home):
    """Return whatever lies around under a temp name."""
    names = [path.name for path in home.datasets.rglob(".*") if path.name != ".lock"]
    return [*names, *(path.name for path in home.datasets.rglob("*.part"))]


def check_whole(home):
    """Assert that every published version is whole or absent and nothing lies around; return their number."""
    lines = published(home, "squares")
    for line in lines:
        if home.build("squares", line.version).exists():
            assert verify(home, f"squares@v{line.version}").problems == ()
        assert home.split("squares", line.version).exists()
    folders = {path.name for path in home.builds("squares").glob("v*")}
    assert folders <= {f"v{line.version}" for line in lines}
    assert temp_names(home) == []
    return len(lines)


@pytest.mark.parametrize("mode", ["renames", pytest.param("changes", marks=pytest.mark.slow)])
def test_a_publication_killed_at_any_step_leaves_the_old_or_the_new_state(tmp_path, mode):
    """After kill -9 anywhere, the next sweep leaves one version or two, each whole, and the old line as it was."""
    make_scene(tmp_path)
    killed, finished = kill_at_every_step(tmp_path, "publish", mode)
    before = (tmp_path / "before/datasets/squares/versions.jsonl").read_bytes()
    outcomes = []
    for step, home in enumerate(killed):
        swept(home)
        outcomes.append(check_whole(home))
        assert home.lines("squares").read_bytes().startswith(before)
        if step % 6 == 0:
            assert publish(home, NEW).outcome == ("unchanged" if outcomes[-1] == 2 else "published")
            assert [line.version for line in published(home, "squares")] == [1, 2]
    assert outcomes == sorted(outcomes), "once published, a version does not go away again"
    assert set(outcomes) == {1, 2}
    assert check_whole(finished) == 2
    assert swept(finished) == ()


@pytest.mark.slow
def test_the_very_first_publication_may_be_killed_too(tmp_path):
    """A dataset without versions.jsonl has none or one version afterwards."""
    make_scene(tmp_path, with_old=False, drafted=False, number=1)
    killed, _ = kill_at_every_step(tmp_path, "publish")
    outcomes = []
    for home in killed:
        swept(home)
        outcomes.append(check_whole(home))
    assert set(outcomes) == {0, 1}


@pytest.mark.slow
def test_a_restoration_killed_at_any_step_leaves_the_files_whole_or_absent(tmp_path):
    """Killing the rebuild of a published version never adds a line and never leaves half a folder."""
    home = make_scene(tmp_path, drafted=False, stash=OLD, number=1)
    shutil.rmtree(home.build("squares", 1))
    before = home.lines("squares").read_bytes()
    killed, finished = kill_at_every_step(tmp_path, "publish")
    there = []
    for crashed in [*killed, finished]:
        swept(crashed)
        assert check_whole(crashed) == 1
        assert crashed.lines("squares").read_bytes() == before
        there.append(crashed.build("squares", 1).exists())
    assert there == sorted(there)
    assert set(there) == {False, True}


def test_a_draft_killed_at_any_step_is_the_old_or_the_new_one(tmp_path):
    """There is a readable draft after every crash, with the manifest, reason and texts of one build."""
    make_scene(tmp_path)
    killed, _ = kill_at_every_step(tmp_path, "draft")
    reasons = []
    for home in killed:
        swept(home)
        check_whole(home)
        draft = open_draft(home, "squares")
        reasons.append(draft.reason)
        assert draft.manifest.rows.equals(
            make_manifest(OLD if draft.reason == "old" else NEW).rows.with_columns(
                draft.manifest.rows["file"], draft.manifest.rows["file_sha256"]
            )
        )
        assert (draft.folder / "recipe.toml").exists() == (draft.reason == "new")
    assert set(reasons) == {"old", "new"}


@pytest.mark.slow
def test_the_sweep_itself_may_be_killed(tmp_path):
    """A second sweep finishes what a killed one began: leftovers of every kind and a version without its line."""
    home = make_scene(tmp_path, drafted=False)
    builds = home.builds("squares")
    for name in (".build-1-aa", ".draft-1-bb", ".gone-1-cc"):
        (builds / name / "images").mkdir(parents=True)
        (builds / name / "images" / "a.jpg").touch()
    fill(builds / "v2", NEW, make_recipe(), number=2)
    write_sums(builds / "v2")
    (home.dataset("squares") / ".versions.jsonl.1.part").touch()
    (home.split("squares", 1).parent / ".v2.csv.1.part").touch()
    killed, _ = kill_at_every_step(tmp_path, "sweep")
    assert len(killed) > 10
    for crashed in killed:
        swept(crashed)
        assert check_whole(crashed) == 2


@pytest.mark.slow
def test_freeing_killed_at_any_step_leaves_each_version_whole_or_absent(tmp_path):
    """gc never leaves half a version, and never touches what git keeps."""
    home = make_scene(tmp_path)
    texts = [path.read_bytes() for path in (home.lines("squares"), home.split("squares", 1))]
    killed, _ = kill_at_every_step(tmp_path, "gc")
    there = []
    for crashed in killed:
        swept(crashed)
        assert check_whole(crashed) == 1
        assert [path.read_bytes() for path in (crashed.lines("squares"), crashed.split("squares", 1))] == texts
        there.append(crashed.build("squares", 1).exists())
    assert set(there) == {False, True}


def test_a_clean_home_needs_no_sweep(tmp_path):
    """Sweeping nothing, or what is in order, says and does nothing."""
    home = make_home(tmp_path)
    assert swept(home) == ()
    publish(home, OLD)
    before = sorted(path for path in home.datasets.rglob("*"))
    assert swept(home) == ()
    assert sorted(path for path in home.datasets.rglob("*")) == before


def test_what_dead_builds_left_is_removed_and_told(tmp_path):
    """Temp folders and half-written texts go; the sentences name them."""
    home = make_home(tmp_path)
    publish(home, OLD)
    builds = home.builds("squares")
    (builds / ".build-99-ab" / "images").mkdir(parents=True)
    (builds / ".gone-99-cd").mkdir()
    (home.dataset("squares") / ".versions.jsonl.99.part").touch()
    first, second = swept(home)
    assert ".build-99-ab" in first
    assert ".versions.jsonl.99.part" in second
    assert temp_names(home) == []


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    """The ledger of decisions is written without the build's lock: recovery leaves its temp file alone."""
    home = make_home(tmp_path)
    part = home.dataset("squares") / ".decisions.jsonl.99.part"
    part.touch()
    assert swept(home) == ()
    assert part.exists()


def test_a_version_without_its_line_is_verified_and_published(tmp_path):
    """Where only git's texts are missing, they are made from the folder, and the draft that is now out of date goes."""
    home = make_home(tmp_path)
    publish(home, OLD)
    wanted = publish(home, NEW).line
    text, split = home.lines("squares").read_text().splitlines(keepends=True), home.split("squares", 2).read_bytes()
    with locked(home, "squares") as held:
        write_draft(held, make_manifest(OLD), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "old"))
    home.lines("squares").write_text(text[0])
    home.split("squares", 2).unlink()
    (note,) = swept(home)
    assert f"v2 ({wanted.digest[:12]})" in note
    again = json.loads(home.lines("squares").read_text().splitlines()[1])
    assert {**again, "created": wanted.created} == wanted.as_json()
    assert home.split("squares", 2).read_bytes() == split
    assert not home.draft("squares").exists()
    assert check_whole(home) == 2


def test_a_lost_list_of_versions_is_made_again_from_the_folders(tmp_path):
    """Deleting versions.jsonl loses nothing that is still built."""
    home = make_home(tmp_path)
    digests = [publish(home, rows).line.digest for rows in (OLD, NEW)]
    shutil.rmtree(home.split("squares", 1).parent)
    home.lines("squares").unlink()
    assert len(swept(home)) == 2
    assert [line.digest for line in published(home, "squares")] == digests
    assert check_whole(home) == 2


def test_a_missing_split_is_written_again(tmp_path):
    """v<n>.csv is made from the folder of its version, byte for byte."""
    home = make_home(tmp_path)
    publish(home, OLD)
    before = home.split("squares", 1).read_bytes()
    home.split("squares", 1).unlink()
    (note,) = swept(home)
    assert "v1.csv was missing" in note
    assert home.split("squares", 1).read_bytes() == before


def test_a_damaged_version_without_its_line_is_not_published(tmp_path):
    """A folder that does not verify is named with its problems and stays where it is, for a person to judge."""
    home = make_home(tmp_path)
    publish(home, OLD)
    home.lines("squares").unlink()
    (home.build("squares", 1) / "CARD.md").write_text("changed")
    with fails_with(ErrorCode.VERSION_DAMAGED) as caught:
        swept(home)
    assert "CARD.md: changed" in caught.value.message
    assert "away" in (caught.value.hint or "")
    assert home.build("squares", 1).exists()
    assert not home.lines("squares").exists()


def test_a_copied_folder_is_not_published_a_second_time(tmp_path):
    """A folder v2 that is a copy of v1 is not a second version."""
    home = make_home(tmp_path)
    publish(home, OLD)
    shutil.copytree(home.build("squares", 1), home.build("squares", 2))
    with fails_with(ErrorCode.VERSION_DAMAGED, "squares@v1", "published under another number"):
        swept(home)


def test_a_folder_of_another_version_stops_the_build(tmp_path):
    """A folder v1 with another digest than line 1 is an error that names both; nothing is changed."""
    home = make_home(tmp_path)
    one, other = publish(home, OLD).line.digest, publish(home, NEW).line.digest
    first, second, aside = home.build("squares", 1), home.build("squares", 2), tmp_path / "aside"
    first.rename(aside)
    second.rename(first)
    with fails_with(ErrorCode.VERSION_DAMAGED, one[:12], other[:12]):
        swept(home)


def test_sweeping_twice_changes_nothing_more(tmp_path):
    """The second sweep has nothing to say."""
    home = make_home(tmp_path)
    publish(home, OLD)
    home.lines("squares").unlink()
    (home.builds("squares") / ".build-1-x").mkdir()
    assert len(swept(home)) == 2
    assert swept(home) == ()
