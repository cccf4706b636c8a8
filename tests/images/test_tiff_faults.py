"""TIFFs that were published wrong, or refused under a wrong name."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from curation.images import decode, read_header
from tests.images.builders import draw, file_of, reason_of, strip_tiff, tiff_of

IMAGE = draw(160, 96, 7)
GRAY = np.asarray(Image.fromarray(IMAGE).convert("L"))


def write_tiff(width, height, strips, *, rows, compression, bits=(8,), photometric=1, planar=1):
    """Write a TIFF from the bytes of its strips."""
    tags = {256: (4, width), 257: (4, height), 258: (3, *bits), 259: (3, compression), 262: (3, photometric)}
    tags |= {273: (4, *[0] * len(strips)), 277: (3, len(bits)), 278: (4, rows), 279: (4, *map(len, strips))}
    tags[284] = (3, planar)
    end = 8 + 2 + 12 * len(tags) + 4
    values = {tag: struct.pack(f"<{len(given) - 1}{'HI'[given[0] == 4]}", *given[1:]) for tag, given in tags.items()}
    end += sum(len(value) for value in values.values() if len(value) > 4)
    places = [end + sum(map(len, strips[:place])) for place in range(len(strips))]
    values[273] = struct.pack(f"<{len(strips)}I", *places)
    entries, more, at = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for tag, given in sorted(tags.items()):
        value = values[tag]
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(more))
        entries += struct.pack("<HHI", tag, given[0], len(given) - 1) + place
        more += value if len(value) > 4 else b""
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + more + b"".join(strips)


@pytest.mark.parametrize("name", ["dng", "nef", "arw"])
def test_a_camera_raw_is_named(name):
    """Its thumbnail is the first page of the TIFF that it is; it was published as the image."""
    out = io.BytesIO()
    version = [(50706, 1, 4, (1, 4, 0, 0), True)] if name == "dng" else []
    sensor = {"photometric": 32803} if name == "nef" else {"photometric": "minisblack"}
    with tifffile.TiffWriter(out) as file:
        file.write(IMAGE, photometric="rgb", subfiletype=1, subifds=1, metadata=None, extratags=version)
        file.write(GRAY.astype(np.uint16) * 16, subfiletype=0, metadata=None, **sensor)
    content = out.getvalue()
    if name == "arw":  # Sony's packing of the samples
        entry = content.rindex(struct.pack("<HHI", 259, 3, 1))
        content = content[: entry + 8] + struct.pack("<H", 32767) + content[entry + 10 :]
    assert reason_of(content) == ("unsupported", "camera raw")


def imagej(stack, stated=None, kept=None):
    """Return a TIFF as ImageJ writes stacks of more than 4 GB: one directory, the planes one behind the other."""
    description = f"ImageJ=1.53t\nimages={stated or len(stack)}\nslices={stated or len(stack)}\n"
    content = tiff_of(stack[0], photometric="minisblack", metadata=None, description=description)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        start = file.pages[0].dataoffsets[0]
    return content[:start] + stack[:kept].tobytes()


@pytest.mark.parametrize("deep", [False, True])
def test_planes_that_share_a_directory_are_pages(deep):
    """ImageJ's large stacks and tifffile's truncated files: five of six planes were lost."""
    stack = np.stack([np.roll(GRAY, 9 * place, axis=0) for place in range(6)])
    stack = stack.astype(np.uint16) * 257 if deep else stack
    shaped = tiff_of(stack, photometric="minisblack", metadata={"axes": "ZYX"}, truncate=True)
    for content in (imagej(stack), shaped):
        assert read_header(content).pages == 6
        for page in range(6):
            image = decode(content, page=page + 1)
            assert np.array_equal(image.pixels[..., 0], np.roll(GRAY, 9 * page, axis=0))
        assert reason_of(content, page=7) == ("missing-page", "7 of 6")
        assert reason_of(content[: len(content) - 2 * GRAY.size]) == ("truncated", None)


def test_a_description_alone_makes_no_planes():
    """Programs copy the description of a stack to the one plane that they save."""
    assert read_header(imagej(GRAY[None], stated=6)).pages == 1


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 32}, {"tile": (32, 32)}])
def test_a_jpeg_strip_that_ends_early_is_noticed(share, layout):
    """The rest was filled with gray; the directory states the shorter length, and the stream may be closed."""
    content = tiff_of(IMAGE, photometric="rgb", compression="jpeg", **layout)
    assert np.abs(decode(content).pixels.astype(int) - IMAGE).mean() < 8
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        start, size = page.dataoffsets[-1], page.databytecounts[-1]
    cut = int(size * share)
    closed = content[: start + cut - 2] + b"\xff\xd9" + bytes(size - cut) + content[start + size :]
    assert reason_of(closed)[0] in ("truncated", "damaged")
    zeros = content[: start + cut] + bytes(size - cut) + content[start + size :]
    assert reason_of(zeros)[0] in ("truncated", "damaged")


PACKERS = {
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: imagecodecs.lzma_encode,
    50000: imagecodecs.zstd_encode,
}


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_last_strip_that_is_packed_with_rows_below_the_image_is_read(compression, channels):
    """Many writers pad it; short strips stay damaged."""
    pack = PACKERS[compression]
    samples = np.dstack([IMAGE, GRAY])[..., :channels]
    padded = np.concatenate([samples, np.zeros((32, 160, channels), np.uint8)])
    strips = [bytes(pack(padded[top : top + 64].tobytes())) for top in (0, 64)]
    settings = {
        "rows": 64,
        "compression": compression,
        "bits": (8,) * channels,
        "photometric": {1: 1, 3: 2, 4: 5}[channels],
    }
    whole = tiff_of(samples, photometric={1: "minisblack", 3: "rgb", 4: "separated"}[channels])
    content = write_tiff(160, 96, strips, **settings)
    assert np.array_equal(decode(content).pixels, decode(whole).pixels)
    short = [strips[0], bytes(pack(padded[64:90].tobytes()))]
    assert reason_of(write_tiff(160, 96, short, **settings))[0] in ("damaged", "truncated")


def test_planar_cmyk_jpeg_is_read():
    """Each ink is a gray JPEG of its own."""
    inks = np.asarray(Image.fromarray(IMAGE).convert("CMYK"))
    strips = [bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(inks[..., ink]), level=98)) for ink in range(4)]
    content = write_tiff(160, 96, strips, rows=96, compression=7, bits=(8,) * 4, photometric=5, planar=2)
    assert np.abs(decode(content).pixels.astype(int) - IMAGE).mean() < 4
    cut = [*strips[:3], strips[3][: len(strips[3]) // 2] + b"\xff\xd9"]
    damaged = write_tiff(160, 96, cut, rows=96, compression=7, bits=(8,) * 4, photometric=5, planar=2)
    assert reason_of(damaged)[0] in ("damaged", "truncated")


def test_codings_that_are_not_read_are_named():
    """12 and 16-bit JPEG, old-style JPEG, and JPEG 2000 with small colors: these files are not damaged."""
    deep = GRAY.astype(np.uint16) << 4
    twelve = bytes(imagecodecs.jpeg8_encode(deep, bitspersample=12))
    settings = {"rows": 96, "compression": 7, "bits": (12,)}
    assert reason_of(write_tiff(160, 96, [twelve], **settings)) == ("unsupported", "12-bit jpeg")
    sixteen = bytes(imagecodecs.ljpeg_encode(deep << 4))
    settings["bits"] = (16,)
    assert reason_of(write_tiff(160, 96, [sixteen], **settings)) == ("unsupported", "16-bit lossless jpeg")
    old = strip_tiff(160, 96, file_of(GRAY, "JPEG"), compression=6)
    assert reason_of(old) == ("unsupported", "old-style jpeg in a tiff")


def test_subsampled_deep_jpeg2000_is_named():
    """Its header states the steps of each channel."""
    content = bytearray(imagecodecs.jpeg2k_encode(IMAGE.astype(np.uint16) * 257, level=0, codecformat="j2k"))
    siz = content.index(b"\xff\x51")
    content[siz + 44 : siz + 46] = b"\x02\x02"
    assert reason_of(bytes(content)) == ("unsupported", "subsampled jpeg2000 of more than 8 bits")
