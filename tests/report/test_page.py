"""The page in a browser: harmless with hostile data, without requests, readable at any width, light and dark."""

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curation.audit import audit
from curation.dataset.findings import Audit, Finding, Probe, Severity
from curation.hashing import Fingerprints
from curation.pipeline import Options, build
from curation.report import excluded_gallery
from curation.report import page as page_module
from curation.report.page import read_recipe, write_page
from curation.report.risk import assess_risk
from curation.report.version_diff import Changes, compare
from curation.versions import Home, load
from tests.audit.builders import jpeg, lesion, make_version, sample
from tests.builders import (
    as_bytes,
    make_manifest,
    make_recipe,
    make_row,
    texture,
    tiny_images,
    write_recipe,
    write_source,
)
from tests.report.builders import hostile_version, open_page, page_of

SIZES = [(1280, 900), (390, 844)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a version in which every string is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    html, _ = page_of(hostile_version(folder))
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page that a build wrote."""
    folder = tmp_path_factory.mktemp("built")
    images = write_source(folder / "images", tiny_images())
    write_recipe(folder / "datasets", images=images)
    home = Home(folder / "datasets")
    build("tiny", Options(home=home))
    return load(home, "tiny").folder / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_hostile_strings_do_nothing(hostile, scheme, width, height):
    """No script runs, no request is made, the console stays empty, and nothing leaves the page."""
    with open_page(hostile, viewport={"width": width, "height": height}, color_scheme=scheme) as (page, said):
        assert page.title() != "stolen"
        assert page.evaluate("document.scripts.length") == 0
        assert (
            page.evaluate("document.querySelectorAll('img, iframe, object, embed, link[rel=stylesheet]').length") == 0
        )
        assert page.evaluate(
            "[...document.querySelectorAll('*')].every(e => ![...e.attributes].some(a => a.name.startsWith('on')))"
        )
        assert page.locator("main").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for summary in page.locator("summary").all():
            summary.evaluate("each => each.parentElement.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []


@pytest.mark.slow
def test_hostile_strings_are_shown_as_what_they_are(hostile):
    """A reader sees the tag as text."""
    with open_page(hostile) as (page, _):
        assert "<script>document.title" in page.locator("h1").inner_text()
        assert page.get_by_text("🩺 mole 😎").count() > 0


def test_no_hostile_string_stands_in_the_source_as_it_is(hostile):
    """Neither in the text nor in an attribute."""
    html = hostile.read_text(encoding="utf-8")
    assert "<script" not in html.lower()
    assert "onload=alert" not in re.sub(r"&[^;]+;", "", html) or "<svg onload" not in html
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", html)[0]
    assert html.count("</style>") == 1
    assert "\x00" not in html
    assert "\x1b" not in html


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_and_every_section_a_name(built, scheme):
    """Text has a contrast of 4.5 to 1; headings nest, sections have names, scrolling parts can be focused."""
    with open_page(built, color_scheme=scheme) as (page, said):
        low = page.evaluate(CONTRAST)
        assert low == []
        assert page.evaluate(
            "[...document.querySelectorAll('section')]"
            ".every(s => document.getElementById(s.getAttribute('aria-labelledby')))"
        )
        images = "[...document.querySelectorAll('[role=img]')]"
        unnamed = images + ".filter(e => !(e.title || e.getAttribute('aria-label'))).length"
        assert page.evaluate(unnamed) == 0
        assert page.evaluate("document.documentElement.lang") == "en"
        levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => +e.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        scrolling = "[...document.querySelectorAll('.scroll')]"
        assert page.evaluate(scrolling + ".every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
        assert all(
            page.evaluate(
                "[...document.querySelectorAll('nav a')].map(a => !!document.querySelector(a.getAttribute('href')))"
            )
        )
        assert said == []


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const channel = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const ground = each => { for (; each; each = each.parentElement) {
    const c = parse(getComputedStyle(each).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const found = [];
  const texts = 'p, th, td, h1, h2, h3, li, summary, small, a, code, figcaption, span.badge';
  for (const each of document.querySelectorAll(texts)) {
    if (!each.textContent.trim() || each.className === 'skip') continue;
    const a = light(parse(getComputedStyle(each).color)), b = light(ground(each));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push([each.tagName, ratio.toFixed(2), each.textContent.trim().slice(0, 30)].join(' '));
  }
  return found;
}"""


def test_the_risk_is_the_first_section_of_a_page(built):
    """Before the story, before the images, before any praise."""
    html = built.read_text(encoding="utf-8")
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert heads[0].startswith(
        ("The source of an image alone", "The label can be", "Too few images", "It is not known")
    )
    assert html.index('id="risk"') < html.index('id="story"')


def test_the_page_has_every_section(built):
    """Every part that was promised has its section."""
    html = built.read_text(encoding="utf-8")
    for name in (
        "risk",
        "story",
        "splits",
        "findings",
        "images",
        "duplicates",
        "conflicts",
        "unreadable",
        "threshold",
        "quality",
        "changes",
        "origin",
    ):
        assert f'<section id="{name}"' in html
    assert "python -m curation build tiny@v1" in html
    assert "From 23 files to 16 images" in html


def test_a_page_is_the_same_when_it_is_made_again(tmp_path):
    """No clock, no machine, no chance."""
    version = make_version(
        tmp_path, [sample(f"{n}.jpg", jpeg(lesion(n)), split="test" if n < 2 else "train") for n in range(6)]
    )
    assert page_of(version)[0] == page_of(version)[0]


def test_the_threshold_counts_pairs_of_equal_hashes_too(tmp_path):
    """One image in two files lies at 0 bits; that bar was empty, as equal hashes were searched as one."""
    once, again = (as_bytes(texture(903), quality=quality) for quality in (95, 88))
    images = write_source(tmp_path / "images", {**tiny_images(), "melanoma/one.jpg": once, "melanoma/two.jpg": again})
    write_recipe(tmp_path / "datasets", images=images)
    built = build("tiny", Options(home=Home(tmp_path / "datasets")))
    rows = built.manifest.rows.filter(pl.col("path").str.contains("one|two"))
    assert rows["phash"].n_unique() == 1
    html = (built.folder / "report.html").read_text(encoding="utf-8")
    assert "<title>0 bits: 1 the same image</title>" in html
    assert "<p>1 file repeats 1 other. The first of each row" in html


def test_many_files_of_one_hash_are_counted_without_every_pair():
    """Each is then paired with the first of them only, and the result reports it."""
    table = make_manifest([make_row(f"{n}.jpg", phash=5, flat=False) for n in range(4)])
    thumbnail = np.arange(1024, dtype=np.uint16).reshape(1, 32, 32).astype(np.uint8)
    prints = Fingerprints(np.full((4, 8), 5, np.uint64), np.tile(thumbnail, (4, 1, 1)))
    pairs, pairing = excluded_gallery.find_pairs(table, prints, make_recipe(), max_equal_pairs=2)
    assert pairs.height == 3
    assert set(pairs["distance"]) == {0}
    assert pairing == "first-of-equal"


@pytest.mark.slow
def test_a_page_stays_below_three_megabytes_and_paints(tmp_path):
    """On noise, which compresses worst, and many excluded images; how soon it paints is printed, as machines differ."""
    rng = np.random.default_rng(1)
    contents = [jpeg(rng.integers(0, 256, (96, 96, 3), np.uint8)) for _ in range(60)]
    samples = [
        sample(
            f"{n}.jpg",
            contents[n % 60],
            label="melanoma" if n % 2 else "healthy",
            split="test" if n % 5 == 0 else "train",
        )
        for n in range(3000)
    ]
    version = make_version(tmp_path, samples)
    audited = audit(make_version(tmp_path / "few", samples[:40]))
    noise = {f"src/{n}.jpg": Image.fromarray(rng.integers(0, 256, (88, 88, 3), np.uint8)) for n in range(300)}
    html = write_page(version, read_recipe(version), audited, evidence=excluded_gallery.Evidence(noise))
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    shown = html.count('class="t s')
    assert 300 < shown <= 1200
    assert path.stat().st_size < 3_000_000
    assert f"{shown:,} of 3,000 images are shown" in html
    assert "export tiny@v1 FOLDER --to csv" in html
    with open_page(path) as (page, said):
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        print(f"{path.stat().st_size / 1e6:.2f} MB, {shown} images, first contentful paint after {paint:.0f} ms")
        assert paint > 0
        assert said == []


def test_a_page_names_the_classes_that_it_does_not_show(tmp_path, monkeypatch):
    """With hundreds of classes some have no gallery; the page lists them, and the command that has all images."""
    monkeypatch.setattr(page_module, "MAX_GALLERIES", 2)
    samples = [
        sample(f"{n}.jpg", jpeg(texture(n)), label=label, split=split)
        for n, (label, split) in enumerate((a, b) for a in ("melanoma", "healthy") for b in ("train", "val", "test"))
    ]
    html, _ = page_of(make_version(tmp_path, samples))
    assert "2 of 6 images are shown; 4 of the splits and classes are not" in html
    assert "val: healthy" in html


def test_a_version_without_probes_reports_an_unknown_risk(tmp_path):
    """Without probes the risk is reported as unknown."""
    version = make_version(tmp_path, [sample("a.jpg", jpeg(lesion(1)))])
    risk = assess_risk(audit(version))
    assert risk.severity == "warning"
    assert risk.headline.startswith("It is not known")


def test_texts_of_the_audit_are_not_shortened(tmp_path):
    """A check of two splits lost its middle, as if it were a path: "of its smallest class alone, …7 %)"."""
    splits = ["train", "train", "train", "val", "test", "test"]
    samples = [
        sample(f"{label}{n}.jpg", jpeg(texture(n)), label=label, split=split)
        for label in ("healthy", "melanoma")
        for n, split in enumerate(splits)
    ]
    html, audited = page_of(make_version(tmp_path, samples))
    said = next(each.result for each in audited.checks if each.id == "test-size")
    assert len(said) > 400
    assert html.count(said[1:]) == 2  # once as a sentence, once among the checks


def test_a_conflict_that_a_person_settled_is_shown_as_settled(tmp_path):
    """The page reported that there were no conflicts, although the source had one."""
    files = tiny_images()
    files["healthy/twin.jpg"] = files["melanoma/m0.jpg"]
    write_recipe(tmp_path / "datasets", images=write_source(tmp_path / "images", files))
    home = Home(tmp_path / "datasets")
    decision = {
        "action": "relabel",
        "sha256": hashlib.sha256(files["melanoma/m0.jpg"]).hexdigest(),
        "label": "melanoma",
        "reason": "seen twice: it is one",
        "reviewer": "anna",
        "time": "2026-11-24T09:30:00Z",
    }
    (home.dataset("tiny") / "decisions.jsonl").write_text(json.dumps(decision) + "\n", encoding="utf-8")
    build("tiny", Options(home=home))
    html = (load(home, "tiny").folder / "report.html").read_text(encoding="utf-8")
    section = html[html.index('id="conflicts"') : html.index('id="unreadable"')]
    assert "There are none" not in section
    assert "not available" not in section
    assert "<b>healthy / melanoma</b><br>melanoma, decided by anna<br>" in section
    assert "images under two labels; 1 more decided" in html


def made_audit(*findings: tuple[str, Severity], auc: float, low: float, high: float) -> Audit:
    """Return an audit with one probe and these findings."""
    facts = {"looks_at": "the mean color", "label": "cat", "pairs": [["cat", "a"]], "reason": "it is so"}
    figures = {"auc": auc, "low": low, "high": high}
    found = tuple(Finding(id=name, severity=level, count=12, figures=figures, facts=facts) for name, level in findings)
    probe = Probe(name="colour", looks_at="the mean colour", auc=auc, low=low, high=high, label="cat")
    return Audit(reference="tiny@v1", findings=found, probes=(probe,))


def test_an_area_below_chance_stands_below_chance(tmp_path):
    """It was drawn exactly at 0.5, next to the figure 0.286."""
    version = make_version(tmp_path, [sample("a.jpg", jpeg(lesion(1)))])
    html = write_page(version, read_recipe(version), made_audit(auc=0.286, low=0.097, high=0.615))
    assert '<i style="left:9.7%;width:51.8%"></i><b style="left:28.6%"></b>' in html
    assert '<span style="left:50%">0.5</span>' in html
    assert '<tr class="unsure"><th scope="row">colour' in html  # no green for what so wide an interval does not show
    narrow = write_page(version, read_recipe(version), made_audit(auc=0.5, low=0.38, high=0.62))
    assert '<tr class="good"><th scope="row">colour' in narrow


@pytest.mark.parametrize(
    ("findings", "severity", "headline"),
    [
        ([], "good", "No strong shortcut"),
        ([("shortcut-colour", "note")], "note", "Simple features predict the label weakly"),
        ([("shortcut-unknown", "warning")], "warning", "Too few images to know"),
        ([("shortcut-colour", "note"), ("shortcut-unknown", "warning")], "warning", "Too few images to know"),
        ([("shortcut-source", "error")], "error", "The source of an image alone"),
    ],
)
def test_only_what_was_shown_is_praised(findings, severity, headline):
    """Notes and wide intervals opened the page in green with "No strong shortcut was found"."""
    risk = assess_risk(made_audit(*findings, auc=0.6, low=0.56, high=0.68))
    assert risk.severity == severity
    assert risk.headline.startswith(headline)
    assert any("it is so" in each for each in risk.sentences) == (headline == "Too few images to know")


def test_changes_are_counted_against_the_version_before():
    """Added, removed, moved and relabelled, each image once."""
    before = pl.DataFrame(
        {
            "sha256": ["a", "b", "c", "d"],
            "page": [1, 1, 1, 1],
            "split": ["train", "train", "train", "test"],
            "label": ["x"] * 4,
        }
    )
    rows = pl.DataFrame(
        {
            "id": ["1", "2", "3", "4", "5"],
            "sha256": ["a", "b", "c", "d", "e"],
            "page": [1, 1, 1, 1, 1],
            "split": ["train", "test", "train", None, "train"],
            "label": ["x", "x", "y", "x", "x"],
            "excluded_by": [None, None, None, "select", None],
        }
    )
    found = compare(before, rows, name="v1")
    assert found.unchanged == 1
    assert found.lines == (
        ("added", "5", "", "train/x"),
        ("moved", "2", "train/x", "test/x"),
        ("relabelled", "3", "train/x", "train/y"),
        ("removed", "4", "test/x", ""),
    )
    assert isinstance(found, Changes)
