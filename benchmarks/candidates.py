"""Measures how many of the audit's pairs its index proposes, against a comparison of all images with all.

The images are synthetic ones of 160 px (those of ``growth_files.py``) and, with ``--mirror DIR``, the JPEGs of the
archives below DIR. Of every eighth image a crop of 90 % an edge is added, in the other split. Both searches are the
audit's own: once with its leaves, once with a single leaf that holds all images. A pair counts where the first
comparison at 64x64 does not rule it out.
"""

import argparse
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from duplicates import read_mirror
from growth_files import draw_chunk
from measuring import print_table, write_results
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from curation.audit.candidate_index import LEAF, propose
from curation.audit.crop_matching import QUICK, compare, first_places, turn_each
from curation.audit.measurements import resize_gray


def kinds(count: int, mirror: Path | None) -> Iterator[tuple[str, list[bytes]]]:
    """Yield each kind of images with the contents of its files."""
    yield "drawn", draw_chunk(0, count)
    if mirror is not None:
        yield "mirror", read_mirror(mirror)[1][:count]


def with_crops(contents: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the 64x64 gray images, the crops last, and their splits."""
    rng, gray, crops = np.random.default_rng(0), [], []
    for number, content in enumerate(contents):
        image = Image.open(io.BytesIO(content)).convert("RGB")
        gray.append(resize_gray(image, 64))
        if number % 8 == 0:
            width, height = (round(0.9 * side) for side in image.size)
            left, top = (int(rng.integers(0, side // 10 + 1)) for side in image.size)
            crops.append(resize_gray(image.crop((left, top, left + width, top + height)), 64))
    return np.stack(gray + crops), np.repeat([0, 1], [len(gray), len(crops)])


def pairs_kept(gray: NDArray[np.uint8], split: NDArray[np.int64], leaf: int) -> tuple[set[tuple[int, int]], float]:
    """Return the proposed pairs that the first comparison keeps, and the CPU seconds of the search."""
    start = time.process_time()
    found = propose(gray, split, np.zeros(len(gray), np.int64), leaf=leaf)
    seconds = time.process_time() - start
    looked = compare(turn_each(gray[found.one], found.symmetry), gray[found.other], first_places(found))
    kept = np.flatnonzero(looked.difference <= QUICK)
    ends = np.sort(np.stack([found.one[kept], found.other[kept]], axis=1), axis=1)
    return {(int(one), int(other)) for one, other in ends}, seconds


def main() -> None:
    """Print the recall of the index for each kind of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--mirror", type=Path, help="a folder with archives of real images")
    asked = parser.parse_args()
    rows = []
    with threadpool_limits(1):
        for kind, contents in kinds(asked.count, asked.mirror):
            gray, split = with_crops(contents)
            indexed, quick = pairs_kept(gray, split, LEAF)
            every, slow = pairs_kept(gray, split, 8 * len(gray))
            recall = len(indexed & every) / max(1, len(every))
            rows.append((kind, len(gray), len(every), f"{recall:.4f}", f"{quick:.1f}", f"{slow:.1f}"))
    head = ("images", "files", "pairs", "recall", "index, CPU s", "all pairs, CPU s")
    print_table(head, rows)
    write_results("candidates", {"rows": [dict(zip(head, row, strict=True)) for row in rows]})


if __name__ == "__main__":
    main()
