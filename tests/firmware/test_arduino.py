"""The Arduino sketch: all files compile against mocks of the vendors' headers; portable parts run on the host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from firmware.compiler import export
from firmware.tools.sketch import main as check_sketch
from firmware.tools.sketch import read_core
from tests.firmware.builds import FIRMWARE, require
from tests.firmware.compiler.networks import ds_cnn

ARDUINO = FIRMWARE / "arduino"
SKETCH = ARDUINO / "detector"
MOCKS = ARDUINO / "mocks"
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
CORE_FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=softfp", "-Os", "-funsigned-char")
CXX_FLAGS = ("-std=gnu++14", "-fno-rtti", "-fno-exceptions", *CORE_FLAGS, *WARNINGS, f"-I{MOCKS}")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")

PROBE = """\
#include <stdio.h>
#include "averaging.h"
#include "pins.h"
static Averaging averaging;
int main() {
  unsigned char lines, line[2 * kLinePixels], row[2 * kRowPixels];
  while (fread(&lines, 1, 1, stdin) == 1) {
    averaging.clear();
    for (int number = 0; number < lines; number++) {
      if (fread(line, 1, sizeof line, stdin) != sizeof line) return 1;
      averaging.add(line);
    }
    averaging.write(row);
    fwrite(row, 1, sizeof row, stdout);
  }
  for (uint32_t port = 0; port < 65536; port++) putchar(pins::byte_of(port | 0xABCD0000u));
  return 0;
}
"""


def run(*command: object, cwd: Path, given: bytes = b"") -> bytes:
    """Run a command and return its output; fail with its error output."""
    done = subprocess.run([*map(str, command)], cwd=cwd, input=given, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    return done.stdout


def unpack(pairs: np.ndarray) -> np.ndarray:
    """Return (..., 3) red, green and blue, unscaled, of (..., 2) bytes of RGB565."""
    pixels = pairs[..., 0].astype(int) << 8 | pairs[..., 1]
    return np.stack([pixels >> 11, pixels >> 5 & 63, pixels & 31], axis=-1)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_rows_are_means_and_the_port_gives_whole_bytes(compiler, tmp_path):
    """A row is the rounded mean of three pixels of each line; a read of the port returns the byte on its wires."""
    require(compiler)
    (tmp_path / "probe.cpp").write_text(PROBE)
    flags = ("-std=c++14", *WARNINGS, *SANITIZERS, f"-I{SKETCH}")
    run(compiler, *flags, "probe.cpp", "-o", "probe", cwd=tmp_path)
    rng = np.random.default_rng(1)
    stacks = [rng.integers(0, 256, (count, 528, 2), np.uint8) for count in (1, 2, 3)]
    stacks += [np.full((3, 528, 2), value, np.uint8) for value in (0, 255)]
    output = run(tmp_path / "probe", cwd=tmp_path, given=b"".join(bytes([len(s)]) + s.tobytes() for s in stacks))
    rows = np.frombuffer(output[: len(stacks) * 352], np.uint8).reshape(-1, 176, 2)
    for stack, row in zip(stacks, rows, strict=True):
        parts = unpack(stack).reshape(len(stack), 176, 3, 3)
        means = np.floor(parts.mean(axis=(0, 2)) + 0.5).astype(int)
        np.testing.assert_array_equal(unpack(row), means)
    ports = np.arange(65536)
    wires = (15, 14, 13, 12, 11, 10, 3, 2)  # D7 to D0 on port 1
    expected = sum((ports >> wire & 1) << (7 - place) for place, wire in enumerate(wires))
    np.testing.assert_array_equal(np.frombuffer(output[len(stacks) * 352 :], np.uint8), expected)


def test_mocks_hold_declarations_only(tmp_path):
    """The mocks of the vendors' headers add no code and no variables to an object file."""
    require("arm-none-eabi-g++", "arm-none-eabi-nm")
    includes = "".join(f'#include "{path.relative_to(MOCKS)}"\n' for path in sorted(MOCKS.rglob("*.h")))
    (tmp_path / "all.cpp").write_text(includes)
    run("arm-none-eabi-g++", *CXX_FLAGS, "-c", "all.cpp", cwd=tmp_path)
    assert run("arm-none-eabi-nm", "all.o", cwd=tmp_path).split() == []


def assemble(target: Path, *, firmware: Path = FIRMWARE) -> subprocess.CompletedProcess[str]:
    """Run the script that fills the sketch's folder, with another folder as the target."""
    return subprocess.run(
        [firmware / "arduino" / "assemble", target], capture_output=True, text=True, timeout=60, check=False
    )


def copy_firmware(folder: Path) -> Path:
    """Copy the inputs of the script, without a trained model."""
    copy = folder / "firmware"
    for part in ("application", "engine", "arduino"):
        if (FIRMWARE / part).is_dir():
            shutil.copytree(FIRMWARE / part, copy / part, ignore=shutil.ignore_patterns("src"))
    return copy


def test_without_a_model_the_script_fails_with_a_hint(tmp_path):
    """Nothing is copied, and the hint contains the command that exports a model."""
    copy = copy_firmware(tmp_path)
    done = assemble(tmp_path / "src", firmware=copy)
    assert done.returncode == 1
    assert "python -m training export RUN --to firmware" in done.stderr
    assert not (tmp_path / "src").exists()


def test_the_guide_has_the_pins_of_the_program():
    """The wiring table and pins.h agree for each wire."""
    guide = (FIRMWARE / "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"\| (D\d|VSYNC|HREF|PCLK|XCLK|SIOC|SIOD|RST|PWDN)[^|]*\| (\w+) ", guide))
    output = dict(re.findall(r"k(\w+) = \d+;\s+/\* (\w+)", (SKETCH / "pins.h").read_text(encoding="utf-8")))
    wires = {"SIOD": "Sda", "SIOC": "Scl", "VSYNC": "Vsync", "HREF": "Href", "PCLK": "Pclk", "XCLK": "Xclk"}
    wires |= {"RST": "Reset", "PWDN": "Power"}
    assert {wire: table[wire] for wire in wires} == {wire: output[name] for wire, name in wires.items()}
    # The board's pinout: bit of port 1 -> label.
    edge = {15: "D4", 14: "D6", 13: "D5", 12: "D3", 11: "D2", 10: "RX0", 3: "TX1", 2: "D10"}
    assert [table[f"D{7 - place}"] for place in range(8)] == [edge[bit] for bit in (15, 14, 13, 12, 11, 10, 3, 2)]


def test_nothing_waits_for_a_pc():
    """The board works without a PC: no loop waits for the port, and the first feeding starts the watchdog."""
    sources = {path.name: path.read_text() for path in sorted(SKETCH.glob("*.*"))}
    for name, text in sources.items():
        assert not re.search(r"while\s*\(\s*!\s*Serial", text), name
        assert not re.search(r"Serial\.(print|println|write)\(", text), f"{name}: this call blocks without a PC"


@pytest.mark.parametrize("call", ["Serial.send_nb(bytes, 1, &sent)", "Serial.connected()", "pinMode(LEDR, 1)"])
def test_the_mocks_refuse_what_the_core_refuses(call, tmp_path):
    """`Serial` is a UART since core 2.0: it has none of USB's own calls; modes of a pin are not numbers."""
    require("arm-none-eabi-g++")
    text = "#include <USB/PluggableUSBSerial.h>\nvoid probe(uint8_t *bytes, uint32_t sent) { %s; }\n"
    for name, call_made in (
        ("wrong", call),
        ("right", call.replace("Serial.", "_SerialUSB.").replace("1)", "OUTPUT)")),
    ):
        (tmp_path / f"{name}.cpp").write_text(text % call_made)
    compile_one = ["arm-none-eabi-g++", *CXX_FLAGS, "-Wno-unused-parameter", "-fsyntax-only"]
    assert subprocess.run([*compile_one, tmp_path / "wrong.cpp"], capture_output=True, check=False).returncode != 0
    assert subprocess.run([*compile_one, tmp_path / "right.cpp"], capture_output=True, check=False).returncode == 0


WATCHDOG_PROBE = """\
#include <stdio.h>
#include "watchdog.h"
int main() {
  watchdog::Policy policy;
  unsigned running, pc, ms;
  while (scanf("%u %u %u", &running, &pc, &ms) == 3) printf("%d ", static_cast<int>(policy.next(running, pc, ms)));
}
"""


@pytest.mark.parametrize(
    ("steps", "actions"),
    [
        ([(0, 0, 100), (0, 0, 14_999), (0, 0, 15_000), (1, 0, 15_010)], "none none start feed"),
        ([(0, 0, 100), (0, 1, 900), (0, 1, 60_000), (0, 0, 70_000)], "none none none none"),
        ([(0, 0, 15_000), (1, 0, 20_000), (1, 1, 30_000), (1, 1, 37_000)], "start feed none none"),
    ],
    ids=["alone", "with a PC", "a PC comes later"],
)
def test_the_watchdog_never_runs_through_an_upload(steps, actions, tmp_path):
    """It starts only without a PC; if one comes later, it is no longer fed and resets the board before an upload."""
    require("g++")
    (tmp_path / "probe.cpp").write_text(WATCHDOG_PROBE)
    run("g++", "-std=c++14", *WARNINGS, f"-I{SKETCH}", "probe.cpp", "-o", "probe", cwd=tmp_path)
    given = "\n".join(" ".join(map(str, step)) for step in steps).encode()
    names = ("none", "start", "feed")
    assert [names[int(word)] for word in run(tmp_path / "probe", cwd=tmp_path, given=given).split()] == actions.split()


def test_the_script_is_executable():
    """Git preserves the executable bit."""
    assert os.access(ARDUINO / "assemble", os.X_OK)


@pytest.fixture(scope="module")
def sketch(tmp_path_factory):
    """Fill a copy of the sketch's folder with the application, the engine and a model."""
    copy = copy_firmware(tmp_path_factory.mktemp("sketch"))
    export(ds_cnn(), copy / "generated", labels=("healthy", "melanoma"), alarm="melanoma", data_version="drawn@v1")
    folder = copy / "arduino" / "detector"
    done = assemble(folder / "src", firmware=copy)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def objects(sketch, tmp_path_factory) -> list[Path]:
    """Compile every file of the sketch with Arduino's flags, without warnings."""
    require("arm-none-eabi-g++", "arm-none-eabi-nm", "arm-none-eabi-size")
    build, objects = tmp_path_factory.mktemp("objects"), []
    for source in sorted(sketch.rglob("*")):
        if source.suffix not in {".c", ".cpp", ".ino"}:
            continue
        target = build / f"{source.name}.o"
        if source.suffix == ".c":
            command = ["arm-none-eabi-gcc", "-std=gnu11", *CORE_FLAGS, "-Wall", "-Wextra", "-Werror"]
        else:
            command = ["arm-none-eabi-g++", *CXX_FLAGS]
            command += ["-x", "c++", "-include", "Arduino.h"] if source.suffix == ".ino" else []
        run(*command, "-ffunction-sections", "-fdata-sections", "-c", source, "-o", target, cwd=build)
        objects.append(target)
    return objects


def test_the_sketch_uses_the_mode_of_the_export(sketch):
    """IDEs do not pass compiler options, so the generated header itself selects the mode that the export chose."""
    assert "#define MODEL_ROWS 1" in (sketch / "src" / "model.h").read_text()
    assert "#define MODEL_ROWS 0" not in (sketch / "src" / "model.h").read_text()


def test_filling_the_folder_twice_gives_the_same_files(sketch, tmp_path):
    """A file that no longer exists in the firmware is removed from the sketch."""
    first = {path.name: path.read_bytes() for path in (sketch / "src").iterdir()}
    (sketch / "src" / "old.c").write_text("int old;\n")
    assert assemble(sketch / "src", firmware=sketch.parents[1]).returncode == 0
    assert {path.name: path.read_bytes() for path in (sketch / "src").iterdir()} == first


def test_the_sketch_has_no_undefined_symbols(objects, tmp_path):
    """All symbols that are left to link are declared in the mocks, or belong to the C library."""
    run("arm-none-eabi-ld", "-r", *objects, "-o", "sketch.o", cwd=tmp_path)
    lacking = run("arm-none-eabi-nm", "--undefined-only", "--demangle", "sketch.o", cwd=tmp_path).decode().splitlines()
    names = {line.split(maxsplit=1)[1].partition("(")[0].rpartition("::")[2] for line in lacking}
    declared = set(re.findall(r"\b(\w+)(?=\(|;)", "".join(path.read_text() for path in MOCKS.rglob("*.h"))))
    library = {name for name in names if re.match(r"(__aeabi_|mem|str|s?n?printf)", name)}
    assert names - declared - library == set()


def test_every_global_symbol_has_its_modules_prefix(objects, tmp_path):
    """The core is linked as a whole: a bare name such as ``listen`` could clash with one of its symbols."""
    seams = {"board_nano33ble.cpp": "board", "camera_ov7675.cpp": "camera", "indicator_rgb.cpp": "indicator"}
    seams["line_capture.cpp"] = "ov7675::line_capture"
    for path in objects:
        output = run("arm-none-eabi-nm", "--defined-only", "--extern-only", "--demangle", path, cwd=tmp_path).decode()
        names = [line.split(maxsplit=2)[2] for line in output.splitlines()]
        source = path.name.removesuffix(".o")
        module = "nn" if source.startswith("nn_") else seams.get(source, source.partition(".")[0])
        bare = [name for name in names if not name.startswith((f"{module}_", f"{module}::"))]
        assert source.endswith(".ino") or bare == [], source


def test_a_folder_that_is_not_a_core_is_refused(tmp_path, capsys):
    """The error of `make sketch` names the missing file, and the hint says which folder to give."""
    assert check_sketch([str(tmp_path)]) == 1
    output = capsys.readouterr().err
    assert "platform.txt" in output
    assert "ArduinoCore-mbed" in output


def test_a_recipe_of_a_core_is_expanded(tmp_path):
    """Properties of the board replace those of the platform, and a property may refer to others."""
    (tmp_path / "platform.txt").write_text(
        '# comment\nversion=4\nflags=-w\nrecipe={tool}gcc {flags} "{source_file}" {none}\n'
    )
    (tmp_path / "boards.txt").write_text(
        "nano33ble.build.core=arduino\nnano33ble.build.variant=V\nnano33ble.flags=-mcpu={cpu}\n"
    )
    core = read_core(tmp_path)
    assert core.expand("recipe", source_file="a b.c", cpu="m4", tool="arm-") == ["arm-gcc", "-mcpu=m4", "a b.c"]


def test_the_sketch_fits_into_the_memory(objects, tmp_path):
    """The static memory of the sketch in row mode is at most 24 KB; the core uses another 54 KB."""
    output = run("arm-none-eabi-size", "--totals", *objects, cwd=tmp_path).decode()
    _, data, bss = map(int, output.splitlines()[-1].split()[:3])
    print(f"static memory of the sketch: {data + bss:,} B")
    assert data + bss <= 24 * 1024
