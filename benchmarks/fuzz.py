"""Fuzzes the firmware's protocol, base64 and application under sanitizers, some minutes in each mode."""

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import print_table, write_results

from firmware.tools.fuzz import build, run
from tests.firmware.test_fuzz import write_small


def main() -> int:
    """Fuzz both modes, and print and write the number of inputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=150, help="for each mode")
    given = parser.parse_args()
    tried = {}
    with tempfile.TemporaryDirectory() as folder:
        write_small(Path(folder, "generated"))
        for mode in ("rows", "frame"):
            build(Path(folder, "generated"), Path(folder, "fuzz"), rows=mode == "rows")
            tried[mode] = run(Path(folder, "fuzz"), seconds=given.seconds)
    print_table(("mode", "seconds", "inputs", "faults"), [(mode, given.seconds, n, 0) for mode, n in tried.items()])
    write_results("fuzz", {"seconds": given.seconds, "inputs": tried, "faults": 0})
    return 0


if __name__ == "__main__":
    sys.exit(main())
