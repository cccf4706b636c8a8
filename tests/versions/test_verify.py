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
from curation.errors import CurationError, ErrorCode
from curation.versions import Home, check_present, load, published, verify
from curation.versions.describe import write_sums, write_tables
from curation.versions.problems import ProblemCode as Code
from curation.versions.verify import check_folder
from tests.versions.builders import make_home, make_recipe, make_rows, publish, sha


@pytest.fixture
def home(tmp_path) -> Home:
    """Return a home with one published version."""
    home = make_home(tmp_path)
    publish(home, make_rows())
    return home


def picture_of(folder, split="train", label="dark"):
    """Return the first image of a split and class."""
    return sorted((folder / "images" / split / label).glob("*.jpg"))[0]


def edit_json(path, **changes):
    """Change fields of a JSON file by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_manifest(folder, *changes, sums=True):
    """Change the manifest and its checksums, so that they fit."""
    manifest = Manifest.read(folder / "manifest.parquet")
    Manifest(manifest.rows.with_columns(*changes)).write(folder / "manifest.parquet")
    if sums:
        write_sums(folder)


def first(column, value, of="dark-train-0"):
    """Return an expression that changes one cell."""
    return pl.when(pl.col("id") == f"drawn/{of}.png").then(value).otherwise(pl.col(column)).alias(column)


def test_a_published_version_is_whole(home):
    """Nothing is found in an untouched version, and the check says how much it read."""
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
    """Write EXIF into an image and make every checksum fit."""
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
    """Replace an image so that manifest, description and checksums agree with it."""
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


MANIFEST = r"manifest\.parquet"
INCOMPLETE = ("label", "split", "file", "file_sha256")
IMAGE = r"images/train/dark/[0-9a-f]{12}\.jpg"
DESCRIPTION, SPLIT = r"version\.json", r".*/v1\.csv"
TABLES = [(Code.TABLE_DIFFERS, r"metadata\.csv"), (Code.TABLE_DIFFERS, r"images/train/metadata\.csv")]
OTHER_CONTENT = (Code.LINE_DIFFERS, DESCRIPTION, "content_digest")
TAMPERING = {
    _flip_a_bit: [(Code.FILE_CHANGED, IMAGE)],
    _cut_a_picture: [(Code.FILE_CHANGED, IMAGE), (Code.IMAGE_DAMAGED, IMAGE, "truncated")],
    _remove_a_picture: [(Code.FILE_MISSING, IMAGE)],
    _swap_two_pictures: [(Code.FILE_CHANGED, IMAGE)] * 2,
    _add_a_picture: [(Code.FILE_UNEXPECTED, r"images/train/dark/extra\.jpg")],
    _move_a_picture: [(Code.FILE_MISSING, IMAGE), (Code.FILE_UNEXPECTED, r"images/train/pale/\w+\.jpg")],
    _link_a_picture: [(Code.FILE_NOT_REGULAR, IMAGE)],
    _edit_the_card: [(Code.FILE_CHANGED, r"CARD\.md")],
    _edit_the_metadata: [TABLES[0]],
    _edit_a_splits_metadata: [(Code.TABLE_DIFFERS, r"images/test/metadata\.csv")],
    _remove_the_sums: [(Code.FILE_MISSING, "SHA256SUMS"), *[(Code.CHECKSUM_MISSING, ".*")] * 13],
    _edit_the_sums: [
        (Code.CHECKSUMS_INVALID, "SHA256SUMS", "line 1"),
        (Code.CHECKSUM_MISSING, r"CARD\.md"),
        (Code.FILE_MISSING, r"ghost\.txt"),
    ],
    _break_the_manifest: [(Code.MANIFEST_INVALID, r"manifest\.parquet"), (Code.FILE_CHANGED, r"manifest\.parquet")],
    _remove_the_manifest: [(Code.MANIFEST_INVALID, r"manifest\.parquet"), (Code.FILE_MISSING, r"manifest\.parquet")],
    _remove_the_description: [(Code.DESCRIPTION_INVALID, DESCRIPTION), (Code.FILE_MISSING, DESCRIPTION)],
    _empty_the_description: [
        (Code.DESCRIPTION_INVALID, DESCRIPTION, "digest"),
        (Code.LINE_DIFFERS, DESCRIPTION, "digest"),
    ],
    _change_the_counts: [
        (Code.DESCRIPTION_DIFFERS, DESCRIPTION, "counts"),
        (Code.DESCRIPTION_DIFFERS, DESCRIPTION, "kept", "430", "6"),
        (Code.LINE_DIFFERS, DESCRIPTION, "counts"),
        (Code.LINE_DIFFERS, DESCRIPTION, "kept", "430", "6"),
        *[(Code.RECIPE_DIFFERS, DESCRIPTION)] * 4,
    ],
    _change_the_line: [
        (Code.LINE_DIFFERS, DESCRIPTION, "kept", "6", "7"),
        (Code.LINE_DIFFERS, DESCRIPTION, "rendering"),
    ],
    _change_the_lines_content: [OTHER_CONTENT],
    _move_a_row_of_the_split: [(Code.SPLIT_DIFFERS, SPLIT)],
    _remove_the_split: [(Code.SPLIT_INVALID, SPLIT)],
    _relabel_in_the_manifest: [
        (Code.NAME_DIFFERS, MANIFEST, "drawn/dark-train-0.png"),
        *[(Code.DESCRIPTION_DIFFERS, DESCRIPTION, field) for field in ("digest", "content_digest", "counts")],
        *TABLES,
        (Code.SPLIT_DIFFERS, SPLIT),
    ],
    _name_a_class_that_is_none: [
        (Code.LABEL_UNKNOWN, MANIFEST, "drawn/dark-train-0.png", "grey"),
        (Code.NAME_DIFFERS, MANIFEST, "drawn/dark-train-0.png"),
        *[(Code.DESCRIPTION_DIFFERS, DESCRIPTION, field) for field in ("digest", "content_digest", "counts")],
        *TABLES,
        (Code.SPLIT_DIFFERS, SPLIT),
    ],
    _lose_a_reason: [(Code.REASON_UNKNOWN, MANIFEST, "drawn/left-out.png", "select", "because")],
    _revive_an_excluded_row: [
        *[(Code.ROW_INCOMPLETE, MANIFEST, "drawn/left-out.png", cell) for cell in INCOMPLETE],
        (Code.DESCRIPTION_DIFFERS, DESCRIPTION, "kept", "6", "7"),
        TABLES[0],
        (Code.SPLIT_DIFFERS, SPLIT),
    ],
    _drop_an_excluded_row: [(Code.DESCRIPTION_DIFFERS, DESCRIPTION, "rows", "7", "6")],
    _dispute_a_kept_row: [(Code.DISPUTE_IN_USE, MANIFEST, "drawn/dark-train-0.png")],
    _dispute_a_test_row: [
        (Code.RESERVE_HELD_OUT, MANIFEST, "drawn/dark-test-0.png"),
        (Code.DESCRIPTION_DIFFERS, DESCRIPTION, "reserve", "0", "1"),
    ],
    _put_a_group_on_two_sides: [
        (Code.GROUP_STRADDLES, MANIFEST, "test", "train"),
        *TABLES,
        (Code.SPLIT_DIFFERS, SPLIT),
    ],
    _publish_one_file_twice: [
        (Code.KEPT_TWICE, MANIFEST, "drawn/dark-train-0.png", "drawn/dark-train-1.png"),
        (Code.NAME_DIFFERS, MANIFEST, "drawn/dark-train-0.png"),
        (Code.DESCRIPTION_DIFFERS, DESCRIPTION, "digest"),
        *TABLES,
        (Code.SPLIT_DIFFERS, SPLIT),
    ],
    _add_exif: [(Code.IMAGE_METADATA, IMAGE, "APP1", "Exif"), OTHER_CONTENT],
    _add_a_comment: [(Code.IMAGE_METADATA, IMAGE, "a comment"), OTHER_CONTENT],
    _hide_bytes_behind_the_picture: [(Code.IMAGE_METADATA, IMAGE), OTHER_CONTENT],
    _publish_what_is_no_jpeg: [(Code.IMAGE_DAMAGED, IMAGE), OTHER_CONTENT],
    _change_the_recipe: [
        (Code.RECIPE_DIFFERS, DESCRIPTION, "dark", "grey"),
        (Code.RECIPE_DIFFERS, DESCRIPTION, "train", "2 dark", "3"),
        (Code.RECIPE_DIFFERS, DESCRIPTION, "train", "0 grey", "3"),
        (Code.RECIPE_DIFFERS, DESCRIPTION, "test", "0 grey", "1"),
    ],
}


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__.lstrip("_"))
def test_what_a_hand_changed_is_found(home, tamper):
    """Each kind of tampering gives its own problems, all of them in one run, and no others."""
    tamper(home.build("squares", 1), home)
    problems = list(verify(home, "squares").problems)
    for code, place, *facts in TAMPERING[tamper]:
        found = next((problem for problem in problems if fits(problem, code, place, facts)), None)
        assert found is not None, f"{code} at {place} ({facts}) is not among {problems}"
        problems.remove(found)
    assert problems == []


def fits(problem, code, place, facts):
    """Return whether a problem has the code, the place, and all facts in its text."""
    return (
        problem.code == code
        and re.fullmatch(place, problem.place)
        and all(re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", problem.text) for fact in facts)
    )


def test_several_faults_are_told_in_one_run(home):
    """A missing image, an extra file and a changed card are three problems of one check."""
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
    assert verify(home, "squares").hint == f"Restore {split} from git."
    split.write_bytes(said)
    picture_of(folder).unlink()
    found = verify(home, "squares")
    assert str(found).splitlines()[0] == f"{folder}: 1 problem"
    assert str(found).splitlines()[-1] == f"hint: {found.hint}"
    assert f"the folder {folder}, then `python -m curation build squares@v1`" in (found.hint or "")
    assert found.as_json()["hint"] == found.hint


def _touch(path):
    """Give a file the moment after now, as an edit does."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: picture_of(folder).unlink(), ".jpg: missing"),
        (lambda folder: picture_of(folder).write_bytes(b""), ".jpg: changed"),
        (lambda folder: (folder / "metadata.csv").write_text("edited"), "metadata.csv: changed"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS: missing"),
        (lambda folder: (folder / "SHA256SUMS").write_text("x\n"), "SHA256SUMS: line 1"),
    ],
)
def test_damage_is_seen_without_reading_the_images(home, damage, named):
    """What is missing or was written to is named with the way out; a file only touched is whole."""
    folder, (line,) = home.build("squares", 1), published(home, "squares")
    _touch(picture_of(folder))
    check_present(home, "squares", line)
    damage(folder)
    for path in (folder / "metadata.csv", *folder.rglob("*.jpg")):
        _touch(path)
    with pytest.raises(CurationError) as caught:
        check_present(home, "squares", line)
    assert caught.value.code == ErrorCode.VERSION_DAMAGED
    assert named in caught.value.message
    assert "python -m curation build squares@v1" in (caught.value.hint or "")


def test_absent_files_are_an_error_and_no_clean_bill(home):
    """What is not there cannot be called whole."""
    shutil.rmtree(home.build("squares", 1))
    with pytest.raises(CurationError) as caught:
        verify(home, "squares")
    assert caught.value.code == ErrorCode.VERSION_NOT_BUILT


def test_the_same_choice_by_another_encoder_is_a_note(tmp_path):
    """Files that were made again elsewhere differ in bytes; that is reported and is not a fault."""
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
    assert "another recipe" in found.notes[0]


def test_a_folder_without_its_recipe_is_whole_but_says_so(home):
    """A missing recipe is noted, because the requested counts are then unknown."""
    folder = home.build("squares", 1)
    (folder / "recipe.toml").unlink()
    write_sums(folder)
    found = verify(home, "squares")
    assert found.problems == ()
    (note,) = found.notes
    assert note.startswith("recipe.toml is not in the folder")


def test_a_folder_is_checked_wherever_it_lies(home, tmp_path):
    """A version that was copied away is checked from its own files, and its faults are found there too."""
    copy = tmp_path / "copy"
    shutil.copytree(home.build("squares", 1), copy)
    assert check_folder(copy).problems == ()
    _flip_a_bit(copy, home)
    assert len(check_folder(copy).problems) == 1


def test_an_unreadable_folder_is_all_problems(tmp_path):
    """An empty folder gives problems, never a traceback."""
    found = check_folder(tmp_path)
    assert Code.DESCRIPTION_INVALID in {problem.code for problem in found.problems}
    assert found.checked == {"files": 0, "bytes": 0}


def test_images_are_written_as_they_are_verified(home):
    """What Pillow says of a published image agrees: no EXIF, no comment, nothing but JFIF."""
    for file in load(home, "squares").samples()["file"]:
        with Image.open(file) as image:
            assert not image.getexif()
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive"}
