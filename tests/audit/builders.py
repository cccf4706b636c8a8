"""Versions' folders with real JPEG files, drawn here, as an audit finds them."""

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from curation.audit.measurements import Measured, measure_version
from curation.dataset.columns import Metadata
from curation.dataset.manifest import Manifest
from curation.versions import Version, describe_version, name_images, open_folder, write_tables
from tests.builders import as_bytes, implied_metadata, make_recipe

RECIPE = """
title = "Tiny"
licence = "CC0-1.0"
[[sources]]
name = "src"
kind = "folder"
path = "images"
pattern = "(?P<label>[^/]+)/[^/]+$"
[labels]
context = "*"
[labels.classes]
healthy = ["healthy"]
melanoma = ["melanoma"]
[selection.counts]
train = 4
test = 2
"""


def sample(name: str, content: bytes, *, label: str = "melanoma", split: str = "train", **cells: Any) -> dict[str, Any]:
    """Return a kept row as it is after selection, and its published bytes under ``content``."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    row = {
        "id": f"src/{label}/{name}",
        "source": "src",
        "path": f"{label}/{name}",
        "page": 1,
        "sha256": digest,
        "size_bytes": len(content),
        "source_label": label,
        "licence": "CC0-1.0",
        "format": "jpeg",
        "width": 96,
        "height": 96,
        "label": label,
        "split": split,
        "group": digest,
        "disputed": False,
        "reserve": False,
        "content": content,
    }
    return {**row, **cells}


def make_version(
    folder: Path,
    samples: Iterable[dict[str, Any]],
    *,
    excluded: Iterable[dict[str, Any]] = (),
    recipe: str = RECIPE,
    archives: Iterable[dict[str, Any]] = (),
    metadata: Iterable[Metadata] = (),
) -> Version:
    """Write a version's folder with these samples and open it; columns named as roles are metadata, too."""
    rows = [dict(each) for each in samples]
    contents = [row.pop("content") for row in rows]
    table = pl.DataFrame([*rows, *excluded], infer_schema_length=None)
    known = (*implied_metadata(table.columns), *metadata)
    kept = Manifest(table, known).kept
    files = dict(zip(kept["id"], name_images(kept), strict=True))
    sums = {}
    for row, content in zip(rows, contents, strict=True):
        path = folder / files[row["id"]]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sums[row["id"]] = hashlib.sha256(content).hexdigest()
    manifest = Manifest(table, known).with_columns(
        file=pl.col("id").replace_strict(files, default=None, return_dtype=pl.String),
        file_sha256=pl.col("id").replace_strict(sums, default=None, return_dtype=pl.String),
    )
    description = describe_version(
        manifest, make_recipe(), number=1, encoder="drawn 1", tool="0.1.0", archives=tuple(archives)
    )
    write_tables(folder, manifest, description)
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    return open_folder(folder)


def measure(folder: Path, samples: Iterable[dict[str, Any]]) -> Measured:
    """Write a version of these samples and return what is measured of it."""
    return measure_version(make_version(folder, samples))


def lesion(seed: int, *, side: int = 192) -> NDArray[np.uint8]:
    """Return a dark spot on pale skin with detail of its own: (side, side, 3) uint8, unlike any other seed's."""
    random = np.random.default_rng(seed)
    skin = Image.new("RGB", (side, side), (214, 170, 150))
    draw = ImageDraw.Draw(skin)
    for _ in range(40):
        x, y = random.normal(side / 2, side / 9, 2)
        radius = random.uniform(side / 40, side / 10)
        tone = int(random.integers(40, 120))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(tone + 40, tone, tone - 20))
    grain = Image.fromarray(random.integers(0, 256, (48, 48, 3), dtype=np.uint8)).resize((side, side))
    return np.asarray(Image.blend(skin, grain, 0.12))


def cut(pixels: NDArray[np.uint8], *, keep: float, top: float = 0.5, left: float = 0.5) -> NDArray[np.uint8]:
    """Return a crop of an image, scaled up to its size again; ``top`` and ``left`` say where, 0 to 1."""
    height, width = pixels.shape[:2]
    rows, columns = round(height * keep), round(width * keep)
    y, x = round((height - rows) * top), round((width - columns) * left)
    part = Image.fromarray(pixels[y : y + rows, x : x + columns])
    return np.asarray(part.resize((width, height), Image.Resampling.LANCZOS))


def jpeg(pixels: NDArray[np.uint8], *, quality: int = 92) -> bytes:
    """Return pixels as a JPEG."""
    return as_bytes(pixels, quality=quality)


def with_exif(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a JPEG with the position of the camera."""
    image, out = Image.fromarray(pixels), io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()
