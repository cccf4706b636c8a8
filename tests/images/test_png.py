"""A PNG is decoded whole or refused, and what does not belong to its pixels costs it nothing."""

import io
import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from curation.images import decode, read_header
from tests.images.builders import (
    draw,
    file_of,
    reason_of,
    srgb_profile,
    swapped_profile,
    with_exif_orientation,
)

IMAGE = draw(160, 120, 3)
GRAY = Image.fromarray(IMAGE).convert("L")
MODES = {
    "1": GRAY.convert("1"),
    "L": GRAY,
    "LA": Image.merge("LA", [GRAY, GRAY]),
    "P": Image.fromarray(IMAGE).quantize(64),
    "RGB": Image.fromarray(IMAGE),
    "RGBA": Image.merge("RGBA", [*Image.fromarray(IMAGE).split(), GRAY]),
}


def chunk(kind, body):
    """Return a chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(before=b"", after=b"", content=None):
    """Return a PNG with more chunks before its pixels and behind them."""
    content = file_of(IMAGE) if content is None else content
    pixels, end = content.index(b"IDAT") - 4, content.index(b"IEND") - 4
    return content[:pixels] + before + content[pixels:end] + after + content[end:]


def repacked(content, change):
    """Return a PNG whose packed pixels were changed, with the right checksums."""
    start = content.index(b"IDAT") - 4
    packed, at = b"", start
    while content[at + 4 : at + 8] == b"IDAT":
        length = int.from_bytes(content[at : at + 4], "big")
        packed += content[at + 8 : at + 8 + length]
        at += 12 + length
    return content[:start] + chunk(b"IDAT", change(packed)) + content[at:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("exif", [False, True])
def test_damaged_pixels_are_noticed_in_every_mode(mode, exif):
    """Reading the orientation loaded the image and kept the error to itself, so that the rest was published black."""
    settings = {"exif": with_exif_orientation(1)} if exif else {}
    content = file_of(MODES[mode], **settings)
    start = content.index(b"IDAT")
    length = int.from_bytes(content[start - 4 : start], "big")
    for at in (start + 4 + length // 5, start + 4 + length // 2, start + 4 + length - 2):
        damaged = bytearray(content)
        damaged[at] ^= 0xA5
        for settings in ({}, {"gray": True}, {"scale": "scaled"}):
            assert reason_of(bytes(damaged), **settings) == ("damaged", "png")


@pytest.mark.parametrize("mode", MODES)
def test_rows_that_are_missing_are_noticed(mode):
    """The stream of pixels is closed early, with right checksums: Pillow leaves the other rows black."""
    content = file_of(MODES[mode])
    short = repacked(content, lambda packed: zlib.compress(zlib.decompress(packed)[: -3 * 30]))
    assert reason_of(short) == ("truncated", None)
    assert decode(repacked(content, lambda packed: packed)).header.mode == read_header(content).mode


def test_a_black_image_is_whole():
    """A last row of zeros alone is no sign of damage."""
    for black in (np.zeros((40, 50, 3), np.uint8), np.zeros((40, 50), np.uint8), np.zeros((3, 3, 3), np.uint8)):
        assert not decode(file_of(black)).pixels.any()
        short = repacked(file_of(black), lambda packed: zlib.compress(zlib.decompress(packed)[:-1]))
        assert reason_of(short) == ("truncated", None)


def interlaced(pixels):
    """Return an RGB PNG whose rows come in Adam7's seven passes."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = (pixels[top::down, left::across] for left, top, across, down in passes)
    raster = b"".join(b"\x00" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raster)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(160, 120), (5, 3), (2, 9)])
def test_an_interlaced_image_is_whole_with_its_last_pass(size):
    """Its missing rows lie anywhere, so its bytes are counted."""
    image = draw(*size, seed=2)
    assert np.array_equal(decode(interlaced(image)).pixels, image)
    short = repacked(interlaced(image), lambda packed: zlib.compress(zlib.decompress(packed)[:-3]))
    assert reason_of(short) == ("truncated", None)


XMP = b"<x:xmpmeta>" + b"history " * 200_000 + b"</x:xmpmeta>"
TEXTS = {
    "plain": (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), b""),
    "packed": (chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)), b""),
    "packed, behind": (b"", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP))),
    "a workflow": (chunk(b"zTXt", b"workflow\0\0" + zlib.compress(XMP)), b""),
    "a large profile": (chunk(b"iCCP", b"p\0\0" + zlib.compress(srgb_profile() + bytes(1_200_000))), b""),
    "a text with a wrong checksum": (chunk(b"tEXt", b"a\0b")[:-1] + b"\0", b""),
    "a time with a wrong checksum": (chunk(b"tIME", bytes(7))[:-1] + b"\0", b""),
    "a gamma of one byte": (chunk(b"gAMA", b"\1"), b""),
    "a bomb": (chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(300_000_000), 9)), b""),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_and_profiles_cost_no_image(name):
    """Whatever their size or state, they are no part of the pixels."""
    for content in (file_of(IMAGE), imagecodecs.png_encode(IMAGE.astype(np.uint16) * 257)):
        assert np.array_equal(decode(with_chunks(*TEXTS[name], content=content)).pixels, IMAGE)


def test_many_large_texts_cost_no_image():
    """Their sum counts no more than each of them."""
    texts = b"".join(
        chunk(b"zTXt", b"k%d\0\0" % place + zlib.compress(os.urandom(500).hex().encode() * 800)) for place in range(90)
    )
    assert np.array_equal(decode(with_chunks(texts)).pixels, IMAGE)


def test_a_large_profile_is_applied():
    """A printer's profile of more than a megabyte is a profile."""
    profile = swapped_profile() + bytes(1_200_000)
    content = with_chunks(chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)))
    assert np.array_equal(decode(content).pixels, decode(file_of(IMAGE, icc_profile=swapped_profile())).pixels)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (chunk(b"eXIf", with_exif_orientation(6).tobytes()[6:]), b""),
        (b"", chunk(b"eXIf", with_exif_orientation(6).tobytes()[6:])),
        (chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'), b""),
        (b"", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP + b"<tiff:Orientation>6<"))),
        (
            chunk(
                b"tEXt", b"Raw profile type exif\0\nexif\n  34\n" + with_exif_orientation(6).tobytes().hex().encode()
            ),
            b"",
        ),
    ],
)
def test_the_orientation_is_found_wherever_it_stands(before, after):
    """EXIF and XMP, before the pixels and behind them, and as ImageMagick writes it."""
    image = decode(with_chunks(before, after))
    assert image.header.orientation == 6
    assert np.array_equal(image.pixels, np.rot90(IMAGE, -1))


def test_damage_of_a_sixteen_bit_image_is_noticed():
    """libpng decodes those."""
    content = imagecodecs.png_encode(IMAGE.astype(np.uint16) * 257)
    middle = len(content) // 2
    assert reason_of(content[:middle] + bytes(4) + content[middle + 4 :]) == ("damaged", "png")
    short = repacked(content, lambda packed: zlib.compress(zlib.decompress(packed)[:-1000]))
    assert reason_of(short)[0] in ("damaged", "truncated")


def test_no_decoder_prints(capfd):
    """libpng writes its warnings about profiles and texts to the screen."""
    content = imagecodecs.png_encode(IMAGE.astype(np.uint16) * 257)
    odd = chunk(b"iCCP", b"x\0\0garbage") + chunk(b"sRGB", b"\x09") + chunk(b"gAMA", b"\1") + chunk(b"tEXt", b"")
    assert np.array_equal(decode(with_chunks(odd, content=content)).pixels, IMAGE)
    assert capfd.readouterr() == ("", "")


def test_apples_own_kind_is_named():
    """Xcode packs the images of apps without zlib's header: no other program reads them."""
    content = file_of(IMAGE)
    assert reason_of(content[:8] + chunk(b"CgBI", bytes(4)) + content[8:])[0] == "unsupported"


def test_a_stream_of_pixels_has_an_end():
    """One that goes on, or lacks its sum, is not what was written, although all rows are there."""
    whole = file_of(IMAGE)
    for change in (lambda packed: packed[:-4], lambda packed: packed[:-1] + bytes((packed[-1] ^ 1,))):
        assert reason_of(repacked(whole, change))[0] in ("truncated", "damaged")


def test_frames_of_an_animation_are_checked():
    """Damage of a later frame is noticed where that frame is asked for, and its checksum at once."""
    content = file_of(IMAGE, save_all=True, append_images=[Image.fromarray(IMAGE[::-1])])
    assert np.array_equal(decode(content, page=2).pixels, IMAGE[::-1])
    later = content.index(b"fdAT")
    assert reason_of(content[: later + 60] + b"\0\0" + content[later + 62 :]) == ("damaged", "png")
    assert Image.open(io.BytesIO(content)).n_frames == 2
