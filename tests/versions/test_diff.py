"""Two versions compared, with the true reason of every change."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.versions import Home, diff
from tests.builders import act, out
from tests.versions.builders import make_home, make_recipe, make_row, make_rows, publish, publish_texts, sha


def change_row(rows, name, **cells):
    """Return the rows with one changed."""
    return [{**row, **cells} if row["id"] == f"drawn/{name}.png" else row for row in rows]


def compare(tmp_path, before, after, *, other_recipe=False) -> tuple[Home, object]:
    """Publish two versions and return what changed."""
    home = make_home(tmp_path)
    publish(home, before)
    publish(home, after, recipe=make_recipe(train=3) if other_recipe else None)
    return home, diff(home, "squares@v1", "squares@v2")


OUT = {"split": None, "reserve": None}
COPY = make_row(
    "copy",
    sha256=sha("dark-train-0"),
    representative="drawn/dark-train-0.png",
    **out("dedup", "exact-duplicate", "drawn/dark-train-0.png"),
    **OUT,
)
CASES = {
    "a new file": (
        make_rows(),
        [*make_rows(), make_row("new")],
        ("added", None, "train/dark", "a new file", "(new.png)"),
    ),
    "surplus before": (
        [*make_rows(), make_row("x", **OUT, **out("select", "surplus", "train"))],
        [*make_rows(), make_row("x")],
        ("added", None, "train/dark", "squares@v1", "select: surplus in train"),
    ),
    "kept by a decision": (
        [*make_rows(), make_row("x", **OUT, **out("quality", "blurred", "sharpness 2.0, < 5"))],
        [*make_rows(), make_row("x", decision=[act("keep", "anna", reason="sharp enough")])],
        (
            "added",
            None,
            "train/dark",
            "squares@v1",
            "quality: blurred (sharpness 2.0, < 5)",
            "keep (anna: sharp enough)",
        ),
    ),
    "needed although disputed": (
        [*make_rows(), make_row("x", **OUT, disputed=True, **out("select", "disputed-not-needed"))],
        [*make_rows(), make_row("x", disputed=True, reserve=True)],
        (
            "added",
            None,
            "train/dark",
            "squares@v1",
            "select: disputed, not needed",
            "used although disputed",
        ),
    ),
    "source gone": (
        make_rows(),
        make_rows()[1:],
        ("removed", "train/dark", None, "no longer", "sources"),
    ),
    "excluded by a decision": (
        make_rows(),
        change_row(make_rows(), "dark-train-0", **OUT, **out("decide", "excluded-by-reviewer", "anna: hair")),
        ("removed", "train/dark", None, "decide: excluded (anna: hair)"),
    ),
    "only its byte copy points elsewhere": (
        [*make_rows(), COPY],
        [*change_row(make_rows(), "dark-train-0", **OUT, **out("select", "surplus", "train")), COPY],
        ("removed", "train/dark", None, "select: surplus in train"),
    ),
    "moved by the source": (
        change_row(make_rows(), "dark-train-0", source_split="train"),
        change_row(make_rows(), "dark-train-0", source_split="test", split="test"),
        ("moved", "train/dark", "test/dark", "source", "split", "from train to test"),
    ),
    "moved with its group": (
        make_rows(),
        change_row(make_rows(), "dark-train-0", split="test", group=sha("dark-test-0")),
        (
            "moved",
            "train/dark",
            "test/dark",
            "group",
            sha("dark-train-0")[:12],
            sha("dark-test-0")[:12],
        ),
    ),
    "drawn anew": (
        make_rows(),
        change_row(make_rows(), "dark-train-0", split="val"),
        ("moved", "train/dark", "val/dark", "draw"),
    ),
    "relabelled by a decision": (
        make_rows(),
        change_row(
            make_rows(), "dark-train-0", label="pale", decision=[act("relabel", "anna", label="pale", reason="clear")]
        ),
        ("relabelled", "train/dark", "train/pale", "relabel pale (anna: clear)"),
    ),
    "a decision taken back": (
        change_row(
            make_rows(),
            "dark-train-0",
            label="pale",
            decision=[act("relabel", "anna", label="pale")],
            source_label="dark",
        ),
        change_row(make_rows(), "dark-train-0"),
        ("relabelled", "train/pale", "train/dark", "undone", "relabel pale (anna)"),
    ),
    "relabelled by the source": (
        make_rows(),
        change_row(make_rows(), "dark-train-0", label="pale", source_label="pale"),
        ("relabelled", "train/dark", "train/pale", "the source's label changed from 'dark' to 'pale'"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_change_has_its_kind_and_its_reason(tmp_path, case):
    """One image changes in one way, and the difference has its kind, its places and the facts of its reason."""
    before, after, (kind, was, becomes, *facts) = CASES[case]
    _, found = compare(tmp_path, before, after)
    (change,) = found.changes
    assert (change.kind, change.before, change.after) == (kind, was, becomes)
    assert all(fact in change.why for fact in facts), change.why
    assert found.notes == ()
    assert json.loads(json.dumps(found.as_json()))[kind][0]["why"] == change.why
    assert change.why in str(found)


@pytest.mark.parametrize(("cells", "kind"), [({"split": "val"}, "moved"), ({"label": "pale"}, "relabelled")])
def test_a_changed_recipe_is_a_reason_and_a_note(tmp_path, cells, kind):
    """Where nothing about the image changed, the recipe did."""
    _, found = compare(tmp_path, make_rows(), change_row(make_rows(), "dark-train-0", **cells), other_recipe=True)
    assert [(change.kind, change.why) for change in found.changes] == [(kind, "the recipe changed")]
    assert found.notes == ("the recipe changed",)


def test_without_the_files_the_splits_alone_are_compared(tmp_path):
    """In a fresh clone every change is found, and the reasons that are not known are said to be so."""
    home, whole = compare(tmp_path, make_rows(), [*make_rows()[1:], make_row("new")])
    shutil.rmtree(home.builds("squares"))
    found = diff(home, "squares@v1", "squares")
    assert [(change.kind, change.sha256) for change in found.changes] == [
        (change.kind, change.sha256) for change in whole.changes
    ]
    assert all(change.why.startswith("unknown") and "squares@v" in change.why for change in found.changes)
    assert all(change.id is None for change in found.changes)
    assert [f"squares@v{number}" in note for number, note in enumerate(found.notes, start=1)] == [True, True]


def test_two_datasets_are_told_apart_from_two_versions(tmp_path):
    """A difference of two datasets read like a change of one."""
    home = make_home(tmp_path)
    make_home(tmp_path, name="circles")
    publish(home, make_rows())
    publish(home, make_rows(salt="x"), name="circles")
    assert any("squares and circles are two datasets" in note for note in diff(home, "squares", "circles").notes)


def test_a_version_does_not_differ_from_itself(tmp_path):
    """Nothing changed, everything is counted as unchanged."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    found = diff(home, "squares", "squares@v1")
    assert (found.changes, found.unchanged, found.notes) == ((), 6, ())
    assert str(found) == "squares@v1 -> squares@v1: 0 added, 0 removed, 0 moved, 0 relabelled, 6 unchanged"


def test_another_rendering_is_noted(tmp_path):
    """The same images in other pixels are a change of all images, not of one."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    publish(home, make_rows(), recipe=make_recipe(more="[render]\nshort_side = 64\n"))
    found = diff(home, "squares@v1", "squares@v2")
    assert found.changes == ()
    assert any("rendered differently" in note for note in found.notes)


def test_a_long_list_is_cut_for_people_and_whole_for_programs(tmp_path):
    """Of 30 added images a person sees the reasons with their counts, 20 images and the number of the others."""
    home = make_home(tmp_path)
    publish_texts(home, make_rows())
    publish_texts(home, [*make_rows(), *(make_row(n) for n in range(30))])
    found = diff(home, "squares@v1", "squares@v2")
    assert str(found).count(" (train/dark): ") == 20
    assert "  30 added: unknown" in str(found)
    assert "    ... and 10 more" in str(found)
    assert len(found.as_json()["added"]) == 30


PLACES = st.dictionaries(
    st.integers(0, 8),
    st.tuples(st.sampled_from(["train", "val", "test"]), st.sampled_from(["dark", "pale"])),
    min_size=1,
)


@pytest.mark.slow
@given(PLACES, PLACES)
def test_a_difference_adds_up_and_has_a_mirror_image(tmp_path_factory, before, after):
    """before + added - removed = after, and what is added one way is removed the other way."""
    home = make_home(tmp_path_factory.mktemp("diff"))
    for places in (before, after):
        publish_texts(home, [make_row(n, split=split, label=label) for n, (split, label) in places.items()])
    newest = "squares@v1" if before == after else "squares@v2"
    there, back = diff(home, "squares@v1", newest), diff(home, newest, "squares@v1")
    kinds = {
        kind: {change.sha256 for change in there.changes if change.kind == kind}
        for kind in there.as_json()
        if kind in KINDS
    }
    mirrored = {kind: {change.sha256 for change in back.changes if change.kind == kind} for kind in KINDS}
    assert kinds["added"] == {sha(n) for n in after} - {sha(n) for n in before} == mirrored["removed"]
    assert kinds["removed"] == {sha(n) for n in before} - {sha(n) for n in after} == mirrored["added"]
    both = set(before) & set(after)
    assert kinds["relabelled"] == {sha(n) for n in both if before[n][1] != after[n][1]} == mirrored["relabelled"]
    assert (
        kinds["moved"]
        == {sha(n) for n in both if before[n][1] == after[n][1] and before[n][0] != after[n][0]}
        == mirrored["moved"]
    )
    assert there.unchanged == sum(before[n] == after[n] for n in both)


KINDS = ("added", "removed", "moved", "relabelled")
