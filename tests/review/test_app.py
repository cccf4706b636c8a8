"""The App for real: MongoDB, the server, Chromium that selects and presses, and what gets killed meanwhile."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import polars as pl
import pytest

from curation.review.database import answers, free_port
from curation.review.desk import open_desk
from curation.review.processes import Process
from curation.review.table import QUEUES
from curation.versions import published
from tests.review.browsing import Browser, open_browser
from tests.review.conftest import CHROMIUM, SCREENS, ledger_lines, run
from tests.review.test_desk import sha_at
from tests.review.test_proposals import write_run

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(mongod, request):
    """Return a page of headless Chromium; skip where there is none."""
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -e '.[dev]'")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM} (Debian: apt-get install chromium)")
    with open_browser(CHROMIUM) as page:
        yield page
        page.screenshot(SCREENS / f"last-{request.node.name[:40]}.png")
        assert page.strangers == [], "the browser was answered by another machine"


def in_order(home, queue: str) -> list[dict[str, object]]:
    """Return the rows of a queue in the order of its saved view."""
    rows = open_desk(home, "tiny").rows().filter(pl.col("queues").list.contains(queue))
    waiting = rows["left"].list.contains(queue)
    return rows.with_columns(done=~waiting).sort("done", "group", "sha256", "id").to_dicts()


def places(home, queue: str, *paths: str) -> list[int]:
    """Return where these files stand in the grid of a queue."""
    order = [row["path"] for row in in_order(home, queue)]
    return [order.index(path) for path in paths]


def decide_in_app(
    browser: Browser, home, action: str, *paths: str, queue: str = "conflicts", reason: str = "", label: str = ""
):
    """Select files in the grid and decide by keyboard; return the seconds until it was told."""
    browser.select(*places(home, queue, *paths))
    browser.command(action)
    if reason or label:
        browser.fill(reason=reason, label=label)
    return browser.wait_for_text("in the ledger")


def test_conflicts_are_decided_in_the_browser_and_the_next_build_obeys(start, home, browser, review_cache):
    """Exclude by keyboard, relabel by button: the grid shows both, the ledger holds both, v2 and its diff tell why."""
    app = start(
        "review", "tiny", "--queue", "conflicts", "--reviewer", "anna", "--no-browser", "--port", str(free_port())
    )
    browser.open(app.wait_ready())
    tiles = browser.tiles()
    assert len(tiles) == 6
    first = [row["label"] for row in in_order(home, "conflicts")]
    assert [tile.startswith(label) for tile, label in zip(tiles, first, strict=True)] == [True] * 6

    decide_in_app(browser, home, "Exclude", "train/melanoma/g0.jpg", "train/melanoma/g1.jpg", reason="ruler")
    browser.wait_for_tile("decide: excluded (anna: ruler)", count=4)
    assert [(line["action"], line["reason"]) for line in ledger_lines(home)] == [("exclude", "ruler")] * 2
    browser.screenshot(SCREENS / "decided.png")

    browser.open(app.wait_ready())
    browser.select(*places(home, "conflicts", "train/nevus/g502.png"))
    browser.press("relabel")
    browser.fill(label="melanoma")
    browser.wait_for_text("relabel melanoma: 1 decision in the ledger")
    browser.wait_for_tile("relabel melanoma (anna)")
    assert ledger_lines(home)[2]["label"] == "melanoma"

    assert "conflicts: 4 pictures, 1 left" in "\n".join(counts(home))
    built = run(home, "build", "tiny", "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["version"]["version"] == 2
    told = run(home, "diff", "tiny@v1", "tiny@v2").stdout
    assert "anna: ruler" in told or "relabel melanoma (anna)" in told
    explained = run(home, "explain", "tiny", "train/nevus/g502.png").stdout
    assert "line 3: anna on" in explained
    assert "relabel melanoma" in explained


def counts(home) -> list[str]:
    """Return queue, pictures and what is left, from ``review status``."""
    told = json.loads(run(home, "review", "status", "tiny", "--json").stdout)
    return [f"{queue}: {n['pictures']} pictures, {n['left']} left" for queue, n in told["queues"].items()]


def test_every_action_works_on_the_selection(start, home, browser):
    """Keep, not duplicates, prefer and undo; the App names the other row of the same bytes before and after."""
    app = start("review", "tiny", "--reviewer", "anna", "--no-browser", "--port", str(free_port()))
    url = app.wait_ready()
    browser.open(f"{url}?view=conflicts")
    browser.select(*places(home, "conflicts", "train/melanoma/g0.jpg"))
    browser.command("Exclude")
    browser.wait_for_text("This also touches another row of the same bytes: src/train/nevus/g0.jpg")
    browser.page.get_by_role("button", name="Cancel").click()
    assert ledger_lines(home) == []
    decide_in_app(browser, home, "Keep", "train/melanoma/g0.jpg")
    browser.wait_for_text("This also touches another row of the same bytes: src/train/nevus/g0.jpg")
    browser.wait_for_tile("keep (anna)", count=2)

    browser.open(f"{url}?view=conflicts")
    decide_in_app(browser, home, "Undo", "train/nevus/g0.jpg")
    browser.page.locator("[data-cy=looker]", has_text="keep (anna)").first.wait_for(state="detached", timeout=20_000)

    browser.open(f"{url}?view=conflicts")
    decide_in_app(browser, home, "Not duplicates", "train/melanoma/g2.jpg", "train/nevus/g502.png")
    browser.open(f"{url}?view=conflicts")
    decide_in_app(browser, home, "Prefer this one", "train/nevus/g502.png")
    assert [line["action"] for line in ledger_lines(home)] == ["keep", "undo", "not-duplicates", "prefer"]
    browser.open(f"{url}?view=conflicts")
    browser.select(*places(home, "conflicts", "train/melanoma/g0.jpg", "train/nevus/g0.jpg"))
    browser.command("Not duplicates")
    browser.wait_for_text("two different files")
    assert len(ledger_lines(home)) == 4


def test_the_panel_counts_opens_queues_and_labels(start, home, browser):
    """Every queue with what is left in it, as a button; a class is given with one click."""
    app = start("review", "tiny", "--reviewer", "ben", "--no-browser", "--port", str(free_port()))
    browser.open(f"{app.wait_ready()}?view=conflicts")
    page = browser.page
    page.locator("[data-cy=new-panel-btn]").click()
    page.get_by_text("Review", exact=True).last.click()
    browser.wait_for_text("conflicts: 4 of 4 left")
    browser.wait_for_text("ben decides")
    browser.select(*places(home, "conflicts", "train/nevus/g1.jpg"))
    page.get_by_role("button", name="It is melanoma").click()
    browser.wait_for_text("conflicts: 3 of 4 left")
    browser.wait_for_tile("relabel melanoma (ben)", count=2)
    assert ledger_lines(home)[0]["label"] == "melanoma"
    browser.screenshot(SCREENS / "panel.png")
    page.get_by_role("button", name="quality: 3 of 3 left").click()
    browser.wait_for_text("3 samples")
    assert "probe: not an image: html" in " ".join(browser.tiles())


def test_each_queue_is_a_saved_view(start, home, browser, tmp_path):
    """Every queue opens under its name with the pictures it promises, and is kept as a screenshot for a person."""
    desk = open_desk(home, "tiny", reviewer="ben")
    kept = desk.manifest.kept["id"].to_list()
    findings = [{"id": "labels-doubtful", "which": kept[:3]}]
    (desk.table.folder / "audit.json").write_text(json.dumps({"findings": findings}))
    new = desk.manifest.rows.filter(pl.col("source") == "new")["sha256"].to_list()
    proposed = write_run(tmp_path / "run", new[:3])
    for reviewer, action in (("ben", "keep"), ("cleo", "exclude")):
        open_desk(home, "tiny", reviewer=reviewer).decide(action, [sha_at(desk, "train/healthy/g108.jpg")], reason="x")
    options = ("--reviewer", "anna", "--no-browser", "--port", str(free_port()))
    app = start("review", "tiny", "--propose", str(proposed), *options)
    url = app.wait_ready()
    assert "the run proposes nothing for 1 of 4 unlabelled pictures" in "".join(app.lines)
    samples = {"conflicts": 6, "reserve": 1, "quality": 3, "unlabelled": 4, "doubtful": 3, "disagreements": 1}
    for queue in QUEUES:
        browser.open(f"{url}?view={queue}")
        if queue in samples:
            browser.wait_for_text(f"{samples[queue]} sample")
        browser.page.wait_for_timeout(700)
        browser.screenshot(SCREENS / f"{queue}.png")
        if queue == "unlabelled":
            assert [tile.count("healthy?") for tile in browser.tiles()] == [1, 1, 1, 0]
            browser.select(0)
            browser.press("relabel")
            browser.fill(label="melanoma")
            browser.wait_for_tile("relabel melanoma (anna)")
            last = ledger_lines(home)[-1]
            assert (last["label"], last["sha256"]) == ("melanoma", new[1])


def test_a_runs_embeddings_are_a_map_in_the_app(start, home, browser, tmp_path):
    """The embeddings panel offers the map and counts its points; what is drawn is kept as a screenshot for a person."""
    shas = open_desk(home, "tiny").manifest.kept["sha256"].to_list()
    found = write_run(tmp_path / "run", shas, likely=tuple(0.5 + number / 100 for number in range(len(shas))))
    app = start("review", "tiny", "--run", str(found), "--no-browser", "--port", str(free_port()))
    browser.open(app.wait_ready())
    page = browser.page
    page.locator("[data-cy=new-panel-btn]").click()
    page.get_by_text("Embeddings", exact=True).first.click()
    page.get_by_text("embeddings", exact=True).last.click()
    page.get_by_text(re.compile(r"^\d+ points$")).first.wait_for(timeout=30_000)
    page.wait_for_timeout(700)  # the panel says how many before it has drawn them
    browser.screenshot(SCREENS / "map.png")


def test_killing_the_database_and_the_app_loses_nothing(start, home, browser, review_cache):
    """kill -9 of mongod, then of the App, each between two decisions: each stays, and the next session shows it."""
    port = str(free_port())
    app = start("review", "tiny", "--queue", "conflicts", "--reviewer", "anna", "--no-browser", "--port", port)
    url = app.wait_ready()
    browser.open(url)
    decide_in_app(browser, home, "Exclude", "train/melanoma/g0.jpg", reason="one")
    database = Process.find(review_cache / "review", "mongod")
    os.kill(database.pid, signal.SIGKILL)
    limit = time.monotonic() + 30
    while not answers("127.0.0.1", database.port) or Process.find(review_cache / "review", "mongod") is None:
        assert time.monotonic() < limit
        time.sleep(0.1)
    browser.open(url)
    decide_in_app(browser, home, "Exclude", "train/melanoma/g1.jpg", reason="two")
    os.kill(app.process.pid, signal.SIGKILL)
    app.process.wait(10)
    assert [line["reason"] for line in ledger_lines(home)] == ["one", "two"]
    again = start("review", "tiny", "--queue", "conflicts", "--reviewer", "anna", "--no-browser", "--port", port)
    browser.open(again.wait_ready())
    browser.wait_for_tile("decide: excluded (anna: one)", count=2)
    browser.wait_for_tile("decide: excluded (anna: two)", count=2)
    decide_in_app(browser, home, "Keep", "train/melanoma/g2.jpg")
    assert [line["action"] for line in ledger_lines(home)] == ["exclude", "exclude", "keep"]


def test_the_same_decisions_by_any_way_are_the_same_bytes(start, home, browser, tmp_path):
    """App, table and command: the ledgers differ in reviewer and time alone, and the digests not at all."""
    rows = in_order(home, "conflicts")
    shas = {row["path"]: row["sha256"] for row in rows}
    app = start(
        "review", "tiny", "--queue", "conflicts", "--reviewer", "anna", "--no-browser", "--port", str(free_port())
    )
    url = app.wait_ready()
    browser.open(url)
    decide_in_app(browser, home, "Exclude", "train/melanoma/g0.jpg", reason="a, b")
    browser.open(url)
    decide_in_app(browser, home, "Relabel", "train/melanoma/g1.jpg", label="context:nevus")
    browser.open(url)
    decide_in_app(browser, home, "Keep", "train/melanoma/g2.jpg", "train/nevus/g502.png")

    table, command = (copy_of(home, tmp_path / name) for name in ("table", "command"))
    keeps = sorted((shas["train/melanoma/g2.jpg"], shas["train/nevus/g502.png"]))
    lines = ["action,sha256,label,reason", f'exclude,{shas["train/melanoma/g0.jpg"]},,"a, b"']
    lines += [f"relabel,{shas['train/melanoma/g1.jpg']},context:nevus,", *(f"keep,{sha},," for sha in keeps)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    assert run(table, "decide", "tiny", "--import", str(tmp_path / "table.csv"), "--reviewer", "ben").returncode == 0
    one, two = shas["train/melanoma/g0.jpg"], shas["train/melanoma/g1.jpg"]
    for arguments in (
        ("--sha", one[:16], "--exclude", "--reason", "a, b"),
        ("--sha", two, "--relabel", "context:nevus"),
        ("--sha", keeps[1], "--sha", keeps[0], "--keep"),
    ):
        assert run(command, "decide", "tiny", *arguments, "--reviewer", "cleo").returncode == 0

    def bare(where) -> str:
        text = (where.dataset("tiny") / "decisions.jsonl").read_text()
        return re.sub(r'"(reviewer|time)": "[^"]*"', r'"\1": ""', text)

    assert bare(home) == bare(table) == bare(command)
    assert bare(home).count("\n") == 4
    digests = set()
    for where in (home, table, command):
        built = run(where, "build", "tiny", "--json")
        assert built.returncode == 0, built.stderr
        digests.add(json.loads(built.stdout)["version"]["digest"])
    assert len(digests) == 1
    assert len(published(home, "tiny")) == 2


def copy_of(home, folder: Path):
    """Return another home with the same published version and no decision."""
    from curation.versions import Home

    shutil.copytree(home.datasets, folder)
    (folder / "tiny" / "decisions.jsonl").unlink(missing_ok=True)
    return Home(folder)


def test_a_second_review_uses_the_app_that_runs(start, home, review_cache):
    """It is handed over within seconds, rows are not doubled, a decision made meanwhile is shown; --stop ends all."""
    port = str(free_port())
    app = start("review", "tiny", "--reviewer", "anna", "--no-browser", "--port", port)
    url = app.wait_ready()
    sha = in_order(home, "reserve")[0]["sha256"]
    run(home, "decide", "tiny", "--sha", sha, "--exclude", "--reason", "x", "--reviewer", "ben")
    second = run(home, "review", "tiny", "--reviewer", "anna", "--no-browser", "--queue", "reserve")
    assert second.returncode == 0, second.stderr
    assert float(re.search(r"ready after ([\d.]+) s in the App that runs", second.stdout)[1]) < 5
    code = (
        "import fiftyone as fo, json\n"
        f"d = fo.load_dataset({url.rpartition('/')[2]!r})\n"
        "rows, decisions, shas, boards = d.values(['row', 'decision', 'sha256', 'board'])\n"
        "print(json.dumps({'rows': rows, 'decided': sorted(s for s, x in zip(shas, decisions) if x),\n"
        "    'persistent': d.persistent, 'media': d.app_config.media_fields, 'boards': all(boards),\n"
        "    'views': [d.get_saved_view_info(n)['description'] for n in d.list_saved_views()]}))\n"
    )
    database = Process.find(review_cache / "review", "mongod")
    environ = {
        **os.environ,
        "FIFTYONE_DATABASE_URI": f"mongodb://127.0.0.1:{database.port}",
        "FIFTYONE_DATABASE_VALIDATION": "false",
    }
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    seen = json.loads(read.stdout)
    assert sorted(seen["rows"]) == sorted(open_desk(home, "tiny").manifest.rows["id"])
    assert set(seen["decided"]) == {sha}
    assert (seen["persistent"], seen["media"], seen["boards"]) == (True, ["filepath", "board"], True)
    assert any(view.startswith("0 of 1 left: disputed pictures that are used") for view in seen["views"])

    other = run(home, "review", "tiny", "--reviewer", "ben", "--no-browser", "--port", port)
    assert other.returncode == 1
    assert "taken by the review of anna" in other.stderr
    ended = run(home, "review", "--stop")
    assert ended.stdout.count("ended") == 2
    assert app.process.wait(20) == 0
    assert not answers("127.0.0.1", int(port))
    assert not answers("127.0.0.1", database.port)
    assert "no review runs" in run(home, "review", "--stop").stdout


def test_ctrl_c_ends_the_app_and_its_database(start, home, review_cache):
    """Nothing is left running, and the exit is an orderly one."""
    app = start("review", "tiny", "--no-browser", "--port", str(free_port()))
    app.wait_ready()
    database = Process.find(review_cache / "review", "mongod")
    app.process.send_signal(signal.SIGINT)
    assert app.process.wait(30) == 0
    assert not answers("127.0.0.1", database.port)
    assert list((review_cache / "review").glob("*.json")) == []


def test_another_address_is_warned_of(start, home):
    """Whoever can reach the App can decide: said before it listens."""
    app = start("review", "tiny", "--no-browser", "--port", str(free_port()), "--address", "0.0.0.0")  # noqa: S104  # this is what is warned of
    app.wait_ready()
    assert "asks nobody for a password" in app.lines[0]


def test_no_call_leaves_the_machine(home, review_cache, mongod, tmp_path):
    """Every connection and every name that the review's process asks for is this machine's."""
    log = tmp_path / "calls"
    code = (
        "import sys, signal, threading\n"
        f"log = open({str(log)!r}, 'a', buffering=1)\n"
        "def hook(event, given):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto'):\n"
        '        log.write(f\'{event} {given[1] if event in ("socket.connect", "socket.sendto") else given[0]}\\n\')\n'
        "sys.addaudithook(hook)\n"
        "from curation.cli import main\n"
        f"arguments = ['--datasets', {str(home.datasets)!r}, 'review', 'tiny', '--no-browser', '--port', sys.argv[1]]\n"
        "sys.exit(main(arguments))\n"
    )
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", code, str(port)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "ready after" in line:
            break
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        policy = answer.headers["content-security-policy"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    calls = [
        line for line in log.read_text().splitlines() if not re.search(r"127\.0\.0\.1|localhost|::1|\.sock|None", line)
    ]
    assert calls == []
    assert "127.0.0.1" in log.read_text()
    assert policy.startswith("default-src 'self'")
