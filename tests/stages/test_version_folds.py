"""Folds over train and val: by group and class, kept when the set grows, in git's text and in the exports."""

import csv
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import Home, Options, build, load, verify
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe
from curation.engines import Local
from curation.exports import export
from curation.exports.rows import gather
from curation.pipeline import restore
from curation.stages.select import ShortCountError, select
from curation.storage.cache import Cache
from curation.versions.version_index import read_split
from tests.builders import make_recipe, tiny_images, write_recipe, write_source
from tests.stages.test_ratios import join, make_set

RATIOS = {"train": 0.6, "val": 0.2, "test": 0.2}


def ask(folds: int | None) -> Recipe:
    """Return a recipe of two classes with ratios and folds."""
    selection = {"ratios": RATIOS} | ({} if folds is None else {"folds": folds})
    return make_recipe(labels={"classes": {"c0": ["c0"], "c1": ["c1"]}, "context": "*"}, selection=selection)


def folds_of(after: Manifest) -> dict[str, int | None]:
    """Return sha256 -> fold of the kept rows."""
    return dict(after.kept.select("sha256", "fold").iter_rows())


SETS = st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2).filter(any), min_size=6, max_size=24)


@given(sizes=SETS, more=SETS, folds=st.integers(2, 4))
@settings(max_examples=25)
def test_folds_hold_whole_groups_and_stay_when_the_set_grows(
    sizes: list[list[int]], more: list[list[int]], folds: int
) -> None:
    """Every image of train and val has a fold and no tested one has; growth and a second build change none."""
    old, recipe = make_set(sizes), ask(folds)
    try:
        before = select(old, recipe)
    except ShortCountError:
        return
    table = before.kept
    assert table.filter((pl.col("split") == "test") != pl.col("fold").is_null()).height == 0
    assert table["fold"].drop_nulls().is_between(1, folds).all()
    assert table.group_by("group").agg(pl.col("fold").n_unique())["fold"].max() == 1
    previous = table.select("sha256", pl.col("page").fill_null(1), "split", "fold")
    assert folds_of(select(old, recipe, previous=previous)) == folds_of(before)
    after = folds_of(select(join(old, make_set(more, name="new")), recipe, previous=previous))
    stayed = {sha: fold for sha, fold in folds_of(before).items() if fold is not None and after[sha] is not None}
    assert all(after[sha] == fold for sha, fold in stayed.items())


def test_folds_are_even_in_every_class() -> None:
    """Each fold has its part of each class within the images of one group, three here."""
    after = select(make_set([[1 + n % 3, (n + 1) % 3] for n in range(90)]), ask(5))
    counts = after.kept.drop_nulls("fold").group_by("label", "fold").len()
    spread = counts.group_by("label").agg(pl.col("len").max() - pl.col("len").min())
    assert spread["len"].max() <= 3


def test_folds_are_no_part_of_the_choice() -> None:
    """A recipe without them has the digest of before the key existed, and its selection is the same."""
    plain = ask(None)
    assert "folds" not in plain.selection.canonical()
    assert plain.digest() != ask(5).digest()
    rows = make_set([[2, 1]] * 30)
    assert select(rows, plain).kept.drop("fold").equals(select(rows, ask(5)).kept.drop("fold"))


@pytest.mark.slow
def test_folds_are_in_the_split_the_exports_and_a_restored_version(tmp_path: Path) -> None:
    """git's text has them as a column, every table of an export too, and a restored version has the same."""
    write_recipe(
        tmp_path / "datasets",
        images=write_source(tmp_path / "images", tiny_images()),
        more="\n[selection]\nfolds = 3\n",
    )
    recipe = tmp_path / "datasets/tiny/recipe.toml"
    recipe.write_text(recipe.read_text().replace("[selection.counts]", "").replace("train = 6\ntest = 2", ""))
    recipe.write_text(recipe.read_text() + "counts = { train = 6, test = 2 }\n")
    options = Options(home=Home(tmp_path / "datasets"), cache=Cache(tmp_path / "cache"), engine=Local(1))
    built = build("tiny", options)
    split = read_split(tmp_path / "datasets/tiny/versions/v1.csv")
    folds = dict(split.select("sha256", "fold").iter_rows())
    assert sorted(filter(None, folds.values())) == sorted([1, 2, 3] * 4)
    assert built.line is not None
    assert built.line.kept == 16
    assert verify(options.home, "tiny").problems == ()
    version = load(options.home, "tiny")
    export(version, "csv", tmp_path / "csv")
    with (tmp_path / "csv/samples.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["sha256"]: int(row["fold"]) if row["fold"] else None for row in rows} == folds
    export(version, "coco", tmp_path / "coco")
    images = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())["images"]
    assert {image["sha256"]: image["fold"] for image in images}.items() <= folds.items()
    export(version, "huggingface", tmp_path / "hf")
    tables = [pl.read_parquet(path, columns=["sha256", "fold"]) for path in (tmp_path / "hf/data").glob("*.parquet")]
    assert dict(pl.concat(tables).iter_rows()) == folds
    by_name = {sample.name: sample.fold for sample in gather(version).samples if sample.fold is not None}
    export(version, "fiftyone", tmp_path / "fiftyone")
    assert json.loads((tmp_path / "fiftyone/train/labels.json").read_text())["folds"] == by_name
    export(version, "imagefolder", tmp_path / "imagefolder")
    table = pl.read_csv(tmp_path / "imagefolder/folds.csv")
    assert {Path(file).stem: fold for file, fold in table.iter_rows()} == by_name
    assert all((tmp_path / "imagefolder" / file).is_file() for file in table["file"])
    assert built.folder is not None
    (tmp_path / "datasets/builds/tiny/v1").rename(tmp_path / "away")
    restored = restore("tiny@v1", options)
    assert dict(restored.manifest.kept.select("sha256", "fold").iter_rows()) == folds
