"""Every kind of tampering is found from the files alone."""

import hashlib
import io
import json
import os
import re
import shutil

import polars as pl
import pytest
from PIL import Image

from curation.dataset.manifest import Manifest, content_digest
from curation.errors import CurationError
from curation.versions import Home, check_folder, check_present, load, published, verify
from curation.versions.describe import write_sums, write_tables
from tests.versions.builders import make_home, make_recipe, make_rows, publish, sha


@pytest.fixture
def home(tmp_path) -> Home:
    """Return a home with one published version."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    return home


def picture_of(folder, split="train", label="dark"):
    """Return the first picture of a split and class."""
    return sorted((folder / "images" / split / label).glob("*.jpg"))[0]


def edit_json(path, **changes):
    """Change fields of a JSON file by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_manifest(folder, *changes, sums=True):
    """Change the manifest as somebody would who wants it to look untouched: with fitting checksums."""
    manifest = Manifest.read(folder / "manifest.parquet")
    Manifest(manifest.rows.with_columns(*changes)).write(folder / "manifest.parquet")
    if sums:
        write_sums(folder)


def first(column, value, of="dark-train-0"):
    """Return an expression that changes one cell."""
    return pl.when(pl.col("id") == f"drawn/{of}.png").then(value).otherwise(pl.col(column)).alias(column)


def test_a_published_version_is_whole(home):
    """Nothing is found in an untouched version, and the check says how much it looked at."""
    found = verify(home, "squares@v1")
    assert (found.problems, found.notes) == ((), ())
    files = [path for path in home.build("squares", 1).rglob("*") if path.is_file()]
    assert found.checked == {
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "pictures": 6,
        "rows": 7,
        "groups": 6,
    }
    assert str(found).startswith(f"{home.build('squares', 1)}: whole")
    assert json.loads(json.dumps(found.as_json()))["problems"] == []


def _flip_a_bit(folder, home):
    path = picture_of(folder)
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)


def _cut_a_picture(folder, home):
    path = picture_of(folder)
    path.write_bytes(path.read_bytes()[:-2])


def _remove_a_picture(folder, home):
    picture_of(folder).unlink()


def _swap_two_pictures(folder, home):
    one, other = sorted((folder / "images/train/dark").glob("*.jpg"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _add_a_picture(folder, home):
    shutil.copy(picture_of(folder), folder / "images/train/dark/extra.jpg")


def _move_a_picture(folder, home):
    path = picture_of(folder)
    path.rename(folder / "images/train/pale" / path.name)


def _link_a_picture(folder, home):
    path = picture_of(folder)
    moved = home.datasets / "elsewhere.jpg"
    path.rename(moved)
    path.symlink_to(moved)


def _edit_the_card(folder, home):
    (folder / "CARD.md").write_text("# Better than it is\n")


def _edit_the_metadata(folder, home):
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace(",dark,", ",pale,", 1))
    write_sums(folder)


def _edit_a_splits_metadata(folder, home):
    path = folder / "images/test/metadata.csv"
    path.write_text("file_name\n")
    write_sums(folder)


def _remove_the_sums(folder, home):
    (folder / "SHA256SUMS").unlink()


def _edit_the_sums(folder, home):
    path = folder / "SHA256SUMS"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["garbage", *lines[1:], f"{sha(1)}  ghost.txt"]) + "\n")


def _break_the_manifest(folder, home):
    (folder / "manifest.parquet").write_bytes(b"PAR1")


def _remove_the_manifest(folder, home):
    (folder / "manifest.parquet").unlink()


def _remove_the_description(folder, home):
    (folder / "version.json").unlink()


def _empty_the_description(folder, home):
    edit_json(folder / "version.json", digest=None)
    write_sums(folder)


def _change_the_counts(folder, home):
    edit_json(folder / "version.json", counts={"train": {"dark": 430}}, kept=430)
    write_sums(folder)


def _change_the_line(folder, home):
    edit_json(home.lines("squares"), kept=7, rendering={})


def _change_the_lines_content(folder, home):
    edit_json(home.lines("squares"), content_digest=sha(1))


def _move_a_row_of_the_split(folder, home):
    path = home.split("squares", 1)
    path.write_text(path.read_text().replace(",test,", ",train,", 1))


def _remove_the_split(folder, home):
    home.split("squares", 1).unlink()


def _relabel_in_the_manifest(folder, home):
    edit_manifest(folder, first("label", pl.lit("pale")))


def _name_a_class_that_is_none(folder, home):
    edit_manifest(folder, first("label", pl.lit("grey")))


def _lose_a_reason(folder, home):
    edit_manifest(folder, first("reason", pl.lit("because"), of="left-out"))


def _revive_an_excluded_row(folder, home):
    edit_manifest(folder, first("excluded_by", pl.lit(None), of="left-out"))


def _drop_an_excluded_row(folder, home):
    manifest = Manifest.read(folder / "manifest.parquet")
    Manifest(manifest.kept).write(folder / "manifest.parquet")
    write_sums(folder)


def _dispute_a_kept_row(folder, home):
    edit_manifest(folder, first("disputed", pl.lit(value=True)))


def _dispute_a_test_row(folder, home):
    true = pl.lit(value=True)
    edit_manifest(folder, first("disputed", true, of="dark-test-0"), first("reserve", true, of="dark-test-0"))


def _put_a_group_on_two_sides(folder, home):
    edit_manifest(folder, first("group", pl.lit(sha("dark-test-0"))))


def _publish_one_file_twice(folder, home):
    edit_manifest(folder, first("sha256", pl.lit(sha("dark-train-1"))))


def _add_exif(folder, home):
    """Write EXIF into a picture and make every checksum fit."""
    path = picture_of(folder)
    exif = Image.Exif()
    exif[0x010E] = "patient 17"
    with Image.open(path) as image:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=95, exif=exif)
    republish(folder, path, out.getvalue())


def _add_a_comment(folder, home):
    path = picture_of(folder)
    content = path.read_bytes()
    republish(folder, path, content[:2] + b"\xff\xfe\x00\x06note" + content[2:])


def _hide_bytes_behind_the_picture(folder, home):
    path = picture_of(folder)
    republish(folder, path, path.read_bytes() + b"GPS 52.5 13.4")


def _publish_what_is_no_jpeg(folder, home):
    republish(folder, picture_of(folder), b"\x89PNG\r\n")


def republish(folder, path, content):
    """Replace a picture so that manifest, description and checksums agree with it."""
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    manifest = Manifest.read(folder / "manifest.parquet")
    file = path.relative_to(folder).as_posix()
    changed = pl.when(pl.col("file") == file).then(pl.lit(digest)).otherwise(pl.col("file_sha256"))
    manifest = manifest.with_columns(file_sha256=changed)
    description = json.loads((folder / "version.json").read_text())
    write_tables(folder, manifest, {**description, "content_digest": content_digest(manifest.kept)})
    write_sums(folder)


def _change_the_recipe(folder, home):
    path = folder / "recipe.toml"
    path.write_text(path.read_text().replace("train = 2", "train = 3").replace('pale = ["pale"]', 'grey = ["pale"]'))
    write_sums(folder)


PICTURE = r"images/train/dark/[0-9a-f]{12}\.jpg"
TAMPERING = {
    _flip_a_bit: [rf"{PICTURE}: changed: its sha256 is \w+, the manifest says \w+"],
    _cut_a_picture: [rf"{PICTURE}: changed:", rf"{PICTURE}: not a whole JPEG \(truncated\)"],
    _remove_a_picture: [rf"{PICTURE}: missing"],
    _swap_two_pictures: [rf"{PICTURE}: changed:", rf"{PICTURE}: changed:"],
    _add_a_picture: [r"images/train/dark/extra\.jpg: no file of this version"],
    _move_a_picture: [rf"{PICTURE}: missing", r"images/train/pale/\w+\.jpg: no file of this version"],
    _link_a_picture: [rf"{PICTURE}: a symbolic link"],
    _edit_the_card: [r"CARD\.md: changed: its sha256 is \w+, SHA256SUMS says \w+"],
    _edit_the_metadata: [r"metadata\.csv: does not say what the manifest says"],
    _edit_a_splits_metadata: [r"images/test/metadata\.csv: does not say what the manifest says"],
    _remove_the_sums: [r"SHA256SUMS: missing", *[r".*: not in SHA256SUMS"] * 13],
    _edit_the_sums: [r"SHA256SUMS: line 1 is no checksum", r"CARD\.md: not in SHA256SUMS", r"ghost\.txt: missing"],
    _break_the_manifest: [r".*manifest\.parquet: not a readable manifest", r"manifest\.parquet: changed"],
    _remove_the_manifest: [r".*manifest\.parquet: there is no manifest", r"manifest\.parquet: missing"],
    _remove_the_description: [r".*version\.json: missing", r"version\.json: missing"],
    _empty_the_description: [
        r"version\.json: 'digest' is missing",
        r"version\.json: digest is null, versions\.jsonl says \w+",
    ],
    _change_the_counts: [
        r'version\.json: counts is \{"train":\{"dark":430\}\}, the manifest gives',
        r"version\.json: kept is 430, the manifest gives 6",
        r"version\.json: counts is .* versions\.jsonl says",
        r"version\.json: kept is 430, versions\.jsonl says 6",
        *[r"version\.json: (train|test) has \d+ (dark|pale), the recipe asks for \d"] * 4,
    ],
    _change_the_line: [
        r"version\.json: kept is 6, versions\.jsonl says 7",
        r"version\.json: rendering is .*, versions\.jsonl says \{\}",
    ],
    _change_the_lines_content: [r"version\.json: content_digest is \w+, versions\.jsonl says \w+ by the same encoder"],
    _move_a_row_of_the_split: [
        r".*v1\.csv: 1 of its rows are not in the manifest, 1 rows of the manifest are not in it"
    ],
    _remove_the_split: [r".*v1\.csv: the published split is missing"],
    _relabel_in_the_manifest: [
        r"manifest: drawn/dark-train-0\.png is published as images/train/dark/.*, its .* say images/train/pale",
        r"version\.json: digest is",
        r"version\.json: content_digest is",
        r"version\.json: counts is",
        r"metadata\.csv: does not say",
        r"images/train/metadata\.csv: does not say",
        r".*v1\.csv: 1 of its rows",
    ],
    _name_a_class_that_is_none: [
        r"manifest: drawn/dark-train-0\.png is kept as 'grey', which is no class",
        r"manifest: drawn/dark-train-0\.png is published as",
        r"version\.json: digest is",
        r"version\.json: content_digest is",
        r"version\.json: counts is",
        r"metadata\.csv: does not say",
        r"images/train/metadata\.csv: does not say",
        r".*v1\.csv: 1 of its rows",
    ],
    _lose_a_reason: [
        r"manifest: drawn/left-out\.png is excluded without a known step and reason \('select', 'because'\)"
    ],
    _revive_an_excluded_row: [
        *[
            rf"manifest: drawn/left-out\.png is kept without a {cell}"
            for cell in ("label", "split", "file", "file_sha256")
        ],
        r"version\.json: kept is 6, the manifest gives 7",
        r"metadata\.csv: does not say",
        r".*v1\.csv: 0 of its rows are not in the manifest, 1 rows of the manifest are not in it",
    ],
    _drop_an_excluded_row: [r"version\.json: rows is 7, the manifest gives 6"],
    _dispute_a_kept_row: [r"manifest: drawn/dark-train-0\.png is disputed and kept, but not as reserve"],
    _dispute_a_test_row: [
        r"manifest: drawn/dark-test-0\.png is reserve in test; disputed pictures may be in train only",
        r"version\.json: reserve is 0, the manifest gives 1",
    ],
    _put_a_group_on_two_sides: [
        r"manifest: group \w{12} straddles test and train",
        r"metadata\.csv: does not say",
        r"images/train/metadata\.csv: does not say",
        r".*v1\.csv: 1 of its rows",
    ],
    _publish_one_file_twice: [
        r"manifest: sha256 \w{12}, page 1, is kept 2 times: drawn/dark-train-0\.png, drawn/dark-train-1\.png",
        r"manifest: drawn/dark-train-0\.png is published as",
        r"version\.json: digest is",
        r"metadata\.csv: does not say",
        r"images/train/metadata\.csv: does not say",
        r".*v1\.csv: 1 of its rows",
    ],
    _add_exif: [rf"{PICTURE}: carries metadata: APP1 'Exif'", r"version\.json: content_digest .* by the same encoder"],
    _add_a_comment: [
        rf"{PICTURE}: carries metadata: a comment",
        r"version\.json: content_digest .* by the same encoder",
    ],
    _hide_bytes_behind_the_picture: [
        rf"{PICTURE}: carries metadata: bytes that are no part of the picture",
        r"version\.json: content_digest .* by the same encoder",
    ],
    _publish_what_is_no_jpeg: [
        rf"{PICTURE}: not a whole JPEG",
        r"version\.json: content_digest .* by the same encoder",
    ],
    _change_the_recipe: [
        r"version\.json: classes \['dark', 'pale'\], the recipe has \['dark', 'grey'\]",
        r"version\.json: train has 2 dark, the recipe asks for 3",
        r"version\.json: train has 0 grey, the recipe asks for 3",
        r"version\.json: test has 0 grey, the recipe asks for 1",
    ],
}


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__.lstrip("_"))
def test_what_a_hand_changed_is_found(home, tamper):
    """Each kind of tampering gives its own problems, all of them in one run, and no others."""
    tamper(home.build("squares", 1), home)
    problems = list(verify(home, "squares").problems)
    wanted = list(TAMPERING[tamper])
    for pattern in list(wanted):
        found = next((problem for problem in problems if re_match(pattern, problem)), None)
        assert found is not None, f"{pattern} is not among {problems}"
        problems.remove(found)
    assert problems == []


def re_match(pattern, text):
    """Return whether ``text`` begins as ``pattern`` says."""
    return re.match(pattern, text, re.DOTALL)


def test_several_faults_are_told_in_one_run(home):
    """A missing picture, an extra file and a changed card are three problems of one check."""
    folder = home.build("squares", 1)
    _remove_a_picture(folder, home)
    _add_a_picture(folder, home)
    _edit_the_card(folder, home)
    found = verify(home, "squares")
    assert len(found.problems) == 3
    assert f"{folder}: 3 problems" in str(found)


def test_a_damaged_version_says_how_it_is_made_again(home):
    """The problems were named and nothing said what to do about them."""
    folder, split = home.build("squares", 1), home.split("squares", 1)
    assert verify(home, "squares").hint is None
    said = split.read_bytes()
    split.write_bytes(said + said.splitlines(keepends=True)[-1])
    assert verify(home, "squares").hint == f"take {split} back from git"
    split.write_bytes(said)
    picture_of(folder).unlink()
    found = verify(home, "squares")
    assert str(found).splitlines()[0] == f"{folder}: 1 problem"
    assert str(found).splitlines()[-1] == f"hint: {found.hint}"
    assert f"move or delete the folder {folder}, then `python -m curation build squares@v1`" in (found.hint or "")
    assert found.as_json()["hint"] == found.hint


def _touch(path):
    """Give a file the moment after now, as an edit does."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: picture_of(folder).unlink(), ".jpg: missing"),
        (lambda folder: picture_of(folder).write_bytes(b""), ".jpg: changed since"),
        (lambda folder: (folder / "metadata.csv").write_text("edited"), "metadata.csv: changed since"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS: missing"),
        (lambda folder: (folder / "SHA256SUMS").write_text("x\n"), "line 1 is no checksum"),
    ],
)
def test_damage_is_seen_without_reading_the_pictures(home, damage, says):
    """What is missing or was written to is named with the way out; a file only touched is whole."""
    folder, (line,) = home.build("squares", 1), published(home, "squares")
    _touch(picture_of(folder))
    check_present(home, "squares", line)
    damage(folder)
    for path in (folder / "metadata.csv", *folder.rglob("*.jpg")):
        _touch(path)
    with pytest.raises(CurationError, match=re.escape(says)) as caught:
        check_present(home, "squares", line)
    assert "python -m curation build squares@v1" in (caught.value.hint or "")


def test_absent_files_are_an_error_and_no_clean_bill(home):
    """What is not there cannot be called whole."""
    shutil.rmtree(home.build("squares", 1))
    with pytest.raises(CurationError, match="its files are not here"):
        verify(home, "squares")


def test_the_same_choice_by_another_encoder_is_a_note(tmp_path):
    """Files that were made again elsewhere differ in bytes; that is told and is no fault."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    shutil.rmtree(home.build("squares", 1))
    publish(home, make_rows(), encoder="drawn 2")
    found = verify(home, "squares")
    assert found.problems == ()
    assert len(found.notes) == 1
    assert "by drawn 2" in found.notes[0]
    assert "by drawn 1" in found.notes[0]
    assert "note: " in str(found)


def test_files_made_again_from_grown_sources_are_a_note(tmp_path):
    """More rows around the same choice are told, as the published number of rows is another."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    shutil.rmtree(home.build("squares", 1))
    grown = [*make_rows(), *make_rows([], salt="more")]
    assert publish(home, grown).outcome == "restored"
    found = verify(home, "squares")
    assert found.problems == ()
    assert found.notes == ("made again from sources that changed meanwhile: rows 8, published with 7",)


def test_a_version_made_again_under_another_recipe_is_not_measured_by_it(tmp_path):
    """Counts are checked against the recipe only where it is the one the version was published with."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    shutil.rmtree(home.build("squares", 1))
    publish(home, make_rows(), recipe=make_recipe(train=5))
    found = verify(home, "squares")
    assert found.problems == ()
    assert "made again under another recipe" in found.notes[0]


def test_a_folder_without_its_recipe_is_whole_but_says_so(home):
    """A missing recipe is noted, as then nobody knows what was asked for."""
    folder = home.build("squares", 1)
    (folder / "recipe.toml").unlink()
    write_sums(folder)
    found = verify(home, "squares")
    assert (found.problems, found.notes) == (
        (),
        ("recipe.toml is not in the folder: what it asked for was not checked",),
    )


def test_a_folder_is_checked_wherever_it_lies(home, tmp_path):
    """A version that was copied away is checked from its own files, and its faults are found there too."""
    copy = tmp_path / "copy"
    shutil.copytree(home.build("squares", 1), copy)
    assert check_folder(copy).problems == ()
    _flip_a_bit(copy, home)
    assert len(check_folder(copy).problems) == 1


def test_an_unreadable_folder_is_all_problems(tmp_path):
    """An empty folder gives sentences, never a traceback."""
    found = check_folder(tmp_path)
    assert any("version.json: missing" in problem for problem in found.problems)
    assert found.checked == {"files": 0, "bytes": 0}


def test_pictures_are_written_as_they_are_verified(home):
    """What Pillow says of a published picture agrees: no EXIF, no comment, nothing but JFIF."""
    for file in load(home, "squares").samples()["file"]:
        with Image.open(file) as image:
            assert not image.getexif()
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive"}
