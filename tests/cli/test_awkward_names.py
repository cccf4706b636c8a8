"""From a folder with awkward names to a second version: what is printed of a file can be typed in again."""

import json
import os
from pathlib import Path

import pytest

from curation.cli import main
from curation.storage.archive_members import storable_name
from curation.storage.control_characters import show_line
from tests.builders import as_bytes, texture

NAMES = ("back\\slash.jpg", "final space.jpg ", "\x1b[31mred.jpg", "two\nlines\r.jpg", os.fsdecode(b"caf\xe9.jpg"))

ALL = (*NAMES, *(f"{number}.jpg" for number in range(10)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose own name and whose files are awkward; datasets and cache lie next to it."""
    monkeypatch.setenv("CURATION_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "images\n"
    for place, label in enumerate(("cat\x1b", "dog\r")):
        (folder / label).mkdir(parents=True)
        for number, name in enumerate(ALL):
            (folder / label / name).write_bytes(as_bytes(texture(100 * place + number)))
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run one command and return its exit code and what it printed."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_printed_id_is_found_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Build, explain, decide by the id that explain printed, build again: diff names each decision's file."""
    assert run(capsys, "init", "pets", "--images", str(folder))[0] == 0
    assert run(capsys, "build", "pets", "-q", "--workers", "1")[0] == 0
    for name in NAMES:
        query = os.fsencode(folder / "cat\x1b" / name)[len(os.fsencode(folder)) + 1 :]
        code, out, _ = run(capsys, "explain", "pets", os.fsdecode(query))
        assert code == 0, name
        printed = out.splitlines()[0].rpartition(": in: ")[0]
        code, out, _ = run(capsys, "explain", "pets", printed, "--json")
        assert code == 0, printed
        (story,) = json.loads(out)
        arguments = ("--exclude", "--reason", "blurred", "--json")
        code, out, errors = run(capsys, "decide", "pets", "--file", printed, *arguments)
        assert code == 0, errors
        assert json.loads(out)[0]["sha256"] == story["row"]["sha256"]
    assert run(capsys, "build", "pets", "-q", "--workers", "1")[0] == 0
    code, out, _ = run(capsys, "diff", "pets@v1", "pets@v2", "--verbose")
    assert code == 0
    assert all(show_line(storable_name(f"cat\x1b/{name}")) in out for name in NAMES)


@pytest.mark.parametrize("verb", ["init", "import"])
def test_a_recipe_can_be_read_whatever_the_folder_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """A newline, carriage return or ESC in a folder's name was written into the recipe as it is."""
    arguments = {"init": ("init", "pets", "--images", str(folder)), "import": ("import", str(folder), "--as", "pets")}
    assert run(capsys, *arguments[verb])[0] == 0
    code, out, errors = run(capsys, "build", "pets", "--until", "select", "--json")
    assert code == 0, errors
    assert json.loads(out)["summary"]["rows"] == 2 * len(ALL)
