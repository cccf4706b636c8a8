"""A version with hostile strings in every place where data can bring one, and headless Chromium to render its page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curation.audit import audit
from curation.dataset.findings import Audit
from curation.report.excluded_gallery import gather_evidence
from curation.report.page import read_recipe, write_page
from curation.versions import Version
from tests.audit.builders import RECIPE, jpeg, lesion, make_version, sample
from tests.builders import out, texture

SCRIPT = "<script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"
HOSTILE = (
    SCRIPT,
    "a'\"><svg onload=alert(1)>",
    "line one\nline two\r\n\x1b[31mred\x00",
    "n" * 300,
    "🩺 mole 😎",
    '=HYPERLINK("http://evil.example/","x")',
    "../../etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "</style><style>body{display:none}</style>",
    "]]><!--",
    "| a | b | `code` [link](http://evil.example/)",
)


def hostile_version(folder: Path) -> Version:
    """Return a version whose paths, labels, reasons, sources, licences and recipe try to break out."""
    samples = [
        sample(
            f"m{n}.jpg",
            jpeg(lesion(n)),
            split="test" if n < 4 else "train",
            id=f"src/{text}/{n}",
            path=f"{text}/{n}",
            site=text,
            sex=text,
        )
        for n, text in enumerate(HOSTILE)
    ]
    samples += [
        sample(f"h{n}.jpg", jpeg(texture(n)), label="healthy", split="test" if n < 4 else "train", licence=text)
        for n, text in enumerate(HOSTILE)
    ]
    samples[5] |= {"disputed": True, "reserve": True}
    excluded = [_excluded(n, text, samples[n]["id"]) for n, text in enumerate(HOSTILE)]
    excluded += [_excluded(50 + n, text, None) for n, text in enumerate(HOSTILE)]
    twin = _excluded(99, "twin", samples[0]["id"])
    excluded.append({**twin, "sha256": samples[0]["sha256"], "source_label": SCRIPT, "id": f"src/twin {SCRIPT}"})
    archives = [
        {"source": text, "name": text, "sha256": "0" * 64, "licence": text, "doi": text, "citation": text}
        for text in HOSTILE
    ]
    waive = "[audit.waive]\n'balance-test-size' = '''" + SCRIPT + "'''\n"
    recipe = RECIPE.replace('title = "Tiny"', f"title = '''{SCRIPT}'''\ndescription = '''{SCRIPT}'''") + waive
    return make_version(folder, samples, excluded=excluded, archives=archives, recipe=recipe)


def _excluded(number: int, text: str, representative: str | None) -> dict[str, Any]:
    row = sample(f"x{number}.jpg", b"", label="nevus")
    row.pop("content")
    fate = out("dedup", "near-duplicate", representative) if representative else out("probe", "unsupported", text)
    told = {**fate, "representative": representative, "distance": 3, "correlation": 0.99}
    return {
        **row,
        **told,
        "id": f"src/{text}/x{number}",
        "split": None,
        "label": None,
        "format": None,
        "source_label": text,
    }


def page_of(version: Version) -> tuple[str, Audit]:
    """Return the page of a version, and the audit on it."""
    recipe = read_recipe(version)
    audited = audit(version)
    return write_page(version, recipe, audited, evidence=gather_evidence(version.manifest, recipe, read=None)), audited


def find_chromium() -> str:
    """Return Chromium's path; skip where it is missing."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("Chromium is not installed, so no page can be rendered")
    return found


@contextmanager
def open_page(path: Path, **context: Any) -> Iterator[tuple[Any, list[str]]]:
    """Open a file in headless Chromium; yields the page, and console messages and requests that it must not have."""
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        page = browser.new_context(**context).new_page()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda fault: said.append(f"error: {fault}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: _note(said, request.url, path))
        page.goto(path.as_uri())
        yield page, said
        browser.close()


def _note(said: list[str], url: str, path: Path) -> None:
    if not url.startswith("data:") and url != path.as_uri():
        said.append(f"request: {url}")
