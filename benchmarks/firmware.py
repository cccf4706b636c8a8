"""Compares memory, flash and instructions of the board's nets with their targets and with TensorFlow Lite Micro.

Each net is compiled untrained (``firmware/tools/costs.py``) with Arduino's flags and runs on the emulated Cortex-M4,
which counts instructions exactly: the figures do not depend on the load of the machine.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from measuring import RESULTS, ROOT, print_table, write_results

KB = 1024
DEFAULT, V2, V1 = "ds_cnn_xs", "mobilenet_v2_0.2", "mobilenet_v1_0.25"

MARKS: dict[str, dict[str, float]] = {
    DEFAULT: {
        "arena, whole input": 32_768,
        "arena, rows as they come": 16_384,
        "flash, model and engine": 24_576,
        "instructions": 2_300_000,
        "static RAM, whole input": 56 * KB,
        "static RAM, rows as they come": 24 * KB,
        "stack": 2 * KB,
    },
    V2: {"arena, whole input": 36_096, "flash, model and engine": 277 * KB, "instructions": 21_000_000},
    V1: {"arena, whole input": 65 * KB, "instructions": 20_000_000},
}


@dataclass(frozen=True)
class Peer:
    """TensorFlow Lite Micro with CMSIS-NN with the same net shape, from the figures that this project was given."""

    arena: int
    flash: int
    instructions: float
    arduino_instructions: float | None  # with the Arduino library's -Os; None: it does not allocate


PEERS = {
    DEFAULT: Peer(51_268, 168 * KB, 4.89e6, 6.07e6),
    "mobilenet_v2_0.1": Peer(177_412, 355 * KB, 30.4e6, 41.0e6),
    V2: Peer(188_484, 495 * KB, 34.5e6, 46.1e6),
    "mobilenet_v2_0.35": Peer(204_692, 754 * KB, 46.0e6, None),
    V1: Peer(100_708, 456 * KB, 24.1e6, 31.0e6),
}


def judge(name: str, modes: dict[str, dict[str, int]]) -> Iterator[tuple[str, str, float, float]]:
    """Yield net, what, figure and mark."""
    whole, rows = modes["frame"], modes["rows"]
    figures = {
        "arena, whole input": whole["arena"],
        "arena, rows as they come": rows["arena"],
        "flash, model and engine": max(whole["flash"], rows["flash"]),
        "instructions": max(whole["instructions"], rows["instructions"]),
        "static RAM, whole input": whole["static_ram"],
        "static RAM, rows as they come": rows["static_ram"],
        "stack": max(whole["stack"], rows["stack"]),
    }
    for what, mark in MARKS.get(name, {}).items():
        yield name, what, figures[what], mark


def compare(found: dict[str, dict[str, dict[str, int]]]) -> list[tuple[str, ...]]:
    """Return one row per net: both modes, and TensorFlow Lite Micro with CMSIS-NN."""
    rows = []
    for name, modes in found.items():
        whole, streamed, peer = modes["frame"], modes["rows"], PEERS.get(name)
        most = max(whole["instructions"], streamed["instructions"]) / 1e6
        flash = max(whole["flash"], streamed["flash"])
        arduino = "does not allocate" if peer and not peer.arduino_instructions else "?"
        if peer and peer.arduino_instructions:
            arduino = f"{peer.arduino_instructions / 1e6:.2f}"
        rows.append(
            (
                name,
                f"{whole['arena']:,} / {streamed['arena']:,}",
                f"{peer.arena:,}" if peer else "?",
                f"{flash:,}",
                f"{peer.flash:,}" if peer else "?",
                f"{most:.2f}",
                f"{peer.instructions / 1e6:.2f} / {arduino}" if peer else "?",
                f"{whole['same'] + streamed['same']} of {whole['images'] + streamed['images']}",
            )
        )
    return rows


def main() -> None:
    """Measure, print, and write ``results/firmware.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    nets = [DEFAULT, "ds_cnn_s", "mobilenet_v2_0.1", V2, "mobilenet_v2_0.35", V1]
    parser.add_argument("--nets", nargs="+", choices=nets, default=nets)
    parser.add_argument("--work", type=Path, default=RESULTS / "firmware", help="for the programs")
    given = parser.parse_args()
    found = {}
    for name in given.nets:
        print(f"{name} ...", flush=True)
        command = [sys.executable, "-m", "firmware.tools.costs", name, str(given.work.resolve() / name)]
        said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        found[name] = json.loads(said.splitlines()[-1])
    show(found)
    shutil.rmtree(given.work)


def show(found: dict[str, dict[str, dict[str, int]]]) -> None:
    """Print both tables and write the result."""
    print("\nArduino's flags, emulated Cortex-M4; TFLM: TensorFlow Lite Micro + CMSIS-NN (-O2 / Arduino's library)\n")
    head = ("net", "arena B, whole / rows", "TFLM", "flash B", "TFLM", "M instr.", "TFLM", "reference's bits")
    print_table(head, compare(found))
    marks = [each for name, modes in found.items() for each in judge(name, modes)]
    print()
    rows: Sequence[Sequence[object]] = [
        (name, what, f"{figure:,}", f"{mark:,}", "met" if figure <= mark else "MISSED")
        for name, what, figure, mark in marks
    ]
    print_table(("net", "what", "measured", "at most", ""), rows, left=2)
    write_results(
        "firmware",
        {
            "nets": found,
            "peers": {name: asdict(peer) for name, peer in PEERS.items()},
            "marks": [
                {"net": name, "what": what, "measured": figure, "mark": mark} for name, what, figure, mark in marks
            ],
        },
    )


if __name__ == "__main__":
    main()
