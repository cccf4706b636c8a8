"""Builders: small recipes, manifests and built folders with real JPEG files, drawn here."""

import hashlib
import io
import tomllib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from curation.dataset.manifest import Manifest, choice_digest
from curation.dataset.recipe import Recipe, parse_recipe
from curation.versions import (
    Home,
    VersionLine,
    commit,
    describe_version,
    locked,
    name_images,
    next_number,
    open_staging,
    published,
    recover,
    write_tables,
)
from curation.versions.commit import Published
from curation.versions.version_index import format_lines, make_line, split_table
from tests.builders import out

RECIPE = """
title = "Two kinds of drawn squares"
[[sources]]
name = "drawn"
kind = "drawn"
part = "lesions"
label = "dark"
[labels]
context = ["other"]
[labels.classes]
dark = ["dark"]
pale = ["pale"]
[selection.counts]
train = {train}
test = {test}
"""
DEFAULT = (("dark", "train", 2), ("dark", "test", 1), ("pale", "train", 2), ("pale", "test", 1))


def sha(seed: object) -> str:
    """Return a sha256 that stands for a source file."""
    return hashlib.sha256(repr(seed).encode()).hexdigest()


def make_row(seed: object, **cells) -> dict[str, object]:
    """Return one row of a manifest as it stands after selection; ``cells`` replace its values."""
    digest = cells.get("sha256", sha(seed))
    row = {
        "id": f"drawn/{seed}.png",
        "source": "drawn",
        "path": f"{seed}.png",
        "page": 1,
        "sha256": digest,
        "size_bytes": 1234,
        "source_label": cells.get("label", "dark"),
        "format": "PNG",
        "width": 64,
        "height": 48,
        "label": "dark",
        "split": "train",
        "group": digest,
        "disputed": False,
        "reserve": False,
    }
    return {**row, **cells}


def make_rows(kinds: Iterable[tuple[str, str, int]] = DEFAULT, *, salt: str = "") -> list[dict[str, object]]:
    """Return kept rows: (label, split, how many) each, and one excluded row next to them."""
    rows = [
        make_row(f"{salt}{label}-{split}-{n}", label=label, split=split)
        for label, split, count in kinds
        for n in range(count)
    ]
    left = {"split": None, "label": None, "source_label": "other", **out("select", "context-class", "other")}
    return [*rows, make_row(f"{salt}left-out", **left)]


def draw_jpeg(seed: object, *, size: tuple[int, int] = (16, 12)) -> bytes:
    """Return a small JPEG whose pixels come from the seed."""
    random = np.random.default_rng(int(sha(seed)[:8], 16))
    pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def make_recipe(*, train: int = 2, test: int = 1, name: str = "squares", more: str = "") -> Recipe:
    """Return a recipe of two classes and one context label."""
    text = RECIPE.replace("{train}", str(train)).replace("{test}", str(test)) + more
    return parse_recipe(tomllib.loads(text), name=name, base=Path())


def render(folder: Path, rows: list[dict[str, object]], *, encoder: str = "drawn 1") -> Manifest:
    """Write a real JPEG for each kept row and return the manifest that names them."""
    manifest = make_manifest(rows)
    kept = manifest.kept.with_columns(file=name_images(manifest.kept))
    sums = {}
    for identity, file, digest in kept.select("id", "file", "sha256").rows():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        content = draw_jpeg((digest, encoder))
        path.write_bytes(content)
        sums[identity] = (file, hashlib.sha256(content).hexdigest())
    ids = manifest.rows["id"]
    return manifest.with_columns(
        file=pl.Series([sums.get(identity, (None, None))[0] for identity in ids], dtype=pl.String),
        file_sha256=pl.Series([sums.get(identity, (None, None))[1] for identity in ids], dtype=pl.String),
    )


def make_home(folder: Path, *, name: str = "squares", train: int = 2, test: int = 1) -> Home:
    """Return a home that defines one dataset and has built nothing."""
    home = Home(folder / "datasets")
    home.dataset(name).mkdir(parents=True)
    text = RECIPE.replace("{train}", str(train)).replace("{test}", str(test))
    (home.dataset(name) / "recipe.toml").write_text(text)
    return home


def fill(
    folder: Path, rows: list[dict[str, object]], recipe: Recipe, *, number: int, encoder: str = "drawn 1"
) -> Manifest:
    """Write into ``folder`` all that a version holds."""
    manifest = render(folder, rows, encoder=encoder)
    description = describe_version(manifest, recipe, number=number, encoder=encoder, tool="0.1.0")
    write_tables(folder, manifest, description)
    (folder / "CARD.md").write_text("# Squares\n")
    return manifest


def make_manifest(rows: list[dict[str, object]]) -> Manifest:
    """Return the manifest of rows that were not rendered."""
    return Manifest(pl.DataFrame(rows, infer_schema_length=None))


def number_of(home: Home, rows: list[dict[str, object]], recipe: Recipe) -> int:
    """Return the number a version of these rows has or would have."""
    digest = choice_digest(make_manifest(rows).kept, rendering=recipe.rendering())
    return next_number(home, recipe.name, digest)


def publish_texts(home: Home, rows: list[dict[str, object]], *, recipe: Recipe | None = None) -> VersionLine:
    """Write what git keeps of a version and no files: the state of a fresh clone."""
    recipe = recipe or make_recipe()
    manifest = make_manifest(rows).with_columns(file_sha256="sha256")
    number = number_of(home, rows, recipe)
    if number <= len(published(home, recipe.name)):
        return published(home, recipe.name)[number - 1]
    description = describe_version(manifest, recipe, number=number, encoder="drawn 1", tool="0.1.0")
    line = make_line(description, created="2026-11-24T00:00:00+00:00")
    path = home.lines(recipe.name)
    path.write_bytes(format_lines(path.read_bytes() if path.exists() else b"", line))
    split = home.split(recipe.name, number)
    split.parent.mkdir(exist_ok=True)
    split_table(manifest.kept).write_csv(split)
    return line


def publish(
    home: Home,
    rows: list[dict[str, object]],
    *,
    name: str = "squares",
    recipe: Recipe | None = None,
    encoder: str = "drawn 1",
    created: str = "2026-11-24T00:00:00+00:00",
) -> Published:
    """Build and publish a version as the pipeline does: lock, sweep, stage, fill, commit."""
    recipe = recipe or make_recipe(name=name)
    with locked(home, name) as held:
        recover(held)
        with open_staging(held) as build:
            fill(build.folder, rows, recipe, number=number_of(home, rows, recipe), encoder=encoder)
            text = (home.dataset(name) / "recipe.toml").read_bytes()
            (build.folder / "recipe.toml").write_bytes(text)
            return commit(build, created=created)
