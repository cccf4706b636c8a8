"""Shared by the benchmarks: one process per measurement, tables, and JSON with the state of the machine."""

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).resolve().parents[2] / "shared"
ROOT = Path(__file__).resolve().parents[1]


def peak_mb() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def load_average() -> float:
    """Return the load average of the last minute, which shows how much other work disturbed a figure."""
    return os.getloadavg()[0]


def children(script: str, *arguments: str, python: str = sys.executable) -> Any:  # noqa: ANN401 - what JSON holds
    """Run a script in its own process and return the JSON of its last line; after a failure, show its stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    run = subprocess.run([python, script, *arguments], env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} failed:\n{run.stderr}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def timed(command: Sequence[str], *, env: dict[str, str]) -> dict[str, float]:
    """Run a command and return its wall and CPU seconds (children included) and the load it ran under."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu": cpu, "load": load_average()}


def median_of(times: int, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Measure several times and return the median of each figure."""
    runs = [measure() for _ in range(times)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def set_aside(path: Path, into: Path) -> None:
    """Move a folder away until all measurements are done.

    Removing it would disturb them: ext4 does not reuse an inode that was freed in the last minutes, and skips thousands
    of them for each new file, which costs a whole build several seconds.
    """
    if path.exists():
        into.mkdir(parents=True, exist_ok=True)
        path.rename(into / f"{path.name}-{time.monotonic_ns()}")


def exponent(small: int, large: int, before: float, after: float) -> float:
    """Return the power of the size with which a cost grew between two sizes."""
    return math.log(max(after, 1e-3) / max(before, 1e-3)) / math.log(large / small)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> None:
    """Print rows below their head, the first columns left-aligned, the others right-aligned."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        parts = [
            cell.ljust(w) if at < left else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(parts).rstrip())


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write ``results/<name>.json`` with the state of the machine, and print its path."""
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": load_average(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine, **results}, indent=1))
    print(
        f"\nload average {machine['load_average']:.1f} on {machine['cores']} cores; "
        f"written to benchmarks/results/{path.name}\n"
    )
    return path
