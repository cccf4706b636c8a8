"""Prints all targets and the figures of the last run of each benchmark.

It reads ``results/*.json`` and measures nothing. For a missing figure it prints the script that measures it.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from measuring import RESULTS, exponent, print_table

Figures = Any  # what JSON holds


@dataclass(frozen=True)
class Mark:
    """One figure: its name, the measured value, and whether it meets its target."""

    what: str
    measured: str
    mark: str
    met: bool


def at_most(what: str, value: float, limit: float, unit: str = "s", digits: int = 2) -> Mark:
    """Return a target with an upper limit."""
    return Mark(what, f"{value:,.{digits}f} {unit}", f"at most {limit:,g} {unit}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str = "x", digits: int = 2) -> Mark:
    """Return a target with a lower limit."""
    return Mark(what, f"{value:,.{digits}f} {unit}", f"at least {limit:,g} {unit}", value >= limit)


def judge_throughput(figures: Figures) -> Iterator[Mark]:
    """Judge the speed against the peers, on drawn 600x450 JPEGs and on TIFFs."""
    medians = figures["folders"][0]["medians"]
    rate = {tool: each["files"] / each["seconds"] for tool, each in medians.items()}
    ours = rate["curation, 2 workers"]
    if "imagededup, 2 workers" in rate:
        yield at_least("600x450 JPEGs over imagededup, 2 workers", ours / rate["imagededup, 2 workers"], 3)
    yield at_least("600x450 JPEGs over imagehash's loop", ours / rate["imagehash loop"], 4)
    cpu = {tool: each["cpu"] for tool, each in medians.items()}
    yield at_most("CPU over the bare scaled decode", cpu["curation, 1 worker"] / cpu["bare scaled decode"], 1.5, "x")
    for folder in figures["folders"]:
        if "TIFF" in folder["name"]:
            rate = {tool: each["files"] / each["seconds"] for tool, each in folder["medians"].items()}
            best = max(theirs for tool, theirs in rate.items() if not tool.startswith("curation"))
            yield at_least("256x192 LZW TIFFs over the fastest peer", rate["curation, 2 workers"] / best, 1)


def judge_planted(figures: Figures) -> Iterator[Mark]:
    """Judge precision and recall on the planted set."""
    ours = next(each for each in figures["tools"] if each["tool"] == "curation")
    yield at_least("planted pairs, recall", ours["recall"], 0.99, "", 3)
    yield at_least("planted pairs, precision", ours["precision"], 1.0, "", 3)


def judge_real(figures: Figures) -> Iterator[Mark]:
    """Judge the byte-equal pairs of the real set, at the recipe's defaults."""
    for each in figures.get("mirror", [])[:1]:
        row = next(row for row in each["rows"] if (row["radius"], row["correlation"]) == (8, 0.98))
        found, there = row["equal"], each["byte_equal"]
        yield Mark("real set, byte-equal pairs found", f"{found} of {there}", "all 157", found == there == 157)
        yield Mark(
            "real set, other pairs confirmed", f"{row['others']}", "the same images (inspected: 4)", row["others"] <= 4
        )


def judge_search(figures: Figures) -> Iterator[Mark]:
    """Judge a million hashes: clustered ones may take four times as long, eight orientations eight times."""
    limits = {4: 1.0, 8: 5.0}
    named = {"uniform": 1, "copies": 4, "scattered": 4, "skewed": 4}
    for row in figures["cases"]:
        if row["tool"] != "curation" or row["n"] != 1_000_000 or row["radius"] not in limits:
            continue
        times = named[row["set"]] * row["orientations"]
        what = f"10^6 {row['set']} hashes, radius {row['radius']}" + (", 8 orientations" * (row["orientations"] == 8))
        limit = limits[row["radius"]] * times
        if "error" in row:
            yield Mark(what, row["error"], f"at most {limit:g} s", met=False)
            continue
        yield at_most(what, row["seconds"], limit)
        if row["orientations"] == 1 and row["radius"] == 8:
            yield at_most(f"{what}, memory", row["peak_mb"], 250 * times, "MB", 0)


def judge_faiss(figures: Figures) -> Iterator[Mark]:
    """Judge the pairs that were found, where faiss' exact index searched the same hashes."""
    ours = {
        (row["set"], row["n"], row["orientations"], row["radius"]): row.get("pairs")
        for row in figures["cases"]
        if row["tool"] == "curation"
    }
    theirs = [row for row in figures["cases"] if row["tool"] == "faiss" and "pairs" in row]
    same = sum(ours.get((row["set"], row["n"], row["orientations"], row["radius"])) == row["pairs"] for row in theirs)
    if theirs:
        yield Mark("searches with faiss' number of pairs", f"{same} of {len(theirs)}", "all", same == len(theirs))


def judge_growth(figures: Figures) -> Iterator[Mark]:
    """Judge the pure stages on a million rows, and their growth."""
    by_rows = {each["rows"]: each for each in figures["sizes"]}
    million = by_rows.get(1_000_000)
    if million is None:
        return
    yield at_most("label to select, 10^6 rows", million["total"], 20)
    yield at_most("label to select, 10^6 rows, memory", million["peak_mb"], 2000, "MB", 0)
    if before := by_rows.get(100_000):
        exponent = math.log10(million["total"] / before["total"])
        yield at_most("its growth from 10^5 to 10^6, exponent of time", exponent, 1.1, "")


def judge_growth_files(figures: Figures) -> Iterator[Mark]:
    """Judge whole builds of real files: the description against reading and writing, and the growth of each step."""
    sizes = list(figures["sizes"])
    large = RESULTS / "growth_files_100000.json"
    if large.exists():
        sizes += json.loads(large.read_text())["sizes"]
    for each in sizes:
        count, steps, runs = each["images"], each["steps"], each["runs"]
        share = steps["describe"]["seconds"] / (steps["probe"]["seconds"] + steps["render"]["seconds"])
        yield at_most(f"{count:,} files: describe over probe and render", share, 1, "x")
        yield at_most(f"{count:,} files: report.html", each["page_mb"], 3, "MB", 1)
        if count == 20_000:
            yield at_most("20,000 files, cold", runs["cold"]["seconds"], 100, digits=1)
            yield at_most("20,000 files, one image changed", runs["one image changed"]["seconds"], 6)
            yield at_most("20,000 files, nothing changed", runs["nothing changed"]["seconds"], 1.5)
        if count == 100_000:
            yield at_most("100,000 files, memory of all processes", runs["cold"]["peak_mb"], 2000, "MB", 0)
            for what in ("list", "show", "explain"):
                yield at_most(f"100,000 files: {what}", runs[what]["seconds"], 1)
    for small, big in pairwise(each for each in sizes if each["images"] >= 4_000):
        counts = small["images"], big["images"]
        powers = {
            step: exponent(*counts, small["steps"][step]["seconds"], after["seconds"])
            for step, after in big["steps"].items()
            if after["seconds"] >= 1
        }
        if powers:
            worst = max(powers, key=powers.__getitem__)
            yield at_most(f"growth from {counts[0]:,} to {counts[1]:,} files, {worst}", powers[worst], 1.1, "")


def judge_builds(figures: Figures) -> Iterator[Mark]:
    """Judge builds in which little or nothing changed, each a whole process."""
    for what, limit in (("melanoma, nothing changed", 1.0), ("melanoma, one image changed", 1.3)):
        yield at_most(f"build of {what}", figures["medians"][what]["seconds"], limit)


def judge_cluster(figures: Figures) -> Iterator[Mark]:
    """Judge the cluster against one machine."""
    medians = figures["medians"]
    for engine in ("ray, 3 nodes", "ray, one killed half-way"):
        ratio = medians[engine]["seconds"] / medians["local, 2 workers"]["seconds"]
        yield at_most(f"{engine}, {figures['count']:,} images, x local", ratio, 1.5, "x")
    outcome = "equal" if figures["same"] else "different"
    yield Mark("engines, version and manifest", outcome, "equal", figures["same"])


def judge_training(figures: Figures) -> Iterator[Mark]:
    """Judge nets on the real set: accuracy in folds, quantization, time, memory, reproducibility."""
    for what, measured, mark, met in figures["rows"]:
        if met is not None:
            yield Mark(what, measured, mark, met)


def judge_review(figures: Figures) -> Iterator[Mark]:
    """Judge the App: the time until it is ready, and until a hundred decisions are written and shown."""
    for what, limit in figures["marks"].items():
        yield at_most(f"review of {figures['files']:,} files: {what}", figures["medians"][what]["seconds"], limit)


def judge_firmware(figures: Figures) -> Iterator[Mark]:
    """Judge the cost of the board's nets, and that their outputs equal the reference."""
    for each in figures["marks"]:
        what = f"{each['net']}: {each['what']}"
        if each["what"] == "instructions":
            yield at_most(what, each["measured"] / 1e6, each["mark"] / 1e6, "M")
        else:
            yield at_most(what, each["measured"], each["mark"], "B", 0)
    modes = [mode for net in figures["nets"].values() for mode in net.values()]
    same, shown = sum(mode["same"] for mode in modes), sum(mode["images"] for mode in modes)
    yield Mark(f"{len(figures['nets'])} nets, bit-exact outputs", f"{same} of {shown}", "all", same == shown)


JUDGES: Sequence[tuple[str, str, Callable[[Figures], Iterator[Mark]]]] = (
    ("throughput", "throughput.py", judge_throughput),
    ("peers", "peers.py", judge_planted),
    ("duplicates", "duplicates.py --mirror DIR", judge_real),
    ("search", "search.py", judge_search),
    ("search", "search.py", judge_faiss),
    ("growth", "growth.py", judge_growth),
    ("growth_files", "growth_files.py", judge_growth_files),
    ("builds", "builds.py", judge_builds),
    ("cluster", "cluster.py --count 50000", judge_cluster),
    ("training", "training.py", judge_training),
    ("firmware", "firmware.py", judge_firmware),
    ("review", "review.py", judge_review),
)


def main() -> None:
    """Print the table, and write ``results/summary.json``."""
    rows: list[tuple[str, ...]] = []
    marks: list[dict[str, object]] = []
    for name, script, judge in JUDGES:
        path = RESULTS / f"{name}.json"
        figures = json.loads(path.read_text()) if path.exists() else None
        found = [] if figures is None else list(judge(figures))
        load = figures.get("machine", {}).get("load_average") if isinstance(figures, dict) else None
        rows += [
            (
                each.what,
                each.measured,
                each.mark,
                "met" if each.met else "MISSED",
                "" if load is None else f"{load:.1f}",
            )
            for each in found
        ] or [(f"({name})", "not measured", f"benchmarks/{script}", "", "")]
        marks += [{**asdict(each), "from": name, "load": load} for each in found]
    print_table(("what", "measured", "target", "", "load"), rows)
    met = sum(bool(each["met"]) for each in marks)
    print(
        f"\n{met} of {len(marks)} targets met; seconds are wall-clock time, which other work on the machine increases"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "summary.json").write_text(json.dumps(marks, indent=1))


if __name__ == "__main__":
    main()
