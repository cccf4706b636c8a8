"""The App for real: MongoDB, the server, Chromium that selects and presses, and what gets killed meanwhile.

One App serves the tests that change nothing about it: each finds the dataset as it was built, with an empty ledger, for
a second ``review`` brings the App up to date. Only what is killed or ended has an App of its own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from curation.cli import main
from curation.engines import Local
from curation.pipeline import Options, build
from curation.review.agreement import review_status
from curation.review.app_server import ServerOptions, review
from curation.review.mongodb import is_listening
from curation.review.processes import Process, stop_all
from curation.review.review_queues import QUEUES
from curation.review.review_session import open_session
from curation.review.setup import ReviewRequest
from curation.storage.cache import Cache
from curation.versions import Home, diff, explain, published
from tests.review.browsing import Browser, Tile, open_chromium, open_page, wait_until
from tests.review.conftest import CHROMIUM, SCREENS, App, bare_cache, ledger_lines, review_command, run
from tests.review.test_proposals import write_run
from tests.review.test_review_session import sha_at

pytestmark = pytest.mark.slow

OVERHEARD = """
import os, sys
log = open(os.environ["OVERHEARD_CALLS"], "a", buffering=1)
def hook(event, given):
    if event in ("socket.connect", "socket.sendto"):
        log.write(f"{event} {given[1]}\\n")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        log.write(f"{event} {given[0]}\\n")
sys.addaudithook(hook)
from curation.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""
"""Runs a command and writes down whom its process and its workers speak to, and whose address they ask for."""


@pytest.fixture(scope="module")
def chromium(mongod):
    """Return headless Chromium; skip where there is none."""
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e '.[dev]'")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM} (Debian: apt-get install chromium)")
    with open_chromium(CHROMIUM) as program:
        yield program


@pytest.fixture
def browser(chromium, request):
    """Return a new page; what it showed last is kept for a person."""
    with open_page(chromium) as page:
        yield page
        page.page.screenshot(path=SCREENS / f"last-{request.node.name[:40]}.png")
        assert page.strangers == [], "the browser was answered by another machine"


@dataclass(frozen=True)
class Running:
    """The App that the tests share: anna reviews in it."""

    app: App
    home: Home
    cache: Cache
    url: str
    port: int
    calls: Path

    def show(self, **runs: str) -> list[str]:
        """Bring the App up to date with what lies in the folders, as a second ``review`` does; return what it says."""
        told: list[str] = []
        request = ReviewRequest("tiny", str(self.home.datasets), "anna", **runs)
        review(request, ServerOptions(port=self.port, browser=False), cache=self.cache, notify=told.append)
        return told


@pytest.fixture(scope="module")
def running(built: Path, mongod: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start the App once."""
    folder = tmp_path_factory.mktemp("app")
    shutil.copytree(built / "datasets", folder / "datasets")
    cache, home = Cache(bare_cache(folder / "cache", built, mongod)), Home(folder / "datasets")
    _, _, _, *arguments = review_command(home, "--queue", "conflicts", "--reviewer", "anna")
    environ = {name: value for name, value in os.environ.items() if name != "FIFTYONE_DATABASE_URI"}
    (folder / "overheard.py").write_text(OVERHEARD)
    command = [sys.executable, str(folder / "overheard.py"), *arguments]
    environ |= {"CURATION_CACHE": str(cache.root), "OVERHEARD_CALLS": str(folder / "calls")}
    app = App.start(command, environ=environ)
    try:
        url = app.wait_ready()
        port = int(arguments[arguments.index("--port") + 1])
        yield Running(app, home, cache, url.partition("?")[0], port, folder / "calls")
    finally:
        app.end()
        stop_all(cache.folder("review"), notify=print)


@pytest.fixture
def app(running: Running, built: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Return the App with the dataset as it was built and nothing decided."""
    shutil.rmtree(running.home.datasets)
    shutil.copytree(built / "datasets", running.home.datasets)
    monkeypatch.setenv("CURATION_CACHE", str(running.cache.root))
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    running.show()
    return running


def in_order(home, queue: str) -> list[dict[str, object]]:
    """Return the rows of a queue in the order of its saved view."""
    rows = open_session(home, "tiny").rows().filter(pl.col("queues").list.contains(queue))
    waiting = rows["left"].list.contains(queue)
    return rows.with_columns(done=~waiting).sort("done", "group", "sha256", "id").to_dicts()


def wait_for_queue(browser: Browser, home, queue: str = "conflicts") -> list[str]:
    """Wait until the grid shows the queue as the ledger has it; return the files in its order."""
    rows = in_order(home, queue)
    browser.wait_for_tiles(
        [
            Tile(
                has=tuple(str(row[name]) for name in ("label", "excluded", "decision") if row[name]),
                lacks=() if row["decision"] else ("(anna",),
            )
            for row in rows
        ]
    )
    return [str(row["path"]) for row in rows]


def select(browser: Browser, home, *paths: str) -> None:
    """Select these files in the grid of the conflicts."""
    order = wait_for_queue(browser, home)
    browser.select(*(order.index(path) for path in paths))


def decide_in_app(browser: Browser, home, action: str, *paths: str, reason: str = "", label: str = "") -> None:
    """Select files in the grid of the conflicts, decide by keyboard, and wait until ledger and grid have it."""
    before = len(ledger_lines(home))
    select(browser, home, *paths)
    browser.command(action)
    if reason or label:
        browser.fill(reason=reason, label=label)
    wait_until(lambda: len(ledger_lines(home)) > before, f"{action} is in the ledger")
    wait_for_queue(browser, home)


def test_conflicts_are_decided_in_the_browser_and_the_next_build_obeys(app, browser):
    """Exclude by keyboard, relabel by button: the grid shows both, the ledger holds both, v2 and its diff tell why."""
    home = app.home
    browser.open(f"{app.url}?view=conflicts")
    assert len(wait_for_queue(browser, home)) == 6
    both = ("train/melanoma/g0.jpg", "train/melanoma/g1.jpg")
    decide_in_app(browser, home, "Exclude", *both, reason="ruler")
    browser.wait_for_notice("exclude: 2 decisions in the ledger")
    browser.wait_for_tile("decide: excluded (anna: ruler)", count=4)
    assert [(line["action"], line["reason"]) for line in ledger_lines(home)] == [("exclude", "ruler")] * 2
    browser.screenshot(SCREENS / "decided.png")

    select(browser, home, "train/nevus/g502.png")
    browser.press("relabel")
    browser.fill(label="melanoma")
    browser.wait_for_notice("relabel melanoma: 1 decision in the ledger")
    browser.wait_for_tile("relabel melanoma (anna)")
    assert ledger_lines(home)[2]["label"] == "melanoma"

    assert "conflicts: 4 images, 1 left" in "\n".join(counts(home))
    assert build_again(app, home).version == 2
    changes = str(diff(home, "tiny@v1", "tiny@v2"))
    assert "anna: ruler" in changes or "relabel melanoma (anna)" in changes
    explained = str(explain(home, "tiny", "train/nevus/g502.png")[0])
    assert "line 3: anna on" in explained
    assert "relabel melanoma" in explained


def counts(home) -> list[str]:
    """Return queue, images and what is left, from ``review status``."""
    queues = review_status(open_session(home, "tiny")).as_json()["queues"]
    return [f"{queue}: {n['pictures']} images, {n['left']} left" for queue, n in queues.items()]


def build_again(app: Running, home: Home):
    """Build the dataset in this process, which saves the start of another, and return the version's line."""
    line = build("tiny", Options(home=home, cache=app.cache, engine=Local(1))).line
    assert line is not None
    return line


def test_every_action_works_on_the_selection(app, browser):
    """Keep, not duplicates, prefer and undo; the App names the other row of the same bytes before and after."""
    home = app.home
    browser.open(f"{app.url}?view=conflicts")
    select(browser, home, "train/melanoma/g0.jpg")
    browser.command("Exclude")
    browser.wait_for_text("This also affects another row with the same bytes: src/train/nevus/g0.jpg")
    browser.page.get_by_role("button", name="Cancel").click()
    browser.page.get_by_role("dialog").wait_for(state="detached")
    assert ledger_lines(home) == []
    browser.select()
    decide_in_app(browser, home, "Keep", "train/melanoma/g0.jpg")
    browser.wait_for_notice("This also affects another row with the same bytes: src/train/nevus/g0.jpg")
    browser.wait_for_tile("keep (anna)", count=2)

    decide_in_app(browser, home, "Undo", "train/nevus/g0.jpg")
    assert not any("keep (anna)" in tile for tile in browser.tiles())
    decide_in_app(browser, home, "Not duplicates", "train/melanoma/g2.jpg", "train/nevus/g502.png")
    decide_in_app(browser, home, "Prefer this one", "train/nevus/g502.png")
    assert [line["action"] for line in ledger_lines(home)] == ["keep", "undo", "not-duplicates", "prefer"]
    select(browser, home, "train/melanoma/g0.jpg", "train/nevus/g0.jpg")
    browser.command("Not duplicates")
    browser.wait_for_notice("two different files")
    assert len(ledger_lines(home)) == 4


def test_a_decision_shows_at_once_where_no_image_moves(app, browser):
    """In the grid of everything no page is asked for again, and a page that is opened later shows the same."""
    asked: list[str] = []
    browser.open(app.url)
    count = open_session(app.home, "tiny").rows().height
    browser.wait_for_words("keep (anna)", of=count)
    browser.wait_idle()
    browser.page.on("request", lambda request: asked.append(request.post_data or ""))
    for action, told in (("Keep", (0, 2)), ("Undo", ())):
        browser.select(0, 2)
        browser.command(action)
        browser.wait_for_words("keep (anna)", *told, of=count)
    browser.select(1)
    browser.command("Keep")
    browser.wait_for_words("keep (anna)", 1, of=count)
    seen = browser.tiles()
    assert not [text for text in asked if "paginateSamples" in text or "DatasetPageQuery" in text]
    browser.open(app.url)
    wait_until(lambda: browser.tiles() == seen, "a page that is opened later shows the same")


def test_the_panel_counts_opens_queues_and_labels(app, browser):
    """Every queue with what is left in it, as a button; a class is given with one click."""
    home = app.home
    browser.open(f"{app.url}?view=conflicts")
    page = browser.page
    page.locator("[data-cy=new-panel-btn]").click()
    page.get_by_text("Review", exact=True).last.click()
    browser.wait_for_text("conflicts: 4 of 4 left")
    browser.wait_for_text("Reviewer: anna")
    select(browser, home, "train/nevus/g1.jpg")
    browser.wait_for_text("1 selected")
    page.get_by_role("button", name="Label as melanoma").click()
    browser.wait_for_text("conflicts: 3 of 4 left")
    browser.wait_for_tile("relabel melanoma (anna)", count=2)
    assert ledger_lines(home)[0]["label"] == "melanoma"
    browser.screenshot(SCREENS / "panel.png")
    page.get_by_role("button", name="quality: 3 of 3 left").click()
    browser.wait_for_text("3 samples")
    browser.wait_for_tile("probe: not an image: html")


def test_each_queue_is_a_saved_view(app, browser, tmp_path):
    """Every queue opens under its name with the images it promises, and is kept as a screenshot for a person."""
    home = app.home
    session = open_session(home, "tiny", reviewer="ben")
    kept = session.manifest.kept["id"].to_list()
    findings = [{"id": "labels-doubtful", "which": kept[:3]}]
    (session.table.folder / "audit.json").write_text(json.dumps({"findings": findings}))
    new = session.manifest.rows.filter(pl.col("source") == "new")["sha256"].to_list()
    proposed = write_run(tmp_path / "run", new[:3])
    for reviewer, action in (("ben", "keep"), ("cleo", "exclude")):
        open_session(home, "tiny", reviewer=reviewer).decide(
            action, [sha_at(session, "train/healthy/g108.jpg")], reason="x"
        )
    told = app.show(proposals=str(proposed))
    assert "1 of 4 unlabelled" in "".join(told)
    samples = {"conflicts": 6, "reserve": 1, "quality": 3, "unlabelled": 4, "doubtful": 3, "disagreements": 1}
    for queue in QUEUES:
        browser.open(f"{app.url}?view={queue}")
        if queue in samples:
            browser.wait_for_text(f"{samples[queue]} sample")
            wait_until(lambda queue=queue: len(browser.tiles()) == samples[queue], f"{queue} is shown")
        browser.screenshot(SCREENS / f"{queue}.png")
        if queue == "unlabelled":
            assert [tile.count("healthy?") for tile in browser.tiles()] == [1, 1, 1, 0]
            browser.select(0)
            browser.press("relabel")
            browser.fill(label="melanoma")
            browser.wait_for_tile("relabel melanoma (anna)")
            last = ledger_lines(home)[-1]
            assert (last["label"], last["sha256"]) == ("melanoma", new[1])


def test_a_runs_embeddings_are_a_map_in_the_app(app, browser, tmp_path):
    """The embeddings panel offers the map and counts its points; what is drawn is kept as a screenshot for a person."""
    manifest = open_session(app.home, "tiny").manifest
    shas = manifest.kept["sha256"].to_list()
    found = write_run(tmp_path / "run", shas, likely=tuple(0.5 + number / 100 for number in range(len(shas))))
    app.show(map=str(found))
    browser.open(app.url)
    page = browser.page
    page.locator("[data-cy=new-panel-btn]").click()
    page.get_by_text("Embeddings", exact=True).first.click()
    page.get_by_text("embeddings", exact=True).last.click()
    points = page.get_by_text(re.compile(r"^\d+ points$")).first
    points.wait_for()
    placed = manifest.rows.filter(pl.col("sha256").is_in(shas)).height  # a file in two rows is two images there
    assert points.inner_text() == f"{placed} points"
    browser.screenshot(SCREENS / "map.png")


def test_the_same_decisions_by_any_way_are_the_same_bytes(app, browser, tmp_path):
    """App, table and command: the ledgers differ only in reviewer and time, and the builds have one digest."""
    home = app.home
    shas = {row["path"]: row["sha256"] for row in in_order(home, "conflicts")}
    browser.open(f"{app.url}?view=conflicts")
    decide_in_app(browser, home, "Exclude", "train/melanoma/g0.jpg", reason="a, b")
    decide_in_app(browser, home, "Relabel", "train/melanoma/g1.jpg", label="context:nevus")
    decide_in_app(browser, home, "Keep", "train/melanoma/g2.jpg", "train/nevus/g502.png")

    table, command = (copy_of(home, tmp_path / name) for name in ("table", "command"))
    keeps = sorted((shas["train/melanoma/g2.jpg"], shas["train/nevus/g502.png"]))
    lines = ["action,sha256,label,reason", f'exclude,{shas["train/melanoma/g0.jpg"]},,"a, b"']
    lines += [f"relabel,{shas['train/melanoma/g1.jpg']},context:nevus,", *(f"keep,{sha},," for sha in keeps)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    decide = ("decide", "tiny", "--reviewer", "ben")
    assert main(["--datasets", str(table.datasets), *decide, "--import", str(tmp_path / "table.csv")]) == 0
    one, two = shas["train/melanoma/g0.jpg"], shas["train/melanoma/g1.jpg"]
    for arguments in (
        ("--sha", one[:16], "--exclude", "--reason", "a, b"),
        ("--sha", two, "--relabel", "context:nevus"),
        ("--sha", keeps[1], "--sha", keeps[0], "--keep"),
    ):
        assert main(["--datasets", str(command.datasets), *decide, *arguments]) == 0

    def bare(where) -> str:
        text = (where.dataset("tiny") / "decisions.jsonl").read_text()
        return re.sub(r'"(reviewer|time)": "[^"]*"', r'"\1": ""', text)

    assert bare(home) == bare(table) == bare(command)
    assert bare(home).count("\n") == 4
    assert len({build_again(app, where).digest for where in (home, table, command)}) == 1
    assert len(published(home, "tiny")) == 2


def copy_of(home, folder: Path):
    """Return another home with the same published version and no decision."""
    shutil.copytree(home.datasets, folder)
    (folder / "tiny" / "decisions.jsonl").unlink(missing_ok=True)
    return Home(folder)


def test_a_second_review_uses_the_app_that_runs(app):
    """Rows are not doubled, a decision made meanwhile is shown, and no other reviewer decides under this one's name."""
    home = app.home
    sha = in_order(home, "reserve")[0]["sha256"]
    open_session(home, "tiny", reviewer="ben").decide("exclude", [sha], reason="x")
    second = run(home, "review", "tiny", "--reviewer", "anna", "--no-browser", "--queue", "reserve")
    assert second.returncode == 0, second.stderr
    assert "in the running App" in second.stdout
    seen = read_dataset(app)
    assert sorted(seen["rows"]) == sorted(open_session(home, "tiny").manifest.rows["id"])
    assert set(seen["decided"]) == {sha}
    assert (seen["persistent"], seen["media"], seen["boards"]) == (True, ["filepath", "board"], True)
    assert any(view.startswith("0 of 1 left: disputed") for view in seen["views"])
    metadata = open_session(home, "tiny").manifest.rows.drop_nulls("module").select("id", "module", "tags")
    assert sorted(seen["metadata"]) == sorted(map(list, metadata.rows()))  # `tags` is FiftyOne's own field

    other = run(home, "review", "tiny", "--reviewer", "ben", "--no-browser", "--port", str(app.port))
    assert other.returncode == 1
    assert "the review of anna" in other.stderr


def read_dataset(app: Running) -> dict[str, object]:
    """Return what FiftyOne itself finds in the App's database."""
    code = (
        "import fiftyone as fo, json\n"
        f"d = fo.load_dataset({app.url.rpartition('/')[2]!r})\n"
        "rows, decisions, shas, boards = d.values(['row', 'decision', 'sha256', 'board'])\n"
        "found = zip(*d.values(['row', 'module', 'tags_']), strict=True)\n"
        "found = [each for each in found if each[1]]\n"
        "decided = sorted(s for s, x in zip(shas, decisions) if x)\n"
        "print(json.dumps({'rows': rows, 'metadata': found, 'decided': decided,\n"
        "    'persistent': d.persistent, 'media': d.app_config.media_fields, 'boards': all(boards),\n"
        "    'views': [d.get_saved_view_info(n)['description'] for n in d.list_saved_views()]}))\n"
    )
    return json.loads(in_fiftyone(app, code))


def in_fiftyone(app: Running, code: str) -> str:
    """Run a plain FiftyOne session on the App's database; return what it prints."""
    environ = {**os.environ, **where_fiftyone_keeps(app)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True).stdout


def where_fiftyone_keeps(app: Running) -> dict[str, str]:
    """Return the environment in which FiftyOne uses the App's database."""
    database = Process.find(app.cache.folder("review"), "mongod")
    return {
        "FIFTYONE_DATABASE_URI": f"mongodb://127.0.0.1:{database.port}",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
    }


def test_tags_of_a_plain_session_become_decisions(app, monkeypatch):
    """A published image that was tagged in FiftyOne without any of this is excluded by its source's sha256."""
    row = open_session(app.home, "tiny").manifest.kept.row(0, named=True)
    published_file = app.home.build("tiny", 1) / row["file"]
    code = (
        "import fiftyone as fo\n"
        "d = fo.Dataset('plain', persistent=True)\n"
        f"d.add_sample(fo.Sample(filepath={str(published_file)!r}, tags=['exclude:ruler', 'nice']))\n"
    )
    in_fiftyone(app, code)
    for name, value in where_fiftyone_keeps(app).items():
        monkeypatch.setenv(name, value)
    told = run(app.home, "decide", "tiny", "--import-tags", "plain", "--reviewer", "ben")
    assert told.returncode == 0, told.stderr
    assert "'nice'" in told.stderr
    assert [(line["action"], line["sha256"], line["reason"]) for line in ledger_lines(app.home)] == [
        ("exclude", row["sha256"], "ruler")
    ]


def test_no_call_leaves_the_machine(app):
    """Every connection and every name that the review's process asked for is this machine's; so is the page's."""
    with urllib.request.urlopen(f"http://127.0.0.1:{app.port}/", timeout=180) as answer:
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    calls = app.calls.read_text().splitlines()
    assert any("127.0.0.1" in call for call in calls)
    assert [call for call in calls if not re.search(r"127\.0\.0\.1|localhost|::1|\.sock|None", call)] == []


def test_killing_the_database_and_the_app_loses_nothing(start, home, browser, review_cache):
    """kill -9 of mongod and of the App, each between two decisions: each stays and is shown again; --stop ends both."""
    app = start("--queue", "conflicts", "--reviewer", "anna")
    url = app.wait_ready()
    browser.open(url)
    decide_in_app(browser, home, "Exclude", "train/melanoma/g0.jpg", reason="one")
    database = Process.find(review_cache / "review", "mongod")
    os.kill(database.pid, signal.SIGKILL)
    wait_until(lambda: is_back(review_cache / "review", database), "the database is back")
    browser.open(url)
    decide_in_app(browser, home, "Exclude", "train/melanoma/g1.jpg", reason="two")
    os.kill(app.process.pid, signal.SIGKILL)
    app.process.wait(60)
    assert [line["reason"] for line in ledger_lines(home)] == ["one", "two"]
    again = start("--queue", "conflicts", "--reviewer", "anna")
    browser.open(again.wait_ready())
    browser.wait_for_tile("decide: excluded (anna: one)", count=2)
    browser.wait_for_tile("decide: excluded (anna: two)", count=2)
    decide_in_app(browser, home, "Keep", "train/melanoma/g2.jpg")
    assert [line["action"] for line in ledger_lines(home)] == ["exclude", "exclude", "keep"]
    ended = run(home, "review", "--stop")
    assert ended.stdout.count("stopped") == 2
    assert again.process.wait(60) == 0
    assert not is_listening("127.0.0.1", database.port)
    assert "No review is running" in run(home, "review", "--stop").stdout


def is_back(folder: Path, killed: Process) -> bool:
    """Tell whether another server listens at the port of the one that was killed."""
    found = Process.find(folder, "mongod")
    return found is not None and found.pid != killed.pid and is_listening("127.0.0.1", killed.port)


def test_another_address_is_warned_of_and_ctrl_c_ends_everything(start, home, review_cache):
    """Before the App listens, it warns that all who reach it can decide; Ctrl-C is an orderly end."""
    app = start("--address", "0.0.0.0")  # noqa: S104  # this is what is warned of
    app.wait_ready()
    assert "0.0.0.0" in app.lines[0]  # noqa: S104  # as above
    database = Process.find(review_cache / "review", "mongod")
    assert app.end() == 0
    assert not is_listening("127.0.0.1", database.port)
    assert list((review_cache / "review").glob("*.json")) == []
