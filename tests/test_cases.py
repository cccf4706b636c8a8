"""The README's "Which case are you?": every case is run as a new user runs it, with its own images."""

import io
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from curation.cli import main
from tests.builders import as_bytes, texture

README = Path(__file__).resolve().parents[1] / "README.md"
SECTION = README.read_text(encoding="utf-8").partition("## Which case are you?")[2].partition("\n## ")[0]
CASES = dict(re.findall(r"\*\*(.+?)\*\*.*?```console case\n(.+?)```", SECTION, re.DOTALL))

pytestmark = pytest.mark.slow


def draw(home: Path, paths: list[str], *, first: int) -> None:
    """Write a different image to each path below the home folder."""
    for number, path in enumerate(paths, start=first):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(as_bytes(texture(number)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's home with the images of all cases."""
    home = tmp_path_factory.mktemp("home")
    pets = ("cat", "dog")
    draw(home, [f"pets/{label}/{n}.jpg" for label in pets for n in range(20)], first=0)
    draw(home, [f"cells/pics/img{n}.jpg" for n in range(24)], first=100)
    rows = "".join(f"img{n};{('whole', 'cracked')[n % 2]}\n" for n in range(24))
    (home / "cells" / "labels.csv").write_text(f"image;condition\n{rows}")
    draw(home, [f"shots/{label}.{n}.jpg" for label in pets for n in range(12)], first=200)
    draw(home, [f"fresh/IMG_{n:04d}.jpg" for n in range(24)], first=300)
    table = "".join(f"relabel,IMG_{n:04d}.jpg,{pets[n % 2]}\n" for n in range(24))
    (home / "labels.csv").write_text(f"action,file,label\n{table}")
    draw(home, [f"contest/train/{label}/{n}.jpg" for label in pets for n in range(12)], first=400)
    draw(home, [f"contest/test/{n}.jpg" for n in range(6)], first=450)
    draw(home, [f"growing/{label}/{n}.jpg" for label in pets for n in range(12)], first=500)
    draw(home, [f"march/{label}/m{n}.jpg" for label in pets for n in range(4)], first=550)
    draw(home, [f"more/{label}/x{n}.jpg" for label in pets for n in range(6)], first=600)
    draw(
        home,
        [f"hands/subject-{s}/{side}/{n}.jpg" for s in range(10) for side in ("fist", "open") for n in range(2)],
        first=700,
    )
    return home


def commands(block: str) -> list[str]:
    """Return the commands of a console block, a here-document with its lines."""
    return [each.strip() for each in re.split(r"(?m)^\$ ", block) if each.strip()]


def test_the_cases_are_those_that_users_have() -> None:
    """Eight cases of at most ten lines each."""
    assert len(CASES) == 8
    assert all(2 <= len(block.splitlines()) <= 10 for block in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_a_case_runs_as_it_is_written(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Each command of the README succeeds; the last version has images of every class in train and test."""
    monkeypatch.chdir(tmp_path)
    for variable, value in {
        "HOME": home,
        "CURATION_CACHE": tmp_path / "cache",
        "CURATION_DATASETS": tmp_path / "datasets",
        "CURATION_CONFIG": tmp_path / "config",
    }.items():
        monkeypatch.setenv(variable, str(value))
    dataset = ""
    for command in commands(CASES[name]):
        words = shlex.split(command, comments=True)
        if words[0] in {"git"} or words[:4] == ["python", "-m", "curation", "review"]:
            continue  # a repository, and a window: tests/review opens it
        if words[:3] != ["python", "-m", "curation"]:
            subprocess.run(["bash", "-ec", command], check=True, cwd=tmp_path, timeout=60)
            continue
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        arguments = [os.path.expanduser(word) for word in words[3:]]  # noqa: PTH111  # as a shell does it
        dataset = arguments[1] if arguments[0] == "init" else dataset
        code = main(arguments)
        printed = capsys.readouterr()
        assert code == 0, f"{command}\n{printed.out}{printed.err}"
    assert main(["show", dataset, "--json"]) == 0
    printed = capsys.readouterr().out
    assert '"train"' in printed
    assert '"test"' in printed
