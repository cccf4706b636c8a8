"""Keeps what an audit measures of published files, by their sha256: Parquet shards in the cache, never changed.

Only a build reads it, of the files that it wrote itself; the commands ``audit`` and ``verify`` read the files again.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from curation.hashing import sha256_hex
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import readable

MEASUREMENT_VERSION: Final = 2
"""Rises where the same bytes give other measurements."""
MAX_SHARDS: Final = 32
"""Of more small shards one is made."""
SHARD_ROWS: Final = 4096
"""Rows of a shard; bounds the memory."""


class MeasurementCache:
    """Measurements of files: a table with ``sha256``, the values, and the pixels as bytes."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._folder = cache.shared_folder("audit") / f"measurements-{MEASUREMENT_VERSION}"

    def load(self, shas: pl.Series) -> Iterator[pl.DataFrame]:
        """Yield the measurements of files with these sha256; a shard that is damaged is ignored."""
        wanted = shas.unique()
        small: list[tuple[Path, pl.DataFrame]] = []
        for shard in sorted(self._folder.glob("*.parquet")):
            try:
                content = readable(shard)
                names = pl.read_parquet(content, columns=["sha256"])["sha256"]
                hits = names.is_in(wanted.implode())
                if isinstance(content, io.BytesIO):
                    content.seek(0)
                if hits.any() or len(names) < SHARD_ROWS // 4:
                    table = pl.read_parquet(content)
                    if len(names) < SHARD_ROWS // 4:
                        small.append((shard, table))
                    yield table.filter(hits)
            except (OSError, pl.exceptions.PolarsError):
                continue
        if len(small) > MAX_SHARDS:
            self._gather(small)

    def keep(self, table: pl.DataFrame) -> None:
        """Add measurements."""
        for part in table.iter_slices(SHARD_ROWS):
            self._write(part)

    def _write(self, table: pl.DataFrame) -> Path | None:
        buffer = io.BytesIO()
        table.write_parquet(buffer, compression="zstd", compression_level=1)
        content = buffer.getvalue()
        target = self._folder / f"{sha256_hex(content)[:32]}.parquet"
        return target if self._cache.keep(target, content) else None

    def _gather(self, small: list[tuple[Path, pl.DataFrame]]) -> None:
        """Write small shards again as few."""
        table = pl.concat([table for _, table in small]).unique("sha256", keep="any").sort("sha256")
        written = [self._write(part) for part in table.iter_slices(SHARD_ROWS)]
        if None not in written:
            for shard, _ in small:
                if shard not in written:
                    shard.unlink(missing_ok=True)
