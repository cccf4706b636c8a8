"""DICOM: gray and color, signs, windows, palettes, frames, and the codings of its transfer syntaxes."""

import importlib.util
import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from curation.images import Window, decode, read_header
from tests.images.builders import draw, file_of, reason_of

if importlib.util.find_spec("pydicom") is None:
    pytest.skip("the extra formats is not installed", allow_module_level=True)

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

IMAGE = draw(40, 30, 9)
GRAY = np.asarray(Image.fromarray(IMAGE).convert("L"))
DEEP = GRAY.astype(np.uint16) << 4


def dicom(pixels, *, photometric="MONOCHROME2", bits=8, signed=False, syntax=ExplicitVRLittleEndian, frames=1, **tags):
    """Write a DICOM of pixels, an array or the streams of its frames."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.7"), UID("1.2.3")
    dataset.Rows, dataset.Columns = 30, 40
    dataset.PhotometricInterpretation = photometric
    dataset.SamplesPerPixel = 3 if photometric.startswith(("RGB", "YBR")) else 1
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, int(signed)
    if frames > 1:
        dataset.NumberOfFrames = frames
    for name, value in tags.items():
        setattr(dataset, name, value)
    if isinstance(pixels, list):
        dataset.PixelData = encapsulate(pixels)
        dataset["PixelData"].is_undefined_length = True
    else:
        content = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
        dataset.PixelData = content
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 or isinstance(pixels, list) else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        dataset.SOPClassUID,
        dataset.SOPInstanceUID,
    )
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def gray_of(content, **settings):
    """Return the gray values of a DICOM."""
    pixels = decode(content, **settings).pixels
    assert (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_gray_and_color_are_read_in_every_byte_order(syntax):
    """8 and 12 bits, black or white as zero, RGB and YBR."""
    assert np.array_equal(gray_of(dicom(GRAY, syntax=syntax)), GRAY)
    assert np.array_equal(gray_of(dicom(GRAY, photometric="MONOCHROME1", syntax=syntax)), 255 - GRAY)
    expected = np.floor(DEEP.astype(float) * 255 / 4095 + 0.5)
    assert np.array_equal(gray_of(dicom(DEEP, bits=12, syntax=syntax)), expected)
    assert np.array_equal(decode(dicom(IMAGE, photometric="RGB", syntax=syntax)).pixels, IMAGE)
    ycbcr = np.asarray(Image.fromarray(IMAGE).convert("YCbCr"))
    shown = decode(dicom(ycbcr, photometric="YBR_FULL", syntax=syntax)).pixels
    assert np.abs(shown.astype(int) - IMAGE).max() <= 3


def test_a_header_has_no_pixels_of_its_own():
    """Format, size, bits, frames."""
    header = read_header(dicom(np.stack([DEEP] * 3), bits=12, frames=3))
    assert (header.format, header.width, header.height, header.mode, header.bits) == ("dicom", 40, 30, "L", 12)
    assert (header.pages, header.lossless) == (3, True)


def test_windows_are_applied_to_rescaled_values():
    """The file's window, or the recipe's; signed samples without one have no rule."""
    units = (DEEP.astype(np.int16) - 1024).astype("<i2")
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-100"}
    values = units.astype(float) * 2 - 100
    window = {"WindowCenter": "300", "WindowWidth": "900"}
    content = dicom(units, bits=16, signed=True, **tags, **window)
    expected = np.floor((((values - 299.5) / 899) + 0.5).clip(0, 1) * 255 + 0.5)
    assert np.array_equal(gray_of(content), expected)
    exact = dicom(units, bits=16, signed=True, **tags, **window, VOILUTFunction="LINEAR_EXACT")
    assert np.array_equal(gray_of(exact), np.floor(((values - 300) / 900 + 0.5).clip(0, 1) * 255 + 0.5))
    own = gray_of(content, tone=Window(-1000, 400))
    assert np.array_equal(own, np.floor((values.clip(-1000, 400) + 1000) * 255 / 1400 + 0.5))
    assert reason_of(dicom(units, bits=16, signed=True)) == ("no-tone-rule", "signed samples (a window does)")


def test_a_sign_within_twelve_bits_is_kept():
    """The bits above those that are stored are no part of the value."""
    units = ((DEEP.astype(np.int16) >> 1) - 700) & 0x0FFF
    shown = gray_of(dicom(units.astype(np.uint16) | 0xF000, bits=12, signed=True), tone=Window(-700, 1340))
    expected = (DEEP.astype(np.int64) >> 1) - 700
    assert np.array_equal(shown, np.floor((expected.clip(-700, 1340) + 700.0) * 255 / 2040 + 0.5))


def test_a_palette_is_looked_up():
    """16-bit entries by v / 257."""
    tables = {}
    for place, name in enumerate(("Red", "Green", "Blue")):
        entries = (np.arange(256, dtype=np.uint16) * (place + 1) % 256) * 257
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = entries.astype("<u2").tobytes()
    shown = decode(dicom(GRAY, photometric="PALETTE COLOR", **tables)).pixels
    expected = np.stack([GRAY.astype(int) * place % 256 for place in (1, 2, 3)], axis=-1)
    assert np.array_equal(shown, expected)


def test_frames_are_pages():
    """Each can be decoded, compressed or not."""
    stack = np.stack([GRAY, GRAY[::-1]])
    streams = [bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(one))) for one in stack]
    for content in (dicom(stack, frames=2), dicom(streams, frames=2, syntax=JPEGLSLossless)):
        assert np.array_equal(gray_of(content, page=2), GRAY[::-1])
        assert reason_of(content, page=3) == ("missing-page", "3 of 2")


CODINGS = {
    "jpeg": (JPEGBaseline8Bit, lambda gray: file_of(gray, "JPEG", quality=98), 8),
    "lossless jpeg": (JPEGLosslessSV1, lambda gray: bytes(imagecodecs.ljpeg_encode(gray)), 8),
    "deep lossless jpeg": (
        JPEGLosslessSV1,
        lambda gray: bytes(imagecodecs.ljpeg_encode(gray.astype(np.uint16) << 8)),
        16,
    ),
    "jpeg-ls": (JPEGLSLossless, lambda gray: bytes(imagecodecs.jpegls_encode(gray)), 8),
    "jpeg 2000": (JPEG2000Lossless, lambda gray: bytes(imagecodecs.jpeg2k_encode(gray, level=0, codecformat="j2k")), 8),
}


@pytest.mark.parametrize("name", CODINGS)
def test_compressed_frames_are_decoded_whole_or_refused(name):
    """By the decoders of the other formats; a stream that is cut, or cut and closed, gives a reason."""
    syntax, encode, bits = CODINGS[name]
    stream = encode(GRAY)
    assert np.abs(gray_of(dicom([stream], bits=bits, syntax=syntax)).astype(int) - GRAY).max() <= 3
    for cut in (stream[: len(stream) // 2], stream[: len(stream) // 2].rstrip(b"\xff") + b"\xff\xd9"):
        assert reason_of(dicom([cut], bits=bits, syntax=syntax))[0] in ("truncated", "damaged")


def test_color_frames_of_jpeg_are_read():
    """As YCbCr, and as RGB without Adobe's mark."""
    ycbcr = file_of(IMAGE, "JPEG", quality=98, subsampling=0)
    shown = decode(dicom([ycbcr], photometric="YBR_FULL", syntax=JPEGBaseline8Bit)).pixels
    assert np.abs(shown.astype(int) - IMAGE).mean() < 4


def test_runs_are_unpacked():
    """RLE, by pydicom."""
    from pydicom.pixels.encoders import RLELosslessEncoder

    packed = RLELosslessEncoder.encode(
        GRAY.tobytes(),
        rows=30,
        columns=40,
        samples_per_pixel=1,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        planar_configuration=0,
    )
    assert np.array_equal(gray_of(dicom([packed], syntax=RLELossless)), GRAY)


def test_faults_have_their_reasons():
    """Cut files, files without pixels, video, bombs."""
    content = dicom(DEEP, bits=12)
    for length in (len(content) - 1, len(content) // 2, len(content) - 2000):
        assert reason_of(content[:length]) == ("truncated", None)
    assert reason_of(content, max_pixels=100)[0] == "decompression-bomb"
    assert reason_of(dicom([b"\0\0"], syntax=MPEG2MPML))[0] == "unsupported"
    short = dicom(GRAY[:20])
    assert reason_of(short) == ("truncated", None)


def test_a_preamble_may_be_a_tiff_header_or_missing():
    """pydicom's own example begins like a TIFF; old files begin with their first element."""
    content = dicom(GRAY)
    assert np.array_equal(gray_of(b"II*\0\x08\0\0\0" + content[8:]), GRAY)
    implicit = dicom(GRAY, syntax=ImplicitVRLittleEndian)
    start = implicit.index(b"\x08\x00\x16\x00")
    assert np.array_equal(gray_of(implicit[start:]), GRAY)
