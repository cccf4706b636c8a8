"""Builders for tests: rows, manifests, recipes, images, source folders."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from curation.dataset.columns import IMPLIED_ROLES, SCHEMA, Metadata
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, parse_recipe
from curation.hashing import Fingerprints, symmetries
from curation.images import gray32, gray64_batch


def sha_of(name: object) -> str:
    """Return the sha256 of a name, as if it were a file."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def make_row(name: str, **cells: object) -> dict[str, Any]:
    """Return one row of a manifest as it is after probe, with the given cells replaced."""
    row: dict[str, Any] = {
        "id": f"src/{name}",
        "source": "src",
        "path": name,
        "page": 1,
        "sha256": sha_of(name),
        "size_bytes": 1000,
        "source_label": "melanoma",
        "format": "jpeg",
        "width": 100,
        "height": 100,
        "phash": int(sha_of(name)[:15], 16),
        "flat": False,
        "sharpness": 50.0,
        "brightness": 120.0,
        "contrast": 30.0,
    }
    return {**row, **cells}


def out(step: str, reason: str, detail: str | None = None) -> dict[str, Any]:
    """Return the cells of a row that a step excluded."""
    return {"excluded_by": step, "reason": reason, "detail": detail}


def act(action: str, *reviewers: str, label: str | None = None, reason: str | None = None) -> dict[str, Any]:
    """Return an action of the column ``decision``."""
    return {"action": action, "label": label, "reviewers": list(reviewers), "reason": reason}


def fates(rows: pl.DataFrame) -> list[tuple[str, str, str | None] | None]:
    """Return step, reason and detail of each row, None for a kept one."""
    return [row if row[0] else None for row in rows.select("excluded_by", "reason", "detail").iter_rows()]


def make_manifest(rows: Sequence[Mapping[str, Any]], metadata: Sequence[Metadata] | None = None) -> Manifest:
    """Return a manifest of rows; their columns that 0.1.0 took from metadata files are metadata columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    metadata = implied_metadata(names) if metadata is None else metadata
    kinds = {**SCHEMA, **{column.name: column.kind for column in metadata}}
    return Manifest(pl.DataFrame(list(rows), schema={name: kinds[name] for name in names}), tuple(metadata))


def implied_metadata(names: Iterable[str]) -> tuple[Metadata, ...]:
    """Return the metadata columns among some names whose role the name implies."""
    return tuple(
        Metadata(name, IMPLIED_ROLES[name], pl.Float64() if name == "age" else pl.String())
        for name in names
        if name in IMPLIED_ROLES
    )


def make_recipe(**tables: Any) -> Recipe:
    """Return a recipe of two classes and one folder source, with tables replaced."""
    raw: dict[str, Any] = {
        "sources": [{"name": "src", "kind": "folder", "path": "images", "pattern": "(?P<label>[^/]+)/[^/]+$"}],
        "labels": {"classes": {"healthy": ["healthy"], "melanoma": ["melanoma"]}, "context": "*"},
        "selection": {"counts": {"train": 4, "test": 2}},
    }
    return parse_recipe({**raw, **tables}, name="tiny", base=Path("/nowhere"))


def texture(seed: int, *, width: int = 96, height: int = 96) -> NDArray[np.uint8]:
    """Return a color image that does not resemble those of other seeds: (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = random.integers(-12, 13, (height, width, 3))
    return np.clip(np.asarray(picture).astype(np.int64) + noise, 0, 255).astype(np.uint8)


def as_bytes(pixels: NDArray[np.uint8], kind: str = "JPEG", **options: Any) -> bytes:
    """Return pixels encoded as an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def fingerprints_of(pictures: Sequence[NDArray[np.uint8]]) -> Fingerprints:
    """Return the fingerprints of (h, w, 3) images."""
    thumbnails = np.stack([gray32(Image.fromarray(picture)) for picture in pictures])
    gray = [np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures]
    details = np.concatenate([gray64_batch(each[None]) for each in gray])
    sides = np.array([min(64, *each.shape) for each in gray], np.uint8)
    return Fingerprints(symmetries(thumbnails), thumbnails, details, sides)


def write_source(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder, in the order given, and return the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


RECIPE = """
title = "Tiny"

[[sources]]
name = "src"
kind = "folder"
path = {path!r}
pattern = '(?P<split>train|test)?/?(?P<label>[^/]+)/[^/]+$'
group = 'g\\d+'

[labels]
context = "*"

[labels.classes]
melanoma = ["melanoma"]
healthy = ["healthy"]

[render]
short_side = 48

[selection.counts]
train = {train}
test = {test}
"""


def write_recipe(
    datasets: Path, *, images: Path, train: int = 6, test: int = 2, name: str = "tiny", more: str = ""
) -> Path:
    """Write ``datasets/<name>/recipe.toml`` for a folder of images and return the dataset's folder."""
    folder = datasets / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(RECIPE.format(path=str(images), train=train, test=test) + more)
    return folder


def tiny_images(*, each: int = 10) -> dict[str, bytes]:
    """Return path -> JPEG bytes: ``each`` images of two classes and a few of a context class."""
    files = {f"melanoma/m{number}.jpg": as_bytes(texture(number)) for number in range(each)}
    files |= {f"healthy/h{number}.jpg": as_bytes(texture(1000 + number)) for number in range(each)}
    return files | {f"nevus/n{number}.jpg": as_bytes(texture(2000 + number)) for number in range(3)}
