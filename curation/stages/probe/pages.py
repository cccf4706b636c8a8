"""Decodes the pages of files once: what they are, their hashes and thumbnails, their raw quality values, or why not.

The work of one worker. The result depends on the file's bytes and the recipe's decode and hash settings alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from curation.dataset.columns import SCHEMA, columns_of
from curation.dataset.recipe import Recipe, ToneWindow
from curation.hashing import DETAIL_SIDE, HashName, imagehash_hash, is_flat, pixel_sha256, sha256_hex, symmetries
from curation.images import (
    SNIFF_BYTES,
    DecodeFailure,
    ImageReader,
    Tone,
    Window,
    decode,
    gray32,
    gray32_batch,
    gray64_batch,
    hash_coded_image,
    measure_batch,
    sniff,
)
from curation.reasons import Reason, UnusableFile
from curation.storage.archive_members import Member, UnreadableMember
from curation.storage.archives import read_member

BATCH_PAGES = 16
"""Pages of one size that are measured in one go, ..."""
BATCH_BYTES = 1 << 19
"""... up to so many bytes of gray pixels."""
WAITING_BYTES = 1 << 25
"""Decoded pages of other sizes that wait for their batch keep at most so many bytes."""

COLUMNS = columns_of("probe")
FINDINGS: Mapping[str, Any] = {
    "sha256": SCHEMA["sha256"],
    "page": SCHEMA["page"],
    "failure": pl.String(),
    "failure_detail": pl.String(),
    **{name: SCHEMA[name] for name in COLUMNS},
    "symmetries": pl.Array(pl.UInt64, 8),
    "thumbnail": pl.Binary(),
    "detail": pl.Binary(),
}
"""What the cache keeps of each page of each file; 32 x 32 and 64 x 64 gray values as bytes, which Parquet reads
fastest."""


@dataclass(frozen=True)
class ProbeSettings:
    """What decides a probe's result in addition to the file's bytes."""

    scale: Literal["full", "scaled"]
    tone: Tone
    pages: Literal["first", "each"]
    hash: Literal["phash"] | HashName
    max_pixels: int | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> "ProbeSettings":
        """Return the recipe's settings."""
        rule = recipe.decode
        return cls(rule.scale, tone_of(rule.tone), rule.pages, recipe.duplicates.hash, pixels_of(rule.max_megapixels))


@dataclass(frozen=True)
class ProbeShard:
    """Some files of one archive, which one worker reads and probes."""

    archive: Path
    members: tuple[Member, ...]
    shas: tuple[str, ...]
    settings: ProbeSettings


def tone_of(tone: Literal["scale"] | ToneWindow) -> Tone:
    """Return the recipe's tone rule as the decoder takes it."""
    return tone if isinstance(tone, str) else Window(tone.low, tone.high)


def pixels_of(megapixels: int | None) -> int | None:
    """Return the recipe's limit as the decoder takes it."""
    return None if megapixels is None else megapixels * 1_000_000


def probe_shard(shard: ProbeShard) -> dict[str, list[Any]]:
    """Return the findings on every page that is asked for, as columns; the work of one worker.

    Arrays leave as lists of arrays, so that a worker needs no table library.
    """
    files = zip(shard.members, shard.shas, strict=True)
    pages = (page for member, sha in files for page in _decode_pages(shard, member, sha))
    found: dict[int, _Finding] = {}
    for group in _batch(pages):
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
    columns["thumbnail"] = [thumbnail.tobytes() for thumbnail in stack]
    columns["detail"] = [found[number][2].tobytes() for number in range(len(found))]
    return columns


def crashed_shard(shard: ProbeShard) -> dict[str, list[Any]]:
    """Return the findings on files whose decoder ends its process."""
    count = len(shard.shas)
    columns: dict[str, Any] = {name: [None] * count for name in FINDINGS}
    columns |= {"sha256": list(shard.shas), "page": [1] * count, "failure": [Reason.DECODER_CRASHED.value] * count}
    columns |= {"symmetries": np.zeros((count, 8), np.uint64), "thumbnail": [_NO_THUMBNAIL.tobytes()] * count}
    columns["detail"] = [_NO_DETAIL.tobytes()] * count
    return columns


_Finding: TypeAlias = tuple[dict[str, Any], NDArray[np.uint8], NDArray[np.uint8]]
_NO_THUMBNAIL = np.zeros((32, 32), np.uint8)
_NO_DETAIL = np.zeros((DETAIL_SIDE, DETAIL_SIDE), np.uint8)


@dataclass(frozen=True)
class _Page:
    """A page that was decoded, or why it was not: its findings, its gray pixels, and its file's content."""

    row: dict[str, Any]
    gray: NDArray[np.uint8] | None = None
    content: bytes = b""

    @property
    def weight(self) -> int:
        """Return the bytes that this keeps in memory."""
        return len(self.content) + (0 if self.gray is None else self.gray.nbytes)


def _decode_pages(shard: ProbeShard, member: Member, sha: str) -> Iterator[_Page]:
    try:
        content = read_member(shard.archive, member)
    except UnreadableMember as fault:
        yield _Page({"sha256": sha, "page": 1, **_failed(fault)})
        return
    if sha256_hex(content) != sha:
        changed = UnreadableMember(Reason.FILE_CHANGED, "while it was read")
        yield _Page({"sha256": sha, "page": 1, **_failed(changed)})
        return
    page, pages, reader = 1, 1, ImageReader(content, max_pixels=shard.settings.max_pixels)
    while page <= pages:
        found = _decode_page(reader, shard.settings, sha=sha, page=page)
        if shard.settings.pages == "each" and page == 1:
            pages = found.row.get("pages") or 1
        yield found
        page += 1


def _decode_page(reader: ImageReader, settings: ProbeSettings, *, sha: str, page: int) -> _Page:
    """Decode one page once.

    Losslessly coded images are decoded in color, for the sha256 of their pixels; so are the flat ones of several pages,
    whose file would be read from its start for each of them.
    """
    name, content = {"sha256": sha, "page": page}, reader.content
    jpeg = sniff(content[:SNIFF_BYTES]) == "jpeg"
    try:
        image = reader.decode(scale=settings.scale, tone=settings.tone, page=page, gray=jpeg)
    except DecodeFailure as fault:
        return _Page(name | _failed(fault) | {"format": sniff(content[:SNIFF_BYTES])})
    gray, header = image.pixels, image.header
    pixels, same = None, hash_coded_image(content) if jpeg else None
    if not jpeg:
        color, gray = gray, np.asarray(Image.fromarray(gray).convert("L"))
        known = header.lossless or (header.pages > 1 and is_flat(gray32(gray)[None])[0])
        same = pixel_sha256(color)
        pixels = same if known else None
    row = name | {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "bits": header.bits,
        "pages": header.pages,
        "orientation": header.orientation,
        "pixel_sha256": pixels,
        "image_sha256": same,
    }
    if settings.hash != "phash":
        row["phash"] = imagehash_hash(settings.hash, Image.fromarray(gray))
    return _Page(row, gray, b"" if pixels else content)


def _failed(fault: UnusableFile) -> dict[str, Any]:
    return {"failure": fault.reason.value, "failure_detail": fault.detail}


def _batch(pages: Iterable[_Page]) -> Iterator[dict[int, _Page]]:
    """Yield the pages by their number, grouped by size under a memory bound."""
    waiting: dict[tuple[int, ...], dict[int, _Page]] = {}
    held = 0
    for number, page in enumerate(pages):
        shape = () if page.gray is None else page.gray.shape
        group = waiting.setdefault(shape, {})
        group[number] = page
        held += page.weight
        if len(group) == BATCH_PAGES or (page.gray is not None and len(group) * page.gray.nbytes >= BATCH_BYTES):
            held -= sum(one.weight for one in group.values())
            yield waiting.pop(shape)
        elif held > WAITING_BYTES:
            yield from waiting.values()
            waiting, held = {}, 0
    yield from waiting.values()


def _finish(pages: Sequence[_Page], settings: ProbeSettings) -> list[_Finding]:
    """Return the rows of pages of one size with their quality values, their gray thumbnails and the details of these.

    A flat image that is not lossless is decoded a second time for the sha256 of its pixels, as its hash is noise.
    """
    images = [page.gray for page in pages if page.gray is not None]
    if not images:
        return [(page.row, _NO_THUMBNAIL, _NO_DETAIL) for page in pages]
    stack = np.stack(images)
    thumbnails = gray32_batch(stack)
    details = gray64_batch(stack)
    flat = is_flat(thumbnails)
    finished = []
    for number, (page, quality) in enumerate(zip(pages, measure_batch(stack), strict=True)):
        values = {"sharpness": quality.sharpness, "brightness": quality.brightness, "contrast": quality.contrast}
        row, thumbnail, detail = page.row | values, thumbnails[number], details[number]
        if flat[number] and row["pixel_sha256"] is None:
            try:
                again = decode(
                    page.content, scale="full", tone=settings.tone, page=row["page"], max_pixels=settings.max_pixels
                )
                row["pixel_sha256"] = pixel_sha256(again.pixels)
            except DecodeFailure as fault:
                row = {name: row[name] for name in ("sha256", "page", "format")} | _failed(fault)
                thumbnail, detail = _NO_THUMBNAIL, _NO_DETAIL
        finished.append((row, thumbnail, detail))
    return finished
