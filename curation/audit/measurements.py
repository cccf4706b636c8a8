"""Every published file is opened once, with Pillow alone, and measured; what cannot be opened is named with the reason.

Nothing of the build's own reading is used here: an audit that asks the builder is none.
"""

import io
import math
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageChops, JpegImagePlugin

from curation.audit.image_artifacts import measure_artefacts
from curation.audit.metadata_leaks import find_embedded
from curation.storage.progress import Progress, Silence, show_progress
from curation.versions import Version

Pixels: TypeAlias = NDArray[np.uint8]
Values: TypeAlias = dict[str, float]

GREY_SIDE, COLOUR_SIDE = 64, 16
LARGE = 768
"""A picture with a longer side is measured at this size; sharpness is measured in the middle of its full pixels."""

THREADS = 2
"""Pictures that are measured at once; what lies between decoding and arithmetic holds the interpreter."""

ABOUT = ("id", "sha256", "page", "source", "path", "group", "group_key", "lesion", "patient", "split", "label", "file")


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of n pictures, in the order of ``Version.samples()``.

    Parameters
    ----------
    table : polars.DataFrame
        n rows: the columns ``ABOUT`` of the manifest and one column for each measured value.
    grey : (n, 64, 64) uint8 ndarray
        The whole picture, squeezed to a square by area.
    colour : (n, 16, 16, 3) uint8 ndarray
        The same in sRGB.
    unreadable : tuple of (str, str)
        Id and reason of the files that could not be measured.
    embedded : mapping of str to tuple of str
        Id -> what the file carries besides the picture.
    """

    table: pl.DataFrame
    grey: Pixels
    colour: Pixels
    unreadable: tuple[tuple[str, str], ...] = ()
    embedded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of pictures, the unreadable ones too."""
        return self.table.height

    @property
    def readable(self) -> pl.DataFrame:
        """The rows of the table that could be measured, aligned with ``grey`` and ``colour``."""
        return self.table.filter(pl.col("bytes").is_not_null()) if len(self.grey) else self.table.clear()


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured of one file."""

    values: Values
    grey: Pixels
    colour: Pixels
    embedded: tuple[str, ...]


def measure_version(
    version: Version,
    *,
    change: Callable[[bytes], bytes] | None = None,
    progress: Progress | None = None,
    what: str = "measure",
) -> Measured:
    """Open and measure every picture of a version.

    Parameters
    ----------
    change : function of bytes to bytes, optional
        What is done to each file before it is measured: a remedy that is tried.
    progress : Progress, optional
        Draws how far it is, in bytes read, under the words of ``what``.
    """
    samples = version.samples()
    files = [Path(file) for file in samples["file"]]
    size_bytes = sum(file.stat().st_size for file in files if file.is_file())
    rows, greys, colours, unreadable, embedded = [], [], [], [], {}
    with (
        warnings.catch_warnings(),
        show_progress(progress or Silence(), what, size_bytes) as advance,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        warnings.simplefilter("ignore")  # a hostile file may warn; what matters is whether it opens
        every = pool.map(partial(_measure_or_say, change=change, folder=version.folder), files)
        for number, (name, found) in enumerate(zip(samples["id"], every, strict=True)):
            if isinstance(found, str):
                unreadable.append((name, found))
                continue
            advance(int(found.values["bytes"]) if change is None else files[number].stat().st_size)
            rows.append({"row": number, **found.values})
            greys.append(found.grey)
            colours.append(found.colour)
            if found.embedded:
                embedded[name] = found.embedded
    about = samples.select(ABOUT).with_row_index("row")
    values = pl.DataFrame(rows) if rows else pl.DataFrame({"row": []}, schema={"row": pl.UInt32})
    table = about.join(values.with_columns(pl.col("row").cast(pl.UInt32)), on="row", maintain_order="left").drop("row")
    return Measured(
        table,
        np.array(greys, np.uint8).reshape(-1, GREY_SIDE, GREY_SIDE),
        np.array(colours, np.uint8).reshape(-1, COLOUR_SIDE, COLOUR_SIDE, 3),
        tuple(unreadable),
        embedded,
    )


def _measure_or_say(file: Path, *, change: Callable[[bytes], bytes] | None, folder: Path) -> Measurement | str:
    """Measure one published file, or return which it is, by its path in the version's folder, and why it is none."""
    try:
        content = file.read_bytes()
        return measure_file(content if change is None else change(content))
    except FileNotFoundError:
        return f"{_inside(file, folder)} is missing"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        return f"{_inside(file, folder)} is no picture that can be read: {why}".replace(str(file), "the file")


def _inside(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name


def measure_file(content: bytes) -> Measurement:
    """Measure one image file.

    Raises
    ------
    OSError, ValueError, SyntaxError
        What Pillow raises where a file is no whole picture.
    """
    image = Image.open(io.BytesIO(content))
    values = _file_values(image, content) | _frame_values(image)
    embedded = find_embedded(image, content)
    native = image.convert("RGB")
    values |= _sharpness_values(np.asarray(native.convert("L")))
    rgb = _at_most(native, LARGE)
    values |= _border_values(np.asarray(rgb.convert("L"))) | _colour_values(rgb) | measure_artefacts(rgb)
    return Measurement(
        values,
        np.asarray(native.convert("L").resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)),
        np.asarray(native.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)),
        embedded,
    )


def _file_values(image: Image.Image, content: bytes) -> Values:
    area = image.width * image.height
    values = {"bytes": float(len(content)), "bytes_per_pixel": len(content) / area}
    tables: Any = getattr(image, "quantization", None) or {}
    for number in (0, 1):
        steps = np.array(tables.get(number, [0] * 64), np.float64)
        values |= {f"table{number}_mean": float(steps.mean()), f"table{number}_first": float(steps[0])}
        values |= {f"table{number}_last": float(steps[-1]), f"table{number}_spread": float(steps.std())}
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


def _sharpness_values(grey: Pixels) -> Values:
    """Return focus measures at three scales, the noise floor, and the jump across the 8-pixel grid of JPEG blocks."""
    height, width = grey.shape
    top, left = max(0, (height - LARGE) // 16 * 8), max(0, (width - LARGE) // 16 * 8)
    middle = grey[top : top + LARGE, left : left + LARGE].astype(np.int16)
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


def _laplacian(grey: NDArray[np.int16]) -> NDArray[np.int16]:
    centre = grey[1:-1, 1:-1]
    return grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre


def _halve(grey: NDArray[np.int16]) -> NDArray[np.int16]:
    even = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2] + 2) // 4


def _blockiness(grey: NDArray[np.int16]) -> float:
    """Return how much larger steps are across the edges of 8x8 blocks than elsewhere: log of the ratio, 0 for none."""
    height, width = grey.shape
    across = np.abs(grey[:, 1:] - grey[:, :-1]).sum(axis=0, dtype=np.int64) / height
    down = np.abs(grey[1:] - grey[:-1]).sum(axis=1, dtype=np.int64) / width
    ratios = 0.0
    for line in (across, down):
        if len(line) > 16:
            at, every = float(line[7::8].sum()), float(line.sum())
            edges = len(line[7::8])
            ratios += math.log((at / edges + 0.1) / ((every - at) / (len(line) - edges) + 0.1))
    return ratios


def _border_values(grey: Pixels) -> Values:
    """Return how the rim of a picture differs from what lies within it: borders, vignettes, round fields of view."""
    height, width = grey.shape
    bands = _bands(height, width)
    counts = np.bincount(bands, minlength=RIMS)
    sums = np.bincount(bands, weights=grey.ravel(), minlength=RIMS)
    means = sums / np.maximum(counts, 1)
    values = {f"rim{number}": float(means[number] - means[3]) for number in range(3)}
    rows, columns = max(1, height // 8), max(1, width // 8)
    corners = [grey[:rows, :columns], grey[:rows, -columns:], grey[-rows:, :columns], grey[-rows:, -columns:]]
    sides = [grey[:rows, 3 * columns : 5 * columns], grey[-rows:, 3 * columns : 5 * columns]]
    values["corners"] = sum(map(_mean, corners)) / 4 - sum(map(_mean, sides)) / 2
    values["rim_spread"] = float(grey.ravel()[bands == 0].astype(np.float32).std())
    return values


RIMS = 5


@lru_cache(maxsize=64)
def _bands(height: int, width: int) -> NDArray[np.int64]:
    """Return for each pixel how far from the rim it lies, in five steps up to a quarter of the side and beyond."""
    rows, columns = np.arange(height), np.arange(width)
    depth = np.minimum(
        np.minimum(rows, rows[::-1])[:, None] / height, np.minimum(columns, columns[::-1])[None, :] / width
    )
    return np.digitize(depth, (0.03, 0.08, 0.15, 0.25)).ravel()


def _mean(part: Pixels) -> float:
    return int(part.sum(dtype=np.int64)) / part.size if part.size else 0.0


def _colour_values(image: Image.Image) -> Values:
    counts = np.array(image.histogram(), np.float64).reshape(3, 256)
    levels, area = np.arange(256), image.width * image.height
    means = counts @ levels / area
    spread = np.sqrt(np.maximum(counts @ levels**2 / area - means**2, 0))
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
        "contrast": float(spread.mean()),
        "saturation": _mean(np.asarray(highest)) - _mean(np.asarray(lowest)),
    }
