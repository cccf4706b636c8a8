"""Shows that a compiled run does on the emulated board what its reference does: every test picture, every logit."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError
from curation.images import to_tensor
from curation.versions import Home, load
from firmware.compiler import read_model
from firmware.compiler.reference_outputs import Reference, run_reference
from firmware.compiler.steps import final_tensor, softmax_input
from training.data import Samples, check_whole, read_samples
from training.inference import side_of
from training.runs import Run, find_runs, open_run

EMULATOR = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-icount", "shift=0")
SEMIHOSTING = ("-semihosting-config", "enable=on,target=native")


def main(arguments: list[str] | None = None) -> int:
    """Run every program and say what came of it; 1 where a logit differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a training run: its name or folder")
    parser.add_argument("programs", nargs="+", type=Path, metavar="PROGRAM", help="measure-*.elf, compiled from it")
    given = parser.parse_args(arguments)
    try:
        run = open_run(find_runs(), given.run)
        inputs = to_tensor(read_test(run, Home.find()).view(side_of(run)))
    except CurationError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    content = run.read("model_int8.tflite")
    model = read_model(content)
    logits = (softmax_input(model) or final_tensor(model)).index
    expected = run_reference(content, inputs, logits=logits)
    return max([tell(program, run.reference, inputs, expected) for program in given.programs])


def read_test(run: Run, home: Home) -> Samples:
    """Return the test pictures of a run's version.

    Raises
    ------
    CurationError
        The version is not here, or is not the one the run was trained on.
    """
    version = load(home, run.reference)
    check_whole(home, version)
    if version.digest != run.config["data"]["digest"]:
        raise CurationError(f"{run.reference} is another version than the one {run.name} was trained on")
    return read_samples(version, run.classes, side=side_of(run)).of_split("test")


def tell(program: Path, version: str, inputs: npt.NDArray[np.int8], expected: Reference) -> int:
    """Run a program on the emulated board, print what it shows, and return how many pictures differ."""
    out, said = emulate(program, inputs)
    labels = expected.logits.shape[1]
    both = np.frombuffer(out, np.int8).reshape(-1, 2, labels)
    same = (both[:, 0] == expected.scores).all(axis=1) & (both[:, 1] == expected.logits).all(axis=1)
    print(
        f"{program.stem}: {int(same.sum())} of {len(inputs)} test pictures of {version} give the reference's logits; "
        f"{int(said['instructions']):,} instructions an inference, {int(said['stack']):,} bytes of stack, "
        f"arena {int(said['arena']):,} bytes"
    )
    return int((~same).sum())


def emulate(program: Path, inputs: npt.NDArray[np.int8]) -> tuple[bytes, dict[str, str]]:
    """Return what a measuring program writes and what it says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.bin").write_bytes(inputs.tobytes())
        command = [*EMULATOR, *SEMIHOSTING, "-kernel", str(program.resolve())]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        )
        said = dict(line.split() for line in done.stdout.decode().splitlines() if len(line.split()) == 2)
        return (Path(folder) / "out.bin").read_bytes(), said


if __name__ == "__main__":
    sys.exit(main())
