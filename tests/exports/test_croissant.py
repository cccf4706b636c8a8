"""``croissant.json`` says what a version is, to people, search engines and loaders."""

import hashlib
import json
import shutil

import polars as pl
import pytest

from curation import build, verify
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import load_recipe
from curation.exports.croissant import describe
from curation.sources import Fetched
from curation.storage.archive_index import Archive
from tests.builders import implied_metadata
from tests.exports.builders import LICENCE, build_hostile, options_in


@pytest.fixture(scope="module")
def content(version):
    """Return what stands in the version's file."""
    return json.loads((version.folder / "croissant.json").read_bytes())


def fetched(name: str, **told) -> Fetched:
    """Return what a source gave, with what it says of itself."""
    plain = {"version": None, "licence": None, "doi": None, "citation": None, "url": None, "origin": "network"}
    archive = Archive(path=None, name=f"{name}.zip", sha256="a" * 64, size_bytes=1)
    return Fetched(source=name, archives=(archive,), **{**plain, **told})


def describe_with(version, recipe, *given):
    """Return the description of the version as if its sources had given this."""
    files = {"metadata.csv": b"m", "manifest.parquet": b"p"}
    return describe(recipe, version.description, version.manifest, given, files=files, published="2026-11-24")


@pytest.fixture
def recipe(version):
    """Return the version's recipe, read from next to its images."""
    return load_recipe(version.folder.parents[2] / "hostile")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")  # its JSON-LD parser uses its own deprecated graph
def test_mlcroissant_finds_no_fault_and_loads_the_samples(version):
    """The file is valid Croissant 1.1, and each record has its image, class, split and checksum."""
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(version.folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())
    assert dataset.metadata.ctx.is_v1_1()
    found = []
    for record in dataset.records("samples"):
        assert record["samples/image"].size == (48, 48)
        names = ("samples/name", "samples/label", "samples/split", "samples/sha256")
        found.append(tuple(record[name].decode() for name in names))
    kept = version.manifest.kept.select(pl.col("file").str.extract(r"([^/]+)$"), "label", "split", "sha256")
    assert sorted(found) == sorted(kept.rows())
    splits = [record["splits/name"] for record in dataset.records("splits")]
    assert splits == ["train", "val", "test"]


def test_the_context_is_the_prescribed_one(content):
    """Every term of Croissant 1.1 is in the context, as mlcroissant itself writes it, and no other."""
    pytest.importorskip("mlcroissant")
    from mlcroissant._src.core.context import Context, CroissantVersion
    from mlcroissant._src.core.rdf import make_context

    context = Context()
    context.conforms_to = CroissantVersion.V_1_1
    assert content["@context"] == make_context(context)


def test_files_carry_their_checksums(content, version):
    """The tables can be checked, and through the manifest every image."""
    objects = {each["@id"]: each for each in content["distribution"] if each["@type"] == "cr:FileObject"}
    for name in ("metadata.csv", "manifest.parquet"):
        file = (version.folder / name).read_bytes()
        assert objects[name]["sha256"] == hashlib.sha256(file).hexdigest()
        assert objects[name]["contentSize"] == f"{len(file)} B"
    assert content["identifier"] == f"sha256:{version.digest}"
    assert content["version"] == "1.0.0"


def test_responsible_ai_fields_say_what_the_manifest_shows(content):
    """Counts, protocols, limits and privacy are there, and none is empty."""
    fields = {key: value for key, value in content.items() if key.startswith("rai:")}
    assert all(fields.values())
    assert fields["rai:dataCollection"].startswith("27 files ")
    assert fields["rai:dataCollectionMissingData"].startswith("2 files could not be read")
    assert any("shorter side of 48 px" in each for each in fields["rai:dataPreprocessingProtocol"])
    assert any("no data about persons" in each for each in fields["rai:personalSensitiveInformation"])
    assert {"rai:dataBiases", "rai:dataLimitations", "rai:dataUseCases", "rai:dataReleaseMaintenancePlan"} <= set(
        fields
    )


def test_personal_columns_are_named(version, recipe):
    """Age and sex in the manifest are told, as they concern persons."""
    rows = version.manifest.rows.with_columns(age=pl.lit(55.0), sex=pl.lit("female"))
    files = {"metadata.csv": b"", "manifest.parquet": b""}
    content = describe(
        recipe,
        version.description,
        Manifest(rows, implied_metadata(rows.columns)),
        [fetched("src")],
        files=files,
        published="2026-11-24",
    )
    assert any("age and sex" in each for each in content["rai:personalSensitiveInformation"])


def test_the_recipes_licence_wins_over_the_sources(version, recipe):
    """What the set is published under is the maker's word; an SPDX name becomes its address."""
    own = recipe.model_copy(update={"licence": "CC-BY-4.0"})
    content = describe_with(version, own, fetched("src", licence="CC0-1.0"))
    assert content["license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]


def test_without_a_licence_all_of_the_sources_hold(version, recipe):
    """Every source's licence is named, in its own words if it is not an SPDX name; a missing one is not free."""
    assert describe_with(version, recipe, fetched("src"))["license"] == [LICENCE]
    silent = recipe.model_copy(update={"sources": (recipe.sources[0].model_copy(update={"licence": None}),) * 2})
    told = describe_with(version, silent, fetched("a", licence="CC-BY-NC-4.0"), fetched("b", licence="ask the author"))
    assert told["license"] == ["ask the author", "https://spdx.org/licenses/CC-BY-NC-4.0.html"]
    assert describe_with(version, silent, fetched("a"), fetched("b"))["license"] == ["not stated by its sources"]


def test_citations_and_addresses_of_the_sources_are_carried_on(version, recipe):
    """A citation of the set cites its sources; if there is one source, its DOI is the address."""
    told = describe_with(
        version, recipe, fetched("src", doi="10.1/x", citation="Doe,\n J. (2020)", url="https://a.b/c")
    )
    assert told["citeAs"].endswith(". Made from: Doe, J. (2020)")
    assert version.digest in told["citeAs"]
    assert told["url"] == "https://doi.org/10.1/x"
    (origin,) = told["isBasedOn"]
    assert (origin["url"], origin["sameAs"]) == ("https://a.b/c", "https://doi.org/10.1/x")
    assert origin["distribution"][0]["sha256"] == "a" * 64


def test_a_title_cannot_end_a_script_element(version, content):
    """A page that shows the file inside ``<script>`` is not opened by what a stranger wrote."""
    text = (version.folder / "croissant.json").read_text(encoding="utf-8")
    assert content["alternateName"].startswith("<script>")
    assert not set("<>&") & set(text)
    assert text.isascii()


@pytest.mark.slow
def test_a_version_made_again_says_the_same(tmp_path):
    """The day in it is the day of publication, however much later its files are made again."""
    version = build_hostile(tmp_path)
    options = options_in(tmp_path)
    text = (version.folder / "croissant.json").read_bytes()
    today = json.loads(text)["datePublished"]
    lines = options.home.lines("hostile")
    lines.write_bytes(lines.read_bytes().replace(f'"{today}'.encode(), b'"2020-02-29'))
    shutil.rmtree(version.folder)
    assert build("hostile", options).outcome == "restored"
    again = (version.folder / "croissant.json").read_bytes()
    assert again == text.replace(f'"{today}"'.encode(), b'"2020-02-29"')
    assert not verify(options.home, "hostile").problems
