"""Probes each file once: what it is, its hashes and thumbnail, its raw quality values, or why it is not an image.

This is the one place where a failure to decode becomes a reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe
from curation.engines import Engine, survive_crashes
from curation.errors import CurationError, ErrorCode
from curation.hashing import DETAIL_SIDE, Fingerprints
from curation.reasons import Reason
from curation.stages.probe.pages import (
    COLUMNS,
    FINDINGS,
    ProbeSettings,
    ProbeShard,
    crashed_shard,
    probe_shard,
    tone_of,
)
from curation.stages.probe.probe_cache import ProbeCache, Stores, as_parquet, store_thumbnails
from curation.storage.archive_index import ArchiveIndex, page_id
from curation.storage.archive_members import Member, name_system_file
from curation.storage.cache import Cache
from curation.storage.progress import Progress, show_progress

__all__ = ["SHARD_FILES", "ProbeSettings", "ProbeShard", "probe", "probe_remote", "probe_shard", "tone_of"]

SHARD_FILES = 256


def probe(
    manifest: Manifest,
    recipe: Recipe,
    archive_index: ArchiveIndex,
    *,
    cache: Cache,
    engine: Engine,
    progress: Progress,
) -> tuple[Manifest, Fingerprints]:
    """Fill the probe's columns, and return the fingerprints aligned with the rows.

    Parameters
    ----------
    manifest : Manifest
        After ingest.
    archive_index : ArchiveIndex
        Where each file is read; opened only for files that are not in the cache.

    Returns
    -------
    Manifest
        A file that is not an image is excluded. Where the recipe asks for each page a row
        ``id#2``, ``id#3`` and so on is added for every further page.
    Fingerprints
        Zeros for what could not be decoded.
    """
    settings = ProbeSettings.of(recipe)
    probe_cache = ProbeCache(cache, recipe.probe_settings())
    wanted = manifest.kept.select("id", "sha256", "size_bytes")
    stores = Stores.in_folder(cache.root)
    known = probe_cache.load(wanted["sha256"], stores)
    new = wanted.filter(~pl.col("sha256").is_in(known["sha256"].implode())).unique(
        "sha256", keep="first", maintain_order=True
    )
    found = [known]
    if new.height:
        shards = _cut(new, archive_index, settings)
        with show_progress(progress, "read images", int(new["size_bytes"].sum())) as advance:
            for number, table in _probe_shards(engine, shards):
                probe_cache.keep(table)
                found.append(store_thumbnails(table, stores))
                advance(sum(member.size_bytes for member in shards[number].members))
    return _merge(manifest, pl.concat(found), stores, each=settings.pages == "each")


def _probe_shards(engine: Engine, shards: Sequence[ProbeShard]) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield number and findings of each shard once it is finished, so that an interrupted run keeps it."""
    if engine.is_remote:
        for number, content in engine.as_completed(probe_remote, shards):
            yield number, pl.read_parquet(content, schema=FINDINGS)
    else:
        for number, tables in survive_crashes(engine, probe_tables, shards, split=_split, join=_join):
            yield number, pl.concat([pl.DataFrame(rows, schema=FINDINGS) for rows in tables])


def probe_tables(shard: ProbeShard) -> list[dict[str, list[Any]]]:
    """Return what ``probe_shard`` finds, as a list of one; the work of one worker."""
    return [probe_shard(shard)]


def _split(shard: ProbeShard) -> list[ProbeShard]:
    """Return a shard for each file."""
    return [
        replace(shard, members=(member,), shas=(sha,)) for member, sha in zip(shard.members, shard.shas, strict=True)
    ]


def _join(shard: ProbeShard, pieces: Sequence[list[dict[str, list[Any]]] | None]) -> list[dict[str, list[Any]]]:
    alone = zip(_split(shard), pieces, strict=True)
    return [table for one, found in alone for table in ([crashed_shard(one)] if found is None else found)]


def probe_remote(shard: ProbeShard) -> bytes:
    """Return what ``probe_shard`` finds as one Parquet shard; the work of a worker that may be on another machine.

    Raises
    ------
    CurationError
        Where that machine has no such archive: that is not a fault of the images.
    """
    if not shard.archive.exists():
        raise CurationError(
            ErrorCode.CLUSTER_MISMATCH,
            f"{shard.archive}: a machine of the cluster has no such path",
            hint="Keep the sources in a folder that all machines share under one path, or behind a URL (s3://...).",
        )
    return as_parquet(pl.DataFrame(probe_shard(shard), schema=FINDINGS))


def _cut(new: pl.DataFrame, archive_index: ArchiveIndex, settings: ProbeSettings) -> list[ProbeShard]:
    """Cut the new files into shards of one archive each, of a bounded number of files."""
    by_archive: dict[Path, list[tuple[Member, str]]] = {}
    for name, sha in new.select("id", "sha256").iter_rows():
        archive, member = archive_index.places[name]
        by_archive.setdefault(archive, []).append((member, sha))
    shards = []
    for archive, files in by_archive.items():
        for start in range(0, len(files), SHARD_FILES):
            members, shas = zip(*files[start : start + SHARD_FILES], strict=True)
            shards.append(ProbeShard(archive, members, shas, settings))
    return shards


def _merge(manifest: Manifest, found: pl.DataFrame, stores: Stores, *, each: bool) -> tuple[Manifest, Fingerprints]:
    """Join the findings to the rows by sha256 (and page), add the rows of further pages, and align the fingerprints."""
    rows = manifest.rows.drop(COLUMNS)
    if each:
        further = found.filter(pl.col("page") > 1).select("sha256", "page")
        added = rows.filter(pl.col("excluded_by").is_null()).drop("page").join(further, on="sha256")
        taken = set(rows["id"])
        names = [page_id(name, page, taken=taken) for name, page in added.select("id", "page").iter_rows()]
        added = added.with_columns(id=pl.Series(names, dtype=pl.String)).select(rows.columns)
        rows = pl.concat([rows, added]).sort("id")
    read = rows["excluded_by"].is_null()
    joined = rows.join(found, on=["sha256", "page"], how="left", maintain_order="left")
    missing = joined.filter(read & pl.col("format").is_null() & pl.col("failure").is_null())
    if missing.height:
        raise RuntimeError(f"the probe omitted {missing.height} files, {missing['id'][0]} among them")
    joined = _name_system_files(joined)
    places = joined["place"].fill_null(-1).to_numpy()
    shorter = joined.select(pl.min_horizontal("width", "height").clip(1, DETAIL_SIDE).fill_null(DETAIL_SIDE))
    fingerprints = Fingerprints(
        joined["symmetries"].fill_null(pl.Series([[0] * 8], dtype=FINDINGS["symmetries"])).to_numpy(),
        stores.thumbnails.rows(places),
        stores.details.rows(places),
        shorter.to_series().to_numpy().astype(np.uint8),
    )
    manifest = manifest.with_rows(joined.drop("failure", "failure_detail", "symmetries", "place"))
    return manifest.exclude("probe", joined["failure"], joined["failure_detail"]), fingerprints


_OF_OWN_BYTES = frozenset({"AppleDouble (macOS)", ".DS_Store (macOS)"})


def _name_system_files(rows: pl.DataFrame) -> pl.DataFrame:
    """Mark files that are not images and have the name of an operating system's file.

    The cache cannot contain this, as its findings depend on the bytes alone.
    """
    nameless = pl.col("failure").is_in([Reason.EMPTY_FILE.value, Reason.NOT_AN_IMAGE.value])
    files = rows.filter(nameless).select("id", "path", "failure_detail").rows()
    names = ((row, name_system_file(path), content) for row, path, content in files)
    # A system file with a signature of its own is not one where its bytes are those of something else.
    found = {row: name for row, name, content in names if name and not (name in _OF_OWN_BYTES and content)}
    by_name = pl.col("id").replace_strict(found, default=None, return_dtype=pl.String)
    is_named = by_name.is_not_null()
    return rows.with_columns(
        failure=pl.when(is_named).then(pl.lit(Reason.SYSTEM_FILE.value)).otherwise("failure"),
        failure_detail=pl.when(is_named).then(by_name).otherwise("failure_detail"),
    )
