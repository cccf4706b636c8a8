"""The two images of every row: what the board will see, bit for bit, and a reason where there is none."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curation.engines import Local
from curation.images import camera_view, decode
from curation.review.media import PLACEHOLDER_SIZE, draw_placeholder
from curation.review.setup import ReviewRequest, prepare


@pytest.fixture
def shown(home, review_folder, monkeypatch):
    """Return the rows and their images."""
    prepared = prepare(ReviewRequest("tiny", str(home.datasets), "anna"), cache=review_folder, engine=Local(1))
    return prepared.rows.join(prepared.media, on="id"), prepared


@pytest.fixture
def review_folder(built, tmp_path):
    """Return a cache with what the build left, and no images yet."""
    import shutil

    from curation.storage.cache import Cache

    shutil.copytree(built / "cache", tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / "review", ignore_errors=True)
    return Cache(tmp_path / "cache")


def test_every_row_has_both_images(shown):
    """Kept and excluded, readable or not: nothing is without a file a browser shows."""
    rows, _ = shown
    for path in [*rows["full"], *rows["board"]]:
        with Image.open(path) as image:
            image.verify()
    assert rows.height == rows["id"].n_unique()


def test_the_board_sees_the_published_image(shown, home):
    """The second image is the camera's view of what the version holds, without a loss."""
    rows, _ = shown
    for row in rows.filter(pl.col("file").is_not_null()).head(4).iter_rows(named=True):
        published = (home.build("tiny", 1) / row["file"]).read_bytes()
        with Image.open(row["board"]) as image:
            assert np.array_equal(np.asarray(image), camera_view(decode(published).pixels))


def test_a_jpeg_is_shown_as_it_is(shown, built):
    """The full-size image is the source's own, in size and pixels."""
    rows, _ = shown
    row = rows.filter(pl.col("path") == "train/melanoma/g5.jpg").row(0, named=True)
    source = (built / "images" / row["path"]).read_bytes()
    assert np.array_equal(decode(Path(row["full"]).read_bytes()).pixels, decode(source).pixels)


def test_what_cannot_be_decoded_says_why(shown):
    """Each fault has a placeholder of its own; an image below a threshold is an image still."""
    rows, _ = shown
    drawn = rows.filter(pl.col("full").str.contains("/placeholders/"))
    assert drawn["path"].to_list() == ["train/healthy/g701.jpg", "train/melanoma/g700.jpg"]
    assert drawn["full"].n_unique() == 2
    assert drawn.select("width_right", "height_right").unique().row(0) == PLACEHOLDER_SIZE


def test_a_second_review_decodes_nothing(shown, home, review_folder, monkeypatch):
    """The images lie under the file's sha256; a rewritten manifest finds them again."""
    rows, _ = shown
    before = {path: Path(path).stat().st_mtime_ns for path in rows["full"]}

    def must_not(*_):
        raise AssertionError("an image was made again")

    monkeypatch.setattr("curation.review.media.write_media", must_not)
    again = prepare(ReviewRequest("tiny", str(home.datasets), "anna"), cache=review_folder, engine=Local(1))
    assert again.media["full"].to_list() == rows["full"].to_list()
    assert {path: Path(path).stat().st_mtime_ns for path in before} == before


def test_a_source_that_is_gone_is_said_on_the_image_and_in_words(home, review_folder, built):
    """Where the originals cannot be had the review goes on: placeholders, and one note that says what to do."""
    recipe = home.dataset("tiny") / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(built / "images"), str(built / "gone")))
    prepared = prepare(ReviewRequest("tiny", str(home.datasets), "anna"), cache=review_folder, engine=Local(1))
    lost = prepared.media.filter(pl.col("id").str.starts_with("src/"))
    assert all("/placeholders/" in path for path in lost["full"])
    assert len(prepared.notes) == 1
    assert "src" in prepared.notes[0]


def test_other_bytes_under_the_same_name_are_not_shown(home, review_folder, built, tmp_path):
    """A source that changed since the build would show one image and decide about another."""
    import shutil

    images = tmp_path / "images"
    shutil.copytree(built / "images", images)
    shutil.copy(images / "train/melanoma/g6.jpg", images / "train/melanoma/g5.jpg")
    recipe = home.dataset("tiny") / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(built / "images"), str(images)))
    prepared = prepare(ReviewRequest("tiny", str(home.datasets), "anna"), cache=review_folder, engine=Local(1))
    row = prepared.media.filter(pl.col("id") == "src/train/melanoma/g5.jpg")
    assert "/placeholders/" in row["full"].item()


def test_a_placeholder_is_drawn_once(tmp_path):
    """The same reason is the same file, a hostile one too."""
    one = draw_placeholder("probe: <b>\x00\nüöä 漢字" + "x" * 400, tmp_path)
    assert draw_placeholder("probe: <b>\x00\nüöä 漢字" + "x" * 400, tmp_path) == one
    with Image.open(io.BytesIO(one.read_bytes())) as image:
        assert image.size == PLACEHOLDER_SIZE
