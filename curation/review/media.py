"""The two media files of every row: the image in full size, and the view of the board.

They are in the cache under the file's sha256, so that a second review decodes nothing. Files that cannot be decoded
get a placeholder that shows the reason.
"""

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Final

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageFont

from curation.dataset.manifest import canonical_json, describe_excluded, digest_of, is_not_image
from curation.dataset.recipe import Recipe
from curation.engines import Engine
from curation.hashing import sha256_hex
from curation.images import DecodeFailure, RenderSettings, Tone, camera_view, decode, render
from curation.stages.render import settings_of
from curation.storage.archive_index import ArchiveIndex
from curation.storage.archive_members import Member, UnreadableMember
from curation.storage.archives import read_member
from curation.storage.atomic_files import replace_unflushed

SHARD_FILES: Final = 48
PLACEHOLDER_SIZE: Final = (320, 240)
_FULL: Final = RenderSettings(encode="keep", quality=95)


@dataclass(frozen=True)
class MediaShard:
    """Files of one archive whose media are to be written."""

    archive: Path
    files: tuple["MediaFiles", ...]
    settings: RenderSettings
    tone: Tone


@dataclass(frozen=True)
class MediaFiles:
    """The source and the two targets of one file; ``rendered`` is its published image."""

    member: Member
    sha256: str
    page: int
    rendered: Path | None
    full: Path
    board: Path


def prepare_media(
    rows: pl.DataFrame,
    recipe: Recipe,
    *,
    folder: Path,
    archive_index: Callable[[], ArchiveIndex],
    built: Path | None,
    engine: Engine,
) -> pl.DataFrame:
    """Write the missing media files, and return the paths of all.

    Parameters
    ----------
    rows : polars.DataFrame
        A manifest's rows.
    folder : Path
        The folder in the cache.
    archive_index : callable
        Lists the files of the sources; only called where media are missing.
    built : Path, optional
        The version's folder, whose images are not rendered again.
    engine : Engine

    Returns
    -------
    polars.DataFrame
        Columns id, full, board (absolute paths), width, height (px, of the full image), in the order of ``rows``.
    """
    wanted = _name(rows, recipe, folder)
    known = _list_files(folder)
    missing = wanted.filter(
        pl.col("shown") & ~(pl.col("full").is_in(known.implode()) & pl.col("board").is_in(known.implode()))
    )
    reasons: dict[str, str] = {}
    if missing.height:
        reasons = _make(missing.unique("full", keep="first", maintain_order=True), recipe, archive_index, built, engine)
    return _with_placeholders(wanted, reasons, folder)


def _name(rows: pl.DataFrame, recipe: Recipe, folder: Path) -> pl.DataFrame:
    """Return the paths of the media files, which depend on everything that determines their pixels."""
    rendering = recipe.rendering()
    full = folder / f"full-{digest_of(canonical_json(rendering['tone']))[:8]}"
    board = folder / f"board-{digest_of(rendering)[:8]}"
    page = pl.when(pl.col("page").fill_null(1) > 1).then(pl.format("-{}", "page")).otherwise(pl.lit(""))
    inner = pl.col("sha256").str.slice(0, 2) + "/" + pl.col("sha256") + page
    readable = pl.col("width").is_not_null() & pl.col("sha256").is_not_null()
    return rows.select(
        "id",
        "path",
        "source",
        "sha256",
        "width",
        "height",
        "file",
        excluded=describe_excluded(rows),
        page=pl.col("page").fill_null(1),
        shown=readable & ~is_not_image(),
        full=pl.lit(f"{full}/") + inner + ".jpg",
        board=pl.lit(f"{board}/") + inner + ".png",
    )


def _list_files(folder: Path) -> pl.Series:
    found = [f"{place}/{name}" for place, _, names in os.walk(folder) for name in names]
    return pl.Series("known", found, dtype=pl.String)


def _make(
    missing: pl.DataFrame, recipe: Recipe, archive_index: Callable[[], ArchiveIndex], built: Path | None, engine: Engine
) -> dict[str, str]:
    """Write the missing media files; return full target -> reason for those that failed."""
    settings, tone = settings_of(recipe)
    places = archive_index().places
    reasons: dict[str, str] = {}
    by_archive: dict[Path, list[MediaFiles]] = {}
    for row in missing.iter_rows(named=True):
        place = places.get(f"{row['source']}/{row['path']}")
        if place is None:
            reasons[row["full"]] = "its source is not available"
            continue
        rendered = built / row["file"] if built is not None and row["file"] is not None else None
        pair = MediaFiles(place[1], row["sha256"], row["page"], rendered, Path(row["full"]), Path(row["board"]))
        by_archive.setdefault(place[0], []).append(pair)
    for folder in sorted({Path(path).parent for column in ("full", "board") for path in missing[column]}):
        folder.mkdir(parents=True, exist_ok=True)
    shards = [
        MediaShard(archive, tuple(files[start : start + SHARD_FILES]), settings, tone)
        for archive, files in sorted(by_archive.items())
        for start in range(0, len(files), SHARD_FILES)
    ]
    for failures in engine.map(write_media, shards):
        reasons |= {str(full): reason for full, reason in failures}
    return reasons


def write_media(shard: MediaShard) -> list[tuple[Path, str]]:
    """Write the media files of one shard; return (full target, reason) for those that failed."""
    failures = []
    for pair in shard.files:
        try:
            content = read_member(shard.archive, pair.member)
            if sha256_hex(content) != pair.sha256:
                failures.append((pair.full, "changed since the build"))
                continue
            replace_unflushed(pair.full, render(content, _FULL, tone=shard.tone, page=pair.page))
            if pair.rendered is not None and pair.rendered.is_file():
                small = pair.rendered.read_bytes()
            else:
                small = render(content, shard.settings, tone=shard.tone, page=pair.page)
            replace_unflushed(pair.board, _as_png(camera_view(decode(small).pixels)))
        except (DecodeFailure, UnreadableMember) as failure:
            failures.append((pair.full, str(failure)))
    return failures


def _as_png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()


def _with_placeholders(wanted: pl.DataFrame, reasons: Mapping[str, str], folder: Path) -> pl.DataFrame:
    failed = pl.DataFrame(
        {"full": list(reasons), "reason": list(reasons.values())}, schema={"full": pl.String, "reason": pl.String}
    )
    # By file, not by row: rows with the same bytes share their media.
    explained = wanted.join(failed, on="full", how="left", maintain_order="left").with_columns(
        reason=pl.when(~pl.col("shown")).then(pl.coalesce("excluded", pl.lit("no image"))).otherwise("reason")
    )
    texts = explained["reason"].drop_nulls().unique().sort().to_list()
    drawn = pl.DataFrame(
        {"reason": texts, "drawn": [str(draw_placeholder(text, folder / "placeholders")) for text in texts]},
        schema={"reason": pl.String, "drawn": pl.String},
    )
    width, height = PLACEHOLDER_SIZE
    return explained.join(drawn, on="reason", how="left", maintain_order="left").select(
        "id",
        full=pl.coalesce("drawn", "full"),
        board=pl.coalesce("drawn", "board"),
        width=pl.when(pl.col("drawn").is_null()).then("width").otherwise(width),
        height=pl.when(pl.col("drawn").is_null()).then("height").otherwise(height),
    )


def draw_placeholder(reason: str, folder: Path) -> Path:
    """Draw a placeholder with the reason why there is no image, and return its path."""
    path = folder / f"{digest_of(reason)[:16]}.png"
    if path.is_file():
        return path
    image = Image.new("RGB", PLACEHOLDER_SIZE, (38, 38, 44))
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 8, PLACEHOLDER_SIZE[0] - 9, PLACEHOLDER_SIZE[1] - 9), outline=(200, 90, 70), width=2)
    draw.text((20, 20), "no image", fill=(230, 120, 90), font=ImageFont.load_default(24))
    lines = "\n".join(wrap(reason, 32)[:8])
    draw.multiline_text((20, 64), lines, fill=(225, 225, 225), font=ImageFont.load_default(16))
    folder.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    image.save(out, "PNG")
    replace_unflushed(path, out.getvalue())
    return path
