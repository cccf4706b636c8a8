"""Calibrates when two files are the same image: what encoding, size, exposure and small crops do, and other images.

For images of several kinds, each is changed in every way that leaves it the same image, and compared with the original
as the build does: only pairs that hash and thumbnail propose are judged. Against them stand pairs of different images
that are proposed too: drawn gauges, signs and cells, and with ``--cells DIR`` a folder of real images of which no two
are the same. ``--mirror DIR`` adds every 40th JPEG of the archives below DIR to the images that are changed. The table
gives the largest local difference relative to the limit: 1 is the limit at the default tolerance.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from duplicates import RESULTS, draw_picture, encode, read_mirror
from numpy.typing import NDArray
from PIL import Image

from curation.hashing import Fingerprints, confirmed_pairs, local_difference, symmetries
from curation.hashing import correlation as correlate
from curation.images import decode, gray32_batch, gray64_batch
from curation.sources.synthetic.images import draw_lesion

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.framed import cells, gauges, signs

Change = Callable[[Image.Image, np.random.Generator], bytes]
RADIUS, CORRELATION = 8, 0.98


def sized(share: float, filter_: Image.Resampling) -> Change:
    """Return the change of both sides by a share."""
    return lambda image, _: encode(image.resize([round(side * share) for side in image.size], filter_))


def toned(curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
    """Return the change of every channel by a curve of its levels."""
    levels = [int(value) for value in curve(np.arange(256.0)).round().clip(0, 255)]
    return lambda image, _: encode(image.point(levels * 3))


def cropped(*edges: float) -> Change:
    """Return the crop of a share of left, top, right and bottom."""

    def crop(image: Image.Image, _: np.random.Generator) -> bytes:
        (width, height), (left, top, right, bottom) = image.size, edges
        box = (round(left * width), round(top * height), width - round(right * width), height - round(bottom * height))
        return encode(image.crop(box))

    return crop


def everything(image: Image.Image, rng: np.random.Generator) -> bytes:
    """Return the image after a crop of up to 2 % an edge, brighter, at half the size and at quality 50."""
    smaller = Image.open(io.BytesIO(cropped(*rng.uniform(0, 0.02, 4))(image, rng)))
    brighter = smaller.point([min(255, round(value * 1.1)) for value in range(256)] * 3)
    return encode(brighter.resize([side // 2 for side in brighter.size], Image.Resampling.LANCZOS), quality=50)


CHANGES: dict[str, Change] = {
    **{f"quality {q}": lambda image, _, q=q: encode(image, quality=q) for q in (40, 60, 80)},
    "half size": sized(0.5, Image.Resampling.LANCZOS),
    "quarter size": sized(0.25, Image.Resampling.BOX),
    "0.7 times, bilinear": sized(0.7, Image.Resampling.BILINEAR),
    "0.45 times, bicubic": sized(0.45, Image.Resampling.BICUBIC),
    "1.5 times, bicubic": sized(1.5, Image.Resampling.BICUBIC),
    "brighter (x 1.2 + 10)": toned(lambda v: v * 1.2 + 10),
    "darker (x 0.7)": toned(lambda v: v * 0.7),
    "gamma 0.8": toned(lambda v: 255 * (v / 255) ** 0.8),
    "gamma 1.3": toned(lambda v: 255 * (v / 255) ** 1.3),
    "contrast x 1.3": toned(lambda v: (v - 128) * 1.3 + 128),
    **{f"crop {share} % an edge": cropped(*[share / 100] * 4) for share in (1, 2, 3, 4)},
    "crop 4 % of the left": cropped(0.04, 0, 0, 0),
    "crop 2 % of a corner": cropped(0.02, 0.02, 0, 0),
    "crop, brighter, half, quality 50": everything,
}


def fingerprint(contents: Sequence[bytes]) -> Fingerprints:
    """Return the fingerprints of encoded images, as the probe computes them."""
    gray = [decode(content, scale="scaled", gray=True).pixels for content in contents]
    thumbnails = np.concatenate([gray32_batch(each[None]) for each in gray])
    details = np.concatenate([gray64_batch(each[None]) for each in gray])
    sides = np.array([min(64, *each.shape) for each in gray], np.uint8)
    return Fingerprints(symmetries(thumbnails), thumbnails, details, sides)


def measure_changes(images: Sequence[Image.Image], rng: np.random.Generator) -> dict[str, list[float]]:
    """Return for each change the differences of the copies that hash and thumbnail propose."""
    found: dict[str, list[float]] = {}
    originals = fingerprint([encode(image, quality=95) for image in images])
    every, upright = np.arange(len(images)), np.zeros(len(images), np.int64)
    for name, change in CHANGES.items():
        copies = fingerprint([change(image, rng) for image in images])
        bits = np.bitwise_count(originals.symmetries[:, 0] ^ copies.symmetries[:, 0])
        near = (bits <= RADIUS) & (correlate(originals.thumbnails, copies.thumbnails, upright) >= CORRELATION)
        rows = every[near]
        sides = np.minimum(originals.sides[rows], copies.sides[rows])
        values = local_difference(
            originals.details[rows], copies.details[rows], upright[rows], sides=sides, complete=True
        )
        found[name] = values.tolist()
    return found


def measure_others(images: Sequence[bytes], same: Callable[[int, int], bool]) -> list[float]:
    """Return the differences of the proposed pairs of different images, sorted."""
    prints = fingerprint(images)
    eligible = np.ones(len(images), np.bool_)
    proposed = confirmed_pairs(
        prints, radius=RADIUS, correlation=CORRELATION, symmetries=True, eligible=eligible, tolerance=np.inf
    )
    keep = [not same(int(i), int(j)) for i, j in zip(proposed.i, proposed.j, strict=True)]
    i, j, k = (part[keep] for part in (proposed.i, proposed.j, proposed.symmetry))
    return sorted(prints.local_difference(i, j, k, complete=True).tolist())


def kinds(mirror: Path | None, real: Path | None) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yield the images that are changed, by kind."""
    rng = np.random.default_rng(3)
    yield "drawn lesions, 600x450", [draw_picture(rng) for _ in range(20)]
    labels = ("melanoma", "nevus", "seborrheic keratosis")
    yield "drawn lesions, 180x180", [Image.fromarray(draw_lesion(rng, labels[n % 3], (180, 180))) for n in range(15)]
    yield "drawn gauges, 240x240", [Image.fromarray(each) for each in gauges(6)]
    yield "drawn signs, 240x240", [Image.fromarray(each) for _, each in signs(6)]
    yield "drawn cells, 240x240", [Image.fromarray(each) for each in cells(6)]
    if mirror is not None:
        contents = read_mirror(mirror)[1][::40]
        yield "mirror", [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    if real is not None:
        yield "real cells, 300x300", [Image.open(path).convert("RGB") for path in sorted(real.iterdir())[::6]]


def others(real: Path | None) -> Iterator[tuple[str, list[float]]]:
    """Yield the differences of proposed pairs of different images, by kind."""
    yield "gauges that differ in a needle", measure_others([png(each) for each in gauges(60)], lambda *_: False)
    drawn = list(signs(60))
    yield (
        "signs that differ in a digit",
        measure_others([png(each) for _, each in drawn], lambda i, j: drawn[i][0] == drawn[j][0]),
    )
    for contrast in (70, 40, 20):
        shown = [png(each) for each in cells(60, contrast=contrast)]
        yield f"cells that differ in a crack of {contrast} levels", measure_others(shown, lambda *_: False)
    if real is not None:
        yield "real cells", measure_others([path.read_bytes() for path in sorted(real.iterdir())], lambda *_: False)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    """Measure, print, and write ``results/same_image.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, help="a folder with archives of real images")
    parser.add_argument("--cells", type=Path, help="a folder of images of which no two are the same")
    asked = parser.parse_args()
    rng = np.random.default_rng(1)
    same = {kind: measure_changes(images, rng) for kind, images in kinds(asked.mirror, asked.cells)}
    print("| change | pairs | median | 99 % | largest | above 1 |\n|---|---:|---:|---:|---:|---:|")
    for name in CHANGES:
        values = np.array([value for found in same.values() for value in found[name]])
        if len(values):
            high = np.percentile(values, 99)
            print(
                f"| {name} | {len(values)} | {np.median(values):.2f} | {high:.2f} | {values.max():.2f} "
                f"| {int((values > 1).sum())} |"
            )
    whole = np.array([value for found in same.values() for values in found.values() for value in values])
    print(f"\n{len(whole)} proposed copies, {np.mean(whole <= 1):.4f} of them judged the same")
    for kind, found in same.items():
        values = np.array([value for part in found.values() for value in part])
        print(f"  {kind}: {len(values)}, {np.mean(values <= 1):.4f}")
    print("\n| different images | proposed pairs | least | 1 % | median | judged the same |")
    print("|---|---:|---:|---:|---:|---:|")
    different = dict(others(asked.cells))
    for kind, found in different.items():
        low, middle = np.percentile(found, (1, 50)) if found else (np.nan, np.nan)
        least = min(found, default=np.nan)
        print(f"| {kind} | {len(found)} | {least:.2f} | {low:.2f} | {middle:.2f} | {sum(v <= 1 for v in found)} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "same_image.json").write_text(json.dumps({"same": same, "different": different}, indent=1))


if __name__ == "__main__":
    main()
