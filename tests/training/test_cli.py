"""The command line: exit codes, errors without a traceback, output, and the missing extra."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from training.board_fit import convert_untrained
from training.cli import main

PROJECT = Path(__file__).resolve().parents[2]
VERBS = ("fit", "search", "evaluate", "predict", "export", "budget", "list")


@pytest.fixture
def here(drawn, monkeypatch, tmp_path):
    """Point the command line at the drawn version and at an empty folder of runs."""
    monkeypatch.setenv("CURATION_DATASETS", str(drawn.home.datasets))
    monkeypatch.setenv("TRAINING_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture
def with_run(here, run, monkeypatch):
    """Point it at the drawn version's run too."""
    monkeypatch.setenv("TRAINING_RUNS", str(run.folder.parent))
    return run


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(capsys, verb):
    """``--help`` of each verb ends with 0 and shows a command that can be typed."""
    assert main([verb, "--help"]) == 0
    assert f"python -m training {verb}" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    """``python -m training --help`` loads no table, image or learning library."""
    command = [sys.executable, "-X", "importtime", "-m", "training", "--help"]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert names & {"numpy", "polars", "PIL", "tensorflow", "keras", "sklearn", "matplotlib", "pydantic"} == set()


@pytest.mark.parametrize(
    ("arguments", "code", "fact"),
    [
        (["fit", "nosuch"], 1, "nosuch"),
        (["fit", "spots@v9"], 1, "spots@v9"),
        (["fit", "spots", "--model", "vgg"], 1, "'vgg'"),
        (["fit", "spots", "--board", "nano34"], 1, "'nano34'"),
        (["fit", "spots", "--alarm", "moon"], 1, "'moon'"),
        (["fit", "spots", "--folds", "99"], 1, "99 folds"),
        (["fit", "spots", "--originals", "nowhere"], 1, "nowhere"),
        (["fit", "spots", "--repeats", "3"], 2, "--folds"),
        (["fit", "spots", "--alpha", "0.2", "--size", "s"], 2, "--size"),
        (["fit", "spots", "--seed", "99999999999"], 2, "seed"),
        (["export", "spots-v1", "--label", "skin"], 2, "--label"),
        (["fit"], 2, "Missing argument"),
        (["fit", "spots", "--epochs", "0"], 2, "epochs"),
        (["predict", "nosuch", "a.jpg"], 1, "'nosuch'"),
        (["evaluate", "nosuch", "--on", "spots"], 1, "'nosuch'"),
        (["budget", "missing.tflite"], 1, "missing.tflite"),
        (["export", "missing.tflite"], 1, "missing.tflite"),
        (["nosuch"], 2, "No such command"),
    ],
)
def test_mistakes_are_errors_without_a_traceback(here, needs_train, capsys, monkeypatch, arguments, code, fact):
    """Mistakes end with 1 (input) or 2 (usage), the reason on standard error, and no traceback."""
    monkeypatch.chdir(here)
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert fact in shown.err
    assert "Traceback" not in shown.err
    assert not list((here / "runs").glob("[!.]*"))


def test_mistakes_are_json_where_json_was_asked_for(here, needs_train, capsys):
    """With ``--json`` the error is also a document on standard output."""
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["predict", "nosuch", "a.jpg", "--json"]) == 1
    assert "nosuch" in json.loads(capsys.readouterr().out)["error"]


def run_without_extra(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a Python that has none of the packages of the extra ``train``."""
    missing = ("tensorflow", "keras", "ai_edge_litert", "tensorboard", "flatbuffers")
    blocked = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); {code}"
    command = [sys.executable, "-c", blocked, *arguments]
    environ = os.environ | environment
    return subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "spots"),
        ("search", "spots"),
        ("evaluate", "spots-v1"),
        ("predict", "spots-v1", "spot.jpg"),
        ("export", "spots-v1"),
        ("budget", "spots-v1"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_the_extra_every_verb_names_the_command_that_installs_it(drawn, tmp_path, arguments):
    """In a Python without the extra a verb that needs it ends with 1, what is missing, and the line to type."""
    code = "from training.cli import main; sys.exit(main(sys.argv[1:]))"
    folders = {"CURATION_DATASETS": str(drawn.home.datasets), "TRAINING_RUNS": str(tmp_path)}
    ended = run_without_extra(code, *arguments, **folders)
    assert ended.returncode == 1
    fault, hint = ended.stderr.strip().splitlines()
    assert "`train`" in fault
    assert "pip install -e '.[train]'" in hint


def test_without_the_extra_runs_are_listed_all_the_same(tmp_path):
    """``list`` reads text alone."""
    code = "from training.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = run_without_extra(code, "list", TRAINING_RUNS=str(tmp_path))
    assert ended.returncode == 0
    assert "no run yet" in ended.stdout


@pytest.mark.slow
def test_without_the_extra_the_tests_of_this_room_are_skipped_with_the_reason():
    """Nothing fails where the extra is missing, and every skipped test names it; the others need not run for that."""
    tests = [str(path) for path in sorted(Path(__file__).parent.rglob("test_*.py")) if path != Path(__file__)]
    code = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    ended = run_without_extra(code, *tests, "-q", "-rs", "-p", "no:cacheprovider", "--setup-only")
    assert ended.returncode == 0, ended.stdout
    reasons = [line for line in ended.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(reasons) > 30
    assert all("the extra `train` is not installed" in reason for reason in reasons), reasons


SHORT = ("fit", "spots", "--side", "48", "--epochs", "2", "--batch", "16")


@pytest.fixture(scope="module")
def short(drawn, needs_train, tmp_path_factory):
    """Return a short training that nothing interrupted: the folder of runs, and what was printed."""
    runs = tmp_path_factory.mktemp("short")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("CURATION_DATASETS", str(drawn.home.datasets))
        patch.setenv("TRAINING_RUNS", str(runs))
        patch.setenv("CURATION_CACHE", str(runs / "empty-cache"))
        assert main([*SHORT, "--originals", str(drawn.root)]) == 0
    return SimpleNamespace(runs=runs, out=out.getvalue(), err=err.getvalue())


@pytest.mark.slow
def test_fit_shows_progress_figures_and_where_the_page_lies(short, drawn, capsys, monkeypatch):
    """Without a terminal a short training prints a line for each epoch and the figures; repeated, it finds the run."""
    assert re.search(r"epoch +2 of 2: loss [\d.]+, accuracy [\d.]+; validation", short.err)
    assert "test accuracy, int8, through the camera" in short.out
    assert "arena, rows from the camera" in short.out
    page = Path(re.search(r"page: (.+)", short.out)[1])
    assert page.is_file()
    monkeypatch.setenv("CURATION_DATASETS", str(drawn.home.datasets))
    monkeypatch.setenv("TRAINING_RUNS", str(short.runs))
    assert main([*SHORT, "--originals", str(drawn.root), "--json"]) == 0
    again = capsys.readouterr()
    assert page.parent.name in again.err
    assert json.loads(again.out)["run"] == page.parent.name


STOPPED = """
import os, signal, sys
from training.cli import main

name, wanted = sys.argv[1:3]
seen = 0

def stop(event, arguments):
    global seen
    if event == "os.rename" and str(arguments[1]).endswith("checkpoint.npz"):
        seen += 1
        if seen == int(wanted):
            os.kill(os.getpid(), signal.Signals[name])

sys.addaudithook(stop)
sys.exit(main(sys.argv[3:]))
"""
"""Runs a command that gets a signal when it writes a checkpoint for the given time."""


@pytest.fixture(scope="module")
def stopped(drawn, needs_train, tmp_path_factory):
    """Return the same training, killed in its second epoch, then interrupted at its end, then finished."""
    runs = tmp_path_factory.mktemp("stopped")
    environ = {"CURATION_DATASETS": str(drawn.home.datasets), "TRAINING_RUNS": str(runs)}

    def start(name: str, checkpoint: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", STOPPED, name, str(checkpoint), *SHORT]
        return subprocess.run(
            command, cwd=PROJECT, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=300
        )

    killed, interrupted = start("SIGKILL", 2), start("SIGINT", 1)
    left = list(runs.glob("[!.]*"))
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(err):
        for name, value in environ.items():
            patch.setenv(name, value)
        assert main([*SHORT]) == 0
    return SimpleNamespace(runs=runs, killed=killed, interrupted=interrupted, left=left, err=err.getvalue())


@pytest.mark.slow
def test_a_killed_training_resumes_and_gives_the_same_model(stopped, short):
    """kill -9, the same command again: the models of a training that was not killed, byte for byte."""
    assert stopped.killed.returncode == -signal.SIGKILL
    assert "resuming after epoch 1" in stopped.interrupted.stderr
    assert "resuming after epoch" in stopped.err
    assert stopped.left == []
    assert not list(stopped.runs.glob(".*"))
    (run,) = stopped.runs.iterdir()
    for model in ("model_int8.tflite", "model.tflite"):
        assert (run / model).read_bytes() == (short.runs / run.name / model).read_bytes()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_no_traceback(stopped):
    """Interrupted, it prints that the same command resumes."""
    assert stopped.interrupted.returncode == 130, stopped.interrupted.stderr
    assert "the same command resumes" in stopped.interrupted.stderr
    assert "Traceback" not in stopped.interrupted.stderr


@pytest.mark.slow
def test_list_budget_evaluate_and_predict_print_figures_of_the_run(with_run, drawn, capsys):
    """The verbs that only read a run print its figures."""
    name = with_run.name
    assert main(["list"]) == 0
    assert name in capsys.readouterr().out
    assert main(["budget", name, "--layers"]) == 0
    assert "DEPTHWISE_CONV_2D" in capsys.readouterr().out
    assert main(["evaluate", name, "--on", "spots", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["evaluation"]["camera"]["accuracy"] == with_run.metrics["test"]["camera"]["accuracy"]
    assert said["left_out"] == 0
    assert main(["evaluate", name]) == 0
    printed = capsys.readouterr().out
    assert f"{name} on spots@v1, test" in printed
    assert "test accuracy without the camera" in printed
    assert "specificity over 80 %" in printed
    image = sorted(drawn.built.folder.glob("images/test/spot/*.jpg"))[0]
    assert main(["predict", name, str(image), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert main(["predict", name, str(image)]) == 0
    printed = capsys.readouterr().err
    assert "Not a medical device" in printed
    assert re.search(r"spot for \d+ % of mole", printed)


@pytest.mark.slow
def test_a_run_is_judged_on_its_own_version_not_on_another_of_that_number(with_run, builders, capsys, tmp_path):
    """Where another version has its name and number, the run's own is looked for by its digest, and not found."""
    builders.publish(tmp_path, train=8, test=2)
    assert main(["--datasets", str(builders.home_of(tmp_path).datasets), "evaluate", with_run.name]) == 1
    assert with_run.digest in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_run_is_reported_and_the_others_are_listed(with_run, capsys, monkeypatch, tmp_path):
    """``list`` shows the complete runs, reports the damaged one, and ends with 1."""
    shutil.copytree(with_run.folder, tmp_path / "all" / with_run.name)
    shutil.copytree(with_run.folder, tmp_path / "all" / "cut")
    (tmp_path / "all" / "cut" / "metrics.json").write_text("{}")
    monkeypatch.setenv("TRAINING_RUNS", str(tmp_path / "all"))
    assert main(["list"]) == 1
    shown = capsys.readouterr()
    assert with_run.name in shown.out
    assert "cut/metrics.json" in shown.err
    assert main(["list", "--json"]) == 1
    assert [one["run"] for one in json.loads(capsys.readouterr().out)] == [with_run.name]


@pytest.mark.slow
def test_predict_reports_unreadable_files_and_answers_for_the_others(with_run, drawn, tmp_path, capsys):
    """A missing file and a text file have an error with a code; the images next to them have their answer."""
    text = tmp_path / "page.jpg"
    text.write_text("<html>404</html>")
    assert main(["predict", with_run.name, str(text)]) == 1
    assert "page.jpg" in capsys.readouterr().err
    assert main(["predict", with_run.name, str(tmp_path / "none.jpg")]) == 1
    assert "none.jpg" in capsys.readouterr().err
    image = sorted(drawn.built.folder.glob("images/test/spot/*.jpg"))[0]
    assert main(["predict", with_run.name, str(text), str(image), "--json"]) == 1
    refused, answered = json.loads(capsys.readouterr().out)
    assert refused["code"] == "image-unreadable"
    assert answered["path"] == str(image)


@pytest.mark.slow
def test_export_writes_what_the_firmware_is_built_from(with_run, drawn, capsys, monkeypatch, tmp_path):
    """model.c, model.h and golden.h, with the version's digest, from a run and from its bare .tflite."""
    monkeypatch.setenv("CURATION_DATASETS", str(drawn.home.datasets))
    assert main(["export", with_run.name, "--to", "firmware", "--output", str(tmp_path / "run")]) == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["golden.h", "model.c", "model.h"]
    header = (tmp_path / "run" / "model.h").read_text()
    assert "spots@v1" in header
    assert drawn.built.line.digest[:12] in header
    bare = tmp_path / "bare.tflite"
    shutil.copyfile(with_run.folder / "model_int8.tflite", bare)
    assert main(["export", str(bare), "--output", str(tmp_path / "file")]) == 0
    assert "spots@v1" in (tmp_path / "file" / "model.h").read_text()
    assert "arena" in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_that_is_too_large_for_a_board_ends_with_1_and_the_figures(with_run, capsys, tmp_path):
    """A run on a board with little flash: both figures, and a hint."""
    board = tmp_path / "small.toml"
    text = (PROJECT / "firmware" / "compiler" / "boards" / "nano33ble.toml").read_text()
    board.write_text(re.sub(r"(?m)^flash_bytes = .*", "flash_bytes = 70_000", text))
    assert main(["budget", with_run.name, "--board", str(board)]) == 1
    printed = capsys.readouterr().err
    assert re.search(r"flash: [\d,]+ B needed, 4,464 B free on nano33ble", printed)
    assert "No model fits" in printed
    assert main(["budget", with_run.name, "--board", str(board), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"]
    assert main(["export", with_run.name, "--board", str(board), "--output", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_for_a_model_that_is_too_large_the_nearest_that_fits_is_named(needs_train, capsys, tmp_path):
    """A net for 48x48 on a board that has room only for the smaller one: that one is named, by ``export`` too."""
    large = tmp_path / "large.tflite"
    large.write_bytes(convert_untrained("ds_cnn_s", classes=2, side=48))
    board = tmp_path / "small.toml"
    text = (PROJECT / "firmware" / "compiler" / "boards" / "nano33ble.toml").read_text()
    board.write_text(re.sub(r"(?m)^flash_bytes = .*", f"flash_bytes = {65_536 + 22_000}", text))
    labels = ["--label", "skin", "--label", "spot"]
    for command in (["budget", str(large)], ["export", str(large), *labels, "--output", str(tmp_path / "out")]):
        assert main([*command, "--board", str(board)]) == 1
        printed = capsys.readouterr().err
        assert re.search(r"flash: [\d,]+ B needed, 22,000 B free", printed)
        assert "ds_cnn_xs" in printed
