"""Reading JPEG: the fast path, with the decoder's own DCT scaling and its own luma channel."""

from __future__ import annotations

from io import BytesIO
from typing import Final, NoReturn

import numpy as np
from PIL import Image, JpegImagePlugin

from curation.images.color import apply_transform, srgb_transform
from curation.images.jpeg_segments import FRAMES, LOSSLESS_FRAMES, walk_segments
from curation.images.orientation import read_orientation, turn_upright, upright_size
from curation.images.types import (
    DecodedImage,
    DecodeFailure,
    Header,
    Scale,
    check_page,
    check_size,
    decoder_errors,
)
from curation.reasons import Reason

SCALED_SIDE: Final = 64
"""The shorter side, in pixels, that a scaled decode keeps at least."""


def read_jpeg_header(content: bytes) -> Header:
    """Read the header of a JPEG. Images after the first (MPF: previews, depth maps) are not pages."""
    try:
        with decoder_errors("jpeg", content):
            return _header(_open(content))
    except DecodeFailure as failure:
        _raise_with_depth(failure, content)


def decode_jpeg(content: bytes, *, scale: Scale, page: int, gray: bool) -> DecodedImage:
    """Decode a JPEG.

    Pillow's decoder suspends where the file ends, and so notices every cut, at any scale, down to a lost end marker.
    """
    try:
        return _decode(content, scale=scale, page=page, gray=gray)
    except DecodeFailure as failure:
        # a lossless JPEG has no DCT to scale by, and libjpeg reports only that something is wrong
        if scale == "full" or failure.reason is not Reason.DAMAGED or _first_frame(content)[0] not in LOSSLESS_FRAMES:
            _raise_with_depth(failure, content)
    return _decode(content, scale="full", page=page, gray=gray)


def _decode(content: bytes, *, scale: Scale, page: int, gray: bool) -> DecodedImage:
    with decoder_errors("jpeg", content):
        image = _open(content)
        header = _header(image)
        check_page(page, header.pages)
        transform = srgb_transform(image.info.get("icc_profile"), image.mode)
        if scale == "scaled":
            factor = dct_factor(*image.size)
            # the luma channel differs from Pillow's RGB -> L by rounding; "full" must equal what imagehash sees
            luma = gray and transform is None and image.mode == "RGB"
            image.draft("L" if luma else None, (image.width // factor, image.height // factor))
        image.load()
        srgb = image if transform is None else apply_transform(image, transform)
        if gray or srgb.mode != "RGB":
            srgb = _converted(srgb, gray=gray)
        pixels = np.asarray(srgb)
    return DecodedImage(header, turn_upright(pixels, header.orientation))


def is_upright_srgb(content: bytes) -> bool:
    """Return whether a JPEG's stored pixels are upright gray or sRGB already."""
    with decoder_errors("jpeg", content):
        image = _open(content)
        profile = image.info.get("icc_profile")
        upright = _header(image).orientation == 1
    return upright and image.mode in ("L", "RGB") and srgb_transform(profile, image.mode) is None


def _converted(image: Image.Image, *, gray: bool) -> Image.Image:
    if image.mode == "CMYK":
        image = image.convert("RGB")
    wanted = "L" if gray else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def dct_factor(width: int, height: int) -> int:
    """Return the largest of libjpeg's divisors 8, 4, 2, 1 that leaves the shorter side at least 64 px."""
    short = min(width, height)
    return next((factor for factor in (8, 4, 2) if -(-short // factor) >= SCALED_SIDE), 1)


def _raise_with_depth(failure: DecodeFailure, content: bytes) -> NoReturn:
    """Raise a failure again, naming a JPEG that is not damaged but has samples of more than 8 bits."""
    bits = _first_frame(content)[1] if failure.reason is Reason.DAMAGED else 8
    if bits == 8:
        raise failure
    raise DecodeFailure(Reason.UNSUPPORTED, f"{bits}-bit jpeg") from failure


def _first_frame(content: bytes) -> tuple[int, int]:
    """Return the first frame's marker and the bits of its samples; those of a baseline frame where it has none."""
    try:
        for marker, segment, _ in walk_segments(content):
            if marker in FRAMES and len(segment) > 2:
                return marker, segment[2]
    except DecodeFailure:
        pass
    return 0xC0, 8


def _open(content: bytes) -> JpegImagePlugin.JpegImageFile:
    # the plugin itself rather than Image.open, which would make an MPF file's previews pages of it
    image = JpegImagePlugin.JpegImageFile(BytesIO(content))
    check_size(*image.size)
    return image


def _header(image: JpegImagePlugin.JpegImageFile) -> Header:
    tagged = "exif" in image.info or "xmp" in image.info
    orientation = read_orientation(image) if tagged else 1
    width, height = upright_size(*image.size, orientation)
    return Header("jpeg", width, height, image.mode, 8, 1, orientation, False)
