"""A run from beginning to end: the files of its folder, its repeatability, and its description."""

import hashlib
import json
import re
import shutil
import tomllib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from curation.errors import CurationError, ErrorCode
from curation.images import camera_view
from firmware.compiler.tflite_reference import open_reference
from tests.disks import mount_disk
from training.bias_probes import Shortcut
from training.evaluate import rate
from training.fit import SilentFitListener
from training.out_of_distribution import Alarms
from training.quantize import read_metadata
from training.run_summary import RunResults
from training.runs import list_runs, name_run, open_run, write_config
from training.train_run import RunOptions, make_run

pytestmark = [pytest.mark.usefixtures("needs_train"), pytest.mark.slow]

FILES = {
    "MODEL_CARD.md", "config.toml", "embeddings.parquet", "labels.txt", "metrics.json", "model.cc", "model.keras",
    "model.tflite", "model_int8.tflite", "predictions.parquet", "report.html",
}  # fmt: skip


def test_a_run_has_all_of_its_files(run):
    """The files of a run, and otherwise only TensorBoard's logs."""
    assert {path.name for path in run.folder.iterdir() if path.is_file()} == FILES
    assert [path.name for path in run.folder.iterdir() if path.is_dir()] == ["logs"]
    assert list((run.folder / "logs").rglob("events.out.tfevents.*"))
    assert not [path for path in run.folder.parent.iterdir() if path.name.startswith(".")]


def test_every_file_names_version_and_digest(run, drawn):
    """The model's metadata, the settings, the figures, the card, the page and the C array name the version."""
    digest = drawn.built.line.digest
    for model in ("model.tflite", "model_int8.tflite"):
        metadata = read_metadata(run.read(model))
        named = (metadata["data"], metadata["digest"], metadata["classes"], metadata["alarm"])
        assert named == ("spots@v1", digest, ["skin", "spot"], "spot")
    assert tomllib.loads((run.folder / "config.toml").read_text())["data"]["digest"] == digest
    assert run.metrics["data"]["digest"] == digest
    for name in ("MODEL_CARD.md", "report.html", "model.cc"):
        assert digest[:12] in (run.folder / name).read_text()


def test_the_labels_file_names_the_classes_in_order_and_then_their_version(run, drawn):
    """Line n is output n; the version, its whole digest and the run follow as comments."""
    lines = (run.folder / "labels.txt").read_text().splitlines()
    assert lines == ["skin", "spot", f"# spots@v1, digest {drawn.built.line.digest}", f"# run {run.name}"]


def test_the_cross_validation_has_the_figures_of_the_test(run, data):
    """Sensitivity, threshold, curves and strata over all kept images, each by the net that never saw its group."""
    folds = run.metrics["cross_validation"]
    scores = folds["scores"]
    assert scores["accuracy"] == folds["int8"]  # one repeat: the same answers
    labels = data.samples.labels
    assert scores["sensitivity"]["of"] == int((labels == 1).sum())
    assert scores["specificity"]["of"] == int((labels == 0).sum())
    assert sum(map(sum, scores["confusion"])) == len(labels)
    assert scores["led"]["sensitivity"]["hits"] <= scores["sensitivity"]["hits"]
    assert len(scores["roc"]) > 2
    table = pl.read_parquet(run.folder / "predictions.parquet").filter(pl.col("unseen").is_not_null())
    right = table.select((pl.col("unseen").list.arg_max() == (pl.col("label") == "spot").cast(pl.UInt32)).sum()).item()
    assert right == folds["int8"]["hits"]


def test_every_file_is_checked_when_a_run_is_opened(run):
    """metrics.json has the sha256 of every other file."""
    assert set(run.metrics["files"]) == FILES - {"metrics.json"}
    for name, digest in run.metrics["files"].items():
        assert hashlib.sha256(run.read(name)).hexdigest() == digest
    assert open_run(run.folder.parent, run.name[:12]).folder == run.folder


def test_archives_are_opened_once_and_each_model_once(run, opened):
    """They were looked for twice, and every int8 model was opened up to three times."""
    assert opened.archives == ["spots"]
    assert len(opened.models) == len(set(opened.models)) >= 3
    assert run.read("model_int8.tflite") in opened.models


def test_it_learned_something(run):
    """On drawn spots against drawn skin even seconds of training classify most images correctly, in folds too."""
    assert run.metrics["test"]["camera"]["accuracy"]["share"] >= 0.75
    assert run.metrics["cross_validation"]["int8"]["of"] == 92
    assert run.metrics["cross_validation"]["int8"]["share"] >= 0.7


def test_int8_is_close_to_float(run):
    """Accuracy before and after rounding stands in the figures, and the loss decided about fine-tuning."""
    found = run.metrics["quantisation"]
    assert found["finetuned"] in (True, False)
    assert found["finetuned"] is False or found["lost_points_before"] > 0.5


def test_predictions_are_those_of_the_reference_for_kept_and_context_images(run, data, drawn):
    """Keyed by sha256: each kept image with the int8 model's answer, and the context images without a label."""
    table = pl.read_parquet(run.folder / "predictions.parquet")
    kept = table.filter(pl.col("label").is_not_null())
    assert sorted(kept["sha256"]) == sorted(drawn.built.manifest.kept["sha256"])
    context = table.filter(pl.col("label").is_null())
    assert set(context["source_label"]) == {"mole"}
    assert context.height == sum(alarms["alarms"]["of"] for alarms in run.metrics["context"]["alarms"]) > 0
    int8 = open_reference(run.read("model_int8.tflite"))
    row = kept.row(7, named=True)
    number = data.samples.table["id"].to_list().index(row["id"])
    metadata = int8.probabilities(camera_view(data.samples.frames[number], side=48)[None])[0]
    assert row["probabilities"] == pytest.approx(metadata.tolist())
    assert row["alarm"] == pytest.approx(metadata[1])
    assert kept["unseen"].null_count() == 0


def test_embeddings_and_map_are_keyed_by_sha256(run, drawn):
    """A row a kept image, vectors of one length, a place on the map."""
    table = pl.read_parquet(run.folder / "embeddings.parquet")
    assert sorted(table["sha256"]) == sorted(drawn.built.manifest.kept["sha256"])
    assert set(table["embedding"].list.len()) == {64}
    assert table.select("x", "y").null_count().sum_horizontal().item() == 0
    assert np.isfinite(table.select("x", "y").to_numpy()).all()


def test_the_array_in_c_is_the_model(run):
    """model.cc has the int8 model byte for byte, its length and its labels."""
    text = (run.folder / "model.cc").read_text()
    content = run.read("model_int8.tflite")
    body = text[text.index("g_model[] = {") : text.index("};")]
    assert bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", body)) == content
    assert f"g_model_len = {len(content)};" in text
    assert '{"skin", "spot"}' in text
    assert "alignas(16)" in text


def test_the_card_states_the_limits(run):
    """The card: not a medical device, the first line, the classes it was not trained on."""
    text = (run.folder / "MODEL_CARD.md").read_text()
    assert "Not a medical device" in text
    assert run.metrics["first_line"] in text
    assert "| mole |" in text
    assert "| in the folds: sensitivity for spot |" in text


def test_an_existing_run_is_returned_as_it_is(run, data, drawn, small_settings):
    """The same version and settings again train nothing; other settings have another name."""
    before = json.dumps(run.metrics)
    options = RunOptions(home=drawn.home, runs=run.folder.parent, folds=2)
    again = make_run("spots", small_settings, options)
    assert again.folder == run.folder
    assert json.dumps(again.metrics) == before
    names = {name_run(data, settings, {"folds": 0}) for settings in (small_settings, replace(small_settings, seed=9))}
    assert len(names) == 2


def test_the_model_that_was_measured_is_the_model_that_is_written(run):
    """The int8 file is opened once: its metadata are in it before its accuracy is measured."""
    assert read_metadata(run.read("model_int8.tflite"))["run"] == run.name


@pytest.mark.parametrize(
    ("reference", "board", "code"),
    [("spots", "nano34", ErrorCode.BOARD_UNKNOWN), ("nosuch", "nano33ble", ErrorCode.DATASET_MISSING)],
)
def test_nothing_is_downloaded_for_a_training_that_cannot_start(
    drawn, small_settings, tmp_path, reference, board, code
):
    """ImageNet's weights are downloaded once board and version are known to exist."""
    heard = []
    listener = SilentFitListener()
    listener.note = heard.append
    options = RunOptions(home=drawn.home, runs=tmp_path, board=board, listener=listener)
    with pytest.raises(CurationError) as caught:
        make_run(reference, replace(small_settings, weights="imagenet"), options)
    assert caught.value.code is code
    assert heard == []


def test_a_missing_place_for_originals_is_an_error_before_the_training(builders, small_settings, tmp_path, monkeypatch):
    """Also for a version without images of other classes."""
    builders.publish(tmp_path, train=4, test=2, labels=("spot", "skin", "mole"))
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "empty-cache"))
    options = RunOptions(home=builders.home_of(tmp_path), runs=tmp_path / "runs", originals=(tmp_path / "nowhere",))
    with pytest.raises(CurationError, match="nowhere"):
        make_run("spots", small_settings, options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("fault", ["model", "missing", "metrics", "config"])
def test_a_corrupt_run_is_an_error(run, tmp_path, fault):
    """A changed model, a missing file, broken figures or settings: one error that names the file."""
    folder = tmp_path / "runs" / run.name
    shutil.copytree(run.folder, folder)
    if fault == "model":
        content = bytearray((folder / "model_int8.tflite").read_bytes())
        content[-1] ^= 1
        (folder / "model_int8.tflite").write_bytes(content)
    elif fault == "missing":
        (folder / "labels.txt").unlink()
    elif fault == "metrics":
        (folder / "metrics.json").write_text("{")
    else:
        (folder / "config.toml").write_text("[data]\nname = 3")
    with pytest.raises(CurationError) as caught:
        open_run(tmp_path / "runs", run.name)
    named = {"model": "model_int8.tflite", "missing": "labels.txt", "metrics": "metrics.json", "config": "config.toml"}
    assert caught.value.code is ErrorCode.RUN_INVALID
    assert named[fault] in caught.value.message


def test_a_damaged_run_hides_no_other(run, tmp_path):
    """The complete runs are listed, and each damaged one has an error that names what is missing."""
    shutil.copytree(run.folder, tmp_path / "whole")
    for name, figures in (("cut", '{"files": {}}'), ("poor", json.dumps(run.metrics | {"context": {}}))):
        shutil.copytree(run.folder, tmp_path / name)
        (tmp_path / name / "metrics.json").write_text(figures)
    found, faults = list_runs(tmp_path)
    assert [one.name for one in found] == ["whole"]
    assert {one.code for one in faults} == {ErrorCode.RUN_INVALID}
    assert "cut" in faults[0].message
    assert "'note'" in faults[1].message


def test_settings_with_any_letters_are_read_back(tmp_path):
    """The path of a board may contain a letter that JSON writes as two escapes and TOML does not."""
    config = {"options": {"board": "/home/\U0001f52c/b\u00e9.toml", "folds": 5}, "settings": {"side": 96, "rate": 0.1}}
    write_config(tmp_path, config)
    assert tomllib.loads((tmp_path / "config.toml").read_text(encoding="utf-8")) == config


def test_the_first_line_compares_the_model_with_the_best_shortcut(run):
    """The first sentence has the accuracy of the best shortcut and of the model, and where it was measured."""
    best = max(shortcut["accuracy"]["share"] for shortcut in run.metrics["shortcuts"])
    own = run.metrics["cross_validation"]["int8"]
    line = run.metrics["first_line"]
    assert f"{100 * best:.1f} %" in line
    assert f"{100 * own['share']:.1f} % in a 2-fold" in line


def results_of(share: float, *, border: float, confusion: tuple[tuple[int, ...], ...] = ((9, 1), (0, 10))):
    """Return as much of a run's results as its first lines need: 100 images, one shortcut, moles it warns of."""
    samples = type("Many", (), {"labels": np.array([0, 1] * 50), "__len__": lambda self: 100})()
    camera = SimpleNamespace(confusion=confusion, accuracy=SimpleNamespace(of=sum(map(sum, confusion))))
    assessment = SimpleNamespace(
        test=SimpleNamespace(camera=camera),
        shortcuts=(Shortcut("border", "the outer sixth", rate(border * 10_000, 10_000)),),
        folds=SimpleNamespace(folds=5, int8=rate(share * 10_000, 10_000)),
        alarms=(
            Alarms("burn", rate(1, 1), rate(1, 1)),
            Alarms("mole", rate(9, 9), rate(8, 9)),
            Alarms("wart", rate(1, 11), rate(0, 11)),
        ),
    )
    data = SimpleNamespace(samples=samples, alarm="spot", classes=("skin", "spot"))
    quantized = SimpleNamespace(fitted=SimpleNamespace(best=1, epochs=(1, 2, 3)))
    return RunResults("r", data, None, quantized, assessment, None, 0.0, 0.0)


def test_of_a_net_that_predicts_one_class_for_all_nothing_else_is_reported():
    """50 % was "about as well" as a shortcut's 68 %, and no alarm on any other class read like good news."""
    idle = results_of(0.5, border=0.68, confusion=((10, 0), (10, 0)))
    assert idle.one_answer() == "skin"
    for fact in ("skin", "20 test images", "1 of 3"):
        assert fact in idle.first_line()
    assert "68" not in idle.first_line()
    assert idle.second_line() is None
    assert results_of(0.99, border=0.8, confusion=((0, 0), (0, 10))).one_answer() is None  # the test has one class only


@pytest.mark.parametrize(
    ("share", "border", "level"),
    [(0.95, 0.99, "better"), (0.99, 0.99, "equal"), (0.99, 0.95, "nearly"), (0.99, 0.80, "less")],
)
def test_a_shortcut_is_weighed_against_the_model_and_guessing(share, border, level):
    """Better, as good as the model, nine tenths of the way from guessing to it, or plainly less: four first lines."""
    results = results_of(share, border=border)
    assert results.shortcut_level() == level
    for fact in ("border", "the outer sixth", f"{100 * border:.1f} %", f"{100 * share:.1f} %"):
        assert fact in results.first_line().lower()
    others = [results_of(0.99, border=other).first_line() for other in (0.99, 0.95, 0.80)]
    assert len(set(others)) == 3


def test_the_second_line_counts_the_alarms_on_other_classes():
    """All such images together, and the class with the most certain alarms, which is not one with a single image."""
    line = results_of(0.99, border=0.8).second_line()
    for fact in ("spot", "11 of 21", "mole: 100.0 %"):
        assert fact in line


def test_a_full_disk_is_an_error_and_leaves_no_half_run(drawn, tmp_path, small_settings):
    """An empty TensorBoard log or a cut checkpoint would end in a traceback; what was written is taken up again."""
    with mount_disk(tmp_path / "room", size="64k") as room:
        with pytest.raises(CurationError, match=re.escape(str(room))) as caught:
            make_run("spots", replace(small_settings, epochs=1), RunOptions(home=drawn.home, runs=room, board="none"))
        assert caught.value.hint
        assert not [path for path in room.iterdir() if not path.name.startswith(".")]


def test_a_place_for_runs_that_is_a_file_is_an_error(drawn, tmp_path, small_settings):
    """It was a traceback, after the version had been read."""
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(CurationError) as caught:
            make_run("spots", replace(small_settings, epochs=1), RunOptions(home=drawn.home, runs=runs, board="none"))
        assert caught.value.code is ErrorCode.TARGET_EXISTS
        assert "$TRAINING_RUNS" in caught.value.hint
