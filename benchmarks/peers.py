"""Compares precision and recall with other tools at their defaults, and measures how a scaled decode changes hashes.

The set is that of ``duplicates.py``: 340 images and 160 near duplicates of them (copies, other metadata, quality 60,
half size, brighter, darker, a crop of 2 %, seven other orientations). A pair is correct if one image was made from the
other. curation runs its own probe and dedup with the recipe's defaults. The second part counts the bits in which the
hash of a scaled decode differs from that of a full one, on full-size photographs (if they exist) and on synthetic
images.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
from measuring import RESULTS, children, print_table, write_results
from throughput import find_python, make_drawn, make_fullres

TOOLS = ("curation", "imagehash loop, radius 10", "imagededup pHash, radius 10", "CleanVision")


def write_planted(seed: int) -> tuple[Path, dict[tuple[str, str], str]]:
    """Write the synthetic set and return its folder and the kind of each true pair."""
    from duplicates import plant

    folder = RESULTS / "pictures" / f"planted{seed}"
    planted = plant(seed)
    if not folder.is_dir():
        part = folder.with_name(f".planted{seed}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for number, picture in enumerate(planted):
            (part / f"{number:04}.jpg").write_bytes(picture.content)
        part.rename(folder)
    pairs = {(f"{p.original:04}.jpg", f"{n:04}.jpg"): p.kind for n, p in enumerate(planted) if p.original is not None}
    return folder, pairs


def find_pairs(tool: str, folder: Path) -> list[tuple[str, str]]:
    """Return the pairs of file names that a tool calls duplicates, smaller first."""
    files = sorted(path.name for path in folder.iterdir())
    if tool == "curation":
        return _ours(folder)
    if tool.startswith("imagehash"):
        import imagehash
        from PIL import Image

        hashes = [imagehash.phash(Image.open(folder / name)) for name in files]
        near = combinations(range(len(files)), 2)
        return [(files[i], files[j]) for i, j in near if hashes[i] - hashes[j] <= 10]
    if tool.startswith("imagededup"):
        from imagededup.methods import PHash

        found = PHash(verbose=False).find_duplicates(str(folder), max_distance_threshold=10)
        return sorted({tuple(sorted((name, other))) for name, others in found.items() for other in others})
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder), verbose=False)
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [group for kind in ("exact_duplicates", "near_duplicates") for group in lab.info[kind]["sets"]]
    return sorted({tuple(sorted((Path(a).name, Path(b).name))) for group in sets for a, b in combinations(group, 2)})


def _ours(folder: Path) -> list[tuple[str, str]]:
    """Return the duplicates that a build confirms with the recipe's defaults."""
    import tempfile

    from curation.engines import Local
    from curation.pipeline import Options, build
    from curation.storage.cache import Cache
    from curation.versions import Home

    with tempfile.TemporaryDirectory() as place:
        dataset = Path(place) / "datasets" / "planted"
        dataset.mkdir(parents=True)
        (dataset / "recipe.toml").write_text(
            f"[[sources]]\nname = 'src'\nkind = 'folder'\npath = {json.dumps(str(folder))}\nlabel = 'a'\n"
            "[labels.classes]\na = ['a']\n[selection.counts]\ntrain = 1\n"
        )
        options = Options(home=Home(Path(place) / "datasets"), cache=Cache(Path(place) / "cache"), engine=Local(1))
        rows = build("planted", options, until="dedup").manifest.rows
    near = rows.select("path", "lookalikes").explode("lookalikes").drop_nulls().unnest("lookalikes")
    pairs = {tuple(sorted((path, other.partition("/")[2]))) for path, other in near.select("path", "id").iter_rows()}
    return sorted(pairs)


def compare(seeds: list[int]) -> list[dict[str, object]]:
    """Print and return precision and recall of every tool, summed over the seeds."""
    results: list[dict[str, object]] = []
    for tool in TOOLS:
        python = find_python(tool.split()[0] if "dedup" in tool or "Clean" in tool else "")
        if python is None:
            continue
        hits = found = wanted = 0
        missed: Counter[str] = Counter()
        for seed in seeds:
            folder, truth = write_planted(seed)
            pairs = {tuple(pair) for pair in children(__file__, "--work", tool, "--folder", str(folder), python=python)}
            hits, found, wanted = hits + len(pairs & truth.keys()), found + len(pairs), wanted + len(truth)
            missed.update(kind for pair, kind in truth.items() if pair not in pairs)
        precision, recall = hits / max(found, 1), hits / wanted
        results.append({"tool": tool, "precision": precision, "recall": recall, "missed": missed, "found": found})
    print(f"\nsynthetic set, seeds {', '.join(map(str, seeds))}: {wanted} true pairs")
    print_table(
        ("tool", "precision", "recall", "missed most"),
        [
            (
                row["tool"],
                f"{row['precision']:.3f}",
                f"{row['recall']:.3f}",
                ", ".join(f"{kind} {count}" for kind, count in row["missed"].most_common(3)),
            )
            for row in results
        ],
    )
    return results


def measure_scaled() -> list[dict[str, object]]:
    """Print and return by how many bits a scaled decode changes the hash, and the correlation of the thumbnails."""
    from curation.hashing import correlation, phash
    from curation.images import decode, gray32

    results = []
    for name, folder in (("full-size photographs", make_fullres()), ("drawn 600x450", make_drawn(1000))):
        if folder is None:
            continue
        thumbnails = [
            np.stack(
                [gray32(decode(path.read_bytes(), scale=scale, gray=True).pixels) for path in sorted(folder.iterdir())]
            )
            for scale in ("scaled", "full")
        ]
        bits = np.bitwise_count(phash(thumbnails[0]) ^ phash(thumbnails[1])).tolist()
        alike = correlation(*thumbnails, np.zeros(len(bits), np.uint8))
        results.append({"pictures": name, "bits": Counter(bits), "least_correlation": float(alike.min())})
        shares = ", ".join(f"{n} bits: {count}" for n, count in sorted(Counter(bits).items()))
        print(
            f"\nscaled against full decode, {len(bits)} {name}: {shares}; mean {statistics.mean(bits):.2f}, "
            f"least correlation of the thumbnails {alike.min():.4f}"
        )
    return results


def main() -> None:
    """Compare, print, and write ``results/peers.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        pairs = find_pairs(asked.work, asked.folder)
        sys.stdout.write("\n" + json.dumps(pairs) + "\n")
        return
    write_results("peers", {"tools": compare(asked.seeds), "scaled": measure_scaled()})


if __name__ == "__main__":
    main()
