"""The draft that a failed build leaves."""

import json

import pytest

from curation.errors import CurationError, ErrorCode
from curation.versions import drop_draft, locked, open_draft, write_draft
from tests.versions.builders import make_home, make_manifest, make_rows


def test_a_draft_holds_the_manifest_the_reason_and_the_texts(tmp_path):
    """What show, explain and review need of a failed build is in its draft."""
    home = make_home(tmp_path)
    manifest = make_manifest(make_rows())
    with locked(home, "squares") as held:
        folder = write_draft(
            held,
            manifest,
            stage="select",
            fault=CurationError(ErrorCode.COUNT_SHORT, "too few", hint="more"),
            texts={"recipe.toml": b"a", "decisions.jsonl": b""},
        )
    assert folder == home.draft("squares")
    assert sorted(path.name for path in folder.iterdir()) == [
        "decisions.jsonl",
        "draft.json",
        "manifest.parquet",
        "recipe.toml",
    ]
    draft = open_draft(home, "squares")
    assert draft.manifest.rows.equals(manifest.rows)
    assert json.loads((folder / "draft.json").read_text()) == {
        "name": "squares",
        "stage": "select",
        "code": "count-short",
        "reason": "too few",
        "hint": "more",
        "rows": 7,
    }


def test_the_newest_draft_replaces_the_older_one_whole(tmp_path):
    """Nothing of an older draft is left in the new one."""
    home = make_home(tmp_path)
    with locked(home, "squares") as held:
        write_draft(
            held,
            make_manifest(make_rows()),
            stage="select",
            fault=CurationError(ErrorCode.COUNT_SHORT, "one"),
            texts={"lock.json": b"{}"},
        )
        folder = write_draft(
            held, make_manifest(make_rows(salt="b")), stage="dedup", fault=CurationError(ErrorCode.COUNT_SHORT, "two")
        )
        assert sorted(path.name for path in folder.iterdir()) == ["draft.json", "manifest.parquet"]
        assert open_draft(home, "squares").reason == "two"
        assert sorted(path.name for path in home.builds("squares").iterdir()) == [".lock", ".lock.owner", "draft"]
        drop_draft(held)
        drop_draft(held)
    assert not folder.exists()


def test_a_draft_that_cannot_be_written_keeps_the_older_one(tmp_path):
    """A failure on the way leaves the draft that was there."""
    home = make_home(tmp_path)
    with locked(home, "squares") as held:
        write_draft(held, make_manifest(make_rows()), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "one"))
        with pytest.raises(FileNotFoundError):
            write_draft(
                held,
                make_manifest(make_rows()),
                stage="select",
                fault=CurationError(ErrorCode.COUNT_SHORT, "two"),
                texts={"no/such": b""},
            )
    assert open_draft(home, "squares").reason == "one"
    assert sorted(path.name for path in home.builds("squares").iterdir()) == [".lock", "draft"]
