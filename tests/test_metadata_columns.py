"""Metadata columns under any name: a recipe names them, and every part of the program takes them from there."""

import csv
import json

import polars as pl
import pytest

from curation import Home, Options, build, explain, load
from curation.audit import audit
from curation.dataset.columns import COLUMNS, RESERVED_NAMES, SCHEMA, Metadata
from curation.dataset.strata import find_strata
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.exports import export
from curation.storage.cache import Cache
from tests.builders import as_bytes, make_recipe, texture, write_source

RECIPE = """
title = "Solar cells"
[[sources]]
name = "cells"
kind = "folder"
path = "{path}"
pattern = '(?P<label>crack|whole)/[^/]+$'
group = {{ column = "pid" }}
licence = "CC0-1.0"
[sources.metadata]
file = "cells.csv"
key = "image"
columns = {{ pid = {{ from = "panel", role = "patient" }}, module = {{}}, volts = {{ from = "u" }}, age = "years" }}
[labels.classes]
crack = ["crack"]
whole = ["whole"]
[selection.counts]
train = 6
test = 2
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Options]:
    """Return a dataset of cells with a table of columns that no dermatologist knows, built."""
    folder = tmp_path_factory.mktemp("cells")
    lines, files = ["image,panel,module,u,years"], {}
    for number in range(24):
        label = "crack" if number % 2 else "whole"
        files[f"{label}/c{number}.png"] = as_bytes(texture(number), "PNG")
        module = "north" if number % 2 == (number > 3) else "south"
        lines.append(f"c{number},P{number // 2},{module},{number / 10},{20 + number}")
    files["cells.csv"] = "\n".join(lines).encode()
    images = write_source(folder / "images", files)
    (folder / "datasets" / "cells").mkdir(parents=True)
    recipe = RECIPE.format(path=images.as_posix())
    (folder / "datasets" / "cells" / "recipe.toml").write_text(recipe, encoding="utf-8")
    home = Home(folder / "datasets")
    options = Options(home=home, cache=Cache(folder / "cache"), engine=Local(1))
    build("cells", options)
    return home, options


def test_the_manifest_has_the_columns_that_the_recipe_names(cells):
    """Texts are texts, numbers numbers, and roles are kept in the manifest's own file."""
    manifest = load(cells[0], "cells").manifest
    assert manifest.metadata == (
        Metadata("pid", "patient"),
        Metadata("module"),
        Metadata("volts", None, pl.Float64()),
        Metadata("age", "age", pl.Float64()),
    )
    row = manifest.rows.filter(pl.col("path") == "crack/c3.png").row(0, named=True)
    assert (row["pid"], row["module"], row["volts"], row["age"]) == ("P1", "south", 0.3, 23.0)
    assert list(manifest.rows.columns) == [*SCHEMA, "pid", "module", "volts", "age"]


def test_the_group_rule_takes_any_column(cells):
    """Images of one panel are one group, and lie on one side."""
    rows = load(cells[0], "cells").manifest.rows
    assert set(rows["group_key"].drop_nulls()) == {f"cells:P{number}" for number in range(12)}
    sides = rows.drop_nulls("split").group_by("pid").agg(pl.col("split").n_unique())
    assert sides["split"].max() == 1


def test_explain_shows_them(cells):
    """They stand among the cells of the image's row."""
    (story,) = explain(cells[0], "cells", "c3.png")
    assert json.loads(json.dumps(story.as_json()))["row"]["module"] == "south"
    steps = [step for step, _ in story.steps]
    assert steps[:3] == ["ingest", "ingest", "probe"]
    assert "pid P1, module south" in story.steps[1][1]


@pytest.mark.parametrize("form", ["csv", "huggingface", "coco", "webdataset", "edge-impulse"])
def test_exports_carry_them(cells, tmp_path, form):
    """Whatever format has room for metadata has these, with their types where it has types."""
    version = load(cells[0], "cells")
    export(version, form, tmp_path / form)
    kept = version.manifest.kept
    if form == "csv":
        with (tmp_path / form / "samples.csv").open(encoding="utf-8") as file:
            table = list(csv.DictReader(file))
        assert sorted(row["module"] for row in table) == sorted(kept["module"])
        assert "lesion" not in table[0]
    elif form == "huggingface":
        table = pl.concat(pl.read_parquet(path) for path in sorted((tmp_path / form / "data").glob("*.parquet")))
        assert (table.schema["volts"], table.schema["module"]) == (pl.Float64, pl.String)
        assert table["pid"].sort().equals(kept["pid"].sort())
        assert '- name: "module"\n    dtype: string' in (tmp_path / form / "README.md").read_text(encoding="utf-8")
    else:
        texts = b"".join(path.read_bytes() for path in (tmp_path / form).rglob("*") if path.is_file())
        assert b"module" in texts
        assert b"north" in texts


def test_the_audit_counts_them_and_finds_what_goes_with_the_label(cells):
    """A column without a role is a stratum; one with the role of a patient is not, but is personal data."""
    found = audit(load(cells[0], "cells"))
    assert {"source", "module", "volts", "age"} <= {crosstab.name for crosstab in found.crosstabs}
    assert "pid" not in {crosstab.name for crosstab in found.crosstabs}
    assert "privacy-patients" in {finding.id for finding in found.findings}
    assert found.table["patient"].drop_nulls().len() == found.table.height


def test_a_column_of_another_name_in_the_recipe_is_another_version_file_and_the_same_choice(cells, tmp_path):
    """Renaming a column changes no digest of what was chosen."""
    home, options = cells
    digest = load(home, "cells").digest
    path = home.dataset("cells") / "recipe.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("module = {}", 'string = "module"'), encoding="utf-8")
    try:
        assert build("cells", options).line.digest == digest
    finally:
        path.write_text(text, encoding="utf-8")


def recipe_with(columns: object, **more: object):
    """Return a recipe whose source has a metadata table with these columns."""
    source = {
        "name": "src",
        "kind": "folder",
        "path": "images",
        "pattern": "(?P<label>[^/]+)/",
        "metadata": {"file": "m.csv", "key": "image", "columns": columns},
    }
    return make_recipe(sources=[{**source, **more}])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": "dx"}, "sources.0.metadata.columns.label"),
        ({"rank": "dx"}, "sources.0.metadata.columns.rank"),
        ({"a b": "dx"}, "sources.0.metadata.columns.a b"),
        ({"_x": "dx"}, "sources.0.metadata.columns._x"),
        ({"pid": {"from": "x", "role": "pateint"}}, "sources.0.metadata.columns.pid.role: 'pateint' .*'patient'"),
        ({"pid": {"form": "x"}}, "sources.0.metadata.columns.pid.form: unknown key; did you mean 'from'"),
        ({"pid": {"role": "patient"}, "patient": "x"}, "'pid' has the role 'patient' already"),
        ({"pid": 7}, "sources.0.metadata.columns.pid"),
    ],
)
def test_a_column_that_cannot_be_is_named(columns, message):
    """A name of the manifest's own, an invalid name, a role or key that does not exist, a role given twice."""
    with pytest.raises(CurationError, match=message) as caught:
        recipe_with(columns)
    assert caught.value.code == ErrorCode.RECIPE_INVALID


def test_every_name_of_the_manifest_is_refused():
    """Whatever the registry or the review's table has cannot be a metadata column."""
    for name in (*SCHEMA, *RESERVED_NAMES):
        with pytest.raises(CurationError, match=name):
            recipe_with({name: "x"})


def test_a_recipe_of_0_1_0_keeps_its_digest():
    """A plain text, a table that says the same and an implied role are one recipe; another role is another."""
    plain = recipe_with({"lesion": "lesion_id", "age": "age"})
    spelled = recipe_with({"lesion": {"from": "lesion_id"}, "age": {}})
    assert (
        plain.digest()
        == spelled.digest()
        == recipe_with({"lesion": {"from": "lesion_id", "role": "lesion"}, "age": "age"}).digest()
    )
    assert plain.sources[0].metadata.columns["age"].role == "age"
    assert plain.digest() != recipe_with({"lesion": {"from": "lesion_id", "role": "site"}, "age": "age"}).digest()


def test_two_sources_agree_on_a_columns_role():
    """One name cannot be a person here and a camera there."""
    one, other = ({"name": name, "kind": "kaggle", "dataset": "x/y", "label": "melanoma"} for name in "ab")
    one["metadata"] = {"file": "m.csv", "key": "k", "columns": {"who": {"role": "patient"}}}
    other["metadata"] = {"file": "m.csv", "key": "k", "columns": {"who": {"role": "camera"}}}
    with pytest.raises(CurationError, match=r"sources\.1\.metadata\.columns\.who"):
        make_recipe(sources=[one, other])


def test_strata_are_columns_of_few_values_and_numbers_in_quarters():
    """Serial numbers are not strata; many different measurements are cut into quarters."""
    rows = pl.DataFrame(
        {"serial": [f"s{n}" for n in range(100)], "volts": [n / 7 for n in range(100)], "kind": ["a", "b"] * 50}
    )
    columns = [Metadata("serial"), Metadata("volts", None, pl.Float64()), Metadata("kind", "camera")]
    found = find_strata(rows, columns, band_ages=lambda ages: ages)
    assert list(found) == ["kind", "volts"]
    assert found["volts"].n_unique() == 4
    assert found["volts"].value_counts()["count"].min() >= 24


def test_the_registry_names_each_column_once():
    """Name, type and step of every column stand in one place."""
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names)) == len(SCHEMA)
    assert [column.name for column in COLUMNS if column.step is None] == ["excluded_by", "reason", "detail"]
