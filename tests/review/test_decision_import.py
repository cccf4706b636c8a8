"""Tables and tags: the same decisions by any way are the same lines."""

import csv
import io
import json

import polars as pl
import pytest

from curation.dataset.decisions import Decision, append_decisions
from curation.errors import CurationError, ErrorCode
from curation.review.decision_import import COLUMNS, export_csv, import_csv, import_tags, resolve_sha256
from tests.builders import sha_of
from tests.review.conftest import ledger_lines
from tests.review.test_review_session import sha_at


def write_csv(path, rows, columns=("action", "sha256", "other", "label", "reason")):
    """Write a table of decisions."""
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, columns)
        table.writeheader()
        table.writerows(rows)
    return path


def test_an_export_imports_as_the_same_bytes(session, home, tmp_path):
    """Commas, quotes, line ends and umlauts in a reason survive; a second import changes nothing."""
    shas = [sha_at(session, f"train/healthy/g{number}.jpg") for number in (100, 101, 104, 604)]
    session.decide("exclude", shas[:2], reason='blurred, "very" müde\nsecond line')
    session.decide("relabel", shas[:1], label="context:nevus")
    session.decide("not-duplicates", shas[2:])
    session.decide("undo", shas[:1])
    ledger = session.ledger_path.read_bytes()
    table = tmp_path / "table.csv"
    table.write_text(export_csv(session.ledger()), encoding="utf-8", newline="")
    assert import_csv(table, session) == ()
    session.ledger_path.unlink()
    append_decisions(session.ledger_path, import_csv(table, session))
    assert session.ledger_path.read_bytes() == ledger


def test_a_short_table_takes_the_sessions_reviewer_and_time(session, tmp_path):
    """Only action and sha256 are needed; digits are enough, a byte order mark does no harm."""
    sha = sha_at(session, "train/melanoma/g5.jpg")
    table = tmp_path / "table.csv"
    table.write_text(f"\ufeffaction,sha256\nkeep,{sha[:12].upper()}\n", encoding="utf-8")
    (made,) = import_csv(table, session)
    assert (made.action, made.sha256, made.reviewer, made.tool) == ("keep", sha, "anna", "0.1.0")


def test_every_broken_line_of_a_table_is_named(session, home, tmp_path):
    """All mistakes in one message, and none of the good lines is taken."""
    sha = sha_at(session, "train/melanoma/g5.jpg")
    rows = [
        {"action": "keep", "sha256": sha},
        {"action": "burn", "sha256": sha},
        {"action": "exclude", "sha256": sha},
        {"action": "relabel", "sha256": sha, "label": "melanom"},
        {"action": "keep", "sha256": "xyz"},
        {"action": "keep", "sha256": "0000"},
        {"action": "", "sha256": sha},
    ]
    with pytest.raises(CurationError) as fault:
        import_csv(write_csv(tmp_path / "table.csv", rows), session)
    told = fault.value.message.splitlines()
    assert fault.value.code is ErrorCode.LEDGER_INVALID
    assert [line.split(":")[0].strip() for line in told[1:]] == [f"line {number}" for number in range(3, 9)]
    assert ledger_lines(home) == []


@pytest.mark.parametrize("text", ["sha256,why\n", "", "action\n"])
def test_a_table_of_other_columns_is_refused(session, tmp_path, text):
    """The message names what is missing and what is unknown."""
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(CurationError, match=r"action|sha256|why") as fault:
        import_csv(tmp_path / "table.csv", session)
    assert fault.value.code is ErrorCode.LEDGER_INVALID


def test_a_file_is_meant_by_digits_or_by_name(session):
    """A whole sha256 of a file that is gone is taken as it is; of an unknown name the near ones are told."""
    sha = sha_at(session, "train/melanoma/g0.jpg")
    assert resolve_sha256(session, sha_of("gone")) == sha_of("gone")
    for given in (sha[:8], sha.upper(), "train/melanoma/g0.jpg", "melanoma/g0.jpg", "src/train/melanoma/g0.jpg"):
        assert resolve_sha256(session, given) == sha
    with pytest.raises(CurationError) as fault:
        resolve_sha256(session, sha_of("gone")[:20])
    assert fault.value.code is ErrorCode.IMAGE_MISSING
    with pytest.raises(CurationError, match=r"g108\.jpeg") as fault:
        resolve_sha256(session, "g108.jpeg")
    assert "g108.jpg" in str(fault.value.hint)


def test_a_name_that_two_files_share_is_refused_unless_they_are_the_same(session, monkeypatch):
    """Two rows of the same bytes are one file; of others the message gives each with its digits."""
    assert resolve_sha256(session, "g0.jpg") == sha_at(session, "train/nevus/g0.jpg")
    one, two = sha_at(session, "train/healthy/g100.jpg"), sha_at(session, "train/healthy/g108.jpg")
    renamed = session.manifest.rows.with_columns(path=pl.col("path").str.replace("healthy/g100.jpg", "other/g108.jpg"))
    monkeypatch.setattr(type(session), "manifest", session.manifest.with_rows(renamed))
    with pytest.raises(CurationError, match=r"g108\.jpg") as fault:
        resolve_sha256(session, "g108.jpg")
    assert fault.value.code is ErrorCode.IMAGE_AMBIGUOUS
    assert f"({one[:12]})" in fault.value.message
    assert f"({two[:12]})" in fault.value.message


def test_a_file_that_was_never_read_cannot_be_decided_on(session, monkeypatch):
    """It has no sha256 by which the ledger could know it; the message says why it was not read."""
    rows = session.manifest.rows.with_columns(
        sha256=pl.when(pl.col("path") == "train/healthy/g108.jpg").then(None).otherwise("sha256"),
        excluded_by=pl.lit("ingest"),
        reason=pl.lit("encrypted"),
    )
    monkeypatch.setattr(type(session), "manifest", session.manifest.with_rows(rows))
    with pytest.raises(CurationError, match=r"g108\.jpg .*\(ingest: encrypted\)"):
        resolve_sha256(session, "train/healthy/g108.jpg")


def test_tags_become_decisions_once(session, home, tmp_path):
    """By sha256, by the source's file or by the published one; what means nothing is told; twice changes nothing."""
    rows = session.manifest.rows
    kept = rows.filter(pl.col("file").is_not_null()).row(0, named=True)
    published = home.build("tiny", 1) / kept["file"]
    source = tmp_path / "copy.jpg"
    source.write_bytes(next((home.datasets.parent).glob("copy*"), published).read_bytes())
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(b"nothing of ours")
    one = sha_at(session, "train/melanoma/g5.jpg")
    samples = [
        (one, "/elsewhere/a.jpg", ["exclude:ruler", "nice"]),
        ("", str(published), ["context:nevus"]),
        ("", str(source), ["relabel:melanoma"]),
        ("", str(stranger), ["keep"]),
        ("", "/nowhere/at/all.jpg", ["melanoma"]),
    ]
    tagged = import_tags(session, samples)
    said = {(line.action, line.sha256, line.label, line.reason) for line in tagged.decisions}
    assert said == {
        ("exclude", one, "", "ruler"),
        ("relabel", kept["sha256"], "context:nevus", ""),
        ("relabel", kept["sha256"], "melanoma", ""),
    }
    assert [note.split(" is tagged")[0] for note in tagged.notes[1:]] == ["/nowhere/at/all.jpg", str(stranger)]
    assert "'nice'" in tagged.notes[0]
    append_decisions(session.ledger_path, tagged.decisions)
    assert import_tags(session, samples).decisions == ()


def test_the_columns_are_the_ledgers_fields():
    """A field the table did not know would be lost on the way."""
    full = Decision("relabel", sha_of("a"), "anna", "2026-11-24T10:00:00Z", label="x", reason="y", tool="z")
    assert set(json.loads(full.as_json())) <= set(COLUMNS)
    assert next(csv.reader(io.StringIO(export_csv([full])))) == list(COLUMNS)
