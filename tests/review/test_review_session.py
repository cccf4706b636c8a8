"""Deciding: what goes into the ledger, what is refused, and what the reviewer is told."""

import json
import re

import polars as pl
import pytest

from curation.errors import CurationError, ErrorCode
from curation.review.review_session import ReviewSession, default_reviewer, make_decisions, open_session, read_doubts
from tests.builders import sha_of
from tests.review.conftest import ledger_lines


def sha_at(session: ReviewSession, path: str) -> str:
    """Return the sha256 of a file."""
    return str(session.manifest.rows.filter(pl.col("path") == path)["sha256"].item())


def test_a_decision_is_on_the_disk_when_decide_returns(session, home):
    """Each image gets one line with reviewer, time and the tool's version, in the order of their sha256."""
    shas = [sha_at(session, f"train/healthy/g{number}.jpg") for number in (100, 101)]
    outcome = session.decide("exclude", [*shas, shas[0]], reason=" out of focus ")
    lines = ledger_lines(home)
    assert [line["sha256"] for line in lines] == sorted(shas)
    assert {(line["action"], line["reviewer"], line["reason"], line["tool"]) for line in lines} == {
        ("exclude", "anna", "out of focus", "0.1.0")
    }
    assert len({line["time"] for line in lines}) == 1
    assert outcome.shas == tuple(sorted(shas))
    assert outcome.message == "exclude: 2 decisions in the ledger"


def test_the_reviewer_is_told_of_other_rows(session):
    """A decision goes by bytes: the row that was not selected is named."""
    outcome = session.decide(
        "exclude", [sha_at(session, "train/melanoma/g0.jpg")], reason="x", rows=["src/train/melanoma/g0.jpg"]
    )
    assert outcome.other_rows == ("src/train/nevus/g0.jpg",)
    assert "src/train/nevus/g0.jpg" in outcome.message
    both = ["src/train/melanoma/g1.jpg", "src/train/nevus/g1.jpg"]
    assert session.decide("keep", [sha_at(session, "train/nevus/g1.jpg")], rows=both).other_rows == ()


@pytest.mark.parametrize(
    ("action", "fields", "code"),
    [
        ("exclude", {}, ErrorCode.DECISION_INVALID),
        ("exclude", {"reason": "  "}, ErrorCode.DECISION_INVALID),
        ("relabel", {}, ErrorCode.DECISION_INVALID),
        ("relabel", {"label": "melanom"}, ErrorCode.LABEL_UNKNOWN),
        ("relabel", {"label": "context:"}, ErrorCode.LABEL_UNKNOWN),
        ("not-duplicates", {}, ErrorCode.DECISION_INVALID),
        ("undo", {}, ErrorCode.NOTHING_TO_UNDO),
    ],
)
def test_what_makes_no_sense_is_refused(session, home, action, fields, code):
    """The mistake is told and nothing is written: a label no recipe knows would stop the next build."""
    with pytest.raises(CurationError) as fault:
        session.decide(action, [sha_at(session, "train/melanoma/g5.jpg")], **fields)
    assert fault.value.code is code
    assert ledger_lines(home) == []


def test_nothing_selected_is_a_mistake(session):
    """A button pressed on an empty selection decides nothing."""
    with pytest.raises(CurationError) as fault:
        session.decide("keep", [])
    assert fault.value.code is ErrorCode.NOTHING_SELECTED


def test_not_duplicates_is_about_every_pair():
    """Three images are three pairs, each with the smaller sha256 first, whatever the order of the selection."""
    shas = sorted(sha_of(name) for name in "abc")
    made = make_decisions("not-duplicates", shas[::-1], reviewer="anna")
    assert [(line.sha256, line.other) for line in made] == [(shas[0], shas[1]), (shas[0], shas[2]), (shas[1], shas[2])]


def test_undo_takes_back_what_this_reviewer_said_last(session, home):
    """Ben's decision stands; without a selection the last batch goes as a whole."""
    one, two = (sha_at(session, f"train/healthy/g{number}.jpg") for number in (100, 101))
    ben = open_session(home, "tiny", reviewer="ben")
    ben.decide("exclude", [one], reason="ben's")
    session.decide("exclude", [one, two], reason="anna's")
    outcome = session.decide("undo", [one])
    assert [(line.sha256, line.reason) for line in outcome.withdrawn] == [(one, "anna's")]
    assert re.search(r"Withdrawn: line \d: anna on [\d-]+: exclude: anna's$", outcome.message)
    assert [line["sha256"] for line in ledger_lines(home)[3:]] == [one]
    rows = session.rows().filter(pl.col("sha256").is_in([one, two])).sort("path")
    assert rows["excluded"].to_list() == ["decide: excluded (ben: ben's)", "decide: excluded (anna: anna's)"]
    session.decide("keep", [one, two])
    assert len(session.decide("undo", []).made) == 2
    assert session.rows().filter(pl.col("sha256") == two)["decision"].item() == "exclude (anna: anna's)"


def test_a_pair_is_undone_from_either_side(session):
    """The second image of a pair has the decision, too."""
    one, two = (sha_at(session, f"train/healthy/g{number}.jpg") for number in (104, 604))
    session.decide("not-duplicates", [one, two])
    (undo,) = session.decide("undo", [two]).made
    assert {undo.sha256, undo.other} == {one, two}
    assert session.rules.rule(session.ledger()).apart == frozenset()


def test_the_labels_are_the_classes_and_the_contexts_that_occur(session):
    """What the form offers is what the next build understands."""
    assert session.labels == ("healthy", "melanoma", "context:nevus")


def test_a_draft_is_opened_before_the_newest_version(session, home, cache):
    """Where the last build failed, its table is what stands in the way; a version can still be asked for."""
    from curation.engines import Local
    from curation.pipeline import Options, build

    shas = [sha_at(session, f"train/melanoma/g{number}.jpg") for number in range(3, 8)]
    session.decide("exclude", shas, reason="x")
    with pytest.raises(CurationError, match="melanoma"):
        build("tiny", Options(home=home, cache=cache, engine=Local(1)))
    assert open_session(home, "tiny").reference == "tiny@draft"
    assert open_session(home, "tiny@v1").reference == "tiny@v1"
    assert len(open_session(home, "tiny").rows().filter(pl.col("queues").list.contains("conflicts"))) == 6


def test_an_unknown_dataset_is_named(home):
    """The hint gives the near name."""
    with pytest.raises(CurationError, match="tyni") as fault:
        open_session(home, "tyni")
    assert "tiny" in str(fault.value.hint)


def test_the_reviewer_is_the_user_unless_said(monkeypatch):
    """$CURATION_REVIEWER wins over the name of the machine's user."""
    assert default_reviewer({"CURATION_REVIEWER": "ben"}) == "ben"
    monkeypatch.setenv("LOGNAME", "somebody")
    assert default_reviewer({}) == "somebody"


def test_doubts_come_from_the_audit_in_its_order(tmp_path):
    """The most doubtful is 1, images that are no longer there are left out; a later audit wins; without one, none."""
    assert read_doubts(tmp_path, {}) == {}
    findings = [{"id": "leakage-bytes", "which": ["x"]}, {"id": "labels-doubtful", "which": ["b", "gone", "a"]}]
    (tmp_path / "audit.json").write_text(json.dumps({"findings": findings}))
    assert read_doubts(tmp_path, {"a": "1" * 64, "b": "2" * 64}) == {"2" * 64: 1.0, "1" * 64: 0.5}
    later = [{"id": "labels-doubtful", "which": ["a"]}]
    tmp_path.with_name(f"{tmp_path.name}.audit.json").write_text(json.dumps({"findings": later}))
    assert read_doubts(tmp_path, {"a": "1" * 64, "b": "2" * 64}) == {"1" * 64: 1.0}
    tmp_path.with_name(f"{tmp_path.name}.audit.json").unlink()
    (tmp_path / "audit.json").write_text("{}")
    with pytest.raises(CurationError, match=r"audit\.json"):
        read_doubts(tmp_path, {})
