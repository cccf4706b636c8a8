"""Measures precision and recall of the near-duplicate search, on a synthetic set and on real images.

The synthetic set has 500 JPEGs of 600x450: 340 different images and 160 near duplicates of 160 of them. ``--mirror
DIR`` adds all JPEGs in the archives below DIR. There, equal bytes are the ground truth; all other confirmed pairs are
listed, the most doubtful first, and shown side by side in ``--sheet``.
"""

import argparse
import hashlib
import io
import json
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from curation.hashing import (
    DETAIL_SIDE,
    SYMMETRIES,
    ConfirmedPairs,
    Fingerprints,
    confirmed_pairs,
    is_flat,
    phash,
    symmetries,
    turn,
)
from curation.hashing import correlation as correlate

RESULTS = Path(__file__).parent / "results"
RADII = (2, 4, 6, 8, 10, 12)
CORRELATIONS = (0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995)
TWINS = {
    "bytes": 16,
    "metadata": 16,
    "quality 60": 20,
    "half size": 20,
    "brighter": 10,
    "darker": 10,
    "crop 2 %, center": 10,
    "crop 2 %, corner": 10,
    **dict.fromkeys(SYMMETRIES[1:7], 7),
    **dict.fromkeys(SYMMETRIES[7:], 6),
}
ORIGINALS = 340


@dataclass(frozen=True)
class Planted:
    """An image's bytes and, for a near duplicate, the number of its original and how it was changed."""

    content: bytes
    original: int | None
    kind: str


def noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Return smooth noise in [0, 1] of (height, width) with about ``cells`` bumps a side."""
    coarse = Image.fromarray(rng.random((max(2, cells * 3 // 4), cells), dtype=np.float32))
    return np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def draw_picture(rng: np.random.Generator, size: tuple[int, int] = (450, 600)) -> Image.Image:
    """Draw skin with a lesion in its middle, or (one in five) bare texture."""
    height, width = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    skin = rng.uniform((150, 100, 80), (235, 200, 180)).astype(np.float32)
    light = 1 + rng.uniform(-0.15, 0.15) * x + rng.uniform(-0.15, 0.15) * y - rng.uniform(0, 0.2) * (x * x + y * y)
    weave = sum(rng.uniform(0.5, 1.5) * (noise(rng, size, cells) - 0.5) / k for k, cells in enumerate((6, 16, 60), 1))
    shade = light * (1 + rng.uniform(0.05, 0.25) * weave)
    if rng.random() < 0.8:
        shape = noise(rng, size, 5) * rng.uniform(0.2, 0.8)
        tilt = rng.uniform(0, np.pi)
        u = (x - rng.uniform(-0.2, 0.2)) * np.cos(tilt) + (y - rng.uniform(-0.2, 0.2)) * np.sin(tilt)
        v = (x - rng.uniform(-0.2, 0.2)) * -np.sin(tilt) + (y - rng.uniform(-0.2, 0.2)) * np.cos(tilt)
        inside = np.hypot(u / rng.uniform(0.3, 0.8), v / rng.uniform(0.3, 0.8)) + shape
        mask = 1 / (1 + np.exp((inside - 1) * rng.uniform(8, 40)))
        shade = shade * (1 - mask * rng.uniform(0.3, 0.7) * (0.6 + 0.8 * noise(rng, size, 12)))
    pixels = skin * shade[..., None] + rng.normal(0, 2, (height, width, 1))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 8)) if rng.random() < 0.3 else 0):
        ends = rng.uniform(0, (width, height), (2, 2))
        pen.line([tuple(end) for end in ends.tolist()], fill=(40, 25, 20), width=int(rng.integers(1, 4)))
    return picture


def encode(picture: Image.Image, *, quality: int = 90, exif: Image.Exif | None = None) -> bytes:
    """Return the image as JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, **({} if exif is None else {"exif": exif}))
    return buffer.getvalue()


def twin(content: bytes, kind: str) -> bytes:
    """Return the same image, changed according to ``kind``."""
    picture = Image.open(io.BytesIO(content))
    width, height = picture.size
    if kind == "bytes":
        return content
    if kind == "metadata":
        exif = Image.Exif()
        exif[0x010E] = "the same pixels"
        return content[:2] + exif_segment(exif) + content[2:]
    if kind == "quality 60":
        return encode(picture, quality=60)
    if kind == "half size":
        return encode(picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS))
    if kind in ("brighter", "darker"):
        return encode(
            picture.point([min(255, round(v * (1.15 if kind == "brighter" else 0.8))) for v in range(256)] * 3)
        )
    if kind == "crop 2 %, center":
        return encode(picture.crop((width // 100, height // 100, width - width // 100, height - height // 100)))
    if kind == "crop 2 %, corner":
        return encode(picture.crop((width // 50, height // 50, width, height)))
    turned = turn(np.asarray(picture), SYMMETRIES.index(kind))
    return encode(Image.fromarray(np.ascontiguousarray(turned)))


def exif_segment(exif: Image.Exif) -> bytes:
    """Return the APP1 segment that holds the metadata."""
    body = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def plant(seed: int) -> list[Planted]:
    """Generate the set: the originals, then one near duplicate of each of the first 160."""
    rng = np.random.default_rng(seed)
    originals = [encode(draw_picture(rng)) for _ in range(ORIGINALS)]
    kinds = [kind for kind, count in TWINS.items() for _ in range(count)]
    twins = [Planted(twin(originals[number], kind), number, kind) for number, kind in enumerate(kinds)]
    return [*(Planted(content, None, "original") for content in originals), *twins]


def gray_image(content: bytes, decode: str) -> Image.Image:
    """Return the upright gray image."""
    picture: Image.Image = Image.open(io.BytesIO(content))
    if decode == "scaled":
        picture.draft(None, (64, 64))
    return ImageOps.exif_transpose(picture).convert("L")


def thumbnail(content: bytes, decode: str, *, side: int = 32) -> NDArray[np.uint8]:
    """Return the 32x32 gray image that is hashed, or its detail."""
    return np.asarray(gray_image(content, decode).resize((side, side), Image.Resampling.LANCZOS))


def fingerprint(contents: list[bytes], decode: str) -> Fingerprints:
    """Return hashes and thumbnails of encoded images."""
    thumbnails = np.stack([thumbnail(content, decode) for content in contents])
    details = np.stack([thumbnail(content, decode, side=DETAIL_SIDE) for content in contents])
    return Fingerprints(symmetries(thumbnails), thumbnails, details)


def all_confirmed(fingerprints: Fingerprints, radius: int, correlation: float) -> ConfirmedPairs:
    """Return the confirmed pairs of all images that are not flat."""
    eligible = ~is_flat(fingerprints.thumbnails)
    return confirmed_pairs(fingerprints, radius=radius, correlation=correlation, symmetries=True, eligible=eligible)


def every_pair(confirmed: ConfirmedPairs) -> set[tuple[int, int]]:
    """Return the confirmed pairs of rows, those of equal fingerprints listed one by one."""
    return {
        (int(row), int(mate))
        for row in confirmed.involved()
        for mate in confirmed.neighbors(int(row)).rows
        if row < mate
    }


def measure_planted(seed: int, decode: str) -> dict[str, object]:
    """Print and return precision and recall on the planted set, over radius and correlation."""
    planted = plant(seed)
    fingerprints = fingerprint([picture.content for picture in planted], decode)
    truth = {(p.original, row): p.kind for row, p in enumerate(planted) if p.original is not None}
    loosest = all_confirmed(fingerprints, max(RADII), min(CORRELATIONS))
    print(
        f"\nplanted set, seed {seed}, decode {decode}: {len(truth)} pairs among {len(planted)} images, "
        f"{int(is_flat(fingerprints.thumbnails).sum())} flat, {loosest.candidates} candidates at radius {max(RADII)}"
    )
    print("radius  " + "  ".join(f"r >= {value:<5}" for value in CORRELATIONS) + "   recall/precision")
    rows = []
    for radius in RADII:
        cells = []
        for value in CORRELATIONS:
            found = every_pair(all_confirmed(fingerprints, radius, value))
            hits = found & truth.keys()
            cells.append(f"{len(hits) / len(truth):.3f}/{len(hits) / max(len(found), 1):.2f}")
            missed = Counter(kind for pair, kind in truth.items() if pair not in found)
            rows.append(
                {"radius": radius, "correlation": value, "found": len(found), "hits": len(hits), "missed": missed}
            )
        print(f"{radius:6}  " + "  ".join(cells))
    for row in rows:
        if row["correlation"] in (0.97, 0.98, 0.99) and row["radius"] in (4, 8):
            print(f"  missed at radius {row['radius']}, {row['correlation']}: {dict(row['missed'])}")
    return {"seed": seed, "decode": decode, "rows": rows}


def measure_flatness(seed: int) -> list[dict[str, float]]:
    """Print and return how a nearly blank image correlates with its copy re-encoded at quality 60."""
    rng = np.random.default_rng(seed)
    print(
        "\nnearly blank images compared with their copies at quality 60:\nstd of 32x32  correlation  bits apart  flat"
    )
    rows = []
    for amplitude in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0):
        pairs = []
        for _ in range(100):
            waves = 2 * amplitude * (noise(rng, (180, 180), 5) - 0.5)
            pixels = rng.uniform(60, 220, 3) + waves[..., None] + rng.normal(0, 0.7, (180, 180, 1))
            content = encode(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
            pairs.append((thumbnail(content, "full"), thumbnail(twin(content, "quality 60"), "full")))
        left, right = (np.stack(side) for side in zip(*pairs, strict=True))
        row = {
            "deviation": float(np.median(left.reshape(len(left), -1).std(axis=1))),
            "correlation": float(np.median(correlate(left, right, np.zeros(len(left), np.uint8)))),
            "distance": float(np.median(np.bitwise_count(phash(left) ^ phash(right)))),
            "flat": float(is_flat(left).mean()),
        }
        rows.append(row)
        print(f"{row['deviation']:12.2f} {row['correlation']:13.3f} {row['distance']:12.1f} {row['flat']:6.2f}")
    return rows


def read_mirror(mirror: Path) -> tuple[list[str], list[bytes]]:
    """Return the names and bytes of all JPEGs in the archives below a folder, sorted by name."""
    found = {}
    for archive in sorted(mirror.rglob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            found.update({n: opened.read(n) for n in opened.namelist() if n.lower().endswith((".jpg", ".jpeg"))})
    return sorted(found), [found[name] for name in sorted(found)]


def measure_mirror(mirror: Path, decode: str, sheet: Path | None) -> dict[str, object]:
    """Print and return the confirmed pairs among real images."""
    names, contents = read_mirror(mirror)
    fingerprints = fingerprint(contents, decode)
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    clumps: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        clumps.setdefault(digest, []).append(row)
    equal = {(i, j) for rows in clumps.values() for i in rows for j in rows if i < j}
    print(
        f"\nmirror, decode {decode}: {len(names)} images, {len(equal)} byte-equal pairs, "
        f"{int(is_flat(fingerprints.thumbnails).sum())} flat"
    )
    print(
        "radius  " + "  ".join(f"r >= {value:<5}" for value in CORRELATIONS) + "   byte-equal found + others confirmed"
    )
    rows = []
    for radius in RADII:
        cells = []
        for value in CORRELATIONS:
            found = every_pair(all_confirmed(fingerprints, radius, value))
            cells.append(f"{len(found & equal):4} + {len(found - equal):<4}")
            rows.append(
                {"radius": radius, "correlation": value, "equal": len(found & equal), "others": len(found - equal)}
            )
        print(f"{radius:6}  " + "  ".join(cells))
    loose = all_confirmed(fingerprints, max(RADII), min(CORRELATIONS))
    others = sorted(
        (float(c), int(i), int(j), int(d), int(k))
        for i, j, d, c, k in zip(loose.i, loose.j, loose.distance, loose.correlation, loose.symmetry, strict=True)
        if digests[i] != digests[j]
    )
    for value, i, j, distance, k in others[::-1]:
        left, right = ("/".join(names[row].split("/")[-3:]) for row in (i, j))
        print(f"  {value:.4f}  {distance:2} bits  {SYMMETRIES[k]:16} {left}  {right}")
    if sheet:
        draw_sheet(
            [(contents[i], contents[j], k, f"{c:.4f} d{d} {SYMMETRIES[k]}") for c, i, j, d, k in others[::-1]], sheet
        )
    return {"decode": decode, "pictures": len(names), "byte_equal": len(equal), "rows": rows}


def draw_sheet(pairs: list[tuple[bytes, bytes, int, str]], path: Path) -> None:
    """Draw the pairs side by side, the second turned to match the first, for a person to judge."""
    side, columns = 150, 5
    lines = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * (2 * side + 12), lines * (side + 16)), "white")
    for number, (left, right, k, text) in enumerate(pairs):
        x, y = number % columns * (2 * side + 12), number // columns * (side + 16)
        first = Image.open(io.BytesIO(left)).convert("RGB").resize((side, side))
        second = np.asarray(Image.open(io.BytesIO(right)).convert("RGB").resize((side, side)))
        sheet.paste(first, (x, y + 14))
        sheet.paste(Image.fromarray(np.ascontiguousarray(turn(second, k))), (x + side + 2, y + 14))
        ImageDraw.Draw(sheet).text((x, y), text, fill="black")
    sheet.save(path)


def main() -> None:
    """Measure, print, and write ``results/duplicates.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", type=Path, help="a folder with archives of real images")
    parser.add_argument("--sheet", type=Path, help="a PNG of the mirror's confirmed pairs that are not byte-equal")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--decode", choices=["scaled", "full"], nargs="*", default=["scaled", "full"])
    asked = parser.parse_args()
    started = time.perf_counter()
    results: dict[str, object] = {
        "planted": [measure_planted(seed, decode) for decode in asked.decode for seed in asked.seeds]
    }
    results["flatness"] = measure_flatness(0)
    if asked.mirror:
        results["mirror"] = [measure_mirror(asked.mirror, decode, asked.sheet) for decode in asked.decode]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "duplicates.json").write_text(json.dumps(results, indent=1))
    print(f"\n{time.perf_counter() - started:.1f} s; written to {RESULTS / 'duplicates.json'}")


if __name__ == "__main__":
    main()
