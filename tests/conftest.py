"""Shared by all tests: an empty cache, no credentials, no telemetry, and the mirror of the real sets if it exists."""

import itertools
import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.once import make_once

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"

# A deadline would test the load of the machine. On a server the examples are the same in every run, so that only the
# submitted change can cause a failure; on a developer's machine they vary.
settings.register_profile("desk", deadline=None)
settings.register_profile(
    "server", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("server" if os.environ.get("CI") else "desk")

# Packages read these at import, so they are set before any test module is: no telemetry, ...
os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"
# ... and no screen for figures.
os.environ["MPLBACKEND"] = "agg"
# There is a worker for each core: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell disables Ctrl-C for background jobs, and the programs that a test starts inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST_FIRST = ("training", "test_pipeline.py", "firmware", "board", "versions")
"""Rooms with long tests: the tests that workers share out at the end are then short."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the rooms with long tests first, and the others in their order."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        room = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        return LONGEST_FIRST.index(room) if room in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=place)


UNMARKED_SECONDS = 3.0
"""Seconds of processor time from which on a test that is not marked as slow is listed after the run."""


def spent() -> float:
    """Return the processor time of this process and its ended children, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Note what a test took that is not marked as slow."""
    before = spent()
    yield
    if spent() - before >= UNMARKED_SECONDS and item.get_closest_marker("slow") is None:
        item.user_properties.append(("unmarked", round(spent() - before, 1)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List these tests: `make check` skips what is marked as slow, to stay short."""
    found = [
        (value, report.nodeid)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "unmarked" and report.when == "call"
    ]
    if found:
        terminalreporter.section("not marked as slow")
        for seconds, name in sorted(found, reverse=True):
            terminalreporter.write_line(f"{seconds:5.1f} s of processor time: {name}")


_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an empty cache and no credentials, so that it neither uses nor changes the developer's own."""
    # pytest's own numbering lists all earlier folders at each call.
    place = tmp_path_factory.getbasetemp() / "isolated" / str(next(_NUMBERS))
    (place / "cache").mkdir(parents=True)
    (place / "kaggle").mkdir()
    monkeypatch.setenv("CURATION_CACHE", str(place / "cache"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "FIGSHARE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(place / "kaggle"))


@pytest.fixture(scope="session")
def built_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``datasets``, in which the shipped sample is built, and ``cache``; no test changes it."""

    def make(folder: Path) -> None:
        from curation import Cache, Home, Options, build

        (folder / "datasets" / "sample").mkdir(parents=True)
        shutil.copyfile(PROJECT / "datasets/sample/recipe.toml", folder / "datasets/sample/recipe.toml")
        build("sample", Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache")))

    return make_once(tmp_path_factory, "sample", make)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Return the folder that mirrors the real sources; skip the test if it is missing, as on most machines."""
    folder = SHARED / "mirror"
    if not folder.is_dir():
        pytest.skip(f"the mirror of the real image sets is not at {os.path.relpath(folder, PROJECT)}")
    return folder


@pytest.fixture(scope="session")
def fullres() -> Path:
    """Return the folder of full-size images; skip the test if it is missing."""
    folder = SHARED / "fullres"
    if not folder.is_dir():
        pytest.skip(f"the full-size images are not at {os.path.relpath(folder, PROJECT)}")
    return folder
