"""Small pictures for a page: many in one JPEG, so that three thousand of them stay a page and not a download."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

COLUMNS: Final = 10
MOST_IN_ONE: Final = 100
GROUND: Final = (128, 128, 128)
"""What stands beside a picture that is no square."""


@dataclass(frozen=True)
class Tile:
    """A small picture's place: in which sheet, and where.

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
    """Sheets of small pictures, and who stands where.

    Parameters
    ----------
    uris : tuple of str
        ``data:image/jpeg;base64,...`` of each sheet.
    sizes : tuple of (int, int)
        Width and height of each sheet, in pixels.
    places : mapping of str to Tile
        By the name that was given.
    """

    uris: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    places: Mapping[str, Tile] = field(default_factory=dict)

    def beside(self, other: "Sheets") -> "Sheets":
        """Return both, the other's sheets after these."""
        moved = {
            name: Tile(tile.sheet + len(self.uris), tile.left, tile.top, tile.side)
            for name, tile in other.places.items()
        }
        return Sheets(self.uris + other.uris, self.sizes + other.sizes, {**self.places, **moved})


def read_tile(source: Path | bytes, side: int) -> Image.Image:
    """Return a picture shrunk into a square, grey beside it; one that cannot be read becomes plain grey."""
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        image.draft("RGB", (side, side))
        return ImageOps.pad(image.convert("RGB"), (side, side), Image.Resampling.BOX, color=GROUND)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Image.new("RGB", (side, side), GROUND)


def fit(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """Return (h, w, 3) or (h, w) uint8 pixels shrunk into a square, grey beside them."""
    return ImageOps.pad(Image.fromarray(pixels).convert("RGB"), (side, side), Image.Resampling.BOX, color=GROUND)


def lay_out(tiles: Iterable[tuple[str, Image.Image]], *, side: int, quality: int) -> Sheets:
    """Lay tiles of one side out in sheets, in the order given."""
    every = list(tiles)
    uris, sizes, places = [], [], {}
    for number, start in enumerate(range(0, len(every), MOST_IN_ONE)):
        part = every[start : start + MOST_IN_ONE]
        width, height = min(len(part), COLUMNS) * side, -(-len(part) // COLUMNS) * side
        sheet = Image.new("RGB", (width, height), GROUND)
        for place, (name, tile) in enumerate(part):
            left, top = place % COLUMNS * side, place // COLUMNS * side
            sheet.paste(tile, (left, top))
            places[name] = Tile(number, left, top, side)
        uris.append(data_uri(sheet, quality=quality))
        sizes.append((width, height))
    return Sheets(tuple(uris), tuple(sizes), places)


def data_uri(image: Image.Image, *, quality: int) -> str:
    """Return an image as a JPEG in a data URI."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=2, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def thin_out(names: Sequence[str], most: int) -> list[str]:
    """Return at most so many names, evenly spread over all."""
    step = len(names) / most if len(names) > most else 1.0
    return [names[int(number * step)] for number in range(min(len(names), most))]
