"""Compiles the Arduino sketch with a core on disk, by the recipes of its `platform.txt`, without arduino-cli."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curation.errors import CurationError, ErrorCode

BOARD: Final = "nano33ble"
SKETCH: Final = Path("firmware/arduino/detector")
WARNINGS: Final = "-Wall -Wextra"
IDE_VERSION: Final = "10607"
"""What arduino-cli gives as the version of the IDE."""
API_VERSION: Final = re.compile(r"ARDUINO_API_VERSION\s+(\d+)")


@dataclass(frozen=True)
class Core:
    """A core on disk.

    Parameters
    ----------
    folder : Path
        It has ``platform.txt``, ``boards.txt``, ``cores`` and ``variants``.
    properties : mapping of str to str
        Those of the platform, replaced by those of the board.
    """

    folder: Path
    properties: Mapping[str, str]

    def expand(self, key: str, **given: object) -> list[str]:
        """Return a recipe as the words of a command; an unknown property is empty, as arduino-cli has it."""
        text, known = self.properties[key], {**self.properties, **{name: str(value) for name, value in given.items()}}
        for _ in range(20):
            replaced = re.sub(r"\{([\w.-]+)\}", lambda found: known.get(found[1], ""), text)
            if replaced == text:
                return shlex.split(text)
            text = replaced
        raise CurationError(ErrorCode.BOARD_UNKNOWN, f"{self.folder}: {key} refers to itself")


def read_properties(text: str) -> dict[str, str]:
    """Return the ``key=value`` lines of a properties file."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def read_core(folder: Path, *, board: str = BOARD) -> Core:
    """Read a core's properties for a board.

    Raises
    ------
    CurationError
        BOARD_UNKNOWN where the folder is not a core, or it has no such board.
    """
    try:
        platform = read_properties((folder / "platform.txt").read_text(encoding="utf-8"))
        boards = read_properties((folder / "boards.txt").read_text(encoding="utf-8"))
    except OSError as fault:
        raise CurationError(
            ErrorCode.BOARD_UNKNOWN,
            f"{folder}: not an Arduino core: {fault.strerror}: {Path(str(fault.filename)).name}",
            hint="Give the folder that contains platform.txt: of a checkout of arduino/ArduinoCore-mbed with "
            "ArduinoCore-API's api/ in cores/arduino/, or of an installed core.",
        ) from None
    ours = {key.removeprefix(f"{board}."): value for key, value in boards.items() if key.startswith(f"{board}.")}
    if "build.variant" not in ours:
        raise CurationError(ErrorCode.BOARD_UNKNOWN, f"{folder}: boards.txt has no board {board!r}")
    core = folder.resolve()
    places = {
        "build.core.path": str(core / "cores" / ours["build.core"]),
        "build.variant.path": str(core / "variants" / ours["build.variant"]),
        "build.arch": "MBED_NANO",
        "build.compiler_path": "",
        "runtime.ide.version": IDE_VERSION,
        "compiler.warning_flags": WARNINGS,
    }
    return Core(core, {**platform, **ours, **places})


def compile_file(core: Core, source: Path, target: Path) -> str:
    """Compile one file by the core's recipe and return the compiler's warnings.

    Raises
    ------
    CurationError
        BOARD_FAULT where the core refuses the file, with the compiler's message.
    """
    recipe = "recipe.c.o.pattern" if source.suffix == ".c" else "recipe.cpp.o.pattern"
    includes = " ".join(shlex.quote(f"-I{core.properties[key]}") for key in ("build.core.path", "build.variant.path"))
    command = core.expand(recipe, includes=includes, source_file=source, object_file=target)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CurationError(ErrorCode.BOARD_FAULT, f"{source.name} does not compile\n{done.stderr.strip()}")
    return done.stderr


def list_sources(sketch: Path, folder: Path) -> Iterator[Path]:
    """Copy a sketch into a folder as arduino-cli does, and yield its sources; an .ino file becomes a .cpp file."""
    shutil.copytree(sketch, folder, dirs_exist_ok=True)
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".ino":
            written = path.with_name(f"{path.name}.cpp")
            written.write_text(f'#include <Arduino.h>\n#line 1 "{path.name}"\n{path.read_text(encoding="utf-8")}')
            yield written
        elif path.suffix in (".c", ".cpp"):
            yield path


def list_symbols(path: Path) -> set[str]:
    """Return the names that an object file or an archive defines for others."""
    done = subprocess.run(
        ["arm-none-eabi-nm", "--defined-only", "--extern-only", path], capture_output=True, text=True, check=True
    )
    words = (line.split() for line in done.stdout.splitlines())
    return {each[2] for each in words if len(each) == 3 and each[1] in "TDBRC"}


def compile_all(core: Core, sources: Iterator[Path], folder: Path) -> tuple[list[Path], list[str]]:
    """Compile files into a folder; return the objects and every line of a warning."""
    objects, warnings = [], []
    for source in sources:
        target = folder / f"{source.name}.o"
        warnings += [line for line in compile_file(core, source, target).splitlines() if "warning:" in line]
        objects.append(target)
    return objects, warnings


def list_core_sources(core: Core) -> Iterator[Path]:
    """Yield the core's own sources: of Arduino's layer, its API and the variant, not those of Mbed OS."""
    here, variant = Path(core.properties["build.core.path"]), Path(core.properties["build.variant.path"])
    for folder in (here, here / "USB", here / "api", variant):
        yield from sorted(path for path in folder.glob("*.c*") if path.suffix in (".c", ".cpp"))


def link(core: Core, objects: list[Path], core_objects: list[Path], folder: Path) -> str | None:
    """Link the sketch with the whole core and return its sizes, or None where the core's Mbed library is missing."""
    library = Path(core.properties["build.variant.path"]) / "libs" / "libmbed.a"
    if not library.is_file():
        return None
    given: dict[str, object] = {
        "build.path": folder,
        "build.project_name": "detector",
        "archive_file": "core.a",
        "object_files": " ".join(shlex.quote(str(path)) for path in objects),
    }
    subprocess.run(["arm-none-eabi-ar", "rcs", folder / "core.a", *core_objects], check=True)
    for key in ("recipe.hooks.linking.prelink.1.pattern", "recipe.c.combine.pattern"):
        done = subprocess.run(core.expand(key, **given), capture_output=True, text=True, check=False)
        if done.returncode:
            raise CurationError(ErrorCode.BOARD_FAULT, f"the sketch does not link\n{done.stderr.strip()}")
    sizes = subprocess.run(core.expand("recipe.size.pattern", **given), capture_output=True, text=True, check=True)
    found = dict(re.findall(r"^(\.text|\.data|\.bss)\s+(\d+)", sizes.stdout, re.MULTILINE))
    return ", ".join(f"{name} {int(size):,} B" for name, size in found.items())


def describe_core(core: Core) -> str:
    """Return the versions that the core's files contain."""
    here = Path(core.properties["build.core.path"])
    api = API_VERSION.search((here / "api" / "ArduinoAPI.h").read_text(encoding="utf-8"))
    return f"core version {core.properties.get('version', 'unknown')}, API {api[1] if api else 'unknown'}"


def check_sketch(core: Core, sketch: Path) -> Iterator[str]:
    """Compile the sketch and the core's own layer, compare their symbols, link them, and yield what was found."""
    with tempfile.TemporaryDirectory() as temporary:
        ours, theirs = Path(temporary, "sketch"), Path(temporary, "core")
        ours.mkdir()
        theirs.mkdir()
        compiler = subprocess.run(["arm-none-eabi-g++", "--version"], capture_output=True, text=True, check=True)
        yield f"{describe_core(core)}; {compiler.stdout.splitlines()[0]}"
        objects, warnings = compile_all(core, list_sources(sketch, ours), ours)
        yield from warnings
        yield f"{sketch}: {len(objects)} files compile with the core's flags and {WARNINGS}, {len(warnings)} warnings"
        core_objects, _ = compile_all(core, list_core_sources(core), theirs)
        names = set().union(*map(list_symbols, objects)) - {"setup", "loop"}
        libraries = sorted((Path(core.properties["build.variant.path"]) / "libs").glob("*.a"))
        clashes = names & set().union(*map(list_symbols, [*core_objects, *libraries]))
        if clashes:
            raise CurationError(ErrorCode.BOARD_FAULT, f"the core also defines {', '.join(sorted(clashes))}")
        yield f"{len(names)} symbols of the sketch, none of them in {len(core_objects)} files of the core" + (
            f" and {len(libraries)} libraries" if libraries else ""
        )
        linked = link(core, objects, core_objects, theirs)
        yield f"linked: {linked}" if linked else "not linked: this core has no libs/libmbed.a"


def main(arguments: list[str] | None = None) -> int:
    """Check the sketch against a core and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("core", type=Path, metavar="DIR", help="the core's folder, which contains platform.txt")
    parser.add_argument("--sketch", type=Path, default=SKETCH, help="the sketch's folder, with its src/ filled")
    given = parser.parse_args(arguments)
    if shutil.which("arm-none-eabi-g++") is None:
        print("error: arm-none-eabi-g++ is not installed", file=sys.stderr)
        return 1
    try:
        for line in check_sketch(read_core(given.core), given.sketch):
            print(line, flush=True)
    except CurationError as fault:
        print(f"error: {fault.message}", file=sys.stderr)
        if fault.hint:
            print(f"hint: {fault.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
