"""Progress and agreement, against figures worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.review.agreement import last_opinions, measure_agreement, review_status
from curation.review.review_session import open_session
from tests.builders import sha_of
from tests.review.test_review_queues import said
from tests.review.test_review_session import sha_at


def test_cohens_kappa_is_the_one_of_the_textbook():
    """20 yes-yes, 5 and 10 apart, 15 no-no: observed 0.70, by chance 0.50, kappa 0.40."""
    pairs = [("keep", "keep")] * 20 + [("keep", "exclude")] * 5 + [("exclude", "keep")] * 10
    pairs += [("exclude", "exclude")] * 15
    words = {
        "anna": {sha_of(number): pair[0] for number, pair in enumerate(pairs)},
        "ben": {sha_of(number): pair[1] for number, pair in enumerate(pairs)},
    }
    (kappa,) = measure_agreement(words)
    assert (kappa.measure, kappa.pictures) == ("Cohen", 50)
    assert kappa.agreed == pytest.approx(0.70)
    assert kappa.value == pytest.approx(0.40)


def test_fleiss_kappa_is_given_for_three():
    """Three reviewers, four images, two words: P = (1 + 1 + 1/3 + 1/3) / 4, P_e = 0.5."""
    table = [("k", "k", "k"), ("e", "e", "e"), ("k", "k", "e"), ("e", "e", "k")]
    words = {
        name: {sha_of(number): row[place] for number, row in enumerate(table)}
        for place, name in enumerate(("anna", "ben", "cleo"))
    }
    *pairs, fleiss = measure_agreement(words)
    assert [kappa.measure for kappa in pairs] == ["Cohen"] * 3
    assert fleiss.measure == "Fleiss"
    assert fleiss.value == pytest.approx((2 / 3 - 0.5) / 0.5)


@given(st.lists(st.sampled_from(["keep", "exclude", "melanoma"]), max_size=20))
def test_reviewers_who_say_the_same_agree_wholly(said_by_both):
    """Kappa is 1, or not defined where there is only one word or no image in common."""
    words = {name: {sha_of(number): word for number, word in enumerate(said_by_both)} for name in ("anna", "ben")}
    (kappa,) = measure_agreement(words)
    assert kappa.value == (pytest.approx(1.0) if len(set(said_by_both)) > 1 else None)


def test_the_last_word_counts_and_an_undone_one_does_not():
    """Agreement is measured on what is in force."""
    lines = [
        said("exclude", sha_of("a"), second=1, reason="x"),
        said("relabel", sha_of("a"), second=2, label="melanoma"),
        said("keep", sha_of("b"), "ben", 3),
        said("undo", sha_of("b"), "ben", 4),
        said("prefer", sha_of("c"), second=5),
    ]
    assert last_opinions(lines) == {"anna": {sha_of("a"): "melanoma"}}


def test_status_tells_who_did_what_and_what_is_open(session, home):
    """Progress per queue and reviewer, agreement, the open disagreement first, and decisions on files that are gone."""
    recipe = home.dataset("tiny") / "recipe.toml"
    recipe.write_text(recipe.read_text() + '\n[review]\nagreement = "majority"\n')
    anna, ben, cleo = (open_session(home, "tiny", reviewer=name) for name in ("anna", "ben", "cleo"))
    conflict, clean = sha_at(session, "train/nevus/g0.jpg"), sha_at(session, "train/melanoma/g5.jpg")
    for reviewer in (anna, ben):
        reviewer.decide("relabel", [conflict], label="melanoma")
    cleo.decide("exclude", [conflict], reason="x")
    anna.decide("keep", [clean])
    ben.decide("exclude", [clean], reason="x")
    anna.decide("keep", [sha_of("gone")])
    status = review_status(anna)
    assert status.policy == "majority"
    assert status.queues["conflicts"] == (4, 3)
    assert {name: queues["conflicts"] for name, queues in status.reviewers.items()} == {"anna": 1, "ben": 1, "cleo": 1}
    assert status.decisions == {"anna": 3, "ben": 2, "cleo": 1}
    assert [(each.sha256, each.outcome) for each in status.disagreements] == [(clean, None), (conflict, "melanoma")]
    assert status.disagreements[1].ids == ("src/train/melanoma/g0.jpg", "src/train/nevus/g0.jpg")
    assert status.absent == (sha_of("gone"),)
    assert status.as_json()["queues"]["conflicts"] == {"pictures": 4, "left": 3}
