"""The command line: what it prints, its exit codes, its JSON."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curation.cli import main
from curation.cli.build import list_remarks
from curation.errors import ErrorCode
from curation.report.summary import Conflict, Leak, Summary
from tests.builders import as_bytes, texture, tiny_images, write_recipe, write_source

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a tiny dataset, to which datasets and cache point."""
    images = write_source(tmp_path / "images", tiny_images())
    write_recipe(tmp_path / "datasets", images=images)
    monkeypatch.setenv("CURATION_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one command and return its exit code and what it printed."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_build_prints_a_line_a_stage_the_splits_and_where_to_look(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, kept, excluded and seconds for each step, then the table, then the version."""
    code, out, _ = run(capsys, "build", "tiny", "--workers", "1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["step", "rows", "kept", "excluded", "seconds"]
    assert [line.split()[0] for line in lines[1:12]] == [
        *("fetch", "ingest", "probe", "label", "decide", "quality", "dedup", "select", "render", "describe", "commit"),
    ]
    assert "train        6         6" in out
    assert "published tiny@v1, digest " in out
    assert "python -m curation show tiny" in out


def test_quiet_prints_the_result_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-q is one line."""
    code, out, _ = run(capsys, "build", "tiny", "-q")
    assert code == 0
    assert out.count("\n") == 1


def test_json_is_one_document_with_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output holds nothing but the document."""
    code, out, _ = run(capsys, "build", "tiny", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["outcome"] == "published"
    assert told["summary"]["rows"] == 23
    assert {"step", "rows", "kept", "excluded", "seconds"} == set(told["stages"][0])


@pytest.mark.parametrize("verb", ["list", "show tiny", "explain tiny m0.jpg", "diff tiny@v1 tiny@v1", "verify tiny"])
def test_every_verb_that_looks_has_text_and_json(home: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """A person reads the one, a program the other; both end with 0."""
    run(capsys, "build", "tiny", "-q")
    code, out, _ = run(capsys, *verb.split())
    assert code == 0
    assert out.strip()
    code, out, _ = run(capsys, *verb.split(), "--json")
    assert code == 0
    assert json.loads(out)


def test_verify_fails_on_a_changed_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One byte more in one image: exit code 1, and the file is named."""
    run(capsys, "build", "tiny", "-q")
    picture = next((home / "datasets/builds/tiny/v1/images").rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes() + b"x")
    code, out, _ = run(capsys, "verify", "tiny")
    assert code == 1
    assert picture.name in out


@pytest.mark.slow
def test_gc_says_first_and_asks(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer nothing goes; with --yes the build goes and can be made again."""
    run(capsys, "build", "tiny", "-q")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, _ = run(capsys, "gc", "--keep", "0")
    assert code == 1
    assert "tiny/v1" in out
    assert (home / "datasets/builds/tiny/v1").is_dir()
    code, out, _ = run(capsys, "gc", "--keep", "0", "--cache-older-than", "0", "--yes")
    assert code == 0
    assert not (home / "datasets/builds/tiny/v1").exists()
    assert not list((home / "cache").rglob("*.parquet"))
    code, out, _ = run(capsys, "build", "tiny")
    assert "tiny@v1, digest" in out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("build", "tinny"), 1, "'tiny'"),
        (("build", "tiny", "--until", "selct"), 2, "'selct'"),
        (("build", "tiny", "--mirror", "/nowhere"), 1, "/nowhere"),
        (("build",), 2, "Missing argument"),
        (("biuld", "tiny"), 2, "No such command"),
        (("show", "tiny"), 1, "tiny"),
        (("show", "tiny@x!"), 1, "tiny@x!"),
        (("init", "tiny"), 1, "tiny/recipe.toml"),
    ],
)
def test_mistakes_are_plain_sentences(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, text: str
) -> None:
    """No traceback: what happened, and what to do next; 1 for the input, 2 for the usage."""
    found, _, errors = run(capsys, *arguments)
    assert found == code
    assert text in errors
    assert "Traceback" not in errors


def test_an_error_has_its_code_in_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script reads the code and the hint from standard output; the sentences are for people."""
    code, out, errors = run(capsys, "build", "tiny", "--mirror", "/nowhere", "--json")
    told = json.loads(out)
    assert code == 1
    assert set(told) == {"code", "error", "hint"}
    assert told["code"] == ErrorCode.SOURCE_MISSING
    assert told["error"] in errors


def test_the_folders_of_a_command_are_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--datasets and --cache were written into the environment, and every later command of the process used them."""
    shutil.copytree(home / "datasets", home / "elsewhere")
    environment = dict(os.environ)
    assert run(capsys, "--datasets", str(home / "elsewhere"), "--cache", str(home / "own"), "build", "tiny")[0] == 0
    assert (home / "elsewhere/builds/tiny/v1").is_dir()
    assert (home / "own/probe").is_dir()
    assert not (home / "cache").exists()
    assert dict(os.environ) == environment
    assert "not built yet" in run(capsys, "list")[1]


def test_init_then_build(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A newcomer's folder of images becomes a dataset in two commands."""
    pictures = home / "images"
    shutil.rmtree(pictures / "nevus")
    assert run(capsys, "init", "mine", "--images", str(pictures))[0] == 0
    code, out, _ = run(capsys, "build", "mine")
    assert code == 0
    assert "published mine@v1" in out


def test_init_then_build_where_the_folders_have_a_split(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipe asks for no side that the source has not: it builds as it was written, and keeps test as it was."""
    sides = {"train": (0, 5), "Test": (5, 8)}
    files = {
        f"{side}/{label}/{number}.jpg": as_bytes(texture(100 * place + number))
        for place, label in enumerate(("cat", "dog"), start=4)
        for side, (first, last) in sides.items()
        for number in range(first, last)
    }
    code, out, _ = run(capsys, "init", "mine", "--images", str(write_source(home / "split", files)))
    assert (code, "(Test, train)" in out) == (0, True)
    code, out, errors = run(capsys, "build", "mine", "--json")
    assert code == 0, errors
    assert json.loads(out)["summary"]["splits"] == {"train": {"cat": 5, "dog": 5}, "test": {"cat": 3, "dog": 3}}


def test_an_unknown_image_suggests_near_names(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake in a file's name is answered with the names that are like it."""
    run(capsys, "build", "tiny", "-q")
    code, _, errors = run(capsys, "explain", "tiny", "m00.jpg")
    assert code == 1
    assert "m0.jpg" in errors


def test_hostile_names_are_shown_and_not_obeyed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file name with control characters cannot rewrite the terminal."""
    write_source(home / "images", {"melanoma/\x1b[2Jx.jpg": b"nothing"})
    _, out, errors = run(capsys, "build", "tiny", "-v")
    assert "\x1b" not in out + errors
    assert "\\x1b[2Jx.jpg" in out


@pytest.mark.parametrize("arguments", [["tiny"], ["tiny", "--queue", "conflicts"], ["--setup"], ["--stop"]])
def test_review_without_its_extra_says_how_to_install_it(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """No traceback where FiftyOne is not installed; `review status` needs none of it."""
    for name in ("fiftyone", "psutil"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["review", *arguments]) == 1
    told = capsys.readouterr().err
    assert "fiftyone" in told
    assert "make setup-all" in told
    assert main(["review", "status", "tiny"]) == 1
    assert "tiny has no published version yet" in capsys.readouterr().err


@pytest.mark.slow
def test_diff_names_every_image_where_it_is_asked_to(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-v was taken and did nothing."""
    run(capsys, "build", "tiny", "-q")
    more = {
        f"{label}/x{n}.jpg": as_bytes(texture(seed + n))
        for label, seed in (("melanoma", 500), ("healthy", 600))
        for n in range(13)
    }
    write_recipe(home / "datasets", images=write_source(home / "images", more), train=19)
    run(capsys, "build", "tiny", "-q")
    brief, whole = (run(capsys, "diff", "tiny@v1", "tiny@v2", *more)[1] for more in ((), ("-v",)))
    assert "    ... and 6 more (-v" in brief
    assert "more (-v" not in whole
    assert whole.count("a new file of the sources (") + whole.count("excluded from tiny@v1") >= 26


def test_an_error_obeys_no_file_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a terminal's control characters in it turned what came after the error red, or worse."""
    write_source(home / "images", {"melanoma/a\x1b[31m.csv": b"x", "melanoma/b.csv": b"x"})
    recipe = home / "datasets/tiny/recipe.toml"
    table = '\n[sources.metadata]\nfile = "*.csv"\nkey = "x"\n\n[labels]'
    recipe.write_text(recipe.read_text().replace("\n[labels]", table, 1))
    code, _, err = run(capsys, "build", "tiny", "-q")
    assert code == 1
    assert "a\\x1b[31m.csv" in err
    assert "\x1b" not in err


def test_a_line_end_in_a_file_name_breaks_no_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reasons of `diff` and the steps of `explain` went on in a line that the file's name had made up."""
    run(capsys, "build", "tiny", "-q")
    more = {f"melanoma/x\nz{n}.jpg": as_bytes(texture(500 + n)) for n in range(6)}
    more |= {f"healthy/x\nz{n}.jpg": as_bytes(texture(600 + n)) for n in range(6)}
    write_recipe(home / "datasets", images=write_source(home / "images", more), train=12)
    run(capsys, "build", "tiny", "-q")
    for words in (("diff", "tiny@v1", "tiny@v2"), ("explain", "tiny", "melanoma/x\nz0.jpg")):
        code, out, _ = run(capsys, *words)
        assert code == 0
        assert "melanoma/x\\nz" in out
        assert not [line for line in out.splitlines() if line.startswith("z")]


def test_a_dataset_that_has_only_a_draft_is_pointed_to_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show NAME` and `list` sent people back to the build that had failed."""
    assert "not built yet (python -m curation build tiny)" in run(capsys, "list")[1]
    write_recipe(home / "datasets", images=home / "images", train=99)
    assert run(capsys, "build", "tiny", "-q")[0] == 1
    assert run(capsys, "list")[:2] == (
        0,
        "tiny: not built yet; the failed build's draft: python -m curation show tiny@draft\n",
    )
    code, _, errors = run(capsys, "show", "tiny")
    assert code == 1
    assert "python -m curation show tiny@draft" in errors


def test_a_list_of_nothing_says_how_to_begin(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no datasets folder nothing at all was printed; a program still reads an empty document."""
    nowhere = ("--datasets", str(home / "nowhere"), "list")
    code, out, _ = run(capsys, *nowhere)
    assert code == 0
    assert out.startswith(f"{home / 'nowhere'}: no datasets yet\n")
    assert "python -m curation init NAME --images FOLDER" in out
    assert run(capsys, *nowhere, "--json")[:2] == (0, "{}\n")


@pytest.mark.parametrize("room", ["curation", "training"])
def test_ctrl_c_at_the_very_start_is_one_line_too(tmp_path: Path, room: str) -> None:
    """While typer was imported the signal was not handled yet, and a traceback was printed."""
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    paths = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"}
    command = [sys.executable, "-m", room, "list"]
    run = subprocess.run(command, cwd=tmp_path, env=paths, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "\ninterrupted: nothing was done\n")


def test_ctrl_c_says_what_is_true_of_every_verb(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list` was told to go on from what was finished."""
    monkeypatch.setattr("curation.versions.published", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert run(capsys, "list") == (130, "", "\ninterrupted; published versions are whole\n")


def test_one_is_not_told_as_many() -> None:
    """It said "1 images stand" and "1 files could not be read", and mentioned a split that the source does not have."""

    def told(count: int, *splits: str) -> list[str]:
        names = [f"src/{place}.jpg" for place in range(count)]
        summary = Summary(
            rows=9,
            kept=9,
            splits={},
            reasons=(),
            conflicts=tuple(Conflict(name, ("a", "b"), splits, (name,)) for name in names),
            disputed_lookalikes=tuple(names),
            reserve={"mole": tuple(names)},
            leaks=tuple(Leak("same bytes", (name,), ("a",), touches_classes=True) for name in names),
            unreadable=tuple((name, "no picture") for name in names),
            no_group={"src": count},
            unlabelled={"src": count},
            system_files={"Thumbs.db (Windows)": count},
        )
        return [line for line in list_remarks(summary, verbose=False) if line.startswith("- ")]

    assert told(1) == [
        "- 1 image has several labels for the same bytes",
        "- 1 more is disputed, because a near duplicate has another label",
        "- 1 disputed mole image is used in train to reach the requested count",
        "- 1 leak between the source's own splits (1 in a class, 0 only in context)",
        "- 1 file could not be read",
        "- ignored 1 file of an operating system or a program: 1 Thumbs.db (Windows)",
        "- 1 image of source src has no label yet; label with `python -m curation review`",
        "- the group rule of src matches all but 1 image; every unmatched image is its own group",
    ]
    assert told(2, "train", "test") == [
        "- 2 images have several labels for the same bytes (0 within one of the source's own splits, 2 across them)",
        "- 2 more are disputed, because a near duplicate has another label",
        "- 2 disputed mole images are used in train to reach the requested count",
        "- 2 leaks between the source's own splits (2 in a class, 0 only in context)",
        "- 2 files could not be read",
        "- ignored 2 files of an operating system or a program: 2 Thumbs.db (Windows)",
        "- 2 images of source src have no label yet; label with `python -m curation review`",
        "- the group rule of src matches all but 2 images; every unmatched image is its own group",
    ]


def test_a_group_rule_that_matches_nothing_is_told_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was said to match all but 23 of 23 images."""
    recipe = home / "datasets/tiny/recipe.toml"
    recipe.write_text(recipe.read_text().replace("g\\d+", "h[0-7]"))
    assert "all but 15 images" in run(capsys, "build", "tiny", "--until", "select")[1]
    recipe.write_text(recipe.read_text().replace("h[0-7]", "patient"))
    told = run(capsys, "build", "tiny", "--until", "select")[1]
    assert "matches none of its images" in told


def test_an_undo_says_what_it_took_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It printed "1 decision" without the one that was removed."""
    run(capsys, "build", "tiny", "-q")
    sha = hashlib.sha256((home / "images/melanoma/m0.jpg").read_bytes()).hexdigest()
    decide = ("decide", "tiny", "--sha", sha, "--reviewer", "anna")
    assert "withdrawn" not in run(capsys, *decide, "--exclude", "--reason", "a ruler")[1]
    code, out, _ = run(capsys, *decide, "--undo")
    assert code == 0
    assert re.search(r"^withdrawn: line 1: anna on [\d-]+: exclude: a ruler$", out, re.MULTILINE)


def test_a_file_is_decided_on_by_its_name_and_a_context_that_nobody_has_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped context is kept, for it may be a new one, but not in silence."""
    run(capsys, "build", "tiny", "-q")
    sha = hashlib.sha256((home / "images/melanoma/m0.jpg").read_bytes()).hexdigest()
    code, out, err = run(capsys, "decide", "tiny", "--file", "melanoma/m0.jpg", "--relabel", "context:wart", "--json")
    assert code == 0
    assert json.loads(out)[0]["sha256"] == sha
    assert err == "warning: no image of tiny is context:wart so far\n"
    err = run(capsys, "decide", "tiny", "--file", "m0.jpg", "--relabel", "context:nevs")[2]
    assert err == "warning: no image of tiny is context:nevs so far; did you mean context:nevus?\n"


def test_a_no_to_gc_is_an_answer(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the answer no, gc prints that nothing was deleted, and the exit code is not a failure."""
    run(capsys, "build", "tiny", "-q")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, _ = run(capsys, "gc", "--keep", "0")
    assert code == 0
    assert out.endswith("Nothing was removed.\n")
    assert (home / "datasets/builds/tiny/v1").is_dir()


def test_help_has_examples_for_every_verb(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each verb contains a command to copy."""
    import typer.main

    from curation.cli import app

    for verb in typer.main.get_command(app).commands:  # type: ignore[attr-defined]  # a group has commands
        code, out, _ = run(capsys, verb, "--help")
        assert code == 0
        assert "python -m curation" in out.partition("Examples")[2], verb
