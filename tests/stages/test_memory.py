"""The memory that reading an image needs stays in proportion to its pixels."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

SIDE = 2500
BYTES_PER_PIXEL = 12
"""An image of 88 megapixels, just below the limit of a decompression bomb, then needs 1.06 GB."""
READ = """
import resource, sys
from pathlib import Path
import imagecodecs, tifffile
from curation.hashing import sha256_hex
from curation.images import RenderSettings, render
from curation.stages.probe import ProbeSettings, ProbeShard, probe_shard
from curation.storage.archive_members import FilePlace, Member

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

path = Path(sys.argv[1])
content = path.read_bytes()
member = Member(path.name, len(content), FilePlace(str(path)))
settings = ProbeSettings("scaled", "scale", "first", "phash")
before = peak()
found = probe_shard(ProbeShard(path.parent, (member,), (sha256_hex(content),), settings))
assert found["failure"] == [None], found["failure_detail"]
render(content, RenderSettings(encode="uniform", short_side=128))
print(peak() - before)
"""


def draw_rgba_png(path: Path) -> None:
    """Draw a half transparent PNG."""
    Image.new("RGBA", (SIDE, SIDE), (200, 30, 40, 128)).save(path, compress_level=1)


def draw_rgba_tiff(path: Path) -> None:
    """Draw a TIFF with unassociated alpha."""
    pixels = np.full((SIDE, SIDE, 4), 100, np.uint8)
    options = {"compression": "zlib", "photometric": "rgb", "extrasamples": ["unassalpha"], "rowsperstrip": 64}
    tifffile.imwrite(path, pixels, **options)


def draw_deep_png(path: Path) -> None:
    """Draw a PNG of 16 bits a channel."""
    path.write_bytes(imagecodecs.png_encode(np.full((SIDE, SIDE, 3), 30_000, np.uint16), level=1))


@pytest.mark.parametrize(
    ("name", "draw"), [("rgba.png", draw_rgba_png), ("rgba.tif", draw_rgba_tiff), ("deep.png", draw_deep_png)]
)
def test_an_image_with_alpha_or_16_bits_is_read_and_rendered_in_few_bytes_for_each_pixel(
    tmp_path: Path, name: str, draw: object
) -> None:
    """Blending whole images over white in 32 bits took 43 bytes for each pixel: 3.8 GB for 88 megapixels."""
    assert callable(draw)
    draw(tmp_path / name)
    run = subprocess.run([sys.executable, "-c", READ, str(tmp_path / name)], capture_output=True, text=True, check=True)
    assert int(run.stdout) <= BYTES_PER_PIXEL * SIDE * SIDE
