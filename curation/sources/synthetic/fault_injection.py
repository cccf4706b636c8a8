"""The planted faults: how a file is made from an image, where it lies, and what a build must do with it."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curation.sources.synthetic import encodings
from curation.sources.synthetic.encodings import exif, jpeg, png, with_exif
from curation.sources.synthetic.ground_truth import Expected
from curation.sources.synthetic.images import Pixels
from curation.sources.synthetic.texture import soften

Pages = tuple[Pixels, ...]
Make = Callable[[Pages], bytes]


@dataclass(frozen=True)
class FaultSpec:
    """One fault to plant.

    Parameters
    ----------
    kind, expected
        As in ``Fault``.
    make : callable
        From the image (the first of ``pages``) to the file's bytes.
    place : str
        The folder, below the archive's own: ``"Train/melanoma"``. Skin patches have none.
    original : str or None
        The folder of the unchanged image; None where it is not in the archive.
    name : str or None
        A special file name (``{}`` is the number); else one like all others.
    same_name : bool
        The file has the name of its original, like the duplicates of the published set.
    pages : int
        The number of images that ``make`` takes.
    """

    kind: str
    expected: Expected
    make: Make
    place: str = "Train/melanoma"
    original: str | None = None
    name: str | None = None
    same_name: bool = False
    pages: int = 1


def as_stored(pixels: Pixels) -> Pixels:
    """Return the pixels that a reader of the image's own JPEG sees."""
    with Image.open(io.BytesIO(jpeg(pixels))) as image:
        return np.asarray(image.convert("RGB"))


SYMMETRIES: dict[str, Callable[[Pixels], Pixels]] = {
    "flipped left to right": lambda pixels: pixels[:, ::-1],
    "flipped top to bottom": lambda pixels: pixels[::-1],
    "turned by 90 degrees": lambda pixels: np.rot90(pixels, 1),
    "turned by 180 degrees": lambda pixels: np.rot90(pixels, 2),
    "turned by 270 degrees": lambda pixels: np.rot90(pixels, 3),
    "transposed": lambda pixels: np.swapaxes(pixels, 0, 1),
    "transversed": lambda pixels: np.swapaxes(pixels[::-1, ::-1], 0, 1),
}

HOSTILE_NAMES = (
    "../evil.jpg",
    "line\nbreak.jpg",
    "<script>alert(1)<script>.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    "\N{STETHOSCOPE} mole \N{SMILING FACE WITH SUNGLASSES}.jpg",
    "long" * 49 + ".jpg",
    "=1+1.jpg",
    "quote\"'`;&|$(x).jpg",
)


def halved(pixels: Pixels) -> Pixels:
    """Return the image at half its size, four pixels becoming their mean."""
    even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2].astype(np.uint16)
    total = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return ((total + 2) // 4).astype(np.uint8)


def dimmed(pixels: Pixels) -> Pixels:
    """Return the image darker by an eighth, which clips nothing."""
    return (pixels.astype(np.uint16) * 7 // 8).astype(np.uint8)


def cropped(pixels: Pixels) -> Pixels:
    """Return the image without 2 % of its width and height, half of it at each side."""
    (top, left), (height, width) = (max(1, side // 100) for side in pixels.shape[:2]), pixels.shape[:2]
    return pixels[top : height - top, left : width - left]


def blurred(pixels: Pixels) -> Pixels:
    """Return the image far out of focus."""
    soft = soften(pixels.astype(np.float64), max(2, min(pixels.shape[:2]) // 10))
    return np.floor(np.round(soft, 6) + 0.5).astype(np.uint8)


def blank(pixels: Pixels) -> Pixels:
    """Return an image of that size in one color, the same for all, so that two of them are copies."""
    return np.broadcast_to(np.array((206, 172, 150), np.uint8), pixels.shape).copy()


def _stored(change: Callable[[Pixels], Pixels], *, quality: int = 95) -> Make:
    """Return what makes a JPEG of the changed image, as an image editor writes it."""
    return lambda pages: jpeg(np.ascontiguousarray(change(as_stored(pages[0]))), quality=quality)


def _copy(pages: Pages) -> bytes:
    return jpeg(pages[0])


def _upright(pages: Pages) -> bytes:
    """Return the image turned by 90 degrees, with the EXIF orientation (6) that undoes it."""
    return with_exif(jpeg(np.ascontiguousarray(np.rot90(pages[0], 1))), exif(orientation=6))


TRAIN, TEST = "Train/melanoma", "Test/melanoma"
CONTEXT, OTHER_CONTEXT = "nevus", "seborrheic keratosis"

_TWINS = (
    FaultSpec("byte copy", "duplicate", _copy, original=TRAIN),
    FaultSpec("byte copy", "duplicate", _copy, original=TRAIN),
    FaultSpec("byte copy", "duplicate", _copy, place=TEST, original=TEST),
    FaultSpec("byte copy", "duplicate", _copy, place=f"Train/{CONTEXT}", original=f"Train/{CONTEXT}"),
    FaultSpec(
        "metadata changed", "duplicate", lambda p: with_exif(_copy(p), exif(description="a copy")), original=TRAIN
    ),
    FaultSpec("re-encoded at quality 60", "duplicate", _stored(lambda p: p, quality=60), original=TRAIN),
    FaultSpec("re-encoded at quality 60", "duplicate", _stored(lambda p: p, quality=60), original=TRAIN),
    FaultSpec("half the size", "duplicate", _stored(halved), original=TRAIN),
    FaultSpec("half the size", "duplicate", _stored(halved), original=TRAIN),
    FaultSpec("brightness changed", "duplicate", _stored(dimmed), original=TRAIN),
    FaultSpec("brightness changed", "duplicate", _stored(dimmed), original=TRAIN),
    FaultSpec("cropped by 2 %", "duplicate", _stored(cropped), original=TRAIN),
    FaultSpec("cropped by 2 %", "duplicate", _stored(cropped), original=TRAIN),
    *(FaultSpec(kind, "duplicate", _stored(turn), original=TRAIN) for kind, turn in SYMMETRIES.items()),
    FaultSpec("EXIF-rotated", "duplicate", _upright, original=TRAIN),
    FaultSpec("CMYK", "duplicate", lambda p: jpeg(p[0], mode="CMYK"), original=TRAIN),
    FaultSpec("palette", "duplicate", lambda p: png(as_stored(p[0]), mode="P"), original=TRAIN, name="DRAWN_{}.png"),
    FaultSpec(
        "16-bit", "duplicate", lambda p: encodings.tiff_16_bit(as_stored(p[0])), original=TRAIN, name="DRAWN_{}.tif"
    ),
)

_DISPUTES = (
    *(
        FaultSpec(
            "two labels, same bytes", "disputed", _copy, place=f"Train/{OTHER_CONTEXT}", original=TRAIN, same_name=True
        )
        for _ in range(4)
    ),
    FaultSpec(
        "two labels, near duplicate", "disputed", _stored(halved), place=f"Train/{OTHER_CONTEXT}", original=TRAIN
    ),
    FaultSpec(
        "two labels, near duplicate",
        "disputed",
        _stored(SYMMETRIES["turned by 90 degrees"]),
        place=f"Train/{CONTEXT}",
        original=TRAIN,
    ),
    FaultSpec(
        "two labels, across the splits",
        "disputed",
        _copy,
        place=f"Test/{OTHER_CONTEXT}",
        original=TRAIN,
        same_name=True,
    ),
)

_LEAKS = (
    FaultSpec("in train and test, same bytes", "leak", _copy, original=TEST, same_name=True),
    FaultSpec("in train and test, same bytes", "leak", _copy, original=TEST),
    FaultSpec("in train and test, re-encoded", "leak", _stored(lambda p: p, quality=75), original=TEST),
    FaultSpec("in train and test, turned", "leak", _stored(SYMMETRIES["turned by 180 degrees"]), original=TEST),
    FaultSpec("context in train and test", "context leak", _copy, place=f"Train/{CONTEXT}", original=f"Test/{CONTEXT}"),
    FaultSpec(
        "context in train and test, two labels",
        "context leak",
        _copy,
        place=f"Train/{CONTEXT}",
        original=f"Test/{OTHER_CONTEXT}",
        same_name=True,
    ),
)

_UNREADABLE = (
    FaultSpec("truncated", "unreadable", lambda p: _copy(p)[: len(_copy(p)) * 55 // 100]),
    FaultSpec("zero bytes", "unreadable", lambda p: b""),
    FaultSpec("HTML named .jpg", "unreadable", lambda p: encodings.NOT_AN_IMAGE),
    FaultSpec("text file", "unreadable", lambda p: encodings.PLAIN_TEXT, name="notes_{}.txt"),
    FaultSpec("decompression bomb", "unreadable", lambda p: encodings.bomb(), name="DRAWN_{}.png"),
)

_LOW_QUALITY = (
    FaultSpec("one pixel", "unreadable", lambda p: jpeg(p[0][:1, :1])),
    FaultSpec("blank", "low quality", lambda p: jpeg(blank(p[0]))),
    FaultSpec("blank, a copy", "low quality", lambda p: jpeg(blank(p[0]))),
    FaultSpec("blurred", "low quality", lambda p: jpeg(blurred(p[0]))),
    FaultSpec("too dark", "low quality", lambda p: jpeg(p[0] // 16)),
)

_ODD = (
    FaultSpec("PNG named .jpg", "kept", lambda p: png(p[0])),
    FaultSpec("broken EXIF", "kept", lambda p: with_exif(_copy(p), encodings.broken_exif())),
    FaultSpec("place in EXIF", "kept", lambda p: with_exif(_copy(p), exif(gps=True, description="drawn"))),
    FaultSpec("alpha", "kept", lambda p: png(p[0], mode="RGBA"), name="DRAWN_{}.png"),
    FaultSpec("several pages", "kept", encodings.tiff_pages, name="DRAWN_{}.tif", pages=3),
    *(FaultSpec("hostile name", "kept", _copy, name=name.replace("{", "")) for name in HOSTILE_NAMES),
)

LESIONS: tuple[FaultSpec, ...] = (*_TWINS, *_DISPUTES, *_LEAKS, *_UNREADABLE, *_LOW_QUALITY, *_ODD)


def _patch(kind: str, make: Callable[[Pixels], bytes]) -> FaultSpec:
    """Return a skin patch planted a second time, as another skin's, in another encoding."""
    return FaultSpec(kind, "duplicate", lambda pages: make(pages[0]), place="", original="")


SKIN: tuple[FaultSpec, ...] = (
    _patch("byte copy", encodings.tiff),
    *(_patch(f"coded as {kind}", make) for kind, make in encodings.PATCH_ENCODINGS.items() if kind != "uncompressed"),
    _patch("flipped left to right", lambda p: encodings.tiff(np.ascontiguousarray(p[:, ::-1]))),
    _patch("turned by 90 degrees", lambda p: encodings.tiff(np.ascontiguousarray(np.rot90(p)))),
    _patch("half the size", lambda p: encodings.tiff(halved(p))),
    FaultSpec("several pages", "kept", encodings.tiff_pages, place="", pages=3),
    FaultSpec("JPEG named .tif", "kept", _copy, place=""),
    FaultSpec("outside the naming rule", "kept", lambda p: encodings.tiff(p[0]), place="", name="loose patch {}.tif"),
    FaultSpec("truncated", "unreadable", lambda p: encodings.tiff(p[0])[:20_000], place=""),
    FaultSpec("zero bytes", "unreadable", lambda p: b"", place=""),
    FaultSpec("text file", "unreadable", lambda p: encodings.PLAIN_TEXT, place="", name="notes {}.txt"),
    FaultSpec("blank", "low quality", lambda p: encodings.tiff(blank(p[0])), place=""),
    FaultSpec("blank, a copy", "low quality", lambda p: encodings.tiff(blank(p[0])), place=""),
)
