"""What 0.1.0 left of a training run is still read: its figures, its name, and the images that it knows."""

import json
import tomllib
from pathlib import Path

import polars as pl
import pytest

from curation.errors import CurationError, ErrorCode
from curation.versions import Home
from training.augment import Augmentation
from training.cli import main
from training.data import open_training_data
from training.fit import FitSettings
from training.inference import leave_out_known
from training.runs import Run, list_runs, name_run, open_run, read_config

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "schema_1"
NAME = "spots-v2-ds_cnn_xs-6cb15afd"


@pytest.fixture(scope="module")
def old_run() -> Run:
    """Return the run as far as it is in git: texts and tables, no models."""
    return Run(FIXTURE / "run", read_config(FIXTURE / "run"))


@pytest.fixture(scope="module")
def old_data():
    """Return the version that it was trained on."""
    return open_training_data(Home(FIXTURE / "datasets"), "spots@v2")


def test_it_is_listed_with_its_figures(capsys):
    """``list`` prints its accuracy and arena; as JSON, all of its metrics."""
    found, faults = list_runs(FIXTURE)
    assert [one.name for one in found] == ["run"]
    assert faults == ()
    assert main(["--runs", str(FIXTURE), "list"]) == 0
    printed = capsys.readouterr().out
    for fact in ("spots@v2", "50.0 %", "of 6", "32,184"):
        assert fact in printed
    assert main(["--runs", str(FIXTURE), "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["metrics"] == json.loads((FIXTURE / "run" / "metrics.json").read_text(encoding="utf-8"))


def test_its_settings_name_the_same_run_today(old_run, old_data):
    """The same version and settings have the name that 0.1.0 gave, so that ``fit`` finds the run and trains nothing."""
    settings = dict(old_run.config["settings"])
    augmentation = Augmentation(**settings.pop("augmentation"))
    assert name_run(old_data, FitSettings(**settings, augmentation=augmentation), old_run.config["options"]) == NAME
    assert (old_run.digest, old_run.classes, old_run.alarm) == (old_data.version.digest, old_data.classes, "dark")
    assert old_run.side == 96


def test_the_images_that_it_knows_are_recognized(old_run, old_data):
    """Of its own version it is only judged on the test images."""
    unknown = leave_out_known(old_data.samples, old_run, rows=old_data.version.manifest.rows)
    assert set(unknown.table["split"]) == {"test"}
    assert len(unknown) == old_run.metrics["test"]["camera"]["accuracy"]["of"] == 6


def test_its_tables_have_the_columns_of_today(old_run):
    """Predictions and embeddings are keyed by sha256, with the columns that the review and the audit read."""
    predictions = pl.read_parquet(old_run.folder / "predictions.parquet")
    assert {"id", "sha256", "page", "split", "label", "predicted", "confidence", "probabilities", "unseen"} <= set(
        predictions.columns
    )
    embeddings = pl.read_parquet(old_run.folder / "embeddings.parquet")
    assert set(embeddings["sha256"]) <= set(predictions["sha256"])
    assert {"embedding", "x", "y"} <= set(embeddings.columns)


def test_without_its_models_it_is_incomplete():
    """What is in git has no weights, and the error names them."""
    with pytest.raises(CurationError) as caught:
        open_run(FIXTURE, "run")
    assert caught.value.code is ErrorCode.RUN_INVALID
    assert "model_int8.tflite" in caught.value.message


def test_its_settings_are_toml_with_the_sections_of_today(old_run):
    """``config.toml`` has the tool, the data, the settings, the options and the packages."""
    config = tomllib.loads((old_run.folder / "config.toml").read_text(encoding="utf-8"))
    assert set(config) == {"tool", "data", "settings", "options", "packages"}
    assert config["tool"] == "0.1.0"
