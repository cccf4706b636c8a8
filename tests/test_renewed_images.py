"""Images whose files have new bytes keep split and decisions; those that vanished are named; a plan shows it all."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curation import Home, Options, build, diff, verify
from curation.cli.build import list_lost
from curation.dataset.decisions import Decision, append_decisions
from curation.engines import Local
from curation.hashing import pack_thumbnails, sha256_hex, unpack_thumbnails
from curation.images import hash_coded_image
from curation.pipeline import Built, restore
from curation.storage.cache import Cache
from curation.versions import read_decided
from curation.versions.version_index import read_split
from tests.builders import as_bytes, texture, tiny_images, write_recipe, write_source
from tests.test_pipeline import run_cli


def make(folder: Path) -> Options:
    """Write ten images of two classes and a recipe of 6 and 2 of each, and return options."""
    write_recipe(folder / "datasets", images=write_source(folder / "images", tiny_images()))
    return Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(1))


def edit(path: Path) -> None:
    """Add a comment to a JPEG: other bytes, the same coded image."""
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xfe\x00\x08edited" + content[2:])


def places(built: Built) -> dict[str, str]:
    """Return path -> split/label of what was chosen."""
    kept = built.manifest.kept.select("path", pl.format("{}/{}", "split", "label"))
    return dict(kept.iter_rows())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one published version, to be copied."""
    folder = tmp_path_factory.mktemp("renewed") / "first"
    folder.mkdir()
    build("tiny", make(folder))
    return folder


@pytest.fixture
def home(first: Path, tmp_path: Path) -> Path:
    """Return a fresh clone of the published version: git's texts and the sources, without built files."""
    shutil.copytree(first, tmp_path / "clone", ignore=shutil.ignore_patterns("builds"))
    recipe = tmp_path / "clone/datasets/tiny/recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(first / "images"), str(tmp_path / "clone/images")))
    return tmp_path / "clone"


def options_of(folder: Path) -> Options:
    """Return options for a folder that exists."""
    return Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(1))


def test_a_metadata_edit_of_every_file_moves_nothing(home: Path) -> None:
    """The same coded images under other bytes keep split and label, by git's text alone, and the build counts them."""
    options = options_of(home)
    before = places(build("tiny", options))
    for path in (home / "images").rglob("*.jpg"):
        edit(path)
    after = build("tiny", options)
    assert places(after) == before
    assert {each.how for each in after.summary.renewed} == {"pixels"}
    assert len(after.summary.renewed) == 16
    assert not after.summary.vanished
    assert not after.summary.unclear
    assert any("16 images have new bytes" in line for line in list_lost(after.summary, verbose=False))
    assert after.line is not None
    assert after.line.version == 2
    found = diff(options.home, "tiny@v1", "tiny@v2")
    assert (found.changes, found.unchanged) == ((), 16)
    assert verify(options.home, "tiny@v2").problems == ()
    assert build("tiny", options).outcome == "unchanged"


def test_an_image_that_was_encoded_again_is_found_as_the_same_image(home: Path) -> None:
    """Other coded bytes, smaller and of another quality: the thumbnail in git recognizes it."""
    options = options_of(home)
    before = places(build("tiny", options))
    tested = sorted(path for path, place in before.items() if place.startswith("test"))
    for path in tested:
        with Image.open(home / "images" / path) as image:
            image.resize((80, 80), Image.Resampling.LANCZOS).save(home / "images" / path, quality=90)
    after = build("tiny", options)
    assert places(after) == before
    assert [each.how for each in after.summary.renewed] == ["same image"] * len(tested)


def test_decisions_hold_for_the_new_bytes_in_every_later_version(home: Path) -> None:
    """A relabel of the old file labels the new one, also in the version after the next."""
    options = options_of(home)
    path = next(path for path, place in places(build("tiny", options)).items() if place == "train/melanoma")
    sha = sha256_hex((home / "images" / path).read_bytes())
    decision = Decision("relabel", sha, "anna", "2026-12-01T00:00:00Z", label="healthy", reason="clear skin")
    append_decisions(home / "datasets/tiny/decisions.jsonl", [decision])
    before = places(build("tiny", options))
    for name in ("melanoma/m0.jpg", path):
        edit(home / "images" / name)
    for _ in range(2):
        after = build("tiny", options)
        assert places(after) == before
        row = after.manifest.rows.row(by_predicate=pl.col("path") == path, named=True)
        assert (row["label"], row["earlier_sha256"]) == ("healthy", sha)
        edit(home / "images" / "healthy/h0.jpg")
    assert not any("a decision is about" in note for note in after.notes)


def test_an_exclusion_holds_for_new_bytes_in_every_later_version(home: Path) -> None:
    """A version does not contain the image, so git's text has it next to the splits, until the decision is undone."""
    options = options_of(home)
    path = next(path for path, place in places(build("tiny", options)).items() if place == "train/melanoma")
    sha = sha256_hex((home / "images" / path).read_bytes())
    ledger, decided = home / "datasets/tiny/decisions.jsonl", home / "datasets/tiny/versions/decided.csv"
    append_decisions(ledger, [Decision("exclude", sha, "anna", "2026-12-01T00:00:00Z", reason="marked")])
    before = places(build("tiny", options))
    assert path not in before
    assert read_decided(options.home, "tiny")["sha256"].to_list() == [sha]
    for _ in range(2):
        edit(home / "images" / path)
        after = build("tiny", options)
        assert places(after) == before
        row = after.manifest.rows.row(by_predicate=pl.col("path") == path, named=True)
        assert (row["excluded_by"], row["earlier_sha256"].split(" ")[0]) == ("decide", sha)
        assert [each.id for each in after.summary.renewed] == [f"src/{path}"]
        assert not any("a decision is about" in note for note in after.notes)
    content = (home / "images" / path).read_bytes()
    (home / "images" / path).unlink()
    assert build("tiny", options).summary.vanished == {}
    (home / "images" / path).write_bytes(content)
    edit(home / "images" / path)
    assert places(build("tiny", options)) == before
    append_decisions(ledger, [Decision("undo", sha, "anna", "2026-12-01T01:00:00Z")])
    build("tiny", options)
    assert not decided.exists()


def test_of_two_candidates_neither_is_taken_and_the_build_says_so(home: Path) -> None:
    """Two new files with the pixels of a tested one, none with its path: its place is not guessed."""
    options = options_of(home)
    tested = next(path for path, place in places(build("tiny", options)).items() if place == "test/melanoma")
    path = home / "images" / tested
    edit(path)
    copy = path.with_name("copy.jpg")
    shutil.copy(path, copy)
    edit(copy)
    path.rename(path.with_name("another.jpg"))
    after = build("tiny", options, dry_run=True)
    assert [each.id for each in after.summary.unclear] == [f"src/{tested}"]
    assert len(after.summary.unclear[0].candidates) == 2
    assert not after.summary.renewed
    assert any("could be several new files" in line for line in list_lost(after.summary, verbose=False))


def test_of_two_candidates_the_file_with_the_same_path_is_the_image(home: Path) -> None:
    """A tested image whose copy was excluded as its duplicate keeps its place when all files are edited."""
    options = options_of(home)
    kept = places(build("tiny", options))
    tested = next(path for path, place in kept.items() if place == "test/melanoma")
    copy = home / "images/melanoma/a copy.jpg"
    shutil.copy(home / "images" / tested, copy)
    edit(copy)
    assert places(build("tiny", options)) == kept
    for path in (home / "images").rglob("*.jpg"):
        edit(path)
    after = build("tiny", options, dry_run=True)
    assert places(after) == kept
    assert not after.summary.unclear
    assert {each.id for each in after.summary.renewed} == {each.now_id for each in after.summary.renewed}


def test_a_tested_image_that_comes_back_after_a_version_without_it_is_still_held_out(home: Path) -> None:
    """The version before does not have it, and the one before that does."""
    options = options_of(home)
    tested = sorted(path for path, place in places(build("tiny", options)).items() if place.startswith("test/"))
    assert len(tested) == 4
    away = [path for path in tested if path.startswith("melanoma")]
    for path in away:
        shutil.move(home / "images" / path, home / Path(path).name)
    without = places(build("tiny", options))
    assert not set(away) & set(without)
    for path in away:
        shutil.move(home / Path(path).name, home / "images" / path)
    after = build("tiny", options, dry_run=True)
    lies = dict(after.manifest.rows.select("path", pl.coalesce("split", "detail")).iter_rows())
    assert {lies[path] for path in away} == {"test"}


def test_two_files_of_the_same_new_bytes_are_one_candidate(home: Path) -> None:
    """A file that is there twice, byte for byte, is no ambiguity."""
    options = options_of(home)
    tested = next(path for path, place in places(build("tiny", options)).items() if place == "test/melanoma")
    edit(home / "images" / tested)
    shutil.copy(home / "images" / tested, home / "images" / "melanoma/a copy.jpg")
    after = build("tiny", options, dry_run=True)
    assert len(after.summary.renewed) == 1
    assert not after.summary.unclear


def test_what_vanished_is_the_first_remark_by_name_and_in_json(home: Path) -> None:
    """A fresh clone names the files that its sources no longer contain, and a dry run what follows."""
    gone = ["healthy/h1.jpg", "melanoma/m1.jpg", "melanoma/m2.jpg"]
    before = read_split(home / "datasets/tiny/versions/v1.csv")
    for name in gone:
        (home / "images" / name).unlink()
    named = sorted(set(before["id"]) & {f"src/{name}" for name in gone})
    run = run_cli(home, "build", "tiny", "--dry-run", "--json", "--fail-on-change", "--workers", "1")
    answer = json.loads(run.stdout)
    assert run.returncode == 3
    assert answer["summary"]["vanished"] == {"src": named}
    assert answer["would_change"]
    assert {each["before"] for each in answer["plan"]["removed"]}
    text = run_cli(home, "build", "tiny", "--dry-run", "--workers", "1")
    assert text.returncode == 0
    remarks = [line for line in text.stdout.splitlines() if line.startswith("- ")]
    assert f"src: {len(named)} image" in remarks[0]
    assert not (home / "datasets/builds").exists()


def test_a_dry_run_where_nothing_changes_ends_with_zero(home: Path) -> None:
    """Also with the flag that makes a change fail; before the first version, everything is a change."""
    run = run_cli(home, "build", "tiny", "--dry-run", "--fail-on-change", "--json", "--workers", "1")
    answer = json.loads(run.stdout)
    assert run.returncode == 0
    assert not answer["would_change"]
    assert answer["plan"]["unchanged"] == 16
    for text in ("versions.jsonl", "versions/v1.csv"):
        (home / "datasets/tiny" / text).unlink()
    unpublished = build("tiny", options_of(home), dry_run=True)
    assert (unpublished.would_change, unpublished.plan) == (True, None)


def test_a_split_without_further_columns_is_read_and_followed(home: Path) -> None:
    """Versions of 0.1.0 have five columns: their images keep their split, and a vanished one is counted."""
    path = home / "datasets/tiny/versions/v1.csv"
    table = read_split(path)
    table.select("sha256", "page", "label", "split", "group").write_csv(path, line_terminator="\n")
    assert build("tiny", options_of(home), dry_run=True).would_change is False
    gone = table.row(0, named=True)
    (home / "images" / gone["id"].removeprefix("src/")).unlink()
    found = build("tiny", options_of(home), dry_run=True).summary.vanished
    assert found == {"unknown source": (gone["sha256"],)}


def test_a_row_of_the_split_stays_small(home: Path) -> None:
    """An image hash and a fingerprint take less than a kilobyte in git."""
    table = read_split(home / "datasets/tiny/versions/v1.csv")
    added = table.select(pl.col("image").str.len_bytes() + pl.col("fingerprint").str.len_bytes())
    assert added.to_series().max() < 1000


def test_a_packed_thumbnail_is_near_the_thumbnail() -> None:
    """Five bits of the image's own range; a broken text is a black thumbnail, which matches nothing."""
    random = np.random.default_rng(1)
    thumbnails = np.stack([random.integers(low, low + 60, (32, 32), dtype=np.uint8) for low in (0, 90, 190)])
    thumbnails[0] = 7
    again = unpack_thumbnails(pack_thumbnails(thumbnails))
    assert np.abs(again.astype(int) - thumbnails).max() <= 1
    assert unpack_thumbnails([None, "?", "QUJD"]).max() == 0


def test_metadata_does_not_change_the_hash_of_a_coded_image() -> None:
    """EXIF, comments and profiles come and go; another quality is another coded image."""
    plain = as_bytes(texture(1))
    exif = Image.Exif()
    exif[0x010E] = "edited"
    block = exif.tobytes()
    edited = plain[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + plain[2:] + b"after its end"
    assert dict(Image.open(io.BytesIO(edited)).getexif()) == {0x010E: "edited"}
    assert hash_coded_image(edited) == hash_coded_image(plain)
    assert hash_coded_image(as_bytes(texture(1), quality=60)) != hash_coded_image(plain)
    assert hash_coded_image(b"\xff\xd8 broken") is None


def test_a_restored_version_names_images_that_are_read_otherwise(home: Path) -> None:
    """Of the same bytes, a decoder of today may give other pixels than the one that published them."""
    path = home / "datasets/tiny/versions/v1.csv"
    table = read_split(path)
    black = pack_thumbnails(np.zeros((1, 32, 32), np.uint8))[0]
    first = pl.col("id") == table["id"][0]
    table.with_columns(fingerprint=pl.when(first).then(pl.lit(black)).otherwise("fingerprint")).write_csv(path)
    notes = restore("tiny@v1", options_of(home)).notes
    assert [note for note in notes if "other pixels" in note and str(table["id"][0]) in note]
    assert not any(str(table["id"][1]) in note for note in notes)
