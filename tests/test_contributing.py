"""CONTRIBUTING.md is true: the functions in the way of one row exist, and so do the files of each addition."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
TEXT = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ADDITIONS = (
    "A source",
    "An export",
    "An image format",
    "An audit probe",
    "A quality metric",
    "A column",
    "A recipe key",
    "A button of the App",
    "A board",
    "A net",
    "A verb",
    "A command of the firmware",
)


def section(heading: str) -> str:
    """Return the text below a heading, up to the next heading of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert match, f"CONTRIBUTING.md has no heading {heading!r}"
    return match[1]


def paths_of(text: str) -> list[str]:
    """Return the paths in backticks: a folder and a name, or a file of the project's root."""
    quoted = re.findall(r"`([^`\s]+)`", text)
    return [one for one in quoted if re.fullmatch(r"[\w.<>-]+(/[\w.<>*-]+)+/?", one) or (PROJECT / one).is_file()]


def steps() -> list[tuple[str, str]]:
    """Return function and file of each step in the way of one row."""
    return re.findall(r"^\d+\. `(\w+)` \(`([\w/.]+)`\)", section("The way of one row"), flags=re.MULTILINE)


def test_the_way_of_a_row_is_ten_functions():
    """The way of one row is told by ten function names, each of which a search finds in its file."""
    assert len(steps()) == 10
    missing = [
        f"{name} in {path}"
        for name, path in steps()
        if not re.search(rf"^def {name}\(", (PROJECT / path).read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    assert missing == []


def test_a_build_calls_the_functions_in_this_order():
    """curation/pipeline/build.py calls the functions in the order of the list."""
    pipeline = (PROJECT / "curation/pipeline/build.py").read_text(encoding="utf-8")
    calls = "|".join(name for name, _ in steps())
    called = re.findall(rf"(?<![\w.])({calls})\(", pipeline)
    assert list(dict.fromkeys(called)) == [name for name, _ in steps()]


@pytest.mark.parametrize("heading", ADDITIONS)
def test_how_to_add_something_names_files_that_exist(heading):
    """Each of the twelve additions has its section, and each path in it exists; ``<name>`` stands for any name."""
    named = paths_of(section(heading))
    assert any(path.startswith("tests/") for path in named), "the section names no test"
    missing = [path for path in named if not list(PROJECT.glob(re.sub(r"<[^>]*>", "*", path.rstrip("/"))))]
    assert missing == []


def test_every_path_of_the_text_exists():
    """The other sections, except the dated decisions, name only files that exist."""
    before = TEXT.partition("\n## Decisions")[0]
    missing = [path for path in paths_of(before) if not list(PROJECT.glob(re.sub(r"<[^>]*>", "*", path.rstrip("/"))))]
    assert missing == []
