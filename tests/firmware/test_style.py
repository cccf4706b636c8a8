"""Format, dependencies and static analysis of the firmware's C and C++ sources."""

from __future__ import annotations

import graphlib
import re
import subprocess
from pathlib import Path

import pytest

from firmware.compiler import export
from tests.firmware.builds import FIRMWARE, WARNINGS, require
from tests.firmware.compiler.networks import ds_cnn

SENSOR = Path(__file__).with_name("sensor")
SKETCH = FIRMWARE / "arduino" / "detector"
MADE = ("generated", "build", "src")
CPPCHECK = ("cppcheck", "-q", "--enable=warning,performance,portability", "--error-exitcode=1")
ACCEPTED = (
    "comparePointers:*emulator/start.c",  # linker symbols are addresses in one memory, not objects
    "shiftTooManyBitsSigned:*engine/nn_arithmetic.h",  # defined by gcc and clang; the header asserts it
)


def list_sources() -> list[Path]:
    """Return all C and C++ files that are not generated."""
    found = [path for folder in (FIRMWARE, SENSOR) for path in sorted(folder.rglob("*"))]
    return [path for path in found if path.suffix in {".c", ".h", ".cpp", ".ino"} and not set(MADE) & set(path.parts)]


def test_every_file_is_formatted():
    """`clang-format` changes nothing; run `clang-format -i` to fix a file."""
    require("clang-format")
    sources = list_sources()
    assert len(sources) > 50
    command = ["clang-format", f"--style=file:{FIRMWARE / '.clang-format'}", "--dry-run", "-Werror"]
    done = subprocess.run([*command, *sources], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_dependencies_of_the_application_run_one_way():
    """Each ``.c`` includes its own header first, and no header includes itself through others."""
    needs: dict[str, set[str]] = {}
    for path in sorted((FIRMWARE / "application").glob("*.[ch]")):
        included = re.findall(r'^#include "(\w+)\.h"$', path.read_text(encoding="utf-8"), re.MULTILINE)
        if path.suffix == ".c":
            assert included[0] == path.stem, f"{path.name} does not include its own header first"
        needs.setdefault(path.stem, set()).update(set(included) - {path.stem})
    assert len(needs) > 15
    graphlib.TopologicalSorter(needs).prepare()  # raises on a cycle


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("mode", [0, 1])
def test_the_application_compiles_without_warnings(compiler, mode, tmp_path):
    """The warnings of `make firmware` are errors, for both compilers, in frame mode and in row mode."""
    require(compiler)
    export(ds_cnn(), tmp_path, labels=("healthy", "melanoma"), alarm="melanoma", data_version="drawn@v1")
    parts = [FIRMWARE / part for part in ("engine", "application", "boards/host")]
    sources = [str(path) for part in parts for path in sorted(part.glob("*.c"))]
    includes = [f"-I{part}" for part in (*parts[:2], tmp_path)]
    command = [compiler, "-std=c11", "-fsyntax-only", "-funsigned-char", *WARNINGS, f"-DMODEL_ROWS={mode}", *includes]
    done = subprocess.run([*command, *sources], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("mode", [0, 1])
def test_static_analysis_reports_nothing(mode, tmp_path):
    """cppcheck has no warnings on errors, performance or portability, in frame mode and in row mode."""
    require("cppcheck")
    export(ds_cnn(), tmp_path, labels=("healthy", "melanoma"), alarm="melanoma", data_version="drawn@v1")
    (tmp_path / "golden.h").unlink()  # parsing its numbers takes a minute
    parts = [FIRMWARE / part for part in ("engine", "application", "emulator")]
    includes = [f"-I{part}" for part in (*parts, tmp_path)]
    accepted = [f"--suppress={each}" for each in ACCEPTED]
    command = [*CPPCHECK, "--std=c11", f"-DMODEL_ROWS={mode}", *accepted, *includes, *parts, FIRMWARE / "boards"]
    done = subprocess.run([*command, tmp_path / "model.c"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_static_analysis_reports_nothing_in_the_sketch():
    """The same for the files of the real board."""
    require("cppcheck")
    includes = [f"-I{FIRMWARE / 'arduino' / 'mocks'}", f"-I{FIRMWARE / 'application'}"]
    command = [*CPPCHECK, "--language=c++", "--std=c++14", *includes, *sorted(SKETCH.glob("*.cpp"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
