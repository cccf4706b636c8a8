"""Mutated, cut and spliced files of every format and mode, each compared with a strict reference.

``python -m tests.images.mutations 5000`` runs so many inputs of each format and prints how many were read and refused.
"""

import io
import resource
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import imagecodecs
import numpy as np
import simplejpeg
import tifffile
from PIL import Image, UnidentifiedImageError

from curation.images import DecodeFailure, decode
from tests.images.builders import draw, file_of, flat_jpeg, strip_tiff, tiff_of

IMAGE = draw(52, 44, 6)
OTHER = draw(52, 44, 7)
Pick = Callable[[int, int], int]
"""Returns an integer between two others, both included."""


def over_white(samples: np.ndarray) -> np.ndarray:
    """Return (h, w, 3) uint8 of gray or color samples with or without alpha, of 8 or 16 bits."""
    samples = samples if samples.ndim == 3 else samples[..., None]
    if samples.dtype == np.bool_:
        samples = samples.astype(np.uint8) * 255
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint64) * 510 + 65535) // 131070).astype(np.uint8)
    if samples.shape[2] % 2 == 0:
        color, alpha = samples[..., :-1].astype(np.uint32), samples[..., -1:].astype(np.uint32)
        samples = ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def by_pillow(content: bytes) -> np.ndarray:
    """Decode with Pillow, which refuses what is cut in these formats."""
    image = Image.open(io.BytesIO(content))
    image.load()
    if image.mode.startswith("I"):
        return over_white(np.asarray(image).astype(np.uint16))
    if image.mode == "CMYK":
        return np.asarray(image.convert("RGB"))
    return over_white(np.asarray(image.convert("RGBA")))


def by_simplejpeg(content: bytes) -> np.ndarray:
    """Decode with libjpeg-turbo, which stops at its first warning."""
    if simplejpeg.decode_jpeg_header(content, strict=True)[2] in ("CMYK", "YCCK"):
        simplejpeg.decode_jpeg(content, "CMYK", strict=True)
        return by_pillow(content)
    return simplejpeg.decode_jpeg(content, "RGB", strict=True)


def by_imagecodecs(name: str) -> Callable[[bytes], np.ndarray]:
    """Return a decoder of imagecodecs; of several frames it gives the first."""
    decoder = getattr(imagecodecs, f"{name}_decode")

    def read(content: bytes) -> np.ndarray:
        samples = decoder(content)
        return over_white(samples[0] if samples.ndim == 4 else samples)

    return read


def by_openjpeg(content: bytes) -> np.ndarray:
    """Decode with imagecodecs, and with Pillow what is subsampled, which imagecodecs does not read."""
    try:
        return by_imagecodecs("jpeg2k")(content)
    except NotImplementedError:
        return by_pillow(content)


def by_libtiff(content: bytes) -> np.ndarray:
    """Decode with libtiff; tifffile reads what libtiff's program refuses for a tag that no pixel depends on."""
    try:
        return by_pillow(content)
    except UnidentifiedImageError:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            samples = file.pages.get(0).asarray(squeeze=False)
        return over_white(samples[0, 0] if samples.shape[0] == 1 else np.moveaxis(samples[:, 0, :, :, 0], 0, -1))


def by_giflib(content: bytes) -> np.ndarray:
    """Decode with Pillow what giflib reads to its end; the two fill what no frame covers in different ways."""
    imagecodecs.gif_decode(content)
    return by_pillow(content)


def by_strict_strips(content: bytes) -> np.ndarray:
    """Decode with tifffile a TIFF whose JPEG strips libjpeg-turbo reads without a warning."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.get(0)
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            stream = content[offset : offset + count]
            stream = page.jpegtables[:-2] + stream[2:] if page.jpegtables else stream
            simplejpeg.decode_jpeg(stream, "GRAY", strict=True)
        return over_white(page.asarray())


def by_libtiff_alone(content: bytes) -> np.ndarray:
    """Decode a fax with libtiff, from a file of the same strip whose other tags are right."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.get(0)
        (start,), (size,) = page.dataoffsets, page.databytecounts
        tags = [(258, 3, 1, 1), (262, 3, 1, int(page.photometric)), (266, 3, 1, int(page.fillorder))]
        tags += [(292, 4, 1, int(page.tags.valueof(292) or 0))]
        strip = content[start : start + size]
        clean = strip_tiff(page.imagewidth, page.imagelength, strip, compression=int(page.compression), more=tags)
    return by_pillow(clean)


@dataclass(frozen=True)
class Format:
    """Valid files of a format, and what reads it strictly; None where no second decoder exists.

    The reference is asked where the result is not the unchanged image: both must then agree within the rounding.
    """

    files: dict[str, bytes]
    reference: Callable[[bytes], np.ndarray] | None
    rounding: int = 0
    sums: Callable[[bytes], bytes] | None = None
    """Makes the checksums of a mutated file right again, so that damage gets as far as the decoder."""


def mend_png(content: bytes) -> bytes:
    """Return a PNG with the right checksum of each chunk, as far as its chunks can be walked."""
    out, at = bytearray(content), 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if end > len(content):
            break
        out[end - 4 : end] = zlib.crc32(content[at + 4 : end - 4]).to_bytes(4, "big")
        at = end
    return bytes(out)


def _rgba(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, pixels[..., :1]])


def _formats() -> dict[str, Format]:
    image = Image.fromarray(IMAGE)
    gray, palette, cmyk = image.convert("L"), image.quantize(32), image.convert("CMYK")
    bilevel = gray.point(lambda value: 255 * (value > 120)).convert("1")
    plain = {"ppm": image, "pgm": gray, "pbm": bilevel}
    deep = IMAGE.astype(np.uint16) * 257
    jpeg = {
        "baseline": file_of(image, "JPEG", quality=90),
        "4:4:4": file_of(image, "JPEG", quality=95, subsampling=0),
        "optimized": file_of(image, "JPEG", optimize=True),
        "progressive": file_of(image, "JPEG", progressive=True),
        "restarts": file_of(image, "JPEG", restart_marker_blocks=2),
        "gray": file_of(gray, "JPEG"),
        "cmyk": file_of(cmyk, "JPEG"),
        "lossless": bytes(imagecodecs.jpeg8_encode(IMAGE, lossless=True)),
        "one color": flat_jpeg(64, 48, ((2, 2), (1, 1), (1, 1))),
    }
    png = {
        "rgb": file_of(image),
        "rgba": file_of(_rgba(IMAGE)),
        "gray": file_of(gray),
        "la": file_of(Image.merge("LA", [gray, gray])),
        "stored": file_of(image, compress_level=0),
        "rgb of 16 bits": bytes(imagecodecs.png_encode(deep)),
        "rgba of 16 bits": bytes(imagecodecs.png_encode(_rgba(deep))),
    }
    tiff = {
        name: tiff_of(IMAGE, photometric="rgb", rowsperstrip=16, **settings)
        for name, settings in {
            "plain": {},
            "lzw": {"compression": "lzw", "predictor": True},
            "deflate": {"compression": "deflate", "predictor": True},
            "packbits": {"compression": "packbits"},
            "planar": {"planarconfig": "separate"},
            "big-endian": {"byteorder": ">"},
        }.items()
    }
    tiff |= {
        "gray": tiff_of(np.asarray(gray), photometric="minisblack", compression="lzw"),
        "gray of 16 bits": tiff_of(deep[..., 0], photometric="minisblack", compression="deflate"),
        "tiles": tiff_of(IMAGE, photometric="rgb", tile=(16, 16), compression="deflate"),
    }
    fax = {name: file_of(bilevel, "TIFF", compression=name) for name in ("group3", "group4", "tiff_ccitt")}
    return {
        "jpeg": Format(jpeg, by_simplejpeg),
        "png": Format(png, by_imagecodecs("png"), sums=mend_png),
        "png of a palette": Format({"p": file_of(palette), "1": file_of(bilevel)}, by_pillow, sums=mend_png),
        "gif": Format({"one": file_of(palette, "GIF"), "plain": file_of(gray, "GIF")}, by_giflib),
        "bmp": Format({"rgb": file_of(image, "BMP"), "gray": file_of(gray, "BMP")}, by_pillow),
        "webp": Format(
            {"lossy": file_of(image, "WEBP"), "lossless": file_of(image, "WEBP", lossless=True)}, by_imagecodecs("webp")
        ),
        "avif": Format({"rgb": file_of(image, "AVIF")}, by_imagecodecs("avif"), rounding=2),
        "jpeg2000": Format(
            {
                "box file": file_of(image, "JPEG2000"),
                "codestream": bytes(imagecodecs.jpeg2k_encode(IMAGE, level=0, codecformat="j2k")),
                "16 bits": bytes(imagecodecs.jpeg2k_encode(deep, level=0)),
            },
            by_openjpeg,
        ),
        "tiff": Format(tiff, by_libtiff, rounding=1),
        "tiff of jpeg": Format({"jpeg": tiff_of(IMAGE, photometric="rgb", compression="jpeg")}, by_strict_strips),
        "tiff of fax": Format(fax, by_libtiff_alone),
        "pnm": Format({name: file_of(one, "PPM") for name, one in plain.items()}, by_pillow),
        "tga": Format({"raw": file_of(image, "TGA"), "runs": file_of(image, "TGA", compression="tga_rle")}, by_pillow),
        "qoi": Format({"rgb": bytes(imagecodecs.qoi_encode(IMAGE))}, by_pillow),
        "ico": Format({"png": file_of(image.resize((48, 48)), "ICO", sizes=[(48, 48)])}, by_pillow),
    }


FORMATS = _formats()


def mutate(content: bytes, other: bytes, pick: Pick) -> bytes:
    """Return a file that was changed in one of the ways in which files are damaged."""
    size = len(content)
    start = pick(4, size - 2)
    length = min(pick(1, max(1, size // 4)), size - start)
    match pick(0, 7):
        case 0:
            changed = bytearray(content)
            for _ in range(pick(1, 4)):
                changed[pick(4, size - 1)] ^= 1 << pick(0, 7)
            return bytes(changed)
        case 1:
            changed = bytearray(content)
            for _ in range(pick(1, 4)):
                changed[pick(4, size - 1)] = pick(0, 255)
            return bytes(changed)
        case 2:
            return content[:start]
        case 3:
            return content[:start] + content[-pick(2, 16) :]  # cut and closed
        case 4:
            return content[:start] + bytes(length) + content[start + length :]
        case 5:
            return content[:start] + content[start + length :]
        case 6:
            return content[: start + length] + content[start:]
        case _:
            return content[:start] + other[pick(0, len(other) - 1) :]


@dataclass
class Tally:
    """What became of the inputs of a format."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0


def judge(name: str, mode: str, content: bytes, tally: Tally) -> None:
    """Decode a mutated file, fully and scaled, and note whether what comes out is right."""
    kind = FORMATS[name]
    tally.inputs += 1
    begin = time.perf_counter()
    outcomes = [_outcome(content, scale) for scale in ("full", "scaled")]
    tally.longest = max(tally.longest, time.perf_counter() - begin)
    pixels, scaled = outcomes
    if pixels is None or scaled is None:
        tally.refused += 1
        if (pixels is None) != (scaled is None):
            tally.wrong.append(f"{mode}: one scale notices what the other does not")
        return
    tally.read += 1
    if not (_agrees(pixels, _original(name, mode), kind.rounding) or _is_confirmed(pixels, content, kind)):
        tally.wrong.append(mode)


def _outcome(content: bytes, scale: str) -> np.ndarray | None:
    try:
        return decode(content, scale=scale).pixels
    except DecodeFailure:
        return None


_ORIGINALS: dict[tuple[str, str], np.ndarray] = {}


def _original(name: str, mode: str) -> np.ndarray:
    if (name, mode) not in _ORIGINALS:
        _ORIGINALS[name, mode] = decode(FORMATS[name].files[mode]).pixels
    return _ORIGINALS[name, mode]


def _agrees(pixels: np.ndarray, expected: np.ndarray, rounding: int) -> bool:
    if pixels.shape != expected.shape:
        return False
    return bool(np.abs(pixels.astype(int) - expected.astype(int)).max(initial=0) <= rounding)


def _is_confirmed(pixels: np.ndarray, content: bytes, kind: Format) -> bool:
    """Return whether the strict reference reads the same; stray bytes, which it refuses, confirm Pillow's pixels."""
    if kind.reference is None:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = kind.reference(content)
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        if kind.reference is not by_simplejpeg or not any(word in str(error) for word in HARMLESS):
            return False
        expected = by_pillow(content)
    # a mutated orientation or profile turns or recolors the image: its samples are those of the reference all the same
    turned = [np.rot90(expected, turn) for turn in range(4)]
    return any(_agrees(pixels, one, kind.rounding) for base in turned for one in (base, base[:, ::-1]))


HARMLESS = ("extraneous bytes", "JFIF revision", "Adobe color transform", "SOS parameters", "ICC")


def run(name: str, inputs: int, *, seed: int = 0) -> Tally:
    """Judge so many inputs of a format; the same seed gives the same inputs."""
    random = np.random.default_rng(seed)
    kind, tally = FORMATS[name], Tally()
    modes = sorted(kind.files)
    for number in range(inputs):
        mode = modes[number % len(modes)]
        other = kind.files[modes[int(random.integers(len(modes)))]]
        content = mutate(kind.files[mode], other, lambda low, high: int(random.integers(low, high + 1)))
        if kind.sums is not None and random.integers(2):
            content = kind.sums(content)
        judge(name, mode, content, tally)
    return tally


def main() -> None:
    """Print a line for each format."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for name in sys.argv[2:] or FORMATS:
        tally = run(name, inputs)
        print(
            f"{name:18}{tally.inputs:>8} inputs{tally.read:>8} read{tally.refused:>8} refused"
            f"{len(tally.wrong):>5} wrong{tally.longest * 1000:>8.0f} ms {sorted(set(tally.wrong))[:4] or ''}",
            flush=True,
        )
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")


if __name__ == "__main__":
    main()
