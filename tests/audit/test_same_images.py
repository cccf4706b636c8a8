"""What is the same image, and what only resembles it: no hash and no part of the build takes part here."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from curation.audit import same_images
from curation.audit.candidate_index import propose
from curation.audit.measurements import Measured
from curation.audit.same_images import SameImages, find_same_images
from curation.engines import Local
from curation.images.orientation import turn
from tests.audit import framed
from tests.audit.builders import cut, jpeg, lesion, measure, sample
from tests.conftest import SHARED

Drawn = NDArray[np.uint8]


def alternating(images: Sequence[Drawn]) -> list[dict[str, object]]:
    """Return samples on two sides of the split, with two labels, in all four combinations."""
    return [
        sample(
            f"{number:03}.jpg",
            jpeg(image),
            split="test" if number % 2 else "train",
            label="melanoma" if number // 2 % 2 else "healthy",
        )
        for number, image in enumerate(images)
    ]


def ids_of(measured: Measured, same: SameImages) -> set[tuple[str, ...]]:
    """Return the pairs that were found, as names of files."""
    names = [str(name).rpartition("/")[2] for name in measured.readable["id"]]
    return {tuple(sorted((names[match.one], names[match.other]))) for match in same.matches}


@pytest.mark.parametrize("draw", [framed.gauges, framed.signs, framed.cells])
def test_objects_that_are_framed_alike_are_different_images(tmp_path, draw: Callable[[int], list[Drawn]]):
    """A needle, a digit or a crack in one place makes two images, however well the rest agrees."""
    measured = measure(tmp_path, alternating(draw(44)))
    assert find_same_images(measured).matches == ()


@pytest.mark.skipif(not (SHARED / "cells").is_dir(), reason="the shared images of solar cells are missing")
@pytest.mark.slow
def test_real_cells_that_are_framed_alike_are_different_images(tmp_path):
    """Each of 163 files is another solar cell; they were reported as twins, leaks and crops."""
    files = sorted((SHARED / "cells" / "images").glob("*.png"))
    assert len(files) == 163
    small = [np.asarray(Image.open(file).convert("RGB").resize((128, 128), Image.Resampling.BOX)) for file in files]
    for shift in range(2):
        measured = measure(tmp_path / str(shift), alternating([*small[shift:], *small[:shift]]))
        assert find_same_images(measured).matches == ()


@pytest.mark.parametrize("draw", [framed.signs, framed.cells])
def test_a_copy_among_objects_that_are_framed_alike_is_found(tmp_path, draw: Callable[[int], list[Drawn]]):
    """Encoded again, darker, smaller or in another orientation: the copy is found, and nothing else."""
    images = draw(24)
    smaller = Image.fromarray(images[3]).resize((120, 120), Image.Resampling.LANCZOS)
    copies = {
        0: jpeg(images[0], quality=60),
        1: jpeg((images[1] * 0.8 + 10).astype(np.uint8)),
        2: jpeg(turn(images[2], 5)),
        3: jpeg(np.asarray(smaller)),
    }
    samples = [sample(f"{number:03}.jpg", jpeg(image)) for number, image in enumerate(images)]
    samples += [sample(f"copy-{number}.jpg", content, split="test") for number, content in copies.items()]
    measured = measure(tmp_path, samples)
    assert ids_of(measured, find_same_images(measured)) == {(f"{each:03}.jpg", f"copy-{each}.jpg") for each in copies}


def test_a_small_mark_makes_two_images(tmp_path):
    """A mark of a fiftieth of the side on an otherwise equal image is seen."""
    image = lesion(1, side=160)
    marked = image.copy()
    marked[70:76, 20:26] = 40
    pair = [sample("a.jpg", jpeg(image)), sample("b.jpg", jpeg(marked), split="test")]
    assert find_same_images(measure(tmp_path / "marked", pair)).matches == ()
    pair[1] = sample("b.jpg", jpeg(image, quality=70), split="test")
    assert len(find_same_images(measure(tmp_path / "equal", pair)).matches) == 1


def test_a_smaller_tolerance_is_stricter(tmp_path):
    """The recipe's factor turns a pair that just passes into one that does not, and back."""
    pair = [sample("a.jpg", jpeg(lesion(2))), sample("b.jpg", jpeg(lesion(2), quality=60), split="test")]
    measured = measure(tmp_path, pair)
    (match,) = find_same_images(measured).matches
    assert 0.05 < match.difference < 1
    assert find_same_images(measured, tolerance=match.difference * 0.99).matches == ()
    assert find_same_images(measured, tolerance=match.difference * 1.01).matches == (match,)


def test_the_findings_do_not_depend_on_the_workers(tmp_path):
    """In this process or in two others, the same pairs are found with the same figures."""
    samples = [
        sample(f"{number}.jpg", jpeg(lesion(number)), split="test" if number % 2 else "train") for number in range(12)
    ]
    samples += [sample("part.jpg", jpeg(cut(lesion(0), keep=0.9)), split="test")]
    measured = measure(tmp_path, samples)
    alone, together = find_same_images(measured), find_same_images(measured, engine=Local(workers=2))
    assert alone.matches == together.matches
    assert len(alone.matches) == 1


@pytest.mark.slow
def test_the_index_proposes_what_all_pairs_would():
    """Of the crops and copies that a comparison of all pairs proposes, the index proposes 99 of 100."""
    images = [small_gray(lesion(number, side=96)) for number in range(500)]
    random = np.random.default_rng(4)
    planted = random.choice(len(images), 120, replace=False)
    parts = [
        turn(small_gray(cut(lesion(int(number), side=96), keep=random.uniform(0.8, 1), top=0.3, left=0.8)), place % 8)
        for place, number in enumerate(planted)
    ]
    gray = np.stack([*images, *parts])
    split = np.repeat([0, 1], [len(images), len(parts)])
    label = np.zeros(len(gray), np.int64)
    wanted = {(int(number), len(images) + place) for place, number in enumerate(planted)}
    found = {}
    for leaf in (64, 1 << 30):
        pairs = propose(gray, split, label, leaf=leaf)
        ends = np.sort(np.stack([pairs.one, pairs.other], axis=1), axis=1)
        found[leaf] = wanted & {(int(low), int(high)) for low, high in ends}
    assert len(found[1 << 30]) >= 0.99 * len(wanted)
    assert len(found[64] & found[1 << 30]) >= 0.99 * len(found[1 << 30])


def small_gray(pixels: Drawn) -> Drawn:
    """Return the 64x64 gray image that the audit keeps of an image."""
    return np.asarray(Image.fromarray(pixels).convert("L").resize((64, 64), Image.Resampling.BOX))


def test_beyond_a_bound_a_sample_is_compared_and_the_rest_estimated(tmp_path, monkeypatch):
    """The finding then states how many pairs there are, with an interval that holds the true number."""
    samples = []
    for number in range(40):
        image = lesion(number, side=96)
        samples += [
            sample(f"a{number:02}.jpg", jpeg(image)),
            sample(f"b{number:02}.jpg", jpeg(image, quality=80), split="test"),
        ]
    measured = measure(tmp_path, samples)
    every = find_same_images(measured)
    assert every.estimate(every.matches) is None
    assert len(every.matches) == 40
    monkeypatch.setattr(same_images, "MAX_COMPARED", 30)
    some = find_same_images(measured)
    estimate = some.estimate(some.matches)
    assert (some.compared, some.sampled) == (30, 15)
    assert len(some.matches) <= 30
    assert estimate is not None
    assert estimate.low <= 40 <= estimate.high
