"""The search: costs before training, accuracy on the training split only, and the Pareto front."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import CurationError, ErrorCode
from firmware.compiler import Budget, load_board
from training.fit import SilentFitListener
from training.folds import pool_folds
from training.search import COSTS, Candidate, pareto, search


def make_candidate(name: str, share: float, ram: int, flash: int, macs: int) -> Candidate:
    """Return a candidate of these figures."""
    budget = Budget("b", ram, None, ram, ram, 10**6, flash, 10**6, macs, macs, 1.0, (), ())
    accuracy = pool_folds(np.array([share * 100, 0]), [], folds=2, repeats=1, images=100, spent=np.zeros(2))
    return Candidate(name, budget, accuracy)


figures = st.lists(st.tuples(st.sampled_from([0.5, 0.8, 0.9]), *[st.integers(1, 4)] * 3), min_size=1, max_size=8)


@given(figures)
def test_a_candidate_is_on_the_front_unless_another_beats_it(found):
    """A candidate is off the front exactly where another is no worse in all four figures and better in one."""
    candidates = [make_candidate(str(number), *one) for number, one in enumerate(found)]
    front = {one.name for one in pareto(candidates)}
    assert front
    for number, mine in enumerate(found):
        worse = any(
            other[0] >= mine[0] and all(a <= b for a, b in zip(other[1:], mine[1:], strict=True)) and other != mine
            for other in found
        )
        assert (str(number) in front) == (not worse)


def test_a_refused_candidate_is_on_no_front():
    """What was never trained has no accuracy to compare."""
    tried = make_candidate("tried", 0.5, 4, 4, 4)
    refused = Candidate("refused", make_candidate("x", 0.9, 1, 1, 1).budget, None)
    assert [one.name for one in pareto([refused, tried])] == ["tried"]


@pytest.mark.slow
def test_a_search_ends_in_a_table_and_a_page(needs_train, drawn, small_settings, tmp_path):
    """Two nets in two folds: figures of both, the page with the front, no leftovers; asked again, it is read back."""

    class Notes(SilentFitListener):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, sentence):
            self.notes.append(sentence)

    found = search(
        "spots", replace(small_settings, epochs=1, patience=1), home=drawn.home, runs=tmp_path, folds=2,
        board=load_board("nano33ble"), models=["ds_cnn_xs"], sides=[48, 96], listener=SilentFitListener(),
    )  # fmt: skip
    assert [one.name for one in found.candidates] == ["ds_cnn_xs@48", "ds_cnn_xs@96"]
    assert {one.accuracy.int8.of for one in found.candidates} == {80}
    notes = json.loads((found.folder / "search.json").read_text())
    assert [one["front"] for one in notes["candidates"]].count(True) == len(found.front()) >= 1
    page = (found.folder / "search.html").read_text()
    assert page.count("<svg") == len(COSTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [found.folder.name]
    before = (found.folder / "search.json").stat()
    notes = Notes()
    again = search(
        "spots", replace(small_settings, epochs=1, patience=1), home=drawn.home, runs=tmp_path, folds=2,
        board=load_board("nano33ble"), models=["ds_cnn_xs"], sides=[48, 96], listener=notes,
    )  # fmt: skip
    assert again == found
    (note,) = notes.notes
    assert found.folder.name in note
    assert "--again" in note
    assert (found.folder / "search.json").stat() == before


@pytest.mark.slow
def test_a_search_in_which_nothing_fits_is_an_error(needs_train, drawn, small_settings, tmp_path):
    """A board without flash refuses every net, each with its figures, and nothing is trained."""
    board = replace(load_board("nano33ble"), flash_bytes=66_000)
    with pytest.raises(CurationError, match="nano33ble") as caught:
        search(
            "spots", small_settings, home=drawn.home, runs=tmp_path, board=board, models=["ds_cnn_xs"], sides=[48],
            folds=2, listener=SilentFitListener(),
        )  # fmt: skip
    assert caught.value.code is ErrorCode.DOES_NOT_FIT
    assert "flash:" in caught.value.message
