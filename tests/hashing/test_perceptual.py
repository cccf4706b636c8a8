"""The batched pHash against imagehash itself."""

from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from curation.hashing import SYMMETRIES, from_imagehash, imagehash_hash, phash, symmetries, to_imagehash, turn

FULLRES = Path(__file__).parents[3] / "shared" / "fullres"


def define(gray: np.ndarray) -> int:
    """The hash by imagehash, as a number."""
    return int(str(imagehash.phash(Image.fromarray(np.ascontiguousarray(gray)))), 16)


def make_constant(level: int) -> np.ndarray:
    """An image without any structure."""
    return np.full((32, 32), level, np.uint8)


def make_gradient(down: int, right: int) -> np.ndarray:
    """A ramp: most of its coefficients are zero but for rounding."""
    y, x = np.mgrid[:32, :32]
    return ((down * y + right * x) % 256).astype(np.uint8)


def make_two_level(seed: int, low: int, high: int, cell: int) -> np.ndarray:
    """Squares of two levels."""
    coarse = np.random.default_rng(seed).random((32 // cell, 32 // cell)) < 0.5
    return np.where(np.kron(coarse, np.ones((cell, cell), bool)), low, high).astype(np.uint8)


def make_symmetric(seed: int, axes: int) -> np.ndarray:
    """An image that equals some of its own orientations, whose coefficients tie exactly or vanish."""
    image = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
    for k in (1, 2, 4):
        if axes & k:
            image = np.minimum(image, turn(image, k))
    return image


level = st.integers(0, 255)
images = st.one_of(
    arrays(np.uint8, (32, 32)),
    arrays(np.uint8, (32, 32), elements=st.integers(0, 255), fill=st.nothing()),
    st.builds(make_constant, level),
    st.builds(make_gradient, st.integers(0, 8), st.integers(0, 8)),
    st.builds(make_two_level, st.integers(0, 2**32), level, level, st.sampled_from([1, 2, 4, 8, 16])),
    st.builds(make_symmetric, st.integers(0, 2**32), st.integers(1, 7)),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(images)
def test_every_orientation_has_the_bits_imagehash_gives_it(image):
    """Column k is imagehash's pHash of the image in orientation k."""
    codes = symmetries(image[None])
    assert codes.shape == (1, 8)
    assert codes.dtype == np.uint64
    assert [int(code) for code in codes[0]] == [define(turn(image, k)) for k in range(8)]
    assert phash(image[None])[0] == codes[0, 0]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_a_batch_hashes_as_its_images_do(seed, n):
    """A hash depends on nothing but its own image."""
    rng = np.random.default_rng(seed)
    batch = np.stack([make_symmetric(seed + k, int(rng.integers(0, 8))) for k in range(n)] + [make_constant(9)])
    codes = symmetries(batch)
    assert np.array_equal(codes[::-1], symmetries(batch[::-1]))
    assert all(np.array_equal(codes[k], symmetries(batch[k : k + 1])[0]) for k in range(len(batch)))


def test_a_batch_longer_than_a_chunk_is_hashed_whole():
    """More images than are transformed at once."""
    batch = np.random.default_rng(0).integers(0, 256, (2500, 32, 32), dtype=np.uint8)
    codes = phash(batch)
    assert all(int(codes[row]) == define(batch[row]) for row in range(0, 2500, 83))


def test_a_drawn_image_hashes_as_imagehash_hashes_the_image():
    """The whole way, from a color image to the hash, with imagehash's own reduction to 32x32."""
    image = Image.new("RGB", (300, 200), (220, 180, 160))
    ImageDraw.Draw(image).ellipse((90, 50, 190, 140), fill=(90, 50, 40))
    gray = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    assert to_imagehash(int(phash(gray[None])[0])) == imagehash.phash(image)


@pytest.mark.skipif(not FULLRES.is_dir(), reason="needs ../shared/fullres, a folder of real images")
def test_real_images_hash_as_imagehash_hashes_them():
    """The same for real images, in all orientations."""
    for path in sorted(FULLRES.rglob("*.jpg"))[::6]:
        with Image.open(path) as opened:
            opened.draft("RGB", (256, 256))
            image = opened.convert("L")
        gray = np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS))
        codes = symmetries(gray[None])[0]
        assert int(codes[0]) == int(str(imagehash.phash(image)), 16)
        assert [int(code) for code in codes] == [define(turn(gray, k)) for k in range(len(SYMMETRIES))]


@given(st.integers(0, 2**64 - 1))
def test_the_number_and_imagehashs_object_are_one(number):
    """The first bit of imagehash's matrix is the highest of the number; the text is its hexadecimal form."""
    code = to_imagehash(number)
    assert from_imagehash(code) == number
    assert str(code) == format(number, "016x")
    assert bool(code.hash[0, 0]) == (number >= 2**63)


@pytest.mark.parametrize(
    ("name", "function"), [("dhash", imagehash.dhash), ("ahash", imagehash.average_hash), ("whash", imagehash.whash)]
)
def test_the_other_hashes_are_imagehashs(name, function):
    """Difference, average and wavelet hash come from imagehash, unchanged."""
    image = Image.fromarray(make_symmetric(5, 0)).resize((80, 60))
    assert to_imagehash(imagehash_hash(name, image)) == function(image)


def test_an_unknown_hash_is_refused():
    """A name outside the closed set is a bug of the caller."""
    with pytest.raises(ValueError, match="phash2"):
        imagehash_hash("phash2", Image.new("L", (8, 8)))


@pytest.mark.parametrize(
    "batch", [np.zeros((32, 32), np.uint8), np.zeros((1, 32, 31), np.uint8), np.zeros((1, 32, 32))]
)
def test_other_shapes_and_types_are_refused(batch):
    """Only (n, 32, 32) uint8 is hashed."""
    with pytest.raises(ValueError, match="uint8"):
        phash(batch)


def test_no_images_have_no_hashes():
    """An empty batch gives an empty result."""
    assert phash(np.zeros((0, 32, 32), np.uint8)).shape == (0,)
    assert symmetries(np.zeros((0, 32, 32), np.uint8)).shape == (0, 8)


def test_a_hash_of_another_size_is_refused():
    """imagehash knows larger hashes; 64 bits are what is stored."""
    with pytest.raises(ValueError, match="256"):
        from_imagehash(imagehash.phash(Image.new("L", (64, 64)), hash_size=16))
