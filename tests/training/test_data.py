"""Opening a version for training: verified first, refused where it is not what was published."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from curation.errors import CurationError, ErrorCode
from curation.images import area_average, camera_view, center_square, decode
from training.data import choose_alarm, open_training_data


def test_a_version_opens_with_its_images_labels_and_groups(drawn, data):
    """Every kept image is there once, with the class and group of the manifest."""
    kept = drawn.built.manifest.kept
    assert len(data.samples) == kept.height == 92
    assert sorted(data.samples.table["sha256"]) == sorted(kept["sha256"])
    named = [data.classes[label] for label in data.samples.labels]
    assert named == data.samples.table["label"].to_list()
    assert data.reference == "spots@v1"


def test_what_is_trained_on_is_the_camera_view_of_the_published_file(data):
    """The view of the stored frame equals the camera's view of the file's own pixels, and the plain one its average."""
    for row in (0, 17, 41):
        content = Path(data.samples.table["file"][row]).read_bytes()
        pixels = decode(content).pixels
        assert np.array_equal(data.samples.view(48)[row], camera_view(pixels, side=48))
        assert np.array_equal(data.samples.view(96)[row], camera_view(pixels, side=96))
        assert np.array_equal(data.samples.plain[row], area_average(center_square(pixels), height=48, width=48))


def test_the_alarm_is_the_first_class_of_the_recipe(drawn, data):
    """By default the board warns of the class that the recipe names first, in whatever alphabetical order."""
    assert data.classes == ("skin", "spot")
    assert data.alarm == "spot"
    assert choose_alarm(data.version, data.classes, "skin") == "skin"
    with pytest.raises(CurationError, match="'moon'") as caught:
        choose_alarm(data.version, data.classes, "moon")
    assert caught.value.code is ErrorCode.LABEL_UNKNOWN


@pytest.fixture(scope="module")
def small(tmp_path_factory, builders):
    """Return a small published version, and the folder that it lies in."""
    root = tmp_path_factory.mktemp("small")
    return root, builders.publish(root, train=6, test=2)


@pytest.mark.parametrize("edit", ["change", "remove", "add", "manifest"])
def test_an_edited_folder_is_refused(tmp_path, builders, small, edit):
    """A changed, missing or added image, or a rewritten table, and nothing is trained on that folder."""
    root, built = small
    shutil.copytree(root / "datasets", tmp_path / "datasets")
    folder = tmp_path / built.folder.relative_to(root)
    image = min(folder.rglob("*.jpg"))
    if edit == "change":
        image.write_bytes(image.read_bytes()[:-2] + b"\x00\x00")
    elif edit == "remove":
        image.unlink()
    elif edit == "add":
        (image.parent / "mine.jpg").write_bytes(image.read_bytes())
    else:
        manifest = built.manifest.with_columns(label=built.manifest.rows["label"].replace({"spot": "skin"}))
        manifest.write(folder / "manifest.parquet")
    with pytest.raises(CurationError) as caught:
        open_training_data(builders.home_of(tmp_path), "spots")
    assert caught.value.code is ErrorCode.VERSION_DAMAGED
    assert "curation build spots@v1" in caught.value.hint


def test_a_version_that_is_not_there_is_an_error(drawn):
    """An unknown name, number or a folder path is refused with what there is."""
    for reference in ("spot", "spots@v7", str(drawn.built.folder)):
        with pytest.raises(CurationError):
            open_training_data(drawn.home, reference)


def test_one_class_is_refused(tmp_path, builders):
    """A classifier needs two classes."""
    builders.publish(tmp_path, train=6, test=2, labels=("spot",))
    with pytest.raises(CurationError, match="one class") as caught:
        open_training_data(builders.home_of(tmp_path), "spots")
    assert caught.value.code is ErrorCode.SPLIT_EMPTY


def test_an_empty_split_is_refused(tmp_path, builders):
    """A version without test images could be trained on but never judged."""
    builders.publish(tmp_path, train=6, test=0)
    with pytest.raises(CurationError, match=r"test .*skin.* test .*spot") as caught:
        open_training_data(builders.home_of(tmp_path), "spots")
    assert caught.value.code is ErrorCode.SPLIT_EMPTY
