"""Measures every published file, opened once with Pillow alone; files that cannot be opened get a reason.

The build's own decoding is not used here, so that an audit does not repeat the mistakes of a build.
"""

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageChops, JpegImagePlugin, UnidentifiedImageError

from curation.audit.file_shards import FileContent, FileShard, map_files, read_content
from curation.audit.image_artifacts import measure_artifacts
from curation.audit.measurement_cache import MeasurementCache
from curation.audit.metadata_leaks import find_embedded_metadata
from curation.dataset.columns import Role, role_values
from curation.engines import Engine
from curation.storage.cache import Cache
from curation.storage.progress import Progress, SilentProgress, show_progress
from curation.versions import Version

Pixels: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = dict[str, float]

GRAY_SIDE, COLOR_SIDE = 64, 16
LARGE = 768
"""An image with a longer side is measured at this size, in pixels; sharpness in the middle of its full pixels."""

THREADS = 2
"""Images that are measured at once; the code between decoding and arithmetic holds the interpreter lock."""

SHARD_FILES: Final = 32
IN_THREADS: Final = 512
"""Files up to which threads of this process are faster than processes that must be started."""
IMAGES: Final = ("gray", "color")
NOT_VALUES: Final = (*IMAGES, "embedded")
"""The columns of the cache that are not values."""

ABOUT = ("id", "sha256", "page", "source", "path", "group", "group_key", "split", "label", "file")
PEOPLE: Final[tuple[Role, ...]] = ("lesion", "patient")


@dataclass(frozen=True, eq=False)
class Measured:
    """The measurements of n images, in the order of ``Version.samples()``.

    Parameters
    ----------
    table : polars.DataFrame
        n rows: the columns ``ABOUT`` of the manifest, ``patient`` and ``lesion`` by role, and one column for each
        measured value.
    gray : (n, 64, 64) uint8 ndarray
        The whole image, resized to a square by area.
    color : (n, 16, 16, 3) uint8 ndarray
        The same in sRGB.
    unreadable : tuple of (str, str)
        Id and reason of the files that could not be measured.
    embedded : mapping of str to tuple of str
        Id -> what the file contains besides the image.
    """

    table: pl.DataFrame
    gray: Pixels
    color: Pixels
    unreadable: tuple[tuple[str, str], ...] = ()
    embedded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of images, unreadable ones included."""
        return self.table.height

    @property
    def readable(self) -> pl.DataFrame:
        """The rows of the table that could be measured, aligned with ``gray`` and ``color``."""
        return self.table.filter(pl.col("bytes").is_not_null()) if len(self.gray) else self.table.clear()


@dataclass(frozen=True, eq=False)
class Measurement:
    """The measurements of one file."""

    values: Values
    gray: Pixels
    color: Pixels
    embedded: tuple[str, ...]


@dataclass(frozen=True)
class MeasureSetting:
    """How the files of a shard are measured: changed first, and named by their path in the version's folder."""

    folder: Path
    names: tuple[Path, ...]
    change: Callable[[bytes], bytes] | None = None


def measure_version(
    version: Version,
    *,
    change: Callable[[bytes], bytes] | None = None,
    engine: Engine | None = None,
    cache: Cache | None = None,
    progress: Progress | None = None,
    what: str = "measure",
) -> Measured:
    """Open and measure every image of a version.

    Parameters
    ----------
    change : function of bytes to bytes, optional
        Applied to each file before it is measured: a remedy that is tried.
    engine : Engine, optional
        Where the files are measured; two threads of this process by default, and for few files.
    cache : Cache, optional
        Keeps the measurements by the file's sha256 and reads those that it has. Without it every file is read.
    progress : Progress, optional
        Shows the progress, in bytes read.
    what : str
        The words under which it does.
    """
    samples = version.samples()
    kept = MeasurementCache(cache) if cache is not None and "file_sha256" in samples.columns else None
    found = _Gathered(samples["id"].to_list())
    if kept is not None:
        found.add_kept(samples["file_sha256"], kept)
    files = [Path(file) for file in samples["file"]]
    missing = np.flatnonzero(~found.known)
    sizes = {row: files[row].stat().st_size for row in missing.tolist() if files[row].is_file()}
    with show_progress(progress or SilentProgress(), what, sum(sizes.values())) as advance:
        parts = [missing[start : start + SHARD_FILES].tolist() for start in range(0, len(missing), SHARD_FILES)]
        shards = [
            FileShard(names, MeasureSetting(version.folder, names, change))
            for names in (tuple(files[row] for row in part) for part in parts)
        ]
        for part, measured in zip(parts, _measure_all(shards, engine), strict=True):
            fresh = [found.add(row, each) for row, each in zip(part, measured, strict=True)]
            if kept is not None:
                shas = samples["file_sha256"].gather(part)
                kept.keep(_as_table(shas.filter(pl.Series(fresh, dtype=pl.Boolean)), measured))
            advance(sum(sizes.get(row, 0) for row in part))
    metadata = version.manifest.metadata
    people = [role_values(metadata, role).alias(role) for role in PEOPLE]
    return found.finish(samples.select(*ABOUT, *people))


class _Gathered:
    """The measurements of a version's images, as they arrive; the arrays are made once."""

    def __init__(self, ids: list[str]) -> None:
        self._ids = ids
        self.known = np.zeros(len(ids), np.bool_)
        self._names: tuple[str, ...] = ()
        self._values = np.zeros((len(ids), 0))
        self._gray = np.zeros((len(ids), GRAY_SIDE, GRAY_SIDE), np.uint8)
        self._color = np.zeros((len(ids), COLOR_SIDE, COLOR_SIDE, 3), np.uint8)
        self._unreadable: dict[int, str] = {}
        self._embedded: dict[int, tuple[str, ...]] = {}

    def add(self, row: int, found: Measurement | str) -> bool:
        """Add the measurement of one image; return whether it could be measured."""
        if isinstance(found, str):
            self._unreadable[row] = found
            return False
        self._name_values(tuple(found.values))
        self._values[row] = list(found.values.values())
        self._gray[row], self._color[row] = found.gray, found.color
        self.known[row] = True
        if found.embedded:
            self._embedded[row] = found.embedded
        return True

    def add_kept(self, shas: pl.Series, kept: MeasurementCache) -> None:
        """Add what the cache has of the files with these sha256, in the order of the rows."""
        rows = pl.DataFrame({"sha256": shas, "row": np.arange(len(shas))}).drop_nulls()
        for table in kept.load(shas.drop_nulls()):
            joined = table.join(rows, on="sha256")
            if not joined.height:
                continue
            place = joined["row"].to_numpy()
            names = tuple(name for name in table.columns if name not in ("sha256", *NOT_VALUES))
            self._name_values(names)
            self._values[place] = joined.select(self._names).to_numpy()
            self._gray[place] = _pixels(joined["gray"], self._gray.shape[1:])
            self._color[place] = _pixels(joined["color"], self._color.shape[1:])
            self.known[place] = True
            self._embedded |= {row: tuple(text) for row, text in joined.select("row", "embedded").rows() if text}

    def _name_values(self, names: tuple[str, ...]) -> None:
        if not self._names:
            self._names, self._values = names, np.full((len(self._ids), len(names)), np.nan)

    def finish(self, about: pl.DataFrame) -> Measured:
        """Return the measurements next to the columns that describe the images."""
        columns = {
            name: pl.Series(self._values[:, number]).set(pl.Series(~self.known), None)
            for number, name in enumerate(self._names)
        }
        every = bool(self.known.all())
        return Measured(
            about.with_columns(**columns),
            self._gray if every else self._gray[self.known],
            self._color if every else self._color[self.known],
            tuple((self._ids[row], reason) for row, reason in sorted(self._unreadable.items())),
            {self._ids[row]: found for row, found in sorted(self._embedded.items())},
        )


def _pixels(values: pl.Series, shape: tuple[int, ...]) -> Pixels:
    return np.frombuffer(b"".join(values.to_list()), np.uint8).reshape(-1, *shape)


def _as_table(shas: pl.Series, measured: Sequence[Measurement | str]) -> pl.DataFrame:
    """Return measurements as the cache keeps them; files that could not be measured are left out."""
    readable = [each for each in measured if not isinstance(each, str)]
    pixels = {name: pl.Series([getattr(each, name).tobytes() for each in readable], dtype=pl.Binary) for name in IMAGES}
    embedded = pl.Series([list(each.embedded) for each in readable], dtype=pl.List(pl.String))
    values = pl.DataFrame([each.values for each in readable]).cast(pl.Float64) if readable else pl.DataFrame()
    return values.with_columns(sha256=shas.alias("sha256"), embedded=embedded, **pixels)


def _measure_all(
    shards: Sequence[FileShard[MeasureSetting]], engine: Engine | None
) -> Iterator[list[Measurement | str]]:
    """Yield the measurements of each shard, in order; few files are not worth a process."""
    if engine is None or (not engine.is_remote and len(shards) * SHARD_FILES <= IN_THREADS):
        with ThreadPoolExecutor(THREADS) as pool:
            yield from pool.map(measure_shard, shards)
        return
    yield from map_files(engine, measure_shard, shards)


def measure_shard(shard: FileShard[MeasureSetting]) -> list[Measurement | str]:
    """Measure the files of a shard, or give the reason why one cannot be measured; the work of one worker."""
    setting = shard.setting
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hostile file may cause warnings; only whether it opens counts
        return [_measure_or_explain(file, name, setting) for file, name in zip(shard.files, setting.names, strict=True)]


def _measure_or_explain(file: FileContent, name: Path, setting: MeasureSetting) -> Measurement | str:
    """Measure one published file, or return its path in the version's folder and why it cannot be measured."""
    try:
        content = read_content(file)
        return measure_file(content if setting.change is None else setting.change(content))
    except FileNotFoundError:
        return f"{_inside(name, setting.folder)} is missing"
    except UnidentifiedImageError:  # its message contains an address in memory
        return f"{_inside(name, setting.folder)} cannot be read: cannot identify the image file"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        return f"{_inside(name, setting.folder)} cannot be read: {why}".replace(str(name), "the file")


def _inside(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name


def measure_file(content: bytes) -> Measurement:
    """Measure one image file.

    Raises
    ------
    OSError, ValueError, SyntaxError
        As Pillow raises them where a file is not a whole image.
    """
    image = Image.open(io.BytesIO(content))
    values = _file_values(image, content) | _frame_values(image)
    embedded = find_embedded_metadata(image, content)
    native = image.convert("RGB")
    values |= _sharpness_values(np.asarray(native.convert("L")))
    rgb = _at_most(native, LARGE)
    values |= _border_values(np.asarray(rgb.convert("L"))) | _color_values(rgb) | measure_artifacts(rgb)
    return Measurement(
        values,
        resize_gray(native, GRAY_SIDE),
        np.asarray(native.resize((COLOR_SIDE, COLOR_SIDE), Image.Resampling.BOX)),
        embedded,
    )


def resize_gray(image: Image.Image, side: int) -> Pixels:
    """Return an sRGB image in gray, resized to a square by area: (side, side) uint8."""
    return np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX))


def _file_values(image: Image.Image, content: bytes) -> Values:
    area = image.width * image.height
    values = {"bytes": float(len(content)), "bytes_per_pixel": len(content) / area}
    tables: Any = getattr(image, "quantization", None) or {}
    for number in (0, 1):
        steps = np.array(tables.get(number, [0] * 64), np.float64)
        values |= {f"table{number}_mean": float(steps.mean()), f"table{number}_first": float(steps[0])}
        values |= {f"table{number}_last": float(steps[-1]), f"table{number}_deviation": float(steps.std())}
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    values["tables"] = float(len(tables))
    values["subsampling"] = float(JpegImagePlugin.get_sampling(image)) if jpeg else -1.0
    values["progressive"] = float(bool(image.info.get("progressive")))
    values["channels"] = float(len(image.getbands()))
    values["is_jpeg"] = float(jpeg)
    return values


def _frame_values(image: Image.Image) -> Values:
    width, height = float(image.width), float(image.height)
    return {"width": width, "height": height, "short_side": min(width, height), "aspect": width / height}


def _at_most(image: Image.Image, side: int) -> Image.Image:
    factor = math.ceil(max(image.size) / side)
    return image if factor <= 1 else image.reduce(factor)


def _sharpness_values(gray: Pixels) -> Values:
    """Return focus measures at three scales, the noise floor, and the jump across the 8-pixel grid of JPEG blocks."""
    height, width = gray.shape
    top, left = max(0, (height - LARGE) // 16 * 8), max(0, (width - LARGE) // 16 * 8)
    middle = gray[top : top + LARGE, left : left + LARGE].astype(np.int16)
    values: Values = {}
    level = middle
    for name in ("fine", "middle", "coarse"):
        change = _laplacian(level)
        values[f"sharpness_{name}"] = math.log1p(_variance(change)) if change.size else 0.0
        level = _halve(level)
    fine = _laplacian(middle)
    values["noise"] = float(np.partition(np.abs(fine).ravel(), fine.size // 2)[fine.size // 2]) if fine.size else 0.0
    values["fine_to_coarse"] = values["sharpness_fine"] - values["sharpness_coarse"]
    values["blockiness"] = _blockiness(middle)
    return values


def _variance(levels: NDArray[np.int16]) -> float:
    wide = levels.astype(np.int32)  # sums over integers are the same in any order, and ask no threads
    return int((wide * wide).sum(dtype=np.int64)) / wide.size - (int(wide.sum(dtype=np.int64)) / wide.size) ** 2


def _laplacian(gray: NDArray[np.int16]) -> NDArray[np.int16]:
    center = gray[1:-1, 1:-1]
    return gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * center


def _halve(gray: NDArray[np.int16]) -> NDArray[np.int16]:
    even = gray[: gray.shape[0] // 2 * 2, : gray.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2] + 2) // 4


def _blockiness(gray: NDArray[np.int16]) -> float:
    """Return how much larger steps are across the edges of 8x8 blocks than elsewhere: log of the ratio, 0 for none."""
    height, width = gray.shape
    across = np.abs(gray[:, 1:] - gray[:, :-1]).sum(axis=0, dtype=np.int64) / height
    down = np.abs(gray[1:] - gray[:-1]).sum(axis=1, dtype=np.int64) / width
    ratios = 0.0
    for line in (across, down):
        if len(line) > 16:
            at, every = float(line[7::8].sum()), float(line.sum())
            edges = len(line[7::8])
            ratios += math.log((at / edges + 0.1) / ((every - at) / (len(line) - edges) + 0.1))
    return ratios


def _border_values(gray: Pixels) -> Values:
    """Return how the border of an image differs from its inside: frames, vignettes, round fields of view."""
    height, width = gray.shape
    bands = _bands(height, width)
    counts = np.bincount(bands, minlength=BANDS)
    sums = np.bincount(bands, weights=gray.ravel(), minlength=BANDS)
    means = sums / np.maximum(counts, 1)
    values = {f"border{number}": float(means[number] - means[3]) for number in range(3)}
    rows, columns = max(1, height // 8), max(1, width // 8)
    corners = [gray[:rows, :columns], gray[:rows, -columns:], gray[-rows:, :columns], gray[-rows:, -columns:]]
    sides = [gray[:rows, 3 * columns : 5 * columns], gray[-rows:, 3 * columns : 5 * columns]]
    values["corners"] = sum(map(_mean, corners)) / 4 - sum(map(_mean, sides)) / 2
    values["border_deviation"] = float(gray.ravel()[bands == 0].astype(np.float32).std())
    return values


BANDS = 5


@lru_cache(maxsize=64)
def _bands(height: int, width: int) -> NDArray[np.int64]:
    """Return for each pixel how far from the border it lies, in five steps up to a quarter of the side and beyond."""
    rows, columns = np.arange(height), np.arange(width)
    depth = np.minimum(
        np.minimum(rows, rows[::-1])[:, None] / height, np.minimum(columns, columns[::-1])[None, :] / width
    )
    return np.digitize(depth, (0.03, 0.08, 0.15, 0.25)).ravel()


def _mean(part: Pixels) -> float:
    return int(part.sum(dtype=np.int64)) / part.size if part.size else 0.0


def _color_values(image: Image.Image) -> Values:
    counts = np.array(image.histogram(), np.float64).reshape(3, 256)
    levels, area = np.arange(256), image.width * image.height
    means = counts @ levels / area
    deviation = np.sqrt(np.maximum(counts @ levels**2 / area - means**2, 0))
    red, green, blue = (float(value) for value in means)
    planes = image.split()
    highest = ImageChops.lighter(ImageChops.lighter(planes[0], planes[1]), planes[2])
    lowest = ImageChops.darker(ImageChops.darker(planes[0], planes[1]), planes[2])
    return {
        "red": red,
        "green": green,
        "blue": blue,
        "red_to_green": math.log((red + 1) / (green + 1)),
        "blue_to_green": math.log((blue + 1) / (green + 1)),
        "brightness": (red + green + blue) / 3,
        "contrast": float(deviation.mean()),
        "saturation": _mean(np.asarray(highest)) - _mean(np.asarray(lowest)),
    }
