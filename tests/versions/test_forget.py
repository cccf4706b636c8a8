"""Removing on request: everything that holds an image goes, and it stays out when it comes again."""

import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from curation import Options, build, diff
from curation.cli import main
from curation.dataset.decisions import Decision, append_decisions, read_ledger
from curation.dataset.forgotten import read_forgotten, salt_path
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.storage.cache import Cache
from curation.versions import Home, forget, load, plan_forget, published
from curation.versions.decided import read_decided, write_decided
from tests.builders import as_bytes, texture

RECIPE = """
title = "Gestures"
[[sources]]
name = "src"
kind = "folder"
path = "{path}"
pattern = '(?P<label>[^/]+)/[^/]+$'
group = '(subject-\\d+)/'
[labels.classes]
fist = ["fist"]
open = ["open"]
[selection.ratios]
train = 0.8
test = 0.2
"""


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Return a published set of ten subjects, four images each, in a folder of the user."""
    monkeypatch.setenv("CURATION_CONFIG", str(tmp_path / "config"))
    home = Home(tmp_path / "datasets")
    (home.datasets / "hands").mkdir(parents=True)
    for subject in range(10):
        for number in range(4):
            folder = tmp_path / "images" / f"subject-{subject}" / ("fist", "open")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.jpg").write_bytes(as_bytes(texture(10 * subject + number)))
    (home.datasets / "hands" / "recipe.toml").write_text(RECIPE.format(path=(tmp_path / "images").as_posix()))
    options = Options(home=home, cache=Cache(tmp_path / "cache"), engine=Local(1))
    build("hands", options)
    return options


def shas_of(options: Options, subject: str) -> list[str]:
    """Return the sha256 of a subject's images."""
    rows = load(options.home, "hands").manifest.rows
    return rows.filter(pl.col("path").str.starts_with(f"{subject}/"))["sha256"].to_list()


def everything_with(root: Path, words: list[str]) -> list[str]:
    """Return the files below a folder whose name or content has one of the words."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    found = [path for path in files if any(word in path.name or word.encode() in path.read_bytes() for word in words)]
    return [path.relative_to(root).as_posix() for path in found]


def test_a_person_is_forgotten(hands: Options, tmp_path: Path) -> None:
    """Versions are withdrawn, caches, decisions and runs are cleared, and the next build leaves the images out."""
    home, shas = hands.home, shas_of(hands, "subject-7")
    ledger = home.dataset("hands") / "decisions.jsonl"
    others = shas_of(hands, "subject-3")
    append_decisions(ledger, [Decision("keep", sha, "anna", "2026-11-24T10:00:00Z") for sha in (shas[0], others[0])])
    rows = [{"sha256": sha, "page": 1, "id": sha, "earlier": None} for sha in (shas[1], others[1])]
    decided = pl.DataFrame([*rows, {**rows[1], "sha256": "0" * 64, "earlier": f"{'1' * 64} {shas[2]}"}])
    write_decided(home.decided("hands"), decided.with_columns(image=pl.lit("i"), fingerprint=pl.lit("f")))
    runs = tmp_path / "runs"
    (runs / "r1").mkdir(parents=True)
    pl.DataFrame({"sha256": [*shas, *others], "score": [0.5] * 8}).write_parquet(runs / "r1" / "predictions.parquet")
    plan = plan_forget(home, "hands", globs=["subject-7/**"], cache=hands.cache, runs=runs)
    assert (len(plan.ids), plan.withdrawn) == (4, (1,))
    assert any(str(tmp_path / "images") in sentence and "subject-7" in sentence for sentence in plan.untouched)
    assert home.build("hands", 1).is_dir(), "a plan changes nothing"
    forget(home, plan)
    (line,) = published(home, "hands")
    assert line.withdrawn
    assert not home.build("hands", 1).exists()
    assert [decision.sha256 for decision in read_ledger(ledger)] == [others[0]]
    assert read_decided(home, "hands")["sha256"].to_list() == [others[1]]
    assert pl.read_parquet(runs / "r1" / "predictions.parquet")["sha256"].to_list() == others
    assert everything_with(home.datasets, shas) == []
    assert everything_with(hands.cache.root, shas) == []
    again = build("hands", hands)
    assert again.line is not None
    rows = again.manifest.rows
    struck = rows.filter(pl.col("reason") == "forgotten")
    assert struck.height == 4
    assert struck["sha256"].null_count() == 4
    assert set(struck["path"]) == {f"forgotten-{line.mark}" for line in read_forgotten(home.dataset("hands"))}
    assert not set(shas) & set(rows["sha256"].drop_nulls())
    assert everything_with(home.datasets, shas) == []
    with pytest.raises(CurationError) as caught:
        build("hands@v1", hands)
    assert caught.value.code is ErrorCode.VERSION_WITHDRAWN


def test_whoever_was_tested_stays_in_test(hands: Options) -> None:
    """The split of a withdrawn version still holds for the other images."""
    before = dict(load(hands.home, "hands").samples().select("sha256", "split").rows())
    (gone,) = {
        path.split("/")[0]
        for path in load(hands.home, "hands").samples().filter(pl.col("split") == "train")["path"].head(1)
    }
    forget(hands.home, plan_forget(hands.home, "hands", groups=[gone], cache=hands.cache))
    build("hands", hands)
    after = dict(load(hands.home, "hands").samples().select("sha256", "split").rows())
    assert all(before[sha] == split for sha, split in after.items() if before[sha] == "test")
    assert {sha for sha, split in before.items() if split == "test"} <= set(after)


def test_a_cached_archive_goes_whole(hands: Options, tmp_path: Path) -> None:
    """An archive in the cache cannot be edited: the copy that holds the image is deleted."""
    line = load(hands.home, "hands").description["archives"][0]
    copy = hands.cache.archive_path(line["sha256"])
    copy.parent.mkdir(parents=True)
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr("x", b"x")
    plan = plan_forget(hands.home, "hands", files=["subject-7/fist/0.jpg"], cache=hands.cache)
    assert copy in [each.path for each in plan.held if each.kind == "archive"]
    forget(hands.home, plan)
    assert not copy.exists()


def test_another_users_salt_is_reported(hands: Options) -> None:
    """Marks cannot be recognized without the salt they were made with, and the build states it."""
    forget(hands.home, plan_forget(hands.home, "hands", files=["subject-7/fist/0.jpg"], cache=hands.cache))
    salt_path().unlink()
    assert any("1 forgotten" in note for note in build("hands", hands).notes)


def test_the_command_lists_first_and_asks(
    hands: Options, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --yes nothing goes; --json prints the plan; an unknown name is an error."""
    monkeypatch.setenv("CURATION_DATASETS", str(hands.home.datasets))
    monkeypatch.setenv("CURATION_CACHE", str(hands.cache.root))
    assert main(["forget", "hands", "--glob", "subject-7/**", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 4
    assert hands.home.build("hands", 1).is_dir()
    assert main(["forget", "hands", "--glob", "nobody/**"]) == 1
    assert main(["forget", "hands"]) == 2
    assert main(["decide", "hands", "--exclude", "--glob", "subject-7/**", "--reason", "asked to be removed"]) == 0
    assert main(["decide", "hands", "--exclude", "--group", "subject-8", "--reason", "asked to be removed"]) == 0
    assert len(read_ledger(hands.home.dataset("hands") / "decisions.jsonl")) == 8
    assert main(["forget", "hands", "--glob", "subject-7/**", "--yes"]) == 0
    assert not hands.home.build("hands", 1).exists()


def test_a_table_may_name_files(hands: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of removals comes with names, paths or ids, not with digests."""
    monkeypatch.setenv("CURATION_DATASETS", str(hands.home.datasets))
    monkeypatch.setenv("CURATION_CACHE", str(hands.cache.root))
    for key, value in (
        ("path", "subject-1/fist/0.jpg"),
        ("id", "src/subject-2/fist/0.jpg"),
        ("file", "subject-3/fist/0.jpg"),
    ):
        table = tmp_path / f"{key}.csv"
        table.write_text(f"action,{key},reason\nexclude,{value},asked\n")
        assert main(["decide", "hands", "--import", str(table)]) == 0
    assert len(read_ledger(hands.home.dataset("hands") / "decisions.jsonl")) == 3
    build("hands", hands)
    changes = diff(hands.home, "hands@v1", "hands@v2").changes
    assert any("asked" in change.why for change in changes)
