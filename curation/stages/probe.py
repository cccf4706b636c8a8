"""Each file is decoded once: what it is, its hashes and thumbnail, its raw quality values, or why it is no picture.

This is the one place where a failure to decode becomes a reason. What is found hangs on the file's bytes, the recipe's
decode and hash settings and ``PROBE_VERSION`` alone, and is kept in the cache under them.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from curation.dataset.columns import SCHEMA, columns_of
from curation.dataset.manifest import Manifest, digest_of
from curation.dataset.recipe import Recipe, ToneWindow
from curation.engines import Engine
from curation.errors import CurationError, ErrorCode
from curation.hashing import (
    PIXELS,
    Fingerprints,
    HashName,
    ThumbnailStore,
    imagehash_hash,
    is_flat,
    pixel_sha256,
    sha256_hex,
    symmetries,
)
from curation.images import SNIFF_BYTES, DecodeFailure, Tone, Window, decode, gray32_batch, measure_batch, sniff
from curation.reasons import Reason, UnusableFile
from curation.storage.archive_index import ArchiveIndex, page_id
from curation.storage.archive_members import Member, UnreadableMember, name_system_file
from curation.storage.archives import read_member
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import RemotePath, readable
from curation.storage.progress import Progress, show_progress

PROBE_VERSION = 5
SHARD_FILES = 256
MAX_SHARDS = 32
GATHERED_ROWS = 65_536
SMALL_SHARD_BYTES = 1 << 20
TOGETHER = 16
TOGETHER_BYTES = 1 << 19
WAITING_BYTES = 1 << 25

COLUMNS = columns_of("probe")
FINDINGS: Mapping[str, Any] = {
    "sha256": SCHEMA["sha256"],
    "page": SCHEMA["page"],
    "failure": pl.String(),
    "failure_detail": pl.String(),
    **{name: SCHEMA[name] for name in COLUMNS},
    "symmetries": pl.Array(pl.UInt64, 8),
    "thumbnail": pl.Binary(),
}
"""What the cache keeps of each page of each file; the 32 x 32 grey values as bytes, which Parquet reads fastest."""


@dataclass(frozen=True)
class ProbeSettings:
    """What decides a probe's result besides the file's bytes."""

    scale: Literal["full", "scaled"]
    tone: Tone
    pages: Literal["first", "each"]
    hash: Literal["phash"] | HashName

    @classmethod
    def of(cls, recipe: Recipe) -> "ProbeSettings":
        """Return the recipe's settings."""
        return cls(recipe.decode.scale, tone_of(recipe.decode.tone), recipe.decode.pages, recipe.duplicates.hash)


@dataclass(frozen=True)
class ProbeShard:
    """Some files of one archive, to be read and probed in one go, wherever the engine decides."""

    archive: Path
    members: tuple[Member, ...]
    shas: tuple[str, ...]
    settings: ProbeSettings


def tone_of(tone: Literal["scale"] | ToneWindow) -> Tone:
    """Return the recipe's tone rule as the decoder takes it."""
    return tone if isinstance(tone, str) else Window(tone.low, tone.high)


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
        Where each file is read; opened only for files the cache knows nothing of.

    Returns
    -------
    Manifest
        A file that is not an image is excluded. Where the recipe asks for each page a row
        ``id#2``, ``id#3`` and so on is added for every further page.
    Fingerprints
        Zeros for what could not be decoded.
    """
    settings = ProbeSettings.of(recipe)
    store = ProbeCache(cache, recipe.probe_settings())
    wanted = manifest.kept.select("id", "sha256", "size_bytes")
    spool = ThumbnailStore(cache.root)
    known = store.load(wanted["sha256"], spool)
    new = wanted.filter(~pl.col("sha256").is_in(known["sha256"].implode())).unique(
        "sha256", keep="first", maintain_order=True
    )
    found = [known]
    if new.height:
        shards = _cut(new, archive_index, settings)
        with show_progress(progress, "look at pictures", int(new["size_bytes"].sum())) as advance:
            for number, table in _look(engine, shards):
                store.keep(table)
                found.append(_put_thumbnails_by(table, spool))
                advance(sum(member.size_bytes for member in shards[number].members))
    return _merge(manifest, pl.concat(found), spool, each=settings.pages == "each")


def _look(engine: Engine, shards: Sequence[ProbeShard]) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield number and findings of each shard as soon as it is there: what was finished is kept, whatever comes."""
    if engine.is_remote:
        for number, content in engine.as_completed(probe_far, shards):
            yield number, pl.read_parquet(content, schema=FINDINGS)
    else:
        for number, rows in engine.as_completed(probe_shard, shards):
            yield number, pl.DataFrame(rows, schema=FINDINGS)


def probe_far(shard: ProbeShard) -> bytes:
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
    return _as_parquet(pl.DataFrame(probe_shard(shard), schema=FINDINGS))


def _as_parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


def probe_shard(shard: ProbeShard) -> dict[str, list[Any]]:
    """Return the findings on every page that is asked for, as columns; the work of one worker.

    Arrays leave as lists of arrays, so that a worker needs no table library.
    """
    seen = (page for member, sha in zip(shard.members, shard.shas, strict=True) for page in _see(shard, member, sha))
    found: dict[int, tuple[dict[str, Any], NDArray[np.uint8]]] = {}
    for group in _group(seen):
        found |= zip(group, _finish(list(group.values()), shard.settings), strict=True)
    rows = [found[number][0] for number in range(len(found))]
    stack = np.stack([found[number][1] for number in range(len(found))])
    if shard.settings.hash == "phash":
        hashes = symmetries(stack)
    else:
        hashes = np.zeros((len(rows), 8), np.uint64)
        hashes[:, 0] = [row.get("phash") or 0 for row in rows]
    decoded = np.array([row.get("failure") is None for row in rows])
    flat = is_flat(stack)
    for number, row in enumerate(rows):
        row["phash"] = int(hashes[number, 0]) if decoded[number] else None
        row["flat"] = bool(flat[number]) if decoded[number] else None
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in FINDINGS}
    columns["symmetries"] = hashes * decoded[:, None].astype(np.uint64)
    columns["thumbnail"] = [picture.tobytes() for picture in stack]
    return columns


_NOTHING = np.zeros((32, 32), np.uint8)


@dataclass(frozen=True)
class _Seen:
    """A page that was decoded, or why it was not: what is known of it, its grey pixels, and its file's content."""

    row: dict[str, Any]
    grey: NDArray[np.uint8] | None = None
    content: bytes = b""

    @property
    def weight(self) -> int:
        """Return the bytes that this keeps in memory."""
        return len(self.content) + (0 if self.grey is None else self.grey.nbytes)


def _see(shard: ProbeShard, member: Member, sha: str) -> Iterator[_Seen]:
    try:
        content = read_member(shard.archive, member)
    except UnreadableMember as fault:
        yield _Seen({"sha256": sha, "page": 1, **_failed(fault)})
        return
    if sha256_hex(content) != sha:
        changed = UnreadableMember(Reason.FILE_CHANGED, "while it was read")
        yield _Seen({"sha256": sha, "page": 1, **_failed(changed)})
        return
    page = pages = 1
    while page <= pages:
        seen = _see_page(content, shard.settings, sha=sha, page=page)
        if shard.settings.pages == "each" and page == 1:
            pages = seen.row.get("pages") or 1
        yield seen
        page += 1


def _see_page(content: bytes, settings: ProbeSettings, *, sha: str, page: int) -> _Seen:
    """Decode one page once.

    Losslessly coded pictures are decoded with their colours, so that their pixels have a name of their own.
    """
    name = {"sha256": sha, "page": page}
    jpeg = sniff(content[:SNIFF_BYTES]) == "jpeg"
    try:
        picture = decode(content, scale=settings.scale, tone=settings.tone, page=page, gray=jpeg)
    except DecodeFailure as fault:
        return _Seen(name | _failed(fault) | {"format": sniff(content[:SNIFF_BYTES])})
    grey, header = picture.pixels, picture.header
    pixels = None
    if not jpeg:
        pixels = pixel_sha256(grey) if header.lossless else None
        grey = np.asarray(Image.fromarray(grey).convert("L"))
    row = name | {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "bits": header.bits,
        "pages": header.pages,
        "orientation": header.orientation,
        "pixel_sha256": pixels,
    }
    if settings.hash != "phash":
        row["phash"] = imagehash_hash(settings.hash, Image.fromarray(grey))
    return _Seen(row, grey, b"" if pixels else content)


def _failed(fault: UnusableFile) -> dict[str, Any]:
    return {"failure": fault.reason.value, "failure_detail": fault.detail}


def _group(pages: Iterable[_Seen]) -> Iterator[dict[int, _Seen]]:
    """Yield the pages by their number, those of one size together as far as they come, of bounded bytes."""
    waiting: dict[tuple[int, ...], dict[int, _Seen]] = {}
    held = 0
    for number, page in enumerate(pages):
        shape = () if page.grey is None else page.grey.shape
        group = waiting.setdefault(shape, {})
        group[number] = page
        held += page.weight
        if len(group) == TOGETHER or (page.grey is not None and len(group) * page.grey.nbytes >= TOGETHER_BYTES):
            held -= sum(one.weight for one in group.values())
            yield waiting.pop(shape)
        elif held > WAITING_BYTES:
            yield from waiting.values()
            waiting, held = {}, 0
    yield from waiting.values()


def _finish(pages: Sequence[_Seen], settings: ProbeSettings) -> list[tuple[dict[str, Any], NDArray[np.uint8]]]:
    """Return the rows of pages of one size with their quality values, and their (32, 32) uint8 grey thumbnails.

    What is flat and not lossless is decoded a second time for its pixels' name, as its hash says nothing.
    """
    pictures = [page.grey for page in pages if page.grey is not None]
    if not pictures:
        return [(page.row, _NOTHING) for page in pages]
    stack = np.stack(pictures)
    thumbnails = gray32_batch(stack)
    flat = is_flat(thumbnails)
    finished = []
    for number, (page, quality) in enumerate(zip(pages, measure_batch(stack), strict=True)):
        values = {"sharpness": quality.sharpness, "brightness": quality.brightness, "contrast": quality.contrast}
        row, thumbnail = page.row | values, thumbnails[number]
        if flat[number] and row["pixel_sha256"] is None:
            try:
                again = decode(page.content, scale="full", tone=settings.tone, page=row["page"])
                row["pixel_sha256"] = pixel_sha256(again.pixels)
            except DecodeFailure as fault:
                row = {name: row[name] for name in ("sha256", "page", "format")} | _failed(fault)
                thumbnail = _NOTHING
        finished.append((row, thumbnail))
    return finished


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


class ProbeCache:
    """What is known of files under one set of settings: Parquet shards, each written whole, never changed.

    A shard is named by its content, so that several builds may write at once and a run that was ended goes on from
    the last shard that was finished. Where many small ones have gathered they are written again as one.
    """

    def __init__(self, cache: Cache, settings: Mapping[str, object]) -> None:
        self._cache = cache
        self._folder = cache.shared_folder("probe") / digest_of({**settings, "version": PROBE_VERSION})[:16]

    def load(self, shas: pl.Series, spool: ThumbnailStore) -> pl.DataFrame:
        """Return the findings on the files with these sha256, their thumbnails put by."""
        wanted, tables = shas.unique().sort(), [_put_thumbnails_by(pl.DataFrame(schema=FINDINGS), spool)]
        shards = self._shards()
        tables += [_put_thumbnails_by(found, spool) for found in _read_all_wanted(shards, wanted)]
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
        content = _as_parquet(table)
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
        content = _as_parquet(table)
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


def _put_thumbnails_by(table: pl.DataFrame, spool: ThumbnailStore) -> pl.DataFrame:
    """Return the findings with the place of each thumbnail instead of the thumbnail, which is most of their bytes."""
    thumbnails = np.frombuffer(b"".join(table["thumbnail"].to_list()), np.uint8)
    places = spool.add(thumbnails.reshape(-1, PIXELS))
    return table.drop("thumbnail").with_columns(place=pl.Series(places, dtype=pl.Int64))


def _merge(
    manifest: Manifest, found: pl.DataFrame, spool: ThumbnailStore, *, each: bool
) -> tuple[Manifest, Fingerprints]:
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
    unlooked = joined.filter(read & pl.col("format").is_null() & pl.col("failure").is_null())
    if unlooked.height:
        raise RuntimeError(f"the probe forgot {unlooked.height} files, {unlooked['id'][0]} among them")
    joined = _name_system_files(joined)
    fingerprints = Fingerprints(
        joined["symmetries"].fill_null(pl.Series([[0] * 8], dtype=FINDINGS["symmetries"])).to_numpy(),
        spool.rows(joined["place"].fill_null(-1).to_numpy()),
    )
    manifest = manifest.with_rows(joined.drop("failure", "failure_detail", "symmetries", "place"))
    return manifest.exclude("probe", joined["failure"], joined["failure_detail"]), fingerprints


_OF_OWN_BYTES = frozenset({"AppleDouble (macOS)", ".DS_Store (macOS)"})


def _name_system_files(rows: pl.DataFrame) -> pl.DataFrame:
    """Say of what is no image that an operating system left it, where its name tells that and its bytes do not.

    Here and not where the bytes are looked at: what the cache keeps hangs on the bytes alone.
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
