"""Recognizes the type of a file by its first bytes, never by its name."""

from __future__ import annotations

import re

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
    (b"qoif", "qoi"),
    (b"SIMPLE  =", "fits"),
    (b"v/1\x01", "openexr"),
    (b"#?RADIANCE", "radiance"),
    (b"#?RGBE", "radiance"),
    (b"DDS |\x00", "dds"),
    (b"IIRO", "raw"),  # Olympus
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\x00", "raw"),  # Panasonic, Leica
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"\x00MRM", "raw"),  # Minolta
    (b"FOVb", "raw"),  # Sigma
    (b"II\x1a\x00\x00\x00HEAPCCDR", "raw"),  # Canon, before CR2
    (b"\x1a\x45\xdf\xa3", "video"),  # Matroska, WebM
    (b"\x00\x00\x01\xba", "video"),  # MPEG
    (b"\x00\x00\x01\xb3", "video"),
    (b"FLV\x01", "video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video"),  # ASF, WMV
    (b"%!PS", "vector"),
    (b"\xc5\xd0\xd3\xc6", "vector"),  # EPS with a preview
    (b"\xd7\xcd\xc6\x9a", "vector"),  # WMF
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7zip"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x00\x05\x16\x07", "appledouble"),  # what macOS stores on other file systems: ._NAME, __MACOSX/
    (b"\x00\x00\x00\x01Bud1", "ds_store"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_VIDEO_BRANDS = frozenset(
    {b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"M4VH", b"qt  "}
    | {b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"MSNV", b"dash"}
)
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip"})
_PNM = re.compile(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])+\d")
_PFM = re.compile(rb"P[fF]\s+\d")
_GROUP_8 = re.compile(rb"\x08\x00[\x00-\x18]\x00(?:(?:CS|UI|SH|DA|UL)[\x00-\x40]\x00|[\x02-\x40]\x00\x00\x00)")
"""The first element of a DICOM file without a preamble: of group 8, with its type and length, or its length alone."""
_TEXT_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sniff(head: bytes) -> str:
    """Name the type of a file by its first bytes (512 are enough).

    Returns
    -------
    str
        "jpeg", "png", "tiff" (BigTIFF too), "gif", "bmp", "webp", "avif", "heif", "jpeg2000", "pnm", "tga", "ico",
        "qoi" or "dicom", which `decode` reads; else "jpegxl", "photoshop", "fits", "openexr", "radiance", "dds", "pcx",
        "pam", "pfm", "raw" (of a camera), "video", "svg", "vector", "pdf", "zip", "gzip", "bzip2", "xz", "zstd",
        "7zip", "rar", "hdf5", "appledouble", "ds_store", "html", "xml", "text", "empty" or "unknown".
    """
    if not head:
        return "empty"
    if head[128:132] == b"DICM" or _GROUP_8.match(head):  # its preamble may be the header of a TIFF
        return "dicom"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return "raw" if kind == "tiff" and head[8:10] == b"CR" else kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return "webp" if head[8:12] == b"WEBP" else "video"
    if head[4:8] == b"ftyp":
        return _sniff_iso_media(head)
    if head[4:8] in _QUICKTIME_ATOMS and head[:1] == b"\x00":
        return "video"
    if _PNM.match(head):
        return "pnm"
    if head.startswith((b"P7\nWIDTH", b"P7\n#")) or _PFM.match(head):
        return "pam" if head[1:2] == b"7" else "pfm"
    # "BM" alone begins too many texts: the size of the header that follows must be one that exists
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124):
        return "bmp"
    if head[:1] == b"\x01" and head[40:44] == b" EMF":
        return "vector"
    return _sniff_icon_or_targa(head) or _sniff_text(head[:SNIFF_BYTES])


def _sniff_icon_or_targa(head: bytes) -> str | None:
    """Recognize formats without magic bytes: every field of their header must have a value that exists."""
    if len(head) < 18:
        return None
    if head[:4] == b"\x00\x00\x01\x00" and 0 < head[4] + 256 * head[5] < 256 and head[9] == 0 and head[10] <= 1:
        return "ico"
    if (
        head[:1] == b"\x0a"
        and head[1] in (0, 2, 3, 4, 5)
        and head[2] == 1
        and head[3] in (1, 2, 4, 8)
        and head[64] == 0
    ):
        return "pcx"
    mapped, kind, depth, flags = head[1], head[2], head[16], head[17]
    first, colors, color_bits = (
        int.from_bytes(head[at : at + size], "little") for at, size in ((3, 2), (5, 2), (7, 1))
    )
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    palette = (colors > 0 and color_bits in (15, 16, 24, 32)) if mapped else first == colors == color_bits == 0
    depths = {1: (8,), 9: (8,), 2: (16, 24, 32), 10: (16, 24, 32), 3: (8,), 11: (8,)}.get(kind, ())
    alpha = flags & 15 in {16: (0, 1), 32: (0, 8)}.get(depth, (0, 8))
    whole = mapped == (kind in (1, 9)) and palette and depth in depths and alpha and flags & 0xC0 == 0
    return "tga" if whole and width and height else None


def _sniff_iso_media(head: bytes) -> str:
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), 64), 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIF_BRANDS:
        return "heif"
    if b"crx " in brands:  # Canon's CR3
        return "raw"
    return "video" if brands & _VIDEO_BRANDS else "unknown"


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
