"""Describes a version: the names of its images, ``version.json``, ``metadata.csv`` and ``SHA256SUMS``."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from curation.dataset.manifest import Manifest, choice_digest, content_digest
from curation.dataset.split_counts import count_splits
from curation.storage.atomic_files import replace_file
from curation.storage.folders import list_files
from curation.storage.hash_index import hash_file
from curation.storage.progress import Advance, ignore_bytes

if TYPE_CHECKING:
    from curation.dataset.recipe import Recipe

SHORTEST = 12
METADATA = ("file_name", "label", "split", "sha256", "group", "source")
SUMS = "SHA256SUMS"


def name_images(kept: pl.DataFrame) -> pl.Series:
    """Return the published path of each kept row, ``images/<split>/<label>/<sha12>.jpg``, aligned with the rows.

    Parameters
    ----------
    kept : polars.DataFrame
        Rows with ``split``, ``label``, ``sha256`` and ``page``.

    Returns
    -------
    polars.Series of String
        The name starts with 12 digits of the source's sha256, or as many as make it unique; a page after the first
        adds ``-p<page>``. The order of the rows makes no difference.
    """
    stems = _shorten(kept["sha256"].unique().to_list())
    page = pl.col("page").fill_null(1)
    suffix = pl.when(page > 1).then(pl.format("-p{}", page)).otherwise(pl.lit(""))
    short = pl.col("sha256").replace_strict(stems, return_dtype=pl.String)
    return kept.select(file=pl.format("images/{}/{}/{}{}.jpg", "split", "label", short, suffix)).to_series()


def _shorten(digests: Iterable[str]) -> dict[str, str]:
    ordered = sorted(digests)
    neighbors = zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False)
    # In sorted order the longest common prefix with any other is with a neighbour.
    return {
        digest: digest[: max(SHORTEST, _common(before, digest) + 1, _common(digest, after) + 1)]
        for before, digest, after in neighbors
    }


def _common(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def describe_version(
    manifest: Manifest,
    recipe: "Recipe",
    *,
    number: int,
    encoder: str,
    tool: str,
    archives: Sequence[Mapping[str, object]] = (),
) -> dict[str, Any]:
    """Return the content of ``version.json`` for a rendered manifest; it depends on neither time nor machine.

    Parameters
    ----------
    manifest : Manifest
        After rendering: every kept row has split, label, group, file and file_sha256.
    number : int
        From ``next_number``.
    encoder : str
        Name and version of what encoded the images; not a part of the digest.
    tool : str
        This program's version.
    archives : sequence of mappings
        What the sources were read from: at least ``source`` and ``sha256`` each.
    """
    kept, rendering, previous = manifest.kept, recipe.rendering(), recipe.selection.previous
    return {
        "name": recipe.name,
        "version": number,
        "digest": choice_digest(kept, rendering=rendering),
        "content_digest": content_digest(kept),
        "recipe_digest": recipe.digest(),
        "classes": list(recipe.classes),
        "counts": count_splits(kept, classes=sorted(recipe.classes)),
        "rows": len(manifest),
        "kept": kept.height,
        "reserve": int(kept["reserve"].fill_null(False).sum()),
        "rendering": rendering,
        "encoder": encoder,
        "tool": tool,
        **({} if previous == "newest" else {"previous": previous}),
        "archives": sorted(
            (dict(archive) for archive in archives), key=lambda archive: json.dumps(archive, sort_keys=True)
        ),
    }


def metadata_tables(manifest: Manifest) -> dict[str, pl.DataFrame]:
    """Return the tables about the images by their path in the folder: ``METADATA``, and ``fold`` if there are folds.

    All values are texts, and the rows are sorted by file name.

    ``metadata.csv`` contains all splits. Hugging Face's ImageFolder reads ``images/<split>/metadata.csv``: with one
    file for all, it would put every row into every split.
    """
    kept = manifest.kept
    folds = [pl.col("fold").cast(pl.String)] if kept["fold"].null_count() < kept.height else []
    whole = kept.select(pl.col("file").alias("file_name"), *METADATA[1:], *folds).sort("file_name")
    tables = {"metadata.csv": whole}
    for split in sorted(whole["split"].drop_nulls().unique()):
        inside = pl.col("file_name").str.strip_prefix(f"images/{split}/")
        tables[f"images/{split}/metadata.csv"] = whole.filter(pl.col("split") == split).with_columns(inside)
    return tables


def write_tables(folder: Path, manifest: Manifest, description: Mapping[str, Any]) -> None:
    """Write ``manifest.parquet``, the tables of metadata and ``version.json`` into a version's folder."""
    manifest.write(folder / "manifest.parquet")
    for name, table in metadata_tables(manifest).items():
        write_text(folder / name, table.write_csv(line_terminator="\n"))
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    write_text(folder / "version.json", text)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 with its own line ends, atomically.

    Python writes the bytes of tables too: Polars has no word for a full disk.
    """
    replace_file(path, text.encode())


def write_sums(folder: Path, *, advance: Advance = ignore_bytes) -> None:
    """Write ``SHA256SUMS`` over every other file, so that ``sha256sum -c SHA256SUMS`` checks the folder anywhere.

    Parameters
    ----------
    advance : function of int
        Receives the bytes of each file.
    """
    lines = []
    for name in list_files(folder):
        if name != SUMS:
            path = folder / name
            lines.append(f"{hash_file(path)}  {name}\n")
            advance(path.stat().st_size)
    write_text(folder / SUMS, "".join(lines))


def renew_sums(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write ``SHA256SUMS`` again with the sums of new contents of some files; all other lines stay as they are.

    So does its time, from which on a changed file is suspected.
    """
    written = (folder / SUMS).stat()
    lines = {line[66:]: line for line in (folder / SUMS).read_text(encoding="utf-8").splitlines()}
    lines |= {name: f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in contents.items()}
    write_text(folder / SUMS, "".join(f"{line}\n" for _, line in sorted(lines.items())))
    os.utime(folder / SUMS, ns=(written.st_atime_ns, written.st_mtime_ns))
