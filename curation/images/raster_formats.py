"""Reading PNM and QOI, and the images of an ICO: formats whose samples Pillow rounds, fills or does not check."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import IcoImagePlugin

from curation.images.color import over_white, scale_to_eight_bits, to_eight_bits, to_srgb
from curation.images.pillow_formats import PlainReader, to_pixels
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

_PNM: Final = re.compile(rb"P([1-6])" + 2 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})")
_MAXIMUM: Final = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,5})")
_SPACE: Final = (b" ", b"\t", b"\n", b"\v", b"\f", b"\r")
_COMMENT: Final = re.compile(rb"#[^\r\n]*")
_QOI_END: Final = bytes(7) + b"\x01"
_QOI_HEADER: Final = 14
_SPARE: Final = (b"\xfe\x11\x7f\xe3", b"\xfe\xe9\x2b\x54")
"""One more pixel of each color: a stream that is whole ignores it."""


def decode_pnm(content: bytes, page: int, *, tone: Tone) -> DecodedImage:
    """Decode a PBM, PGM or PPM, plain or raw, of 1 to 16 bits."""
    header, maximum, at = _read_pnm(content)
    check_page(page, 1)
    plain = content[1:2] in b"123"
    channels = 3 if header.mode == "RGB" else 1
    with decoder_errors("pnm", content):
        samples = _plain_samples(content[at:], header) if plain else _raw_samples(content, at, header)
    if len(samples) < header.width * header.height * channels:
        raise DecodeFailure(Reason.TRUNCATED)
    samples = samples[: header.width * header.height * channels].reshape(header.height, header.width, channels)
    if header.mode == "1":
        color = np.where(samples, np.uint8(0), np.uint8(255))
    elif int(samples.max()) > maximum:
        raise DecodeFailure(Reason.DAMAGED, "pnm: samples above its maximum")
    elif tone == "scale" or header.bits <= 8:
        color = scale_to_eight_bits(samples, maximum)
    else:
        color = to_eight_bits(samples, bits=header.bits, tone=tone)
    return DecodedImage(header, to_srgb(color, "RGB" if channels == 3 else "L", None))


def read_pnm_header(content: bytes) -> Header:
    """Read the header of a PBM, PGM or PPM."""
    return _read_pnm(content)[0]


def _read_pnm(content: bytes) -> tuple[Header, int, int]:
    """Return the header, the largest sample, and where the samples begin."""
    found = _PNM.match(content)
    if found is None:
        raise DecodeFailure(Reason.TRUNCATED)
    kind, width, height = (int(number) for number in found.groups())
    at, maximum = found.end(), 1
    if kind not in (1, 4):
        limit = _MAXIMUM.match(content, at)
        if limit is None:
            raise DecodeFailure(Reason.TRUNCATED)
        at, maximum = limit.end(), int(limit[1])
        if not 0 < maximum < 65536:
            raise DecodeFailure(Reason.DAMAGED, "pnm")
    if content[at : at + 1] not in _SPACE:
        raise DecodeFailure(
            Reason.DAMAGED if at < len(content) else Reason.TRUNCATED, "pnm" if at < len(content) else None
        )
    check_size(width, height)
    mode = {1: "1", 4: "1", 2: "L", 5: "L"}.get(kind, "RGB")
    return Header("pnm", width, height, mode, maximum.bit_length(), 1, 1, True), maximum, at + 1


def _raw_samples(content: bytes, at: int, header: Header) -> npt.NDArray[Any]:
    if header.mode == "1":
        stride = -(-header.width // 8)
        rows = np.frombuffer(content, np.uint8, offset=at)[: stride * header.height]
        if len(rows) < stride * header.height:
            raise DecodeFailure(Reason.TRUNCATED)
        return np.unpackbits(rows.reshape(header.height, stride), axis=1)[:, : header.width].reshape(-1)
    channels = 3 if header.mode == "RGB" else 1
    size = 2 if header.bits > 8 else 1
    if len(content) - at < header.width * header.height * channels * size:
        raise DecodeFailure(Reason.TRUNCATED)
    samples = np.frombuffer(content, ">u2" if size == 2 else np.uint8, header.width * header.height * channels, at)
    return samples.astype(np.uint16) if size == 2 else samples


def _plain_samples(text: bytes, header: Header) -> npt.NDArray[Any]:
    text = _COMMENT.sub(b"", text)
    if header.mode == "1":  # its digits need no space between them
        digits = np.frombuffer(b"".join(text.split()), np.uint8)[: header.width * header.height]
        if not np.isin(digits, (48, 49)).all():
            raise DecodeFailure(Reason.DAMAGED, "pnm")
        return digits - np.uint8(48)
    wanted = header.width * header.height * (3 if header.mode == "RGB" else 1)
    numbers = np.array(text.split(None, wanted)[:wanted], dtype=np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() > 65535):
        raise DecodeFailure(Reason.DAMAGED, "pnm")
    return numbers.astype(np.uint16 if header.bits > 8 else np.uint8)


def read_qoi_header(content: bytes) -> Header:
    """Read the header of a QOI."""
    if len(content) < _QOI_HEADER:
        raise DecodeFailure(Reason.TRUNCATED)
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (4, 8))
    if content[12] not in (3, 4):
        raise DecodeFailure(Reason.DAMAGED, "qoi")
    check_size(width, height)
    return Header("qoi", width, height, "RGB" if content[12] == 3 else "RGBA", 8, 1, 1, True)


def decode_qoi(content: bytes, page: int, *, tone: Tone) -> DecodedImage:
    """Decode a QOI; its decoders repeat the last color where the stream ends early, which is noticed here."""
    import imagecodecs

    header = read_qoi_header(content)
    check_page(page, 1)
    if not content.rstrip(b"\x00").endswith(b"\x01") or not content.endswith(_QOI_END):
        raise DecodeFailure(Reason.TRUNCATED)
    with decoder_errors("qoi", content):
        samples = imagecodecs.qoi_decode(content)
        for spare in _SPARE:
            longer = imagecodecs.qoi_decode(content[: -len(_QOI_END)] + spare + _QOI_END)
            if not np.array_equal(samples, longer):
                raise DecodeFailure(Reason.TRUNCATED)
    if samples.shape[2] == 4:
        return DecodedImage(header, over_white(samples[..., :3], samples[..., 3]))
    return DecodedImage(header, np.ascontiguousarray(samples))


def read_ico_header(content: bytes) -> Header:
    """Read the header of an ICO's largest image."""
    return decode_ico(content, 1, tone="scale").header


def decode_ico(content: bytes, page: int, *, tone: Tone) -> DecodedImage:
    """Decode the largest image of an ICO, at its largest depth; the others are the same icon in other sizes."""
    check_page(page, 1)
    with decoder_errors("ico", content):
        icons = IcoImagePlugin.IcoFile(BytesIO(content))
        if not icons.entry:
            raise DecodeFailure(Reason.MISSING_PAGE)
        place = max(range(len(icons.entry)), key=lambda at: (icons.entry[at].square, icons.entry[at].color_depth))
        start, size = icons.entry[place].offset, icons.entry[place].size
        if start + size > len(content):
            raise DecodeFailure(Reason.TRUNCATED)
        inner = content[start : start + size]
        if inner.startswith(b"\x89PNG"):
            decoded = PlainReader(inner, "png").decode(1, tone=tone)
            return replace(decoded, header=replace(decoded.header, format="ico"))
        width, height = (int.from_bytes(inner[at : at + 4], "little") for at in (4, 8))
        check_size(width, height // 2)  # it holds the image and the mask of what is opaque
        image = icons.frame(place)
        image.load()
        header = Header("ico", *image.size, image.mode, 8, 1, 1, True)
        return DecodedImage(header, to_pixels(image, "ico"))
