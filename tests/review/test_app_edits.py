"""Nobody's decision is lost: an edit past the review's buttons becomes a decision, or is undone aloud."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from curation.review.processes import Process
from tests.review.browsing import open_chromium, open_page, wait_until
from tests.review.conftest import CHROMIUM, SCREENS, ledger_lines

pytestmark = pytest.mark.slow

READ = """
import json
import fiftyone as fo
from fiftyone.core.odm import get_db_conn
name = fo.list_datasets()[0]
dataset = fo.load_dataset(name)
key = get_db_conn()["datasets"].find_one({"name": name})["_id"]
names = ["row", "id", "label.label", "tags", "sha256", "last_modified_at"]
table = {row: [*values, time.isoformat()] for row, *values, time in zip(*dataset.values(names))}
print(json.dumps([str(key), table]))
"""
TAG_AND_DELETE = """
import fiftyone as fo
dataset = fo.load_dataset(fo.list_datasets()[0])
dataset.match({{"row": {tagged!r}}}).tag_samples(["exclude:blurred", "for later"])
dataset.delete_samples(dataset.match({{"row": {deleted!r}}}))
print("done")
"""
EDIT = """async ([dataset, sample, mark, label]) => (await fetch(`/dataset/${dataset}/sample/${sample}`, {
    method: 'PATCH',
    headers: {'Content-Type': 'application/json', 'If-Match': mark},
    body: JSON.stringify({label: {_cls: 'Classification', label: label}}),
})).status"""
"""What the tab Annotate sends when a label is edited."""


def ask_database(cache: Path, code: str) -> Any:
    """Run Python with FiftyOne on the review's database, in a process of its own, and return what it prints."""
    server = Process.find(cache / "review", "mongod")
    assert server is not None
    environ = {
        "FIFTYONE_DATABASE_URI": f"mongodb://127.0.0.1:{server.port}",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
    }
    command = ["env", *(f"{name}={value}" for name, value in environ.items()), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def read_samples(cache: Path) -> tuple[str, dict[str, list[Any]]]:
    """Return the dataset's id, and row -> id, label, tags, sha256 and time of each sample."""
    key, table = json.loads(ask_database(cache, READ))
    return key, table


def test_edits_in_the_app_are_decisions(start, home, review_cache):
    """The ledger stood as it was, and after the next review the database showed the edit as if it counted."""
    pytest.importorskip("playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}")
    app = start("--reviewer", "anna")
    url = app.wait_ready()
    key, before = read_samples(review_cache)
    row, unsure = "src/train/healthy/g100.jpg", "src/train/healthy/g101.jpg"
    sample, label, _, sha, mark = before[row]
    assert (label, ledger_lines(home)) == ("healthy", [])
    with open_chromium(CHROMIUM) as program, open_page(program) as browser:
        browser.open(url)
        browser.page.locator("[data-cy=looker]").first.click()
        browser.page.get_by_text("Annotate", exact=True).first.click()
        assert browser.page.evaluate(EDIT, [key, sample, mark, "melanoma"]) == 200
        wait_until(lambda: ledger_lines(home), "the edit is in the ledger")
        # A label that is none of the recipe's is undone, aloud.
        assert browser.page.evaluate(EDIT, [key, before[unsure][0], before[unsure][4], "banana"]) == 200
        wait_until(lambda: any("banana" in line for line in app.lines), "the undone edit is printed")
        browser.page.screenshot(path=SCREENS / "annotate.png")
    (line,) = ledger_lines(home)
    assert (line["action"], line["label"], line["sha256"], line["reviewer"]) == ("relabel", "melanoma", sha, "anna")
    _, now = read_samples(review_cache)
    assert (now[row][1], now[unsure][1]) == ("melanoma", "healthy")
    assert any("melanoma" in text and row in text for text in app.lines)
    # What happens behind the server's back is found at the session's end.
    tagged, deleted = "src/train/healthy/g102.jpg", "src/train/healthy/g103.jpg"
    assert ask_database(review_cache, TAG_AND_DELETE.format(tagged=tagged, deleted=deleted)) == "done"
    app.end()
    assert [(line["action"], line.get("reason")) for line in ledger_lines(home)[1:]] == [("exclude", "blurred")]
    printed = "".join(app.lines)
    assert "for later" in printed
    assert deleted in printed
    # An App that was killed after an edit: the next start finds it, under the name of who made it.
    second = start("--reviewer", "anna")
    second.wait_ready()
    key, table = read_samples(review_cache)
    assert deleted in table
    assert "exclude:blurred" not in table[tagged][2]
    third = "src/train/healthy/g104.jpg"
    code = (
        "import fiftyone as fo\n"
        "view = fo.load_dataset(fo.list_datasets()[0]).match({'row': %r})\n"
        "sample = view.first(); sample['label'] = fo.Classification(label='melanoma'); sample.save(); print('done')"
    )
    assert ask_database(review_cache, code % third) == "done"
    second.process.kill()
    second.end()
    start("--reviewer", "bert").wait_ready()
    last = ledger_lines(home)[-1]
    assert (last["action"], last["label"], last["reviewer"]) == ("relabel", "melanoma", "anna")
    assert last["sha256"] == table[third][3]
