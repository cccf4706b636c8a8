"""The contact sheet: one SVG of published images, duplicates side by side and a conflict, nothing from elsewhere."""

import re
from xml.etree import ElementTree

import pytest

from curation.report.api import make_sheet
from curation.report.contact_sheet import write_sheet
from curation.report.excluded_gallery import Evidence
from curation.storage.cache import Cache
from curation.versions import Home, load
from tests.conftest import PROJECT
from tests.report.builders import hostile_version

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
def test_the_samples_sheet_can_be_made_again(built_sample):
    """The sheet in docs/ is that of the sample: the same words, below 300 KB, synthetic images only."""
    made = make_sheet(load(Home(built_sample / "datasets"), "sample"), cache=Cache(built_sample / "cache"))
    kept = (PROJECT / "docs/sample.svg").read_text(encoding="utf-8")
    assert len(made) < 300_000
    assert texts_of(made) == texts_of(kept)
    assert "49 duplicates excluded, for example" in texts_of(made)
    assert "6 images under two labels" in texts_of(made)
    assert made.count("<image") == kept.count("<image") == 10


def texts_of(svg: str) -> list[str]:
    """Return every line of text of a sheet; it has to be well-formed."""
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314  # made here


def test_a_sheet_asks_nothing_from_elsewhere_and_escapes_every_string(tmp_path):
    """Hostile names stay text, and every image is inside."""
    sheet = write_sheet(hostile_version(tmp_path), evidence=Evidence())
    assert texts_of(sheet)
    assert "<script" not in sheet
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in re.findall(r'href="([^"]*)"', sheet))
