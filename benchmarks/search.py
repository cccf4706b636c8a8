"""Measures the all-pairs search: time and peak memory, uniform and clumped sets, one and eight orientations.

Each case runs in its own process, whose peak resident memory is reported. The sets:

- ``uniform``: random hashes, a tenth of them within the radius of another.
- ``copies``: hashes of real images, sampled with replacement, as in a set full of copies.
- ``scattered``: the same, each with 0 to 8 random bits flipped, so that they cluster around some 2,200 centers.
- ``skewed``: uniform, except for half of the hashes, which are within 4 bits of one another; in one orientation only,
  as eight orientations give 10^11 pairs at 10^6 hashes (``--skewed-turns`` runs them all the same).

Without ``--mirror DIR`` synthetic images replace the real ones; their hashes cluster in the same way. faiss'
``IndexBinaryFlat`` runs on uniform sets up to ``--faiss-up-to``, in its own environment below ``results/envs``.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measuring import RESULTS, load_average, write_results
from numpy.typing import NDArray


def load_centres(mirror: Path | None) -> NDArray[np.uint64]:
    """Return the eight hashes of the mirror's images, or of 2,000 synthetic ones; they are computed once and kept."""
    kept = RESULTS / f"search_centres_{'real' if mirror else 'drawn'}.npy"
    if not kept.exists():
        import duplicates

        from curation.hashing import symmetries

        RESULTS.mkdir(exist_ok=True)
        if mirror:
            thumbnails = duplicates.fingerprint(duplicates.read_mirror(mirror)[1], "scaled").thumbnails
        else:
            rng = np.random.default_rng(0)
            drawn = [duplicates.draw_picture(rng, (120, 160)) for _ in range(2000)]
            thumbnails = np.stack([np.asarray(picture.convert("L").resize((32, 32))) for picture in drawn])
        np.save(kept, symmetries(thumbnails))
    hashes: NDArray[np.uint64] = np.load(kept)
    return hashes


def flip_bits(hashes: NDArray[np.uint64], most: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Return the hashes, each row with 0 to ``most`` random bits flipped."""
    flips = rng.integers(0, most + 1, len(hashes))
    for number in range(most):
        bit = np.uint64(1) << rng.integers(0, 64, hashes.shape, dtype=np.uint64)
        bit[flips <= number] = 0
        hashes = hashes ^ bit
    return hashes


def make_set(kind: str, n: int, orientations: int, radius: int, mirror: Path | None) -> NDArray[np.uint64]:
    """Return (n,) or (n, 8) hashes of a kind, the same each time."""
    rng = np.random.default_rng(n)
    shape = (n, 8) if orientations == 8 else (n, 1)
    if kind in ("copies", "scattered"):
        hashes = load_centres(mirror)[rng.integers(0, len(load_centres(mirror)), n), : shape[1]]
        hashes = flip_bits(hashes, 8, rng) if kind == "scattered" else hashes
    else:
        hashes = rng.integers(0, 2**64, shape, dtype=np.uint64)
    if kind == "uniform":
        hashes[: n // 10] = flip_bits(hashes[rng.integers(n // 10, n, n // 10)], radius, rng)
    if kind == "skewed":
        hashes[: n // 2] = flip_bits(np.repeat(hashes[:1], n // 2, axis=0), 2, rng)
    return hashes if orientations == 8 else np.ascontiguousarray(hashes[:, 0])


def run_case(kind: str, n: int, orientations: int, radius: int, mirror: Path | None) -> dict[str, object]:
    """Search one set in this process."""
    from curation.hashing import oriented_pairs_within, pairs_within, plan_search

    hashes = make_set(kind, n, orientations, radius, mirror)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    stream = oriented_pairs_within(hashes, radius) if orientations == 8 else pairs_within(hashes, radius)
    pairs = sum(len(batch) for batch in stream)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = plan_search(hashes, radius)
    return {
        "pairs": pairs, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "peak_mb": peak // 1024,
        "set_mb": before // 1024, "method": report.method, "distinct": report.distinct,
        "candidates": report.candidates, "skew": round(report.skew, 1), "warning": report.warning,
    }  # fmt: skip


def run_faiss(kind: str, n: int, orientations: int, radius: int, mirror: Path | None) -> dict[str, object]:
    """Search one set (upright) with faiss' exact binary index."""
    import faiss

    hashes = make_set(kind, n, orientations, radius, mirror)
    # faiss does not collapse equal hashes, so it is given each once: then both must find the same number of pairs.
    hashes = np.unique(hashes)
    n = len(hashes)
    codes = hashes.view(np.uint8).reshape(n, 8)
    started = time.perf_counter()
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    pairs = 0
    for start in range(0, n, 4096):
        limits, _, found = index.range_search(codes[start : start + 4096], radius + 1)
        asking = np.repeat(np.arange(len(limits) - 1) + start, np.diff(limits).astype(np.int64))
        pairs += int((asking < found).sum())
    seconds = time.perf_counter() - started
    return {
        "pairs": pairs,
        "seconds": round(seconds, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def run_in_child(tool: str, case: tuple[str, int, int, int], mirror: Path | None, timeout: float) -> dict[str, object]:
    """Run one case in a process of its own and return what it measured."""
    if tool == "faiss":
        from throughput import find_python

        python = find_python("faiss")
        if python is None:
            return {"error": "cannot be installed on this machine"}
    else:
        python = sys.executable
    command = [
        python,
        __file__,
        "--case",
        tool,
        *map(str, case),
        *(["--mirror", str(mirror)] if mirror else []),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)
    except subprocess.TimeoutExpired:
        return {"error": f"over {timeout:.0f} s"}
    except subprocess.CalledProcessError as fault:
        return {"error": fault.stderr.strip().splitlines()[-1]}
    measured: dict[str, object] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Measure, print a table, and write ``results/search.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", type=Path, help="a folder with archives of real images")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--radii", type=int, nargs="*", default=[4, 6, 8])
    parser.add_argument("--orientations", type=int, nargs="*", default=[1, 8], choices=[1, 8])
    parser.add_argument("--sets", nargs="*", default=["uniform", "copies", "scattered", "skewed"])
    parser.add_argument("--skewed-turns", action="store_true", help="search skewed sets in eight orientations too")
    parser.add_argument("--repeats", type=int, default=1, help="the run of the median time counts")
    parser.add_argument("--timeout", type=float, default=250.0, help="seconds for one case")
    parser.add_argument("--faiss-up-to", type=int, default=100_000)
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        tool, kind, *numbers = asked.case
        run = run_faiss if tool == "faiss" else run_case
        print(json.dumps(run(kind, *map(int, numbers), asked.mirror)))
        return
    load_centres(asked.mirror)
    results = []
    print("set           hashes turns radius  seconds   CPU s    MB        pairs    skew  tool, method")
    cases = [
        (kind, size, turns, radius)
        for kind in asked.sets
        for size in asked.sizes
        for turns in asked.orientations
        for radius in asked.radii
        if kind != "skewed" or turns == 1 or asked.skewed_turns
    ]
    for case in cases:
        for tool in ("curation", "faiss"):
            if tool == "faiss" and (case[1] > asked.faiss_up_to or case[2] == 8 or case[0] != "uniform"):
                continue
            runs = [run_in_child(tool, case, asked.mirror, asked.timeout) for _ in range(asked.repeats)]
            runs.sort(key=lambda run: run.get("seconds", float("inf")))
            row = (
                dict(zip(("set", "n", "orientations", "radius"), case, strict=True))
                | {"tool": tool, "load": load_average()}
                | runs[len(runs) // 2]
            )
            results.append(row)
            if "error" in row:
                print(f"{case[0]:10} {case[1]:9,} {case[2]:5} {case[3]:6}  {tool}: {row['error']}", flush=True)
                continue
            print(
                f"{case[0]:10} {case[1]:9,} {case[2]:5} {case[3]:6} {row['seconds']:8.2f} "
                f"{row.get('cpu_seconds', 0):7.2f} {row['peak_mb']:5} {row['pairs']:12,} {row.get('skew', ''):>7}  "
                f"{tool} {row.get('method', '')}",
                flush=True,
            )
    write_results("search", {"cases": results})


if __name__ == "__main__":
    main()
