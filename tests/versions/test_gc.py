"""What would be freed is told first, and only that goes."""

import json
import os
import shutil

import pytest

from curation.errors import CurationError, ErrorCode
from curation.storage.hash_index import hash_file
from curation.versions import (
    CachePart,
    Home,
    carry_out,
    free_space,
    link_or_copy,
    load,
    locked,
    plan_gc,
    published,
    verify,
    write_draft,
)
from curation.versions.hardlinks import PublishedImage
from tests.errors import fails_with
from tests.versions.builders import make_home, make_manifest, make_rows, publish


@pytest.fixture
def home(tmp_path) -> Home:
    """Return a home with three versions."""
    home = make_home(tmp_path)
    for salt in ("a", "b", "c"):
        publish(home, make_rows(salt=salt))
    return home


def size_of(folder):
    """Return the bytes below a folder, a file of several links once."""
    states = {(state := path.lstat()).st_ino: state.st_size for path in folder.rglob("*") if path.is_file()}
    return sum(states.values())


def test_the_plan_removes_nothing(home):
    """Making and printing a plan leaves everything where it is."""
    before = sorted(home.datasets.rglob("*"))
    plan = plan_gc(home, keep=1)
    assert "v1: " in str(plan)
    assert sorted(home.datasets.rglob("*")) == before


def test_one_call_removes_only_what_was_confirmed(home):
    """The caller gets the plan before anything is removed; without its consent nothing is."""
    asked = []
    kept = free_space(home, keep=2, confirm=lambda plan: bool(asked.append(plan)))
    assert kept.removed == ()
    assert home.build("squares", 1).exists()
    freed = free_space(home, keep=2, confirm=lambda plan: plan == kept.plan)
    assert freed.removed == kept.plan.targets
    assert not home.build("squares", 1).exists()


def test_the_newest_builds_stay_and_the_texts_of_all(home):
    """Of three builds the newest one stays; lines and splits stay for all, so that the others can be made again."""
    plan = plan_gc(home, keep=1)
    assert [target.path.name for target in plan.targets] == ["v1", "v2"]
    expected = size_of(home.build("squares", 1)) + size_of(home.build("squares", 2))
    before = size_of(home.datasets)
    assert plan.size_bytes == expected
    assert carry_out(plan) == plan.targets
    assert before - size_of(home.datasets) == expected
    assert not home.build("squares", 1).exists()
    assert verify(home, "squares@v3").problems == ()
    assert len(published(home, "squares")) == 3
    assert publish(home, make_rows(salt="a")).outcome == "restored"


@pytest.mark.parametrize(
    ("keep", "left"), [(0, []), (2, ["v2", "v3"]), (3, ["v1", "v2", "v3"]), (9, ["v1", "v2", "v3"])]
)
def test_keep_counts_the_builds_that_are_there(home, keep, left):
    """keep = 0 frees all, keep beyond the number of builds frees none."""
    carry_out(plan_gc(home, keep=keep))
    assert sorted(path.name for path in home.builds("squares").glob("v*")) == left


def test_a_negative_number_is_refused(home):
    """keep = -1 is a mistake and not "all but the last"."""
    with fails_with(ErrorCode.OPTION_INVALID, "-1"):
        plan_gc(home, keep=-1)


def test_a_build_that_could_not_be_made_again_stays(home):
    """Where git's split is missing or changed, the folder is all there is; the plan says why it stays."""
    home.split("squares", 1).unlink()
    plan = plan_gc(home, keep=0)
    assert [target.path.name for target in plan.targets] == ["v2", "v3"]
    assert "v1 stays: it could not be made again" in plan.notes[0]


def test_a_folder_without_a_line_is_not_touched(home):
    """What is not published might be all there is of it."""
    path = home.lines("squares")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert [target.path.name for target in plan_gc(home, keep=0).targets] == ["v1", "v2"]


def test_drafts_and_leftovers_go(home):
    """A failed build's draft and a dead build's temp folder are freed."""
    with locked(home, "squares") as held:
        write_draft(held, make_manifest(make_rows()), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "x"))
    (home.builds("squares") / ".build-1-a").mkdir()
    plan = plan_gc(home, keep=3)
    assert [(target.kind, target.path.name) for target in plan.targets] == [
        ("draft", "draft"),
        ("leftover", ".build-1-a"),
    ]
    carry_out(plan)
    assert sorted(path.name for path in home.builds("squares").iterdir()) == [".lock", "v1", "v2", "v3"]


def test_a_build_under_way_keeps_its_temp_folder(home):
    """While another process holds the lock, temp folders are not called leftovers."""
    with locked(home, "squares"):
        (home.builds("squares") / ".build-1-a").mkdir()
        plan = plan_gc(home, keep=3)
    assert plan.targets == ()
    assert f"pid {os.getpid()}" in plan.notes[0]


def test_a_shared_file_counts_once_and_with_its_last_link(home):
    """An image that v1 shares with v3 frees nothing while v3 stays, and counts once where both go."""
    shared = sorted((home.build("squares", 3) / "images").rglob("*.jpg"))[0]
    state = shared.stat()
    target = home.build("squares", 1) / "shared.jpg"
    assert link_or_copy(PublishedImage(shared, hash_file(shared)), target)
    first, second = (size_of(home.build("squares", number)) for number in (1, 2))
    assert plan_gc(home, keep=1).size_bytes == first - state.st_size + second
    assert plan_gc(home, keep=0).size_bytes == size_of(home.builds("squares")) - lock_size(home)


def lock_size(home):
    """Return the bytes of the lock file."""
    return (home.builds("squares") / ".lock").stat().st_size


def test_parts_of_the_cache_come_last_and_are_removed(home, tmp_path):
    """Files and folders of the cache that the caller names are freed with the rest, each with its kind and last use."""
    archive, probes = tmp_path / "a.zip", tmp_path / "probes"
    archive.write_bytes(b"12345")
    probes.mkdir()
    (probes / "x").write_bytes(b"123")
    cache = [CachePart(archive, 5, "archive", "2026-01-01"), CachePart(probes, 3, "probe results", "never")]
    plan = plan_gc(home, keep=3, cache=cache)
    assert plan.size_bytes == 8
    assert plan.targets[0].why == "archive, last used 2026-01-01"
    assert len(carry_out(plan)) == 2
    assert not archive.exists()
    assert not probes.exists()
    assert carry_out(plan) == ()


def test_one_dataset_or_all(home):
    """A name limits the plan to its dataset; an unknown name is an error."""
    home.dataset("circles").mkdir()
    (home.dataset("circles") / "recipe.toml").touch()
    (home.builds("circles") / ".build-1-a").mkdir(parents=True)
    assert [target.name for target in plan_gc(home, "circles", keep=0).targets] == ["circles"]
    assert {target.name for target in plan_gc(home, keep=0).targets} == {"circles", "squares"}
    with fails_with(ErrorCode.DATASET_MISSING):
        plan_gc(home, "triangles", keep=0)


def test_what_went_meanwhile_is_passed_over(home):
    """A plan that is carried out late removes what is still there and tells just that."""
    plan = plan_gc(home, keep=1)
    shutil.rmtree(home.build("squares", 1))
    assert [target.path.name for target in carry_out(plan)] == ["v2"]
    assert load(home, "squares").number == 3


def test_a_plan_is_json(home):
    """Programs read the plan with its bytes, its targets and its notes."""
    plan = json.loads(json.dumps(plan_gc(home, keep=2).as_json()))
    assert plan["targets"][0]["kind"] == "build"
    assert plan["size_bytes"] == plan["targets"][0]["size_bytes"]
    assert plan["notes"] == []
