"""Measures the review in the FiftyOne App: the time until it is ready, and until a decision is written and shown.

``melanoma`` (2,985 files) is built from the mirror of the real sets if it exists, otherwise from as many synthetic
images. Then the command of a reviewer is timed three times: a first ``review`` with nothing prepared and an empty
database, a second one while nothing runs, and one while the App is running. The time ends with the line *ready*.
Finally Chromium selects a hundred images and excludes them: one clock stops when their lines are in the ledger, another
when the screen shows them as excluded; then once more with all hundred small images on one screen.

With ``--files N`` only the start is measured, of N small images whose build failed at its selection, so that its draft
is reviewed: the first start and the second, each with the peak memory of all its processes, the database included.

It needs a database (``bash tests/review/setup``) and, without ``--files``, Chromium and Playwright.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from builds import prepare
from growth_files import draw_chunk
from measuring import ROOT, load_average, print_table, set_aside, timed, write_results

from curation.review.mongodb import bundled_mongod, fetched_folder, free_port
from curation.storage.cache import Cache
from tests.review.browsing import Browser, open_chromium, open_page, wait_until
from tests.review.conftest import CHROMIUM, FETCHED

SELECTED = 100
SMALL, USUAL = 0.0, 0.7
"""Positions on the slider of the grid; the App starts with the second."""
CLOCK = """([reason, count]) => {
    const clock = window.clock = {pressed: 0, shown: 0};
    document.addEventListener('click', () => { clock.pressed ||= Date.now(); }, {capture: true});
    const look = () => {
        const tiles = [...document.querySelectorAll('[data-cy=looker]')];
        const shown = tiles.filter(tile => tile.textContent.includes(reason)).length;
        if (shown >= count) requestAnimationFrame(() => { clock.shown = Date.now(); });
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
"""Records when the button was pressed, and when a frame shows the reason on ``count`` images."""
MARKS = {
    "first review": 15.0,
    "second review, nothing runs": 15.0,
    "second review, the App runs": 5.0,
    "100 decisions in the ledger": 1.0,
    "100 decisions, a screen of them shown": 1.0,
    "100 decisions, all of them on one screen": 1.0,
}


@dataclass(frozen=True)
class Place:
    """The folders of one run of the benchmark."""

    folder: Path
    mirror: Path | None
    name: str = "melanoma"

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables that set these folders."""
        return {"CURATION_CACHE": str(self.folder / "cache"), "CURATION_DATASETS": str(self.folder / "datasets")}

    @property
    def ledger(self) -> Path:
        """The file of decisions."""
        return self.folder / "datasets" / "melanoma" / "decisions.jsonl"

    def command(self, *arguments: str) -> list[str]:
        """Return a command line on these folders."""
        return [sys.executable, "-m", "curation", *arguments]

    def review(self, port: int) -> list[str]:
        """Return the command that is measured."""
        options = ("--reviewer", "bench", "--no-browser", "--port", str(port))
        mirror = ("--mirror", str(self.mirror)) if self.mirror else ()
        return self.command("review", self.name, *mirror, *options)


def set_up(folder: Path) -> Place:
    """Build the dataset and lay the database's program into the cache."""
    place = Place(folder, prepare(folder))
    subprocess.run(
        place.command("build", "melanoma", "--mirror", str(place.mirror), "-q"),
        env={**os.environ, **place.environ},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    link_database(folder)
    return place


def link_database(folder: Path) -> None:
    """Lay the database's program into the cache."""
    fetched = fetched_folder(Cache(FETCHED))
    if bundled_mongod() is None and fetched.is_dir():
        target = fetched_folder(Cache(folder / "cache"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(fetched)


def set_up_draft(folder: Path, count: int) -> Place:
    """Let a build of so many images fail at its selection: it asks for more than there are."""
    contents = [content for start in range(0, 2000, 500) for content in draw_chunk(start, start + 500)]
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for number in range(count):
            comment = f"{number:08}".encode()  # other bytes of the same image
            content = contents[number % len(contents)]
            content = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
            archive.writestr(f"{'ab'[number % 2]}/{number:08}.jpg", content)
    dataset = folder / "datasets" / "many"
    dataset.mkdir(parents=True)
    (dataset / "recipe.toml").write_text(
        f"[[sources]]\nname = 'src'\nkind = 'folder'\npath = '{folder / 'set.zip'}'\npattern = '(?P<label>[^/]+)/'\n"
        f"[labels.classes]\na = ['a']\nb = ['b']\n[selection.counts]\ntrain = {count}\n"
    )
    place = Place(folder, None, "many")
    subprocess.run(
        place.command("build", "many", "-q"),
        env={**os.environ, **place.environ},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        check=False,  # it leaves a draft
    )
    link_database(folder)
    return place


def watch_memory(ended: threading.Event, peaks: list[float]) -> None:
    """Store the memory in MB of all processes that this one started, until the event."""
    while not ended.wait(0.5):
        size = 0
        for each in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory = each.memory_full_info()
                size += getattr(memory, "pss", memory.uss)
        peaks.append(size / 1e6)


def measure_large(count: int) -> dict[str, dict[str, float]]:
    """Return the figures of the first and the second start."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = set_up_draft(Path(folder), count)
        for what in ("first review", "second review, nothing runs"):
            ended, peaks = threading.Event(), [0.0]
            watcher = threading.Thread(target=watch_memory, args=(ended, peaks))
            watcher.start()
            try:
                with running(place, free_port()) as (_, figures):
                    time.sleep(5)
            finally:
                ended.set()
                watcher.join()
            found[what] = {**figures, "peak_mb": max(peaks)}
            print(f"{what}: {found[what]}", flush=True)
    return found


@contextmanager
def running(place: Place, port: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Start the App; yield its address and how long it took, and end it as Ctrl-C does."""
    began = time.perf_counter()
    app = subprocess.Popen(
        place.review(port),
        env={**os.environ, **place.environ},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = []
        for line in app.stdout or ():
            said.append(line)
            if "is ready after" in line:
                break
        else:
            raise SystemExit("the App did not come up:\n" + "".join(said))
        seconds = time.perf_counter() - began
        used = psutil.Process(app.pid).cpu_times()
        cpu = used.user + used.system + used.children_user + used.children_system
        yield said[-1].split()[-1], {"seconds": seconds, "cpu": cpu, "load": load_average()}
    finally:
        app.send_signal(signal.SIGINT)
        app.communicate(timeout=120)


def decide(browser: Browser, place: Place, *, reason: str, small: bool) -> tuple[float, float]:
    """Exclude the first hundred images of the grid; return the seconds until they are written and shown.

    The grid shows one screen of them at the App's default size, or all hundred if they are small.
    """
    before = count_lines(place.ledger)
    zoom(browser, SMALL)
    wait_until(lambda: len(browser.tiles()) >= SELECTED, "the grid shows enough images")
    browser.select(*range(SELECTED))
    if not small:
        zoom(browser, USUAL)
        wait_until(lambda: len(browser.tiles()) < SELECTED, "the images have their usual size")
    browser.wait_still()  # a reviewer waits until the images are drawn
    browser.command("Exclude")
    browser.page.get_by_role("dialog").get_by_role("textbox").last.fill(reason)
    execute = browser.page.get_by_role("button", name="Execute")
    wait_until(execute.is_enabled, "the form is filled")
    browser.page.evaluate(CLOCK, [reason, SELECTED if small else len(browser.tiles())])
    execute.click(no_wait_after=True)
    wait_until(lambda: count_lines(place.ledger) == before + SELECTED, "the decisions are in the ledger")
    written = time.time()
    wait_until(lambda: browser.page.evaluate("window.clock.shown"), "the decisions are on the screen")
    clock = browser.page.evaluate("window.clock")
    return written - clock["pressed"] / 1000, (clock["shown"] - clock["pressed"]) / 1000


def zoom(browser: Browser, share: float) -> None:
    """Click on the grid's slider: 0 gives the smallest images, 150 of them on the screen."""
    slider = browser.page.locator("span:has(> span > input[type=range][max='-1'])").last
    wait_until(slider.bounding_box, "the grid has its slider")
    box = slider.bounding_box()
    browser.page.mouse.click(box["x"] + 1 + share * (box["width"] - 2), box["y"] + box["height"] / 2)
    browser.page.mouse.move(800, 500)


def count_lines(path: Path) -> int:
    """Return how many decisions there are."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def measure(place: Place, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Measure everything so many times."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in MARKS}
    for _ in range(rounds):
        for made in ("media", "db"):
            set_aside(place.folder / "cache" / "review" / made, place.folder / "aside")
        place.ledger.unlink(missing_ok=True)
        with running(place, free_port()) as (_, figures):
            found["first review"].append(figures)
        port = free_port()
        with running(place, port) as (url, figures):
            found["second review, nothing runs"].append(figures)
            found["second review, the App runs"].append(timed(place.review(port), env=place.environ))
            with open_chromium(CHROMIUM) as chromium, open_page(chromium) as browser:
                browser.open(url)
                written, shown = decide(browser, place, reason="too dark", small=False)
                _, all_shown = decide(browser, place, reason="no lesion to be seen", small=True)
            seconds = dict(zip(tuple(MARKS)[-3:], (written, shown, all_shown), strict=True))
            for name, each in seconds.items():
                found[name].append({"seconds": each, "load": load_average()})
    return found


def median_rows(found: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of each figure."""
    return {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}


def import_seconds() -> dict[str, float]:
    """Return what FiftyOne's own import takes, which no review can do without."""
    environ = {"FIFTYONE_DATABASE_URI": "mongodb://127.0.0.1:1", "FIFTYONE_DATABASE_VALIDATION": "false"}
    environ |= {"FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_SERVER": "1"}
    return timed([sys.executable, "-W", "ignore", "-c", "import fiftyone.server.app"], env=environ)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write ``results/review.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, help="measure the start alone, with so many files")
    asked = parser.parse_args(arguments)
    if asked.files:
        found = measure_large(asked.files)
        print(f"\nreview of {asked.files:,} files")
        print_table(
            ("what", "seconds", "CPU s", "MB", "load"),
            [
                (name, f"{each['seconds']:.1f}", f"{each['cpu']:.1f}", f"{each['peak_mb']:.0f}", f"{each['load']:.1f}")
                for name, each in found.items()
            ],
        )
        write_results("review_large", {"files": asked.files, "runs": found})
        return
    alone = import_seconds()
    with tempfile.TemporaryDirectory() as folder:
        place = set_up(Path(folder))
        rows = json.loads((place.folder / "datasets/builds/melanoma/v1/version.json").read_bytes())["rows"]
        medians = median_rows(measure(place, asked.rounds))
    print(f"\nreview of {rows:,} files, medians of {asked.rounds}; FiftyOne's import alone {alone['seconds']:.1f} s")
    print_table(
        ("what", "seconds", "CPU s", "load", "mark s"),
        [
            (
                name,
                f"{each['seconds']:.2f}",
                f"{each['cpu']:.2f}" if "cpu" in each else "",
                f"{each['load']:.1f}",
                MARKS[name],
            )
            for name, each in medians.items()
        ],
    )
    write_results(
        "review", {"files": rows, "rounds": asked.rounds, "import": alone, "medians": medians, "marks": MARKS}
    )


if __name__ == "__main__":
    main()
