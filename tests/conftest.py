"""Shared by all tests: an empty cache, no credentials, no telemetry, and the mirror of the real sets if it exists."""

import itertools
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
