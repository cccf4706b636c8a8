"""TIFF in every layout, pixel by pixel against tifffile's own reading."""

import io
import struct
import warnings

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from curation.images import DecodeFailure, Window, decode, read_header
from curation.images.tiff import decode_by_tifffile
from curation.images.tiff_directories import read_directories
from curation.images.tiff_plain import decode_plain_tiff
from tests.images.builders import (
    draw,
    file_of,
    reason_of,
    run_tool,
    shape_or_reason,
    strip_tiff,
    swapped_profile,
    tiff_of,
)

IMAGE = draw()
GRAY = IMAGE[..., 0]
ALPHA = draw(seed=1)[..., 0]
SIXTEEN = IMAGE.astype(np.uint16) * 257
LOSSLESS = ["none", "lzw", "deflate", "packbits", "zstd", "lzma"]
LAYOUTS = {"strips": {"rowsperstrip": 16}, "one strip": {}, "tiles": {"tile": (16, 32)}}


def read_by_tifffile(content):
    """Return the first page as tifffile gives it: samples as stored, but JPEG's YCbCr made RGB."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        return file.pages[0].asarray()


def three(gray):
    """Return a gray image as three equal channels."""
    return np.repeat(gray[..., None], 3, axis=2)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("samples", ["rgb", "gray", "planar", "rgb 16", "gray 16"])
def test_every_lossless_layout_is_tifffiles_reading(layout, compression, predictor, samples):
    """Strips or tiles, contiguous or planar, predicted or not, 8 or 16 bits: the pixels are those that went in."""
    source = {"gray": GRAY, "gray 16": SIXTEEN[..., 0], "rgb 16": SIXTEEN}.get(samples, IMAGE)
    settings = {"photometric": "minisblack" if "gray" in samples else "rgb", **LAYOUTS[layout]}
    if compression != "none":
        settings |= {"compression": compression, "predictor": predictor}
    if samples == "planar":
        settings |= {"planarconfig": "separate"}
        source = np.ascontiguousarray(np.moveaxis(source, -1, 0))
    content = tiff_of(source, **settings)
    stored = read_by_tifffile(content)
    expected = np.rint(stored / 257).astype(np.uint8) if stored.dtype == np.uint16 else stored
    if samples == "planar":
        expected = np.moveaxis(expected, 0, -1)
    image = decode(content)
    assert np.array_equal(image.pixels, three(expected) if expected.ndim == 2 else expected)
    assert np.array_equal(image.pixels, three(GRAY) if "gray" in samples else IMAGE)
    assert image.header.lossless
    assert image.header.bits == 8 * stored.dtype.itemsize


@pytest.mark.parametrize("layout", ["strips", "tiles"])
@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "png", "jpegxl", "jpegxr", "lerc"])
def test_every_image_codec_is_tifffiles_reading(layout, compression):
    """JPEG (as YCbCr), JPEG 2000, WebP, PNG, JPEG XL, JPEG XR and LERC inside of a TIFF."""
    content = tiff_of(IMAGE, photometric="rgb", compression=compression, **LAYOUTS[layout])
    assert np.array_equal(decode(content).pixels, read_by_tifffile(content))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_byte_order_and_size_of_offsets_do_not_matter(byteorder, bigtiff):
    """Little and big endian, classic and BigTIFF, hold the same image."""
    content = tiff_of(SIXTEEN, photometric="rgb", byteorder=byteorder, bigtiff=bigtiff, rowsperstrip=7)
    assert np.array_equal(decode(content).pixels, IMAGE)


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_what_pillow_writes_is_read(compression, mode):
    """Pillow's own TIFFs, through libtiff."""
    content = file_of(Image.fromarray(IMAGE).convert(mode), "TIFF", compression=compression)
    stored = read_by_tifffile(content)
    shown = Image.fromarray(stored, mode) if mode == "CMYK" else Image.fromarray(stored)
    assert np.array_equal(decode(content).pixels, np.asarray(shown.convert("RGB")))


@pytest.mark.parametrize("compression", ["raw", "group3", "group4", "tiff_ccitt", "packbits"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_bilevel_is_black_and_white(compression, photometric):
    """One bit a pixel, in CCITT's codings too, whichever of the two is white."""
    source = Image.fromarray(GRAY > 120)
    content = file_of(source, "TIFF", compression=compression, tiffinfo={262: photometric})
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        white_is_zero = file.pages[0].photometric == 0
        stored = file.pages[0].asarray()
    image = decode(content)
    assert np.array_equal(image.pixels, three(np.where(stored != white_is_zero, 255, 0).astype(np.uint8)))
    assert np.array_equal(image.pixels[..., 0] > 0, GRAY > 120)
    assert (image.header.mode, image.header.bits) == ("1", 1)


@pytest.mark.parametrize(("bits", "top"), [(2, 3), (4, 15), (10, 1023), (12, 4095), (14, 16383)])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_packed_depths_use_their_whole_range(bits, top, photometric):
    """v * 255 / (2**bits - 1), rounded; MinIsWhite is turned round."""
    rng = np.random.default_rng(bits)
    samples = rng.integers(0, top + 1, (20, 24)).astype(np.uint8 if bits <= 8 else np.uint16)
    packed = imagecodecs.packints_encode(samples, bits, runlen=24)
    at = 8 + 2 + 12 * 8 + 4
    header = strip_tiff(24, 20, packed)
    content = bytearray(header)
    for place in range(10, at - 4, 12):
        tag = int.from_bytes(content[place : place + 2], "little")
        if tag in (258, 262):
            value = bits if tag == 258 else {"miniswhite": 0, "minisblack": 1}[photometric]
            content[place + 8 : place + 12] = value.to_bytes(4, "little")
    stored = read_by_tifffile(bytes(content))
    assert np.array_equal(stored, samples)
    expected = np.floor(stored * 255.0 / top + 0.5).astype(np.uint8)
    image = decode(bytes(content))
    assert np.array_equal(image.pixels[..., 0], 255 - expected if photometric == "miniswhite" else expected)
    assert image.header.bits == bits


def test_min_is_white_is_turned_round():
    """With photometric 0, 0 is white."""
    assert np.array_equal(decode(tiff_of(GRAY, photometric="miniswhite")).pixels, three(255 - GRAY))


def test_palettes_are_looked_up():
    """16-bit entries by v / 257; a palette whose entries never exceed 255 holds 8-bit ones, as libtiff takes it."""
    index = np.asarray(Image.fromarray(IMAGE).quantize(64))
    colors = draw(16, 16, seed=3).reshape(256, 3)
    for entries in (colors.T.astype(np.uint16) * 257, colors.T.astype(np.uint16)):
        content = tiff_of(index, photometric="palette", colormap=entries)
        assert np.array_equal(decode(content).pixels, colors[index])
        assert read_header(content).mode == "P"


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_alpha_lies_over_white(bits, kind, planar):
    """Unassociated and associated alpha over white; a channel of unstated meaning is not alpha."""
    color = (IMAGE.astype(np.uint32) * ALPHA[..., None] // 255).astype(np.uint8) if kind == "assocalpha" else IMAGE
    samples = np.dstack([color, ALPHA])
    stored = samples.astype(np.uint16) * 257 if bits == 16 else samples
    if planar == "separate":
        stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    content = tiff_of(stored, photometric="rgb", extrasamples=[kind], planarconfig=planar)
    rest = 255 - ALPHA[..., None].astype(float)
    expected = {
        "unassalpha": np.rint(IMAGE * (ALPHA[..., None] / 255.0) + rest),
        "assocalpha": color + rest,
        "unspecified": IMAGE,
    }[kind]
    assert np.array_equal(decode(content).pixels, expected)
    assert read_header(content).mode == ("RGB" if kind == "unspecified" else "RGBA")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_cmyk_is_ink(bits, alpha):
    """(255 - ink) * (255 - black) / 255; alpha over white is less ink."""
    ink = np.asarray(Image.fromarray(IMAGE).convert("CMYK")).copy()
    ink[..., 3] = ALPHA // 2
    samples = np.dstack([ink, ALPHA]) if alpha else ink
    content = tiff_of(
        samples.astype(np.uint16) * 257 if bits == 16 else samples,
        photometric="separated",
        extrasamples=["unassalpha"] if alpha else [],
    )
    shown = np.rint(ink * (ALPHA[..., None] / 255.0)) if alpha else ink.astype(float)
    expected = (255 - shown[..., :3]) * (255 - shown[..., 3:]) / 255
    assert np.abs(decode(content).pixels - expected).max() <= 1
    assert read_header(content).mode == ("CMYKA" if alpha else "CMYK")


def test_plain_ycbcr_is_converted():
    """YCbCr without JPEG and without subsampling is the JFIF conversion; with subsampling it is refused."""
    ycbcr = np.asarray(Image.fromarray(IMAGE).convert("YCbCr"))
    content = tiff_of(ycbcr, photometric="ycbcr", subsampling=(1, 1))
    assert np.abs(decode(content).pixels.astype(int) - IMAGE).max() <= 3
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        place = file.pages[0].tags[530].valueoffset
    halved = content[:place] + bytes((2, 0, 2, 0)) + content[place + 4 :]
    assert reason_of(halved) == ("unsupported", "tiff of subsampled YCbCr without JPEG")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int16", "int32"])
def test_signed_and_float_samples_need_a_window(dtype):
    """No rule maps them but a window: that is a reason, not a guess."""
    samples = (np.arange(20 * 24).reshape(20, 24) % 120 - 20).astype(dtype)
    content = tiff_of(samples, photometric="minisblack")
    reason, detail = reason_of(content)
    assert reason == "no-tone-rule"
    assert "a window does" in str(detail)
    shown = decode(content, tone=Window(low=-10, high=90)).pixels[..., 0]
    assert np.array_equal(shown, np.floor((samples.astype(float).clip(-10, 90) + 10) * 255 / 100 + 0.5))


def test_float_predictor_is_undone():
    """Predictor 3 (floating point), as scientific software writes it."""
    samples = np.linspace(0, 1, 480, dtype=np.float32).reshape(20, 24)
    content = tiff_of(samples, photometric="minisblack", compression="deflate", predictor=3)
    assert np.array_equal(decode(content, tone=Window(0, 1)).pixels[..., 0], np.floor(samples * 255.0 + 0.5))


def test_not_a_number_is_a_reason():
    """A window does not cover NaN."""
    samples = np.full((20, 24), np.nan, np.float32)
    found = reason_of(tiff_of(samples, photometric="minisblack"), tone=Window(0, 1))
    assert found == ("no-tone-rule", "not-a-number samples")


def test_thirty_two_unsigned_bits_scale():
    """ "scale" is the whole range of the declared bits, up to 32 of them."""
    samples = (np.arange(480, dtype=np.uint64) * (2**32 - 1) // 479).astype(np.uint32).reshape(20, 24)
    expected = [(int(v) * 510 + 2**32 - 1) // (2 * (2**32 - 1)) for v in samples.ravel()]
    assert decode(tiff_of(samples, photometric="minisblack")).pixels[..., 0].ravel().tolist() == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_applied(orientation):
    """Tag 274 turns the image, in tiles and in 16 bits alike."""
    extratags = [(274, "H", 1, orientation, True)]
    image = decode(tiff_of(SIXTEEN, photometric="rgb", tile=(16, 16), extratags=extratags))
    plain = Image.fromarray(IMAGE)
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    expected = plain if turn is None else plain.transpose(Image.Transpose(turn))
    assert np.array_equal(image.pixels, np.asarray(expected))


def test_thumbnails_masks_and_subdirectories_are_not_pages():
    """Reduced images and masks of the main chain, and the images in SubIFDs, are not pages."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(IMAGE[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(IMAGE, photometric="rgb", subifds=1)
        writer.write(IMAGE[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(GRAY > 120, photometric="mask", subfiletype=4)
        writer.write(IMAGE[::-1], photometric="rgb", subfiletype=2)
    content = out.getvalue()
    assert read_header(content).pages == 2
    assert np.array_equal(decode(content).pixels, IMAGE)
    assert np.array_equal(decode(content, page=2).pixels, IMAGE[::-1])


def test_each_page_has_its_own_header():
    """Pages may differ in size, mode and bits."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(IMAGE, photometric="rgb")
        writer.write(SIXTEEN[::2, ::2, 0], photometric="minisblack")
    header = decode(out.getvalue(), page=2).header
    assert (header.width, header.height, header.mode, header.bits, header.pages) == (36, 30, "L", 16, 2)


def test_a_missing_strip_is_not_filled():
    """tifffile would give a value for a strip that is not there."""
    content = tiff_of(IMAGE, photometric="rgb", rowsperstrip=16)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        counts = file.pages[0].tags[279]
        place = counts.valueoffset
    broken = content[:place] + bytes(2) + content[place + 2 :]
    assert reason_of(broken) in {("damaged", "tiff: missing strips or tiles"), ("truncated", None)}


@pytest.mark.parametrize("compression", [8, 50000, 34925])
def test_a_bomb_in_a_strip_does_not_explode(compression):
    """A strip that unpacks to a thousand times its image costs no more memory than the image."""
    import lzma
    import zlib

    pack = {8: zlib.compress, 50000: imagecodecs.zstd_encode, 34925: lzma.compress}[compression]
    content = strip_tiff(64, 64, pack(bytes(50_000_000)), compression=compression)
    assert shape_or_reason(content) in {(64, 64, 3), ("damaged", "tiff")}


def test_a_bomb_in_an_embedded_stream_is_refused():
    """A PNG of 196 megapixels inside of a TIFF of 64 x 64 is refused by its own header."""
    inner = file_of(Image.new("1", (14000, 14000)))
    assert reason_of(strip_tiff(64, 64, inner, compression=34933)) == ("decompression-bomb", "196 megapixels")


def with_tag(content: bytes, tag: int, kind: int, count: int, value: int) -> bytes:
    """Return a little-endian TIFF with the entry of a tag in its first directory written over."""
    first = struct.unpack_from("<I", content, 4)[0]
    for at in range(first + 2, first + 2 + 12 * struct.unpack_from("<H", content, first)[0], 12):
        if struct.unpack_from("<H", content, at)[0] == tag:
            return content[:at] + struct.pack("<HHII", tag, kind, count, value) + content[at + 12 :]
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize(("kind", "count"), [(11, 768), (12, 384), (3, 767), (3, 256), (8, 768)])
def test_a_palette_of_other_numbers_is_a_reason(kind, count):
    """Floating-point colors were cast with a warning on the screen; a truncated palette is damage."""
    content = tiff_of(GRAY, photometric="palette", colormap=np.full((3, 256), 40000, np.uint16))
    place = struct.unpack_from("<I", content, content.index(struct.pack("<HHI", 320, 3, 768)) + 8)[0]
    broken = with_tag(content, 320, kind, count, place) + bytes(4096)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(broken) in {("damaged", "tiff: palette"), ("damaged", "tiff")}


def test_a_width_of_many_numbers_is_damage():
    """A tuple times a height of millions took nine gigabytes."""
    content = with_tag(strip_tiff(64, 64, bytes(4096)), 256, 3, 197, 8)
    content = with_tag(content, 257, 4, 1, 5_767_238)
    assert reason_of(content) == ("damaged", "tiff")


def test_a_tile_that_is_larger_than_any_image_is_refused():
    """An image of 64 x 64 in one tile of a thousand megapixels took the memory of the tile; so did a deep one."""
    content = tiff_of(GRAY[:64, :64], tile=(64, 64), compression="deflate")
    large = with_tag(with_tag(content, 322, 4, 1, 31000), 323, 4, 1, 31000)
    assert reason_of(large) == ("decompression-bomb", "961 megapixels")
    deep = strip_tiff(64, 64, bytes(4096), extra=((32998, 4, 1, 10**9),))
    assert reason_of(deep) == ("unsupported", "a volume")


def test_an_offset_of_64_bits_that_leads_nowhere_is_a_cut():
    """One broken BigTIFF ended a whole build in an OverflowError."""
    content = bytearray(tiff_of(IMAGE, photometric="rgb", bigtiff=True))
    content[8:16] = b"\xff" * 8
    assert reason_of(bytes(content)) == ("truncated", None)


def lay_directories_over_one_another(count: int, size: int) -> bytes:
    """Write a TIFF whose directories share nearly all of their entries, as only an attacker would."""
    content = bytearray(size)
    content[:8] = struct.pack("<2sHI", b"II", 42, 8)
    entries = min((size - 8 - 8 * count) // 12, 65535)
    for place in range(count):
        struct.pack_into("<H", content, 8 + 4 * place, entries)
        after = 8 + 4 * (place + 1) if place < count - 1 else 0
        struct.pack_into("<I", content, 8 + 4 * place + 2 + 12 * entries, after)
    return bytes(content)


def repeat_a_tag(times: int, values: int) -> bytes:
    """Write a TIFF of one directory that names the same long list of strips many times."""
    at = 8 + 2 + 12 * times + 4
    entries = struct.pack("<HHII", 273, 4, values, at) * times
    return b"II*\x00" + struct.pack("<IH", 8, times) + entries + bytes(4) + bytes(4 * values)


@pytest.mark.parametrize("content", [lay_directories_over_one_another(5000, 600_000), repeat_a_tag(5000, 100_000)])
def test_directories_that_only_take_time_are_damage(content, monkeypatch):
    """Half a megabyte kept a worker busy for minutes, and took gigabytes: a file is not read many times over."""
    read = 0
    of_struct = struct.unpack_from

    def count(form, content, at):
        nonlocal read
        read += struct.calcsize(form)
        return of_struct(form, content, at)

    monkeypatch.setattr("curation.images.tiff_directories.struct.unpack_from", count)
    assert reason_of(content) == ("damaged", "tiff")
    assert read < 32 << 20


def test_directories_that_go_round_are_damage():
    """A chain that leads back to itself ends with a reason."""
    content = bytearray(strip_tiff(64, 64, bytes(4096)))
    content[8 + 2 + 12 * 8 : 8 + 2 + 12 * 8 + 4] = (8).to_bytes(4, "little")
    assert reason_of(bytes(content)) == ("damaged", "tiff")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"photometric": "cielab"}, ("unsupported", "tiff of photometric interpretation 8")),
        ({"photometric": "rgb", "extratags": [(332, "H", 1, 2, True)]}, None),
    ],
)
def test_what_no_rule_covers_is_refused(settings, reason):
    """CIELAB has no rule here; an ink set on an RGB image means nothing."""
    content = tiff_of(IMAGE, **settings)
    if reason is None:
        assert np.array_equal(decode(content).pixels, IMAGE)
    else:
        assert reason_of(content) == reason


def test_inks_that_are_not_cmyk_are_refused():
    """Four spot colors cannot be shown by guessing which they are."""
    samples = np.dstack([IMAGE, ALPHA])
    content = tiff_of(samples, photometric="separated", extratags=[(332, "H", 1, 2, True)])
    assert reason_of(content) == ("unsupported", "tiff of inks that are not CMYK")


TIFFCP = [
    ["-c", "none"],
    ["-c", "lzw:2"],
    ["-c", "zip:2", "-t", "-w", "16", "-l", "16"],
    ["-c", "packbits"],
    ["-c", "lzma"],
    ["-c", "zstd"],
    ["-B", "-c", "lzw"],
    ["-8", "-c", "zip", "-r", "5"],
    ["-f", "lsb2msb", "-c", "none"],
]


# tiffcp separates the planes of 8-bit images alone
@pytest.mark.parametrize(("options", "bits"), [*((o, b) for o in TIFFCP for b in (8, 16)), (["-p", "separate"], 8)])
def test_what_libtiff_writes_is_read(tmp_path, options, bits):
    """libtiff's own tool rewrites the image in its layouts, byte orders and fill orders: the pixels stay."""
    (tmp_path / "in.tif").write_bytes(tiff_of(SIXTEEN if bits == 16 else IMAGE, photometric="rgb"))
    run_tool("tiffcp", *options, tmp_path / "in.tif", tmp_path / "out.tif")
    content = (tmp_path / "out.tif").read_bytes()
    assert np.array_equal(decode(content).pixels, IMAGE)


@pytest.mark.parametrize("options", [["-c", "jpeg:90", "-r", "16"], ["-c", "jpeg:r:90", "-r", "16"]], ids=" ".join)
def test_libtiffs_jpeg_is_tifffiles_reading(tmp_path, options):
    """JPEG in TIFF by libtiff, with tables of its own, as YCbCr and as RGB."""
    (tmp_path / "in.tif").write_bytes(tiff_of(draw(96, 80), photometric="rgb"))
    run_tool("tiffcp", *options, tmp_path / "in.tif", tmp_path / "out.tif")
    content = (tmp_path / "out.tif").read_bytes()
    assert np.array_equal(decode(content).pixels, read_by_tifffile(content))
    assert not decode(content).header.lossless


@pytest.mark.parametrize("options", ["-c g3", "-c g3:2d", "-c g4", "-c g4 -f lsb2msb"])
def test_libtiffs_fax_is_tifffiles_reading(tmp_path, options):
    """CCITT group 3 in one and two dimensions, group 4, and bits in either order."""
    (tmp_path / "in.tif").write_bytes(file_of(Image.fromarray(GRAY > 120), "TIFF"))
    run_tool("tiffcp", *options.split(), tmp_path / "in.tif", tmp_path / "out.tif")
    image = decode((tmp_path / "out.tif").read_bytes())
    assert np.array_equal(image.pixels[..., 0] > 0, GRAY > 120)


@pytest.mark.parametrize("orientation", [3, 6])
def test_libtiffs_tags_are_obeyed(tmp_path, orientation):
    """An orientation that `tiffset` writes into a finished file is applied."""
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff_of(IMAGE, photometric="rgb"))
    run_tool("tiffset", "-s", "274", str(orientation), path)
    expected = {3: IMAGE[::-1, ::-1], 6: np.rot90(IMAGE, -1)}[orientation]
    assert np.array_equal(decode(path.read_bytes()).pixels, expected)


def decode_long(content, page=1):
    """Decode a page with tifffile, however plain it is."""
    directories = read_directories(content)
    return decode_by_tifffile(content, directories[page - 1], pages=len(directories))


def decode_short(content, page=1):
    """Decode a page without opening the file with tifffile; None where it is not plain."""
    directories = read_directories(content)
    return decode_plain_tiff(content, directories[page - 1], pages=len(directories))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits", "lzw 2", "deflate 2"])
@pytest.mark.parametrize("rows", [60, 16, 7])
@pytest.mark.parametrize("gray", [False, True])
def test_plain_strips_are_decoded_as_tifffile_decodes_them(byteorder, compression, rows, gray):
    """8-bit gray and RGB in strips: the header and the pixels are those of the long way, turned and in color."""
    name, _, predictor = compression.partition(" ")
    settings = {} if name == "none" else {"compression": name, "predictor": bool(predictor)}
    content = tiff_of(
        GRAY if gray else IMAGE,
        photometric="minisblack" if gray else "rgb",
        rowsperstrip=rows,
        byteorder=byteorder,
        description="drawn",
        extratags=[(274, "H", 1, 6, True)] + ([] if gray else [(34675, "B", 0, swapped_profile(), True)]),
        **settings,
    )
    image, expected = decode_short(content), decode_long(content)
    assert image.header == expected.header
    assert np.array_equal(image.pixels, expected.pixels)
    assert image.pixels.shape == (72, 60, 3)


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_pillow_writes_plainly_needs_no_tifffile(compression, mode):
    """Pillow's own strips, by libtiff, are plain too; and Pillow reads the same pixels."""
    content = file_of(Image.fromarray(IMAGE).convert(mode), "TIFF", compression=compression)
    image = decode_short(content)
    assert image.header == decode_long(content).header
    assert np.array_equal(image.pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_every_page_of_a_plain_file_is_read_plainly():
    """Pages are counted and chosen as in any other TIFF."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(IMAGE[::4, ::4], photometric="rgb", subfiletype=1)
        writer.write(IMAGE, photometric="rgb")
        writer.write(GRAY, photometric="minisblack", compression="lzw")
    image = decode_short(out.getvalue(), page=2)
    assert (image.header.pages, image.header.mode) == (2, "L")
    assert np.array_equal(image.pixels, three(GRAY))


NOT_PLAIN = {
    "white is zero": tiff_of(GRAY, photometric="miniswhite"),
    "tiles": tiff_of(GRAY, photometric="minisblack", tile=(16, 16)),
    "Zstandard": tiff_of(GRAY, photometric="minisblack", compression="zstd"),
    "private tag": tiff_of(GRAY, photometric="minisblack", extratags=[(65000, "H", 1, 1, True)]),
    "bits the other way round": strip_tiff(64, 64, bytes(4096), extra=((266, 3, 1, 2),)),
    "depth": strip_tiff(64, 64, bytes(4096), extra=((32997, 4, 1, 1),)),
    "a tag twice": strip_tiff(64, 64, bytes(4096), extra=((262, 3, 1, 0),)),
    "two numbers for one": strip_tiff(64, 64, bytes(4096), extra=((284, 3, 2, 1 | 1 << 16),)),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_tifffile(name):
    """A tag that the plain decoder does not know is not ignored."""
    assert decode_short(NOT_PLAIN[name]) is None


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("keep", [0, 1, 100, 3000])
def test_a_damaged_plain_strip_is_what_tifffile_makes_of_it(compression, keep):
    """A strip that is too short is a failure with the same reason either way, never an image that was not there."""
    pack = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.deflate_encode, 32773: imagecodecs.packbits_encode}
    strip = pack[compression](np.ascontiguousarray(np.resize(GRAY, (64, 64))).tobytes())[:keep]
    content = strip_tiff(64, 64, strip, compression=compression)
    with pytest.raises(DecodeFailure) as expected:
        decode_long(content)
    with pytest.raises(DecodeFailure) as found:
        decode(content)
    assert (found.value.reason, found.value.detail) == (expected.value.reason, expected.value.detail)
