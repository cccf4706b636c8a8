"""Reading HEIC through pi-heif: libheif and libde265 (LGPL), without an encoder. Needs the extra ``formats``."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, Final

import numpy as np

from curation.images.color import over_white, to_eight_bits, to_srgb
from curation.images.types import (
    DecodedImage,
    DecodeFailure,
    Header,
    Tone,
    check_page,
    check_size,
    decoder_errors,
)
from curation.reasons import Reason

_CHANNELS: Final = {"L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}


def read_heif_header(content: bytes) -> Header:
    """Read the header of a HEIC's images."""
    with decoder_errors("heif", content):
        file = _open(content)
        return _header(file[file.primary_index], len(file))


def decode_heif(content: bytes, page: int, *, tone: Tone) -> DecodedImage:
    """Decode one image of a HEIC, the primary one first; libheif turns it upright."""
    with decoder_errors("heif", content):
        file = _open(content)
        check_page(page, len(file))
        places = [file.primary_index, *(place for place in range(len(file)) if place != file.primary_index)]
        image = file[places[page - 1]]
        header = _header(image, len(file))
        samples = np.asarray(image)
        profile = image.info.get("icc_profile")
    mode, _, _ = image.mode.partition(";")
    samples = samples.reshape(header.height, header.width, _CHANNELS[mode])
    opaque = len(mode.rstrip("Aa"))
    # libheif widens 10 and 12 bits to 16
    color = to_eight_bits(samples[..., :opaque], bits=8 * samples.dtype.itemsize, tone=tone)
    if mode[-1] in "Aa":
        alpha = to_eight_bits(samples[..., opaque], bits=8 * samples.dtype.itemsize, tone="scale")
        color = over_white(color, alpha, premultiplied=mode[-1] == "a")
    return DecodedImage(header, to_srgb(color, mode.rstrip("Aa"), profile))


@cache
def _pi_heif() -> ModuleType:
    try:
        import pi_heif
    except ImportError as error:
        raise DecodeFailure(Reason.EXTRA_MISSING, "heif") from error
    module: ModuleType = pi_heif
    return module


def _open(content: bytes) -> Any:  # noqa: ANN401 - pi-heif has no types
    return _pi_heif().open_heif(content, convert_hdr_to_8bit=False)


def _header(image: Any, pages: int) -> Header:  # noqa: ANN401 - pi-heif has no types
    width, height = image.size
    check_size(width, height)
    mode = image.mode.partition(";")[0]
    if mode not in _CHANNELS:
        raise DecodeFailure(Reason.UNSUPPORTED, f"heif of mode {image.mode}")
    return Header("heif", width, height, mode, int(image.info.get("bit_depth", 8)), pages, 1, False)
