"""Types by magic bytes."""

import imagecodecs
import pytest

from curation.images import sniff
from tests.images.builders import draw, file_of, tiff_of


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "webp", "tiff", "jpeg2000", "avif", "tga", "ico", "ppm"])
def test_a_file_is_what_its_first_bytes_say(kind):
    """Every format that Pillow writes here is named by its first bytes."""
    assert sniff(file_of(draw(), kind)[:512]) == {"ppm": "pnm"}.get(kind, kind)


@pytest.mark.parametrize("settings", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}])
def test_every_tiff_header_is_a_tiff(settings):
    """Both byte orders and BigTIFF are TIFF."""
    assert sniff(tiff_of(draw(), photometric="rgb", **settings)[:16]) == "tiff"


def test_a_bare_codestream_is_jpeg2000():
    """JPEG 2000 without its box file is known too."""
    assert sniff(imagecodecs.jpeg2k_encode(draw(), codecformat="j2k")) == "jpeg2000"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"\xef\xbb\xbf  \n<HTML><head>", "html"),
        (b"<?xml version='1.0'?><svg xmlns='x'>", "svg"),
        (b"<?xml version='1.0'?><rss>", "xml"),
        (b"BMI,age,sex\n21,60,f\n", "text"),
        ("isic_id,Größe\n".encode(), "text"),
        ("id,label\n".encode("utf-16"), "text"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"%PDF-1.7", "pdf"),
        (bytes(128) + b"DICM", "dicom"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "heif"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42", "video"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "raw"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00", "raw"),
        (b"IIU\x00\x18\x00\x00\x00", "raw"),
        (b"FUJIFILMCCD-RAW 0201", "raw"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "video"),
        (b"\x1a\x45\xdf\xa3\x01", "video"),
        (b"\x00\x00\x00\x08wide\x00\x00", "video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "vector"),
        (b"SIMPLE  =                    T", "fits"),
        (b"(\xb5/\xfd$", "zstd"),
        (b"P5 2 2 255\n1234", "pnm"),
        (b"P3\n# made by hand\n2 2\n255\n", "pnm"),
        (b"P4 is a form of the tax office\n", "text"),
        (b"qoif\x00\x00", "qoi"),
        (b"II*\x00\x54\x18\x08\x00" + bytes(120) + b"DICM\x02\x00", "dicom"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", "dicom"),
        (b"\x00\x01\x02\x03", "unknown"),
        (bytes(512), "unknown"),
    ],
)
def test_other_files_are_named_by_their_type(head, kind):
    """Texts, archives and images of formats that are not read have names of their own."""
    assert sniff(head) == kind
