"""Promises of the project about itself: light imports, pinned versions, text files only, a README that is true."""

import ast
import doctest
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
MAX_BYTES = 1_000_000
OLDEST_PYTHON = "3.11.2"  # Debian 12's
LEFT_BY_0_1_0 = PROJECT / "tests/fixtures/schema_1"  # images, tables and a database, as version 0.1.0 wrote them

HEAVY = {
    "PIL", "ai_edge_litert", "fiftyone", "imagecodecs", "imagehash", "kaggle", "keras", "matplotlib", "numpy", "pandas",
    "polars", "pyarrow", "pydantic", "ray", "scipy", "sklearn", "statsmodels", "tensorflow", "tifffile",
}  # fmt: skip

# In parts, because this file may not contain them either.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs"),
        ("npmjs", "org"),
        ("deb", "debian", "org"),
        ("debian", "org"),
        ("archive", "ubuntu", "com"),
        ("conda", "anaconda", "org"),
        ("download", "pytorch", "org"),
    )
)
INDEX_OPTIONS = tuple("--" + option for option in ("index-url", "extra-index-url", "find-links", "trusted-host"))


@dataclass(frozen=True)
class Fence:
    """A code block of the README: its language, the words after it, its text and its first line."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.language}-line-{self.line}"


def tracked_files() -> list[Path]:
    """Return all files in git, sorted; skip the test outside of a clone (in an unpacked archive, for example)."""
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git clone, so the files of the project are not listed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True).stdout
    paths = (PROJECT / name for name in listed.decode().split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def text_files() -> list[Path]:
    """Return all files in git, except those that an earlier version wrote and tests read."""
    return [path for path in tracked_files() if LEFT_BY_0_1_0 not in path.parents]


def pins() -> dict[str, str]:
    """Return name -> pinned version."""
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def requirements() -> list[Requirement]:
    """Return all requirements of pyproject.toml for this machine, including those of the extras."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    found = [Requirement(line) for line in project["dependencies"] + extras]
    return [requirement for requirement in found if requirement.marker is None or requirement.marker.evaluate()]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def modules_imported_by(*arguments: str) -> set[str]:
    """Return the top-level names of all modules that a fresh Python imports when it runs with these arguments."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    names = (line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:"))
    return {name.partition(".")[0] for name in names}


def fences(text: str) -> list[Fence]:
    """Return the code blocks of a Markdown text, in order."""
    found = re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [
        Fence(match[1], tuple(match[2].split()), match[3], text.count("\n", 0, match.start()) + 1) for match in found
    ]


def runnable_fences() -> list[Fence]:
    """Return the README's blocks that are marked as runnable, in order."""
    return [fence for fence in fences(README.read_text(encoding="utf-8")) if "runnable" in fence.words]


def commands_of(group: object, prefix: str = "") -> Iterator[str]:
    """Yield the command line's verbs, those of a group of verbs as ``group verb``."""
    members: Mapping[str, object] = getattr(group, "commands", {})
    for name in sorted(members):
        if getattr(members[name], "hidden", False):
            continue
        if getattr(members[name], "commands", None):
            yield from commands_of(members[name], f"{prefix}{name} ")
        else:
            yield prefix + name


def command_line() -> set[str]:
    """Return every verb of ``python -m curation``, read from the application itself."""
    import typer.main

    from curation.cli import app

    return set(commands_of(typer.main.get_command(app)))


def copy_of_project(target: Path) -> Path:
    """Copy the files in git, in their current state, and return the folder."""
    for path in tracked_files():
        copy = target / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    return target


def run_in(folder: Path, command: list[str]) -> str:
    """Run a command in a folder, as a user would, and return its output; fail if it fails."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),  # takes precedence over the editable installation of the original
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    run = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, f"{command} ended with {run.returncode}:\n{run.stdout}"
    return run.stdout


def steps_of(console: str) -> list[tuple[str, str]]:
    """Split a console block into its commands (lines that start with ``$``) and their shown output."""
    steps: list[tuple[str, str]] = []
    for line in console.splitlines(keepends=True):
        if line.startswith("$ "):
            steps.append((line[2:].strip(), ""))
        else:
            command, printed = steps.pop()
            steps.append((command, printed + line))
    return steps


def test_importing_the_package_imports_nothing_heavy():
    """``import curation`` loads no table, image, learning or review library."""
    assert modules_imported_by("-c", "import curation") & HEAVY == set()


def test_help_imports_nothing_heavy():
    """``python -m curation --help`` answers without loading a table, image, learning or review library."""
    assert modules_imported_by("-m", "curation", "--help") & HEAVY == set()


def test_the_import_probe_sees_a_heavy_module():
    """The probe behind these tests does report a heavy module where one is imported."""
    assert modules_imported_by("-c", "import numpy") & HEAVY == {"numpy"}


def test_constraints_are_names_and_versions_alone():
    """constraints.txt holds sorted, normalised ``name==version`` lines: no host, no path, no option."""
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert [line for line in pinned if not re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.!+]+", line)] == []
    names = [line.split("==")[0] for line in pinned]
    assert names == sorted({canonicalize_name(name) for name in names})
    assert [line for line in lines if "/" in line or "://" in line] == []


def test_every_requirement_is_pinned_to_a_version_it_allows():
    """Each required package has a pin, and the pin satisfies the requirement."""
    pinned = pins()
    wrong = [
        f"{requirement} is pinned to {pinned.get(canonicalize_name(requirement.name))}"
        for requirement in requirements()
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert wrong == []


def test_what_is_installed_is_what_is_pinned():
    """The required packages are installed in exactly the versions of constraints.txt."""
    pinned = pins()
    asked = sorted({canonicalize_name(requirement.name) for requirement in requirements()})
    assert {name: version(name) for name in asked} == {name: pinned[name] for name in asked}


def test_every_pin_installs_on_the_oldest_python():
    """No pinned version requires a newer Python than the oldest supported one."""
    asked = {name: metadata(name)["Requires-Python"] for name in pins() if _is_installed(name)}
    assert len(asked) > len(requirements())
    too_new = {name: spec for name, spec in asked.items() if spec and OLDEST_PYTHON not in SpecifierSet(spec)}
    assert too_new == {}


def test_every_file_is_text_below_a_megabyte():
    """Git contains only text files, none larger than a reviewer can read."""
    unfit = []
    for path in text_files():
        content = path.read_bytes()
        try:
            fit = len(content) < MAX_BYTES and "\0" not in content.decode("utf-8")
        except UnicodeDecodeError:
            fit = False
        if not fit:
            unfit.append(f"{path.relative_to(PROJECT)} ({len(content)} bytes)")
    assert unfit == []


def test_what_an_earlier_version_left_is_small():
    """The one folder with binary files in git has at most 300 KB of images and one megabyte in all."""
    left = [path for path in tracked_files() if LEFT_BY_0_1_0 in path.parents]
    assert sum(path.stat().st_size for path in left) < MAX_BYTES
    assert sum(path.stat().st_size for path in left if path.suffix in (".jpg", ".png")) < 300_000


def test_no_file_names_a_package_registry():
    """No file names the host of a package registry or an option that selects one; that is up to the machine."""
    forbidden = REGISTRIES + INDEX_OPTIONS
    named = [
        f"{path.relative_to(PROJECT)}: {word}"
        for path in text_files()
        for word in forbidden
        if word in path.read_text(encoding="utf-8").lower()
    ]
    assert named == []


def test_datasets_is_not_a_package():
    """``import datasets`` imports Hugging Face's package, so the folder of recipes is not a package."""
    assert list((PROJECT / "datasets").glob("__init__.py*")) == []
    import datasets

    assert Path(datasets.__file__).parent != PROJECT / "datasets"


def test_every_exception_to_a_rule_carries_its_reason():
    """Each comment that silences the linter or the type checker gives a reason on the same line."""
    silenced = re.compile(r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type:\s*ignore(?:\[[\w, -]+\])?)(.*)")
    bare = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in tracked_files()
        if path.suffix == ".py" and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (match := silenced.search(line)) and not re.search(r"\w{2,}", match[1])
    ]
    assert bare == []


def test_every_module_starts_with_a_sentence():
    """Each module starts with a docstring whose first sentence describes it."""
    silent = []
    for path in tracked_files():
        if path.suffix == ".py" and path.read_text(encoding="utf-8").strip():
            opening = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            if not re.match(r"\S.*[.!?:]", opening, flags=re.DOTALL):
                silent.append(str(path.relative_to(PROJECT)))
    assert silent == []


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(tmp_path):
    """A wheel contains the templates, plugin files and board files that are next to the modules."""
    source = copy_of_project(tmp_path / "source")
    run_in(source, [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", "."])
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    wanted = {str(path.relative_to(PROJECT)) for path in tracked_files()}
    packages = ("curation/", "training/", "firmware/compiler/", "firmware/tools/")
    wanted = {name for name in wanted if name.startswith(packages)}
    assert wanted
    assert sorted(wanted - held) == []
    assert {name.split("/")[0] for name in held if name.endswith(".py")} == {"curation", "firmware", "training"}


def test_readme_names_every_command():
    """The README contains each command as a user would type it."""
    text = README.read_text(encoding="utf-8")
    missing = [verb for verb in sorted(command_line()) if not re.search(rf"python -m curation {verb}\b(?!-)", text)]
    assert missing == []


def test_readme_names_only_commands_that_exist():
    """Each ``python -m curation VERB`` in the README is a command that exists."""
    verbs = command_line()
    used = re.findall(r"python -m curation ((?:[a-z][a-z-]*[ \n`])+)", README.read_text(encoding="utf-8") + "\n")
    assert used
    strangers = [line for line in used if not any(re.sub(r"[\n`]", " ", line).startswith(f"{verb} ") for verb in verbs)]
    assert strangers == []


def test_readme_has_blocks_that_run():
    """The README shows the command line and the library in blocks that a test runs."""
    assert {fence.language for fence in runnable_fences()} == {"console", "python"}


@pytest.mark.slow
def test_readme_blocks_run(tmp_path, built_sample, monkeypatch):
    """Every block marked ``runnable`` runs in a copy of the project, in order, and prints the shown output.

    In the shown output ``...`` stands for any text; a command shown without output may print anything.
    """
    folder = copy_of_project(tmp_path / "copy")
    monkeypatch.setenv("CURATION_CACHE", str(built_sample / "cache"))  # the images are drawn once for all tests
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    checker = doctest.OutputChecker()
    for fence in runnable_fences():
        if fence.language == "python":
            run_in(folder, [sys.executable, "-c", fence.text])
            continue
        for command, shown in steps_of(fence.text):
            printed = run_in(folder, ["bash", "-euo", "pipefail", "-c", command])
            example = doctest.Example(command, shown)
            assert not shown.strip() or checker.check_output(shown, printed, flags), (
                f"{README.name}, {fence}: $ {command}\n{checker.output_difference(example, printed, flags)}"
            )


def test_fences_are_read_with_their_words():
    """The parser returns a block's language, marks, text and line."""
    text = "a\n```console runnable\n$ true\nyes\n```\nb\n```python\nx = 1\n```\n"
    assert fences(text) == [
        Fence("console", ("runnable",), "$ true\nyes\n", 2),
        Fence("python", (), "x = 1\n", 7),
    ]
    assert steps_of("$ one\na\nb\n$ two\n") == [("one", "a\nb\n"), ("two", "")]
