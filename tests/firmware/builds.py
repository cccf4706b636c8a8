"""Compiles generated models with the engine and runs them on the host and on the emulated board."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from firmware.compiler.codegen import Identity, generate
from firmware.compiler.model import Model
from firmware.compiler.steps import final_tensor, softmax_input
from firmware.compiler.tflite_reference import ReferenceOutputs

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
ENGINE = FIRMWARE / "engine"
EMULATOR = FIRMWARE / "emulator"
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
HOST_FLAGS = ("-std=c11", "-O1", "-funsigned-char", *WARNINGS, *SANITIZERS)
BOARD_FLAGS = (
    *("-std=gnu11", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=softfp", "-Os", "-funsigned-char"),
    *("-ffunction-sections", "-fdata-sections", "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs"),
    *("-Wl,--gc-sections", "-T", str(EMULATOR / "memory.ld")),
)

_RUNNER = """\
#include <stdio.h>
#include <stdlib.h>
#include "model.h"
int main(void) {
  /* On the heap, so that the sanitizer detects every access outside of it. It does not start as zeros. */
  int8_t *arena = malloc(MODEL_ARENA_BYTES);
  int8_t *row = malloc(MODEL_WIDTH * MODEL_CHANNELS);
  for (int32_t at = 0; at < MODEL_ARENA_BYTES; at++) arena[at] = (int8_t)(at * 7);
  for (;;) {
    for (int32_t index = 0; index < MODEL_HEIGHT; index++) {
      if (fread(row, 1, MODEL_WIDTH * MODEL_CHANNELS, stdin) != MODEL_WIDTH * MODEL_CHANNELS) {
        free(row);
        free(arena);
        return 0;
      }
      model_take_row(arena, index, row);
    }
    fwrite(model_finish(arena), 1, MODEL_LABELS, stdout);
    fwrite(arena + MODEL_LOGITS_AT, 1, MODEL_LABELS, stdout);
  }
}
"""


@dataclass(frozen=True)
class Measured:
    """The measurements of a run on the emulated board."""

    reference: ReferenceOutputs
    instructions: int
    heaviest_row: int
    stack: int
    sizes: dict[str, int]


def require(*tools: str) -> None:
    """Skip the test if a tool is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed (`make test` installs it)")


def identity_for(model: Model) -> Identity:
    """Return an identity with the labels a0, b1, c2 ..."""
    labels = tuple(chr(ord("a") + number % 26) + str(number) for number in range(final_tensor(model).shape[-1]))
    return Identity(labels, 0, "drawn@v0", "", "test-0", "curation test")


def write_model(model: Model, folder: Path) -> None:
    """Generate model.c and model.h into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in generate(model, identity_for(model)).items():
        (folder / name).write_text(text)


def draw_inputs(model: Model, count: int, *, seed: int = 0) -> np.ndarray:
    """Generate inputs of different brightness and contrast, two of them flat."""
    shape = model.tensors[model.input].shape[1:]
    generator = np.random.default_rng(seed)
    flat = [np.full(shape, value) for value in (-128, 127)]
    drawn = [generator.normal(generator.uniform(-90, 90), generator.uniform(5, 90), shape) for _ in range(count)]
    stored = np.clip(np.rint(np.stack([*flat, *drawn][:count] if count > 2 else drawn)), -128, 127)
    kind = model.tensors[model.input].type
    return (stored + 128).astype(np.uint8) if kind == "uint8" else stored.astype(np.int8)


def run_on_host(
    model: Model, inputs: np.ndarray, folder: Path, *, compiler: str = "gcc", rows: bool, flags: tuple = ()
) -> ReferenceOutputs:
    """Compile with sanitisers and run over inputs."""
    require(compiler)
    write_model(model, folder)
    (folder / "main.c").write_text(_RUNNER)
    program = folder / f"{compiler}-{int(rows)}"
    command = [compiler, *HOST_FLAGS, *flags, f"-DMODEL_ROWS={int(rows)}", f"-I{ENGINE}", f"-I{folder}"]
    sources = [str(folder / "model.c"), str(folder / "main.c"), *map(str, build_engine(compiler, flags))]
    _run([*command, *sources, "-o", str(program)], cwd=folder)
    done = subprocess.run([program], input=inputs.tobytes(), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return _split(model, done.stdout)


@cache
def build_engine(compiler: str, flags: tuple = ()) -> tuple[Path, ...]:
    """Compile the engine with sanitizers, once per session."""
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sources = sorted(map(str, ENGINE.glob("*.c")))
    _run([compiler, *HOST_FLAGS, *flags, "-c", *sources], cwd=folder)
    return tuple(sorted(folder.glob("*.o")))


def run_on_board(model: Model, inputs: np.ndarray, folder: Path, *, rows: bool) -> Measured:
    """Compile with Arduino's flags and run on the emulated board."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    write_model(model, folder)
    (folder / "in.bin").write_bytes(inputs.tobytes())
    program = folder / f"board-{int(rows)}.elf"
    support = [EMULATOR / name for name in ("start.c", "emulator.c", "measure.c")]
    sources = [*sorted(ENGINE.glob("*.c")), *support, folder / "model.c"]
    includes = [f"-I{ENGINE}", f"-I{EMULATOR}", f"-I{folder}"]
    flags = ["-Wall", "-Wextra", "-Werror", f"-DMODEL_ROWS={int(rows)}"]
    _run(["arm-none-eabi-gcc", *BOARD_FLAGS, *flags, *includes, *map(str, sources), "-o", str(program)], cwd=folder)
    output = emulate(program, folder)
    numbers = dict(line.split() for line in output.splitlines())
    assert int(numbers["images"]) == len(inputs)
    reference = _split(model, (folder / "out.bin").read_bytes())
    counts = [int(numbers[name]) for name in ("instructions", "heaviest", "stack")]
    return Measured(reference, *counts, read_sizes(program))


def emulate(program: Path, folder: Path, *, timeout: float = 120) -> str:
    """Run a program on the emulated board and return its output."""
    command = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-icount", "shift=0"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read_sizes(program: Path) -> dict[str, int]:
    """Return a program's text, data and bss in bytes."""
    output = subprocess.run(["arm-none-eabi-size", program], capture_output=True, text=True, check=True).stdout
    text, data, bss = output.splitlines()[1].split()[:3]
    return {"text": int(text), "data": int(data), "bss": int(bss)}


def assert_same(got: ReferenceOutputs, expected: ReferenceOutputs) -> None:
    """Every logit and every score is equal."""
    np.testing.assert_array_equal(got.logits, expected.logits)
    np.testing.assert_array_equal(got.scores, expected.scores)


def _split(model: Model, out: bytes) -> ReferenceOutputs:
    labels = final_tensor(model).shape[-1]
    both = np.frombuffer(out, np.int8).reshape(-1, 2, labels)
    kind = np.dtype(final_tensor(model).type)
    logits = np.int8 if softmax_input(model) else kind
    return ReferenceOutputs(scores=both[:, 0].view(kind), logits=both[:, 1].view(logits))


def _run(command: list[str], *, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
