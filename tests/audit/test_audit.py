"""An audit as a whole: the same for the same version, waivers, and what cannot be read."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from curation.audit import audit, rank_doubtful
from curation.audit.balance import find_imbalance
from curation.audit.image_artifacts import measure_artifacts
from curation.audit.measurements import measure_version
from curation.audit.metadata_leaks import find_embedded_metadata
from curation.audit.quality import find_poor
from curation.dataset.columns import Metadata
from curation.dataset.findings import AuditPart
from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from tests.audit.builders import RECIPE, jpeg, lesion, make_version, sample, with_exif
from tests.builders import implied_metadata, texture

MIXED = [
    *(sample(f"m{n}.jpg", jpeg(lesion(n)), label="melanoma", split="test" if n < 3 else "train") for n in range(12)),
    *(sample(f"h{n}.jpg", jpeg(texture(n)), label="healthy", split="test" if n < 3 else "train") for n in range(12)),
]


def ids_of(folder: Path, samples: list[dict[str, object]], **settings: object) -> dict[str, str]:
    """Return finding -> severity."""
    return {each.id: each.severity for each in audit(make_version(folder, samples, **settings)).findings}  # type: ignore[arg-type]  # any settings


@pytest.mark.slow
def test_the_same_version_gives_the_same_findings_byte_for_byte(tmp_path):
    """In another process, with another hash seed and another number of threads."""
    version = make_version(tmp_path, MIXED)
    ours = json.dumps(audit(version).as_json(), sort_keys=True)
    script = (
        "import json, sys; from pathlib import Path; from curation.audit import audit; "
        "from curation.versions import open_folder; "
        "print(json.dumps(audit(open_folder(Path(sys.argv[1]))).as_json(), sort_keys=True))"
    )
    for seed, threads in (("1", "1"), ("2", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == ours


def test_a_waived_finding_stays_with_its_reason_and_fails_nothing(tmp_path):
    """It is listed and does not count."""
    recipe = RECIPE + '[audit.waive]\nbalance-test-size = "known since the start"\nnever-found = "no such thing"\n'
    audited = audit(make_version(tmp_path, MIXED, recipe=recipe))
    waived = next(each for each in audited.findings if each.id == "balance-test-size")
    assert waived.waived == "known since the start"
    assert waived not in audited.at_least("note")
    assert next(each for each in audited.findings if each.id == "waiver-unused").which == ("never-found",)


def test_findings_are_described_in_whole_sentences(tmp_path):
    """Every code has a text, made of whole sentences that end with a full stop."""
    rows = [
        sample("gps.jpg", with_exif(lesion(99)), licence="CC-BY-ND-4.0"),
        {**MIXED[0], "disputed": True},
        *MIXED[1:],
    ]
    recipe = RECIPE + '[audit]\npeople = true\n[audit.waive]\nnever-found = "no such thing"\n'
    audited = audit(make_version(tmp_path, rows, recipe=recipe))
    assert {"balance-strata", "labels-disputed", "licence-no-derivatives", "privacy-metadata", "waiver-unused"} <= {
        each.id for each in audited
    }
    for each in audited:
        for text in (each.says, each.advice):
            assert text.endswith(".")
            assert text[:1] == text[:1].upper()
            assert ".." not in text


def test_findings_come_the_worst_first(tmp_path):
    """Errors, then warnings, then notes, each by its id."""
    order = ["error", "warning", "note"]
    found = [(order.index(each.severity), each.id) for each in audit(make_version(tmp_path, MIXED)).findings]
    assert found == sorted(found)


def test_an_unreadable_file_is_named_and_the_rest_is_audited(tmp_path):
    """A file that was overwritten stops nothing."""
    version = make_version(tmp_path, MIXED)
    broken = version.samples()["file"][0]
    Path(broken).write_bytes(b"<html>not here</html>")
    audited = audit(version)
    found = next(each for each in audited.findings if each.id == "quality-unreadable")
    assert found.count == 1
    assert found.which[0].startswith("src/")
    assert str(tmp_path) not in found.which[0]
    assert audited.probes[0].auc is not None


def test_a_missing_file_is_named_with_how_to_get_it_back(tmp_path):
    """The advice was to build again, which does nothing while the version's folder exists."""
    version = make_version(tmp_path, MIXED)
    missing = Path(version.samples()["file"][0])
    missing.unlink()
    found = next(each for each in audit(version).findings if each.id == "quality-unreadable")
    assert found.which == (f"{version.samples()['id'][0]}: {missing.relative_to(tmp_path).as_posix()} is missing",)
    assert found.facts["reference"] == "tiny@v1"
    assert "`python -m curation build tiny@v1`" in found.advice


def test_a_version_without_images_or_recipe_is_audited_in_words(tmp_path):
    """Absent files and an absent recipe degrade to findings, never to a traceback."""
    version = make_version(tmp_path, MIXED)
    for file in version.samples()["file"]:
        Path(file).unlink()
    (tmp_path / "recipe.toml").unlink()
    audited = audit(version)
    assert next(each for each in audited.findings if each.id == "quality-unreadable").count == len(MIXED)
    assert audited.probes[0].auc is None


def test_metadata_in_a_published_file_is_an_error(tmp_path):
    """EXIF and a position are found by another reader than the one that strips them."""
    samples = [*MIXED[1:], sample("gps.jpg", with_exif(lesion(99)))]
    found = next(each for each in audit(make_version(tmp_path, samples)).findings if each.id == "privacy-metadata")
    assert found.which == ("src/melanoma/gps.jpg: EXIF, GPS position",)


def planted(kind: str) -> bytes:
    """Return an image file with something besides the image."""
    image, out = Image.fromarray(lesion(98)), io.BytesIO()
    if kind == "text chunk":
        told = PngInfo()
        told.add_text("Comment", "Mrs Smith, born 1950")
        image.save(out, "PNG", pnginfo=told)
        return out.getvalue()
    if kind == "maker note":
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x927C] = b"serial 4711"
        image.save(out, "JPEG", exif=exif)
        return out.getvalue()
    plain = jpeg(lesion(98))
    if kind == "bytes after the end":  # a second image, with an end of its own
        return plain + jpeg(lesion(97))
    marker, payload = {
        "comment": (0xFE, b"Mrs Smith"),
        "XMP": (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"<x/>"),
        "APP1 segment": (0xE1, b"FLIR\0" + b"1" * 40),
        "APP7 segment": (0xE7, b"anything"),
        "thumbnail": (0xE0, b"JFXX\0\x10" + jpeg(lesion(97, side=32))),
    }[kind]
    return plain[:2] + bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload + plain[2:]


@pytest.mark.parametrize(
    "kind",
    [
        *("text chunk", "maker note", "comment", "XMP", "APP1 segment", "APP7 segment", "thumbnail"),
        "bytes after the end",
    ],
)
def test_everything_in_a_file_besides_its_image_is_named(kind):
    """Each kind of metadata is named; a plain image has none."""
    content = planted(kind)
    assert kind in find_embedded_metadata(Image.open(io.BytesIO(content)), content)
    plain = jpeg(lesion(98))
    assert find_embedded_metadata(Image.open(io.BytesIO(plain)), plain) == ()


@pytest.mark.parametrize("settings", [{"progressive": True}, {"restart_marker_rows": 1}, {"quality": 100}])
def test_no_image_is_taken_for_a_tail(settings):
    """Scans hold stuffed bytes, restarts and further tables; the end is where the image ends."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "JPEG", **settings)
    assert find_embedded_metadata(Image.open(io.BytesIO(out.getvalue())), out.getvalue()) == ()


def test_disputed_images_in_use_are_named(tmp_path):
    """The audit reports disputed images that are used to reach the count."""
    samples = [{**MIXED[0], "disputed": True, "reserve": True}, *MIXED[1:]]
    assert ids_of(tmp_path, samples)["labels-disputed"] == "warning"


def test_the_same_image_under_two_labels_is_an_error(tmp_path):
    """Two encodings of one image have one right label."""
    twin = sample("twin.jpg", jpeg(lesion(5), quality=70), label="healthy")
    found = audit(make_version(tmp_path, [*MIXED, twin])).findings
    assert next(each for each in found if each.id == "labels-twins").which == (
        "src/healthy/twin.jpg = src/melanoma/m5.jpg",
    )


def test_a_wrong_label_is_the_most_doubtful(tmp_path):
    """A texture among the lesions is first in the ranking."""
    wrong = sample("wrong.jpg", jpeg(texture(77)), label="melanoma")
    ranked, _ = rank_doubtful(measure_version(make_version(tmp_path, [*MIXED, wrong])))
    assert ranked["id"][0] == "src/melanoma/wrong.jpg"
    assert ranked.height == 25


def test_a_runs_embeddings_rank_the_labels(tmp_path):
    """Embeddings by sha256 replace the simple features; a folder without them is an error with a hint."""
    version, run = make_version(tmp_path / "v", MIXED), tmp_path / "run"
    run.mkdir()
    with pytest.raises(CurationError) as caught:
        audit(version, run=run)
    assert caught.value.code == ErrorCode.FILE_MISSING
    (run / "embeddings.parquet").write_bytes(b"no table")
    with pytest.raises(CurationError) as caught:
        audit(version, run=run)
    assert caught.value.code == ErrorCode.FILE_UNREADABLE
    random = np.random.default_rng(0)
    rows = version.samples()
    flipped = rows["sha256"][3]
    sides = [
        (1.0 if label == "melanoma" else -1.0) * (-1 if sha == flipped else 1)
        for label, sha in rows.select("label", "sha256").rows()
    ]
    table = pl.DataFrame(
        {"sha256": rows["sha256"], "embedding": [(side + random.normal(0, 0.2, 4)).tolist() for side in sides]}
    )
    table.write_parquet(run / "embeddings.parquet")
    doubtful = next(each for each in audit(version, run=run).findings if each.id == "labels-doubtful")
    assert doubtful.severity == "warning"
    assert doubtful.which[0] == rows["id"][3]


@pytest.mark.parametrize(
    ("licence", "whole", "finding", "severity"),
    [
        ("CC-BY-NC-4.0", "MIT", "licence-mixed", "error"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0", "licence-non-commercial", "note"),
        ("CC-BY-ND-4.0", "CC0-1.0", "licence-no-derivatives", "error"),
        ("CC-BY-SA-4.0", "CC0-1.0", "licence-share-alike", "error"),
        (None, "CC0-1.0", "licence-missing", "warning"),
    ],
)
def test_a_licence_that_does_not_fit_is_named(tmp_path, licence, whole, finding, severity):
    """What one image demands, the whole may not forget."""
    samples = [{**MIXED[0], "licence": licence}, *MIXED[1:]]
    recipe = RECIPE.replace("CC0-1.0", whole)
    assert ids_of(tmp_path, samples, recipe=recipe)[finding] == severity


def test_a_known_citation_is_not_asked_for(tmp_path):
    """A DOI from the pull is enough."""
    archives = [{"source": "src", "name": "a.zip", "sha256": "0" * 64, "doi": "10.1/2"}]
    assert "licence-citation" not in ids_of(tmp_path / "a", MIXED, archives=archives)
    assert "licence-citation" in ids_of(tmp_path / "b", MIXED)


def test_a_small_test_is_reported_with_its_interval(tmp_path):
    """Six images show next to nothing."""
    found = next(each for each in audit(make_version(tmp_path, MIXED)).findings if each.id == "balance-test-size")
    assert found.figures["pictures"] == 6
    assert found.figures["high"] - found.figures["low"] > 0.4


def test_uneven_classes_are_reported(tmp_path):
    """Nine against three in train."""
    samples = [
        each
        for each in MIXED
        if each["label"] == "melanoma" or str(each["path"]) in {f"healthy/h{n}.jpg" for n in range(6)}
    ]
    assert ids_of(tmp_path, samples)["balance-classes"] == "warning"


def checks_of(part: AuditPart) -> dict[str, str]:
    """Return the code of each check -> its result."""
    return {each.id: each.result for each in part.checks}


def people(**columns: object) -> list[dict[str, object]]:
    """Return forty-eight kept rows, half of each class, with these columns by (number, label)."""
    rows = []
    for number in range(48):
        label = "melanoma" if number % 2 else "healthy"
        told = {name: value(number, label) for name, value in columns.items()}
        rows.append(sample(f"{number}.jpg", b"", label=label, split="test" if number < 8 else "train", **told))
    return rows


def table_of(rows: list[dict[str, object]]) -> tuple[pl.DataFrame, tuple[Metadata, ...]]:
    """Return the rows as the manifest holds them, and its metadata columns."""
    table = pl.DataFrame([{k: v for k, v in row.items() if k != "content"} for row in rows])
    manifest = Manifest(table, implied_metadata(table.columns))
    return manifest.kept, manifest.metadata


def test_people_and_sources_are_counted_by_class_and_split():
    """Each value has its row, ages come in bands, the rarest together, and what is not known last."""
    rows = table_of(
        people(
            age=lambda number, _: None if number == 1 else 85.0 if number == 0 else 41.0,
            site=lambda number, _: f"site {number:02}",
        )
    )
    tallies = {each.name: each for each in find_imbalance(*rows).crosstabs}
    assert list(tallies) == ["source", "site", "age"]
    heads = ("train: healthy", "train: melanoma", "test: healthy", "test: melanoma")
    assert tallies["source"].columns == heads
    assert tallies["source"].rows == (("src", (20, 20, 4, 4)),)
    assert dict(tallies["age"].rows) == {
        "40 to 59": (20, 20, 3, 3),
        "80 and over": (0, 0, 1, 0),
        "not known": (0, 0, 0, 1),
    }
    assert [name for name, _ in tallies["site"].rows][-1] == "others"
    assert sum(sum(numbers) for _, numbers in tallies["site"].rows) == 48


def test_a_stratum_that_goes_with_the_label_is_a_warning():
    """Where most men are ill and most women well, a model may learn the sex."""
    skewed = table_of(
        people(sex=lambda number, label: "male" if (label == "melanoma") != (number % 8 == 0) else "female")
    )
    found = {each.id: each for each in find_imbalance(*skewed).findings}
    assert found["balance-sex"].severity == "warning"
    assert found["balance-sex"].figures["cramers_v"] > 0.5
    assert ["melanoma", "male"] in [[label, value] for label, value, _ in found["balance-sex"].facts["commonest"]]
    assert "male" in found["balance-sex"].says
    even = table_of(people(sex=lambda number, _: "male" if number % 4 < 2 else "female"))
    assert "balance-sex" not in {each.id for each in find_imbalance(*even).findings}


def test_strata_known_for_one_class_only_are_reported():
    """Whether it works alike for everybody cannot be checked then."""
    rows = table_of(people(sex=lambda _, label: "male" if label == "melanoma" else None))
    told = next(each for each in find_imbalance(*rows).findings if each.id == "balance-strata")
    assert told.facts["partial"] == ["sex"]
    assert told.facts["unknown"] == ["site", "skin_type", "age"]


def test_people_are_checked_only_where_there_are_any(tmp_path):
    """The audit of cats and dogs reported that sex, site, skin type and age are unknown."""
    rows = table_of(people())
    silent, named = (
        find_imbalance(*rows),
        find_imbalance(rows[0].with_columns(gender=None), [Metadata("gender", "sex")]),
    )
    assert "balance-strata" not in {each.id for each in silent.findings}
    assert "strata" not in checks_of(silent)
    assert "clinic" not in " ".join(each.says for each in silent.findings)
    assert next(e for e in named.findings if e.id == "balance-strata").facts["unknown"][:2] == ["sex", "site"]
    assert "sex known for 0" in checks_of(named)["strata"]
    assert "strata" in checks_of(find_imbalance(*table_of(people(lesion=lambda number, _: f"L{number}"))))
    unknown = [{**row, "sex": None} for row in MIXED]
    assert "balance-strata" in ids_of(tmp_path / "named", unknown)
    shown = (
        RECIPE + "[audit]\npeople = true\n"
        if "[audit]" not in RECIPE
        else RECIPE.replace("[audit]", "[audit]\npeople = true")
    )
    assert "balance-strata" in ids_of(tmp_path / "people", MIXED, recipe=shown)
    assert "balance-strata" not in ids_of(tmp_path / "broken", MIXED, recipe="sources = 5")


def test_columns_of_any_name_are_checked_by_their_roles(tmp_path):
    """A patient column named `pid` is checked for leakage and privacy, and a column without a role is a stratum."""
    samples = [dict(each) for each in MIXED]
    for number, row in enumerate(samples):
        row |= {"pid": "P1" if number in (0, 5) else f"Q{number}", "device": f"d{number % 2}"}
    version = make_version(tmp_path, samples, metadata=[Metadata("pid", "patient"), Metadata("device")])
    audited = audit(version)
    found = {each.id: each for each in audited}
    assert found["leakage-patient"].which == ("P1: src/melanoma/m0.jpg = src/melanoma/m5.jpg",)
    assert found["privacy-patients"].count == len(MIXED)
    assert {each.name for each in audited.crosstabs} == {"source", "device", "quality"}


def test_text_that_is_burned_into_an_image_is_a_privacy_finding(tmp_path):
    """A DICOM states so in its BurnedInAnnotation tag."""
    samples = [{**row, "burned_in_annotation": "YES" if number == 2 else "NO"} for number, row in enumerate(MIXED)]
    version = make_version(tmp_path, samples, metadata=[Metadata("burned_in_annotation", "burned_in")])
    found = {each.id: each for each in audit(version)}["privacy-burned-in"]
    assert (found.severity, found.count, found.which) == ("error", 1, (samples[2]["id"],))


def test_quality_is_reported_by_class_and_split(tmp_path):
    """A black border on the test images of one class shows in that column alone."""
    framed = lesion(50).copy()
    framed[:20] = 3
    rows = [*MIXED[3:], *(sample(f"f{n}.jpg", jpeg(framed), split="test") for n in range(3))]
    tally = next(each for each in audit(make_version(tmp_path, rows)).crosstabs if each.name == "quality")
    shares = dict(zip(tally.columns, dict(tally.rows)["images that have black areas at their border"], strict=True))
    assert shares == {"train: healthy": 0, "train: melanoma": 0, "test: healthy": 0, "test: melanoma": 1}


def test_a_test_that_differs_from_train_is_a_warning(tmp_path):
    """Black borders in half of the tested images and in none of the training images: a warning with figures."""
    framed = lesion(50).copy()
    framed[:20] = 3
    rows = [sample(f"t{n}.jpg", jpeg(lesion(n))) for n in range(20)]
    rows += [sample(f"f{n}.jpg", jpeg(framed if n % 2 else lesion(60 + n)), split="test") for n in range(10)]
    found = {each.id: each for each in find_poor(measure_version(make_version(tmp_path, rows))).findings}
    assert found["quality-border"].severity == "warning"
    assert found["quality-border"].facts["shifts"] == [["melanoma", "test", 0.5, 0.0]]
    assert "50 % of melanoma in test, 0 % in train" in found["quality-border"].says


def test_a_waiver_that_came_later_counts_too(tmp_path):
    """What was accepted after the version was published need not wait for the next one."""
    version = make_version(tmp_path, MIXED)
    audited = audit(version, waivers={"balance-test-size": "known by now"})
    assert next(each for each in audited if each.id == "balance-test-size").waived == "known by now"


def skin() -> Image.Image:
    """Return plain skin."""
    return Image.new("RGB", (128, 128), (210, 170, 150))


def test_hairs_a_ruler_and_a_black_border_are_measured():
    """Each shows in its own value, and plain skin in none."""
    plain = measure_artifacts(skin())
    assert plain["hair"] == plain["ruler"] == plain["black_border"] == 0
    hairy = skin()
    draw = ImageDraw.Draw(hairy)
    for start in range(10, 120, 20):
        draw.line((start, 5, start + 30, 120), fill=(60, 40, 30), width=2)
    assert measure_artifacts(hairy)["hair"] > 0.03
    ruled = skin()
    draw = ImageDraw.Draw(ruled)
    for start in range(4, 128, 8):
        draw.line((start, 0, start, 9), fill=(20, 20, 20), width=2)
    assert measure_artifacts(ruled)["ruler"] > 0.75
    framed = skin()
    ImageDraw.Draw(framed).rectangle((0, 0, 127, 15), fill=(5, 5, 5))
    assert measure_artifacts(framed)["black_border"] == pytest.approx(0.125, abs=0.02)


def share_of_border(gray: np.ndarray) -> float:
    """Return the share that is measured as a black border of a drawn image, (height, width) gray levels."""
    return measure_artifacts(Image.fromarray(np.clip(gray, 0, 255).astype(np.uint8)).convert("RGB"))["black_border"]


def test_a_frame_is_a_border_and_a_dark_background_is_none():
    """Bars, corners and a round field of view are borders; an object or a scene before black is not."""
    noise = np.random.default_rng(3).normal(0, 6, (160, 160))
    down, across = np.indices((160, 160)) - 79.5
    distance = np.hypot(down, across)
    framed, bars, ants, night = noise + 150, noise + 150, np.full((160, 160), 4.0), noise * 2 + 12
    framed[:12] = framed[-12:] = framed[:, :12] = framed[:, -12:] = 2
    bars[:30] = bars[-30:] = 0
    assert share_of_border(framed) == pytest.approx(1 - 136**2 / 160**2, abs=0.03)
    assert share_of_border(bars) == pytest.approx(60 / 160, abs=0.03)
    assert share_of_border(np.where(distance < 78, noise + 150, 3)) == pytest.approx(0.25, abs=0.04)
    assert share_of_border(np.where(distance < 78, 150, 150 - 12 * (distance - 78))) > 0.1, "a vignette"
    ants[60:100, 10:150] = ants[10:150, 60:100] = 150
    night[60:, :50] = night[90:, 50:] = 150
    assert share_of_border(ants) == share_of_border(night) == 0
    assert share_of_border(np.where(distance < 40, noise + 150, 3)) == 0, "a small object before black"


def test_a_dark_lesion_in_the_center_is_neither_border_nor_hair():
    """Black that does not touch the border is what the image is about."""
    image = skin()
    ImageDraw.Draw(image).ellipse((40, 40, 90, 90), fill=(10, 8, 8))
    measured = measure_artifacts(image)
    assert measured["black_border"] == 0
    assert measured["hair"] < 0.01
