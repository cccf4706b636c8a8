"""Keeps what the probe found of files: Parquet shards under the probe's version and settings, never changed."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from curation.dataset.manifest import digest_of
from curation.hashing import DETAIL_SIDE, ThumbnailStore, sha256_hex
from curation.reasons import Reason
from curation.stages.probe.pages import FINDINGS
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import RemotePath, readable

PROBE_VERSION = 8
"""Rises where the same bytes and settings give other findings."""
MAX_SHARDS = 32
GATHERED_ROWS = 65_536
SMALL_SHARD_BYTES = 1 << 20

_OF_CONTENT = frozenset(
    {
        Reason.DAMAGED,
        Reason.DECOMPRESSION_BOMB,
        Reason.EMPTY_FILE,
        Reason.MISSING_PAGE,
        Reason.NO_PIXELS,
        Reason.NO_TONE_RULE,
        Reason.NOT_AN_IMAGE,
        Reason.SYSTEM_FILE,
        Reason.TOO_LARGE,
        Reason.TRUNCATED,
        Reason.UNSUPPORTED,
    }
)
"""The failures that depend on the file's bytes alone; the others may pass and are not kept in the cache."""


class Stores(NamedTuple):
    """Where thumbnails and their details are kept; those of one page have the same place."""

    thumbnails: ThumbnailStore
    details: ThumbnailStore

    @classmethod
    def in_folder(cls, folder: Path) -> "Stores":
        """Return empty stores whose files, where they need one, are in this folder."""
        return cls(ThumbnailStore(folder), ThumbnailStore(folder, side=DETAIL_SIDE))


def as_parquet(table: pl.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


class ProbeCache:
    """The findings on files under one set of settings: Parquet shards, each written whole, never changed.

    A shard is named by its content, so that several builds may write at once and an interrupted run continues
    after the last shard that was finished. Many small shards are merged into one.
    """

    def __init__(self, cache: Cache, settings: Mapping[str, object]) -> None:
        self._cache = cache
        self._folder = cache.shared_folder("probe") / digest_of({**settings, "version": PROBE_VERSION})[:16]

    def load(self, shas: pl.Series, stores: Stores) -> pl.DataFrame:
        """Return the findings on the files with these sha256; their thumbnails go to the stores."""
        wanted, tables = shas.unique().sort(), [store_thumbnails(pl.DataFrame(schema=FINDINGS), stores)]
        shards = self._shards()
        tables += [store_thumbnails(found, stores) for found in _read_all_wanted(shards, wanted)]
        if len(shards) > MAX_SHARDS:
            self._gather(shards)
        return pl.concat(tables).unique(["sha256", "page"], keep="any")

    def keep(self, table: pl.DataFrame) -> None:
        """Add a shard."""
        table = table.filter(
            pl.col("failure").is_null() | pl.col("failure").is_in([reason.value for reason in _OF_CONTENT])
        )
        if not table.height:
            return
        content = as_parquet(table)
        self._cache.keep(self._folder / f"{sha256_hex(content)[:32]}.parquet", content)

    def _shards(self) -> list[Path]:
        return sorted(self._folder.glob("*.parquet"))

    def _gather(self, shards: Sequence[Path]) -> None:
        """Write small shards again as few, none of more than ``GATHERED_ROWS`` and one shard's rows."""
        small = [shard for shard in shards if self._count(shard) < GATHERED_ROWS]
        if len(small) <= MAX_SHARDS:
            return
        whole: list[tuple[Path, pl.DataFrame]] = []
        for shard in small:
            try:
                whole.append((shard, pl.read_parquet(readable(shard), schema=FINDINGS)))
            except (OSError, pl.exceptions.PolarsError):
                continue
            if sum(table.height for _, table in whole) >= GATHERED_ROWS:
                self._write_as_one(whole)
                whole = []
        if len(whole) > 1:
            self._write_as_one(whole)

    def _write_as_one(self, whole: Sequence[tuple[Path, pl.DataFrame]]) -> None:
        table = pl.concat([table for _, table in whole]).unique(["sha256", "page"], keep="any").sort("sha256", "page")
        content = as_parquet(table)
        target = self._folder / f"{sha256_hex(content)[:32]}.parquet"
        if self._cache.keep(target, content):
            for shard, _ in whole:
                if shard != target:
                    shard.unlink(missing_ok=True)

    def _count(self, shard: Path) -> int:
        try:
            return int(pl.scan_parquet(readable(shard)).select(pl.len()).collect().item())
        except (OSError, pl.exceptions.PolarsError):
            return 0


def _read_all_wanted(shards: Sequence[Path], wanted: pl.Series) -> Iterator[pl.DataFrame]:
    """Yield the findings on the wanted files; a shard that is gone or damaged is left out: its files are new again."""
    small = [shard for shard in shards if _is_small(shard)]
    alone = [shard for shard in shards if shard not in set(small)]
    for start in range(0, len(small), MAX_SHARDS):
        together = small[start : start + MAX_SHARDS]
        try:
            whole = pl.read_parquet(together, schema=FINDINGS)
        except (OSError, pl.exceptions.PolarsError):
            alone += together  # one that fails must not take the others with it
            continue
        yield whole.filter(_among(wanted, whole["sha256"]))
    for shard in alone:
        try:
            yield _read_wanted(shard, wanted)
        except (OSError, pl.exceptions.PolarsError):
            continue


def _is_small(shard: Path) -> bool:
    try:
        return not isinstance(shard, RemotePath) and shard.stat().st_size <= SMALL_SHARD_BYTES
    except OSError:
        return False


def _among(wanted: pl.Series, names: pl.Series) -> pl.Series:
    """Return which names are wanted; ``wanted`` ascends."""
    if not len(wanted):
        return pl.repeat(False, len(names), eager=True)
    return wanted.gather(wanted.search_sorted(names).clip(0, len(wanted) - 1)) == names


def _read_wanted(shard: Path, wanted: pl.Series) -> pl.DataFrame:
    """Return a shard's findings on the wanted files; one that has none of them costs its names alone."""
    content = readable(shard)
    hits = _among(wanted, pl.read_parquet(content, columns=["sha256"])["sha256"])
    if not hits.any():
        return pl.DataFrame(schema=FINDINGS)
    if isinstance(content, io.BytesIO):
        content.seek(0)
    return pl.read_parquet(content, schema=FINDINGS).filter(hits)


def store_thumbnails(table: pl.DataFrame, stores: Stores) -> pl.DataFrame:
    """Return the findings with the place of each thumbnail instead of thumbnail and detail, most of their bytes."""
    for name, store in zip(("thumbnail", "detail"), stores, strict=True):
        content = np.frombuffer(b"".join(table[name].to_list()), np.uint8)
        places = store.add(content.reshape(-1, store.side * store.side))
    return table.drop("thumbnail", "detail").with_columns(place=pl.Series(places, dtype=pl.Int64))
