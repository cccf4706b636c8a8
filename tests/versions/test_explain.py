"""The story of one image, true in every sentence."""

import json

import pytest

from curation.errors import CurationError, ErrorCode
from curation.hashing import SYMMETRIES
from curation.versions import Home, explain, load, locked, write_draft
from tests.builders import act, out
from tests.errors import fails_with
from tests.versions.builders import make_home, make_manifest, make_row, make_rows, publish, sha

OUT = {"split": None, "reserve": None}


def alike(name, kind="near", **cells):
    """Return one duplicate as the dedup stage notes it."""
    exact = {"distance": 0, "correlation": 1.0, "symmetry": 0}
    return {"id": f"drawn/{name}.png", "kind": kind, **exact, **cells}


ROWS = [
    *make_rows(),
    make_row(
        "a/mole",
        id="drawn/a/mole.png",
        path="a/mole.png",
        group_key="drawn/lesion-7",
        licence="CC0-1.0",
        source_split="train",
        mode="RGB",
        bits=8,
        pages=3,
        orientation=6,
        sharpness=12.34,
        representative="drawn/a/mole.png",
        group=sha("g"),
        disputed=True,
        reserve=True,
        claims=["context:other", "dark"],
        lookalikes=[
            alike("turned", distance=4, correlation=0.9912, symmetry=1),
            alike("twin", "exact"),
            alike("witness", "same pixels"),
        ],
    ),
    make_row(
        "twin",
        sha256=sha("a/mole"),
        path="b/mole.png",
        group=sha("g"),
        representative="drawn/a/mole.png",
        lookalikes=[alike("a/mole", "exact")],
        **out("dedup", "exact-duplicate", "drawn/a/mole.png"),
        **OUT,
    ),
    make_row(
        "turned",
        group=sha("g"),
        representative="drawn/a/mole.png",
        lookalikes=[alike("a/mole", distance=4, correlation=0.9912, symmetry=3)],
        **out("dedup", "near-duplicate", "drawn/a/mole.png"),
        distance=4,
        correlation=0.9912,
        **OUT,
    ),
    make_row(
        "witness",
        label=None,
        source_label="other",
        group=sha("g"),
        lookalikes=[alike("a/mole", "same pixels")],
        **out("select", "context-class", "other"),
        **OUT,
    ),
    make_row(
        "cut",
        sha256=None,
        label=None,
        source_label="dark",
        format=None,
        width=None,
        height=None,
        group=None,
        **out("ingest", "encrypted"),
        size_bytes=None,
        **OUT,
    ),
    make_row("kept", decision=[act("keep", "anna", reason="fine"), act("prefer")]),
]


@pytest.fixture
def home(tmp_path) -> Home:
    """Return a home with one version that holds every kind of fate."""
    home = make_home(tmp_path)
    publish(home, ROWS)
    return home


def only(home, query):
    """Return the explanation of the one image that a query names."""
    (found,) = explain(home, "squares", query)
    return found


def check_steps(found, wanted):
    """Assert that the steps come in this order, each with its facts."""
    assert [step for step, _ in found.steps] == [step for step, *_ in wanted], found.steps
    for (_, text), (_, *facts) in zip(found.steps, wanted, strict=True):
        assert all(fact in text for fact in facts), (text, facts)


def test_the_explanation_of_an_image_follows_the_stages(home):
    """Origin, measurements, label, duplicates and their fate, group and dispute, and where it went."""
    found = only(home, "drawn/a/mole.png")
    assert found.fate == "in: train/dark"
    near = ("near", "4 bits", "0.991", SYMMETRIES[1], "drawn/turned.png", "near duplicate of this one")
    members = ("drawn/turned.png (dark)", "drawn/twin.png (dark)", "drawn/witness.png (context:other)")
    check_steps(
        found,
        [
            ("ingest", "a/mole.png", "drawn", "1,234 bytes", sha("a/mole")[:12], "CC0-1.0"),
            ("probe", "PNG", "64 x 48 px", "RGB", "8 bits", "page 1 of 3", "orientation 6", "sharpness 12.3"),
            ("label", "'dark'", "class dark", "split", "train"),
            ("dedup", "3 direct duplicates"),
            ("dedup", *near),
            ("dedup", "same bytes", "drawn/twin.png", "exact duplicate of this one"),
            ("dedup", "same pixels", "drawn/witness.png", "context:other", "select: context class other"),
            ("dedup", "represents"),
            ("dedup", sha("g")[:12], "of 4", "'drawn/lesion-7'", *members),
            ("dedup", "disputed", "context:other, dark"),
            ("select", "train", "dark", "reserve"),
            ("render", f"images/train/dark/{sha('a/mole')[:12]}.jpg", found.row["file_sha256"][:12]),
        ],
    )
    assert str(found).startswith("drawn/a/mole.png: in: train/dark\n  ingest  a/mole.png of drawn")
    assert json.loads(json.dumps(found.as_json()))["steps"][0]["step"] == "ingest"


def test_an_excluded_image_ends_with_the_stage_and_the_reason(home):
    """The last step of an excluded image is why, and nothing was rendered."""
    found = only(home, "drawn/turned.png")
    assert found.fate.startswith("out: dedup: near duplicate of drawn/a/mole.png")
    assert any("represented by drawn/a/mole.png (4 bits, correlation 0.991)" in text for _, text in found.steps)
    assert found.steps[-1][0] == "dedup"
    assert found.steps[-1][1].startswith("out: near duplicate")


def test_a_file_that_could_not_be_read_is_explained_too(home):
    """Without bytes there is no sha256, no format and no group; the reason is there all the same."""
    check_steps(
        only(home, "cut.png"),
        [("ingest", "cut.png", "no bytes could be read"), ("label", "'dark'"), ("ingest", "out: encrypted")],
    )


def test_a_decision_is_part_of_the_story(home):
    """What a person decided stands between the label and the duplicates."""
    steps = [step for step, _ in only(home, "kept.png").steps]
    assert steps == ["ingest", "probe", "label", "decide", "select", "render"]
    assert ("decide", "keep (anna: fine); prefer") in only(home, "kept").steps


@pytest.mark.parametrize(
    "query",
    [
        "drawn/a/mole.png",
        "a/mole.png",
        "./a/mole.png",
        "a\\mole.png",
        f"{sha('a/mole')[:12]}.jpg",
        f"images/train/dark/{sha('a/mole')[:12]}.jpg",
    ],
)
def test_an_image_is_found_by_every_name_of_its_own(home, query):
    """Id, path, a path as Windows writes it, the published file and its bare name all name the one image."""
    assert only(home, query).id == "drawn/a/mole.png"


def test_the_whole_path_of_a_published_file_names_its_image(home):
    """What a file manager copies is understood."""
    file = (
        load(home, "squares").samples().filter(load(home, "squares").samples()["id"] == "drawn/a/mole.png")["file"][0]
    )
    assert only(home, file).id == "drawn/a/mole.png"


@pytest.mark.parametrize("query", ["mole.png", "mole", sha("a/mole"), sha("a/mole")[:6], sha("a/mole")[:10].upper()])
def test_all_images_that_share_a_name_are_told(home, query):
    """Two files of one name or of one sha256 are two stories, sorted by id."""
    assert [told.id for told in explain(home, "squares", query)] == ["drawn/a/mole.png", "drawn/twin.png"]


def test_an_unknown_name_is_answered_with_near_ones(home):
    """A misspelt file name gets a hint; something quite different gets what can be asked for."""
    with fails_with(ErrorCode.IMAGE_MISSING, "somewhere/kepd.png") as caught:
        explain(home, "squares", "somewhere/kepd.png")
    assert "kept.png" in (caught.value.hint or "")
    with pytest.raises(CurationError) as caught:
        explain(home, "squares", "KEP")  # a part of a name: too short to be like it, and all of it is there
    assert "kept.png" in (caught.value.hint or "")
    with pytest.raises(CurationError) as caught:
        explain(home, "squares", "?")
    assert "kept.png" not in (caught.value.hint or "")


def test_a_pattern_is_a_name_and_no_pattern(home):
    """Characters that mean something in regular expressions or globs are letters here."""
    for query in ("*.png", ".*", "[a-z]+.png", "(", "%"):
        with fails_with(ErrorCode.IMAGE_MISSING):
            explain(home, "squares", query)


def test_a_draft_tells_how_far_its_images_came(tmp_path):
    """An image that was still in when the build stopped reports it."""
    home = make_home(tmp_path)
    rows = [{**row, "split": None} for row in make_rows()]
    with locked(home, "squares") as held:
        write_draft(held, make_manifest(rows), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "too few"))
    found = explain(home, "squares@draft", "dark-train-0.png")[0]
    assert found.fate == "in: no split yet/dark"
    assert found.steps[-1][0] == "draft"
    assert "select" in found.steps[-1][1]


def test_a_crowd_of_duplicates_is_told_in_part(tmp_path):
    """Of a hundred duplicates ten are named and the others counted."""
    home = make_home(tmp_path)
    crowd = [make_row(f"c{n:03}", group=sha("c"), **OUT, **out("select", "surplus", "train")) for n in range(100)]
    chosen = make_row("best", group=sha("c"), lookalikes=[alike(f"c{n:03}", "same pixels") for n in range(100)])
    publish(home, [*make_rows(), *crowd, chosen])
    told = str(explain(home, "squares", "best.png")[0])
    assert told.count("same pixels as drawn/c") == 10
    assert "and 90 more" in told
    assert "of 101: with drawn/c000.png (dark), " in told
    assert ", ..." in told
