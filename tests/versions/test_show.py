"""The counts of a version or a draft."""

import json

from curation.errors import CurationError, ErrorCode
from curation.versions import locked, show, write_draft
from curation.versions.show import ClassReason
from tests.builders import out
from tests.errors import fails_with
from tests.versions.builders import make_home, make_manifest, make_row, make_rows, publish

OUT = {"split": None, "reserve": None}


def stands_for_it(name):
    """Return the cells of an exact duplicate of the named row."""
    return {"representative": f"drawn/{name}.png", **out("dedup", "exact-duplicate", f"drawn/{name}.png")}


MIXED = [
    *make_rows(),
    make_row("twin", **OUT, **stands_for_it("dark-train-0")),
    make_row("twin2", **OUT, **stands_for_it("dark-train-1")),
    make_row("small", **OUT, **out("quality", "too-small", "20 px, < 64")),
    make_row("cut", **OUT, label=None, source_label=None, **out("probe", "truncated")),
    make_row("doubt", disputed=True, reserve=True, source="other"),
]


def test_counts_are_by_class_split_and_reason(tmp_path):
    """Reasons are counted class by class; what differs from row to row in a reason does not split the count."""
    home = make_home(tmp_path)
    publish(home, MIXED)
    shown = show(home, "squares")
    assert (shown.reference, shown.rows, shown.kept, shown.reserve) == ("squares@v1", 12, 7, 1)
    assert shown.counts == {"train": {"dark": 3, "pale": 2}, "test": {"dark": 1, "pale": 1}}
    assert shown.reasons == (
        ClassReason("context:other", "select", "context-class", "other", "context class other", 1),
        ClassReason("dark", "dedup", "exact-duplicate", None, "exact duplicate", 2),
        ClassReason("dark", "quality", "too-small", None, "too small", 1),
        ClassReason("no label", "probe", "truncated", None, "truncated", 1),
    )
    assert shown.sources == {"drawn": {"rows": 11, "kept": 6}, "other": {"rows": 1, "kept": 1}}
    assert shown.failed is None
    assert sum(reason.rows for reason in shown.reasons) == shown.rows - shown.kept


def test_what_is_shown_can_be_printed_and_read_by_programs(tmp_path):
    """The text names every count, the JSON holds every field."""
    home = make_home(tmp_path)
    publish(home, MIXED)
    shown = show(home, "squares@v1")
    assert "7 of 12 files kept, 1 of them reserve" in str(shown)
    assert "train: 3 dark, 2 pale" in str(shown)
    assert "out: 2 dark: dedup: exact duplicate" in str(shown)
    assert json.loads(json.dumps(shown.as_json()))["counts"]["train"]["dark"] == 3


def test_a_draft_shows_what_stopped_it_and_what_has_no_split_yet(tmp_path):
    """A draft from before selection has no splits; its failed stage, reason and hint are shown."""
    home = make_home(tmp_path)
    rows = [{**row, "split": None} for row in MIXED]
    with locked(home, "squares") as held:
        write_draft(
            held,
            make_manifest(rows),
            stage="select",
            fault=CurationError(ErrorCode.COUNT_SHORT, "too few pictures", hint="add a source"),
        )
    shown = show(home, "squares@draft")
    assert (shown.reference, shown.digest, shown.counts) == ("squares@draft", None, {})
    assert shown.undecided == {"dark": 4, "pale": 3}
    assert shown.failed == {
        "stage": "select",
        "code": "count-short",
        "reason": "too few pictures",
        "hint": "add a source",
    }
    assert "stopped at select: too few pictures" in str(shown)


def test_nothing_built_is_an_error(tmp_path):
    """There is nothing to show of a dataset that was never built."""
    with fails_with(ErrorCode.VERSION_MISSING):
        show(make_home(tmp_path), "squares")
