"""What 0.1.0 left stays usable: its versions and draft are read, compared, exported, reviewed and built upon."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curation import Home, Options, build, diff, explain, load, show, verify
from curation.audit import audit
from curation.dataset.columns import Metadata
from curation.dataset.decisions import Decision, append_decisions
from curation.dataset.manifest import describe_decisions, describe_excluded, has_action
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.exports import export
from curation.reasons import Reason
from curation.report.api import make_page
from curation.review.review_queues import count_queues
from curation.review.review_session import open_session
from curation.storage.cache import Cache
from curation.versions import carry_out, open_table, plan_gc
from curation.versions.schema_1 import read_schema_1, upgrade
from tests.builders import fates, make_row
from training.data import open_training_data
from training.evaluate import judge_strata
from training.out_of_distribution import list_context

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "schema_1"
V2_DIGEST = "0f27eaf1f5df3c9e"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a copy of the datasets that 0.1.0 left."""
    shutil.copytree(FIXTURE / "datasets", tmp_path / "datasets")
    return Home(tmp_path / "datasets")


def rebuilt(home: Home, tmp_path: Path, reference: str = "spots"):
    """Build with a cache of its own."""
    return build(reference, Options(home=home, cache=Cache(tmp_path / "cache"), engine=Local(1)))


@pytest.mark.parametrize("which", ["v1", "v2", "draft"])
def test_sentences_become_codes_and_say_the_same(home, which):
    """Every row keeps its step and reason; the sentence that is made of them is 0.1.0's, but for what columns hold."""
    path = home.datasets / "builds" / "spots" / which / "manifest.parquet"
    old, new = pl.read_parquet(path), read_schema_1(path)
    assert new.rows["id"].to_list() == old.sort("id")["id"].to_list()
    shown = dict(zip(new.rows["id"], describe_excluded(new.rows), strict=True))
    for name, sentence in old.select("id", "excluded").rows():
        if sentence is None or sentence.startswith(("select: leakage", "dedup: near")):
            assert (shown[name] is None) == (sentence is None)
        else:
            assert shown[name] == sentence
    assert describe_decisions(new.rows).to_list() == old.sort("id")["decision"].to_list()


def test_rows_have_the_codes_that_0_1_0_meant(home):
    """One row of every kind."""
    rows = load(home, "spots@v2").manifest.rows
    found = dict(zip((name.rpartition("/")[2] for name in rows["id"]), fates(rows), strict=True))
    assert found["metadata.csv"] == ("ingest", "metadata-file", None)
    assert found["Thumbs.db"] == ("probe", "system-file", "Thumbs.db (Windows)")
    assert found["note.txt"] == ("probe", "not-an-image", "text")
    assert found["tiny.png"] == ("quality", "too-small", "12 px, < 24")
    assert found["dark-train-04.png"] == ("decide", "excluded-by-reviewer", "anna: two spots, odd")
    assert found["mirrored.jpg"] == ("dedup", "near-duplicate", "drawn/Train/pale/pale-train-05.png")
    assert found["dark-train-08.png"] == ("select", "leakage", "test")
    assert found["dark-train-02.png"] == ("select", "disputed-not-needed", None)
    assert found["other-train-01.png"] == ("select", "context-class", "other")
    relabelled = rows.filter(has_action("relabel"))
    assert [(each["label"], each["reviewers"]) for actions in relabelled["decision"].to_list() for each in actions] == [
        ("dark", ["ben"]),
        ("context:other", ["anna"]),
    ]


def test_metadata_columns_have_the_roles_of_their_names(home):
    """The six names of 0.1.0 have roles; those that the recipe does not name and that are empty are not columns."""
    metadata = {column.name: column for column in load(home, "spots@v1").manifest.metadata}
    assert sorted(metadata) == ["age", "lesion", "patient", "sex"]
    assert metadata["age"] == Metadata("age", "age", pl.Float64())
    assert {name: column.role for name, column in metadata.items()} == {name: name for name in metadata}


@pytest.mark.parametrize("reference", ["spots@v1", "spots@v2"])
def test_an_old_version_is_verified_without_being_rewritten(home, reference):
    """Its SHA256SUMS are over the old file, which stays as it is."""
    folder = home.build("spots", int(reference[-1]))
    before = (folder / "manifest.parquet").read_bytes()
    found = verify(home, reference)
    assert found.problems == ()
    assert (folder / "manifest.parquet").read_bytes() == before


def test_an_old_version_and_an_old_draft_are_shown_and_explained(home):
    """Counts by reason, the story of an image and its decision, and why the draft stopped."""
    reasons = {(each.stage, each.reason): each.rows for each in show(home, "spots@v2").reasons if each.label == "dark"}
    assert reasons["dedup", "exact-duplicate"] == 2
    assert reasons["select", "leakage"] == 3
    (story,) = explain(home, "spots@v2", "dark-train-04.png")
    assert story.fate == "out: decide: excluded (anna: two spots, odd)"
    assert json.loads(json.dumps(story.as_json()))["row"]["reason"] == "excluded-by-reviewer"
    draft = show(home, "spots@draft")
    assert draft.failed is not None
    assert draft.failed["stage"] == "select"
    assert explain(home, "spots@draft", "mirrored.jpg")[0].row["detail"] == "drawn/Train/pale/pale-train-05.png"


def test_old_versions_are_compared_with_one_another_and_with_a_new_one(home, tmp_path):
    """The decisions of v2 explain what it changed; a version that is built today differs by today's decision alone."""
    told = diff(home, "spots@v1", "spots@v2")
    assert {change.kind for change in told.changes} >= {"added", "removed"}
    assert any("decide: excluded (anna: two spots, odd)" in change.why for change in told.changes)
    assert not any("recipe changed" in note for note in told.notes)
    kept = load(home, "spots@v2").manifest.kept
    gone = kept.filter(pl.col("split") == "train").row(0, named=True)
    line = Decision("exclude", gone["sha256"], "cleo", "2026-12-01T00:00:00Z", reason="cut")
    append_decisions(home.dataset("spots") / "decisions.jsonl", [line])
    assert rebuilt(home, tmp_path).line.version == 3
    changes = {change.id: change for change in diff(home, "spots@v2", "spots@v3").changes}
    assert changes[gone["id"]].why == "decide: excluded (cleo: cut)"
    assert changes[gone["id"]].cause == "decide: excluded"
    assert len(changes) == 2
    assert verify(home, "spots@v3").problems == ()


def test_a_build_from_the_old_sources_is_unchanged(home, tmp_path):
    """The same recipe, ledger and images have the digest that 0.1.0 published."""
    built = rebuilt(home, tmp_path)
    assert built.outcome == "unchanged"
    assert built.line.version == 2
    assert built.line.digest.startswith(V2_DIGEST)


def test_an_old_version_is_restored_where_its_files_are_gone(home, tmp_path):
    """It is made again under its own number and digest, in today's layout."""
    shutil.rmtree(home.build("spots", 1))
    built = rebuilt(home, tmp_path, "spots@v1")
    assert (built.outcome, built.line.version) == ("restored", 1)
    assert verify(home, "spots@v1").problems == ()


def test_an_old_version_is_exported_with_its_metadata(home, tmp_path):
    """CSV has codes and sentences of excluded files, and the metadata columns; Hugging Face has them with types."""
    version = load(home, "spots@v2")
    export(version, "csv", tmp_path / "csv")
    with (tmp_path / "csv" / "samples.csv").open(encoding="utf-8") as file:
        samples = list(csv.DictReader(file))
    assert {row["lesion"] for row in samples} == set(version.manifest.kept["lesion"].fill_null(""))
    with (tmp_path / "csv" / "excluded.csv").open(encoding="utf-8") as file:
        excluded = {row["id"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    assert excluded["tiny.png"]["excluded"] == "quality: too small (12 px, < 24)"
    assert excluded["tiny.png"]["reason"] == "too-small"
    export(version, "huggingface", tmp_path / "hf")
    table = pl.concat(pl.read_parquet(path) for path in sorted((tmp_path / "hf" / "data").glob("*.parquet")))
    assert table.schema["age"] == pl.Float64
    assert table["lesion"].sort().equals(version.manifest.kept["lesion"].sort())


def test_an_old_version_is_audited_and_has_a_page(home):
    """Strata come from the old columns, and the page names reasons and decisions."""
    version = load(home, "spots@v2")
    found = audit(version)
    assert {"sex", "age"} <= {crosstab.name for crosstab in found.crosstabs}
    page = make_page(home, version, found)
    assert "too small" in page


def test_an_old_version_is_reviewed(home):
    """The queues are those of the old table, with the ledger laid over it."""
    session = open_session(home, "spots@v2", reviewer="anna")
    rows = session.rows()
    shown = dict(rows.select("path", "excluded").rows())
    assert shown["Train/dark/dark-train-04.png"].startswith("decide: excluded (anna: two spots")
    relabelled = rows.filter(pl.col("path") == "Train/other/other-train-00.jpg").row(0, named=True)
    assert (relabelled["label"], relabelled["reason"]) == ("dark", "leakage")
    assert count_queues(rows)["quality"][0] == rows.filter(pl.col("excluded_by") == "quality").height + 3


def test_an_old_draft_is_reviewed(home):
    """A draft of 0.1.0 shows what stands in the way."""
    rows = open_session(home, "spots@draft", reviewer="anna").rows()
    assert rows.height == 54


def test_an_old_version_is_trained_on(home):
    """Its images become samples with its metadata, and its context rows are found by their code."""
    data = open_training_data(home, "spots@v2", side=48)
    assert len(data.samples) == 24
    assert {"lesion", "age"} <= set(data.samples.table.columns)
    right = np.ones(len(data.samples), dtype=np.bool_)
    strata = judge_strata(data.samples.table, data.samples.metadata, right)
    assert {"sex", "age"} <= {stratum.column for stratum in strata}
    assert set(list_context(load(home, "spots@v2"))["source_label"]) == {"other"}


def test_old_builds_are_collected(home):
    """gc keeps the newest and removes the older one and the draft's leftovers as it always did."""
    plan = plan_gc(home, "spots", keep=1)
    carry_out(plan)
    assert not home.build("spots", 1).is_dir()
    assert home.build("spots", 2).is_dir()


def test_a_reason_that_0_1_0_never_wrote_is_damage(home):
    """It is named, and no row passes for another one."""
    table = open_table(home, "spots@v1").manifest.rows.head(0)
    assert table.height == 0
    row = {**make_row("a"), **dict.fromkeys(("lesion", "patient", "sex", "site", "skin_type", "age"))}
    with pytest.raises(CurationError) as caught:
        upgrade(pl.DataFrame([{**row, "excluded": "because", "decision": None}]))
    assert caught.value.code == ErrorCode.VERSION_DAMAGED


@pytest.mark.parametrize(
    ("sentence", "reason", "detail"),
    [
        ("ingest: zip bomb: 1 KB expands to 4.3 GB", Reason.ARCHIVE_BOMB, "1 KB expands to 4.3 GB"),
        ("ingest: larger than 1.1 GB", Reason.FILE_TOO_LARGE, "1.1 GB"),
        ("ingest: link to nothing", Reason.NOT_A_FILE, "link to nothing"),
        ("ingest: zip entry fails its checksum", Reason.ARCHIVE_DAMAGED, "zip entry fails its checksum"),
        ("ingest: permission denied", Reason.FILE_UNREADABLE, "permission denied"),
        ("ingest: folder cannot be opened: permission denied", Reason.FOLDER_UNREADABLE, "permission denied"),
        ("probe: damaged tiff", Reason.DAMAGED, "tiff"),
        ("probe: no page 3 of 2", Reason.MISSING_PAGE, "3 of 2"),
        ("probe: 16-bit samples: no tone rule covers them", Reason.NO_TONE_RULE, "16-bit samples"),
        ("probe: not read: heif", Reason.UNSUPPORTED, "heif"),
        ("probe: 5 channels", Reason.UNSUPPORTED, "5 channels"),
        ("probe: cannot be read: changed while it was read", Reason.FILE_CHANGED, "while it was read"),
        ("probe: system file: Icon (macOS)", Reason.SYSTEM_FILE, "Icon (macOS)"),
        ("decide: reviewers disagree (a: keep, b: exclude)", Reason.REVIEWERS_DISAGREE, "a: keep, b: exclude"),
        ("dedup: same pixels, duplicate of s/a (1).png", Reason.SAME_PIXELS, "s/a (1).png"),
        (
            "dedup: near duplicate of s/a (2 bits, x).png (4 bits, correlation 0.991, rotated 90)",
            Reason.NEAR_DUPLICATE,
            "s/a (2 bits, x).png",
        ),
        ("select: disputed (context:nevus, melanoma)", Reason.DISPUTED, "context:nevus, melanoma"),
        ("select: disputed (its group is on the val side)", Reason.DISPUTED_HELD_OUT, "val"),
        ("select: not in spots@v1", Reason.NOT_IN_VERSION, "spots@v1"),
    ],
)
def test_each_sentence_of_0_1_0_has_its_code(sentence, reason, detail):
    """Names with brackets and commas are names."""
    row = {**make_row("a"), **dict.fromkeys(("lesion", "patient", "sex", "site", "skin_type", "age"))}
    kinds = {"decision": pl.String, "excluded": pl.String}
    manifest = upgrade(pl.DataFrame([{**row, "excluded": sentence, "decision": None}], schema_overrides=kinds))
    assert fates(manifest.rows) == [(sentence.partition(":")[0], reason, detail)]
