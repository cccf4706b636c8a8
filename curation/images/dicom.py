"""Reading DICOM: the datasets through pydicom, compressed frames through the decoders of the other formats.

Needs the extra ``formats``. PS3.3, C.7.6.3 (pixels), C.11.1 (modality), C.11.2 (values of interest).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from curation.images.color import to_eight_bits
from curation.images.jpeg_frame import read_frame
from curation.images.strict_jpeg import decode_strictly, with_spare_bytes
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

if TYPE_CHECKING:
    from pydicom import Dataset

_JPEG_8: Final = "1.2.840.10008.1.2.4.50"
_JPEG: Final = frozenset({_JPEG_8, "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
_JPEG_LS: Final = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
_JPEG_2000: Final = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_RLE: Final = "1.2.840.10008.1.2.5"
_LOSSY: Final = frozenset({_JPEG_8, "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"})
_MODES: Final = {
    **{"MONOCHROME1": "L", "MONOCHROME2": "L", "PALETTE COLOR": "P", "RGB": "RGB", "YBR_FULL": "YCbCr"},
    **{"YBR_FULL_422": "YCbCr", "YBR_ICT": "RGB", "YBR_RCT": "RGB"},
}
_ADOBE_RGB: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
_JPEG_END: Final = b"\xff\xd9"


def read_dicom_header(content: bytes) -> Header:
    """Read the header of a DICOM file's frames."""
    with decoder_errors("dicom", content):
        return _header(_open(content))


def decode_dicom(content: bytes, page: int, *, tone: Tone) -> DecodedImage:
    """Decode one frame of a DICOM file.

    Gray samples are rescaled by the file's slope and intercept. A recipe's window applies to the rescaled values; with
    "scale" it is the file's own window or table of values of interest, and without one the range of the stored bits.
    """
    with decoder_errors("dicom", content):
        dataset = _open(content)
        header = _header(dataset)
        check_page(page, header.pages)
        samples = _read_frame(dataset, header, page)
        color = _to_color(dataset, samples, header, tone)
    return DecodedImage(header, np.ascontiguousarray(color))


def read_dicom_tags(content: bytes, keywords: Sequence[str]) -> dict[str, str | None]:
    """Return the values of tags by their keywords, as texts; None where the file has none, or an empty one.

    Raises
    ------
    DecodeFailure
        The file cannot be read as DICOM, or the extra is not installed.
    """
    with decoder_errors("dicom", content):
        dataset = _pydicom().dcmread(
            BytesIO(content), force=True, stop_before_pixels=True, specific_tags=list(keywords)
        )
        values = {keyword: dataset.get(keyword) for keyword in keywords}
        return {keyword: str(value).strip() or None if value is not None else None for keyword, value in values.items()}


@cache
def _pydicom() -> ModuleType:
    try:
        import pydicom
    except ImportError as error:
        raise DecodeFailure(Reason.EXTRA_MISSING, "dicom") from error
    logging.getLogger("pydicom").addHandler(logging.NullHandler())  # what it logs is found in the data too
    return pydicom


def _open(content: bytes) -> Dataset:
    try:
        dataset: Dataset = _pydicom().dcmread(BytesIO(content), force=True)
    except EOFError as error:
        raise DecodeFailure(Reason.TRUNCATED) from error
    if "PixelData" not in dataset:
        if any(name in dataset for name in ("FloatPixelData", "DoubleFloatPixelData")):
            raise DecodeFailure(Reason.UNSUPPORTED, "dicom of floating-point pixels")
        raise DecodeFailure(
            Reason.UNSUPPORTED if "SOPClassUID" in dataset else Reason.TRUNCATED, _without_pixels(dataset)
        )
    return dataset


def _without_pixels(dataset: Dataset) -> str | None:
    return "dicom without pixels" if "SOPClassUID" in dataset else None


def _header(dataset: Dataset) -> Header:
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if photometric not in _MODES:
        raise DecodeFailure(Reason.UNSUPPORTED, f"dicom of {photometric or 'unstated'} colors")
    width, height = int(dataset.Columns), int(dataset.Rows)
    check_size(width, height)
    bits = int(dataset.get("BitsStored", dataset.BitsAllocated))
    allocated = int(dataset.BitsAllocated)
    if allocated not in (8, 16, 32) or not 1 <= bits <= allocated:
        raise DecodeFailure(Reason.UNSUPPORTED, f"dicom of {allocated}-bit samples")
    return Header(
        format="dicom",
        width=width,
        height=height,
        mode=_MODES[photometric],
        bits=bits,
        pages=max(1, int(dataset.get("NumberOfFrames", 1) or 1)),
        orientation=1,
        lossless=_syntax(dataset) not in _LOSSY,
    )


def _syntax(dataset: Dataset) -> str:
    meta = getattr(dataset, "file_meta", None)
    return str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""


def _read_frame(dataset: Dataset, header: Header, page: int) -> npt.NDArray[Any]:
    """Return one frame's stored values, (h, w) or (h, w, 3), of a type that holds their sign."""
    syntax = _syntax(dataset)
    if syntax in _JPEG | _JPEG_LS | _JPEG_2000:
        samples = _decode_stream(_stream(dataset, header, page), syntax, dataset)
    else:
        samples = _read_plain(dataset, header, page, syntax)
    channels = 1 if header.mode in ("L", "P") else 3
    if samples.shape[:2] != (header.height, header.width) or samples.size != header.height * header.width * channels:
        raise DecodeFailure(Reason.DAMAGED, "dicom: frames of another size than it states")
    samples = samples.reshape(header.height, header.width, *([3] if channels == 3 else []))
    return _with_sign(samples, header.bits, signed=int(dataset.get("PixelRepresentation", 0)) == 1)


def _read_plain(dataset: Dataset, header: Header, page: int, syntax: str) -> npt.NDArray[Any]:
    """Return a frame that is not compressed, or packed by runs, which pydicom unpacks."""
    from pydicom import uid
    from pydicom.pixels.utils import pixel_array

    if syntax == "":
        implicit = dataset.original_encoding[0] is not False
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    elif syntax != _RLE and uid.UID(syntax).is_encapsulated:
        raise DecodeFailure(Reason.UNSUPPORTED, f"dicom of transfer syntax {uid.UID(syntax).name}")
    if syntax != _RLE:
        across = 2 if header.mode == "YCbCr" and str(dataset.PhotometricInterpretation) == "YBR_FULL_422" else 3
        channels = 1 if header.mode in ("L", "P") else across
        wanted = header.width * header.height * channels * int(dataset.BitsAllocated) // 8 * header.pages
        if len(dataset.PixelData) < wanted:
            raise DecodeFailure(Reason.TRUNCATED)
    samples: npt.NDArray[Any] = pixel_array(dataset, index=page - 1, raw=True)
    return samples


def _stream(dataset: Dataset, header: Header, page: int) -> bytes:
    from pydicom.encaps import get_frame

    table = dataset.get("ExtendedOffsetTable")
    lengths = dataset.get("ExtendedOffsetTableLengths")
    extended = (table, lengths) if table and lengths else None
    return get_frame(dataset.PixelData, page - 1, number_of_frames=header.pages, extended_offsets=extended)


def _decode_stream(stream: bytes, syntax: str, dataset: Dataset) -> npt.NDArray[Any]:
    import imagecodecs

    samples: npt.NDArray[Any]
    # CharLS counts to 2**32 where a stream ends in a zero instead; OpenJPEG fills
    if syntax not in _JPEG and _JPEG_END not in stream[-4:]:
        raise DecodeFailure(Reason.TRUNCATED)
    if syntax in _JPEG_LS:
        samples = imagecodecs.jpegls_decode(stream)
        return samples
    if syntax in _JPEG_2000:
        samples = imagecodecs.jpeg2k_decode(stream)
        return samples
    frame = read_frame(stream)
    if frame is None:
        raise DecodeFailure(Reason.DAMAGED, "dicom")
    if frame.bits == 8:
        if (
            len(frame.components) == 3
            and str(dataset.PhotometricInterpretation) == "RGB"
            and b"Adobe" not in stream[:64]
        ):
            stream = stream[:2] + _ADOBE_RGB + stream[2:]  # without it, three channels are taken for YCbCr
        decoded = decode_strictly(stream, "gray" if len(frame.components) == 1 else "rgb")
        return decoded[..., 0] if len(frame.components) == 1 else decoded
    if not frame.is_lossless:
        raise DecodeFailure(Reason.UNSUPPORTED, f"{frame.bits}-bit jpeg")
    samples = imagecodecs.jpegsof3_decode(stream)
    if _JPEG_END not in stream[-4:] or not np.array_equal(
        samples, imagecodecs.jpegsof3_decode(with_spare_bytes(stream))
    ):
        raise DecodeFailure(Reason.TRUNCATED)
    return samples


def _with_sign(samples: npt.NDArray[Any], bits: int, *, signed: bool) -> npt.NDArray[Any]:
    """Return the stored bits alone, as signed numbers where they are."""
    values = samples.astype(np.int64) & ((1 << bits) - 1)
    if not signed:
        return values.astype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)
    return np.where(values >> (bits - 1), values - (1 << bits), values).astype(np.int32 if bits <= 31 else np.int64)


def _to_color(dataset: Dataset, samples: npt.NDArray[Any], header: Header, tone: Tone) -> Pixels:
    from pydicom.pixels.processing import apply_color_lut, convert_color_space

    if header.mode == "P":
        table = apply_color_lut(samples, dataset)
        return to_eight_bits(table, bits=8 * table.dtype.itemsize, tone="scale")
    if header.mode in ("RGB", "YCbCr"):
        color = to_eight_bits(samples, bits=header.bits, tone=tone)
        stored_as_ycbcr = header.mode == "YCbCr" and _syntax(dataset) not in _JPEG
        return convert_color_space(color, "YBR_FULL", "RGB") if stored_as_ycbcr else color
    gray = _to_gray(dataset, samples, header, tone)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
        gray = 255 - gray
    return np.repeat(gray[..., None], 3, axis=2)


def _to_gray(dataset: Dataset, samples: npt.NDArray[Any], header: Header, tone: Tone) -> Pixels:
    from pydicom.pixels.processing import apply_modality_lut

    values = apply_modality_lut(samples, dataset)
    if tone != "scale":
        if samples.dtype == np.uint8 and values.dtype == np.uint8:
            return samples
        return to_eight_bits(values, bits=header.bits, tone=tone)
    if "VOILUTSequence" in dataset:
        return _apply_table(dataset, values)
    if "WindowCenter" in dataset and "WindowWidth" in dataset:
        return _apply_window(dataset, values.astype(np.float64))
    if samples.dtype.kind == "i":
        raise DecodeFailure(Reason.NO_TONE_RULE, "signed samples (a window does)")
    return to_eight_bits(samples, bits=header.bits, tone="scale")


def _apply_table(dataset: Dataset, values: npt.NDArray[Any]) -> Pixels:
    from pydicom.pixels.processing import apply_voi

    table = dataset.VOILUTSequence[0]
    shown = apply_voi(values, dataset, index=0)
    return to_eight_bits(shown.astype(np.uint16), bits=int(table.LUTDescriptor[2]), tone="scale")


def _apply_window(dataset: Dataset, values: npt.NDArray[np.float64]) -> Pixels:
    """Map the file's first window to 0..255, by its function."""
    center, width = (float(np.atleast_1d(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction", "LINEAR"))
    if function == "SIGMOID" and width > 0:
        shares = 1 / (1 + np.exp(-4 * (values - center) / width))
    elif function == "LINEAR_EXACT" and width > 0:
        shares = (values - center) / width + 0.5
    elif width > 1:
        shares = (values - (center - 0.5)) / (width - 1) + 0.5
    elif width == 1:
        shares = (values > center - 0.5).astype(np.float64)
    else:
        raise DecodeFailure(Reason.DAMAGED, "dicom: a window without a width")
    return np.floor(shares.clip(0, 1) * 255 + 0.5).astype(np.uint8)
