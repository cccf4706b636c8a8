"""Where datasets and builds lie, and that no name leads out of there."""

from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.versions import Home
from tests.versions.builders import make_home


def test_the_folder_is_the_given_one_then_the_environments_then_datasets_here():
    """A given folder wins over $CURATION_DATASETS, which wins over ./datasets."""
    assert Home.find(Path("/a"), environ={"CURATION_DATASETS": "/b"}).datasets == Path("/a")
    assert Home.find(environ={"CURATION_DATASETS": "/b"}).datasets == Path("/b")
    assert Home.find(environ={}).datasets == Path("datasets")


def test_names_are_sorted_and_leave_out_what_is_no_definition(tmp_path):
    """A dataset is a folder with a recipe or with published lines; builds/ is not one, whatever it contains."""
    home = make_home(tmp_path, name="zebra")
    for name, file in (("ant", "versions.jsonl"), ("empty", "notes.txt"), ("builds", "recipe.toml")):
        (home.datasets / name).mkdir()
        (home.datasets / name / file).touch()
    assert home.names() == ("ant", "zebra")


def test_an_unknown_dataset_is_answered_with_the_one_that_was_meant(tmp_path):
    """A misspelt name is an error whose hint gives the near one; without a near one, those there are."""
    home = make_home(tmp_path, name="melanoma")
    with pytest.raises(CurationError) as caught:
        home.check_name("melanom")
    assert "'melanoma'" in (caught.value.hint or "")
    with pytest.raises(CurationError) as caught:
        home.check_name("xyz")
    assert "melanoma" in (caught.value.hint or "")


def test_without_any_dataset_the_hint_says_where_to_run_it(tmp_path):
    """If datasets/ is missing, no similar name is suggested."""
    with pytest.raises(CurationError) as caught:
        Home(tmp_path / "datasets").check_name("melanoma")
    assert "CURATION_DATASETS" in (caught.value.hint or "")
