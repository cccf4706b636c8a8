"""Labels and splits are read from the files that other tools write next to their images."""

import json

import polars as pl
import pytest

from curation.dataset.recipe import parse_recipe
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.sources import edge_impulse, fetch_all, fiftyone, huggingface, index_files
from curation.sources.protocol import SidecarLabel
from curation.stages.ingest import ingest
from curation.storage.cache import Cache
from curation.storage.progress import SilentProgress
from tests.builders import as_bytes, texture, write_source
from tests.errors import fails_with


def recipe_of(kind: str, folder, **more):
    """Return a recipe of one foreign source."""
    source = {"name": "src", "kind": kind, "path": str(folder), **more}
    raw = {
        "sources": [source],
        "labels": {"classes": {"cat": ["cat"]}, "context": "*"},
        "selection": {"ratios": {"train": 1.0}},
    }
    return parse_recipe(raw, name="tiny", base=folder)


def rows_of(tmp_path, recipe):
    """Return (path, source label, source split) of every file of a recipe's source, and the index of its files."""
    cache = Cache(tmp_path / "cache")
    fetched = fetch_all(recipe.sources, cache=cache)
    manifest = ingest(recipe, fetched, cache=cache, engine=Local(1), progress=SilentProgress())
    return manifest.rows.select("path", "source_label", "source_split").rows(), index_files(fetched)


def test_a_fiftyone_folder_tells_labels_by_place(tmp_path):
    """Targets are indices into the list of classes; the folder above names the split; other files get no label."""
    labels = {"classes": ["dog", "cat"], "labels": {"a": 1, "deep/b": 0, "c": None, "gone": 1}}
    files = {"val/labels.json": json.dumps(labels).encode(), "val/data/x.jpg": b"", "val/a.jpg": b""}
    files |= {f"val/data/{name}": b"" for name in ("a.jpg", "deep/b.png", "c.jpg")}
    assert fiftyone.read_labels(write_source(tmp_path, files)) == {
        "val/data/a.jpg": SidecarLabel("cat", "val"),
        "val/data/c.jpg": SidecarLabel("", "val"),
        "val/data/deep/b.png": SidecarLabel("dog", "val"),
    }


def test_a_fiftyone_folder_without_splits_names_none(tmp_path):
    """A single export has its labels at the root, and words may stand for classes."""
    files = {"labels.json": b'{"classes": null, "labels": {"a": "cat"}}', "data/a.jpg": b""}
    assert fiftyone.read_labels(write_source(tmp_path, files)) == {"data/a.jpg": SidecarLabel("cat", None)}


def test_the_nearer_info_labels_wins(tmp_path):
    """Where the root and a folder both label an image, the folder's label counts."""
    near = {
        "version": 1,
        "files": [{"path": "a.jpg", "category": "testing", "label": {"type": "label", "label": "cat"}}],
    }
    far = {"version": 1, "files": [{"path": "testing/a.jpg", "category": "training", "label": "dog"}]}
    files = {
        "testing/info.labels": json.dumps(near).encode(),
        "info.labels": json.dumps(far).encode(),
        "testing/a.jpg": b"",
    }
    assert edge_impulse.read_labels(write_source(tmp_path, files)) == {"testing/a.jpg": SidecarLabel("cat", "testing")}


def test_a_category_that_is_no_split_is_none(tmp_path):
    """``split`` leaves the choice to the recipe, unless the metadata names a split."""
    listed = [
        {"path": "a.jpg", "category": "split", "label": "cat"},
        {"path": "b.jpg", "category": "training", "label": "cat", "metadata": {"split": "val"}},
        {"path": "c.jpg", "category": "training", "label": "cat", "metadata": {"split": "seven"}},
    ]
    files = {"info.labels": json.dumps({"files": listed}).encode(), "a.jpg": b"", "b.jpg": b"", "c.jpg": b""}
    labels = edge_impulse.read_labels(write_source(tmp_path, files))
    assert [label.split for _, label in sorted(labels.items())] == [None, "val", "training"]


def test_what_files_tell_reaches_the_table(tmp_path):
    """Every file of the folder is a row, the label file too; label and split are in their columns."""
    labels = {"classes": ["dog", "cat"], "labels": {"a": 1}}
    files = {"test/labels.json": json.dumps(labels).encode(), "test/data/a.jpg": b"x", "test/data/b.jpg": b"y"}
    rows, _ = rows_of(tmp_path, recipe_of("fiftyone", write_source(tmp_path / "set", files)))
    assert rows == [
        ("test/data/a.jpg", "cat", "test"),
        ("test/data/b.jpg", None, None),
        ("test/labels.json", None, None),
    ]


def test_every_row_of_every_parquet_file_is_a_file(tmp_path):
    """The bytes of an image do not change, also with several files; a missing image is a row too."""
    images = [as_bytes(texture(number)) for number in range(1030)][:2] + [b"%d" % number for number in range(1100)]
    (tmp_path / "set").mkdir()
    for name, part in (("train-0.parquet", images), ("test-0.parquet", [b"z", None])):
        pl.DataFrame({"image": part, "label": ["cat"] * len(part)}).write_parquet(tmp_path / "set" / name)
    rows, files = rows_of(tmp_path, recipe_of("huggingface", tmp_path / "set"))
    assert len(rows) == len(images) + 2
    assert {(label, split) for _, label, split in rows} == {("cat", "train"), ("cat", "test")}
    assert [files.read(f"src/train-0.parquet/{number:07d}") for number in range(len(images))] == images
    assert files.read("src/test-0.parquet/0000001") == b""


def test_parquet_is_laid_out_once(tmp_path):
    """A second fetch takes the tar from the cache; a changed file makes another."""
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "train.parquet"
    recipe = recipe_of("huggingface", tmp_path / "set")
    seen = []
    for content in (b"a", b"a", b"b"):
        pl.DataFrame({"image": [content], "label": ["cat"]}).write_parquet(path)
        (archive,) = fetch_all(recipe.sources, cache=Cache(tmp_path / "cache"))[0].archives
        seen.append((archive.path, archive.path.stat().st_mtime_ns))
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    ("column", "says"),
    [([[1], [2]], "[1]"), ([1.5, 2.5], "1.5")],
)
def test_a_label_that_is_no_class_is_an_error(tmp_path, column, says):
    """A list, or a fraction, is not made a class by guessing."""
    (tmp_path / "set").mkdir()
    pl.DataFrame({"image": [b"a", b"b"], "label": column}).write_parquet(tmp_path / "set" / "a.parquet")
    with fails_with(ErrorCode.LABEL_UNKNOWN, "a.parquet", says):
        huggingface.read_labels(tmp_path / "set")


def test_a_foreign_source_needs_no_label_in_the_recipe(tmp_path):
    """Its files tell the labels; any other source without one is still a mistake."""
    assert recipe_of("fiftyone", tmp_path).sources[0].label is None
    with pytest.raises(CurationError, match="no label"):
        recipe_of("folder", tmp_path)


def test_a_relative_path_starts_at_the_recipe(tmp_path):
    """As with every folder."""
    recipe = parse_recipe(
        {
            "sources": [{"name": "src", "kind": "edge-impulse", "path": "set"}],
            "labels": {"classes": {"cat": ["cat"]}},
            "selection": {"ratios": {"train": 1.0}},
        },
        name="tiny",
        base=tmp_path,
    )
    assert recipe.sources[0].path == tmp_path / "set"


def fates_of(tmp_path, recipe):
    """Return step, reason and detail of each file that ingest excludes, by path."""
    cache = Cache(tmp_path / "cache")
    fetched = fetch_all(recipe.sources, cache=cache)
    manifest = ingest(recipe, fetched, cache=cache, engine=Local(1), progress=SilentProgress())
    return {row[0]: row[1:] for row in manifest.rejected.select("path", "excluded_by", "reason", "detail").rows()}


def test_label_files_are_metadata_and_not_unreadable_images(tmp_path):
    """`info.labels` and FiftyOne's `labels.json` describe the images next to them."""
    listed = {"files": [{"path": "a.jpg", "category": "training", "label": "cat"}]}
    files = {"training/info.labels": json.dumps(listed).encode(), "training/a.jpg": b"x"}
    recipe = recipe_of("edge-impulse", write_source(tmp_path / "ei", files))
    assert fates_of(tmp_path, recipe) == {"training/info.labels": ("ingest", "metadata-file", None)}
    files = {"labels.json": b'{"classes": ["cat"], "labels": {"a": 0}}', "data/a.jpg": b"x"}
    recipe = recipe_of("fiftyone", write_source(tmp_path / "fo", files))
    assert fates_of(tmp_path, recipe) == {"labels.json": ("ingest", "metadata-file", None)}


def test_images_that_a_parquet_file_only_names_are_stored_elsewhere(tmp_path):
    """A set that was written without embedding its images holds their paths; they were called empty files."""
    (tmp_path / "set").mkdir()
    images = [{"bytes": None, "path": "/home/me/cat.jpg"}, {"bytes": b"x", "path": None}, {"bytes": None, "path": None}]
    table = pl.DataFrame(
        {"image": images, "label": ["cat", "cat", "cat"]},
        schema={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String}), "label": pl.String},
    )
    table.write_parquet(tmp_path / "set" / "train.parquet")
    found = fates_of(tmp_path, recipe_of("huggingface", tmp_path / "set"))
    assert found == {"0000000": ("ingest", "stored-elsewhere", "/home/me/cat.jpg")}


def test_an_error_of_a_table_has_no_advice_to_programmers(tmp_path):
    """Polars names options of its own functions, which no user of this program can set."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(CurationError) as caught:
        huggingface.find_tables(tmp_path / "set")
    assert "\n" not in caught.value.message
