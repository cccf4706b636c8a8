"""Runs the benchmarks one after the other, whatever becomes of each, and ends with every mark beside what was measured.

``make bench`` runs those of the data set's side: some twenty minutes on two cores, three quarters of an hour at most,
and the peers' installation once (PyTorch among it). ``make bench-all`` adds those of review, training and firmware,
which need their extras and more time. Figures of an earlier run are put aside first, so that none is taken for today's.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import RESULTS, ROOT, SHARED
from summary import main as summarise

HERE = Path(__file__).parent
MINUTES = 45.0


@dataclass(frozen=True)
class Benchmark:
    """A script, what it is told, the seconds it may take, and the result it writes."""

    script: str
    arguments: tuple[str, ...] = ()
    seconds: float = 600.0
    writes: str = ""

    @property
    def result(self) -> Path:
        """Where its figures go."""
        return RESULTS / f"{self.writes or Path(self.script).stem}.json"


def list_benchmarks(*, everything: bool) -> list[Benchmark]:
    """Return what is run, those first that a busy machine disturbs most."""
    mirror = ("--mirror", str(SHARED / "mirror")) if (SHARED / "mirror").is_dir() else ()
    benchmarks = [
        Benchmark("builds.py"),
        Benchmark("throughput.py", seconds=1200.0),  # installs the peers where they are missing
        Benchmark("growth.py"),
        Benchmark("growth.py", ("--symmetries",), writes="growth_symmetries"),
        Benchmark("search.py", mirror, seconds=900.0),
        Benchmark("peers.py"),
        Benchmark("duplicates.py", mirror),
        Benchmark("cluster.py", ("--count", "50000"), seconds=1500.0),
    ]
    if everything:
        more = (Benchmark(name, seconds=3600.0) for name in ("review.py", "firmware.py", "training.py"))
        benchmarks += [benchmark for benchmark in more if (HERE / benchmark.script).exists()]
    return benchmarks


def run(benchmark: Benchmark, seconds: float) -> str | None:
    """Run a benchmark for so many seconds at most, and return what went wrong."""
    benchmark.result.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / benchmark.script), *benchmark.arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)
    try:
        status = process.wait(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)  # its own children too
            process.wait()
    if status:
        return f"ended with status {status}; what it said stands above"
    return None if benchmark.result.exists() else f"wrote no {benchmark.result.name}"


def run_all(benchmarks: Sequence[Benchmark], minutes: float) -> list[str]:
    """Run all of them, one failure hindering none of the others, and return the failures by name."""
    end, failures = time.monotonic() + 60 * minutes, []
    for benchmark in benchmarks:
        name = " ".join((benchmark.script, *benchmark.arguments))
        left = end - time.monotonic()
        print(f"\n=== benchmarks/{name}", flush=True)
        start = time.monotonic()
        fault = run(benchmark, min(benchmark.seconds, left)) if left > 0 else f"not begun: {minutes:.0f} min were over"
        print(f"--- {time.monotonic() - start:.0f} s{f': {fault}' if fault else ''}", flush=True)
        if fault:
            failures.append(f"benchmarks/{name}: {fault}")
    return failures


def main() -> int:
    """Run, print every mark, name the failures, and return 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="review, firmware and training too")
    parser.add_argument("--minutes", type=float, default=None, help=f"for all of them; default {MINUTES:.0f}")
    asked = parser.parse_args()
    benchmarks = list_benchmarks(everything=asked.all)
    limit = asked.minutes or MINUTES + sum(b.seconds for b in benchmarks if b.seconds > 1200) / 60
    failures = run_all(benchmarks, limit)
    print("\n=== every mark")
    summarise()
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
