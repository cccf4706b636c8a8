"""The page of a run: one file, readable without a network, in light and dark, by eye and by screen reader."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.evaluate import rate, score
from training.figures import draw, draw_calibration, draw_map, draw_pareto
from training.report import show_rate, tint

CHROMIUM = Path("/usr/bin/chromium")


class Outline(HTMLParser):
    """Collects what an accessible page needs."""

    def __init__(self) -> None:
        super().__init__()
        self.ids, self.images, self.figures, self.headings, self.addresses = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        """Note ids, alternative texts, labels, headings and addresses."""
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "img":
            self.images.append(found.get("alt"))
        if tag == "svg":
            self.figures.append((found.get("role"), found.get("aria-label")))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]


@pytest.fixture(scope="module")
def page(run):
    """Return the page's text and outline."""
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    return text, outline


@pytest.mark.slow
def test_the_page_needs_nothing_else(page):
    """Every address on it is a data: address or a place on the page itself; no script."""
    text, outline = page
    assert {address.split(":")[0] if address.startswith("data:") else address[0] for address in outline.addresses} <= {
        "data",
        "#",
    }
    assert "<script" not in text


@pytest.mark.slow
def test_the_page_is_accessible_to_screen_readers(page):
    """A language, one first heading and none skipped, a text for every image and figure, ids that are unique."""
    text, outline = page
    assert '<html lang="en">' in text
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert outline.images
    assert all(outline.images)
    assert outline.figures
    assert all(role == "img" and label for role, label in outline.figures)
    assert len(outline.ids) == len(set(outline.ids))


@pytest.mark.slow
def test_the_page_begins_with_the_best_shortcut(page, run):
    """The sentence on the best shortcut comes first, then the warning that it is not a medical device."""
    text, _ = page
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", " ", body.replace("&#39;", "'"))
    words = re.sub(r"\s+", " ", body)
    first, warning = words.index(run.metrics["first_line"]), words.index("Not a medical device")
    assert first < warning < words.index("The test images")


@pytest.mark.slow
def test_mistakes_of_the_cross_validation_are_shown_by_the_nets_that_made_them(page, run):
    """As many as are shown, up to eight, are wrong; the worst comes first; each with what mattered to that net."""
    text, _ = page
    table = pl.read_parquet(run.folder / "predictions.parquet").filter(pl.col("unseen").is_not_null())
    truth = pl.col("unseen").list.get(pl.when(pl.col("label") == "spot").then(1).otherwise(0))
    wrong = table.with_columns(truth=truth).filter(pl.col("truth") < 0.5).sort("truth")
    shown = re.findall(r"<strong>wrong</strong>: (\w+), predicted (\w+); probability of the truth ([\d.]+) %", text)
    assert wrong.height > 0, "the drawn version is meant to be hard enough for some mistakes"
    mistakes = shown[: min(8, wrong.height)]
    assert all(is_ != called for is_, called, _ in mistakes)
    assert float(mistakes[0][2]) == pytest.approx(100 * wrong["truth"][0], abs=0.06)
    assert f"The worst of {wrong.height};" in text


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed at /usr/bin/chromium")
def test_the_page_stands_in_a_browser_in_both_schemes(run):
    """Rendered at a phone's and a desk's width, light and dark: nothing sticks out, and ink and paper differ enough."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for width in (390, 1280):
                tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                tab.goto((run.folder / "report.html").as_uri())
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                ink, paper = (
                    tab.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
                )
                assert contrast(ink, paper) >= 7
                assert tab.locator("svg text").first.evaluate("e => getComputedStyle(e).fill") == ink
                tab.close()
        browser.close()


def contrast(one: str, other: str) -> float:
    """Return the contrast of two CSS colors as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        channels = np.array([int(value) for value in re.findall(r"\d+", color)[:3]]) / 255
        linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_place_is_tinted_by_what_it_takes_and_not_by_being_the_first_among_none():
    """Where covering takes one step of the int8 answer at most, little is colored; where it takes much, much."""
    image = np.full((48, 48, 3), 120, np.uint8)
    saliency = np.zeros((11, 11), np.float32)
    strongest = []
    for taken in (0.0, 1 / 256, 0.3, 0.9):
        saliency[5, 5] = taken
        tinted = tint(image, saliency).astype(int)
        strongest.append(int((tinted[..., 0] - tinted[..., 2]).max()))
    assert strongest[0] == 0
    assert strongest[1] < 10
    assert strongest[2] == strongest[3] > 100


def test_answers_of_many_classes_stand_in_the_calibration_figure():
    """With three classes the most probable one may have 0.4: its point is no further left than the axis."""
    answers = np.array([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], np.float32)
    figure = draw_calibration({"test": score(np.array([0, 1]), answers, classes=3, alarm=0)})
    assert figure.count(">0.4<") == 2  # on both axes


@pytest.mark.slow
def test_the_page_shows_what_the_board_has(page, run):
    """RAM and flash are shown with what the board has; each image with the effect of its warmest place."""
    text, _ = page
    budget = run.metrics["budget"]
    assert f"{budget['ram_bytes']:,} B of {budget['free_ram_bytes']:,} B" in text
    assert re.search(r"covering the warmest place lowers the answer by [\d.]+ points", text)


def test_a_figure_is_drawn_alike_each_time():
    """No clock, no random ids: the same figure is the same text; two figures share no id."""
    one, same, other = (draw(lambda axes: axes.plot([0, 1], [1, 0]), name=name, title="a < b") for name in "aab")
    assert one == same
    ids = [set(re.findall(r'id="([^"]+)"', text)) for text in (one, other)]
    assert ids[0]
    assert ids[0] & ids[1] == set()
    assert 'aria-label="a &lt; b"' in one
    assert "currentColor" in one


def test_the_front_is_drawn_with_every_candidate_named():
    """Accuracy against a cost: all candidates labelled, whether on the front or not."""
    text = draw_pareto(
        [("small", 10.0, 0.9), ("large", 90.0, 0.95), ("worse", 95.0, 0.9)],
        frozenset({"small", "large"}),
        name="p",
        xlabel="bytes",
    )
    assert all(name in text for name in ("small", "large", "worse"))


def test_rates_are_shown_with_interval_and_number():
    """A share never stands alone."""
    assert show_rate(rate(16, 16)) == "100.0 % (80.6 to 100.0; 16 of 16)"
    assert show_rate(rate(0, 0)) == "no images"
    assert show_rate(rate(8.5, 10)).endswith("8.5 of 10)")


def test_each_class_of_a_map_has_a_look_of_its_own_in_the_legend():
    """Thirty classes: no two share both color and shape, and the points of a class look as its entry does."""
    labels = [f"class {number:02}" for number in range(30)]
    points = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32)
    drawn, legend = draw_map(points, labels, title="map").split('id="map-legend_1"')
    entries = re.findall(r'href="#([^"]+)"[^>]*?fill: (#\w{6})', legend)
    assert len(entries) == len(set(entries)) == len(labels)
    colors = re.findall(r'href="#[^"]+"[^>]*?fill: (#\w{6})', drawn)
    assert colors == [color for _, color in entries]
