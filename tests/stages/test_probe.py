"""Each file is read once: values, hashes, or the reason why it is not an image."""

import io
import os
import signal
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import polars as pl
import pytest
import tifffile
from PIL import Image

from curation.dataset.manifest import Manifest, check_conservation
from curation.dataset.recipe import Recipe, parse_recipe
from curation.engines import Local
from curation.hashing import Fingerprints, sha256_hex
from curation.images import ImageReader
from curation.sources import fetch_all, index_files
from curation.stages import probe as stage
from curation.stages.ingest import ingest
from curation.stages.probe import probe, probe_cache
from curation.storage.archive_members import FilePlace, Member
from curation.storage.cache import Cache
from curation.storage.progress import SilentProgress
from tests.builders import as_bytes, texture, write_source


def recipe_of(path: Path, **tables: object) -> Recipe:
    """Return a recipe of one folder source."""
    raw = {
        "sources": [{"name": "src", "kind": "folder", "path": str(path), "label": "melanoma"}],
        "labels": {"classes": {"melanoma": ["melanoma"]}},
        "selection": {"counts": {"train": 1}},
        **tables,
    }
    return parse_recipe(raw, name="tiny", base=Path("/nowhere"))


def probed(recipe: Recipe, *, cache: Cache | None = None, workers: int = 1) -> tuple[Manifest, Fingerprints]:
    """Return what probe gives for a folder."""
    cache = cache or Cache()
    fetched = fetch_all(recipe.sources, cache=cache)
    engine = Local(workers)
    before = ingest(recipe, fetched, cache=cache, engine=engine, progress=SilentProgress())
    after, prints = probe(before, recipe, index_files(fetched), cache=cache, engine=engine, progress=SilentProgress())
    check_conservation(before, after, stage="probe", grows=True)
    return after, prints


def cells(manifest: Manifest, path: str) -> dict[str, object]:
    """Return the row of a path."""
    return manifest.rows.filter(pl.col("path") == path).row(0, named=True)


def fate(manifest: Manifest, name: str) -> tuple[str, str, str | None]:
    """Return step, reason and detail of an excluded row."""
    row = cells(manifest, name)
    return row["excluded_by"], row["reason"], row["detail"]


@dataclass(frozen=True)
class FragileDecoder:
    """Two workers whose decoder ends its process at one file."""

    engine: Local = field(default_factory=partial(Local, 2))
    workers: int = 2
    is_remote: bool = False

    def map(self, function: Any, shards: Sequence[Any]) -> Iterator[Any]:
        """Work as the engine does, without a fault."""
        return self.engine.map(function, shards)

    def as_completed(self, function: Any, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Work as the engine does."""
        return self.engine.as_completed(partial(_crash_at_one_file, function), shards)

    def each_alone(self, function: Any, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Work as the engine does."""
        return self.engine.each_alone(partial(_crash_at_one_file, function), shards)


def _crash_at_one_file(function: Any, shard: Any) -> Any:
    if any(member.path.endswith("crash.png") for member in shard.members):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)
    return function(shard)


def test_a_file_that_crashes_its_decoder_is_excluded(tmp_path: Path) -> None:
    """Its worker ends by a signal; the others of its shard, and all other shards, are read as ever."""
    for name in ("one", "two"):
        images = {f"{number}.png": as_bytes(texture(number + 50 * len(name)), "PNG") for number in range(3)}
        write_source(tmp_path / name, images)
    write_source(tmp_path / "two", {"crash.png": as_bytes(texture(99), "PNG")})
    sources = [
        {"name": name, "kind": "folder", "path": str(tmp_path / name), "label": "melanoma"} for name in ("one", "two")
    ]
    recipe = recipe_of(tmp_path, sources=sources)
    fetched = fetch_all(recipe.sources, cache=Cache())
    before = ingest(recipe, fetched, cache=Cache(), engine=Local(1), progress=SilentProgress())
    settings: Any = {"cache": Cache(), "engine": FragileDecoder(), "progress": SilentProgress()}
    after, _ = probe(before, recipe, index_files(fetched), **settings)
    assert fate(after, "crash.png") == ("probe", "decoder-crashed", None)
    assert after.kept.height == 6


BAD = {
    "cut.jpg": (as_bytes(texture(1))[:-400], ("truncated", None)),
    "empty.jpg": (b"", ("empty-file", None)),
    "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", ("not-an-image", "html")),
    "dot.png": (as_bytes(np.zeros((1, 1, 3), np.uint8), "PNG"), ("no-pixels", "1 pixel wide")),
    "notes.txt": (b"only words here\n", ("not-an-image", "text")),
}


def test_what_is_no_image_gets_a_reason_and_harms_nobody(tmp_path: Path) -> None:
    """Truncated, empty, in disguise, one pixel: a reason each, and the good one next to them is read."""
    files = {name: content for name, (content, _) in BAD.items()} | {"good.jpg": as_bytes(texture(2))}
    manifest, prints = probed(recipe_of(write_source(tmp_path / "f", files)))
    for name, (_, reason) in BAD.items():
        assert fate(manifest, name) == ("probe", *reason)
    assert cells(manifest, "good.jpg")["excluded_by"] is None
    assert len(prints) == len(files)


SYSTEM_FILES = {
    "__MACOSX/cat/._1.jpg": (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(70), "AppleDouble (macOS)"),
    "cat/renamed.jpg": (b"\x00\x05\x16\x07" + bytes(90), "AppleDouble (macOS)"),
    "cat/._emptied.jpg": (b"", "AppleDouble (macOS)"),
    "cat/.DS_Store": (b"\x00\x00\x00\x01Bud1" + bytes(90), ".DS_Store (macOS)"),
    "cat/Icon\r": (b"", "Icon (macOS)"),
    "cat/Thumbs.db": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "Thumbs.db (Windows)"),
    "cat/Desktop.ini": (b"[.ShellClassInfo]\r\n", "desktop.ini (Windows)"),
}


def test_what_an_operating_system_leaves_is_named_so(tmp_path: Path) -> None:
    """By its bytes where these tell, else by its name; an image that has that name is an image, a cut one is cut."""
    files = {name: content for name, (content, _) in SYSTEM_FILES.items()}
    files |= {"cat/._own.jpg": as_bytes(texture(2)), "dog/thumbs.db": as_bytes(texture(3))[:-400], "dog/x.db": b""}
    files |= {"dog/._words": b"only words here\n"}
    recipe, cache = recipe_of(write_source(tmp_path / "f", files)), Cache()
    for _ in range(2):  # read, and from the cache, which knows no names
        manifest, _ = probed(recipe, cache=cache)
        for name, (_, what) in SYSTEM_FILES.items():
            assert fate(manifest, name) == ("probe", "system-file", what)
        assert cells(manifest, "cat/._own.jpg")["excluded_by"] is None
        assert fate(manifest, "dog/thumbs.db") == ("probe", "truncated", None)
        assert fate(manifest, "dog/x.db") == ("probe", "empty-file", None)
        assert fate(manifest, "dog/._words") == ("probe", "not-an-image", "text")


def test_the_phash_is_imagehashs_on_the_same_pixels(tmp_path: Path) -> None:
    """With decode.scale = "full" the hash is what imagehash says of the file."""
    content = as_bytes(texture(3, width=200, height=150))
    recipe = recipe_of(write_source(tmp_path / "f", {"a.jpg": content}), decode={"scale": "full"})
    manifest, prints = probed(recipe)
    expected = int(str(imagehash.phash(Image.open(io.BytesIO(content)).convert("RGB"))), 16)
    assert cells(manifest, "a.jpg")["phash"] == expected == int(prints.symmetries[0, 0])


@pytest.mark.parametrize("name", ["dhash", "ahash", "whash"])
def test_other_hashes_are_imagehashs_too(tmp_path: Path, name: str) -> None:
    """The recipe may name another hash."""
    function = {"dhash": imagehash.dhash, "ahash": imagehash.average_hash, "whash": imagehash.whash}[name]
    content = as_bytes(texture(3), "PNG")
    manifest, _ = probed(recipe_of(write_source(tmp_path / "f", {"a.png": content}), duplicates={"hash": name}))
    assert cells(manifest, "a.png")["phash"] == int(str(function(Image.open(io.BytesIO(content)))), 16)


def test_lossless_copies_share_a_pixel_hash_across_formats(tmp_path: Path) -> None:
    """A PNG and a TIFF of the same pixels have one pixel name; a JPEG that is not flat has none."""
    picture = texture(4)
    files = {"a.png": as_bytes(picture, "PNG"), "b.tif": as_bytes(picture, "TIFF"), "c.jpg": as_bytes(picture)}
    files["flat.jpg"] = as_bytes(np.full((80, 80, 3), 120, np.uint8))
    manifest, _ = probed(recipe_of(write_source(tmp_path / "f", files)))
    assert cells(manifest, "a.png")["pixel_sha256"] == cells(manifest, "b.tif")["pixel_sha256"] is not None
    assert cells(manifest, "c.jpg")["pixel_sha256"] is None
    assert cells(manifest, "flat.jpg")["flat"] is True
    assert cells(manifest, "flat.jpg")["pixel_sha256"] is not None


def test_pages_are_noted_or_become_rows(tmp_path: Path) -> None:
    """Of several pages the first counts, unless the recipe wants each: then every further page is a row of its own."""
    pages = [Image.fromarray(texture(n)) for n in (5, 6, 7)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    folder = write_source(tmp_path / "f", {"a.tif": buffer.getvalue(), "b.jpg": as_bytes(texture(8))})
    first, _ = probed(recipe_of(folder))
    assert first.rows["id"].to_list() == ["src/a.tif", "src/b.jpg"]
    assert cells(first, "a.tif")["pages"] == 3
    each, prints = probed(recipe_of(folder, decode={"pages": "each"}))
    assert each.rows.select("id", "page").rows() == [
        ("src/a.tif", 1),
        ("src/a.tif#2", 2),
        ("src/a.tif#3", 3),
        ("src/b.jpg", 1),
    ]
    assert len({int(row[0]) for row in prints.symmetries}) == 4


@pytest.mark.parametrize("kind", ["gif", "tiff", "tiff of 16 bits", "flat webp"])
def test_four_times_as_many_pages_cost_four_times_as_much(tmp_path: Path, kind: str) -> None:
    """The file is opened once, not for each of its pages: 1,200 tiny pages took 31 s."""
    few, many = (count_calls(tmp_path, kind, count) for count in (40, 160))
    assert many < 4.4 * few


def count_calls(folder: Path, kind: str, count: int) -> int:
    """Return how many functions are called while a file of so many pages is probed."""
    content = pages_of(kind, count)
    (path := folder / f"{kind}-{count}").write_bytes(content)
    member = Member(path.name, len(content), FilePlace(str(path)))
    settings = stage.ProbeSettings("scaled", "scale", "each", "phash")
    shard = stage.ProbeShard(folder, (member,), (sha256_hex(content),), settings)
    calls = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event.endswith("call")

    sys.setprofile(see)
    try:
        found = stage.probe_shard(shard)
    finally:
        sys.setprofile(None)
    assert found["failure"] == [None] * count
    return calls


def pages_of(kind: str, count: int) -> bytes:
    """Return a file of so many different pages."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(count)
    shape = (count, 24, 24)
    if kind.startswith("tiff"):
        deep = kind != "tiff"
        stack = rng.integers(0, 256, shape, np.uint8).astype(np.uint16 if deep else np.uint8)
        tifffile.imwrite(buffer, stack, photometric="minisblack", metadata=None)
        return buffer.getvalue()
    values = np.arange(count) * 97 % 256 if kind == "flat webp" else rng.integers(0, 256, shape, np.uint8)
    frames = [Image.fromarray(np.broadcast_to(value, (24, 24)).astype(np.uint8)) for value in values]
    settings: dict[str, Any] = {"allow_mixed": False, "quality": 20} if kind == "flat webp" else {}
    frames[0].save(buffer, kind.split()[-1], save_all=True, append_images=frames[1:], **settings)
    return buffer.getvalue()


def test_one_more_file_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache knows is not decoded again, whatever folder or name it stands under."""
    looked: list[int] = []
    original = ImageReader.decode

    def count(reader: ImageReader, **settings: Any) -> object:
        looked.append(len(reader.content))
        return original(reader, **settings)

    monkeypatch.setattr(ImageReader, "decode", count)
    cache = Cache()
    files = {f"{n}.jpg": as_bytes(texture(n)) for n in range(5)}
    probed(recipe_of(write_source(tmp_path / "f", files)), cache=cache)
    moved = {f"other/{name}": content for name, content in files.items()} | {"new.jpg": as_bytes(texture(9))}
    probed(recipe_of(write_source(tmp_path / "g", moved)), cache=cache)
    assert len(looked) == 6
    probed(recipe_of(tmp_path / "g", decode={"scale": "full"}), cache=cache)
    assert len(looked) == 12


@pytest.mark.parametrize("small", [1 << 20, 0], ids=["read together", "one by one"])
def test_a_damaged_cache_is_looked_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    """A shard that is not whole costs its own files, nothing else; what the others hold comes back as it was."""
    monkeypatch.setattr(probe_cache, "SMALL_SHARD_BYTES", small)
    cache, folder = Cache(tmp_path / "cache"), tmp_path / "f"
    looked: list[bytes] = []
    original = ImageReader.decode

    def count(reader: ImageReader, **settings: Any) -> object:
        looked.append(reader.content)
        return original(reader, **settings)

    monkeypatch.setattr(ImageReader, "decode", count)
    for number in range(3):  # a shard each
        write_source(folder, {f"{number}.jpg": as_bytes(texture(number))})
        first, prints = probed(recipe_of(folder), cache=cache)
    shards = sorted(cache.folder("probe").rglob("*.parquet"))
    assert (len(shards), len(looked)) == (3, 3)
    shards[1].write_bytes(shards[1].read_bytes()[:100])
    again, known = probed(recipe_of(folder), cache=cache)
    assert len(looked) == 4
    assert first.digest() == again.digest()
    assert np.array_equal(prints.symmetries, known.symmetries)
    assert np.array_equal(prints.thumbnails, known.thumbnails)


def test_many_small_shards_are_gathered_and_nothing_is_lost(tmp_path: Path) -> None:
    """A folder that grows by one file a day does not leave a shard a day for ever."""
    cache = Cache(tmp_path / "cache")
    folder = tmp_path / "f"
    for number in range(probe_cache.MAX_SHARDS + 3):
        write_source(folder, {f"{number:02}.jpg": as_bytes(texture(number))})
        manifest, _ = probed(recipe_of(folder), cache=cache)
    assert len(list(cache.folder("probe").rglob("*.parquet"))) < probe_cache.MAX_SHARDS
    assert manifest.rows["phash"].null_count() == 0


@pytest.mark.slow
def test_workers_make_no_difference(tmp_path: Path) -> None:
    """One process that reads a folder and three that read a zip at once give the same table and fingerprints."""
    files = {f"{n:03}.jpg": as_bytes(texture(n, width=40, height=40)) for n in range(stage.SHARD_FILES * 2 + 5)}
    files |= {name: content for name, (content, _) in BAD.items()}
    folder = recipe_of(write_source(tmp_path / "f", files))
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    one = probed(folder, cache=Cache(tmp_path / "1"))
    few = probed(recipe_of(tmp_path / "f.zip"), cache=Cache(tmp_path / "3"), workers=3)
    assert one[0].digest() == few[0].digest()
    assert np.array_equal(one[1].symmetries, few[1].symmetries)
    assert np.array_equal(one[1].thumbnails, few[1].thumbnails)


def test_a_new_probe_version_looks_again_and_forgets_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the older one found is not used; archives are not listed or hashed again, and going back is free."""
    files = {f"{number}.jpg": as_bytes(texture(number)) for number in range(4)}
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    looked: list[str] = []
    real = stage.probe_shard

    def count(shard: stage.ProbeShard) -> dict[str, list[object]]:
        looked.extend(shard.shas)
        return real(shard)

    monkeypatch.setattr(stage, "probe_shard", count)
    recipe, cache = recipe_of(archive), Cache()
    probed(recipe, cache=cache)
    assert len(looked) == 4
    monkeypatch.setattr("curation.stages.ingest.listing.hash_shard", None)
    monkeypatch.setattr(probe_cache, "PROBE_VERSION", probe_cache.PROBE_VERSION + 1)
    probed(recipe, cache=cache)
    assert len(looked) == 8
    monkeypatch.setattr(probe_cache, "PROBE_VERSION", probe_cache.PROBE_VERSION - 1)
    probed(recipe, cache=cache)
    assert len(looked) == 8


def test_a_shard_that_was_finished_is_kept_though_another_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends half-way leaves what it found to the next one."""
    write_source(tmp_path / "images", {f"{number}.jpg": as_bytes(texture(number)) for number in range(4)})
    monkeypatch.setattr(stage, "SHARD_FILES", 1)
    real, looked = stage.probe_shard, list[str]()

    def fail_on_the_third(shard: stage.ProbeShard) -> dict[str, list[object]]:
        looked.extend(shard.shas)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return real(shard)

    monkeypatch.setattr(stage, "probe_shard", fail_on_the_third)
    recipe, cache = recipe_of(tmp_path / "images"), Cache()
    with pytest.raises(KeyboardInterrupt):
        probed(recipe, cache=cache)
    after, _ = probed(recipe, cache=cache)
    assert after.rows["phash"].null_count() == 0
    assert len(looked) == 3 + 2
