"""A small dataset to review, a database for the tests that need one, and the App in a process of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.engines import Local
from curation.pipeline import Options, build
from curation.review.mongodb import bundled_mongod, fetched_folder, free_port
from curation.review.processes import stop_all
from curation.review.review_session import ReviewSession, open_session
from curation.storage.cache import Cache
from curation.versions import Home
from tests.builders import as_bytes, texture, write_recipe, write_source

PROJECT = Path(__file__).resolve().parents[2]
FETCHED = PROJECT / ".venv" / "review"
CHROMIUM = Path("/usr/bin/chromium")
SCREENS = PROJECT / "build" / "screens"


def pictures() -> dict[str, bytes]:
    """Return path -> bytes: conflicts, a duplicate across labels, near duplicates, faults and clean images."""
    files = {f"train/melanoma/g{number}.jpg": as_bytes(texture(number)) for number in range(9)}
    files |= {f"train/healthy/g{100 + number}.jpg": as_bytes(texture(100 + number)) for number in range(9)}
    files |= {f"test/melanoma/g{200 + number}.jpg": as_bytes(texture(200 + number)) for number in range(3)}
    files |= {f"test/healthy/g{300 + number}.jpg": as_bytes(texture(300 + number)) for number in range(3)}
    for number in (0, 1):  # the same bytes under two labels
        files[f"train/nevus/g{number}.jpg"] = files[f"train/melanoma/g{number}.jpg"]
    files["train/nevus/g502.png"] = as_bytes(texture(2), "PNG")  # another file of a melanoma's image
    files["train/healthy/g604.jpg"] = as_bytes(texture(104), quality=60)  # the same image, coarser
    files["train/healthy/g605.jpg"] = as_bytes(np.ascontiguousarray(texture(105)[:, ::-1]))  # and mirrored
    files["train/melanoma/g700.jpg"] = files["train/melanoma/g8.jpg"][:900]
    files["train/healthy/g701.jpg"] = b"<html>not found</html>"
    small = Image.fromarray(texture(702)).resize((32, 32))
    files["train/healthy/g702.jpg"] = as_bytes(np.asarray(small))
    return files


MORE = """
[[sources]]
name = "new"
kind = "folder"
path = {path!r}
label = ""
metadata = {{ file = "./facts.csv", key = "image", columns = {{ module = {{}}, tags = {{ from = "shift" }} }} }}

[quality]
min_side = 40
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the small dataset once and return the folder that holds ``datasets`` and ``cache``."""
    folder = tmp_path_factory.mktemp("review")
    images = write_source(folder / "images", pictures())
    unlabelled = {f"n{number}.jpg": as_bytes(texture(800 + number)) for number in range(4)}
    new = write_source(folder / "new", unlabelled)
    write_recipe(folder / "datasets", images=images, train=7, test=3, more=MORE.format(path=str(new)))
    facts = "".join(f"n{number},north,{number}\n" for number in range(4))
    (folder / "datasets" / "tiny" / "facts.csv").write_text(f"image,module,shift\n{facts}")
    options = Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(1))
    build("tiny", options)
    return folder


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Home:
    """Return a copy of the built dataset that a test may change."""
    shutil.copytree(built / "datasets", tmp_path / "datasets")
    return Home(tmp_path / "datasets")


@pytest.fixture
def cache(built: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Return the cache the dataset was built with; what a review puts there is the same for every test."""
    monkeypatch.setenv("CURATION_CACHE", str(built / "cache"))
    return Cache(built / "cache")


@pytest.fixture
def session(home: Home) -> ReviewSession:
    """Return anna's session."""
    return open_session(home, "tiny", reviewer="anna")


@pytest.fixture(scope="session")
def mongod() -> Path | None:
    """Return the folder of the fetched MongoDB, None where FiftyOne brought its own; skip where there is neither."""
    if find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is not installed: pip install -e '.[review]'")
    if bundled_mongod() is not None or shutil.which("mongod"):
        return None
    folder = fetched_folder(Cache(FETCHED))
    if not (folder / "mongod").is_file():
        pytest.skip("there is no MongoDB: bash tests/review/setup fetches one")
    return folder


def bare_cache(folder: Path, built: Path, mongod: Path | None) -> Path:
    """Return a cache of its own that holds the database's program, what the build left, and nothing of a review."""
    shutil.copytree(built / "cache", folder)
    shutil.rmtree(folder / "review", ignore_errors=True)
    if mongod is not None:
        (folder / "review").mkdir()
        (folder / "review" / "mongodb").symlink_to(mongod)
    return folder


@pytest.fixture
def review_cache(mongod: Path | None, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache that no other test sees."""
    folder = bare_cache(tmp_path / "cache", built, mongod)
    monkeypatch.setenv("CURATION_CACHE", str(folder))
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    return folder


@dataclass
class App:
    """A ``review`` command that runs, and what it printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    @classmethod
    def start(cls, command: Sequence[str], *, environ: Mapping[str, str] = os.environ) -> "App":
        """Start a command and read what it says."""
        process = subprocess.Popen(
            list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(environ)
        )
        app = cls(process)
        app.reader = threading.Thread(target=lambda: app.lines.extend(iter(process.stdout.readline, "")), daemon=True)
        app.reader.start()
        return app

    def wait_ready(self, seconds: float = 300) -> str:
        """Return the App's URL as soon as it is ready."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for line in self.lines:
                found = re.search(r"ready after .*(http://\S+)", line)
                if found:
                    return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError("the App did not come up:\n" + "".join(self.lines))

    def end(self) -> int:
        """End it as Ctrl-C does, if it runs; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.reader.join(60)
        self.process.stdout.close()
        return self.process.wait(60)


def review_command(home: Home, *arguments: str) -> list[str]:
    """Return the command line of a review that opens no browser, at a port of its own."""
    command = [sys.executable, "-m", "curation", "--datasets", str(home.datasets), "review", "tiny"]
    return [*command, "--no-browser", "--port", str(free_port()), *arguments]


Start = Callable[..., App]


@pytest.fixture
def start(review_cache: Path, home: Home) -> Iterator[Start]:
    """Return a function that starts ``review tiny <arguments>``; what still runs at the end is ended."""
    apps: list[App] = []

    def begin(*arguments: str) -> App:
        apps.append(App.start(review_command(home, *arguments)))
        return apps[-1]

    yield begin
    for app in apps:
        app.end()
    stop_all(review_cache / "review", notify=print)


def run(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "curation", "--datasets", str(home.datasets), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def ledger_lines(home: Home, name: str = "tiny") -> list[dict[str, str]]:
    """Return the ledger as it stands on the disk."""
    path = home.dataset(name) / "decisions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
