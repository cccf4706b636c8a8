"""Runs all benchmarks one after the other, also after failures, and ends with a table of targets and figures.

``make bench`` runs the benchmarks of ``curation``: about twenty minutes on two cores, 45 at most, and once the
installation of the other tools (which includes PyTorch). ``make bench-all`` adds review, training and firmware, which
need their extras and more time. The figures of an earlier run are deleted first.
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
from summary import main as summarize

HERE = Path(__file__).parent
MINUTES = 45.0


@dataclass(frozen=True)
class Benchmark:
    """A script, its arguments, its limit in seconds, and the result it writes."""

    script: str
    arguments: tuple[str, ...] = ()
    seconds: float = 600.0
    writes: str = ""

    @property
    def result(self) -> Path:
        """The file of its figures."""
        return RESULTS / f"{self.writes or Path(self.script).stem}.json"


def list_benchmarks(*, everything: bool) -> list[Benchmark]:
    """Return the benchmarks; first those that a busy machine disturbs most."""
    mirror = ("--mirror", str(SHARED / "mirror")) if (SHARED / "mirror").is_dir() else ()
    benchmarks = [
        Benchmark("builds.py"),
        Benchmark("throughput.py", seconds=1200.0),  # installs the peers where they are missing
        Benchmark("growth.py"),
        Benchmark("growth.py", ("--symmetries",), writes="growth_symmetries"),
        Benchmark("growth_files.py", seconds=1500.0),
        Benchmark("search.py", mirror, seconds=900.0),
        Benchmark("splits.py"),
        Benchmark("peers.py"),
        Benchmark("duplicates.py", mirror),
        Benchmark("cluster.py", ("--count", "50000"), seconds=1500.0),
    ]
    if everything:
        more = (Benchmark(name, seconds=3600.0) for name in ("review.py", "firmware.py", "fuzz.py", "training.py"))
        benchmarks.append(
            Benchmark(
                "growth_files.py",
                ("--sizes", "100000", "--results", "growth_files_100000"),
                seconds=3600.0,
                writes="growth_files_100000",
            )
        )
        benchmarks += [benchmark for benchmark in more if (HERE / benchmark.script).exists()]
    return benchmarks


def run(benchmark: Benchmark, seconds: float) -> str | None:
    """Run a benchmark for at most ``seconds``, and return its failure, if any."""
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
        return f"ended with status {status}; see its output above"
    return None if benchmark.result.exists() else f"wrote no {benchmark.result.name}"


def run_all(benchmarks: Sequence[Benchmark], minutes: float) -> list[str]:
    """Run all benchmarks, also after failures, and return the failures by name."""
    end, failures = time.monotonic() + 60 * minutes, []
    for benchmark in benchmarks:
        name = " ".join((benchmark.script, *benchmark.arguments))
        left = end - time.monotonic()
        print(f"\n=== benchmarks/{name}", flush=True)
        start = time.monotonic()
        fault = (
            run(benchmark, min(benchmark.seconds, left)) if left > 0 else f"not started: {minutes:.0f} min had passed"
        )
        print(f"--- {time.monotonic() - start:.0f} s{f': {fault}' if fault else ''}", flush=True)
        if fault:
            failures.append(f"benchmarks/{name}: {fault}")
    return failures


def main() -> int:
    """Run, print all targets and failures, and return 1 if there are failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="also review, firmware and training")
    parser.add_argument("--minutes", type=float, default=None, help=f"limit for all benchmarks; default {MINUTES:.0f}")
    asked = parser.parse_args()
    benchmarks = list_benchmarks(everything=asked.all)
    limit = asked.minutes or MINUTES + sum(b.seconds for b in benchmarks if b.seconds > 1200) / 60
    failures = run_all(benchmarks, limit)
    print("\n=== all targets")
    summarize()
    for failure in failures:
        print(f"failed: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
