"""The drawn source: the same bytes everywhere, faults as described, and clean images that differ."""

import hashlib
import io
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import polars as pl
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from curation.dataset.recipe import DrawnSource, load_recipe
from curation.errors import ErrorCode
from curation.sources import Request, find_source
from curation.sources.synthetic import (
    Expected,
    Fault,
    GroundTruth,
    Part,
    describe_ground_truth,
    draw,
    find_missed,
    find_wrongly_excluded,
    ground_truth_path,
    read_ground_truth,
)
from curation.sources.synthetic.encodings import PATCH_ENCODINGS
from curation.sources.synthetic.fault_injection import SYMMETRIES
from curation.sources.synthetic.images import CHARACTERS, Lesion, draw_lesion, draw_skin
from curation.sources.synthetic.near_duplicate_rejection import DrawnImages
from curation.sources.synthetic.texture import clouds, soften
from curation.storage.cache import Cache
from curation.storage.progress import SilentProgress
from tests.errors import fails_with

VERDICTS = [
    # what was planted, what became of it and of its original (group, disputed, excluded_by), whether that will do
    ("duplicate", ("g", False, "dedup"), ("g", False, None), True),
    ("duplicate", ("g", False, None), ("g", False, "dedup"), True),
    ("duplicate", ("g", False, None), ("g", False, None), False),
    ("duplicate", ("g", False, "dedup"), ("h", False, None), False),
    ("disputed", ("g", True, "select"), ("g", True, None), True),
    ("disputed", ("g", False, "dedup"), ("g", False, None), False),
    ("leak", ("g", False, "dedup"), ("g", False, "select"), True),
    ("leak", ("g", False, None), ("g", False, "dedup"), False),
    ("context leak", ("g", False, None), ("g", False, "dedup"), True),
    ("context leak", ("g", False, "select"), ("h", False, "select"), False),
    ("unreadable", (None, False, "probe"), None, True),
    ("unreadable", (None, False, "quality"), None, False),
    ("low quality", (None, False, "quality"), None, True),
    ("low quality", ("g", False, None), None, False),
    ("kept", ("g", False, "select"), None, True),
    ("kept", ("g", True, None), None, False),
    ("kept", ("g", False, "dedup"), None, False),
]

Grey = NDArray[np.float64]


@dataclass(frozen=True)
class Wanted:
    """The settings of a drawn source, as a recipe gives them."""

    part: Part = "lesions"
    seed: int = 1
    count: int = 10
    faults: bool = True
    size: tuple[int, int] = (180, 180)


@dataclass(frozen=True)
class Drawn:
    """A drawn archive, read back."""

    truth: GroundTruth
    files: dict[str, bytes]

    def fault(self, kind: str) -> Fault:
        return next(fault for fault in self.truth.faults if fault.kind == kind)

    def of(self, kind: str) -> bytes:
        return self.files[self.fault(kind).path]

    def twin_of(self, kind: str) -> bytes:
        return self.files[str(self.fault(kind).original)]


def draw_at(folder: Path, wanted: Wanted) -> Drawn:
    """Draw an archive into a folder and read it back."""
    archive = folder / f"{wanted.part}.zip"
    truth = draw(wanted, archive)
    with zipfile.ZipFile(archive) as packed:
        return Drawn(truth, {name: packed.read(name) for name in packed.namelist()})


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Ten clean melanoma, their context and all faults, at the size of the sample."""
    return draw_at(tmp_path_factory.mktemp("lesions"), Wanted())


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Five skins of four patches, and all faults."""
    return draw_at(tmp_path_factory.mktemp("skin"), Wanted(part="skin", count=20, size=(128, 128)))


def decode(content: bytes) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 pixels, upright, alpha over white."""
    if content[:2] in (b"II", b"MM"):
        return decode_tiff(content)
    with Image.open(io.BytesIO(content)) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "RGBA":
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        return np.asarray(upright.convert("RGB"))


def decode_tiff(content: bytes) -> NDArray[np.uint8]:
    """Return the first page's (h, w, 3) uint8 pixels, read by tifffile, whatever it is coded as."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        pixels = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return np.asarray(page.colormap[:, pixels] // 257, np.uint8).transpose(1, 2, 0)
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            pixels = pixels.transpose(1, 2, 0)
        if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
            return np.asarray(255 - pixels[:, :, :3], np.uint8)
        if pixels.dtype == np.uint16:
            pixels = pixels // 257
        return np.asarray(pixels[:, :, :3], np.uint8)


def thumbnail(pixels: NDArray[np.uint8]) -> Grey:
    """Return the centred (32, 32) grey thumbnail of length 1."""
    grey = np.asarray(Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.BOX), np.float64)
    grey = grey - grey.mean()
    return np.asarray(grey / np.sqrt((grey * grey).sum()))


def turns(image: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """Return the eight orientations of an image."""
    return [np.rot90(side, k) for side in (image, np.swapaxes(image, 0, 1)) for k in range(4)]


def nearest(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[int, float]:
    """Return the pHash distance and the correlation in the orientation in which the hashes are nearest."""
    own = imagehash.phash(Image.fromarray(one))
    found = []
    for turn in turns(other):
        turned = np.ascontiguousarray(turn).astype(np.uint8)
        correlation = float((thumbnail(one) * thumbnail(turned)).sum())
        found.append((int(own - imagehash.phash(Image.fromarray(turned))), -correlation))
    distance, correlation = min(found)
    return distance, -correlation


def sha256(pixels: NDArray[np.generic]) -> str:
    """Return the first 16 digits of the pixels' sha256: enough to notice drift."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


@pytest.mark.slow
def test_same_settings_draw_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Two processes with different hash seeds write byte-identical archives and truths."""
    script = (
        "import sys; from pathlib import Path; from types import SimpleNamespace as S\n"
        "from curation.sources.synthetic import draw\n"
        "for part in ('lesions', 'skin'):\n"
        "    wanted = S(part=part, seed=3, count=2, faults=True, size=(64, 64))\n"
        "    draw(wanted, Path(sys.argv[1]) / f'{part}.zip')\n"
    )
    running = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", script, str(tmp_path / seed)]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        running.append(subprocess.Popen(command, env=environment))
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    for name in ("lesions.zip", "skin.zip", "lesions.zip.truth.json", "skin.zip.truth.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_another_seed_draws_other_images(tmp_path: Path) -> None:
    """No file of the clean images is the same under two seeds."""
    first, second = (draw_at(tmp_path, Wanted(seed=seed, count=4, faults=False)).files for seed in (1, 2))
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("part", ["lesions", "skin"])
def test_a_larger_count_adds_images_and_changes_none(tmp_path: Path, part: Part) -> None:
    """A grown source holds every file of the smaller one, byte by byte."""
    small, large = (draw_at(tmp_path, Wanted(part=part, count=count, size=(64, 64))).files for count in (5, 9))
    assert small.items() < large.items()


@pytest.mark.parametrize("part", ["lesions", "skin"])
def test_without_faults_every_file_is_clean(tmp_path: Path, part: Part) -> None:
    """``faults = false`` plants nothing."""
    drawn = draw_at(tmp_path, Wanted(part=part, count=6, faults=False, size=(64, 64)))
    assert drawn.truth.faults == ()
    assert tuple(sorted(drawn.files)) == drawn.truth.clean == drawn.truth.paths


def test_counts_are_per_class(lesions: Drawn, skin: Drawn) -> None:
    """``count`` is the clean melanoma, half of it each context class, or the patches of skin."""
    labels = [path.split("/")[2] for path in lesions.truth.clean]
    assert {label: labels.count(label) for label in CHARACTERS} == {
        "melanoma": 10,
        "nevus": 5,
        "seborrheic keratosis": 5,
    }
    assert {path.split("/")[1] for path in lesions.truth.clean} == {"Train", "Test"}
    assert len(skin.truth.clean) == 20
    assert len({path.rsplit("_", 1)[0] for path in skin.truth.clean}) == 5


@pytest.mark.parametrize("size", [(31, 180), (180, 4097)])
def test_an_impossible_size_is_the_users_error(tmp_path: Path, size: tuple[int, int]) -> None:
    """A size that cannot be drawn is refused before anything is written."""
    with fails_with(ErrorCode.RECIPE_INVALID, f"{size[0]}x{size[1]}"):
        draw(Wanted(size=size), tmp_path / "archive.zip")
    assert not list(tmp_path.iterdir())


def test_an_image_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    """Width comes first, and need not be the height."""
    drawn = draw_at(tmp_path, Wanted(count=1, faults=False, size=(96, 64)))
    assert {decode(content).shape for content in drawn.files.values()} == {(64, 96, 3)}


def test_the_archive_is_plain(tmp_path: Path) -> None:
    """Files are stored, dated alike and of one maker, so that nothing of the machine is in the bytes."""
    draw(Wanted(count=2, size=(64, 64)), tmp_path / "archive.zip")
    with zipfile.ZipFile(tmp_path / "archive.zip") as packed:
        members = packed.infolist()
    names = [member.filename for member in members]
    assert len(names) == len(set(names))
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert {(member.date_time, member.create_system) for member in members} == {((1980, 1, 1, 0, 0, 0), 3)}


def test_the_truth_names_every_file(lesions: Drawn, skin: Drawn) -> None:
    """Clean images, faults and their originals are the whole archive, and no path is two of them."""
    for drawn in (lesions, skin):
        assert tuple(sorted(drawn.files)) == drawn.truth.paths
        planted = {fault.path for fault in drawn.truth.faults}
        originals = {fault.original for fault in drawn.truth.faults if fault.original}
        assert len(planted) == len(drawn.truth.faults)
        assert not planted & originals
        assert not (planted | originals) & set(drawn.truth.clean)


def test_the_truth_is_told_without_drawing_and_kept_next_to_the_archive(tmp_path: Path) -> None:
    """``draw``, ``describe_ground_truth`` and ``read_ground_truth`` agree."""
    wanted, archive = Wanted(part="skin", count=3, size=(64, 64)), tmp_path / "archive.zip"
    assert draw(wanted, archive) == describe_ground_truth(wanted) == read_ground_truth(archive)
    ground_truth_path(archive).unlink()
    with fails_with(ErrorCode.FILE_MISSING, ground_truth_path(archive).name):
        read_ground_truth(archive)


def request_at(cache: Path, **changed: object) -> Request[DrawnSource]:
    """Return the request for a small drawn source, some of its settings changed."""
    table = {"kind": "drawn", "name": "lesions", "part": "lesions", "count": 2, "size": (64, 64), "label": "x"}
    return Request(
        name="lesions",
        settings=DrawnSource.model_validate(table | changed),
        cache=Cache(cache),
        mirror=None,
        locked=None,
        update=False,
        offline=True,
        progress=SilentProgress(),
    )


def test_the_sample_draws_both_parts() -> None:
    """The shipped recipe holds one source of each part, with faults."""
    sources = load_recipe(Path(__file__).parents[2] / "datasets" / "sample").sources
    assert [(source.kind, source.part, source.faults) for source in sources if isinstance(source, DrawnSource)] == [
        ("drawn", "lesions", True),
        ("drawn", "skin", True),
    ]


def test_a_fetched_source_is_drawn_once(tmp_path: Path) -> None:
    """The second fetch finds the archive under its sha256, and its ground truth next to it, without drawing."""
    first = find_source("drawn").fetch(request_at(tmp_path))
    (archive,) = first.archives
    assert hashlib.sha256(archive.path.read_bytes()).hexdigest() == archive.sha256 == archive.path.name
    assert archive.size_bytes == archive.path.stat().st_size
    assert (first.origin, first.licence) == ("drawn", "CC0-1.0")
    assert read_ground_truth(archive.path) == describe_ground_truth(request_at(tmp_path).settings)
    before = archive.path.stat().st_mtime_ns
    assert find_source("drawn").fetch(request_at(tmp_path)) == first
    assert archive.path.stat().st_mtime_ns == before
    assert not list((tmp_path / "partial").glob("*/*"))


@pytest.mark.parametrize(
    "changed", [{"seed": 2}, {"count": 3}, {"faults": False}, {"size": (64, 48)}, {"part": "skin"}]
)
def test_other_settings_fetch_another_archive(tmp_path: Path, changed: dict[str, object]) -> None:
    """Every setting that decides a byte leads to an archive of its own."""
    one, other = (find_source("drawn").fetch(request_at(tmp_path, **how)) for how in ({}, changed))
    assert one.archives[0].sha256 != other.archives[0].sha256


@pytest.mark.parametrize("loss", ["damaged", "no truth", "torn note"])
def test_what_the_cache_lost_is_drawn_again(tmp_path: Path, loss: str) -> None:
    """A damaged archive, a missing truth or a torn note is made good, with the same bytes."""
    (archive,) = find_source("drawn").fetch(request_at(tmp_path)).archives
    content = archive.path.read_bytes()
    if loss == "damaged":
        archive.path.write_bytes(content[:-7])
    elif loss == "no truth":
        ground_truth_path(archive.path).unlink()
    else:
        next((tmp_path / "drawn").glob("*.json")).write_text("{")
    (again,) = find_source("drawn").fetch(request_at(tmp_path)).archives
    assert again == archive
    assert again.path.read_bytes() == content
    assert read_ground_truth(again.path).clean


def same_bytes(drawn: Drawn, kind: str) -> bool:
    """Return whether a planted file is a byte copy of its original."""
    return drawn.of(kind) == drawn.twin_of(kind)


def unreadable(drawn: Drawn, kind: str) -> bool:
    """Return whether Pillow, with its limits on, gives a planted file up."""
    try:
        with Image.open(io.BytesIO(drawn.of(kind))) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns before it gives up on a cut TIFF
            image.load()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return True
    return False


def opened(drawn: Drawn, kind: str) -> Image.Image:
    """Return a planted file as Pillow opens it."""
    return Image.open(io.BytesIO(drawn.of(kind)))


def mean_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of two images, in levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def size_ratio(drawn: Drawn, kind: str) -> float:
    """Return a planted image's height over its original's."""
    return decode(drawn.of(kind)).shape[0] / decode(drawn.twin_of(kind)).shape[0]


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Return the mean step between neighbouring rows, in levels."""
    return float(np.abs(np.diff(pixels.astype(int), axis=0)).mean())


def broken_exif(drawn: Drawn, kind: str) -> bool:
    """Return whether the image can be read and its EXIF cannot."""
    with pytest.warns(UserWarning, match="Corrupt EXIF"), opened(drawn, kind) as image:
        return np.asarray(image).shape == (180, 180, 3) and not image.getexif()


LESION_CHECKS: dict[str, Callable[[Drawn, str], bool]] = {
    "byte copy": same_bytes,
    "metadata changed": lambda d, k: (
        not same_bytes(d, k)
        and opened(d, k).getexif()[0x010E] == "a copy"
        and bool((decode(d.of(k)) == decode(d.twin_of(k))).all())
    ),
    "re-encoded at quality 60": lambda d, k: (
        not same_bytes(d, k) and mean_difference(decode(d.of(k)), decode(d.twin_of(k))) < 4
    ),
    "half the size": lambda d, k: size_ratio(d, k) == 0.5,
    "brightness changed": lambda d, k: 0.86 < decode(d.of(k)).mean() / decode(d.twin_of(k)).mean() < 0.89,
    "cropped by 2 %": lambda d, k: 0.97 < size_ratio(d, k) < 1,
    "EXIF-rotated": lambda d, k: (
        opened(d, k).getexif()[0x0112] == 6 and mean_difference(decode(d.of(k)), decode(d.twin_of(k))) < 1.5
    ),
    "CMYK": lambda d, k: opened(d, k).mode == "CMYK" and mean_difference(decode(d.of(k)), decode(d.twin_of(k))) < 6,
    "palette": lambda d, k: opened(d, k).mode == "P" and mean_difference(decode(d.of(k)), decode(d.twin_of(k))) < 6,
    "16-bit": lambda d, k: (
        tifffile.imread(io.BytesIO(d.of(k))).dtype == np.uint16
        and bool((decode(d.of(k)) == decode(d.twin_of(k))).all())
    ),
    "two labels, same bytes": lambda d, k: same_bytes(d, k) and d.fault(k).label != "melanoma",
    "two labels, near duplicate": lambda d, k: not same_bytes(d, k) and d.fault(k).label != "melanoma",
    "two labels, across the splits": lambda d, k: same_bytes(d, k) and "/Test/" in d.fault(k).path,
    "in train and test, same bytes": same_bytes,
    "in train and test, re-encoded": lambda d, k: not same_bytes(d, k),
    "in train and test, turned": lambda d, k: mean_difference(decode(d.of(k))[::-1, ::-1], decode(d.twin_of(k))) < 1.5,
    "context in train and test": same_bytes,
    "context in train and test, two labels": same_bytes,
    "truncated": lambda d, k: unreadable(d, k) and d.of(k)[:2] == b"\xff\xd8",
    "zero bytes": lambda d, k: d.of(k) == b"",
    "HTML named .jpg": lambda d, k: unreadable(d, k) and b"<html>" in d.of(k) and d.fault(k).path.endswith(".jpg"),
    "text file": lambda d, k: unreadable(d, k) and d.of(k).isascii(),
    "decompression bomb": lambda d, k: unreadable(d, k) and len(d.of(k)) < 100,
    "one pixel": lambda d, k: decode(d.of(k)).shape == (1, 1, 3),
    "blank": lambda d, k: np.ptp(decode(d.of(k)), axis=(0, 1)).max() == 0,
    "blank, a copy": lambda d, k: d.of(k) == d.of("blank"),
    "blurred": lambda d, k: sharpness(decode(d.of(k))) < sharpness(decode(d.of("hostile name"))) / 2,
    "too dark": lambda d, k: decode(d.of(k)).max() < 20,
    "PNG named .jpg": lambda d, k: opened(d, k).format == "PNG" and d.fault(k).path.endswith(".jpg"),
    "broken EXIF": broken_exif,
    "place in EXIF": lambda d, k: opened(d, k).getexif().get_ifd(0x8825)[1] == "N",
    "alpha": lambda d, k: opened(d, k).mode == "RGBA" and opened(d, k).getextrema()[3] == (0, 255),
    "several pages": lambda d, k: getattr(opened(d, k), "n_frames", 1) == 3,
    "hostile name": lambda d, k: decode(d.of(k)).shape == (180, 180, 3),
    **{
        kind: lambda d, k: mean_difference(SYMMETRIES[k](decode(d.twin_of(k))), decode(d.of(k))) < 1.5
        for kind in SYMMETRIES
    },
}


@pytest.mark.parametrize("kind", sorted(LESION_CHECKS))
def test_every_fault_of_a_lesion_is_what_it_says(lesions: Drawn, kind: str) -> None:
    """What is called a byte copy is one, what is called truncated does not decode, and so on for each kind."""
    assert LESION_CHECKS[kind](lesions, kind)


def test_every_kind_of_fault_is_checked(lesions: Drawn) -> None:
    """A new kind of fault does not come without its check."""
    assert {fault.kind for fault in lesions.truth.faults} == set(LESION_CHECKS)


def test_hostile_names_are_planted_unchanged(lesions: Drawn) -> None:
    """The archive really holds a name that climbs, one with a line break, markup, a formula and 200 characters."""
    names = [path.removeprefix("Skin drawn set/Train/melanoma/") for path in lesions.files]
    assert {"../evil.jpg", "line\nbreak.jpg", "=1+1.jpg", "<img src=x onerror=alert(1)>.jpg"} <= set(names)
    assert max(map(len, names)) == 200


def test_leaks_lie_on_both_sides(lesions: Drawn) -> None:
    """A planted leak has its file in Train and its original in Test."""
    leaks = [fault for fault in lesions.truth.faults if fault.expected in ("leak", "context leak")]
    assert len(leaks) == 6
    assert all("/Train/" in fault.path and "/Test/" in str(fault.original) for fault in leaks)


def test_planted_duplicates_can_be_found(lesions: Drawn) -> None:
    """Every duplicate, dispute and leak is within 8 bits of its original in some orientation and correlates by 0.98."""
    found = {
        fault.path: nearest(decode(lesions.files[fault.path]), decode(lesions.files[fault.original]))
        for fault in lesions.truth.faults
        if fault.original is not None
    }
    missed = {path: near for path, near in found.items() if near[0] > 8 or near[1] < 0.98}
    assert not missed


def test_planted_patches_can_be_found(skin: Drawn) -> None:
    """Every patch that was planted twice is the same image for tifffile, in whatever encoding."""
    for fault in skin.truth.faults:
        if fault.original is None:
            continue
        own, original = decode(skin.files[fault.path]), decode(skin.files[fault.original])
        distance, correlation = nearest(own, original)
        assert distance <= 8, fault.kind
        assert correlation >= 0.98, fault.kind
        if fault.kind == "byte copy" or (fault.kind.startswith("coded as ") and "palette" not in fault.kind):
            assert (own == original).all(), fault.kind


def test_patches_come_in_every_encoding(skin: Drawn) -> None:
    """The clean patches use all nine encodings that the published ones have."""
    seen = set()
    for path in skin.truth.clean:
        with tifffile.TiffFile(io.BytesIO(skin.files[path])) as file:
            page = file.pages.first
            seen.add((page.compression, page.photometric, page.planarconfig, page.is_tiled, page.dtype, page.shape[2:]))
    assert len(seen) == len(PATCH_ENCODINGS) == 9


def test_a_file_outside_the_naming_rule_and_broken_ones_are_among_the_patches(skin: Drawn) -> None:
    """Skin has its own faults: several pages, a JPEG named .tif, a loose name, a cut file, nothing at all, text."""
    assert "DRAWN_" not in skin.fault("outside the naming rule").path
    assert opened(skin, "JPEG named .tif").format == "JPEG"
    assert getattr(opened(skin, "several pages"), "n_frames", 1) == 3
    assert all(unreadable(skin, kind) for kind in ("truncated", "zero bytes", "text file"))
    assert skin.of("blank") == skin.of("blank, a copy")


def unplanted(drawn: Drawn) -> list[NDArray[np.uint8]]:
    """Return all images that no other one of the archive was made from: the clean, the kept, and the originals."""
    kept = {fault.path for fault in drawn.truth.faults if fault.expected == "kept" and fault.kind != "broken EXIF"}
    originals = {fault.original for fault in drawn.truth.faults if fault.original}
    return [decode(drawn.files[path]) for path in sorted(kept | originals | set(drawn.truth.clean))]


def assert_far_apart(images: list[NDArray[np.uint8]]) -> None:
    """Fail where two images resemble each other in any orientation."""
    flat = np.stack([thumbnail(image).ravel() for image in images])
    turned = np.stack([[turn.ravel() for turn in turns(thumbnail(image))] for image in images])
    alike = np.einsum("ik,jtk->ijt", flat, turned).max(axis=2)
    np.fill_diagonal(alike, 0)
    for one, other in zip(*np.nonzero(alike > 0.95), strict=True):
        assert nearest(images[one], images[other])[0] > 8
    assert alike.max() < 0.98


def test_unplanted_images_are_far_apart(lesions: Drawn, skin: Drawn) -> None:
    """No two unplanted images, lesion or skin, correlate by 0.95 in any orientation and hash alike."""
    assert_far_apart(unplanted(lesions) + unplanted(skin))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_unplanted_images_are_far_apart_in_a_whole_sample(tmp_path: Path, seed: int) -> None:
    """The same for twice as many lesions as the sample has, under several seeds."""
    lesions = draw_at(tmp_path, Wanted(seed=seed, count=60))
    skin = draw_at(tmp_path, Wanted(part="skin", seed=seed, count=96, size=(128, 128)))
    assert_far_apart(unplanted(lesions) + unplanted(skin))


@pytest.mark.parametrize(("expected", "own", "original", "met"), VERDICTS)
def test_a_verdict_compares_a_row_with_what_was_planted(
    expected: Expected, own: tuple[object, ...], original: tuple[object, ...] | None, met: bool
) -> None:
    """A fault is met by exactly the outcomes that its expectation names."""
    fault = Fault(kind="x", path="a.jpg", expected=expected, label=None, original="b.jpg" if original else None)
    rows = [("s/a.jpg", *own)] + ([("s/b.jpg", *original)] if original else [])
    frame = pl.DataFrame(rows, schema=["id", "group", "disputed", "excluded_by"], orient="row")
    truth = GroundTruth(part="lesions", seed=1, clean=(), faults=(fault,))
    assert find_missed(truth, frame, source="s") == (() if met else (fault,))
    assert find_missed(truth, frame, source="other") == (fault,)


def test_a_clean_image_is_wronged_by_whatever_keeps_it_from_the_selection() -> None:
    """Surplus is allowed; a duplicate's reason, a dispute or a missing row is an error."""
    rows = [
        ("s/a", "g", False, "select"),
        ("s/b", "g", False, None),
        ("s/c", "g", False, "dedup"),
        ("s/d", "g", True, None),
    ]
    frame = pl.DataFrame(rows, schema=["id", "group", "disputed", "excluded_by"], orient="row")
    truth = GroundTruth(part="lesions", seed=1, clean=("a", "b", "c", "d", "e"), faults=())
    assert find_wrongly_excluded(truth, frame, source="s") == ("c", "d", "e")


GOLDEN: dict[Lesion, str] = {
    "melanoma": "ac3d4c0f29e02c54",
    "nevus": "ef51e8d5bd35ec71",
    "seborrheic keratosis": "eaebe7f4eebfcbd8",
}
GOLDEN_SKIN = "fd725308e1a62f3e"


def test_the_pixels_of_a_seed_never_change() -> None:
    """Drawn pixels, before any encoder, are those of the first version: whatever numpy or processor comes."""
    drawn: dict[Lesion, str] = {}
    for label in GOLDEN:
        drawn[label] = sha256(draw_lesion(np.random.Generator(np.random.PCG64([1, 2, 3])), label, (180, 160)))
    assert drawn == GOLDEN
    assert sha256(draw_skin(np.random.Generator(np.random.PCG64([1, 2, 3])), (128, 96))) == GOLDEN_SKIN


def test_the_crowd_refuses_a_turned_copy() -> None:
    """An accepted image is refused again in each orientation, and so is a flat one; a different one is accepted."""
    one, other = (draw_lesion(np.random.Generator(np.random.PCG64(seed)), "nevus", (64, 64)) for seed in (1, 2))
    drawn = DrawnImages()
    assert drawn.admit([one])
    assert not any(drawn.admit([np.ascontiguousarray(turn).astype(np.uint8)]) for turn in turns(one))
    assert not drawn.admit([np.full((64, 64, 3), 128, np.uint8)])
    assert not drawn.admit([other, other])
    assert len(drawn) == 1
    assert drawn.admit([other])


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(32, 80),
    width=st.integers(32, 80),
    cells=st.floats(1, 30),
    seed=st.integers(0, 2**32 - 1),
)
def test_clouds_stay_between_0_and_1(height: int, width: int, cells: float, seed: int) -> None:
    """Noise of any shape and fineness keeps its range, so that a colour stays the colour it was meant to be."""
    field = clouds(np.random.Generator(np.random.PCG64(seed)), (height, width), cells)
    assert field.shape == (height, width)
    assert field.min() >= 0
    assert field.max() <= 1


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 255), radius=st.integers(1, 9))
def test_softening_leaves_an_even_image_even(value: float, radius: int) -> None:
    """A blur moves light about and makes none."""
    even = np.full((20, 12, 3), value)
    assert np.allclose(soften(even, radius), even, rtol=0, atol=1e-9)
