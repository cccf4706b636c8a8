"""Images without labels: a build until dedup leaves what a review needs, and a build says what comes next."""

from pathlib import Path

import pytest

from curation import Options, build
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.init import start_dataset
from curation.review.review_session import open_session
from curation.storage.cache import Cache
from curation.versions import Home
from tests.builders import as_bytes, texture, write_source


def start(folder: Path, *classes: str) -> Options:
    """Write a recipe for ten images without labels."""
    images = write_source(folder / "images", {f"IMG_{n}.jpg": as_bytes(texture(n)) for n in range(20)})
    options = Options(home=Home(folder / "datasets"), cache=Cache(folder / "cache"), engine=Local(1))
    start_dataset(options.home, "pets", images=images, classes=classes)
    return options


def test_images_without_labels_can_be_reviewed_and_then_built(tmp_path):
    """No build has to fail first: until dedup it leaves a draft, a review labels, and the next build publishes."""
    options = start(tmp_path, "cat", "dog")
    stopped = build("pets", options, until="dedup")
    assert (stopped.outcome, stopped.folder) == ("stopped", options.home.draft("pets"))
    session = open_session(options.home, "pets", reviewer="anna")
    assert session.labels == ("cat", "dog")
    shas = session.rows()["sha256"].to_list()
    assert len(set(shas)) == 20
    session.decide("relabel", shas[::2], label="cat")
    session.decide("relabel", shas[1::2], label="dog")
    built = build("pets", options)
    assert built.summary.splits == {side: {"cat": n, "dog": n} for side, n in (("train", 8), ("val", 1), ("test", 1))}


@pytest.mark.parametrize("classes", [(), ("cat", "dog")])
def test_a_build_without_labels_names_the_next_step(tmp_path, classes):
    """A recipe without classes is valid up to dedup; the build's error points to the review."""
    options = start(tmp_path, *classes)
    build("pets", options, until="dedup")
    with pytest.raises(CurationError) as caught:
        build("pets", options)
    assert caught.value.code is ErrorCode.NO_LABELS
    assert "curation review pets" in (caught.value.hint or "")
