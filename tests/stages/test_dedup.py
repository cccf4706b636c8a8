"""Groups, representatives and disputes over images that are drawn here."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Duplicates
from curation.hashing import Fingerprints, correlation
from curation.stages.dedup import dedup
from tests.builders import act, as_bytes, fates, fingerprints_of, make_manifest, make_row, out, sha_of, texture

Picture = NDArray[np.uint8]


def reencoded(picture: Picture, quality: int = 60) -> Picture:
    """Return what a JPEG of that quality gives back."""
    return np.asarray(Image.open(io.BytesIO(as_bytes(picture, quality=quality))).convert("RGB"))


def run(rows: Sequence[dict[str, object]], pictures: Sequence[Picture], **rules: object) -> Manifest:
    """Return the rows, which are named in the order of their ids, after dedup."""
    return run_with(rows, fingerprints_of(pictures), **rules)


def run_with(rows: Sequence[dict[str, object]], prints: Fingerprints, **rules: object) -> Manifest:
    """Return the rows after dedup, for images of these fingerprints."""
    rows = [{**row, "phash": int(prints.symmetries[n, 0])} for n, row in enumerate(rows)]
    keywords = {key: rules.pop(key) for key in ("apart", "preferred", "protected") if key in rules}
    return dedup(make_manifest(rows), prints, Duplicates(**rules), **keywords)  # type: ignore[arg-type]  # a test names any


def reasons(manifest: Manifest) -> list[tuple[str, str | None] | None]:
    """Return reason and representative of each row that dedup excluded, None for the others."""
    return [fate[1:] if fate else None for fate in fates(manifest.rows)]


def test_equal_bytes_are_one_image() -> None:
    """The larger id goes, and reports which one it is a copy of."""
    picture = texture(1)
    after = run([make_row("a", label="m"), make_row("b", label="m", sha256=sha_of("a"))], [picture, picture])
    assert reasons(after) == [None, ("exact-duplicate", "src/a")]
    assert after.rows["group"].n_unique() == 1


def test_equal_pixels_in_other_bytes_are_one_image() -> None:
    """A lossless copy is found by its pixels, flat or not."""
    flat = np.full((64, 64, 3), 90, np.uint8)
    rows = [make_row(name, label="m", pixel_sha256="p", flat=True) for name in "ab"]
    after = run(rows, [flat, flat])
    kept = min(rows, key=lambda row: row["sha256"])["id"]
    assert sorted(filter(None, reasons(after))) == [("same-pixels", kept)]


def test_flat_images_are_not_compared_by_hash() -> None:
    """Two blank images of different pixels are two images, though their hashes agree."""
    pictures = [np.full((64, 64, 3), level, np.uint8) for level in (90, 91)]
    rows = [make_row(name, label="m", flat=True, pixel_sha256=name) for name in "ab"]
    assert reasons(run(rows, pictures)) == [None, None]


@pytest.mark.parametrize("turns", range(8))
def test_a_turned_and_reencoded_duplicate_is_found(turns: int) -> None:
    """In any of the eight orientations; the reason says by how many bits and how it is turned."""
    picture = texture(3)
    twin = np.rot90(picture, turns % 4)
    twin = reencoded(np.ascontiguousarray(twin[:, ::-1] if turns > 3 else twin))
    after = run([make_row("a", label="m", size_bytes=9000), make_row("b", label="m")], [picture, twin])
    assert reasons(after) == [None, ("near-duplicate", "src/a")]
    assert after.rows["correlation"][1] > 0.98


def test_without_symmetries_a_turned_duplicate_is_another_image() -> None:
    """The recipe may say so."""
    picture = texture(3)
    after = run([make_row("a", label="m"), make_row("b", label="m")], [picture, np.rot90(picture)], symmetries=False)
    assert reasons(after) == [None, None]


def test_a_hash_only_proposes() -> None:
    """Images within the radius whose thumbnails differ stay apart."""
    after = run(
        [make_row("a", label="m"), make_row("b", label="m")],
        [texture(3), reencoded(texture(3), quality=30)],
        correlation=1.0,
    )
    assert reasons(after) == [None, None]


def blend(first: Picture, second: Picture, share: float) -> Picture:
    """Return a mixture of two images."""
    return np.round(first * (1 - share) + second * share).astype(np.uint8)


def test_a_chain_shares_a_group_but_nobody_is_excluded_for_a_stranger() -> None:
    """a~b~c~d...: all lie on one side of a split, and each one that goes resembles the one that stays for it."""
    steps = 9
    pictures = [blend(texture(5), texture(6), n / 64) for n in range(steps)]
    rows = [make_row(str(n), label="m", size_bytes=9000 - n) for n in range(steps)]
    after = run(rows, pictures, radius=8, correlation=0.98)
    prints = fingerprints_of(pictures)
    assert after.rows["group"].n_unique() == 1
    place = {name: n for n, name in enumerate(after.rows["id"])}
    gone = after.rows.filter(after.rows["excluded_by"].is_not_null())
    assert 0 < gone.height < steps - 1
    for name, representative in gone.select("id", "representative").iter_rows():
        one, other = prints.thumbnails[[place[representative]]], prints.thumbnails[[place[name]]]
        assert correlation(one, other, np.zeros(1, np.int64))[0] >= 0.98
        ends = np.array([place[representative]]), np.array([place[name]])
        assert prints.local_difference(*ends, np.zeros(1, np.int64))[0] <= 1
        assert after.rows["excluded_by"][place[representative]] is None


def test_one_image_under_two_labels_is_disputed() -> None:
    """A context row bears witness, goes first, and the class keeps its image."""
    picture = texture(7)
    context = make_row("a", label=None, source_label="nevus", sha256=sha_of("b"))
    after = run([context, make_row("b", label="m")], [picture, picture])
    assert reasons(after) == [("exact-duplicate", "src/b"), None]
    assert after.rows["disputed"].to_list() == [True, True]
    assert after.rows["claims"][1].to_list() == ["context:nevus", "m"]


def test_a_duplicate_with_other_bytes_disputes_too_also_when_it_is_out() -> None:
    """Bytes or pixels make no difference, and a row that is excluded already bears witness."""
    picture = texture(7)
    witness = make_row("a", label="h", **out("quality", "blurred"))
    after = run([witness, make_row("b", label="m")], [reencoded(picture), picture])
    assert reasons(after) == [("blurred", None), None]
    assert after.rows["disputed"].to_list() == [True, True]


def test_empty_files_under_two_labels_are_no_image_under_two_labels() -> None:
    """The same bytes that show nothing dispute nothing."""
    gone = {"sha256": sha_of("empty"), "width": None, "phash": None, "flat": None, **out("probe", "empty-file")}
    rows = [make_row("a", label="m", **gone), make_row("b", label="h", **gone)]
    nothing = Fingerprints(np.zeros((2, 8), np.uint64), np.zeros((2, 32, 32), np.uint8))
    after = dedup(make_manifest(rows), nothing, Duplicates())
    assert after.rows["disputed"].to_list() == [False, False]
    assert after.rows["claims"].null_count() == 2


def test_a_relabel_ends_the_dispute_of_its_rows() -> None:
    """A person's word settles it, whatever a duplicate claims."""
    picture = texture(7)
    rows = [make_row("a", label="h"), make_row("b", label="m", decision=[act("relabel", "anna", label="m")])]
    after = run(rows, [reencoded(picture), picture])
    assert after.rows["disputed"].to_list() == [True, False]


def test_the_best_one_represents() -> None:
    """Preferred, of a class, in test before, on the test side, the larger, the less compressed: in this order."""
    picture = texture(8)

    def winner(first: dict[str, object], second: dict[str, object], **rules: object) -> str:
        rows = [make_row("a", **{"label": "m", **first}), make_row("b", **{"label": "m", **second})]
        after = run(rows, [picture, reencoded(picture)], **rules)
        return str(after.rows.filter(after.rows["excluded_by"].is_null())["path"].item())

    assert winner({"width": 500}, {}, preferred={sha_of("b"): 1}) == "b"
    assert winner({"label": None, "source_label": "nevus", "width": 500}, {}) == "b"
    assert winner({"width": 500}, {}, protected=frozenset({sha_of("b")})) == "b"
    assert winner({"width": 500}, {"source_split": "test"}) == "b"
    assert winner({}, {"width": 101}) == "b"
    assert winner({}, {"size_bytes": 1001}) == "b"
    assert winner({"size_bytes": 1001}, {}) == "a"


def test_not_duplicates_is_obeyed_for_that_pair_alone() -> None:
    """A veto keeps both; a third duplicate of one of them still goes."""
    picture = texture(9)
    pair = (min(sha_of("a"), sha_of("b")), max(sha_of("a"), sha_of("b")))
    rows = [make_row(name, label="m", size_bytes=size) for name, size in (("a", 9000), ("b", 8000), ("c", 100))]
    after = run(rows, [picture, picture.copy(), reencoded(picture)], apart=frozenset({pair}))
    assert reasons(after) == [None, None, ("near-duplicate", "src/a")]


def test_near_duplicates_can_be_left_in_and_still_share_a_group() -> None:
    """Where the recipe or a reviewer keeps them they cannot leak."""
    picture = texture(9)
    rows = [make_row("a", label="m"), make_row("b", label="m")]
    after = run(rows, [picture, reencoded(picture)], near=False)
    assert reasons(after) == [None, None]
    assert after.rows["group"].n_unique() == 1
    spared = run(
        [rows[0], {**rows[1], "size_bytes": 1, "decision": [act("keep", "anna")]}], [picture, reencoded(picture)]
    )
    assert reasons(spared) == [None, None]


def test_equal_group_keys_join_groups_and_dispute_nothing() -> None:
    """Two photographs of one lesion belong together; their labels are not disputed."""
    rows = [
        make_row("a", label="m", group_key="src:1"),
        make_row("b", label="h", group_key="src:1"),
        make_row("c", label="m"),
    ]
    after = run(rows, [texture(n) for n in range(3)])
    assert after.rows["group"].to_list() == [min(sha_of("a"), sha_of("b"))] * 2 + [sha_of("c")]
    assert after.rows["disputed"].to_list() == [False] * 3


def test_a_hundred_blank_images_are_a_star_of_edges() -> None:
    """Clumps do not become every pair of their members."""
    flat = np.full((64, 64, 3), 90, np.uint8)
    rows = [make_row(f"{n:03}", label="m", flat=True, pixel_sha256="p") for n in range(100)]
    after = run(rows, [flat] * 100)
    assert after.rows["excluded_by"].null_count() == 1
    assert sum(map(len, filter(lambda each: each is not None, after.rows["lookalikes"].to_list()))) == 2 * 99


CAST = [texture(n) for n in range(3)]
CAST += [reencoded(picture) for picture in CAST] + [np.ascontiguousarray(np.rot90(CAST[0]))]
CAST_PRINTS = fingerprints_of(CAST)


@pytest.mark.slow
@given(
    chosen=st.lists(
        st.tuples(st.integers(0, len(CAST) - 1), st.sampled_from(["m", "h", None])), min_size=1, max_size=9
    ),
    random=st.randoms(use_true_random=False),
)
def test_names_and_their_order_decide_nothing(chosen: list[tuple[int, str | None]], random: object) -> None:
    """Renamed and permuted files give the same images the same fate, group and dispute."""

    def fates(names: list[str]) -> set[tuple[object, ...]]:
        cast = sorted(zip(names, range(len(chosen)), strict=True))
        rows = [
            make_row(
                name, sha256=sha_of(n), label=chosen[n][1], source_label=chosen[n][1] or "nevus", size_bytes=1000 + n
            )
            for name, n in cast
        ]
        which = [chosen[n][0] for _, n in cast]
        after = run_with(rows, Fingerprints(CAST_PRINTS.symmetries[which], CAST_PRINTS.thumbnails[which])).rows
        out = after["excluded_by"].is_not_null()
        return set(zip(after["sha256"], out, after["group"], after["disputed"], strict=True))

    names = [f"{n:02}" for n in range(len(chosen))]
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis hands over a random.Random
    assert fates(names) == fates(shuffled)


def test_rows_without_pixels_are_no_duplicates() -> None:
    """Two truncated files do not resemble each other, though both have no thumbnail."""
    zeros = Fingerprints(np.zeros((2, 8), np.uint64), np.zeros((2, 32, 32), np.uint8))
    rows = [make_row(name, phash=None, flat=None, **out("probe", "truncated")) for name in "ab"]
    after = dedup(make_manifest(rows), zeros, Duplicates())
    assert after.rows["group"].n_unique() == 2
    assert after.rows["lookalikes"].null_count() == 2


def test_pages_of_one_file_are_not_copies_but_share_a_group() -> None:
    """A stack of different images in one TIFF stays a stack, on one side of the split."""
    rows = [make_row("a", label="m"), make_row("a#2", label="m", sha256=sha_of("a"), page=2)]
    after = run(rows, [texture(1), texture(2)])
    assert reasons(after) == [None, None]
    assert after.rows["group"].to_list() == [sha_of("a")] * 2
