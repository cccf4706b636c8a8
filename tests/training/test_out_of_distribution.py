"""Images of other classes: read from the archives, rendered as the version's own, counted where they are missing."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from curation import Options, build
from curation.engines import Local
from curation.errors import CurationError
from curation.images import decode, render
from curation.storage.cache import Cache
from curation.versions import load
from curation.versions.originals import open_originals
from training.data import read_frame
from training.out_of_distribution import list_context, read_context, rendering_of


@pytest.fixture(scope="module")
def version(drawn):
    """Return the drawn version."""
    return load(drawn.home, "spots")


@pytest.fixture
def moved(version, tmp_path):
    """Return the drawn version on a machine where its recipe names a folder that is not there."""
    folder = tmp_path / "builds" / version.name / version.folder.name
    shutil.copytree(version.folder, folder)
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("spots-source", "elsewhere"), encoding="utf-8")
    return replace(version, folder=folder)


def test_context_rows_are_those_of_no_class(version):
    """The drawn moles that are no duplicate, and nothing else."""
    found = list_context(version)
    assert set(found["source_label"]) == {"mole"}
    assert found.height > 5


def test_they_are_read_and_rendered_like_the_published_ones(version, drawn):
    """A kept image rendered the same way from its original has the pixels of the published file."""
    originals = open_originals(version, places=[drawn.root / "spots-source"])
    context = read_context(version, originals, side=48)
    assert len(context.frames) == context.table.height == list_context(version).height
    assert context.left_out == 0

    row = version.samples().row(0, named=True)
    settings, tone = rendering_of(version)
    again = render(originals.read(row["id"], sha256=row["sha256"]), settings, tone=tone)
    published = (version.folder / version.manifest.kept.row(0, named=True)["file"]).parent
    assert published.is_dir()
    with open(row["file"], "rb") as file:  # noqa: PTH123  # the table holds text
        content = file.read()
    assert np.array_equal(decode(again).pixels, decode(content).pixels)
    assert read_frame(again, side=48, name="a")[0].shape == (144, 144, 3)


def test_without_the_archives_none_is_read(moved, tmp_path):
    """No archive, no image: all are counted as left out, and the source is named."""
    originals = open_originals(moved, places=[tmp_path])
    assert originals.missing == ("drawn",)
    context = read_context(moved, originals, side=48)
    assert context.left_out == list_context(moved).height
    assert context.frames.shape == (0, 144, 144, 3)


def test_a_folder_that_the_recipe_names_is_found(version):
    """The source's own folder is here, so it need not be given."""
    assert open_originals(version).missing == ()


def test_a_changed_archive_is_not_taken(moved, drawn, tmp_path):
    """A folder with one other byte is not the source the version was built from."""
    copy = tmp_path / "spots-source"
    shutil.copytree(drawn.root / "spots-source", copy)
    assert open_originals(moved, places=[copy]).missing == ()
    image = sorted(copy.rglob("*.png"))[0]
    image.write_bytes(image.read_bytes() + b"\0")
    assert open_originals(moved, places=[copy]).missing == ("drawn",)


def test_a_place_that_is_not_there_is_an_error(version, tmp_path):
    """A mistyped folder is an error."""
    with pytest.raises(CurationError, match="nowhere"):
        open_originals(version, places=[tmp_path / "nowhere"])


def test_a_file_that_changed_in_its_archive_is_refused(version, drawn):
    """The bytes read must be those of the manifest's sha256."""
    originals = open_originals(version, places=[drawn.root / "spots-source"])
    identity = list_context(version)["id"][0]
    with pytest.raises(CurationError, match=re.escape(identity)):
        originals.read(identity, sha256="0" * 64)
    with pytest.raises(CurationError, match=r"drawn/nothing\.png"):
        originals.read("drawn/nothing.png", sha256="0" * 64)


def test_a_number_sign_in_a_path_loses_no_image(tmp_path, builders):
    """A context image whose name looks like a page of another file is read like the others."""
    source = tmp_path / "spots-source"
    builders.draw_folder(source, train=8, test=2)
    mole = min((source / "train" / "mole").iterdir())
    mole.rename(mole.with_name(f"{mole.stem}#2.png"))
    home = builders.home_of(tmp_path)
    home.dataset("spots").mkdir(parents=True)
    classes = 'spot = ["spot"]\nskin = ["skin"]'
    recipe = builders.RECIPE.format(context=["mole"], folder=source.as_posix(), classes=classes, train=8, test=2)
    (home.dataset("spots") / "recipe.toml").write_text(recipe, encoding="utf-8")
    build("spots", Options(home=home, cache=Cache(tmp_path / "cache"), engine=Local(1)))
    version = load(home, "spots")
    assert list_context(version)["id"].str.contains("#2.png", literal=True).any()
    context = read_context(version, open_originals(version, places=[source]), side=48)
    assert context.left_out == 0
