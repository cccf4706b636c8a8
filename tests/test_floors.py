"""The import contracts of pyproject.toml report what they forbid, and nothing else."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
LINTER = Path(sys.executable).parent / "lint-imports"
ROOMS = (
    "audit", "board", "board.port", "cli", "cross_validation", "dataset", "dataset.manifest", "dataset.recipe",
    "engines", "engines.local", "engines.ray", "errors", "exports", "hashing", "images", "images.camera", "init",
    "pipeline", "report", "review", "review.fiftyone_sync", "sources", "sources.synthetic", "sources.kaggle", "stages",
    "stages.dedup", "stages.select", "storage", "storage.zips", "versions", "versions.store",
)  # fmt: skip
OUTSIDE = (
    "training",
    "training.fit",
    "training.cli",
    "firmware",
    "firmware.compiler",
    "firmware.compiler.codegen",
    "firmware.tools",
    "firmware.tools.session",
)

FORBIDDEN = (
    ("curation.dataset.manifest", "import curation.versions", "Imports run downwards only"),
    ("curation.images", "import curation.hashing", "Imports run downwards only"),
    ("curation.report", "import curation.audit", "Imports run downwards only"),
    ("curation.sources", "import curation.board", "Imports run downwards only"),
    ("curation.stages.dedup", "import curation.stages.select", "Stages never import one another"),
    ("curation.versions", "import training.fit", "curation imports neither training nor firmware"),
    ("training.fit", "import curation.stages.select", "training imports only the lower rooms"),
    ("training.cli", "import curation", "training imports only the lower rooms"),
    ("firmware.compiler", "import training.fit", "firmware.tools may import training"),
    ("training.fit", "import firmware.tools", "firmware.tools may import training"),
    ("firmware.compiler.codegen", "import curation.versions", "firmware.compiler imports only images and errors"),
    ("firmware.compiler", "import keras", "firmware.compiler works without TensorFlow"),
    ("firmware.tools.session", "import curation.pipeline", "firmware.tools imports only board"),
    ("curation.exports", "import fiftyone.core", "Only the review room imports FiftyOne"),
    ("curation.storage.zips", "import kaggle", "Only the Kaggle source imports Kaggle's client"),
    ("curation.engines.local", "import ray.data", "Only the Ray engine imports Ray"),
    ("curation.report", "import tensorflow", "curation imports no machine learning framework"),
    ("curation.storage.zips", "import tifffile", "Only images and the synthetic source import the TIFF"),
    ("curation.stages.dedup", "import imagehash", "Only hashing imports imagehash"),
    ("curation.board", "import serial", "Only board.port imports pyserial"),
    ("curation.dataset.manifest", "import rich.progress", "Only the command lines import typer"),
)

ALLOWED = (
    ("curation.pipeline", "import curation.stages.dedup"),
    ("curation.review.fiftyone_sync", "import fiftyone"),
    ("curation.sources.kaggle", "import kaggle"),
    ("curation.engines.ray", "import ray"),
    ("curation.board.port", "import serial"),
    ("curation.cli", "import curation.board"),
    ("curation.images.camera", "import tifffile"),
    ("curation.sources.synthetic", "import imagecodecs"),
    ("training.fit", "from curation.versions.store import load"),
    ("training.fit", "from curation.images.camera import view"),
    ("training.fit", "import tensorflow"),
    ("training.fit", "import firmware.compiler"),
    ("firmware.compiler.codegen", "from curation.images import INPUT_SCALE"),
    ("firmware.tools.session", "from curation.board.port import Port"),
    ("training.cli", "import typer"),
)


def lint(folder: Path, imports: Iterable[tuple[str, ...]]) -> tuple[int, str]:
    """Create the rooms as empty modules with these imports, and return the linter's exit code and output."""
    (folder / "pyproject.toml").write_bytes((PROJECT / "pyproject.toml").read_bytes())
    written = list(imports)
    modules = dict.fromkeys(["curation", *(f"curation.{room}" for room in ROOMS), *OUTSIDE, *(m for m, *_ in written)])
    for name in modules:
        package = folder.joinpath(*name.split("."))
        package.mkdir()
        lines = "".join(f"{statement}\n" for module, statement, *_ in written if module == name)
        (package / "__init__.py").write_text(lines, encoding="utf-8")
    run = subprocess.run([LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
    return run.returncode, " ".join(run.stdout.split())


def contracts() -> list[str]:
    """Return the names of all contracts, sorted."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return sorted(contract["name"] for contract in settings["tool"]["importlinter"]["contracts"])


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the report of each broken contract by its name, of a project with all forbidden imports."""
    code, output = lint(tmp_path_factory.mktemp("forbidden"), FORBIDDEN)
    assert code == 1, output
    reports = output.partition("Broken contracts")[2]
    starts = sorted((reports.index(f" {name} ---"), name) for name in contracts() if f" {name} ---" in reports)
    ends = [start for start, _ in starts[1:]] + [len(reports)]
    return {name: reports[start:end] for (start, name), end in zip(starts, ends, strict=True)}


@pytest.mark.parametrize(("module", "statement", "contract"), FORBIDDEN)
def test_a_forbidden_import_is_reported(broken, module, statement, contract):
    """An upward import, or a heavy one outside its room, breaks the contract that names it."""
    line = 1 + [statement for name, statement, _ in FORBIDDEN if name == module].index(statement)
    (report,) = (text for name, text in broken.items() if name.startswith(contract))
    imported = statement.removeprefix("import ")
    package = imported.partition(".")[0]
    imported = imported if package in ("curation", "training", "firmware") else package
    assert f"{module} -> {imported} (l.{line})" in report


def test_every_contract_has_a_forbidden_import(broken):
    """No contract is without a case above."""
    assert sorted(broken) == contracts()


def test_a_module_of_curation_needs_a_place(tmp_path):
    """A new module of curation that the layers do not name is reported."""
    code, output = lint(tmp_path, [("curation.room_without_a_place", "import curation.errors")])
    assert code == 1
    assert "room_without_a_place" in output.partition("Broken contracts")[2]


def test_allowed_imports_are_not_reported(tmp_path):
    """Downward imports, and heavy ones inside their rooms, break nothing."""
    code, output = lint(tmp_path, ALLOWED)
    assert code == 0, output
