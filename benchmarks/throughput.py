"""Compares fingerprinting with an imagehash loop, imagededup and CleanVision on the same folders.

A round runs each tool once, in its own process, over the same files; the medians of several rounds are reported.
Imports and the start of worker processes are not measured (curation's pool is started on one file first; imagededup
starts and ends its pool within each call). CPU seconds include the workers. The other tools are installed on first use,
in separate environments below ``results/envs``.

- ``drawn``: 600x450 JPEGs with lesions, hairs and texture.
- ``tiff``: the same, 256 px wide, as LZW-compressed RGB TIFFs. CleanVision does not read them.
- ``fullres``: full-size photographs, if the folder exists.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import RESULTS, SHARED, children, load_average, peak_mb, print_table, write_results

PEERS = {
    "imagededup": ["imagededup==0.3.3.post2", "torch==2.14.1", "torchvision==0.29.1"],
    "cleanvision": ["cleanvision==0.3.7"],
    "faiss": ["faiss-cpu==1.15.1"],
}
TOOLS = (
    "curation, 2 workers",
    "curation, 1 worker",
    "bare scaled decode",
    "imagehash loop",
    "imagededup, 2 workers",
    "imagededup, 1 worker",
    "CleanVision, duplicates",
    "CleanVision, all checks",
)


def find_python(tool: str) -> str | None:
    """Return the interpreter for a tool, after installing its environment if needed; None if that fails."""
    peer = tool.partition(",")[0].lower()
    if peer not in PEERS:
        return sys.executable
    python = RESULTS / "envs" / peer / "bin" / "python"
    mark = python.parent / "installed"
    if not mark.exists():
        print(f"installing {peer} into benchmarks/results/envs/{peer} (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        pip = [str(python), "-I", "-m", "pip", "install", "-q", "psutil"]
        # If the pinned dependencies do not exist for this machine, pip may choose others.
        if all(subprocess.run([*pip, *names], check=False).returncode for names in (PEERS[peer], PEERS[peer][:1])):
            print(f"{peer} cannot be installed on this machine; skipped")
            return None
        mark.touch()
    return str(python)


def make_drawn(count: int) -> Path:
    """Return a folder of synthetic 600x450 JPEGs, generated once."""
    from duplicates import draw_picture, encode

    return _make(f"drawn{count}", ".jpg", count, lambda rng: encode(draw_picture(rng)))


def make_tiffs(count: int) -> Path:
    """Return a folder of synthetic TIFFs, generated once."""
    import io

    from duplicates import draw_picture

    def encode_tiff(rng: "np.random.Generator") -> bytes:
        buffer = io.BytesIO()
        draw_picture(rng, (192, 256)).save(buffer, "TIFF", compression="tiff_lzw")
        return buffer.getvalue()

    return _make(f"tiff{count}", ".tif", count, encode_tiff)


def _make(name: str, suffix: str, count: int, draw: Callable[["np.random.Generator"], bytes]) -> Path:
    folder = RESULTS / "pictures" / name
    if not folder.is_dir():
        part = folder.with_name(f".{name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        rng = np.random.default_rng(1)
        for number in range(count):
            (part / f"{number:05}{suffix}").write_bytes(draw(rng))
        part.rename(folder)
    return folder


def make_fullres() -> Path | None:
    """Return the full-size photographs copied into one folder, None if they do not exist."""
    source = SHARED / "fullres"
    if not source.is_dir():
        return None
    folder = RESULTS / "pictures" / "fullres"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*.jpg")):
        copy = folder / f"{path.parent.name}-{path.name}"
        if copy.is_symlink() or not copy.exists():
            copy.unlink(missing_ok=True)
            shutil.copyfile(path, copy)
    return folder


def work(tool: str, folder: Path) -> dict[str, float]:
    """Run one tool over a folder in this process; return seconds, CPU seconds, peak MB and the number of files."""
    run = _prepare(tool, folder)
    before, start = _cpu(), time.perf_counter()
    count = run()
    seconds = time.perf_counter() - start
    peak = peak_mb() + (resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3 if "2 workers" in tool else 0)
    return {"seconds": seconds, "cpu": _cpu() - before, "peak_mb": peak, "files": count}


def _cpu() -> float:
    import psutil

    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + alive


def _prepare(tool: str, folder: Path) -> Callable[[], int]:
    """Import the tool, start its workers, and return a function that runs it."""
    files = sorted(folder.iterdir())
    if tool.startswith("curation"):
        return _prepare_curation(folder, workers=2 if "2" in tool else 1)
    if tool == "bare scaled decode":
        return lambda: _decode_all(files)
    if tool == "imagehash loop":
        import imagehash
        from PIL import Image

        return lambda: len([imagehash.phash(Image.open(path)) for path in files])
    if tool.startswith("imagededup"):
        from imagededup.methods import PHash

        hasher = PHash(verbose=False)
        return lambda: len(hasher.encode_images(str(folder), num_enc_workers=2 if "2" in tool else 0))
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder), verbose=False)
    issues = {"exact_duplicates": {}, "near_duplicates": {}} if "duplicates" in tool else None
    return lambda: lab.find_issues(issues, n_jobs=2, verbose=False) or len(lab.issues)


def _decode_all(files: list[Path]) -> int:
    """Decode each JPEG at the smallest DCT scale whose shorter side is at least 64 px, nothing else."""
    from PIL import Image

    for path in files:
        with Image.open(path) as picture:
            picture.draft("L", (64, 64))
            picture.load()
    return len(files)


def _prepare_curation(folder: Path, *, workers: int) -> Callable[[], int]:
    """Start the workers on one file each, so that their start and imports are not measured."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from curation.hashing import sha256_hex
    from curation.stages.probe import SHARD_FILES, ProbeSettings, ProbeShard, probe_shard
    from curation.storage.archives import list_members

    settings = ProbeSettings("scaled", "scale", "first", "phash")
    members = list_members(folder)
    shas = [sha256_hex((folder / member.path).read_bytes()) for member in members]
    size = min(SHARD_FILES, -(-len(members) // workers))
    cuts = range(0, len(members), size)
    shards = [ProbeShard(folder, members[at : at + size], tuple(shas[at : at + size]), settings) for at in cuts]
    probe_shard(ProbeShard(folder, members[:1], tuple(shas[:1]), settings))
    if workers == 1:
        return lambda: sum(probe_shard(shard)["failure"].count(None) for shard in shards)
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    warm = [ProbeShard(folder, members[:8], tuple(shas[:8]), settings)] * (4 * workers)
    list(pool.map(probe_shard, warm))
    return lambda: sum(found["failure"].count(None) for found in pool.map(probe_shard, shards))


def compare(name: str, folder: Path, tools: list[str], rounds: int) -> dict[str, object]:
    """Run the tools in turn, several rounds, and print their medians and the ratios to curation."""
    pythons = {tool: find_python(tool) for tool in tools}
    runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools if pythons[tool]}
    loads = [load_average()]
    for _ in range(rounds):
        for tool, done in runs.items():
            done.append(children(__file__, "--work", tool, "--folder", str(folder), python=str(pythons[tool])))
        loads.append(load_average())
    medians = {t: {k: statistics.median(run[k] for run in done) for k in done[0]} for t, done in runs.items()}
    ours = medians[tools[0]]
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    count = len(list(folder.iterdir()))
    print(
        f"\n{name}: {count} files, {size:.0f} MB, medians of {rounds}, "
        f"load average {min(loads):.1f} to {max(loads):.1f}"
    )
    print_table(
        ("tool", "images/s", "CPU s", "peak MB", "read", "curation is"),
        [
            (
                tool,
                f"{m['files'] / m['seconds']:,.0f}",
                f"{m['cpu']:.2f}",
                f"{m['peak_mb']:.0f}",
                int(m["files"]),
                f"{ours['files'] / ours['seconds'] / (m['files'] / m['seconds']):.2f} x" if m["files"] else "",
            )
            for tool, m in medians.items()
        ],
    )
    if "bare scaled decode" in medians:
        bare = medians["bare scaled decode"]["cpu"]
        ratio = medians["curation, 1 worker"]["cpu"] / bare
        print(f"CPU time compared with the scaled decode alone: {ratio:.2f} x (1 worker)")
    return {"name": name, "files": count, "rounds": rounds, "loads": loads, "runs": runs, "medians": medians}


def main() -> None:
    """Compare on every folder, print, and write ``results/throughput.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000, help="number of synthetic images")
    parser.add_argument("--folders", nargs="*", default=["drawn", "tiff", "fullres"])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        print(json.dumps(work(asked.work, asked.folder)))
        return
    results = []
    if "drawn" in asked.folders:
        quick = [tool for tool in TOOLS if tool != "CleanVision, all checks"]
        results.append(compare("synthetic 600x450 JPEGs", make_drawn(asked.count), quick, asked.rounds))
    if "tiff" in asked.folders:
        readers = [tool for tool in TOOLS if "Clean" not in tool and "bare" not in tool]
        results.append(compare("synthetic 256x192 TIFFs, LZW", make_tiffs(asked.count), readers, asked.rounds))
    if "fullres" in asked.folders and (folder := make_fullres()):
        results.append(compare("full-size photographs", folder, list(TOOLS), max(1, asked.rounds // 2)))
    write_results("throughput", {"folders": results})


if __name__ == "__main__":
    main()
