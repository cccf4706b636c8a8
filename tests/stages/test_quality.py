"""Thresholds over raw values; no pixel is read again."""

import pytest

from curation.dataset.recipe import Quality
from curation.stages.quality import quality
from tests.builders import act, fates, make_manifest, make_row, out


@pytest.mark.parametrize(
    ("cells", "thresholds", "reason"),
    [
        ({"width": 40}, {"min_side": 64}, ("too-small", "40 px, < 64")),
        ({"sharpness": 1.26}, {"min_sharpness": 5}, ("blurred", "sharpness 1.3, < 5")),
        ({"brightness": 9.0}, {"min_brightness": 20}, ("too-dark", "brightness 9.0, < 20")),
        ({"brightness": 250.0}, {"max_brightness": 245}, ("too-bright", "brightness 250.0, > 245")),
        ({"contrast": 0.5}, {"min_contrast": 4}, ("blank", "contrast 0.5, < 4")),
    ],
)
def test_each_threshold_gives_its_reason(
    cells: dict[str, float], thresholds: dict[str, float], reason: tuple[str, str]
) -> None:
    """The value, the sign and the limit stand in the reason; an image at the limit passes."""
    after = quality(make_manifest([make_row("a", **cells), make_row("b")]), Quality(**thresholds))  # type: ignore[arg-type]  # any
    assert fates(after.rows) == [("quality", *reason), None]


def test_without_thresholds_nothing_is_excluded() -> None:
    """A missing threshold is not applied."""
    rows = [make_row("a", width=2, sharpness=0.0, brightness=0.0, contrast=0.0)]
    assert fates(quality(make_manifest(rows), Quality()).rows) == [None]


def test_what_somebody_keeps_or_relabels_is_spared() -> None:
    """A reviewer's decision overrides a threshold; 'not-duplicates' does not concern quality."""
    words = [[act("keep", "anna")], [act("relabel", "anna", label="melanoma")], [act("not-duplicates")], None]
    rows = [make_row(str(n), sharpness=0.0, decision=word) for n, word in enumerate(words)]
    gone = quality(make_manifest(rows), Quality(min_sharpness=5)).rows["excluded_by"].is_not_null().to_list()
    assert gone == [False, False, True, True]


def test_files_without_values_keep_their_own_reason() -> None:
    """An unreadable file is unreadable, not blurred."""
    row = make_row("a", width=None, sharpness=None, **out("probe", "truncated"))
    after = quality(make_manifest([row]), Quality(min_side=64, min_sharpness=5))
    assert fates(after.rows) == [("probe", "truncated", None)]
