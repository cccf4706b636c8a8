"""The import contracts of pyproject.toml report what they forbid, and nothing else."""

import subprocess
import sys
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


def lint(folder: Path, module: str, statement: str) -> tuple[int, str]:
    """Create the rooms as empty modules, one of them with one import, and return the linter's exit code and output."""
    (folder / "pyproject.toml").write_bytes((PROJECT / "pyproject.toml").read_bytes())
    for name in dict.fromkeys(["curation", *(f"curation.{room}" for room in ROOMS), *OUTSIDE, module]):
        package = folder.joinpath(*name.split("."))
        package.mkdir()
        (package / "__init__.py").write_text(f"{statement}\n" if name == module else "", encoding="utf-8")
    run = subprocess.run([LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
    return run.returncode, " ".join(run.stdout.split())


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("curation.dataset.manifest", "import curation.versions", "Imports run downwards only"),
        ("curation.images", "import curation.hashing", "Imports run downwards only"),
        ("curation.report", "import curation.audit", "Imports run downwards only"),
        ("curation.stages.dedup", "import curation.stages.select", "Stages never import one another"),
        ("curation.versions", "import training.fit", "curation imports neither training nor firmware"),
        ("training.fit", "from curation.stages import select", "training imports only the lower rooms"),
        ("firmware.compiler", "import training.fit", "firmware.tools may import training"),
        ("firmware.compiler", "import curation.versions", "firmware.compiler imports only images and errors"),
        ("training.fit", "import firmware.tools", "firmware.tools may import training"),
        ("training.fit", "from curation import build", "training imports only the lower rooms"),
        ("firmware.compiler", "import keras", "firmware.compiler works without TensorFlow"),
        ("firmware.tools.session", "import curation.pipeline", "firmware.tools imports only board"),
        ("curation.exports", "import fiftyone.core", "Only the review room imports FiftyOne"),
        ("curation.storage.zips", "import kaggle", "Only the Kaggle source imports Kaggle's client"),
        ("curation.engines.local", "import ray.data", "Only the Ray engine imports Ray"),
        ("curation.report", "import tensorflow", "curation imports no machine learning framework"),
        ("curation.storage.zips", "import tifffile", "Only images and the synthetic source import the TIFF"),
        ("curation.stages.dedup", "import imagehash", "Only hashing imports imagehash"),
        ("curation.board", "import serial", "Only board.port imports pyserial"),
        ("curation.sources", "import curation.board", "Imports run downwards only"),
        ("curation.room_without_a_place", "import curation.errors", "Imports run downwards only"),
        ("curation.dataset.manifest", "from rich.progress import track", "Only the command lines import typer"),
    ],
)
def test_a_forbidden_import_is_reported(tmp_path, module, statement, contract):
    """An upward import, or a heavy one outside its room, breaks the contract that names it."""
    code, output = lint(tmp_path, module, statement)
    assert code == 1, output
    assert "1 broken." in output, output
    assert contract in output.partition("Broken contracts")[2], output


@pytest.mark.parametrize(
    ("module", "statement"),
    [
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
    ],
)
def test_an_allowed_import_is_not_reported(tmp_path, module, statement):
    """A downward import, or a heavy one inside its room, breaks nothing."""
    code, output = lint(tmp_path, module, statement)
    assert code == 0, output
