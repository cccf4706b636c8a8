"""Leaks across the split that a hash does not see, and origins that two sides share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.audit.leakage import find_leaks
from curation.audit.same_images import find_same_images
from curation.dataset.findings import AuditPart
from curation.hashing import phash
from curation.images import gray32
from tests.audit.builders import cut, jpeg, lesion, measure, sample
from tests.framed import cells


def others(count: int = 12, *, first: int = 100) -> list[dict[str, object]]:
    """Return unlike lesions, half of them in test."""
    return [
        sample(f"o{number}.jpg", jpeg(lesion(first + number)), split="test" if number % 2 else "train")
        for number in range(count)
    ]


def audit_leaks(folder: Path, samples: list[dict[str, object]]) -> AuditPart:
    """Return the findings and checks of the leaks among some samples."""
    measured = measure(folder, samples)
    return find_leaks(measured, find_same_images(measured))


def ids_of(folder: Path, samples: list[dict[str, object]]) -> dict[str, tuple[str, ...]]:
    """Return finding -> which, of the leaks among some samples."""
    return {finding.id: finding.which for finding in audit_leaks(folder, samples).findings}


@pytest.mark.parametrize(("top", "left"), [(0.0, 0.0), (0.1, 0.9), (1.0, 0.3)])
def test_a_ten_per_cent_crop_that_the_hash_misses_is_found(tmp_path, top, left):
    """A crop of 90 % of a side on the other side of the split is beyond any radius and is found."""
    whole = lesion(1)
    part = cut(whole, keep=0.9, top=top, left=left)
    hashes = [int(phash(gray32(Image.fromarray(each))[None])[0]) for each in (whole, part)]
    assert (hashes[0] ^ hashes[1]).bit_count() > 8
    twins = [sample("a.jpg", jpeg(whole)), sample("b.jpg", jpeg(part), split="test")]
    found = ids_of(tmp_path, [*twins, *others()])
    assert found == {"leakage-crop": ("src/melanoma/a.jpg = src/melanoma/b.jpg",)}


@pytest.mark.slow
def test_crops_of_real_images_are_found_and_nothing_else(tmp_path, fullres):
    """Of sixteen real lesions a part of 90 % lies in test: all sixteen are named, and no other pair."""
    random, samples, wanted = np.random.default_rng(3), [], set()
    files = sorted(fullres.glob("*/*/*.jpg"))
    assert len(files) > 40
    for number, file in enumerate(files):
        image = Image.open(file)
        image.draft("RGB", (512, 512))
        pixels = np.asarray(image.convert("RGB").resize((192, 192), Image.Resampling.BOX))
        split = "test" if number % 4 == 0 else "train"
        samples.append(sample(f"{file.stem}.jpg", jpeg(pixels), split=split, path=f"p{number}.jpg"))
        if split == "train" and len(wanted) < 16:
            part = cut(pixels, keep=0.9, top=random.uniform(), left=random.uniform())
            samples.append(sample(f"part-{file.stem}.jpg", jpeg(part), split="test", path=f"c{number}.jpg"))
            wanted.add(f"src/melanoma/{file.stem}.jpg = src/melanoma/part-{file.stem}.jpg")
    found = ids_of(tmp_path, samples)
    assert set(found) == {"leakage-crop"}
    assert set(found["leakage-crop"]) == wanted


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_a_turned_and_recoded_copy_is_found(tmp_path, turns, flip):
    """In any of eight orientations, at another quality and brightness."""
    whole = lesion(2)
    turned = np.rot90(np.fliplr(whole) if flip else whole, turns)
    darker = (turned.astype(np.float64) * 0.9).astype(np.uint8)
    twins = [sample("a.jpg", jpeg(whole)), sample("b.jpg", jpeg(darker, quality=60), split="test")]
    assert ids_of(tmp_path, [*twins, *others()])["leakage-look-alike"] == ("src/melanoma/a.jpg = src/melanoma/b.jpg",)


def test_a_turned_crop_is_found(tmp_path):
    """Crop and turn at once."""
    part = np.rot90(cut(lesion(3), keep=0.87, top=0.2, left=0.8))
    twins = [sample("a.jpg", jpeg(lesion(3))), sample("b.jpg", jpeg(part), split="test")]
    assert list(ids_of(tmp_path, [*twins, *others()])) == ["leakage-crop"]


def test_different_lesions_are_not_a_leak(tmp_path):
    """A dark spot on pale skin resembles the next in its coarse shape alone."""
    assert ids_of(tmp_path, others(40)) == {}


def test_images_of_one_round_field_of_view_are_not_a_leak(tmp_path):
    """The sharp black border that all images of one microscope share is not taken for their content."""
    rows, columns = np.mgrid[:192, :192]
    outside = (rows - 96) ** 2 + (columns - 96) ** 2 > 92**2
    samples = []
    for number in range(20):
        pixels = lesion(300 + number).copy()
        pixels[outside] = 4
        samples.append(sample(f"r{number}.jpg", jpeg(pixels), split="test" if number % 2 else "train"))
    assert ids_of(tmp_path, samples) == {}


def test_a_copy_on_the_same_side_is_not_a_leak(tmp_path):
    """What does not straddle the split cannot leak across it."""
    twins = [sample("a.jpg", jpeg(lesion(4))), sample("b.jpg", jpeg(cut(lesion(4), keep=0.9)))]
    assert ids_of(tmp_path, [*twins, *others()]) == {}


@pytest.mark.parametrize(
    ("column", "finding"),
    [("patient", "leakage-patient"), ("lesion", "leakage-lesion"), ("group_key", "leakage-group")],
)
def test_what_both_sides_share_is_named(tmp_path, column, finding):
    """One patient, lesion or group on two sides is an error, even for different images."""
    samples = others(6)
    samples[0][column] = samples[1][column] = "P1"
    samples[2][column] = samples[4][column] = "P2"
    assert ids_of(tmp_path, samples) == {finding: ("P1: src/melanoma/o0.jpg = src/melanoma/o1.jpg",)}


def test_one_image_number_in_two_sources_is_named(tmp_path):
    """A patch of a test image has the image's number in its name."""
    samples = others(6)
    samples[0]["path"], samples[1]["path"] = "patch_007_ISIC_0024306_2.tif", "melanoma/ISIC_0024306.jpg"
    assert list(ids_of(tmp_path, samples)) == ["leakage-source-image"]


def test_the_advice_for_one_origin_in_two_sources_is_what_can_be_done(tmp_path):
    """It was to name the origin in `group`, which joins nothing across sources."""
    samples = others(6)
    samples[0] |= {"path": "patch_007_ISIC_0024306_2.tif", "source": "patches"}
    samples[1]["path"] = "melanoma/ISIC_0024306.jpg"
    (found,) = audit_leaks(tmp_path / "two", samples).findings
    assert found.facts["several_sources"] == 1
    assert "Name it in the source's `group`" not in found.advice
    samples[0]["source"] = "src"
    (found,) = audit_leaks(tmp_path / "one", samples).findings
    assert found.facts["several_sources"] == 0
    assert found.advice.startswith("Name it in the source's `group`")


def test_neighbors_in_the_numbering_that_correlate_are_found(tmp_path):
    """Two shots of one moment: not the same image, but not independent either."""
    random = np.random.default_rng(5)
    first = lesion(6)
    second = np.clip(np.roll(first, 9, axis=1).astype(np.int64) + random.integers(-40, 41, first.shape), 0, 255)
    samples = others(6)
    samples += [
        sample("IMG_100.jpg", jpeg(first)),
        sample("IMG_101.jpg", jpeg(second.astype(np.uint8)), split="test"),
    ]
    assert "leakage-burst" in ids_of(tmp_path, samples)


def test_numbered_objects_that_are_framed_alike_are_no_shots_of_one_moment(tmp_path):
    """Where images far apart in the numbering correlate as neighbors do, the correlation of neighbors shows nothing."""
    drawn = [np.asarray(image) for image in cells(30)]
    samples = [
        sample(f"cell{number:04}.jpg", jpeg(pixels), split="test" if number % 3 == 0 else "train")
        for number, pixels in enumerate(drawn)
    ]
    assert "leakage-burst" not in ids_of(tmp_path, samples)


def test_one_split_has_nothing_to_leak(tmp_path):
    """Without a test there is nothing to compare, and the check reports it."""
    outcome = audit_leaks(tmp_path, [sample("a.jpg", jpeg(lesion(7)))])
    assert outcome.findings == ()
    assert [(each.id, each.result) for each in outcome.checks] == [
        ("near-duplicates-across-splits", "there is only one split")
    ]
