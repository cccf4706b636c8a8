"""An injected shortcut is found, its remedy removes it, and without a shortcut none is reported."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from curation.audit import audit
from curation.audit.remedies import advise, try_remedies
from curation.audit.shortcuts import find_shortcuts, probe_shortcuts
from curation.dataset.findings import Finding, Probe
from curation.pipeline import Options, build
from curation.versions import Home, load
from tests.audit.builders import jpeg, make_version, measure, sample
from tests.builders import as_bytes, texture, write_recipe, write_source

PLANTED = """
[duplicates]
radius = 0
"""


def auc_of(probes: tuple[Probe, ...], name: str) -> float:
    """Return the area that one probe gives."""
    value = next(each.auc for each in probes if each.name == name)
    assert value is not None
    return value


def samples_of(change, *, count: int = 30) -> list[dict[str, object]]:
    """Return two classes of the same kind of image; what ``change`` returns is the file of the second class."""
    one = [sample(f"a{n}.jpg", jpeg(texture(n)), label="healthy", source="a" if n % 2 else "b") for n in range(count)]
    other = [
        sample(f"b{n}.jpg", change(texture(500 + n)), label="melanoma", source="a" if n % 2 else "b")
        for n in range(count)
    ]
    return one + other


@pytest.mark.slow
@pytest.mark.parametrize(("encode", "found"), [("keep", True), ("uniform", False)])
def test_another_jpeg_quality_is_found_where_files_are_kept_and_gone_where_they_are_uniform(tmp_path, encode, found):
    """One class saved at quality 70, the other at 92: an AUC over 0.95 on the tables, and 0.5 after the remedy."""
    files = {f"melanoma/m{n}.jpg": as_bytes(texture(n), quality=70) for n in range(34)}
    files |= {f"healthy/h{n}.jpg": as_bytes(texture(900 + n), quality=92) for n in range(34)}
    write_source(tmp_path / "images", files)
    folder = write_recipe(tmp_path / "datasets", images=tmp_path / "images", train=30, test=4, more=PLANTED)
    text = (folder / "recipe.toml").read_text().replace("short_side = 48", f'short_side = 96\nencode = "{encode}"')
    (folder / "recipe.toml").write_text(text)
    home = Home(tmp_path / "datasets")
    build("tiny", Options(home=home))
    audited = audit(load(home, "tiny"))
    value = auc_of(audited.probes, "encoding")
    assert (value > 0.95) if found else (value == 0.5)
    assert ("shortcut-encoding" in {finding.id for finding in audited.findings}) is found


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("encoding", lambda pixels: jpeg(pixels, quality=70)),
        ("frame", lambda pixels: jpeg(pixels[:80])),
        ("sharpness", lambda pixels: jpeg(np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.5))))),
        ("border", lambda pixels: jpeg(np.pad(pixels[6:-6, 6:-6], ((6, 6), (6, 6), (0, 0))))),
        ("colour", lambda pixels: jpeg((pixels * np.array([1.0, 0.8, 0.6])).astype(np.uint8))),
        ("surroundings", lambda pixels: jpeg(np.vstack([pixels[:24] // 3, pixels[24:]]))),
    ],
)
def test_each_probe_sees_the_shortcut_it_is_for(tmp_path, name, change):
    """A planted shortcut is an error of that name, by an interval that stays over 0.9."""
    measured = measure(tmp_path, samples_of(change))
    outcome = find_shortcuts(measured, probe_shortcuts(measured))
    severities = {finding.id: finding.severity for finding in outcome.findings}
    assert severities[f"shortcut-{name}"] == "error"


@pytest.mark.slow
def test_two_classes_of_the_same_kind_have_no_shortcut(tmp_path):
    """Without a shortcut no probe gives an error or a warning."""
    measured = measure(tmp_path, samples_of(jpeg, count=60))
    outcome = find_shortcuts(measured, probe_shortcuts(measured))
    assert [finding.id for finding in outcome.findings if finding.severity != "note"] == []


def test_a_class_with_a_source_of_its_own_is_named(tmp_path):
    """Camera and class are then one and the same."""
    samples = [
        sample(f"{label}{n}.jpg", jpeg(texture(n)), label=label, source=source)
        for label, source in (("healthy", "skin"), ("melanoma", "isic"))
        for n in range(3)
    ]
    outcome = find_shortcuts(measure(tmp_path, samples), ())
    assert [finding.id for finding in outcome.findings] == ["shortcut-source"]


def test_too_few_groups_are_a_warning(tmp_path):
    """Three images per class are too few for a probe, which is a warning of its own."""
    measured = measure(tmp_path, samples_of(jpeg, count=3))
    probes = probe_shortcuts(measured)
    assert {each.auc for each in probes} == {None}
    assert "shortcut-unknown" in {finding.id for finding in find_shortcuts(measured, probes).findings}


@pytest.mark.parametrize(
    ("auc", "low", "high", "unknown"),
    [
        (0.714, 0.385, 0.903, True),
        (1.0, 0.6, 1.0, True),
        (0.5, 0.224, 0.776, True),
        (0.5, 0.376, 0.624, False),
        (0.8, 0.71, 0.91, False),
    ],
)
def test_an_interval_too_wide_to_tell_is_a_warning(tmp_path, auc, low, high, unknown):
    """Twelve images show neither a shortcut nor its absence; where one is shown the warning is not needed."""
    probe = Probe(name="border", looks_at="the border", auc=auc, low=low, high=high, label="cat")
    outcome = find_shortcuts(measure(tmp_path, samples_of(jpeg, count=6)), (probe,))
    found = [each for each in outcome.findings if each.id == "shortcut-unknown"]
    assert [each.severity for each in found] == ["warning"] * unknown
    assert all(each.count == 12 for each in found)


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """Return the probes after each remedy, of classes unlike in light and encoding, and whether all files stayed."""
    folder = tmp_path_factory.mktemp("trial")
    tint = np.array([0.98, 0.75, 0.52])  # as bright as the others

    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    plain = [sample(f"a{n}.jpg", jpeg((texture(n) * 0.75).astype(np.uint8)), label="healthy") for n in range(30)]
    tinted = [sample(f"b{n}.jpg", jpeg((texture(500 + n) * tint).astype(np.uint8), quality=70)) for n in range(30)]
    version = make_version(folder, [*plain, *tinted])
    before = state()
    return try_remedies(version).probes, state() == before


@pytest.mark.slow
def test_uniform_encoding_is_shown_to_take_the_tables_away(trial):
    """The remedies are tried on the published images, and each shows its own effect."""
    tried, _ = trial
    assert auc_of(tried["as published"], "encoding") == 1.0
    assert auc_of(tried['encode = "uniform", short_side = 96'], "encoding") == 0.5


@pytest.mark.slow
def test_gray_world_is_shown_to_take_a_tint_away(trial):
    """The mean color predicts a tinted light, and much less so after the remedy."""
    tried, _ = trial
    assert auc_of(tried["as published"], "colour") > 0.9
    assert auc_of(tried['colour_constancy = "grey-world"'], "colour") < auc_of(tried["as published"], "colour") - 0.1


def tried_probe(name, auc):
    """Return a probe that gave ``auc``."""
    return Probe(name=name, looks_at="something", auc=auc, low=auc, high=auc, label="cat")


@pytest.mark.parametrize(
    ("gives", "best", "after", "helps", "worse"),
    [
        ({"a": 0.6, "all of them": 0.7, "b": 0.99}, "a", 0.6, True, ["b"]),
        ({"a": 0.9, "all of them": 0.5}, "all of them", 0.5, True, []),
        ({"a": 0.94, "b": 0.999}, "a", 0.94, False, ["b"]),
    ],
)
def test_the_advice_goes_by_what_was_measured(gives, best, after, helps, worse):
    """The remedy that helped most here is named, one that harms too, and none that did nothing is advised."""
    tried = {name: (tried_probe("colour", auc),) for name, auc in {"as published": 0.95, **gives}.items()}
    figures = {"auc": 0.95, "low": 0.9, "high": 0.97}
    facts = {"looks_at": "the mean color", "label": "cat"}
    found = Finding(id="shortcut-colour", severity="error", count=9, figures=figures, facts=facts)
    (tested,) = advise([found], tried)
    assert tested.facts["remedies"] == {"before": 0.95, "best": best, "after": after, "helps": helps, "worse": worse}
    assert tested.says == found.says
    assert (found.advice in tested.advice) is helps
    assert all(f"`{name}`" in tested.advice for name in worse)


def test_the_advice_is_to_try_an_untried_remedy_first(tmp_path):
    """The advice named a remedy that `--remedies` then showed to make it worse."""
    audited = audit(make_version(tmp_path, samples_of(lambda pixels: jpeg(pixels // 2), count=8)))
    advice = {each.id: each.advice for each in audited.findings if each.topic == "shortcut"}
    assert "`python -m curation audit tiny@v1 --remedies`" in advice["shortcut-colour"]
    assert "--remedies" not in advice.get("shortcut-thumbnail", "")


def test_a_published_file_that_cannot_be_rendered_again_is_named_and_the_trials_go_on(tmp_path):
    """Pillow opens a 16-bit image that the decoding rules refuse: the remedies are tried on all others."""
    version = make_version(tmp_path, samples_of(jpeg, count=6))
    strange = version.samples().row(0, named=True)
    Image.fromarray(np.arange(64 * 64, dtype=np.float32).reshape(64, 64)).save(strange["file"], format="TIFF")
    audited = audit(version, remedies=True)
    found = next(each for each in audited.findings if each.id == "quality-not-rendered")
    assert found.severity == "warning"
    assert [line.partition(":")[0] for line in found.which] == [strange["id"]]
    assert len(audited.remedies) == 7
    assert "quality-unreadable" not in {each.id for each in audited.findings}


def test_a_file_that_cannot_be_opened_at_all_is_in_one_finding_only(tmp_path):
    """The trials do not repeat what the audit reports about such a file."""
    version = make_version(tmp_path, samples_of(jpeg, count=1))
    Path(version.samples()["file"][0]).write_bytes(b"<html>not here</html>")
    found = {each.id for each in audit(version, remedies=True).findings}
    assert "quality-unreadable" in found
    assert "quality-not-rendered" not in found


@pytest.mark.slow
def test_trying_remedies_writes_nothing(trial):
    """The version's files are as they were."""
    _, unchanged = trial
    assert unchanged
