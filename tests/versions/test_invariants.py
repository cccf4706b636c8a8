"""What must hold of a table whatever made it: groups, duplicates, disputes, counts."""

import random

import pytest

from curation.versions import name_pictures
from curation.versions.invariants import check_contracts, check_radius
from tests.builders import out
from tests.versions.builders import make_manifest, make_row, make_rows, sha

OUT = {"split": None, "reserve": None}


def whole(rows):
    """Return the manifest of rows, its kept ones with the names and sums that rendering gives."""
    manifest = make_manifest(rows)
    names = dict(zip(manifest.kept["id"], name_pictures(manifest.kept), strict=True))
    rows = [
        {**row, "file": names.get(row["id"]), "file_sha256": names.get(row["id"]) and sha(row["id"])} for row in rows
    ]
    return make_manifest(rows)


def problems_of(rows):
    """Return what breaks a contract."""
    return list(check_contracts(whole(rows), classes=["dark", "pale"]))


def alike(name):
    """Return one look-alike."""
    return {"id": f"drawn/{name}.png", "kind": "near", "distance": 2, "correlation": 0.99, "symmetry": 0}


def test_a_whole_manifest_keeps_every_contract():
    """Groups of several rows, look-alikes, reserve, duplicates and excluded rows of every kind are in order."""
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
        ["manifest: drawn/a.png and drawn/b.png look alike but are in different groups"],
    ),
    "a chain through an excluded look-alike": (
        [make_row("a", lookalikes=[alike("b")], group=sha("x")), make_row("b", **OUT, **out("quality", "blurred"))],
        ["manifest: drawn/a.png and drawn/b.png look alike but are in different groups"],
    ),
    "a group key in two groups": (
        [make_row("a", group_key="lesion 7"), make_row("b", group_key="lesion 7")],
        ["manifest: group key 'lesion 7' is spread over 2 groups"],
    ),
    "a group on two sides": (
        [make_row("a", group=sha("g")), make_row("b", group=sha("g"), split="val")],
        [f"manifest: group {sha('g')[:12]} straddles train and val"],
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
        ["manifest: drawn/a.png is represented by drawn/ghost.png, which is no row"],
    ),
    "a duplicate of nothing": (
        [make_row("a", **OUT, **out("dedup", "exact-duplicate", "drawn/b.png"))],
        ["manifest: drawn/a.png is excluded as a duplicate of nothing"],
    ),
    "a duplicate of a duplicate": (
        [
            make_row("a", representative="drawn/b.png", **OUT, **out("dedup", "exact-duplicate", "drawn/b.png")),
            make_row("b", representative="drawn/c.png", **OUT, **out("dedup", "exact-duplicate", "drawn/c.png")),
            make_row("c", representative="drawn/c.png"),
        ],
        ["manifest: drawn/a.png is represented by drawn/b.png, which is a duplicate itself"],
    ),
    "a reserve without a dispute": (
        [make_row("a", reserve=True)],
        ["manifest: drawn/a.png is reserve without a dispute"],
    ),
    "an excluded row with a picture": (
        [make_row("a", **OUT, **out("quality", "blurred"), label="dark")],
        ["manifest: drawn/a.png is excluded and yet published as images/x.jpg"],
    ),
    "no such split": (
        [make_row("a", split="training")],
        ["manifest: drawn/a.png is kept in 'training', which is no split"],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_broken_contract_is_one_sentence(case):
    """A single broken contract gives its sentence and no other."""
    rows, wanted = BROKEN[case]
    manifest = whole([*make_rows(), *rows])
    if case == "an excluded row with a picture":
        manifest = make_manifest(
            [{**row, "file": "images/x.jpg"} if row["id"] == "drawn/a.png" else row for row in manifest.rows.to_dicts()]
        )
    assert list(check_contracts(manifest, classes=["dark", "pale"])) == wanted


def test_the_order_of_the_rows_changes_no_sentence():
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
    assert all("the recipe allows 8 and 0.98" in problem for problem in found)
