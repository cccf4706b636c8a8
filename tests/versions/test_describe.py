"""The names of images and what a version says of itself."""

import gc
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.dataset.split_counts import count_splits
from curation.versions import describe_version, name_images, write_tables
from curation.versions.describe import list_files, metadata_tables, write_sums
from tests.builders import out
from tests.versions.builders import fill, make_manifest, make_recipe, make_row, make_rows, render, sha

HEX = st.text("01", min_size=64, max_size=64).map(lambda bits: bits.replace("0", "a").replace("1", "b"))


def kept_of(digests, page=1):
    """Return kept rows of these sha256."""
    schema = {"split": pl.String, "label": pl.String, "sha256": pl.String, "page": pl.UInt32}
    return pl.DataFrame([("train", "dark", digest, page) for digest in digests], schema=schema, orient="row")


def test_an_image_is_named_by_twelve_digits_in_its_split_and_label():
    """The first page has no suffix, a further one has its number."""
    assert name_images(kept_of([sha(1)])).to_list() == [f"images/train/dark/{sha(1)[:12]}.jpg"]
    assert name_images(kept_of([sha(1)], page=2)).to_list() == [f"images/train/dark/{sha(1)[:12]}-p2.jpg"]
    assert name_images(kept_of([sha(1)], page=None)).to_list() == [f"images/train/dark/{sha(1)[:12]}.jpg"]


def test_a_collision_of_twelve_digits_lengthens_the_names_that_collide():
    """Two sha256 that agree in 20 digits get 21 of them, a third keeps 12."""
    one, two, three = "a" * 20 + "b" * 44, "a" * 20 + "c" * 44, "d" * 64
    names = [name.split("/")[-1] for name in name_images(kept_of([two, three, one]))]
    assert names == ["a" * 20 + "c.jpg", "d" * 12 + ".jpg", "a" * 20 + "b.jpg"]


def test_pages_of_one_file_do_not_lengthen_its_name():
    """Several rows of one sha256 are one name with page numbers."""
    kept = pl.concat([kept_of([sha(1)], page) for page in (1, 2, 3)])
    stem = f"images/train/dark/{sha(1)[:12]}"
    assert name_images(kept).to_list() == [f"{stem}.jpg", f"{stem}-p2.jpg", f"{stem}-p3.jpg"]


@given(st.lists(HEX, unique=True, max_size=12), st.randoms(use_true_random=False))
def test_names_are_unique_and_free_of_the_order(digests, order):
    """However much digests agree, no two images share a name, and shuffling the rows changes no name."""
    names = dict(zip(digests, name_images(kept_of(digests)), strict=True))
    assert len(set(names.values())) == len(digests)
    order.shuffle(digests)
    assert dict(zip(digests, name_images(kept_of(digests)), strict=True)) == names


def test_every_class_is_counted_in_every_split_in_use():
    """Splits come as train, val, test; a class without an image stands there with 0."""
    kept = make_manifest(make_rows([("dark", "test", 1), ("pale", "train", 2)])).kept
    counts = count_splits(kept, classes=["dark", "pale"])
    assert counts == {"train": {"dark": 0, "pale": 2}, "test": {"dark": 1, "pale": 0}}
    assert list(counts) == ["train", "test"]


def test_a_description_names_no_clock_and_no_machine(tmp_path, monkeypatch):
    """The same manifest is described in the same words whatever the order of its rows, the time and the folder."""
    rows = make_rows()
    monkeypatch.chdir(tmp_path)
    first = describe(rows, tmp_path / "one")
    random.Random(1).shuffle(rows)
    assert describe(rows, tmp_path / "two") == first
    assert str(tmp_path) not in json.dumps(first)
    assert (first["rows"], first["kept"], first["reserve"]) == (7, 6, 0)


def describe(rows, folder):
    """Return the description of rows that are rendered into ``folder``."""
    archives = [{"source": "b", "sha256": sha(2)}, {"source": "a", "sha256": sha(1)}]
    manifest = render(folder, rows)
    return describe_version(manifest, make_recipe(), number=1, encoder="drawn 1", tool="0.1.0", archives=archives)


def test_archives_are_sorted_whatever_order_they_are_given_in(tmp_path):
    """The archives' checksums stand in version.json in one order."""
    assert [archive["source"] for archive in describe(make_rows(), tmp_path)["archives"]] == ["a", "b"]


def test_reserve_counts_what_is_used_although_disputed(tmp_path):
    """Only kept rows count as reserve."""
    rows = [
        *make_rows(),
        make_row("r", disputed=True, reserve=True),
        make_row("s", reserve=True, **out("select", "surplus"), split=None),
    ]
    assert describe(rows, tmp_path)["reserve"] == 1


def test_metadata_lists_all_images_once_for_all_splits_and_once_in_each(tmp_path):
    """metadata.csv names files from the folder, images/<split>/metadata.csv from its own."""
    manifest = render(tmp_path, make_rows())
    tables = metadata_tables(manifest)
    assert sorted(tables) == ["images/test/metadata.csv", "images/train/metadata.csv", "metadata.csv"]
    whole = tables["metadata.csv"]
    assert whole.columns == ["file_name", "label", "split", "sha256", "group", "source"]
    assert set(whole["file_name"]) == set(manifest.kept["file"])
    for split in ("train", "test"):
        part = tables[f"images/{split}/metadata.csv"]
        assert {f"images/{split}/{name}" for name in part["file_name"]} == set(
            whole.filter(pl.col("split") == split)["file_name"]
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the package's CSV reader leaves its files open
def test_hugging_face_reads_the_folder_with_its_splits_and_metadata(tmp_path):
    """ImageFolder, given nothing but the folder, finds each split's images and the metadata of each image."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "v1"
    manifest = fill(folder, make_rows(), make_recipe(), number=1)
    datasets.disable_progress_bars()
    read = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    for split, wanted in manifest.kept.sort("file").group_by("split"):
        found = {(row["label"], row["sha256"], row["group"], row["source"]) for row in read[split[0]]}
        assert found == set(wanted.select("label", "sha256", "group", "source").rows())
        assert all(row["image"].size == (16, 12) for row in read[split[0]])
    assert sorted(read) == ["test", "train"]
    gc.collect()


def test_the_texts_end_their_lines_alike_on_every_system(tmp_path):
    """No table and no description holds a carriage return."""
    fill(tmp_path, make_rows(), make_recipe(), number=1)
    assert all(b"\r" not in path.read_bytes() for path in (*tmp_path.rglob("*.csv"), tmp_path / "version.json"))


def test_the_sums_are_checked_by_the_tool_every_system_has(tmp_path):
    """SHA256SUMS covers every other file, and sha256sum -c agrees."""
    fill(tmp_path, make_rows(), make_recipe(), number=1)
    write_sums(tmp_path)
    named = {line.split("  ")[1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()}
    assert named == {name for name in list_files(tmp_path) if name != "SHA256SUMS"}
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("there is no sha256sum here")
    done = subprocess.run([tool, "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_listing_is_sorted_and_counts_links_as_files(tmp_path):
    """A link to a folder is listed and not followed, so that nothing outside is taken for the version's own."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").touch()
    (tmp_path / "a").touch()
    (tmp_path / "c").symlink_to(tmp_path / "b")
    assert list_files(tmp_path) == ("a", "b/x", "c")


def test_the_same_folder_comes_out_under_two_hash_seeds(tmp_path):
    """Neither the texts nor the names of the files hang on Python's hash seed."""
    code = (
        "import sys; from pathlib import Path; from tests.versions.builders import *\n"
        "fill(Path(sys.argv[1]), make_rows(), make_recipe(), number=1)"
    )
    digests = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment)
        digests.append({name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in list_files(folder)})
    assert digests[0] == digests[1]


def test_what_is_written_is_what_was_described(tmp_path):
    """write_tables writes the description word for word, and the whole manifest."""
    manifest = render(tmp_path, make_rows())
    description = describe_version(manifest, make_recipe(), number=7, encoder="drawn 1", tool="0.1.0")
    write_tables(tmp_path, manifest, description)
    assert json.loads((tmp_path / "version.json").read_text()) == description
    assert pl.read_parquet(tmp_path / "manifest.parquet").equals(manifest.rows)
