"""Source labels become classes; the rest is context."""

import pytest

from curation.dataset.recipe import Labels
from curation.errors import CurationError
from curation.stages.label import label
from tests.builders import fates, make_manifest, make_row, out

LABELS = Labels(classes={"melanoma": ("melanoma", "MEL")}, context=("nevus",))


def test_labels_map_and_context_stays_without_one() -> None:
    """Several source labels may mean one class; a context row is kept with a null label."""
    rows = [make_row("a"), make_row("b", source_label="MEL"), make_row("c", source_label="nevus")]
    after = label(make_manifest(rows), LABELS)
    assert after.rows["label"].to_list() == ["melanoma", "melanoma", None]
    assert after.rows["excluded_by"].null_count() == 3


def test_what_has_no_label_yet_is_excluded_as_such() -> None:
    """An empty label waits for a reviewer, a missing one was not found in the path."""
    rows = [make_row("a", source_label=""), make_row("b", source_label=None)]
    after = label(make_manifest(rows), LABELS)
    assert fates(after.rows) == [("label", "unlabelled", None), ("label", "no-label", None)]


def test_unknown_labels_are_all_named_at_once() -> None:
    """A label that is neither a class's nor context is the recipe's fault, however many there are."""
    rows = [make_row("a", source_label="wart"), make_row("b", source_label="mole"), make_row("c", source_label="mole")]
    with pytest.raises(CurationError) as caught:
        label(make_manifest(rows), LABELS)
    assert "src: 'mole' (2 files)" in caught.value.message
    assert "src: 'wart' (1 files)" in caught.value.message


def test_a_star_takes_every_other_label_as_context() -> None:
    """With context = "*" nothing is unknown."""
    after = label(make_manifest([make_row("a", source_label="wart")]), Labels(classes=LABELS.classes, context="*"))
    assert after.rows["label"].to_list() == [None]


def test_an_unreadable_file_with_an_odd_label_is_no_reason_to_stop() -> None:
    """Files that are out already do not make the recipe wrong."""
    after = label(make_manifest([make_row("a", source_label="wart", **out("probe", "truncated"))]), LABELS)
    assert fates(after.rows) == [("probe", "truncated", None)]
