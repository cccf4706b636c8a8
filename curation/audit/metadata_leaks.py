"""Finds what a published file contains besides its image: by Pillow, and by walking a JPEG's segments."""

from collections.abc import Iterator, Mapping
from typing import Final

from PIL import Image

KNOWN: Final = {"xmp": "XMP", "icc_profile": "ICC profile", "comment": "comment", "photoshop": "Photoshop block"}
JPEG_START, JPEG_END = b"\xff\xd8", 0xD9
PNG_START: Final = b"\x89PNG\r\n\x1a\n"
BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length: TEM and the restarts."""
EXIF, EXIF_IFD, GPS_IFD, MAKER_NOTE = b"Exif\0\0", 0x8769, 0x8825, 0x927C
XMP: Final = b"http://ns.adobe.com/"
PLAIN_JFIF: Final = 14
"""Bytes of a JFIF segment without a thumbnail."""


def find_embedded_metadata(image: Image.Image, content: bytes) -> tuple[str, ...]:
    """Return what a file contains besides its image: EXIF, GPS, XMP, profiles, comments, text, trailing bytes.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened from ``content``, and not converted.
    content : bytes
        The whole file.
    """
    found = []
    exif = image.getexif()
    if len(exif) or "exif" in image.info:
        found.append("EXIF")
    if exif.get_ifd(GPS_IFD):
        found.append("GPS position")
    if exif.get_ifd(EXIF_IFD).get(MAKER_NOTE):
        found.append("maker note")
    found += [word for key, word in KNOWN.items() if image.info.get(key)]
    text = getattr(image, "text", None)
    if isinstance(text, Mapping) and text:
        found.append("text chunk")
    if content.startswith(JPEG_START):
        found += _jpeg_extras(content)
    if content.startswith(PNG_START) and len(content) > _png_end(content):
        found.append("bytes after the end")
    return tuple(dict.fromkeys(found))


def _jpeg_extras(content: bytes) -> Iterator[str]:
    """Yield what the segments of a JPEG contain besides the image, and whether bytes follow its end.

    An image appended to the file has an end of its own, so the first end counts, not the last.
    """
    end = None
    for marker, start, stop in _segments(content):
        segment = content[start:stop]
        if marker == JPEG_END:
            end = stop
            break
        if marker == 0xFE:
            yield "comment"
        elif marker == 0xE0 and not (segment.startswith(b"JFIF\0") and len(segment) <= PLAIN_JFIF):
            yield "thumbnail"
        elif marker == 0xE1:
            yield "EXIF" if segment.startswith(EXIF) else "XMP" if segment.startswith(XMP) else "APP1 segment"
        elif 0xE2 <= marker <= 0xEF and marker != 0xEE:
            yield f"APP{marker - 0xE0} segment"
        elif marker == 0xEE and not segment.startswith(b"Adobe"):
            yield "APP14 segment"
    if end is not None and end < len(content):
        yield "bytes after the end"


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, stop) of each segment's content, up to and including the end of the image."""
    place = 2
    while (place := content.find(b"\xff", place)) >= 0 and place + 1 < len(content):
        marker = content[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker == 0 or marker in BARE:  # a stuffed byte of the scan
            place += 2
        elif marker == JPEG_END:
            yield marker, place + 2, place + 2
            return
        else:
            length = int.from_bytes(content[place + 2 : place + 4], "big")
            yield marker, place + 4, place + 2 + length
            place += 2 + max(2, length)


def _png_end(content: bytes) -> int:
    """Return where the last chunk of a PNG ends; the file's length where it has none."""
    place = len(PNG_START)
    while place + 12 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        place += 12 + length
        if kind == b"IEND":
            return place
    return len(content)
