"""Shows that a compiled run does on the emulated board what its reference does: every test image, every logit."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError
from curation.images import to_tensor
from curation.versions import Home
from firmware.compiler.tflite_reference import ReferenceOutputs, run_reference
from training.export import read_test_samples
from training.runs import find_runs, open_run

EMULATOR = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-icount", "shift=0")
SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")


def main(arguments: list[str] | None = None) -> int:
    """Compare every program with the reference; the exit code is 0 where no logit differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a training run: its name or folder")
    parser.add_argument("programs", nargs="+", type=Path, metavar="PROGRAM", help="measure-*.elf, compiled from it")
    given = parser.parse_args(arguments)
    try:
        run = open_run(find_runs(), given.run)
        inputs = to_tensor(read_test_samples(run, Home.find()).view(run.side))
    except CurationError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    expected = run_reference(run.read("model_int8.tflite"), inputs)
    return max([compare(program, run.reference, inputs, expected) for program in given.programs])


def compare(program: Path, version: str, inputs: npt.NDArray[np.int8], expected: ReferenceOutputs) -> int:
    """Run a program on the emulated board, print the comparison, and return how many images differ."""
    out, figures = emulate(program, inputs)
    labels = expected.logits.shape[1]
    both = np.frombuffer(out, np.int8).reshape(-1, 2, labels)
    same = (both[:, 0] == expected.scores).all(axis=1) & (both[:, 1] == expected.logits).all(axis=1)
    print(
        f"{program.stem}: {int(same.sum())} of {len(inputs)} test images of {version} give the reference's logits; "
        f"{int(figures['instructions']):,} instructions an inference, {int(figures['stack']):,} bytes of stack, "
        f"arena {int(figures['arena']):,} bytes"
    )
    return int((~same).sum())


def emulate(program: Path, inputs: npt.NDArray[np.int8]) -> tuple[bytes, dict[str, str]]:
    """Return the output of a measuring program, and the figures that it prints."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.bin").write_bytes(inputs.tobytes())
        command = [*EMULATOR, *SEMIHOSTING, "-kernel", str(program.resolve())]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        )
        figures = dict(line.split() for line in done.stdout.decode().splitlines() if len(line.split()) == 2)
        return (Path(folder) / "out.bin").read_bytes(), figures


if __name__ == "__main__":
    sys.exit(main())
