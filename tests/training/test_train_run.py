"""A run from beginning to end: what lies in its folder, that it is repeatable, and what it says of itself."""

import hashlib
import json
import re
import tomllib
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from curation.errors import CurationError
from curation.images import camera_view
from firmware.compiler.tflite_reference import open_oracle
from tests.disks import mount_disk
from training.quantise import read_metadata
from training.runs import open_run
from training.train_run import Options, produce

pytestmark = [pytest.mark.usefixtures("needs_train"), pytest.mark.slow]

FILES = {
    "MODEL_CARD.md", "config.toml", "embeddings.parquet", "labels.txt", "metrics.json", "model.cc", "model.keras",
    "model.tflite", "model_int8.tflite", "predictions.parquet", "report.html",
}  # fmt: skip


def test_a_run_holds_what_it_promises(run):
    """The files of a run, and beside them only TensorBoard's logs."""
    assert {path.name for path in run.folder.iterdir() if path.is_file()} == FILES
    assert [path.name for path in run.folder.iterdir() if path.is_dir()] == ["logs"]
    assert list((run.folder / "logs").rglob("events.out.tfevents.*"))
    assert not [path for path in run.folder.parent.iterdir() if path.name.startswith(".")]


def test_version_and_digest_stand_everywhere(run, drawn):
    """The model's metadata, the settings, the figures, the card, the page and the C array name the very version."""
    digest = drawn.built.line.digest
    for model in ("model.tflite", "model_int8.tflite"):
        said = read_metadata(run.read(model))
        told = (said["data"], said["digest"], said["classes"], said["alarm"])
        assert told == ("spots@v1", digest, ["skin", "spot"], "spot")
    assert tomllib.loads((run.folder / "config.toml").read_text())["data"]["digest"] == digest
    assert run.metrics["data"]["digest"] == digest
    for name in ("MODEL_CARD.md", "report.html", "model.cc"):
        assert digest[:12] in (run.folder / name).read_text()


def test_the_labels_file_names_the_classes_in_order_and_then_their_version(run, drawn):
    """Line n is output n; the version, its whole digest and the run follow as comments."""
    lines = (run.folder / "labels.txt").read_text().splitlines()
    assert lines == ["skin", "spot", f"# spots@v1, digest {drawn.built.line.digest}", f"# run {run.name}"]


def test_the_cross_validation_says_as_much_as_the_test(run, material):
    """Sensitivity, threshold, curves and strata over all kept pictures, each by the net that never saw its group."""
    folds = run.metrics["cross_validation"]
    scores = folds["scores"]
    assert scores["accuracy"] == folds["int8"]  # one repeat: the very same answers
    labels = material.samples.labels
    assert scores["sensitivity"]["of"] == int((labels == 1).sum())
    assert scores["specificity"]["of"] == int((labels == 0).sum())
    assert sum(map(sum, scores["confusion"])) == len(labels)
    assert scores["led"]["sensitivity"]["hits"] <= scores["sensitivity"]["hits"]
    assert len(scores["roc"]) > 2
    table = pl.read_parquet(run.folder / "predictions.parquet").filter(pl.col("unseen").is_not_null())
    right = table.select((pl.col("unseen").list.arg_max() == (pl.col("label") == "spot").cast(pl.UInt32)).sum()).item()
    assert right == folds["int8"]["hits"]


def test_every_file_is_checked_when_a_run_is_opened(run):
    """metrics.json holds the sha256 of every other file."""
    assert set(run.metrics["files"]) == FILES - {"metrics.json"}
    for name, digest in run.metrics["files"].items():
        assert hashlib.sha256(run.read(name)).hexdigest() == digest
    assert open_run(run.folder.parent, run.name[:12]).folder == run.folder


def test_it_learnt_something(run):
    """On drawn spots against drawn skin even seconds of training tell most pictures right, in folds too."""
    assert run.metrics["test"]["camera"]["accuracy"]["share"] >= 0.75
    assert run.metrics["cross_validation"]["int8"]["of"] == 92
    assert run.metrics["cross_validation"]["int8"]["share"] >= 0.7


def test_int8_is_close_to_float(run):
    """Accuracy before and after rounding stands in the figures, and the loss decided about fine-tuning."""
    found = run.metrics["quantisation"]
    assert found["finetuned"] in (True, False)
    assert found["finetuned"] is False or found["lost_points_before"] > 0.5


def test_predictions_are_the_oracles_for_every_kept_picture_and_the_context(run, material, drawn):
    """Keyed by sha256: each kept picture with what the int8 model says, and the context pictures without a label."""
    table = pl.read_parquet(run.folder / "predictions.parquet")
    kept = table.filter(pl.col("label").is_not_null())
    assert sorted(kept["sha256"]) == sorted(drawn.built.manifest.kept["sha256"])
    context = table.filter(pl.col("label").is_null())
    assert set(context["source_label"]) == {"mole"}
    assert context.height == sum(alarms["alarms"]["of"] for alarms in run.metrics["context"]["alarms"]) > 0
    oracle = open_oracle(run.read("model_int8.tflite"))
    row = kept.row(7, named=True)
    number = material.samples.table["id"].to_list().index(row["id"])
    said = oracle.probabilities(camera_view(material.samples.frames[number], side=48)[None])[0]
    assert row["probabilities"] == pytest.approx(said.tolist())
    assert row["alarm"] == pytest.approx(said[1])
    assert kept["unseen"].null_count() == 0


def test_embeddings_and_map_are_keyed_by_sha256(run, drawn):
    """A row a kept picture, vectors of one length, a place on the map."""
    table = pl.read_parquet(run.folder / "embeddings.parquet")
    assert sorted(table["sha256"]) == sorted(drawn.built.manifest.kept["sha256"])
    assert set(table["embedding"].list.len()) == {64}
    assert table.select("x", "y").null_count().sum_horizontal().item() == 0
    assert np.isfinite(table.select("x", "y").to_numpy()).all()


def test_the_array_in_c_is_the_model(run):
    """model.cc holds the int8 model byte for byte, its length and its labels."""
    text = (run.folder / "model.cc").read_text()
    content = run.read("model_int8.tflite")
    body = text[text.index("g_model[] = {") : text.index("};")]
    assert bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", body)) == content
    assert f"g_model_len = {len(content)};" in text
    assert '{"skin", "spot"}' in text
    assert "alignas(16)" in text


def test_the_card_says_what_it_is_not(run):
    """The card: not a medical device, the first line, the classes it was never taught."""
    text = (run.folder / "MODEL_CARD.md").read_text()
    assert "Not a medical device" in text
    assert run.metrics["first_line"] in text
    assert "| mole |" in text
    assert "| in the folds: sensitivity for spot |" in text


def test_an_existing_run_is_returned_as_it_is(run, drawn, small_settings):
    """The same version and settings again train nothing; other settings have another name."""
    from training.train_run import Options, name_run, open_material, produce

    before = json.dumps(run.metrics)
    options = Options(home=drawn.home, runs=run.folder.parent, folds=2)
    again = produce("spots", small_settings, options)
    assert again.folder == run.folder
    assert json.dumps(again.metrics) == before
    material = open_material(drawn.home, "spots", side=48)
    names = {
        name_run(material, settings, {"folds": 0}) for settings in (small_settings, replace(small_settings, seed=9))
    }
    assert len(names) == 2


def test_the_same_command_gives_the_same_model(run, drawn, small_settings, tmp_path, monkeypatch):
    """A whole run made again elsewhere holds the same int8 model, byte for byte."""
    from training.train_run import Options, produce

    monkeypatch.setattr("training.train_run.judge", _no_judgement)
    with pytest.raises(_Trained) as caught:
        produce("spots", small_settings, Options(home=drawn.home, runs=tmp_path, folds=2))
    assert caught.value.int8 == run.read("model_int8.tflite")


class _Trained(Exception):
    def __init__(self, int8: bytes) -> None:
        self.int8 = int8


def _no_judgement(material, quantised, *rest):
    raise _Trained(quantised.int8)


@pytest.mark.parametrize(("reference", "board"), [("spots", "nano34"), ("nosuch", "nano33ble")])
def test_nothing_is_downloaded_for_what_cannot_be_trained(drawn, small_settings, tmp_path, reference, board):
    """ImageNet's weights are asked for when board and version are known to be there."""
    from training.fit import SilentFitListener
    from training.train_run import Options, produce

    heard = []
    listener = SilentFitListener()
    listener.note = heard.append
    options = Options(home=drawn.home, runs=tmp_path, board=board, listener=listener)
    with pytest.raises(CurationError, match=r"there is no (board|dataset)"):
        produce(reference, replace(small_settings, weights="imagenet"), options)
    assert heard == []


def test_a_place_that_is_not_there_is_told_before_the_training(builders, small_settings, tmp_path, monkeypatch):
    """Also of a version that holds nothing back, whose archives are only asked for at the end."""
    from training.train_run import Options, produce

    builders.publish(tmp_path, train=4, test=2, labels=("spot", "skin", "mole"))
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "empty-cache"))
    options = Options(home=builders.home_of(tmp_path), runs=tmp_path / "runs", originals=(tmp_path / "nowhere",))
    with pytest.raises(CurationError, match="nowhere"):
        produce("spots", small_settings, options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("fault", ["model", "missing", "metrics", "config"])
def test_a_corrupt_run_is_an_error(run, tmp_path, fault):
    """A changed model, a missing file, broken figures or settings: one sentence that names the file."""
    import shutil

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
    assert named[fault] in caught.value.message


def test_a_damaged_run_hides_no_other(run, tmp_path):
    """Runs are listed beside one whose figures were cut short, and what is wrong with that one is told."""
    import shutil

    from training.runs import list_runs

    shutil.copytree(run.folder, tmp_path / "whole")
    for name, figures in (("cut", '{"files": {}}'), ("poor", json.dumps(run.metrics | {"context": {}}))):
        shutil.copytree(run.folder, tmp_path / name)
        (tmp_path / name / "metrics.json").write_text(figures)
    found, faults = list_runs(tmp_path)
    assert [one.name for one in found] == ["whole"]
    assert [one.message.partition(": not the figures of a run: ")[2] for one in faults] == [
        "no checksums",
        "it lacks 'note'",
    ]


def test_settings_are_read_back_whatever_letters_they_hold(tmp_path):
    """The path of a board may hold a letter that JSON writes as two escapes and TOML does not."""
    from training.runs import write_config

    config = {"options": {"board": "/home/\U0001f52c/b\u00e9.toml", "folds": 5}, "settings": {"side": 96, "rate": 0.1}}
    write_config(tmp_path, config)
    assert tomllib.loads((tmp_path / "config.toml").read_text(encoding="utf-8")) == config


def test_the_first_line_says_when_a_shortcut_does_as_well(run):
    """The page's first sentence compares the model with the best classifier that never sees the middle."""
    best = max(shortcut["accuracy"]["share"] for shortcut in run.metrics["shortcuts"])
    own = run.metrics["cross_validation"]["int8"]
    line = run.metrics["first_line"]
    assert f"{100 * best:.1f} %" in line
    assert f"{100 * own['share']:.1f} % in a 2-fold cross-validation" in line
    assert ("A model that never sees the middle" in line) == (best >= own["low"])


def results_of(share: float, *, border: float, confusion: tuple[tuple[int, ...], ...] = ((9, 1), (0, 10))):
    """Return as much of a run's results as its first lines need: 100 pictures, one shortcut, moles it warns of."""
    from types import SimpleNamespace

    from training.bias_probes import Shortcut
    from training.evaluate import Alarms
    from training.run_summary import Results
    from training.scores import rate

    samples = type("Many", (), {"labels": np.array([0, 1] * 50), "__len__": lambda self: 100})()
    camera = SimpleNamespace(confusion=confusion, accuracy=SimpleNamespace(of=sum(map(sum, confusion))))
    verdict = SimpleNamespace(
        test=SimpleNamespace(camera=camera),
        shortcuts=(Shortcut("border", "the outer sixth", rate(border * 10_000, 10_000)),),
        folds=SimpleNamespace(folds=5, int8=rate(share * 10_000, 10_000)),
        alarms=(
            Alarms("burn", rate(1, 1), rate(1, 1)),
            Alarms("mole", rate(9, 9), rate(8, 9)),
            Alarms("wart", rate(1, 11), rate(0, 11)),
        ),
    )
    material = SimpleNamespace(samples=samples, alarm="spot", classes=("skin", "spot"))
    quantised = SimpleNamespace(fitted=SimpleNamespace(best=1, epochs=(1, 2, 3)))
    return Results("r", material, None, quantised, verdict, None, 0.0, 0.0)


def test_a_net_that_says_the_same_to_all_is_told_so_and_nothing_else_of_it():
    """50 % was "about as well" as a shortcut's 68 %, and no alarm on any other class read like good news."""
    idle = results_of(0.5, border=0.68, confusion=((10, 0), (10, 0)))
    assert idle.one_answer() == "skin"
    assert idle.first_line() == (
        "It calls all 20 test pictures skin: it has learnt nothing that tells the classes apart "
        "(its best epoch was 1 of 3). Train it longer, or on more pictures."
    )
    assert idle.second_line() is None
    assert results_of(0.99, border=0.8, confusion=((0, 0), (0, 10))).one_answer() is None  # one class to be told


@pytest.mark.parametrize(
    ("share", "border", "said"),
    [
        (0.99, 0.99, "does about as well: from border alone (the outer sixth), 99.0 %"),
        (0.99, 0.95, "Nearly all of this can be told without the middle of a picture: from border alone"),
        (
            0.99,
            0.80,
            "From border alone (the outer sixth), 80.0 % of the pictures are told right; this model reaches 99.0 %",
        ),
    ],
)
def test_the_first_line_weighs_the_shortcut_against_guessing(share, border, said):
    """As well as the model; nine tenths of the way from guessing to it; or plainly less."""
    line = results_of(share, border=border).first_line()
    assert said in line
    assert ("does not show that it looks at what it should" in line) == (border > 0.9)


def test_the_second_line_says_what_it_warns_of_although_it_was_never_taught():
    """All such pictures together, and the class it most surely warns of: one picture alone is no such class."""
    assert results_of(0.99, border=0.8).second_line() == (
        "Shown pictures of other classes, it calls 11 of 21 spot (mole: 100.0 %): it was never taught the difference."
    )


def test_a_full_disk_is_told_and_no_half_run_is_left(drawn, tmp_path, small_settings):
    """An empty TensorBoard log or a cut checkpoint would end in a traceback; what was written is taken up again."""
    with mount_disk(tmp_path / "room", size="64k") as room:
        with pytest.raises(CurationError, match="cannot be written: the disk is full") as caught:
            produce("spots", replace(small_settings, epochs=1), Options(home=drawn.home, runs=room, board="none"))
        assert "free some space" in caught.value.hint
        assert not [path for path in room.iterdir() if not path.name.startswith(".")]


def test_a_place_for_runs_that_is_no_folder_is_told(drawn, tmp_path, small_settings):
    """It was a traceback, after the version had been read."""
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(CurationError, match="not a folder") as caught:
            produce("spots", replace(small_settings, epochs=1), Options(home=drawn.home, runs=runs, board="none"))
        assert "$TRAINING_RUNS" in caught.value.hint
