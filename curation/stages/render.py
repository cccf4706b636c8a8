"""Writes the chosen images as the recipe asks: read in place, rendered, encoded, hashed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import PIL
import polars as pl
from PIL import features

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, Render
from curation.engines import Engine, survive_crashes
from curation.errors import CurationError, ErrorCode
from curation.hashing import sha256_hex
from curation.images import (
    DecodeFailure,
    ImageReader,
    RenderSettings,
    Step,
    Tone,
    Window,
    apply_color_constancy,
    crop_border,
    soften,
)
from curation.images import render as render_bytes
from curation.reasons import Cause, Reason
from curation.storage.archive_index import ArchiveIndex, file_of
from curation.storage.archive_members import Member, UnreadableMember
from curation.storage.archives import read_member
from curation.storage.progress import Progress, show_progress
from curation.versions import PublishedImage, link_or_copy

SHARD_FILES = 64

Written = tuple[str, int]
"""The sha256 of an image that was written, and its bytes."""


class UnrenderableImages(Exception):
    """Raised where images that were probed cannot be rendered; all others were rendered by then.

    Attributes
    ----------
    causes : mapping of str to Cause
        Why, by the row's id.
    """

    def __init__(self, causes: Mapping[str, Cause]) -> None:
        super().__init__(f"{len(causes)} images cannot be rendered")
        self.causes = causes


@dataclass(frozen=True)
class RenderShard:
    """Images of one archive to be rendered together: (member, page, target) each."""

    archive: Path
    images: tuple[tuple[Member, int, str], ...]
    folder: Path | None
    settings: RenderSettings
    tone: Tone
    steps: tuple[Step, ...] = ()
    max_pixels: int | None = None


def steps_of(rule: Render) -> tuple[Step, ...]:
    """Return the remedies that a recipe asks for, in the order in which they are applied: crop, colors, sharpness."""
    steps: list[Step] = []
    if rule.crop_border is not None:
        steps.append(partial(crop_border, share=rule.crop_border))
    if rule.colour_constancy is not None:
        steps.append(partial(apply_color_constancy, constancy=rule.colour_constancy))
    if rule.common_sharpness is not None:
        steps.append(partial(soften, sharpness=rule.common_sharpness, short_side=rule.short_side))
    return tuple(steps)


def settings_of(recipe: Recipe) -> tuple[RenderSettings, Tone]:
    """Return the recipe's render settings and tone rule as the encoder takes them."""
    rule, tone = recipe.render, recipe.decode.tone
    settings = RenderSettings(
        encode=rule.encode, short_side=rule.short_side, quality=rule.quality, subsampling=rule.subsampling
    )
    return settings, tone if isinstance(tone, str) else Window(tone.low, tone.high)


def encoder_name() -> str:
    """Return what encodes the images: recorded in every version, but not a part of its digest."""
    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}"


def render(
    manifest: Manifest,
    recipe: Recipe,
    archive_index: ArchiveIndex,
    folder: Path,
    *,
    names: pl.Series,
    reuse: Mapping[tuple[str, int], PublishedImage],
    engine: Engine,
    progress: Progress,
) -> Manifest:
    """Write every kept image below ``folder`` and fill ``file`` and ``file_sha256``.

    Parameters
    ----------
    names : polars.Series of String
        The path below ``folder`` of each kept row, aligned with ``manifest.kept``.
    reuse : mapping of (sha256, page) to PublishedImage
        Images of other versions with the same rendering: they become hard links, or copies where the disk has none.

    Raises
    ------
    UnrenderableImages
        Where an image cannot be decoded in full, or cannot be a JPEG.
    CurationError
        Where an image can no longer be read.
    """
    kept = manifest.kept.select("id", "sha256", "page").with_columns(file=names)
    for parent in sorted({str(Path(name).parent) for name in names}):
        (folder / parent).mkdir(parents=True, exist_ok=True)
    digests, fresh = {}, []
    for name, sha, page, file in kept.iter_rows():
        image = reuse.get((sha, page or 1))
        if image is not None and link_or_copy(image, folder / file):
            digests[name] = image.file_sha256
        else:
            fresh.append((name, page or 1, file))
    digests |= _render_all(fresh, recipe, archive_index, folder, engine=engine, progress=progress)
    written = kept.select("id", "file").with_columns(
        file_sha256=pl.Series([digests[name] for name in kept["id"]], dtype=pl.String)
    )
    rows = manifest.rows.drop("file", "file_sha256").join(written, on="id", how="left", maintain_order="left")
    return manifest.with_rows(rows)


def estimate_bytes(manifest: Manifest, recipe: Recipe, archive_index: ArchiveIndex, *, sample: int = 24) -> int:
    """Return an estimate of the bytes of the kept images, from rendering some of them in memory."""
    kept = manifest.kept.select("id", "page").gather_every(max(1, manifest.kept.height // sample))
    images = [(name, page or 1, "") for name, page in kept.iter_rows()]
    shards = _cut(images, recipe, archive_index, None)
    sizes = [written[1] for shard in shards for written in render_shard(shard) if not isinstance(written, Cause)]
    return round(sum(sizes) / len(sizes) * manifest.kept.height) if sizes else 0


def _render_all(
    images: Sequence[tuple[str, int, str]],
    recipe: Recipe,
    archive_index: ArchiveIndex,
    folder: Path,
    *,
    engine: Engine,
    progress: Progress,
) -> dict[str, str]:
    shards = _cut(images, recipe, archive_index, folder) if images else []
    names = {file: name for name, _, file in images}
    digests: dict[str, str] = {}
    causes: dict[str, Cause] = {}
    size = sum(member.size_bytes for shard in shards for member, *_ in shard.images)
    with show_progress(progress, "write images", size) as advance:
        for number, written in _write(engine, shards):
            for (member, _, file), result in zip(shards[number].images, written, strict=True):
                if isinstance(result, Cause):
                    causes[names[file]] = result
                else:
                    digests[names[file]] = result[0]
                advance(member.size_bytes)
    if causes:
        raise UnrenderableImages(causes)
    return digests


def _cut(
    images: Sequence[tuple[str, int, str]], recipe: Recipe, archive_index: ArchiveIndex, folder: Path | None
) -> list[RenderShard]:
    (settings, tone), steps = settings_of(recipe), steps_of(recipe.render)
    megapixels = recipe.decode.max_megapixels
    max_pixels = None if megapixels is None else megapixels * 1_000_000
    by_archive: dict[Path, dict[str, list[tuple[Member, int, str]]]] = {}
    for name, page, file in images:
        archive, member = archive_index.places[file_of(name, page)]
        by_archive.setdefault(archive, {}).setdefault(member.path, []).append((member, page, file))
    return [
        RenderShard(archive, tuple(together), folder, settings, tone, steps, max_pixels)
        for archive, files in sorted(by_archive.items())
        for together in _group_files(files.values())
    ]


def _group_files(files: Iterable[list[tuple[Member, int, str]]]) -> Iterator[list[tuple[Member, int, str]]]:
    """Yield the images of whole files, their pages in ascending order, some ``SHARD_FILES`` images at a time."""
    together: list[tuple[Member, int, str]] = []
    for pages in files:
        together += sorted(pages, key=lambda image: image[1])
        if len(together) >= SHARD_FILES:
            yield together
            together = []
    if together:
        yield together


def _write(engine: Engine, shards: Sequence[RenderShard]) -> Iterator[tuple[int, list[Written | Cause]]]:
    """Yield number of each shard, and (sha256, bytes) of its images or why there is none, once they are written."""
    if not engine.is_remote:
        yield from survive_crashes(engine, render_shard, shards, split=_split, join=_join)
        return
    tasks = [(replace(shard, folder=None), encoder_name()) for shard in shards]
    for number, contents in engine.as_completed(render_remote, tasks):
        images = [(file, content) for (_, _, file), content in zip(shards[number].images, contents, strict=True)]
        yield number, _write_files(images, shards[number].folder)


def _split(shard: RenderShard) -> list[RenderShard]:
    """Return a shard for each image."""
    return [replace(shard, images=(image,)) for image in shard.images]


def _join(shard: RenderShard, pieces: Sequence[list[Written | Cause] | None]) -> list[Written | Cause]:
    return [result for one in pieces for result in ([Cause(Reason.DECODER_CRASHED)] if one is None else one)]


def render_remote(task: tuple[RenderShard, str]) -> list[bytes | Cause]:
    """Return the images of a shard, rendered on a machine that cannot write to their folder.

    Raises
    ------
    CurationError
        Where that machine has another encoder than the one that publishes: a version has one encoder.
    """
    shard, encoder = task
    if encoder_name() != encoder:
        raise CurationError(
            ErrorCode.CLUSTER_MISMATCH,
            f"a machine of the cluster encodes with {encoder_name()}, this one with {encoder}",
            hint="Install the same Pillow on every machine.",
        )
    return [content for _, content in _render_each(shard)]


def render_shard(shard: RenderShard) -> list[Written | Cause]:
    """Write the images of a shard and return (sha256, bytes) of each, or why there is none; the work of one worker."""
    return _write_files(_render_each(shard), shard.folder)


def _write_files(images: Iterable[tuple[str, bytes | Cause]], folder: Path | None) -> list[Written | Cause]:
    written: list[Written | Cause] = []
    for file, content in images:
        if isinstance(content, Cause):
            written.append(content)
            continue
        if folder is not None:
            (folder / file).write_bytes(content)
        written.append((sha256_hex(content), len(content)))
    return written


def _render_each(shard: RenderShard) -> Iterator[tuple[str, bytes | Cause]]:
    reader, read = None, None
    for member, page, file in shard.images:
        try:
            if reader is None or read != member:
                reader, read = ImageReader(read_member(shard.archive, member), max_pixels=shard.max_pixels), member
            yield file, render_bytes(reader, shard.settings, tone=shard.tone, page=page, steps=shard.steps)
        except UnreadableMember as fault:
            raise CurationError(
                ErrorCode.IMAGE_UNREADABLE,
                f"{member.path}: was probed but can no longer be read: {fault}",
                hint="The source may have changed: build again.",
            ) from fault
        except DecodeFailure as fault:
            yield file, Cause(fault.reason, fault.detail)
