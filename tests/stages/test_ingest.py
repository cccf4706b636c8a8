"""Every file of every source becomes a row."""

import io
import zipfile
from pathlib import Path

import polars as pl
import pytest

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, parse_recipe
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.sources import fetch_all
from curation.sources.table_files import read_table
from curation.stages.ingest import ingest
from curation.storage.cache import Cache
from curation.storage.progress import SilentProgress
from tests.builders import as_bytes, fates, make_recipe, texture, write_source


def recipe_of(path: Path, **source: object) -> Recipe:
    """Return a recipe of one folder source."""
    table = {"name": "src", "kind": "folder", "path": str(path), "pattern": "(?P<label>[^/]+)/[^/]+$", **source}
    raw = {
        "sources": [table],
        "labels": {"classes": {"melanoma": ["melanoma"]}, "context": "*"},
        "selection": {"counts": {"train": 1}},
    }
    return parse_recipe(raw, name="tiny", base=Path("/nowhere"))


def ingested(recipe: Recipe) -> Manifest:
    """Return the manifest after ingest, with a cache of the test's own."""
    cache = Cache()
    fetched = fetch_all(recipe.sources, cache=cache)
    return ingest(recipe, fetched, cache=cache, engine=Local(1), progress=SilentProgress())


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip with files in the order given."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


FILES = {
    "Train/melanoma/a.jpg": b"a",
    "Test/nevus/b.jpg": b"b",
    "readme.txt": b"hello",
    "Train/melanoma/evil/../c.jpg": b"c",
}
PATTERN = "(?P<split>Train|Test)/(?P<label>[^/]+)/"


def test_a_zip_a_folder_and_a_shuffled_zip_give_the_same_rows(tmp_path: Path) -> None:
    """Where the bytes stand makes no difference to the table."""
    plain = {name: content for name, content in FILES.items() if ".." not in name}
    tables = [
        ingested(recipe_of(write_source(tmp_path / "folder", plain), pattern=PATTERN)),
        ingested(recipe_of(make_zip(tmp_path / "1.zip", plain), pattern=PATTERN)),
        ingested(recipe_of(make_zip(tmp_path / "2.zip", dict(reversed(plain.items()))), pattern=PATTERN)),
    ]
    assert tables[0].digest() == tables[1].digest() == tables[2].digest()


def test_labels_and_splits_come_from_the_path(tmp_path: Path) -> None:
    """Named groups of the pattern tell both; a file outside of it has neither and is there all the same."""
    rows = ingested(recipe_of(make_zip(tmp_path / "a.zip", FILES), pattern=PATTERN)).rows
    told = {
        path: (label, split) for path, label, split in rows.select("path", "source_label", "source_split").iter_rows()
    }
    assert told == {
        "Train/melanoma/a.jpg": ("melanoma", "train"),
        "Test/nevus/b.jpg": ("nevus", "test"),
        "Train/melanoma/evil/../c.jpg": ("melanoma", "train"),
        "readme.txt": (None, None),
    }


def test_group_keys_match_or_are_missing(tmp_path: Path) -> None:
    """Groups of the expression are joined; a path it does not match has no key."""
    files = {"melanoma/p1_x.jpg": b"1", "melanoma/p1_y.jpg": b"2", "melanoma/other.jpg": b"3"}
    rows = ingested(recipe_of(write_source(tmp_path / "f", files), group=r"/(p\d+)_")).rows
    assert rows.sort("path")["group_key"].to_list() == [None, "src:p1", "src:p1"]


def test_metadata_is_joined_and_its_file_is_a_row(tmp_path: Path) -> None:
    """What a table says stands next to its image; the table itself is excluded as such, and may group."""
    table = b"image,lesion_id,years,dx\na,L1,50,melanoma\nb,L1,,nevus\n"
    files = {"x/a.jpg": b"1", "x/b.jpg": b"2", "x/c.jpg": b"3", "meta.csv": table}
    metadata = {"file": "*.csv", "key": "image", "columns": {"lesion": "lesion_id", "age": "years"}, "label": "dx"}
    recipe = recipe_of(write_source(tmp_path / "f", files), metadata=metadata, group={"column": "lesion"})
    rows = ingested(recipe).rows.select("path", "lesion", "age", "source_label", "group_key", "reason").rows()
    assert rows == [
        ("meta.csv", None, None, None, None, "metadata-file"),
        ("x/a.jpg", "L1", 50.0, "melanoma", "src:L1", None),
        ("x/b.jpg", "L1", None, "nevus", "src:L1", None),
        ("x/c.jpg", None, None, "x", None, None),
    ]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"file": "*.json", "key": "image"}, r"metadata.file '\*.json' matches 0 files"),
        ({"file": "*.csv", "key": "picture"}, "has no column 'picture'"),
        (
            {"file": "*.csv", "key": "image", "columns": {"age": "years"}},
            "'years', read as age, contains no number; its first value is '5 y'",
        ),
        ({"file": "*.jsonl", "key": "image", "label": "dx"}, "the column 'dx' contains lists or tables"),
    ],
)
def test_a_wrong_metadata_rule_is_a_clear_error(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    """The file or the column that is missing is named."""
    folder = write_source(tmp_path / "f", {"x/a.jpg": b"1", "meta.csv": b"image,b,years\na,1,5 y\n"})
    write_source(folder, {"nested.jsonl": b'{"image": "a", "dx": {"code": 1}}\n'})
    with pytest.raises(CurationError, match=message) as caught:
        ingested(recipe_of(folder, metadata=metadata))
    assert caught.value.code == ErrorCode.METADATA_INVALID


def test_what_cannot_be_read_is_a_row_with_a_reason(tmp_path: Path) -> None:
    """An entry whose bytes are damaged and a link that leads nowhere are told, and the others are read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("melanoma/a.jpg", b"picture-a" * 50)
        archive.writestr("melanoma/b.jpg", b"picture-b" * 50)
    path = tmp_path / "damaged.zip"
    path.write_bytes(buffer.getvalue().replace(b"picture-b" * 50, b"picture-b" * 49 + b"pictureXb"))
    rows = ingested(recipe_of(path)).rows
    assert rows["sha256"].null_count() == 1
    assert fates(rows) == [None, ("ingest", "archive-damaged", "zip entry fails its checksum")]
    folder = write_source(tmp_path / "f", {"melanoma/a.jpg": b"1"})
    (folder / "melanoma/b.jpg").symlink_to(tmp_path / "nowhere")
    linked = ingested(recipe_of(folder)).rows
    assert linked["excluded_by"].is_null().to_list() == [True, False]


def test_an_empty_source_is_an_error(tmp_path: Path) -> None:
    """A dataset of nothing is a mistake, most often in a path."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(CurationError) as caught:
        ingested(recipe_of(tmp_path / "empty"))
    assert caught.value.code == ErrorCode.NO_FILES


def test_a_second_look_reads_no_archive(tmp_path: Path) -> None:
    """What stands in an archive is known by its sha256: only its own bytes are hashed."""
    path = make_zip(tmp_path / "a.zip", {"melanoma/a.jpg": as_bytes(texture(1))})
    recipe, cache = recipe_of(path), Cache()
    fetched = fetch_all(recipe.sources, cache=cache)
    first = ingest(recipe, fetched, cache=cache, engine=Local(1), progress=SilentProgress())
    path.write_bytes(b"gone")
    again = ingest(recipe, fetched, cache=cache, engine=Local(1), progress=SilentProgress())
    assert first.digest() == again.digest()


def test_a_split_of_unknown_name_is_refused(tmp_path: Path) -> None:
    """An unknown holdout must not be pooled into train; the recipe may define it."""
    folder = write_source(tmp_path / "f", {"Holdout/melanoma/a.jpg": b"1", "Train/melanoma/b.jpg": b"2"})
    pattern = "(?P<split>[^/]+)/(?P<label>[^/]+)/"
    with pytest.raises(CurationError, match=r"'Holdout' \(1 files\)"):
        ingested(recipe_of(folder, pattern=pattern))
    write_source(folder, {"__MACOSX/melanoma/._a.jpg": b"\x00\x05\x16\x07"})
    rows = ingested(recipe_of(folder, pattern=pattern, splits={"Holdout": "test"})).rows
    assert rows["source_split"].to_list() == ["test", "train", None]


def test_metadata_may_lie_next_to_the_recipe_and_must_agree_with_itself(tmp_path: Path) -> None:
    """./ starts at the recipe's folder; two rows that say different things of one image are an error."""
    folder = write_source(tmp_path / "f", {"melanoma/a.jpg": b"1"})
    metadata = {"file": "./meta.csv", "key": "image", "columns": {"sex": "sex"}}
    recipe = recipe_of(folder, metadata=metadata)
    recipe = recipe.model_copy(update={"sources": (recipe.sources[0].model_copy(update={"base": tmp_path}),)})
    (tmp_path / "meta.csv").write_text("image,sex\na,female\na,female\n")
    assert ingested(recipe).rows["sex"].to_list() == ["female"]
    (tmp_path / "meta.csv").write_text("image,sex\na,female\na,male\n")
    with pytest.raises(CurationError, match="'a'") as caught:
        ingested(recipe)
    assert caught.value.code == ErrorCode.METADATA_INVALID


def test_a_loose_file_is_called_by_its_own_name_once(tmp_path: Path) -> None:
    """A source of several archives puts their name before the path, but not before a file that is not an archive."""
    from dataclasses import replace

    write_source(tmp_path, {"1.tif": b"1", "2.tif": b"2"})
    make_zip(tmp_path / "more.zip", {"melanoma/3.jpg": b"3"})
    cache, recipe = Cache(), recipe_of(tmp_path / "1.tif")
    parts = [fetch_all(recipe_of(tmp_path / name).sources, cache=cache)[0] for name in ("1.tif", "2.tif", "more.zip")]
    given = replace(parts[0], archives=tuple(part.archives[0] for part in parts))
    rows = ingest(recipe, [given], cache=cache, engine=Local(1), progress=SilentProgress()).rows
    assert rows["path"].to_list() == ["1.tif", "2.tif", "more.zip/melanoma/3.jpg"]


def test_a_table_that_speaks_of_no_file_is_named(tmp_path: Path) -> None:
    """Keys with the suffix where the stem was meant joined nothing, without a message."""
    table = b"image,dx\n,\na.jpg,nevus\nb.jpg,nevus\n"
    left = {"__MACOSX/._meta.csv": b"\x00\x05\x16\x07", "meta.csv": table}
    folder = write_source(tmp_path / "f", {"x/a.jpg": b"1", "x/b.jpg": b"2", **left})
    rule = {"file": "*meta.csv", "key": "image", "label": "dx"}
    with pytest.raises(CurationError, match=r"2 files: .*'a\.jpg'.*'stem'.*'a'") as caught:
        ingested(recipe_of(folder, metadata=rule))
    assert caught.value.code == ErrorCode.METADATA_INVALID
    assert "metadata.match" in (caught.value.hint or "")
    rows = ingested(recipe_of(folder, metadata={**rule, "match": "name"})).rows
    assert rows.filter(pl.col("path").str.starts_with("x/"))["source_label"].to_list() == ["nevus", "nevus"]


def test_an_accent_is_one_letter_however_it_is_spelled(tmp_path: Path) -> None:
    """A zip of macOS spells it as two, a recipe as one: they were two labels that looked the same."""
    apart, whole = "nae\u0308vus", "na\u00ebvus"
    table = f"image,patient\n{whole}1,Zoe\u0308\n".encode()
    folder = write_source(tmp_path / "f", {f"{apart}/{apart}1.jpg": b"1", "meta.csv": table})
    rule = {"file": "meta.csv", "key": "image", "columns": {"patient": "patient"}}
    recipe = recipe_of(folder, pattern=f"(?P<label>{whole})/", group=f"{whole}\\d", metadata=rule)
    row = ingested(recipe).rows.filter(pl.col("path").str.ends_with("jpg")).row(0, named=True)
    assert (row["path"], row["source_label"]) == (f"{apart}/{apart}1.jpg", whole)
    assert (row["group_key"], row["patient"]) == (f"src:{whole}1", "Zoe\u0308")
    labels = {"classes": {whole: [apart]}, "context": "*"}
    assert make_recipe(labels=labels).labels.class_of() == {whole: whole}


def test_a_loose_file_that_poses_as_one_inside_an_archive_is_an_error(tmp_path: Path) -> None:
    """A server may call a file anything: two rows of one id ended in a traceback."""
    from dataclasses import replace

    make_zip(tmp_path / "a.zip", {"cat/1.jpg": b"1"})
    write_source(tmp_path, {"1.jpg": b"2"})
    cache, recipe = Cache(), recipe_of(tmp_path / "1.jpg")
    parts = [fetch_all(recipe_of(tmp_path / name).sources, cache=cache)[0] for name in ("a.zip", "1.jpg")]
    posing = replace(parts[1].archives[0], name="a.zip/cat/1.jpg")
    given = replace(parts[0], archives=(*parts[0].archives, posing))
    with pytest.raises(CurationError, match=r"src/a\.zip/cat/1\.jpg") as caught:
        ingest(recipe, [given], cache=cache, engine=Local(1), progress=SilentProgress())
    assert caught.value.code == ErrorCode.DUPLICATE_PATH


def test_a_pattern_that_matches_no_path_is_named(tmp_path: Path) -> None:
    """It came out as too few images, with advice on ratios; now pattern and an example of a path are told."""
    folder = write_source(tmp_path / "folder", {"cat/1.jpg": as_bytes(texture(1)), "dog/2.jpg": as_bytes(texture(2))})
    with pytest.raises(CurationError, match=r"2 paths, such as 'cat/1\.jpg'") as caught:
        ingested(recipe_of(folder, pattern="(?P<label>[^/]+)/[^/]+/[^/]+$"))
    assert caught.value.code == ErrorCode.PATTERN_UNMATCHED
    assert "sources.pattern" in (caught.value.hint or "")
    told = ingested(recipe_of(folder, pattern="(?P<split>train)/", label="cat")).rows
    assert told["source_label"].to_list() == ["cat", "cat"]


def test_a_number_of_a_json_table_keeps_its_fraction() -> None:
    """149 in one record and 149.5 in the next: the first number decided that all were whole."""
    table = read_table(
        b'[{"id": "a", "height": 149}, {"id": "b", "height": 149.5}, {"id": "c", "height": null}]', "m.json"
    )
    assert table.rows["height"].to_list() == [149.0, 149.5, None]


def test_the_tags_of_dicom_files_become_columns(tmp_path: Path) -> None:
    """Patient, study and series, salted where the recipe has a salt; whether text is burned in is never salted."""
    pytest.importorskip("pydicom")
    from tests.images.test_dicom import GRAY, dicom

    for name, patient in (("a", "P1"), ("b", "P1"), ("c", "P2")):
        tags = {"PatientID": patient, "StudyInstanceUID": "1.2.3", "BurnedInAnnotation": "YES" if name == "a" else "NO"}
        write_source(tmp_path / "set", {f"melanoma/{name}.dcm": dicom(GRAY, **tags)})
    write_source(tmp_path / "set", {"melanoma/d.txt": b"no image"})
    source = {"name": "src", "kind": "folder", "path": str(tmp_path / "set"), "pattern": "(?P<label>[^/]+)/[^/]+$"}
    source["group"] = {"column": "patient"}
    found = {}
    for salt in (None, "of my own, and long"):
        recipe = make_recipe(sources=[{**source, "dicom": {"salt": salt} if salt else {}}])
        fetched = fetch_all(recipe.sources, cache=Cache(tmp_path / "cache"))
        engine = Local(1)
        rows = ingest(recipe, fetched, cache=Cache(tmp_path / "cache"), engine=engine, progress=SilentProgress()).rows
        found[salt] = rows
        assert rows["burned_in_annotation"].to_list() == ["YES", "NO", "NO", None]
        assert rows["group_key"][0] == rows["group_key"][1] != rows["group_key"][2]
    assert found[None]["patient"].to_list() == ["P1", "P1", "P2", None]
    assert found[None]["study"].to_list() == ["1.2.3"] * 3 + [None]
    salted = found["of my own, and long"]["patient"].to_list()
    assert salted[0] == salted[1] != salted[2]
    assert {len(value) for value in salted[:3]} == {16}
