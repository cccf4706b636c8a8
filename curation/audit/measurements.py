"""Measures every published file, opened once with Pillow alone; files that cannot be opened get a reason.

The build's own decoding is not used here, so that an audit does not repeat the mistakes of a build.
"""

import io
import math
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageChops, JpegImagePlugin

from curation.audit.image_artifacts import measure_artifacts
from curation.audit.metadata_leaks import find_embedded_metadata
from curation.dataset.columns import Role, role_values
from curation.storage.progress import Progress, SilentProgress, show_progress
from curation.versions import Version

Pixels: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = dict[str, float]

GRAY_SIDE, COLOR_SIDE = 64, 16
LARGE = 768
"""An image with a longer side is measured at this size, in pixels; sharpness in the middle of its full pixels."""

THREADS = 2
"""Images that are measured at once; the code between decoding and arithmetic holds the interpreter lock."""

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


def measure_version(
    version: Version,
    *,
    change: Callable[[bytes], bytes] | None = None,
    progress: Progress | None = None,
    what: str = "measure",
) -> Measured:
    """Open and measure every image of a version.

    Parameters
    ----------
    change : function of bytes to bytes, optional
        Applied to each file before it is measured: a remedy that is tried.
    progress : Progress, optional
        Shows the progress, in bytes read.
    what : str
        The words under which it does.
    """
    samples = version.samples()
    files = [Path(file) for file in samples["file"]]
    size_bytes = sum(file.stat().st_size for file in files if file.is_file())
    rows, grays, colors, unreadable, embedded = [], [], [], [], {}
    with (
        warnings.catch_warnings(),
        show_progress(progress or SilentProgress(), what, size_bytes) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        warnings.simplefilter("ignore")  # a hostile file may cause warnings; only whether it opens counts
        every = pool.map(partial(_measure_or_explain, change=change, folder=version.folder), files)
        for number, (name, found) in enumerate(zip(samples["id"], every, strict=True)):
            if isinstance(found, str):
                unreadable.append((name, found))
                continue
            advance(int(found.values["bytes"]) if change is None else files[number].stat().st_size)
            rows.append({"row": number, **found.values})
            grays.append(found.gray)
            colors.append(found.color)
            if found.embedded:
                embedded[name] = found.embedded
    metadata = version.manifest.metadata
    people = [role_values(metadata, role).alias(role) for role in PEOPLE]
    about = samples.select(*ABOUT, *people).with_row_index("row")
    values = pl.DataFrame(rows) if rows else pl.DataFrame({"row": []}, schema={"row": pl.UInt32})
    table = about.join(values.with_columns(pl.col("row").cast(pl.UInt32)), on="row", maintain_order="left").drop("row")
    return Measured(
        table,
        np.array(grays, np.uint8).reshape(-1, GRAY_SIDE, GRAY_SIDE),
        np.array(colors, np.uint8).reshape(-1, COLOR_SIDE, COLOR_SIDE, 3),
        tuple(unreadable),
        embedded,
    )


def _measure_or_explain(file: Path, *, change: Callable[[bytes], bytes] | None, folder: Path) -> Measurement | str:
    """Measure one published file, or return its path in the version's folder and why it cannot be measured."""
    try:
        content = file.read_bytes()
        return measure_file(content if change is None else change(content))
    except FileNotFoundError:
        return f"{_inside(file, folder)} is missing"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        return f"{_inside(file, folder)} cannot be read: {why}".replace(str(file), "the file")


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
