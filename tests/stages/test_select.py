"""Exact counts or ratios, no group on two sides, no image moved out of test."""

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dataset.manifest import SPLITS, Manifest
from curation.dataset.recipe import Recipe
from curation.errors import CurationError, ErrorCode
from curation.stages.select import ShortCountError, select
from tests.builders import fates, make_manifest, make_recipe, make_row, out, sha_of
from tests.stages.selection_by_hand import select_by_hand

Rows = list[dict[str, Any]]


def make_sample(name: str, label: str | None, *, group: str | None = None, **cells: object) -> dict[str, Any]:
    """Return a row as it stands after dedup: undisputed, a group of its own unless one is named."""
    return make_row(name, label=label, group=sha_of(group or name), disputed=False, claims=None, **cells)


def make_pool(each: int, *, group_size: int = 1, labels: tuple[str, ...] = ("healthy", "melanoma")) -> Rows:
    """Return ``each`` rows a class in groups of a size."""
    return [
        make_sample(f"{label}{n}", label, group=f"{label}/{n // group_size}") for label in labels for n in range(each)
    ]


def counts(manifest: Manifest) -> Counter[tuple[str, str]]:
    """Return (label, split) -> kept rows."""
    return Counter(manifest.kept.select("label", "split").iter_rows())


def splits(manifest: Manifest) -> dict[str, str]:
    """Return path -> split of the kept rows."""
    return dict(manifest.kept.select("path", "split").iter_rows())


def as_previous(manifest: Manifest) -> pl.DataFrame:
    """Return the chosen split as the next build will read it."""
    return manifest.kept.select("sha256", "page", "split")


def ratios(*, balance: bool = False, **shares: float) -> Recipe:
    """Return a recipe with ratios."""
    return make_recipe(selection={"ratios": shares, "balance": balance})


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(1, 5), min_size=6, max_size=20),
    train=st.integers(1, 12),
    test=st.integers(0, 5),
    seed=st.integers(0, 5),
)
def test_counts_come_out_exactly_or_the_error_names_them(sizes: list[int], train: int, test: int, seed: int) -> None:
    """Whatever the groups, every class gets its counts and no group lies on two sides; or the shortage is named."""
    rows = [
        make_sample(f"{label}{group}-{n}", label, group=f"{label}{group}")
        for label in ("healthy", "melanoma")
        for group, size in enumerate(sizes)
        for n in range(size)
    ]
    recipe = make_recipe(selection={"counts": {"train": train, "test": test}, "seed": seed})
    try:
        after = select(make_manifest(rows), recipe)
    except ShortCountError as fault:
        # Groups are whole on a side, so at most one group (4 samples beyond the one needed) is lost to the test.
        assert train + test + max(sizes) > sum(sizes)
        after = fault.manifest
    else:
        for label in ("healthy", "melanoma"):
            assert counts(after)[label, "train"] == train
            assert counts(after)[label, "test"] == test
    sides = after.kept.group_by("group").agg(pl.col("split").n_unique())["split"]
    assert sides.max() in {None, 1}
    assert len(after.kept) + len(after.rejected) == len(rows)
    assert after.kept["split"].null_count() == 0


@pytest.mark.slow
@given(random=st.randoms(use_true_random=False), group_size=st.integers(1, 4))
def test_names_and_order_decide_nothing(random: object, group_size: int) -> None:
    """The same images under other names, in another order, are split alike."""
    rows = make_pool(12, group_size=group_size)
    names = [str(n) for n in range(len(rows))]
    random.shuffle(names)  # type: ignore[attr-defined]  # Hypothesis hands over a random.Random
    renamed = [{**row, "id": f"other/{name}", "path": name} for row, name in zip(rows, names, strict=True)]

    def by_sha(after: Manifest) -> dict[str, str | None]:
        return dict(after.rows.select("sha256", "split").iter_rows())

    recipe = make_recipe()
    assert by_sha(select(make_manifest(rows), recipe)) == by_sha(select(make_manifest(renamed), recipe))


@pytest.mark.slow
@given(added=st.integers(0, 30), group_size=st.integers(1, 3), join=st.booleans())
def test_growth_moves_nobody_out_of_test(added: int, group_size: int, join: bool) -> None:
    """With the previous version new images, also new members of old groups, leave the test split what it was."""
    old, recipe = make_pool(12, group_size=group_size), make_recipe()
    before = select(make_manifest(old), recipe)
    new = [make_sample(f"new{n}", "melanoma", group=f"melanoma/{n}" if join else None) for n in range(added)]
    after = select(make_manifest(old + new), recipe, previous=as_previous(before))
    tested = {path for path, split in splits(before).items() if split == "test"}
    assert {path for path, split in splits(after).items() if split == "test"} == tested


def test_growth_without_previous_moves_few() -> None:
    """The order is a keyed hash, so fifty new images move far fewer than a shuffle would."""
    recipe = ratios(train=0.8, test=0.2)
    old = make_pool(250)
    before = splits(select(make_manifest(old), recipe))
    new = [make_sample(f"new{n}", "melanoma") for n in range(50)]
    after = splits(select(make_manifest(old + new), recipe))
    moved = [path for path, split in before.items() if after[path] != split]
    assert len(moved) <= 20


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=25),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25)]),
)
def test_ratios_come_out_within_one_group(sizes: list[int], shares: tuple[float, float, float]) -> None:
    """Held-out splits miss their share by less than the largest group."""
    rows = [
        make_sample(f"{group}-{n}", "melanoma", group=str(group))
        for group, size in enumerate(sizes)
        for n in range(size)
    ]
    shares_of = dict(zip(("train", "val", "test"), shares, strict=True))
    recipe = make_recipe(labels=WIDE, selection={"ratios": shares_of})
    try:
        after = select(make_manifest(rows), recipe)
    except ShortCountError:
        # A split that would come out empty is refused: too few images for the shares, or too few groups.
        assert min(shares) * sum(sizes) < 1 or len(sizes) < 3 * max(sizes)
        return
    assert after.kept.height == sum(sizes)
    for split, share in zip(("val", "test"), shares[1:], strict=True):
        got = counts(after)["melanoma", split]
        assert abs(got - share * sum(sizes)) < max(sizes) + 1


@pytest.mark.parametrize("policy", ["reserve", "exclude"])
def test_ratios_that_fall_short_are_answered_for_ratios(policy: str) -> None:
    """The hint was "lower what selection asks for", which a share does not have, and mentioned a missing reserve."""
    doubt = {**make_sample("doubt", "healthy"), "disputed": True, "claims": ["healthy", "melanoma"]}
    rows = [*make_pool(4), doubt]
    shares = {"ratios": {"train": 0.9, "val": 0.05, "test": 0.05}}
    with pytest.raises(ShortCountError) as caught:
        select(make_manifest(rows), make_recipe(selection=shares, conflicts={"policy": policy}))
    hint = caught.value.hint or ""
    assert "selection.ratios" in hint
    assert "review" in hint
    assert "lower what" not in hint
    assert "conflicts.policy" not in hint


def test_balance_cuts_every_class_to_the_smallest() -> None:
    """With ratios and balance no class is larger than another."""
    rows = make_pool(40, labels=("healthy",)) + make_pool(20, labels=("melanoma",))
    after = select(make_manifest(rows), ratios(balance=True, train=0.8, val=0.1, test=0.1))
    assert counts(after) == {
        (label, split): n for label in ("healthy", "melanoma") for split, n in (("train", 16), ("val", 2), ("test", 2))
    }


@pytest.mark.slow
@given(gone=st.sets(st.integers(0, 29), max_size=12), group_size=st.integers(1, 3), shares=st.sampled_from([0.1, 0.2]))
def test_balance_outlives_what_people_take_out(gone: set[int], group_size: int, shares: float) -> None:
    """After exclusions every class is as large as the others in each split, no image left test, nothing moves twice.

    It was one short in train: the smaller class had more in the previous test than its share, and lost it as surplus.
    """
    recipe = ratios(balance=True, train=1 - 2 * shares, val=shares, test=shares)
    rows = make_pool(36, group_size=group_size, labels=("healthy",))
    rows += make_pool(30, group_size=group_size, labels=("melanoma",))
    first = select(make_manifest(rows), recipe)
    left = [row for row in rows if row["path"] not in {f"melanoma{number}" for number in gone}]
    after = select(make_manifest(left), recipe, previous=as_previous(first))
    for split in ("train", "val", "test"):
        assert counts(after)["healthy", split] == counts(after)["melanoma", split]
    tested = {name for name, split in splits(first).items() if split == "test"} & {row["path"] for row in left}
    assert {splits(after).get(name) for name in tested} <= {"test"}
    assert splits(select(make_manifest(left), recipe, previous=as_previous(after))) == splits(after)


def test_context_rows_are_set_aside_and_pull_no_group() -> None:
    """A context row on the source's test side does not keep its group out of train."""
    rows = [*make_pool(8), make_sample("c", None, group="melanoma/0", source_label="nevus", source_split="test")]
    rows = [
        {**row, "source_split": row.get("source_split", "train" if row["label"] == "melanoma" else None)}
        for row in rows
    ]
    rows += [make_sample(f"t{n}", "melanoma", source_split="test") for n in range(2)]
    after = select(make_manifest(rows), make_recipe(selection={"counts": {"train": 8, "test": 2}}, labels=WIDE))
    assert fates(after.rows.filter(pl.col("path") == "c")) == [("select", "context-class", "nevus")]
    assert splits(after)["melanoma0"] == "train"


WIDE = {"classes": {"melanoma": ["melanoma"]}, "context": "*"}


def test_the_sources_test_side_wins_and_the_rest_of_its_group_is_leakage() -> None:
    """A train image whose duplicate is in the source's test is excluded as leakage, and reports it."""
    rows = [make_sample(f"t{n}", "melanoma", group=f"g{n}", source_split="test") for n in range(2)]
    rows += [make_sample(f"l{n}", "melanoma", group=f"g{n}", source_split="train") for n in range(2)]
    rows += [make_sample(f"r{n}", "melanoma", source_split="train") for n in range(4)]
    after = select(make_manifest(rows), make_recipe(labels=WIDE))
    assert counts(after) == {("melanoma", "train"): 4, ("melanoma", "test"): 2}
    leaked = after.rejected.filter(pl.col("path").str.starts_with("l"))
    assert fates(leaked) == [("select", "leakage", "test")] * 2


def test_train_does_not_refill_a_short_test_unless_the_recipe_says_so() -> None:
    """A test split that is short is an error; with refill_test the source's train images may go there."""
    rows = [make_sample("t0", "melanoma", source_split="test")]
    rows += [make_sample(f"r{n}", "melanoma", source_split="train") for n in range(9)]
    with pytest.raises(ShortCountError) as caught:
        select(make_manifest(rows), make_recipe(labels=WIDE))
    assert caught.value.short == {("melanoma", "test"): (2, 1)}
    refill = make_recipe(labels=WIDE, selection={"counts": {"train": 4, "test": 2}, "refill_test": True})
    after = select(make_manifest(rows), refill)
    assert counts(after) == {("melanoma", "train"): 4, ("melanoma", "test"): 2}
    assert splits(after)["t0"] == "test"


def dispute(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as one that stands under two labels."""
    return {**row, "disputed": True, "claims": ["context:nevus", "melanoma"]}


DISPUTED = [dispute(make_sample(f"d{n}", "melanoma")) for n in range(3)]


def test_disputed_images_are_the_reserve_of_train_alone() -> None:
    """They fill up a train that is short and are marked; the rest says that it was not needed."""
    rows = [*make_pool(5, labels=("melanoma",)), *DISPUTED]
    after = select(make_manifest(rows), make_recipe(labels=WIDE, selection={"counts": {"train": 5, "test": 2}}))
    assert counts(after) == {("melanoma", "train"): 5, ("melanoma", "test"): 2}
    used = after.kept.filter(pl.col("disputed"))
    assert used["split"].unique().to_list() == ["train"]
    assert used["reserve"].to_list() == [True, True]
    assert fates(after.rejected) == [("select", "disputed-not-needed", None)]
    assert after.kept.filter(~pl.col("disputed"))["reserve"].any() is False


@pytest.mark.parametrize("policy", ["exclude", "error"])
def test_the_other_policies_use_nothing_disputed(policy: str) -> None:
    """`exclude` then names the shortage with its reason, `error` names the images."""
    rows = [*make_pool(5, labels=("melanoma",)), *DISPUTED]
    recipe = make_recipe(labels=WIDE, conflicts={"policy": policy}, selection={"counts": {"train": 5, "test": 2}})
    with pytest.raises(CurationError) as caught:
        select(make_manifest(rows), recipe)
    if policy == "exclude":
        assert isinstance(caught.value, ShortCountError)
        assert caught.value.short == {("melanoma", "train"): (5, 3)}
        assert "3 select: disputed" in caught.value.message
        assert len(caught.value.manifest) == 8
    else:
        assert caught.value.code == ErrorCode.DISPUTED_IMAGES
        assert "src/d0, src/d1, src/d2" in caught.value.message


def test_with_ratios_disputed_images_are_out() -> None:
    """There is no count that would need them."""
    rows = [*make_pool(10, labels=("melanoma",)), DISPUTED[0]]
    after = select(make_manifest(rows), make_recipe(labels=WIDE, selection={"ratios": {"train": 0.8, "test": 0.2}}))
    assert fates(after.rejected) == [("select", "disputed", "context:nevus, melanoma")]


def test_several_shortages_are_named_at_once() -> None:
    """Every class and split that is short has its line, with wanted and had."""
    with pytest.raises(ShortCountError) as caught:
        select(make_manifest(make_pool(3)), make_recipe())
    assert caught.value.code == ErrorCode.COUNT_SHORT
    assert caught.value.short == {("healthy", "train"): (4, 1), ("melanoma", "train"): (4, 1)}
    for label in ("healthy", "melanoma"):
        assert f"{label}: train needs 4 and has 1 (and 2 in test)" in caught.value.message


def test_a_label_that_no_file_carries_is_the_advice() -> None:
    """The hint suggested more sources and other shares, where one letter of the recipe was wrong."""
    recipe = make_recipe(labels={"classes": {"healthy": ["healthy"], "melanoma": ["melanomas"]}})
    with pytest.raises(ShortCountError, match=r"'melanomas'.*did you mean 'melanoma'") as caught:
        select(
            make_manifest([row | {"label": None} if row["label"] == "melanoma" else row for row in make_pool(8)]),
            recipe,
        )
    assert "labels.classes" in str(caught.value.hint)


def test_a_group_rule_that_swallows_a_class_is_named() -> None:
    """A rule that puts every image into one group was answered with "add a source"."""
    rows = [make_sample(f"{label}{n}", label, group=label) for label in ("healthy", "melanoma") for n in range(9)]
    with pytest.raises(ShortCountError) as raised:
        select(make_manifest(rows), ratios(train=0.8, test=0.2))
    assert "melanoma: 9 in all, none excluded; the 9 candidates form 1 group\n" in f"{raised.value.message}\n"
    assert "healthy, melanoma have fewer groups than there are splits" in (raised.value.hint or "")


def test_a_misspelt_source_label_is_named_with_those_that_are_there() -> None:
    """A class whose source label no file carries falls short for that reason, and the error reports it."""
    labels = {"classes": {"dogs": ["dog"], "cats": ["cats"]}, "context": "*"}
    rows = [make_sample(f"c{n}", "cats", source_label="cats") for n in range(4)]
    rows += [make_sample(f"d{n}", None, source_label="dogs") for n in range(4)]
    with pytest.raises(ShortCountError) as raised:
        select(make_manifest(rows), make_recipe(labels=labels, selection={"ratios": {"train": 0.5, "test": 0.5}}))
    (line,) = [line for line in raised.value.message.splitlines() if "did you mean" in line]
    assert [word in line for word in ("dogs: ", "'dog'", "'cats', 'dogs'", "did you mean 'dogs'?")] == [True] * 4


def test_nothing_is_asked_of_a_split_that_the_recipe_no_longer_wants() -> None:
    """An image of a val split that was removed is free at once, so that the same build twice is the same version."""
    rows = make_manifest(make_pool(20))
    first = select(rows, ratios(train=0.8, val=0.1, test=0.1))
    second = select(rows, ratios(train=0.9, test=0.1), previous=as_previous(first))
    third = select(rows, ratios(train=0.9, test=0.1), previous=as_previous(second))
    assert second.digest() == third.digest()
    assert second.kept.height == 40


@pytest.mark.slow
@given(
    members=st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), min_size=4, max_size=30),
    train=st.integers(1, 5),
    test=st.integers(1, 3),
)
def test_the_same_build_twice_is_the_same_version(members: list[tuple[int, bool, bool]], train: int, test: int) -> None:
    """With the version before as `previous` nothing moves, also where groups hold both classes."""
    rows = [
        make_sample(f"s{n}", "melanoma" if malign else "healthy", group=f"g{group}")
        | ({"disputed": True, "claims": ["healthy", "melanoma"]} if disputed else {})
        for n, (group, malign, disputed) in enumerate(members)
    ]
    recipe = make_recipe(selection={"counts": {"train": train, "test": test}})
    try:
        first = select(make_manifest(rows), recipe)
    except ShortCountError:
        return
    assert splits(select(make_manifest(rows), recipe, previous=as_previous(first))) == splits(first)
    stranded = first.rejected.filter((pl.col("reason") == "surplus") & (pl.col("detail") == "test"))["label"].to_list()
    for label in set(first.kept.filter(pl.col("reserve"))["label"]):
        # An undisputed image is left over in test only where its group holds one that test needs.
        needed = set(first.kept.filter(pl.col("split") == "test")["group"])
        left = first.rejected.filter((pl.col("reason") == "surplus") & (pl.col("detail") == "test"))
        assert label not in stranded or set(left["group"]) <= needed


def test_duplicates_of_what_was_tested_stay_out_of_train() -> None:
    """Though the image itself is disputed or a duplicate by now, its group stays on the test side."""
    rows = make_pool(10, labels=("melanoma",))
    recipe = make_recipe(labels=WIDE)
    before = select(make_manifest(rows), recipe)
    tested = before.kept.filter(pl.col("split") == "test")["path"].to_list()
    now = [
        dispute(row)
        if row["path"] == tested[0]
        else {**row, **out("dedup", "exact-duplicate")}
        if row["path"] == tested[1]
        else row
        for row in rows
    ]
    now.append(make_sample("twin", "melanoma", group=str(next(r["path"] for r in rows if r["path"] == tested[1]))))
    now[-1]["group"] = next(row["group"] for row in rows if row["path"] == tested[1])
    short = make_recipe(labels=WIDE, selection={"counts": {"train": 4, "test": 1}})
    after = select(make_manifest(now), short, previous=as_previous(before))
    assert splits(after)["twin"] == "test"
    stranded = after.rows.filter(pl.col("path") == tested[0])
    assert fates(stranded) == [("select", "disputed-held-out", "test")]


def test_genuine_test_images_come_before_those_that_refill() -> None:
    """refill_test takes from the source's train only what its test lacks."""
    rows = [make_sample(f"t{n}", "melanoma", group=f"g{n}", source_split="test") for n in range(6)]
    rows += [make_sample(f"r{n}", "melanoma", group=f"g{n}", source_split="train") for n in range(12)]
    refill = make_recipe(labels=WIDE, selection={"counts": {"train": 4, "test": 5}, "refill_test": True})
    after = select(make_manifest(rows), refill)
    assert {path[0] for path, split in splits(after).items() if split == "test"} == {"t"}


def test_balance_holds_where_the_source_has_a_split_of_its_own() -> None:
    """A large test folder of one class does not eat up its train, nor outnumber the other class's test."""
    rows = [make_sample(f"h{n}", "healthy", source_split="test" if n < 20 else "train") for n in range(100)]
    rows += [make_sample(f"m{n}", "melanoma", source_split="test" if n < 3 else "train") for n in range(20)]
    after = select(make_manifest(rows), ratios(balance=True, train=0.8, test=0.2))
    assert counts(after)["healthy", "train"] == counts(after)["melanoma", "train"] == 16
    assert counts(after)["healthy", "test"] == counts(after)["melanoma", "test"] == 3
    assert counts(after)["melanoma", "test"] == 3


def test_a_seed_is_a_seed() -> None:
    """The same seed gives the same split; another gives another."""
    rows = make_manifest(make_pool(20))
    assert splits(select(rows, make_recipe())) == splits(select(rows, make_recipe()))
    other = make_recipe(selection={"counts": {"train": 4, "test": 2}, "seed": 2})
    assert splits(select(rows, make_recipe())) != splits(select(rows, other))


def test_a_group_of_two_classes_stays_on_one_side() -> None:
    """What looks alike under two classes of the recipe cannot lie on two sides either."""
    both = [make_sample(name, label, group="both") for name, label in (("x", "melanoma"), ("y", "healthy"))]
    rows = [*make_pool(10), *both]
    for seed in range(8):
        recipe = make_recipe(selection={"counts": {"train": 9, "test": 2}, "seed": seed})
        after = select(make_manifest(rows), recipe)
        where = splits(after)
        assert {where.get("x"), where.get("y")} in ({"train"}, {"test"}, {"train", None}, {"test", None}, {None})


@st.composite
def pools(draw: st.DrawFn) -> tuple[Rows, pl.DataFrame | None]:
    """Draw rows as they may stand after dedup, and perhaps an earlier version's split of some of them."""
    count, groups = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    random = draw(st.randoms(use_true_random=False))
    often = [draw(st.sampled_from([0.0, 0.2, 0.6])) for _ in range(4)]
    rows = []
    for number in range(count):
        disputed, held, gone, copied = (random.random() < share for share in often)
        cells: dict[str, Any] = {
            "group": sha_of(("group", random.randrange(groups))),
            "sha256": sha_of(random.randrange(count) if copied else f"own {number}"),
            "page": random.choice([None, 1, 2]),
            "source_split": random.choice(["train", "train", "val", "test"]) if held else None,
            **(out("dedup", "exact-duplicate", "src/x") if gone else {}),
        }
        label = random.choice(["melanoma", "healthy"])
        row = make_sample(str(number), label, **cells)
        rows.append(dispute(row) if disputed else row)
    if draw(st.booleans()):
        return rows, None
    old = [(row["sha256"], row["page"] or 1, random.choice(SPLITS)) for row in rows if random.random() < 0.5]
    kinds = {"sha256": pl.String, "page": pl.UInt32, "split": pl.String}
    return rows, pl.DataFrame(old, schema=kinds, orient="row").unique(["sha256", "page"], maintain_order=True)


def joins_test_and_val(rows: Rows, previous: pl.DataFrame | None, recipe: Recipe) -> bool:
    """Say whether a group has images of the previous test and val, of splits that the recipe still asks for."""
    asked = {split for label in recipe.classes for split in recipe.selection.wanted(label)}
    before = {row[:2]: row[2] for row in (previous.iter_rows() if previous is not None else ()) if row[2] in asked}
    sides: dict[str, set[str | None]] = {}
    for row in rows:
        sides.setdefault(row["group"], set()).add(before.get((row["sha256"], row["page"] or 1)))
    return any({"val", "test"} <= found for found in sides.values())


@pytest.mark.slow
@given(
    pool=pools(),
    rule=st.sampled_from(
        [
            {"counts": {"train": 3, "test": 1}},
            {"counts": {"train": 5, "val": 2, "test": 3}},
            {"counts": {"val": 2}},
            {"counts": {"melanoma": {"train": 4, "test": 1}, "healthy": {"train": 1, "val": 1}}},
        ]
    ),
    refill=st.booleans(),
    respect=st.booleans(),
    seed=st.integers(0, 3),
)
@settings(max_examples=200)
def test_arrays_choose_whom_a_person_would_choose_by_hand(
    pool: tuple[Rows, pl.DataFrame | None], rule: dict[str, Any], *, refill: bool, respect: bool, seed: int
) -> None:
    """Split, reserve and reason of every row are those of the selection that goes an image at a time."""
    rows, previous = pool
    more = {"refill_test": refill, "source_split": "respect" if respect else "ignore", "seed": seed}
    recipe = make_recipe(selection={**rule, **more}, conflicts={"policy": "reserve"})
    manifest = make_manifest(rows)
    if joins_test_and_val(rows, previous, recipe):
        with pytest.raises(CurationError) as caught:
            select(manifest, recipe, previous=previous)
        assert caught.value.code == ErrorCode.GROUP_SPANS_SPLITS
        return
    try:
        after = select(manifest, recipe, previous=previous)
    except ShortCountError as fault:
        after = fault.manifest
    found = {
        name: [split, reserve, fate]
        for (name, split, reserve), fate in zip(
            after.rows.select("id", "split", "reserve").iter_rows(), fates(after.rows), strict=True
        )
    }
    expected = select_by_hand(manifest.rows, recipe, previous)
    assert found == {name: list(fate) for name, fate in expected.items()}
