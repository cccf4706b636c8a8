"""Packs small images into sheets, a hundred in one JPEG, and keeps them below a number of bytes."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Value = TypeVar("Value")

COLUMNS: Final = 10
MAX_TILES_PER_SHEET: Final = 100
LOWEST_QUALITY: Final = 30
BACKGROUND: Final = (128, 128, 128)
"""Fills the rest of the square of an image that is not square."""


@dataclass(frozen=True)
class Tile:
    """The place of a small image in a sheet.

    Parameters
    ----------
    sheet : int
        Index of the sheet.
    left, top : int
        Pixels.
    side : int
        Pixels.
    """

    sheet: int
    left: int
    top: int
    side: int


@dataclass(frozen=True)
class Sheets:
    """Sheets of small images, and the place of each.

    Parameters
    ----------
    uris : tuple of str
        ``data:image/jpeg;base64,...`` of each sheet.
    sizes : tuple of (int, int)
        Width and height of each sheet, in pixels.
    places : mapping of str to Tile
        Name -> place.
    """

    uris: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    places: Mapping[str, Tile] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The characters of all URIs together."""
        return sum(map(len, self.uris))

    def append(self, other: "Sheets") -> "Sheets":
        """Return sheets with the other's after these."""
        moved = {
            name: Tile(tile.sheet + len(self.uris), tile.left, tile.top, tile.side)
            for name, tile in other.places.items()
        }
        return Sheets(self.uris + other.uris, self.sizes + other.sizes, {**self.places, **moved})


def read_tile(source: Path | bytes, side: int) -> Image.Image:
    """Return an image scaled into a square on gray; a gray square where it cannot be read."""
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        image.draft("RGB", (side, side))
        return ImageOps.pad(image.convert("RGB"), (side, side), Image.Resampling.BOX, color=BACKGROUND)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Image.new("RGB", (side, side), BACKGROUND)


def fit_tile(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """Return (h, w, 3) or (h, w) uint8 pixels scaled into a square on gray."""
    return ImageOps.pad(Image.fromarray(pixels).convert("RGB"), (side, side), Image.Resampling.BOX, color=BACKGROUND)


def pack_tiles(tiles: Iterable[tuple[str, Image.Image]], *, side: int, quality: int) -> Sheets:
    """Pack tiles of one side, in pixels, into sheets, in the order given."""
    every = list(tiles)
    uris, sizes, places = [], [], {}
    for number, start in enumerate(range(0, len(every), MAX_TILES_PER_SHEET)):
        part = every[start : start + MAX_TILES_PER_SHEET]
        width, height = min(len(part), COLUMNS) * side, -(-len(part) // COLUMNS) * side
        sheet = Image.new("RGB", (width, height), BACKGROUND)
        for place, (name, tile) in enumerate(part):
            left, top = place % COLUMNS * side, place // COLUMNS * side
            sheet.paste(tile, (left, top))
            places[name] = Tile(number, left, top, side)
        uris.append(data_uri(sheet, quality=quality))
        sizes.append((width, height))
    return Sheets(tuple(uris), tuple(sizes), places)


def pack_within(tiles: Sequence[tuple[str, Image.Image]], *, side: int, quality: int, most: int) -> Sheets:
    """Pack tiles into sheets of at most ``most`` characters together, at a lower quality where that is needed."""
    packed = pack_tiles(tiles, side=side, quality=quality)
    while packed.length > most and quality > LOWEST_QUALITY:
        quality = max(LOWEST_QUALITY, quality - 14)
        packed = pack_tiles(tiles, side=side, quality=quality)
    return packed


def data_uri(image: Image.Image, *, quality: int) -> str:
    """Return an image as a JPEG in a data URI."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=2, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def sample_evenly(values: Sequence[Value], most: int) -> list[Value]:
    """Return at most ``most`` values, evenly spread over all."""
    step = len(values) / most if len(values) > most else 1.0
    return [values[int(number * step)] for number in range(min(len(values), most))]
