"""Recognizes the type of a file by its first bytes, never by its name."""

from __future__ import annotations

SNIFF_BYTES = 512
"""The number of bytes that `sniff` reads."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),  # BigTIFF
    (b"MM\x00+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jpegxl"),
    (b"\xff\x0a", "jpegxl"),
    (b"8BPS", "photoshop"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7zip"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x00\x05\x16\x07", "appledouble"),  # what macOS stores on other file systems: ._NAME, __MACOSX/
    (b"\x00\x00\x00\x01Bud1", "ds_store"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_TEXT_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sniff(head: bytes) -> str:
    """Name the type of a file by its first bytes (512 are enough).

    Returns
    -------
    str
        "jpeg", "png", "tiff" (BigTIFF too), "gif", "bmp", "webp" or "jpeg2000", which `decode` reads; else "heif",
        "avif", "jpegxl", "photoshop", "dicom", "svg", "pdf", "zip", "gzip", "bzip2", "xz", "7zip", "rar", "hdf5",
        "appledouble", "ds_store", "html", "xml", "text", "empty" or "unknown".
    """
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _sniff_iso_media(head)
    if head[128:132] == b"DICM":
        return "dicom"
    # "BM" alone begins too many texts: the size of the header that follows must be one that exists
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124):
        return "bmp"
    return _sniff_text(head[:SNIFF_BYTES])


def _sniff_iso_media(head: bytes) -> str:
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), 64), 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if brands & _HEIF_BRANDS else "unknown"


def _sniff_text(head: bytes) -> str:
    if head.startswith(_TEXT_BOMS[1:]):
        return "text"
    body = head.removeprefix(_TEXT_BOMS[0]).lstrip().lower()
    if body.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in body:
        return "html"
    if body.startswith(b"<svg") or (body.startswith(b"<?xml") and b"<svg" in body):
        return "svg"
    if body.startswith(b"<?xml"):
        return "xml"
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return "text" if printable == len(head) and b"\x7f" not in head else "unknown"
