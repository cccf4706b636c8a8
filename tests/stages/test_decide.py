"""What people decided is applied to every row of those bytes."""

import pytest

from curation.dataset.decisions import Decision, rule
from curation.errors import CurationError
from curation.stages.decide import Decided, decide
from tests.builders import act, fates, make_manifest, make_row, out, sha_of

CLASSES = ("healthy", "melanoma")


def decided(rows: list[dict[str, object]], *decisions: Decision, **policy: str) -> Decided:
    """Return the rows after the decisions."""
    return decide(make_manifest(rows), rule(decisions, **policy), classes=CLASSES)  # type: ignore[arg-type]  # any words


def said(action: str, name: str, *, reviewer: str = "anna", at: int = 0, **more: str) -> Decision:
    """Return a decision about the file that has that name."""
    return Decision(action, sha_of(name), reviewer, f"2026-01-01T00:00:{at:02}Z", **more)  # type: ignore[arg-type]  # any words


def test_an_exclusion_carries_reviewer_and_reason() -> None:
    """Who threw an image out, and why, stands in the row."""
    after = decided([make_row("a", label="melanoma")], said("exclude", "a", reason="a ruler"))
    assert fates(after.manifest.rows) == [("decide", "excluded-by-reviewer", "anna: a ruler")]


def test_a_decision_is_by_bytes() -> None:
    """Two rows of the same bytes are decided together."""
    rows = [make_row("a", label="melanoma"), make_row("b", label=None, source_label="nevus", sha256=sha_of("a"))]
    after = decided(rows, said("relabel", "a", label="healthy"))
    assert after.manifest.rows["label"].to_list() == ["healthy", "healthy"]


def test_a_relabel_gives_a_label_to_what_had_none() -> None:
    """Labelling an unlabelled source is a relabel, and takes the row in."""
    row = make_row("a", source_label="", **out("label", "unlabelled"))
    after = decided([row], said("relabel", "a", label="melanoma"))
    assert after.manifest.rows.select("label", "excluded_by").row(0) == ("melanoma", None)


def test_a_relabel_to_context_takes_an_image_out_of_its_class() -> None:
    """context:<label> makes an image one of no class."""
    after = decided([make_row("a", label="melanoma")], said("relabel", "a", label="context:nevus"))
    assert after.manifest.rows.select("label", "source_label").row(0) == (None, "nevus")


def test_nobody_can_decide_that_an_unreadable_file_is_readable() -> None:
    """keep and relabel leave a decode failure as it is."""
    row = make_row("a", **out("probe", "truncated"))
    for decision in (said("keep", "a"), said("relabel", "a", label="melanoma")):
        assert fates(decided([row], decision).manifest.rows) == [("probe", "truncated", None)]


def test_a_decision_about_an_absent_file_is_reported() -> None:
    """It is told, not dropped: the file may come back."""
    assert decided([make_row("a")], said("exclude", "gone")).absent == (sha_of("gone"),)


def test_a_relabel_to_no_class_stops_the_build() -> None:
    """A typing mistake in the ledger must not make a class."""
    with pytest.raises(CurationError, match="'melanomma'"):
        decided([make_row("a")], said("relabel", "a", label="melanomma"))


def test_a_disagreement_under_majority_excludes_and_says_who_said_what() -> None:
    """One against one is not a majority: the image is excluded until a reviewer settles it."""
    said_both = (said("exclude", "a"), said("keep", "a", reviewer="ben", at=1))
    after = decided([make_row("a", label="melanoma")], *said_both, agreement="majority")
    assert fates(after.manifest.rows) == [("decide", "reviewers-disagree", "anna: exclude, ben: keep")]
    newest = decided([make_row("a", label="melanoma")], *said_both)
    assert fates(newest.manifest.rows) == [None]


def test_free_text_is_no_decision() -> None:
    """A reason that reads like a relabel settles nothing."""
    after = decided([make_row("a", label="melanoma")], said("keep", "a", reason="fine; relabel later?; prefer"))
    assert after.manifest.rows["decision"].to_list() == [[act("keep", "anna", reason="fine; relabel later?; prefer")]]


def test_a_context_without_a_name_is_refused() -> None:
    """context: wants the label that the image has instead."""
    with pytest.raises(CurationError, match="'context:'"):
        decided([make_row("a", label="melanoma")], said("relabel", "a", label="context:"))


def test_of_two_words_in_one_second_the_later_counts() -> None:
    """Half a second is later than none, though its text sorts before."""
    first = Decision("exclude", sha_of("a"), "anna", "2026-01-01T00:00:00Z")
    second = Decision("keep", sha_of("a"), "anna", "2026-01-01T00:00:00.5Z")
    after = decided([make_row("a", label="melanoma")], second, first)
    assert fates(after.manifest.rows) == [None]
