"""One hostile version, built once for all tests of this room; no test writes into it."""

import pytest

from tests.exports.builders import build_hostile


@pytest.fixture(scope="session")
def version(tmp_path_factory):
    """Return the published version of hostile images: train, val and test of two classes."""
    return build_hostile(tmp_path_factory.mktemp("hostile"))
