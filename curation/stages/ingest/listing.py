"""Lists the files of an archive with their sha256, or the reason why one cannot be read."""

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curation.engines import Engine
from curation.hashing import sha256_hex
from curation.reasons import Cause
from curation.storage.archive_index import Archive
from curation.storage.archive_members import FilePlace, Member, UnreadableMember
from curation.storage.archives import read_member
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import locate, readable
from curation.storage.progress import Progress, show_progress

SHARD_FILES = 512
IN_PROCESS_BYTES = 512 << 20
LISTING = {"path": pl.String, "size_bytes": pl.Int64, "sha256": pl.String, "reason": pl.String, "detail": pl.String}
LISTINGS = "listings-3"
"""The folder of the cache; its number rises with the layout of what it keeps."""
_READ = (None, None)


def list_archive(archive: Archive, *, cache: Cache, engine: Engine, progress: Progress) -> pl.DataFrame:
    """Return path, size, sha256, and reason and detail of what cannot be read, of every file, sorted by path.

    The content of an archive never changes under its sha256, so it is read once and then taken from the cache.
    """
    known = cache.shared_folder(LISTINGS) / f"{archive.sha256}.parquet"
    if not archive.path.is_dir():
        try:
            return pl.read_parquet(readable(known), schema=LISTING)
        except (OSError, pl.exceptions.PolarsError):
            pass  # it is absent or damaged, and is made again
    if archive.path.is_dir():
        return _list_folder(archive, archive.members, cache)
    listing = _hash_members(archive, archive.members, engine=engine, progress=progress)
    buffer = io.BytesIO()
    listing.write_parquet(buffer)
    cache.keep(known, buffer.getvalue())
    return listing


def _list_folder(archive: Archive, members: Sequence[Member], cache: Cache) -> pl.DataFrame:
    readable = [member for member in members if isinstance(member.locator, FilePlace)]
    paths = [locate(member.locator.path) for member in readable if isinstance(member.locator, FilePlace)]
    digests = dict(zip(readable, cache.file_sha256s(archive.path, paths), strict=True))
    rows = []
    for member in members:
        sha, refused = digests.get(member), member.refused
        if sha is None and refused is None:
            refused = _try_to_read(archive.path, member)[1]
        rows.append((member.path, member.size_bytes, sha, *(refused or _READ)))
    return pl.DataFrame(rows, schema=LISTING, orient="row")


def _hash_members(archive: Archive, members: Sequence[Member], *, engine: Engine, progress: Progress) -> pl.DataFrame:
    shards = [
        (archive.path, tuple(members[start : start + SHARD_FILES])) for start in range(0, len(members), SHARD_FILES)
    ]
    rows = []
    size = sum(member.size_bytes for member in members)
    # Processes take longer to start than it takes to hash a few hundred megabytes.
    mapped = engine.map(hash_shard, shards) if size > IN_PROCESS_BYTES else map(hash_shard, shards)
    with show_progress(progress, f"list {archive.name}", size) as advance:
        for shard, digests in zip(shards, mapped, strict=True):
            for member, (sha, refused) in zip(shard[1], digests, strict=True):
                rows.append((member.path, member.size_bytes, sha, *(refused or _READ)))
            advance(sum(member.size_bytes for member in shard[1]))
    return pl.DataFrame(rows, schema=LISTING, orient="row")


def hash_shard(shard: tuple[Path, tuple[Member, ...]]) -> list[tuple[str | None, Cause | None]]:
    """Return (sha256, None) or (None, cause) of each member of an archive."""
    archive, members = shard
    return [_try_to_read(archive, member) for member in members]


def _try_to_read(archive: Path, member: Member) -> tuple[str | None, Cause | None]:
    try:
        return sha256_hex(read_member(archive, member)), None
    except UnreadableMember as fault:
        return None, Cause(fault.reason, fault.detail)
