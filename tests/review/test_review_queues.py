"""The review's table: queues hold what they promise, and decisions since the build show at once."""

import polars as pl
import pytest

from curation.dataset.decisions import Decision
from curation.review.review_queues import QUEUES, DecisionRules, build_review_table, count_queues, find_disagreements
from curation.review.review_session import ReviewSession
from tests.builders import act, make_manifest, make_row, out, sha_of

RULES = DecisionRules(("healthy", "melanoma"), {"melanoma": "melanoma", "healthy": "healthy"}, "newest", None)


def said(action: str, sha: str, reviewer: str = "anna", second: int = 0, **fields: str) -> Decision:
    """Return a decision."""
    return Decision(action, sha, reviewer, f"2026-11-24T10:00:{second:02}Z", **fields)  # type: ignore[arg-type]  # any words


def paths_in(rows: pl.DataFrame, queue: str, column: str = "queues") -> list[str]:
    """Return the paths of the rows in a queue."""
    return rows.filter(pl.col(column).list.contains(queue))["path"].to_list()


def test_each_queue_holds_what_it_promises(session: ReviewSession):
    """Byte-equal and duplicate conflicts, duplicates in other bytes, reserve, faults: each in its queue."""
    rows = session.rows()
    assert paths_in(rows, "conflicts") == [
        "train/melanoma/g0.jpg",
        "train/melanoma/g1.jpg",
        "train/melanoma/g2.jpg",
        "train/nevus/g0.jpg",
        "train/nevus/g1.jpg",
        "train/nevus/g502.png",
    ]
    assert paths_in(rows, "quality") == [
        "train/healthy/g701.jpg",
        "train/healthy/g702.jpg",
        "train/melanoma/g700.jpg",
    ]
    assert len(paths_in(rows, "reserve")) == 1
    assert set(paths_in(rows, "reserve")) <= {f"train/melanoma/g{number}.jpg" for number in range(3)}
    assert {"train/healthy/g604.jpg", "train/healthy/g104.jpg"} <= set(paths_in(rows, "near-duplicates"))
    assert {"train/healthy/g605.jpg", "train/healthy/g105.jpg"} <= set(paths_in(rows, "near-duplicates"))
    assert len(paths_in(rows, "everything")) == len(session.manifest)
    assert paths_in(rows, "unlabelled") == [f"n{number}.jpg" for number in range(4)]
    assert paths_in(rows, "doubtful") == paths_in(rows, "disagreements") == []


def test_both_labels_of_a_conflict_are_shown(session: ReviewSession):
    """A row of no class says what its source calls it."""
    rows = session.rows().filter(pl.col("path").is_in(["train/melanoma/g0.jpg", "train/nevus/g0.jpg"]))
    assert rows["label"].to_list() == ["melanoma", "context:nevus"]
    assert rows["group"].n_unique() == 1


def test_the_representative_comes_first(session: ReviewSession):
    """Each cluster of duplicates has exactly one row of rank 0, and it is the one that is kept."""
    rows = session.rows().filter(pl.col("cluster").is_not_null())
    first = rows.filter(pl.col("rank") == 0)
    assert first["id"].to_list() == first["cluster"].to_list()
    assert first["cluster"].n_unique() == rows["cluster"].n_unique() == first.height


def test_a_count_is_of_images(session: ReviewSession):
    """Two rows of the same bytes are one image to decide on."""
    counts = count_queues(session.rows())
    assert list(counts) == list(QUEUES)
    assert counts["conflicts"] == (4, 4)
    session.decide(
        "exclude", session.rows().filter(pl.col("path") == "train/nevus/g0.jpg")["sha256"].to_list(), reason="x"
    )
    assert count_queues(session.rows())["conflicts"] == (4, 3)


def test_a_decision_shows_on_every_row_of_the_bytes():
    """An exclusion since the build shows as it will be after the next; what it does not touch stays as it was."""
    rows = [
        make_row("a", label="melanoma", split="train"),
        make_row("b", label=None, source_label="nevus", sha256=sha_of("a"), **out("dedup", "exact-duplicate", "src/a")),
        make_row("c", label="melanoma", **out("select", "surplus", "train")),
    ]
    now = build_review_table(make_manifest(rows), (said("exclude", sha_of("a"), reason="text"),), RULES)
    assert now["excluded"].to_list() == ["decide: excluded (anna: text)"] * 2 + ["select: surplus in train"]
    assert now["decision"].to_list() == ["exclude (anna: text)"] * 2 + [None]
    assert now["reviewers"].to_list() == [["anna"], ["anna"], None]


def test_a_relabel_shows_and_its_undo_gives_the_sources_label_back():
    """The manifest was built with the relabel; once it is withdrawn the source's own label stands again."""
    relabel = said("relabel", sha_of("a"), label="healthy", second=1)
    row = make_row("a", label="healthy", decision=[act("relabel", "anna", label="healthy")], split="train")
    manifest = make_manifest([row])
    assert build_review_table(manifest, (relabel,), RULES)["label"].to_list() == ["healthy"]
    undone = build_review_table(manifest, (relabel, said("undo", sha_of("a"), second=2)), RULES)
    assert undone["label"].to_list() == ["melanoma"]
    assert undone["decision"].to_list() == [None]


def test_an_undone_exclusion_is_no_longer_shown():
    """The reason of the last build goes; the next build decides what becomes of the image."""
    row = make_row(
        "a",
        label="melanoma",
        decision=[act("exclude", "anna", reason="x")],
        **out("decide", "excluded-by-reviewer", "anna: x"),
    )
    lines = (said("exclude", sha_of("a"), reason="x"), said("undo", sha_of("a"), second=1))
    assert build_review_table(make_manifest([row]), lines[:1], RULES)["excluded"].to_list() == [
        "decide: excluded (anna: x)"
    ]
    assert build_review_table(make_manifest([row]), lines, RULES)["excluded"].to_list() == [None]


@pytest.mark.parametrize(
    ("excluded", "shown"),
    [
        (out("quality", "blurred"), None),
        (out("probe", "truncated"), "probe: truncated"),
        (out("dedup", "near-duplicate", "x"), "dedup: near duplicate of x"),
    ],
)
def test_keep_frees_from_a_threshold_alone(excluded, shown):
    """It makes no unreadable file readable, and no duplicate the only one."""
    manifest = make_manifest([make_row("a", label="melanoma", **excluded)])
    assert build_review_table(manifest, (said("keep", sha_of("a")),), RULES)["excluded"].to_list() == [shown]


def test_an_image_without_a_label_waits_until_it_has_one():
    """``keep`` says nothing about a label; a relabel or an exclusion ends the waiting."""
    rows = [make_row(name, label=None, source_label="", **out("label", "unlabelled")) for name in "abcd"]
    lines = (
        said("keep", sha_of("a")),
        said("relabel", sha_of("b"), label="melanoma"),
        said("exclude", sha_of("c"), reason="x"),
    )
    now = build_review_table(make_manifest(rows), lines, RULES)
    assert paths_in(now, "unlabelled") == ["a", "b", "c", "d"]
    assert paths_in(now, "unlabelled", "left") == ["a", "d"]
    assert now["label"].to_list() == [None, "melanoma", None, None]


def test_a_preference_settles_its_cluster():
    """Where one of a cluster is preferred nothing is left of it; declared apart, only the two are settled."""
    rows = [make_row(name, label="melanoma", representative="src/a") for name in "abc"]
    assert paths_in(build_review_table(make_manifest(rows), (), RULES), "near-duplicates", "left") == ["a", "b", "c"]
    preferred = build_review_table(make_manifest(rows), (said("prefer", sha_of("b")),), RULES)
    assert paths_in(preferred, "near-duplicates", "left") == []
    apart = build_review_table(make_manifest(rows), (said("not-duplicates", sha_of("a"), other=sha_of("b")),), RULES)
    assert paths_in(apart, "near-duplicates", "left") == ["c"]


def test_a_disagreement_is_left_until_the_policy_settles_it():
    """Under ``newest`` the later word settles it; under ``majority`` one against one waits for a third."""
    lines = (said("exclude", sha_of("a"), reason="x"), said("keep", sha_of("a"), "ben", 1))
    manifest = make_manifest([make_row("a", label="melanoma"), make_row("b", label="melanoma")])
    newest = build_review_table(manifest, lines, RULES)
    assert paths_in(newest, "disagreements") == ["a"]
    assert paths_in(newest, "disagreements", "left") == []
    majority = DecisionRules(RULES.classes, RULES.class_of, "majority", None)
    assert paths_in(build_review_table(manifest, lines, majority), "disagreements", "left") == ["a"]
    third = (*lines, said("keep", sha_of("a"), "cleo", 2))
    assert paths_in(build_review_table(manifest, third, majority), "disagreements", "left") == []


def test_a_contradicted_image_shows_what_everybody_said():
    """The policy shows one word; who settles a disagreement has to see them all. Where all agree nothing is added."""
    lines = (said("keep", sha_of("a")), said("exclude", sha_of("a"), "ben", 1, reason="x"), said("keep", sha_of("b")))
    rows = build_review_table(
        make_manifest([make_row("a", label="melanoma"), make_row("b", label="melanoma")]), lines, RULES
    )
    assert rows["decision"].to_list() == ["anna: keep, ben: exclude; exclude (ben: x)", "keep (anna)"]


def test_differing_sees_labels_too():
    """Two relabels to different classes are a disagreement; twice the same class is not."""
    one, two = said("relabel", sha_of("a"), label="melanoma"), said("relabel", sha_of("a"), "ben", 1, label="healthy")
    assert find_disagreements((one, two)) == {sha_of("a")}
    assert find_disagreements((one, said("relabel", sha_of("a"), "ben", 1, label="melanoma"))) == frozenset()


def test_doubts_are_a_queue_of_their_own():
    """What the audit doubts is listed with how much."""
    manifest = make_manifest([make_row("a", label="melanoma"), make_row("b", label="melanoma")])
    rows = build_review_table(manifest, (), RULES, doubts={sha_of("b"): 0.9})
    assert paths_in(rows, "doubtful") == ["b"]
    assert rows["doubt"].to_list() == [None, 0.9]
