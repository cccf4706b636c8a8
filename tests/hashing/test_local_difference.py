"""The judgement that two images are the same image: by their largest local difference."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.dataset.recipe import Duplicates
from curation.hashing import INVERSE, SYMMETRIES, Fingerprints, concat, confirmed_pairs, local_difference, turn
from curation.images import decode, gray64_batch
from curation.stages.dedup import find_duplicates
from tests.builders import as_bytes, fingerprints_of, make_manifest, make_row, texture
from tests.framed import cells, gauges, signs

UPRIGHT = np.zeros(1, np.int64)
CELLS = Path(__file__).resolve().parents[2].parent / "shared" / "cells" / "images"


def detail(content: bytes) -> np.ndarray:
    """Return the (1, 64, 64) detail of an encoded image, as the probe computes it."""
    return gray64_batch(decode(content, scale="scaled", gray=True).pixels[None])


def difference(one: bytes, other: bytes, symmetry: int = 0) -> float:
    """Return the largest local difference of two files of at least 64 px."""
    return float(local_difference(detail(one), detail(other), np.array([symmetry]))[0])


def pairs_of(images: list[np.ndarray], *, radius: int = 8, **rules: float) -> tuple[int, int]:
    """Return how many pairs of images the build confirms and how many only the close look rejects."""
    prints = fingerprints_of(images)
    found = confirmed_pairs(
        prints, radius=radius, correlation=0.98, symmetries=True, eligible=np.ones(len(images), np.bool_), **rules
    )
    return len(found), found.rejected


def muted(seed: int) -> np.ndarray:
    """Return a drawn image whose colors are as pale as those of most photographs."""
    color = texture(seed, width=360, height=270).astype(np.float64)
    return np.round(40 + 0.6 * (0.3 * color + 0.7 * color.mean(axis=2, keepdims=True))).astype(np.uint8)


PICTURE = muted(1)


def edited(change: str) -> bytes:
    """Return the image with nothing changed but encoding, size, exposure or a small crop."""
    image, values = Image.fromarray(PICTURE), PICTURE.astype(np.float64)
    width, height = image.size
    if change.startswith("quality"):
        return as_bytes(PICTURE, quality=int(change.split()[1]))
    if change.startswith("size"):
        share = float(change.split()[1])
        image = image.resize((round(width * share), round(height * share)), Image.Resampling.BICUBIC)
    elif change == "brighter":
        image = Image.fromarray((values * 1.2 + 10).clip(0, 255).astype(np.uint8))
    elif change == "darker":
        image = Image.fromarray((values * 0.7).astype(np.uint8))
    elif change.startswith("gamma"):
        image = Image.fromarray((255 * (values / 255) ** float(change.split()[1])).astype(np.uint8))
    elif change == "crop":
        image = image.crop((4, 3, width - 7, height - 2))
    return as_bytes(np.asarray(image), quality=90)


@pytest.mark.parametrize(
    "change",
    ["quality 40", "quality 60", "size 0.5", "size 0.3", "size 1.5", "brighter", "darker", "gamma 0.8", "gamma 1.3",
     "crop"],
)  # fmt: skip
def test_encoding_size_exposure_and_a_small_crop_leave_one_image(change: str) -> None:
    """The calibrated limit is above what these do."""
    assert difference(as_bytes(PICTURE, "PNG"), edited(change)) <= 1


@pytest.mark.parametrize("symmetry", range(len(SYMMETRIES)))
def test_the_other_image_is_turned(symmetry: int) -> None:
    """An image and its turned copy do not differ at all; another orientation is another image."""
    turned = as_bytes(np.ascontiguousarray(turn(PICTURE, symmetry)), "PNG")
    assert difference(as_bytes(PICTURE, "PNG"), turned, INVERSE[symmetry]) <= 1
    assert difference(as_bytes(PICTURE, "PNG"), turned, INVERSE[symmetry ^ 3]) > 1


def test_a_mark_in_one_place_makes_two_images() -> None:
    """However high the correlation of the whole: a spot of a thousandth of the area is enough, either way around."""
    marked = PICTURE.copy()
    marked[100:112, 200:208] = 255 - marked[100:112, 200:208]
    one, other = as_bytes(PICTURE, "PNG"), as_bytes(marked, "PNG")
    assert difference(one, other) > 1
    assert difference(other, one) > 1
    assert difference(one, as_bytes(marked, quality=40)) > 1


def test_the_value_of_a_pair_depends_on_no_other_pair() -> None:
    """Batches, their order and the other pairs in them make no difference, to the last bit."""
    details = np.concatenate([detail(as_bytes(each, "PNG")) for each in gauges(6)])
    i, j = np.triu_indices(len(details), 1)
    k = np.zeros(len(i), np.int64)
    together = local_difference(details[i], details[j], k, complete=True)
    alone = [local_difference(details[[a]], details[[b]], UPRIGHT, complete=True)[0] for a, b in zip(i, j, strict=True)]
    assert together.tolist() == alone


def test_small_images_are_compared_at_their_own_size() -> None:
    """The cells between their pixels hold nothing; images of one pixel and constant ones are compared too."""
    small = texture(4, width=40, height=40)
    other = small.copy()
    other[18:22, 18:22] = 255 - other[18:22, 18:22]
    prints = fingerprints_of([small, small, other])
    assert prints.sides is not None
    assert prints.sides.tolist() == [40, 40, 40]
    found = prints.local_difference(np.array([0, 0]), np.array([1, 2]), np.zeros(2, np.int64))
    assert found[0] == 0
    assert found[1] > 1
    tiny = np.full((1, 64, 64), 7, np.uint8)
    for side in (1, 2, 3, 15):
        assert local_difference(tiny, tiny, UPRIGHT, sides=np.array([side]))[0] == 0


def test_a_gauge_at_another_reading_is_another_image() -> None:
    """Every pair of readings stays apart, though most of their thumbnails correlate."""
    confirmed, rejected = pairs_of(list(gauges()))
    assert confirmed == 0
    assert rejected > 10


def test_a_cell_with_another_crack_is_another_cell() -> None:
    """Also the cell without one."""
    assert pairs_of(list(cells()))[0] == 0
    confirmed, rejected = pairs_of(list(cells()), radius=16)
    assert confirmed == 0
    assert rejected > 50


def test_different_signs_that_are_framed_alike_are_never_the_same() -> None:
    """Two shots of one sign may be; a digit makes another sign."""
    drawn = list(signs())
    prints = fingerprints_of([image for _, image in drawn])
    found = confirmed_pairs(prints, radius=16, correlation=0.9, symmetries=True, eligible=np.ones(len(drawn), np.bool_))
    assert found.rejected > 50
    assert all(drawn[i][0] == drawn[j][0] for i, j in zip(found.i, found.j, strict=True))


@pytest.mark.skipif(not CELLS.is_dir(), reason="the real cells are not part of the project")
@pytest.mark.slow
def test_no_real_cell_is_another_one() -> None:
    """Each of the 163 is another cell: 44 of them were dropped by the correlation of thumbnails alone."""
    images = [np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")) for path in sorted(CELLS.iterdir())]
    confirmed, rejected = pairs_of(images)
    assert confirmed == 0
    assert rejected > 20


def test_a_smaller_tolerance_separates_more_and_a_larger_one_less() -> None:
    """The key of the recipe turns in the direction that its text names."""
    images = [np.asarray(Image.open(io.BytesIO(edited(change)))) for change in ("quality 95", "quality 40", "brighter")]
    assert pairs_of(images, tolerance=1.0)[0] == 3
    assert pairs_of(images, tolerance=0.01)[0] == 0
    hairlines = list(cells(12, contrast=20))
    assert pairs_of(hairlines, radius=16, tolerance=4.0)[0] > pairs_of(hairlines, radius=16, tolerance=0.2)[0]


def test_the_borderline_pairs_are_counted_and_the_nearest_are_listed() -> None:
    """Groups and disputes come from confirmed pairs alone; what is nearly the same is told with its difference."""
    images = [*cells(16), np.asarray(Image.open(io.BytesIO(as_bytes(next(cells(1)), quality=40))))]
    rows = [make_row(f"{number:02}", label="m" if number % 2 else "h") for number in range(len(images))]
    found = find_duplicates(make_manifest(rows), fingerprints_of(images), Duplicates(radius=16))
    assert found.manifest.rows["excluded_by"].drop_nulls().to_list() == []
    assert not found.manifest.rows["disputed"].any()
    border = found.borderline
    assert border.differing >= 10
    assert not border.many or border.count >= 100
    outside = [pair.difference for pair in border.pairs if not pair.same]
    assert outside == sorted(outside)
    assert min(outside) > 1
    assert border.looser == min(outside)
    inside = [pair for pair in border.pairs if pair.same]
    assert all(0.5 < pair.difference <= 1 for pair in inside)


def test_fingerprints_are_joined_with_their_details() -> None:
    """Details and sides go with every row; a part without them leaves none."""
    prints = fingerprints_of([texture(1), texture(2), texture(3)])
    whole = concat([prints.take(np.array([0])), prints.take(np.array([2, 1]))])
    assert whole.details is not None
    assert prints.details is not None
    assert np.array_equal(whole.details, prints.details[[0, 2, 1]])
    bare = Fingerprints(prints.symmetries, prints.thumbnails)
    assert concat([prints, bare]).details is None
    with pytest.raises(ValueError, match="details"):
        Fingerprints(prints.symmetries, prints.thumbnails, prints.details[:2])
    with pytest.raises(ValueError, match="sides"):
        Fingerprints(prints.symmetries, prints.thumbnails, prints.details, prints.sides[:2])
