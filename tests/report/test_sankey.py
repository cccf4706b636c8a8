"""The drawn flow of a build: every place and its words lie inside the image."""

from hypothesis import given
from hypothesis import strategies as st

from curation.report.sankey import KEPT, Flow, draw_flows

counts = st.integers(1, 2000)


@given(st.lists(counts, min_size=1, max_size=12), st.lists(counts, min_size=1, max_size=12))
def test_every_place_and_its_words_lie_inside_the_drawing(fates, splits):
    """With many places of few files the last ones lay below the lower edge, without a name."""
    first = [Flow("src", KEPT, sum(splits)), *(Flow("src", f"reason {n}", files) for n, files in enumerate(fates))]
    second = [Flow(KEPT, f"train: {n}", files) for n, files in enumerate(splits)]
    drawing = draw_flows(first, second)
    assert len(drawing.boxes) == 2 + len(fates) + len(splits)
    for box in drawing.boxes:
        assert box.y >= 0
        assert box.y + max(box.height, 16) <= drawing.height
