"""The chosen images are written alike, and taken over where they were written before."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe
from curation.engines import Local
from curation.errors import CurationError, ErrorCode
from curation.images import encode as encode_jpeg
from curation.sources import fetch_all, index_files
from curation.stages.ingest import ingest
from curation.stages.render import estimate_bytes, render, settings_of
from curation.storage.archive_index import ArchiveIndex, page_id
from curation.storage.cache import Cache
from curation.storage.progress import SilentProgress
from curation.versions import PublishedImage
from tests.builders import as_bytes, make_recipe, sha_of, texture, write_source


def opened(folder: Path, **render_table: object) -> tuple[Recipe, ArchiveIndex, Manifest]:
    """Return a recipe, the index of its files and the manifest of a folder in which every file is kept in train."""
    recipe = make_recipe(
        sources=[{"name": "src", "kind": "folder", "path": str(folder), "label": "melanoma"}], render=render_table
    )
    cache = Cache()
    fetched = fetch_all(recipe.sources, cache=cache)
    manifest = ingest(recipe, fetched, cache=cache, engine=Local(1), progress=SilentProgress())
    return recipe, index_files(fetched), manifest.with_columns(label=pl.lit("melanoma"), split=pl.lit("train"))


def rendered(
    folder: Path,
    target: Path,
    *,
    reuse: dict[tuple[str, int], PublishedImage] | None = None,
    workers: int = 1,
    **table: object,
) -> Manifest:
    """Return the manifest after its images were written below the target."""
    recipe, archive_index, manifest = opened(folder, **table)
    names = manifest.kept.select(pl.format("images/{}.jpg", pl.col("sha256").str.head(12))).to_series()
    return render(
        manifest,
        recipe,
        archive_index,
        target,
        names=names,
        reuse=reuse or {},
        engine=Local(workers),
        progress=SilentProgress(),
    )


def test_every_image_comes_out_of_one_size_and_one_encoder_setting(tmp_path: Path) -> None:
    """Whatever the source's format and quality, nothing in the file tells them apart."""
    files = {"a.jpg": as_bytes(texture(1, width=300, height=200), quality=40), "b.tif": as_bytes(texture(2), "TIFF")}
    folder = write_source(tmp_path / "f", {**files, "c.png": as_bytes(texture(3, width=200, height=200), "PNG")})
    after = rendered(folder, tmp_path / "out", encode="uniform", short_side=64)
    pictures = [Image.open(io.BytesIO((tmp_path / "out" / file).read_bytes())) for file in after.rows["file"]]
    assert [min(picture.size) for picture in pictures] == [64, 64, 64]
    assert len({str(picture.quantization) for picture in pictures}) == 1  # type: ignore[attr-defined]  # a JPEG's own
    assert {tuple(picture.info) for picture in pictures} == {("jfif", "jfif_version", "jfif_unit", "jfif_density")}


def test_the_pages_of_a_file_are_rendered_by_one_worker_that_opens_it_once(tmp_path: Path) -> None:
    """A frame may build on those before it: shards of a few pages would read each file from its start again."""
    pages = [Image.fromarray(texture(number, width=16, height=16)) for number in range(150)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    folder = write_source(tmp_path / "f", {"a.tif": buffer.getvalue(), "b.jpg": as_bytes(texture(8))})
    recipe, archive_index, manifest = opened(folder)
    first, other = (row for row in manifest.rows.iter_rows(named=True))
    rows = [{**first, "id": page_id(first["id"], page), "page": page} for page in range(150, 1, -1)]
    manifest = Manifest(pl.DataFrame([first, *rows, other], schema=manifest.rows.schema).sort("id"))
    engine = Counting()
    after = render(
        manifest,
        recipe,
        archive_index,
        tmp_path / "out",
        names=manifest.kept.select(pl.format("images/{}-{}.jpg", "sha256", "page")).to_series(),
        reuse={},
        engine=engine,
        progress=SilentProgress(),
    )
    assert engine.shards == [150, 1]
    for page, digest in after.rows.filter(path="a.tif").select("page", "file_sha256").iter_rows():
        whole = encode_jpeg(np.asarray(pages[page - 1].convert("RGB")), settings_of(recipe)[0])
        assert digest == hashlib.sha256(whole).hexdigest()


class Counting:
    """An engine of this process that stores how many images each shard has."""

    workers = 1
    is_remote = False

    def __init__(self) -> None:
        self.shards: list[int] = []

    def map(self, function: Callable[[Any], Any], shards: Sequence[Any]) -> Iterator[Any]:
        """Compute in order."""
        return map(function, shards)

    def as_completed(self, function: Callable[[Any], Any], shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Count, then compute."""
        self.shards += [len(shard.images) for shard in shards]
        return enumerate(map(function, shards))


def test_kept_files_are_copied_and_hashed(tmp_path: Path) -> None:
    """With encode = "keep" a plain JPEG comes out byte for byte, and the manifest names its bytes."""
    content = as_bytes(texture(1))
    after = rendered(write_source(tmp_path / "f", {"a.jpg": content}), tmp_path / "out", encode="keep", short_side=None)
    assert (tmp_path / "out" / after.rows["file"][0]).read_bytes() == content
    assert after.rows["file_sha256"].to_list() == after.rows["sha256"].to_list()


@pytest.mark.slow
def test_workers_and_reuse_give_the_same_bytes(tmp_path: Path) -> None:
    """One process, two, and a link to an earlier version: the same files; a changed old file is not taken over."""
    folder = write_source(tmp_path / "f", {f"{n}.png": as_bytes(texture(n), "PNG") for n in range(130)})
    one = rendered(folder, tmp_path / "1", short_side=32)
    two = rendered(folder, tmp_path / "2", short_side=32, workers=2)
    assert one.digest() == two.digest()
    rows = one.rows.select("sha256", "file", "file_sha256").rows()
    (tmp_path / "1" / rows[0][1]).write_bytes(b"tampered")
    old = {(sha, 1): PublishedImage(tmp_path / "1" / file, digest) for sha, file, digest in rows}
    three = rendered(folder, tmp_path / "3", reuse=old, short_side=32)
    assert three.digest() == one.digest()
    links = [(tmp_path / "3" / file).stat().st_nlink for _, file, _ in rows]
    assert links == [1] + [2] * 129


def test_an_image_that_is_gone_meanwhile_is_named(tmp_path: Path) -> None:
    """Between looking and writing a source may change: the image is named, nothing is made up."""
    folder = write_source(tmp_path / "f", {"a.jpg": as_bytes(texture(1))})
    recipe, archive_index, manifest = opened(folder)
    assert estimate_bytes(manifest, recipe, archive_index) > 0
    (folder / "a.jpg").write_bytes(as_bytes(texture(1))[:300])
    with pytest.raises(CurationError, match=r"a\.jpg") as caught:
        render(
            manifest,
            recipe,
            archive_index,
            tmp_path / "out",
            names=pl.Series([f"images/{sha_of('a')}.jpg"]),
            reuse={},
            engine=Local(1),
            progress=SilentProgress(),
        )
    assert caught.value.code == ErrorCode.IMAGE_UNREADABLE


def test_no_metadata_leaves_a_build(tmp_path: Path) -> None:
    """EXIF with a place, a comment and a maker's note stay behind, in both ways of encoding."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0110] = "a patient's name", "camera"
    exif.get_ifd(0x8825)[1] = "N"
    content = as_bytes(texture(1), exif=exif, comment=b"secret")
    assert b"patient" in content
    for encode in ("uniform", "keep"):
        after = rendered(write_source(tmp_path / "f", {"a.jpg": content}), tmp_path / encode, encode=encode)
        written = (tmp_path / encode / after.rows["file"][0]).read_bytes()
        assert b"patient" not in written
        assert b"secret" not in written
        assert not Image.open(io.BytesIO(written)).getexif()
