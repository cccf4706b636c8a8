"""The real image sets, where they are."""

import io
import zipfile

import imagehash
import numpy as np
import pytest
from PIL import Image

from curation.images import RenderSettings, decode, gray32, read_header, render
from curation.images.jpeg_segments import walk_segments
from curation.images.tiff import decode_by_tifffile
from curation.images.tiff_directories import read_directories
from curation.images.tiff_plain import decode_plain_tiff


def members(archive, step):
    """Give every so many-th image of an archive, by name."""
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(n for n in opened.namelist() if n.lower().endswith((".jpg", ".tif", ".tiff")))[::step]:
            yield name, opened.read(name)


def test_every_patch_is_read(mirror):
    """The TIFF patches in all their encodings are 128 x 128 images of skin, the 16-bit ones too."""
    modes = set()
    for archive in sorted(mirror.rglob("figshare/**/*.zip")):
        for name, content in members(archive, 1):
            image = decode(content)
            assert image.pixels.shape == (128, 128, 3), name
            assert 60 < image.pixels.mean() < 250, name
            modes.add((image.header.mode, image.header.bits))
    assert {("RGB", 8), ("RGB", 16), ("CMYK", 8), ("P", 8), ("RGBA", 8)} <= modes


def test_plain_patches_are_decoded_as_tifffile_decodes_them(mirror):
    """Header and pixels of every plain patch are those that tifffile gives; many of them are plain."""
    contents = [content for archive in mirror.rglob("figshare/**/*.zip") for _, content in members(archive, 1)]
    plain = 0
    for content in contents:
        directories = read_directories(content)
        image = decode_plain_tiff(content, directories[0], pages=len(directories))
        if image is None:
            continue
        expected = decode_by_tifffile(content, directories[0], pages=len(directories))
        assert image.header == expected.header
        assert np.array_equal(image.pixels, expected.pixels)
        plain += 1
    assert plain > len(contents) / 4


def test_jpegs_of_the_mirror_render_alike(mirror):
    """Every fiftieth image of the set, and every fiftieth patch, come out with the same tables."""
    settings = RenderSettings(encode="uniform", short_side=128)
    tables = set()
    for archive in sorted(mirror.rglob("*.zip")):
        for _, content in members(archive, 50):
            rendered = render(content, settings)
            header = read_header(rendered)
            assert min(header.width, header.height) == 128
            tables.add(tuple(segment for marker, segment, _ in walk_segments(rendered) if marker != 0xC0))
    assert len(tables) == 1


@pytest.mark.slow
def test_scaled_hashes_stay_near_the_full_ones(fullres):
    """Full decoding gives imagehash's own hash; a DCT-scaled one lies within 6 bits of it, in the middle within 2."""
    distances = []
    for path in sorted(fullres.glob("*/*/*.jpg"))[::4]:
        content = path.read_bytes()
        full, scaled = (
            imagehash.phash(Image.fromarray(gray32(decode(content, scale=scale, gray=True).pixels)))
            for scale in ("full", "scaled")
        )
        assert full == imagehash.phash(Image.open(io.BytesIO(content)))
        distances.append(full - scaled)
    assert max(distances) <= 6
    assert np.median(distances) <= 2
