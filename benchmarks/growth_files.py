"""Measures how the time and memory of a whole build grow with its images: real files, audit and page included.

The images are synthetic 160x160 JPEGs in one zip, of two classes; one in 25 is a re-encoded copy of another one, one in
100 a copy of its bytes. Each size is built three times, each in its own process: with an empty cache, with nothing
changed, and with one image changed. Then the commands that read a version run on it.

``seconds`` is wall-clock time; ``cpu`` is that of all processes together. ``peak_mb`` is the largest sum of the memory
of all processes (proportional set size, sampled every quarter of a second). The parts of a step are the tasks that it
shows on the screen. ``--code DIR`` measures another checkout, ``--archives DIR`` keeps the drawn archives for later
runs.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from measuring import ROOT, exponent, load_average, print_table, write_results

SIZES = (2_000, 4_000, 20_000)
SIDE = 160
CHUNK = 500
SAMPLED_EVERY_S = 0.25
PAGES = (150, 300, 600)
SHOWN_FROM_S = 0.5
"""Parts of a step that take less at every size are not listed."""
NAME = "grown"
RECIPE = """
[[sources]]
name = "src"
kind = "folder"
path = "{archive}"
pattern = '(?P<label>[^/]+)/'
[labels.classes]
a = ["a"]
b = ["b"]
[render]
encode = "uniform"
short_side = 128
[selection.ratios]
train = 0.8
val = 0.1
test = 0.1
"""


@dataclass
class Spans:
    """A listener that stores when each step ended, and when each task that it shows began and ended."""

    steps: list[tuple[str, float, float]] = field(default_factory=list)
    parts: list[tuple[str, float, float]] = field(default_factory=list)
    running: dict[int, tuple[str, float]] = field(default_factory=dict)

    @property
    def progress(self) -> "Spans":
        """Return the listener itself: it receives the progress too."""
        return self

    def start(self, description: str, total_bytes: int | None) -> int:
        """Store when a task begins."""
        number = len(self.running)
        self.running[number] = (description, time.monotonic())
        return number

    def advance(self, task: int, size_bytes: int) -> None:
        """Ignore it."""

    def finish(self, task: int) -> None:
        """Store when a task ends."""
        description, began = self.running[task]
        self.parts.append((description, began, time.monotonic()))

    def stage(self, line: Any) -> None:  # noqa: ANN401 - a StageLine of the measured checkout
        """Store when a step ends."""
        now = time.monotonic()
        self.steps.append((line.step, now - line.seconds, now))

    def note(self, sentence: str) -> None:
        """Ignore it."""


def draw_chunk(first: int, last: int) -> list[bytes]:
    """Return the JPEGs of these numbers; copies have the number before theirs as their original."""
    import numpy as np
    from duplicates import draw_picture, encode, twin

    def original(number: int) -> bytes:
        return encode(draw_picture(np.random.default_rng((1, number)), (SIDE, SIDE)))

    contents = []
    for number in range(first, last):
        if number % 100 == 51:
            contents.append(original(number - 2))
        elif number % 25 == 7:
            contents.append(twin(original(number - 2), "quality 60"))
        else:
            contents.append(original(number))
    return contents


def make_archive(folder: Path, count: int) -> Path:
    """Return the zip of ``count`` images; it is drawn where it is missing."""
    archive = folder / f"{NAME}-{count}.zip"
    if archive.exists():
        return archive
    temporary = archive.with_suffix(".part")
    starts = range(0, count, CHUNK)
    with ProcessPoolExecutor() as pool, zipfile.ZipFile(temporary, "w") as opened:
        ends = [min(count, start + CHUNK) for start in starts]
        for start, contents in zip(starts, pool.map(draw_chunk, starts, ends), strict=True):
            for number, content in enumerate(contents, start):
                opened.writestr(f"{'ab'[number % 2]}/{number:08}.jpg", content)
    return temporary.rename(archive)


def change_one(archive: Path) -> None:
    """Replace one image of the archive, and copy all others into the new one."""
    from PIL import Image

    changed = archive.with_suffix(".part")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(changed, "w") as new:
        for place, info in enumerate(old.infolist()):
            content = old.read(info)
            if place == 20:
                buffer = io.BytesIO()
                with Image.open(io.BytesIO(content)) as image:
                    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda v: v // 2).save(buffer, "JPEG")
                content = buffer.getvalue()
            new.writestr(info.filename, content)
    changed.replace(archive)


def watch(process: "subprocess.Popen[str]", ended: threading.Event) -> Iterator[tuple[float, float, float]]:
    """Yield time, memory in MB and CPU seconds of a process and all it started, until it has ended."""
    import psutil

    tree = psutil.Process(process.pid)
    while not ended.wait(SAMPLED_EVERY_S):
        size, cpu = 0, 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in (tree, *tree.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    memory = each.memory_full_info()
                    size += getattr(memory, "pss", memory.uss)
                    cpu += sum(each.cpu_times()[:4])  # user, system, and those of its ended children
        yield time.monotonic(), size / 1e6, cpu


def used_by_children() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command: Sequence[str], code: Path, place: Path) -> dict[str, Any]:
    """Run a command of a checkout, and return its figures, its output and the samples of its memory and CPU time."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(code), str(Path(__file__).parent))),
        "CURATION_CACHE": str(place / "cache"),
        "CURATION_DATASETS": str(place / "datasets"),
    }
    before, start, ended = used_by_children(), time.monotonic(), threading.Event()
    process = subprocess.Popen(
        command, env=env, cwd=code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=-1
    )
    samples: list[tuple[float, float, float]] = []
    watcher = threading.Thread(target=lambda: samples.extend(watch(process, ended)))
    watcher.start()
    try:
        out, err = process.communicate()
    finally:
        seconds = time.monotonic() - start
        ended.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{out[-2000:]}{err[-4000:]}")
    return {
        "seconds": seconds,
        "cpu": used_by_children() - before,
        "peak_mb": max((size for _, size, _ in samples), default=0.0),
        "load": load_average(),
        "out": out,
        "samples": samples,
    }


def cost(began: float, ended: float, samples: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Return seconds, CPU seconds and peak memory between two moments."""
    import numpy as np

    times, sizes, cpu = (np.array(column) for column in zip(*samples, strict=True))
    inside = (times >= began - SAMPLED_EVERY_S) & (times <= ended + SAMPLED_EVERY_S)
    used = np.interp([began, ended], times, np.maximum.accumulate(cpu))
    return {
        "seconds": ended - began,
        "cpu": float(used[1] - used[0]),
        "peak_mb": float(sizes[inside].max()) if inside.any() else 0.0,
    }


def build_once(workers: int) -> dict[str, Any]:
    """Build in this process, and return when each step and each of its parts began and ended."""
    from curation.engines import Local
    from curation.pipeline import Options, build
    from curation.storage.cache import Cache
    from curation.versions import Home

    spans = Spans()
    home, cache = Home(Path(os.environ["CURATION_DATASETS"])), Cache(Path(os.environ["CURATION_CACHE"]))
    built = build(NAME, Options(home=home, cache=cache, engine=Local(workers), listener=spans))
    folder = built.folder
    return {
        "steps": spans.steps,
        "parts": spans.parts,
        "rows": len(built.manifest),
        "kept": built.manifest.kept.height,
        "digest": built.line.digest if built.line else None,
        "page_mb": (folder / "report.html").stat().st_size / 1e6 if folder else None,
    }


def without_samples(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a run without its output."""
    return {name: value for name, value in figures.items() if name not in ("out", "samples")}


def measure(count: int, code: Path, archives: Path, workers: int, *, commands: bool) -> dict[str, Any]:
    """Return the figures of one size."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        archive = Path(shutil.copy(make_archive(archives, count), place / "set.zip"))
        dataset = place / "datasets" / NAME
        dataset.mkdir(parents=True)
        (dataset / "recipe.toml").write_text(RECIPE.format(archive=archive))
        cold = run([sys.executable, __file__, "--build", "--workers", str(workers)], code, place)
        found = json.loads(cold["out"].strip().splitlines()[-1])
        parts: dict[str, list[float]] = {}
        for name, began, ended in found["parts"]:
            parts.setdefault(name, []).extend((began, ended))
        figures: dict[str, Any] = {
            "images": count,
            **{name: found[name] for name in ("rows", "kept", "digest", "page_mb")},
            "steps": {name: cost(began, ended, cold["samples"]) for name, began, ended in found["steps"]},
            "parts": {name: cost(min(when), max(when), cold["samples"]) for name, when in parts.items()},
            "runs": {"cold": without_samples(cold)},
        }
        command = [sys.executable, "-m", "curation"]
        build = [*command, "build", NAME, "-q", "--workers", str(workers)]
        again: dict[str, Callable[[], object]] = {"nothing changed": lambda: None}
        again["one image changed"] = lambda: change_one(archive)
        for what, prepare in again.items():
            prepare()
            figures["runs"][what] = without_samples(run(build, code, place))
        reads = {
            "list": ["list"],
            "show": ["show", NAME],
            "explain": ["explain", NAME, "00000020.jpg"],
            "diff": ["diff", f"{NAME}@v1", f"{NAME}@v2"],
            "verify": ["verify", f"{NAME}@v1"],
            "export": ["export", NAME, str(place / "exported"), "--to", "imagefolder"],
        }
        for what, arguments in reads.items() if commands else ():
            figures["runs"][what] = without_samples(run([*command, *arguments], code, place))
        return figures


def measure_pages(code: Path) -> dict[int, float]:
    """Return the seconds of a probe, by the number of pages of the one TIFF that it reads (``pages = "each"``)."""
    import numpy as np
    import tifffile

    seconds = {}
    for count in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            dataset = place / "datasets" / NAME
            dataset.mkdir(parents=True)
            stack = np.random.default_rng(count).integers(0, 256, (count, 32, 32), np.uint8)
            for label in "ab":
                (place / label).mkdir()
                tifffile.imwrite(place / label / "stack.tif", stack[label == "b" :], photometric="minisblack")
            (dataset / "recipe.toml").write_text(RECIPE.format(archive=place) + '[decode]\npages = "each"\n')
            command = [sys.executable, "-m", "curation", "build", NAME, "--until", "probe", "-q", "--workers", "1"]
            seconds[2 * count - 1] = run(command, code, place)["seconds"]
    return seconds


def list_costs(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the costs of one size by name: steps, their parts, and whole processes."""
    parts = {f"  part: {name}": each for name, each in figures["parts"].items()}
    runs = {f"whole process: {name}": each for name, each in figures["runs"].items()}
    return {**figures["steps"], **parts, **runs}


def print_figures(found: Sequence[dict[str, Any]]) -> None:
    """Print seconds, CPU seconds and memory by size, and the exponents from each size to the next."""
    costs = [list_costs(figures) for figures in found]
    names = list(dict.fromkeys(name for each in costs for name in each))
    head = ["step"]
    for figures in found:
        head += [f"{figures['images']:,}: s", "CPU s", "MB"]
    head += [f"exponent {small['images']:,} to {large['images']:,}" for small, large in pairwise(found)]
    rows = []
    for name in names:
        if name.startswith(" ") and all(each.get(name, {}).get("seconds", 0) < SHOWN_FROM_S for each in costs):
            continue
        row = [name]
        for each in costs:
            one = each.get(name)
            row += [f"{one['seconds']:.2f}", f"{one['cpu']:.2f}", f"{one['peak_mb']:.0f}"] if one else ["", "", ""]
        for small, large in pairwise(range(len(found))):
            pair = costs[small].get(name), costs[large].get(name)
            sizes = found[small]["images"], found[large]["images"]
            row.append(
                " / ".join(f"{exponent(*sizes, pair[0][unit], pair[1][unit]):.2f}" for unit in ("seconds", "cpu"))
                if pair[0] and pair[1]
                else ""
            )
        rows.append(row)
    print("\nexponents: of seconds / of CPU seconds")
    print_table(head, rows)
    for figures in found:
        print(
            f"{figures['images']:,}: {figures['kept']:,} kept of {figures['rows']:,}; page {figures['page_mb']:.2f} MB"
        )


def main() -> None:
    """Measure, print, and write ``results/growth_files.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--code", type=Path, default=ROOT, help="the checkout to measure; default this one")
    parser.add_argument("--archives", type=Path, help="keep the drawn archives here")
    parser.add_argument("--no-commands", action="store_true", help="only the builds")
    parser.add_argument("--results", default="growth_files", help="the name of the JSON in benchmarks/results")
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.build:
        print(json.dumps(build_once(asked.workers)))
        return
    with contextlib.ExitStack() as stack:
        archives = asked.archives or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        archives.mkdir(parents=True, exist_ok=True)
        found = []
        for count in asked.sizes:
            code = asked.code.resolve()
            found.append(measure(count, code, archives, asked.workers, commands=not asked.no_commands))
            print(f"{count:,} images: {found[-1]['runs']['cold']['seconds']:.1f} s", flush=True)
    print_figures(found)
    pages = measure_pages(asked.code.resolve())
    print("\npages of two TIFFs, each a row, whole process until probe")
    print_table(("pages", "seconds"), [(count, f"{seconds:.2f}") for count, seconds in pages.items()])
    write_results(asked.results, {"code": str(asked.code), "workers": asked.workers, "sizes": found, "pages": pages})


if __name__ == "__main__":
    main()
