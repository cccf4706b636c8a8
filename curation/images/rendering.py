"""Renders an image to a JPEG without metadata.

A render is decode, then pure steps from pixels to pixels, then encode; a step is a function of (h, w, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Final, Literal, TypeAlias

import numpy as np
from PIL import Image

from curation.images.decoding import ImageReader
from curation.images.jpeg import is_upright_srgb
from curation.images.jpeg_segments import strip_metadata
from curation.images.lanczos import downscale
from curation.images.sniffing import SNIFF_BYTES, sniff
from curation.images.types import DecodedImage, DecodeFailure, Pixels, Tone, limit_pixels
from curation.reasons import Reason

Step: TypeAlias = Callable[[Pixels], Pixels]
LONGEST: Final = 65_500
"""The longest side of a JPEG, in pixels, as libjpeg has it."""
_SUBSAMPLING: Final = {"4:4:4": 0, "4:2:0": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """How a build's images are written.

    Attributes
    ----------
    encode : {"uniform", "keep"}
        "uniform" encodes every image, as three channels, with one encoder setting. "keep" copies a JPEG whose
        pixels need no change, without its metadata, and encodes the others again.
    short_side : int or None
        Scale down, never up, to this shorter side in pixels.
    quality : int
        libjpeg's, 1 to 100.
    subsampling : {"4:4:4", "4:2:0"}
    """

    encode: Literal["uniform", "keep"]
    short_side: int | None = None
    quality: int = 95
    subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4"

    def __post_init__(self) -> None:
        if self.short_side is not None and self.short_side < 2:
            raise ValueError(f"short_side must be at least 2 px, not {self.short_side}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be 1 to 100, not {self.quality}")

    def canonical(self) -> dict[str, str | int | None]:
        """Return the settings as they enter a version's digest."""
        return asdict(self)


def render(
    file: bytes | ImageReader,
    settings: RenderSettings,
    *,
    tone: Tone = "scale",
    page: int = 1,
    steps: Sequence[Step] = (),
) -> bytes:
    """Turn an image file into the JPEG of a build.

    Parameters
    ----------
    file : bytes or ImageReader
        The file's content; a reader saves time where further pages of the file are rendered.
    steps : sequence of functions from (h, w, 3) uint8 to the same
        Applied to the upright sRGB pixels, before they are scaled; with any, nothing is copied.

    Raises
    ------
    DecodeFailure
        The file cannot be decoded.
    """
    reader = file if isinstance(file, ImageReader) else ImageReader(file)
    if settings.encode == "keep" and not steps:
        kept = _keep(reader, settings, page=page)
        if kept is not None:
            return kept
    pixels = reader.decode(tone=tone, page=page).pixels
    for step in steps:
        pixels = step(pixels)
    return encode(pixels, settings)


def encode(pixels: Pixels, settings: RenderSettings) -> bytes:
    """Scale an image down and encode it as a JPEG: three channels, libjpeg's standard tables, JFIF only.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 ndarray, upright sRGB

    Raises
    ------
    DecodeFailure
        A side would be longer than a JPEG can be.
    """
    image = downscale(Image.fromarray(pixels), settings.short_side)
    if max(image.size) > LONGEST:
        raise DecodeFailure(Reason.TOO_LONG, f"{max(image.size)} px, > {LONGEST}")
    out = BytesIO()
    image.save(out, "JPEG", quality=settings.quality, subsampling=_SUBSAMPLING[settings.subsampling])
    return out.getvalue()


def _keep(reader: ImageReader, settings: RenderSettings, *, page: int) -> bytes | None:
    """Return a JPEG without its metadata, or None where its pixels have to change."""
    content = reader.content
    if page != 1 or sniff(content[:SNIFF_BYTES]) != "jpeg":
        return None
    with limit_pixels(reader.max_pixels):
        if not is_upright_srgb(content):
            return None
    probed = reader.decode(scale="scaled")  # read to its end: a damaged file is not copied
    if settings.short_side is not None and min(probed.header.width, probed.header.height) > settings.short_side:
        return None
    kept = strip_metadata(content)
    return kept if kept == content or _shows(ImageReader(kept, max_pixels=reader.max_pixels), probed) else None


def _shows(copy: ImageReader, original: DecodedImage) -> bool:
    """Return whether a copy has the pixels of its original: a segment that changes the colors may be lost."""
    try:
        copied = copy.decode(scale="scaled")
    except DecodeFailure:
        return False
    return copied.header.mode == original.header.mode and np.array_equal(copied.pixels, original.pixels)
