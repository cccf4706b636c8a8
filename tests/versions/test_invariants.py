"""What must hold of a table whatever made it: groups, duplicates, disputes, counts."""

import random

import pytest

from curation.versions import name_images
from curation.versions.invariants import check_contracts, check_radius
from curation.versions.problems import ProblemCode as Code
from tests.builders import out
from tests.versions.builders import make_manifest, make_row, make_rows, sha

OUT = {"split": None, "reserve": None}


def whole(rows):
    """Return the manifest of rows, its kept ones with the names and sums that rendering gives."""
    manifest = make_manifest(rows)
    names = dict(zip(manifest.kept["id"], name_images(manifest.kept), strict=True))
    rows = [
        {**row, "file": names.get(row["id"]), "file_sha256": names.get(row["id"]) and sha(row["id"])} for row in rows
    ]
    return make_manifest(rows)


def problems_of(rows):
    """Return what breaks a contract."""
    return list(check_contracts(whole(rows), classes=["dark", "pale"]))


def alike(name):
    """Return one duplicate."""
    return {"id": f"drawn/{name}.png", "kind": "near", "distance": 2, "correlation": 0.99, "symmetry": 0}


def test_a_whole_manifest_keeps_every_contract():
    """Groups of several rows, duplicates, reserve, duplicates and excluded rows of every kind are in order."""
    rows = [
        *make_rows(),
        make_row("a", group=sha("g"), group_key="k", lookalikes=[alike("b")], representative="drawn/a.png"),
        make_row(
            "b",
            group=sha("g"),
            lookalikes=[alike("a")],
            representative="drawn/a.png",
            **OUT,
            **out("dedup", "near-duplicate", "drawn/a.png"),
        ),
        make_row("c", group=sha("g"), group_key="k", disputed=True, reserve=True),
        make_row("unread", sha256=None, group=None, group_key="k", label=None, **OUT, **out("ingest", "encrypted")),
    ]
    assert problems_of(rows) == []


BROKEN = {
    "look-alikes in two groups": (
        [make_row("a", lookalikes=[alike("b")]), make_row("b", lookalikes=[alike("a")])],
        (Code.GROUP_DIVIDED, "drawn/a.png", "drawn/b.png"),
    ),
    "a chain through an excluded look-alike": (
        [make_row("a", lookalikes=[alike("b")], group=sha("x")), make_row("b", **OUT, **out("quality", "blurred"))],
        (Code.GROUP_DIVIDED, "drawn/a.png", "drawn/b.png"),
    ),
    "a group key in two groups": (
        [make_row("a", group_key="lesion 7"), make_row("b", group_key="lesion 7")],
        (Code.GROUP_DIVIDED, "lesion 7"),
    ),
    "a group on two sides": (
        [make_row("a", group=sha("g")), make_row("b", group=sha("g"), split="val")],
        (Code.GROUP_STRADDLES, sha("g")),
    ),
    "a representative that is no row": (
        [
            make_row(
                "a",
                representative="drawn/ghost.png",
                **OUT,
                **out("dedup", "same-pixels", "drawn/ghost.png"),
            )
        ],
        (Code.REPRESENTATIVE_INVALID, "drawn/a.png", "drawn/ghost.png"),
    ),
    "a duplicate of nothing": (
        [make_row("a", **OUT, **out("dedup", "exact-duplicate", "drawn/b.png"))],
        (Code.REPRESENTATIVE_INVALID, "drawn/a.png"),
    ),
    "a duplicate of a duplicate": (
        [
            make_row("a", representative="drawn/b.png", **OUT, **out("dedup", "exact-duplicate", "drawn/b.png")),
            make_row("b", representative="drawn/c.png", **OUT, **out("dedup", "exact-duplicate", "drawn/c.png")),
            make_row("c", representative="drawn/c.png"),
        ],
        (Code.REPRESENTATIVE_INVALID, "drawn/a.png", "drawn/b.png"),
    ),
    "a reserve without a dispute": (
        [make_row("a", reserve=True)],
        (Code.RESERVE_UNDISPUTED, "drawn/a.png"),
    ),
    "an excluded row with a picture": (
        [make_row("a", **OUT, **out("quality", "blurred"), label="dark")],
        (Code.EXCLUDED_AND_PUBLISHED, "drawn/a.png"),
    ),
    "no such split": (
        [make_row("a", split="training")],
        (Code.SPLIT_UNKNOWN, "drawn/a.png"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_broken_contract_is_one_problem(case):
    """A single broken contract gives its code, with the rows it is about, and no other."""
    rows, (code, *ids) = BROKEN[case]
    manifest = whole([*make_rows(), *rows])
    if case == "an excluded row with a picture":
        manifest = make_manifest(
            [{**row, "file": "images/x.jpg"} if row["id"] == "drawn/a.png" else row for row in manifest.rows.to_dicts()]
        )
    (found,) = check_contracts(manifest, classes=["dark", "pale"])
    assert (found.code, found.ids) == (code, tuple(ids))


def test_the_order_of_the_rows_changes_no_problem():
    """Problems come in one order, whatever order the rows are in."""
    rows = [*make_rows(), *[row for broken, _ in BROKEN.values() for row in broken]]
    rows = [{**row, "id": f"{n:03}/{row['id']}", "sha256": sha(n)} for n, row in enumerate(rows)]
    first = problems_of(rows)
    assert len(first) > 5
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        assert problems_of(rows) == first


@pytest.mark.parametrize(
    ("bits", "correlation", "fault"), [(8, 0.98, False), (9, 0.99, True), (8, 0.979, True), (0, 1.0, False)]
)
def test_no_near_duplicate_is_thrown_out_from_afar(bits, correlation, fault):
    """What is excluded is within the recipe's radius of the one kept and confirmed by the recipe's correlation."""
    row = make_row(
        "a",
        representative="drawn/b.png",
        distance=bits,
        correlation=correlation,
        **OUT,
        **out("dedup", "near-duplicate", "drawn/b.png"),
    )
    found = list(check_radius(make_manifest([row, make_row("b")]), radius=8, correlation=0.98))
    assert bool(found) == fault
    assert {(problem.code, problem.ids) for problem in found} <= {
        (Code.DUPLICATE_TOO_FAR, ("drawn/a.png", "drawn/b.png"))
    }
