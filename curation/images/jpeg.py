"""Reading JPEG: the fast path, with the decoder's own DCT scaling and its own luma channel."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, JpegImagePlugin

from curation.images.color import apply_transform, srgb_transform
from curation.images.jpeg_frame import Frame, check_frame, check_scans, read_frame
from curation.images.orientation import read_orientation, turn_upright, upright_size
from curation.images.strict_jpeg import Space, decode_strictly, is_unknown_sampling, with_spare_bytes
from curation.images.types import (
    DecodedImage,
    DecodeFailure,
    Header,
    Pixels,
    Scale,
    check_bomb,
    check_page,
    check_size,
    decoder_errors,
)
from curation.reasons import Reason

SCALED_SIDE: Final = 64
"""The shorter side, in pixels, that a scaled decode keeps at least."""


def read_jpeg_header(content: bytes) -> Header:
    """Read the header of a JPEG. Images after the first (MPF: previews, depth maps) are not pages."""
    _read_frame(content)
    with decoder_errors("jpeg", content):
        return _header(_open(content))


def decode_jpeg(content: bytes, *, scale: Scale, page: int, gray: bool) -> DecodedImage:
    """Decode a JPEG, all of it or nothing: a file that is cut or has a hole gives a reason at any scale."""
    frame = _read_frame(content)
    with decoder_errors("jpeg", content):
        image = _open(content)
        header = _header(image)
        check_page(page, header.pages)
        if frame is not None:
            check_scans(content, frame)
        transform = srgb_transform(image.info.get("icc_profile"), image.mode)
        scaled = scale == "scaled" and frame is not None and not frame.is_lossless
        # the luma channel differs from Pillow's RGB -> L by rounding; "full" must equal what imagehash sees
        luma = gray and transform is None and scaled
        loaded = _load(image, content, scaled=scaled, luma=luma)
        if isinstance(loaded, np.ndarray) and transform is None and (loaded.ndim == 2) == gray:
            pixels = loaded
        else:
            srgb = Image.fromarray(loaded) if isinstance(loaded, np.ndarray) else loaded
            if transform is not None:
                srgb = apply_transform(srgb, transform)
            if gray or srgb.mode != "RGB":
                srgb = _converted(srgb, gray=gray)
            pixels = np.asarray(srgb)
    return DecodedImage(header, turn_upright(pixels, header.orientation))


def _load(image: JpegImagePlugin.JpegImageFile, content: bytes, *, scaled: bool, luma: bool) -> Image.Image | Pixels:
    """Decode a JPEG strictly, in its own mode or, where only that is wanted, its luma."""
    factor = dct_factor(*image.size) if scaled else 1
    width, height = (-(-side // factor) for side in image.size) if scaled else (0, 0)
    space: Space = "cmyk" if image.mode == "CMYK" else "gray" if luma or image.mode == "L" else "rgb"
    try:
        pixels = decode_strictly(content, space, width=width, height=height)
    except ValueError as error:
        if not is_unknown_sampling(error):
            raise
        spare = _load_by_pillow(_open(with_spare_bytes(content)), factor=factor, luma=luma)
        loaded = _load_by_pillow(image, factor=factor, luma=luma)
        if spare != loaded:
            raise DecodeFailure(Reason.DAMAGED, "jpeg") from error
        return loaded
    if space == "cmyk":
        return _load_by_pillow(image, factor=factor, luma=False)  # it knows when Adobe's inks are inverted
    return pixels[..., 0] if space == "gray" else pixels


def _load_by_pillow(image: JpegImagePlugin.JpegImageFile, *, factor: int, luma: bool) -> Image.Image:
    if factor > 1 or luma:
        image.draft("L" if luma else None, (image.width // factor, image.height // factor))
    image.load()
    return image.copy()


def _read_frame(content: bytes) -> Frame | None:
    """Return the first frame, checked; None where it cannot be read, which the decoder then explains."""
    frame = read_frame(content)
    if frame is not None:
        check_frame(frame)
    return frame


def check_embedded_jpeg(stream: bytes, *, width: int, height: int) -> None:
    """Raise `DecodeFailure` where a JPEG stream inside another file would be filled when it is decoded.

    Parameters
    ----------
    stream : bytes
        With its tables.
    width, height : int
        The pixels that it has to give at least.
    """
    frame = _read_frame(stream)
    if frame is None:
        raise DecodeFailure(Reason.DAMAGED, "tiff")
    check_bomb(frame.width, frame.height)
    if frame.width < width or frame.height < height:
        raise DecodeFailure(Reason.TRUNCATED)
    with decoder_errors("jpeg", stream):
        check_scans(stream, frame)
        try:
            # at an eighth, every code is read and few samples are computed
            side = 0 if frame.is_lossless else 1
            decode_strictly(stream, "gray", width=side, height=side, embedded=True)
        except ValueError as error:
            if not is_unknown_sampling(error):
                raise


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
