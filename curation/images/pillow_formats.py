"""Reading PNG, GIF, BMP, WebP, AVIF, TGA and JPEG 2000: through Pillow, or imagecodecs where samples exceed 8 bits."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TgaImagePlugin,
    WebPImagePlugin,
)

from curation.images.color import bands, over_white, to_eight_bits, to_srgb
from curation.images.orientation import read_orientation, turn_upright, upright_size
from curation.images.png import Png, check_rows, read_png
from curation.images.truncation import has_unknown_gif_block, is_truncated
from curation.images.types import (
    DecodedImage,
    DecodeFailure,
    Header,
    Pixels,
    Tone,
    check_page,
    check_size,
    decoder_errors,
)
from curation.reasons import Reason

_PLUGINS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    "bmp": BmpImagePlugin.BmpImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "jpeg2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_OPENERS: Final[dict[str, type[ImageFile.ImageFile]]] = {
    **_PLUGINS,
    "avif": AvifImagePlugin.AvifImageFile,
    "tga": TgaImagePlugin.TgaImageFile,
}
_UNUSED_ALPHA: Final = frozenset({"bmp", "ico", "tga"})
"""Formats whose fourth byte is alpha in some files and padding of zeros in others."""
_PNG_MODES: Final = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
EMBEDDED: Final[dict[str, type[ImageFile.ImageFile]]] = {**_PLUGINS, "jpeg": JpegImagePlugin.JpegImageFile}
"""The formats whose streams a TIFF may contain as strips or tiles, among those whose size can be read here."""

_ENDED: Final = frozenset({"png", "gif", "jpeg2000"})
_SIZ: Final = b"\xff\x4f\xff\x51"
_ALPHA: Final = frozenset({"LA", "PA", "RGBA", "RGBa", "La"})
_GRAY: Final = frozenset({"1", "L"})


def read_plain_header(content: bytes, kind: str) -> Header:
    """Read the header of a PNG, GIF, BMP, WebP, AVIF, TGA or JPEG 2000 file."""
    with decoder_errors(kind, content):
        png = read_png(content) if kind == "png" else None
        return _read_header(_open(content, kind, png), content, kind, png)


class PlainReader:
    """Decodes the pages of a PNG, GIF, BMP, WebP, AVIF, TGA or JPEG 2000 file.

    A frame may build on those before it: pages in ascending order cost the least.
    """

    def __init__(self, content: bytes, kind: str) -> None:
        self._content, self._kind = content, kind
        self._png: Png | None = None
        self._image: Image.Image | None = None
        self._header: Header | None = None

    def decode(self, page: int, *, tone: Tone) -> DecodedImage:
        """Decode one page, from 1."""
        content, kind = self._content, self._kind
        with decoder_errors(kind, content):
            image, self._image = self._image, None  # one that failed is not used again
            if image is None or image.tell() > page - 1:
                image = self._open()
            if self._header is None:
                self._header = _read_header(image, content, kind, self._png)
            header = self._header
            check_page(page, header.pages)
            if page > 1:
                image.seek(page - 1)
            image.load()
            profile = image.info.get("icc_profile") if self._png is None else self._png.profile
            samples = None
            if header.bits > 8:
                image.close()  # frees its pixels, which have 8 bits
                if page > 1:
                    raise DecodeFailure(Reason.UNSUPPORTED, f"frames of {header.bits} bits")
                samples = _deep_samples(content if self._png is None else self._png.still, kind)
            elif header.pages > 1:
                self._image = image
            if self._png is not None and page == 1 and samples is None:
                check_rows(self._png)
        if samples is None:
            color, mode = _channels(image, kind)
        else:
            color, mode = _deep_channels(samples, header.bits, tone)
        return DecodedImage(header, turn_upright(to_srgb(color, mode, profile), header.orientation))

    def _open(self) -> Image.Image:
        """Open the file, and check that it does not end before its format does."""
        # OpenJPEG fills what is missing, and of several frames the first is whole although the others are cut
        if self._header is None and self._kind in _ENDED and is_truncated(self._kind, self._content):
            raise DecodeFailure(Reason.TRUNCATED)
        if self._header is None and self._kind == "gif" and has_unknown_gif_block(self._content):
            raise DecodeFailure(Reason.DAMAGED, "gif")
        if self._kind == "jpeg2000":
            check_subsampling(self._content)
        if self._kind == "png" and self._png is None:
            self._png = read_png(self._content)
        return _open(self._content, self._kind, self._png)


def to_pixels(image: Image.Image, kind: str) -> Pixels:
    """Return the pixels of an image that Pillow decoded to 8 bits: (h, w, 3), over white, in sRGB."""
    return to_srgb(*_channels(image, kind), image.info.get("icc_profile"))


def embedded_size(content: bytes, kind: str) -> tuple[int, int]:
    """Return (width, height) as an image stream inside a TIFF states them."""
    with decoder_errors(kind, content):
        return EMBEDDED[kind](BytesIO(content)).size


def _open(content: bytes, kind: str, png: Png | None) -> Image.Image:
    # the plugin itself rather than Image.open, whose own check only warns up to twice the limit
    image = _OPENERS[kind](BytesIO(content if png is None else png.content))
    check_size(*image.size)
    return image


def _read_header(image: Image.Image, content: bytes, kind: str, png: Png | None) -> Header:
    # getexif of a PNG would load it, and keep an error of its pixels for itself
    orientation = read_orientation(image) if png is None else png.orientation
    width, height = upright_size(*image.size, orientation)
    mode, bits = _depth(image, content, kind)
    return Header(
        format=kind,
        width=width,
        height=height,
        mode=mode,
        bits=bits,
        pages=getattr(image, "n_frames", 1),
        orientation=orientation,
        lossless=kind in ("png", "gif", "bmp", "tga") or (kind == "webp" and b"VP8L" in content[:64]),
    )


def _depth(image: Image.Image, content: bytes, kind: str) -> tuple[str, int]:
    """Return the channels and bits as stored, which Pillow's modes do not show for 16-bit color."""
    if kind == "png":
        return _PNG_MODES[content[25]], content[24]
    if kind == "jpeg2000":
        siz = content.find(_SIZ)
        bits = (content[siz + 42] & 0x7F) + 1 if siz >= 0 else 8
        return {"I;16": "L"}.get(image.mode, image.mode), bits
    return image.mode, 1 if image.mode == "1" else 8


def _channels(image: Image.Image, kind: str) -> tuple[Pixels, str]:
    """Return the channels of a loaded 8-bit image over white, (h, w, 1 or 3 or 4), and their mode."""
    if kind in _UNUSED_ALPHA and image.mode == "RGBA" and not np.asarray(image)[..., 3].any():
        return np.asarray(image.convert("RGB")), "RGB"
    if image.mode in _ALPHA or "transparency" in image.info:
        return _lay_over_white(image), "RGB"
    if image.mode in _GRAY:
        return np.asarray(image.convert("L"))[..., None], "L"
    if image.mode == "CMYK":
        return np.asarray(image), "CMYK"
    if image.mode in ("RGB", "P", "RGBX", "YCbCr"):
        return np.asarray(image.convert("RGB")), "RGB"
    raise DecodeFailure(Reason.UNSUPPORTED, f"{kind} of mode {image.mode}")


def _lay_over_white(image: Image.Image) -> Pixels:
    """Return (h, w, 3), band by band: four channels of a whole image and their copies are many times its pixels."""
    laid = np.empty((image.height, image.width, 3), np.uint8)
    for band in bands(image.height, image.width):
        rows = image.crop((0, band.start, image.width, min(band.stop, image.height)))
        rgba = np.asarray(rows.convert("RGBA"))
        laid[band] = over_white(rgba[..., :3], rgba[..., 3])
    return laid


def check_subsampling(content: bytes) -> None:
    """Raise where the channels of a JPEG 2000 differ in depth or, of more than 8 bits, in size."""
    siz = content.find(_SIZ)
    count = int.from_bytes(content[siz + 40 : siz + 42], "big") if siz >= 0 else 0
    channels = [content[at : at + 3] for at in range(siz + 42, siz + 42 + 3 * min(count, 16), 3)]
    whole = [one for one in channels if len(one) == 3]
    if any((one[0] & 0x7F) > 7 for one in whole) and any(max(one[1:]) > 1 for one in whole):
        raise DecodeFailure(Reason.UNSUPPORTED, "subsampled jpeg2000 of more than 8 bits")
    if len({one[0] for one in whole}) > 1:
        raise DecodeFailure(Reason.UNSUPPORTED, "jpeg2000 of channels of different depth")


def _deep_samples(content: bytes, kind: str) -> npt.NDArray[Any]:
    import imagecodecs

    samples: npt.NDArray[Any] = imagecodecs.png_decode(content) if kind == "png" else imagecodecs.jpeg2k_decode(content)
    return samples if samples.ndim == 3 else samples[..., None]


def _deep_channels(samples: npt.NDArray[Any], bits: int, tone: Tone) -> tuple[Pixels, str]:
    channels = samples.shape[2]
    if channels > 4:
        raise DecodeFailure(Reason.UNSUPPORTED, f"{channels} channels")
    opaque = channels - 1 + channels % 2
    color = to_eight_bits(samples[..., :opaque], bits=bits, tone=tone)
    if channels % 2 == 0:
        color = over_white(color, to_eight_bits(samples[..., opaque], bits=bits, tone="scale"))
    return color, "L" if opaque == 1 else "RGB"
