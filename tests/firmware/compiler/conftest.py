"""Keeps the builder of networks out of the search for doctests: where it is skipped there, nothing could import it."""

import importlib.util

import pytest

collect_ignore = ["networks.py"]


@pytest.fixture(scope="session")
def needs_train() -> None:
    """Skip where the extra ``train`` is not installed."""
    missing = [name for name in ("tensorflow", "keras", "ai_edge_litert") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra `train` is not installed: {', '.join(missing)} missing")
