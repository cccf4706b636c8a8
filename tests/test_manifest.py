"""The table: its schema, its law, its digests."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.dataset.columns import ROLES, SCHEMA, Metadata
from curation.dataset.manifest import (
    Manifest,
    ReasonCount,
    canonical_json,
    check_conservation,
    choice_digest,
    content_digest,
    count_reasons,
    digest_of,
)
from curation.errors import CurationError, ErrorCode
from tests.builders import act, fates, make_manifest, make_row, out, sha_of

NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12, unique=True)


def test_a_manifest_has_every_column_in_one_order_and_is_sorted_by_id() -> None:
    """Whatever is given, the columns are those of the schema and the rows come sorted by id."""
    manifest = make_manifest([make_row("b"), make_row("a")])
    assert manifest.rows.columns == list(SCHEMA)
    assert manifest.rows["id"].to_list() == ["src/a", "src/b"]


@pytest.mark.slow
@given(names=NAMES, random=st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(names: list[str], random: object) -> None:
    """Permuted rows give the same table and the same digest."""
    rows = [make_row(name) for name in names]
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis hands over a random.Random
    assert make_manifest(rows).rows.equals(make_manifest(shuffled).rows)
    assert make_manifest(rows).digest() == make_manifest(shuffled).digest()


@given(names=NAMES)
def test_what_is_written_is_read(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """A manifest survives its file, hostile names included."""
    path = tmp_path_factory.mktemp("manifest") / "m.parquet"
    manifest = make_manifest([make_row(name, claims=["a", "b"], **out("probe", "truncated")) for name in names])
    manifest.write(path)
    assert Manifest.read(path).rows.equals(manifest.rows)


@pytest.mark.parametrize(
    "rows",
    [[make_row("a"), make_row("a")], [{"id": None, "sha256": "x"}], [{"id": "a", "colour": "red"}]],
    ids=["twice", "null", "unknown column"],
)
def test_a_broken_table_is_refused(rows: list[dict[str, object]]) -> None:
    """Duplicate and missing ids and unknown columns cannot be a manifest."""
    with pytest.raises(ValueError, match=r"unique|unknown"):
        Manifest(pl.DataFrame(rows))


def test_the_first_reason_stays() -> None:
    """A row that is excluded keeps its reason whatever a later stage says."""
    manifest = make_manifest([make_row("a", **out("probe", "truncated")), make_row("b")])
    after = manifest.exclude("quality", pl.Series(["too-small", "blurred"]), pl.Series(["x", "y"]))
    assert fates(after.rows) == [("probe", "truncated", None), ("quality", "blurred", "y")]


def test_conservation_notices_a_lost_row_an_invented_one_and_a_reason_taken_back() -> None:
    """No stage may lose or invent a file, or revive one without a decision."""
    before = make_manifest([make_row("a", **out("quality", "blurred")), make_row("b")])
    for after in (
        make_manifest([make_row("a", **out("quality", "blurred"))]),
        make_manifest([make_row("a", **out("quality", "blurred")), make_row("b"), make_row("c")]),
        make_manifest([make_row("a"), make_row("b")]),
    ):
        with pytest.raises(RuntimeError, match="stage test"):
            check_conservation(before, after, stage="test")
    decided = make_manifest([make_row("a", decision=[act("keep", "anna")]), make_row("b")])
    assert check_conservation(before, decided, stage="test") is decided


def test_pages_may_be_added_only_where_a_stage_grows() -> None:
    """Rows of further pages are allowed if the stage declares that it adds them."""
    before = make_manifest([make_row("a")])
    after = make_manifest([make_row("a"), make_row("a#2", page=2)])
    assert check_conservation(before, after, stage="probe", grows=True) is after
    with pytest.raises(RuntimeError):
        check_conservation(before, after, stage="probe")


def test_a_versions_digest_hangs_on_the_choice_and_the_rendering_alone() -> None:
    """Names, sources and excluded rows make no difference; a label, a split, a page or a setting does."""
    rows = [make_row(name, label="m", split="train") for name in "ab"]
    kept = make_manifest(rows).kept
    digest = choice_digest(kept, rendering={"quality": 95})
    renamed = [{**row, "id": f"other/{row['path']}", "source": "other"} for row in rows]
    assert choice_digest(make_manifest(renamed).kept, rendering={"quality": 95}) == digest
    for cells in ({"label": "n"}, {"split": "test"}, {"page": 2}):
        changed = make_manifest([{**rows[0], **cells}, rows[1]]).kept
        assert choice_digest(changed, rendering={"quality": 95}) != digest
    assert choice_digest(kept, rendering={"quality": 90}) != digest


def test_golden_digests() -> None:
    """The digests of one small table never change: versions published long ago keep their names."""
    rows = [make_row("a", label="m", split="train", file_sha256=sha_of("file"))]
    assert choice_digest(make_manifest(rows).kept, rendering={"quality": 95})[:16] == "e1993403ebfa8e89"
    assert content_digest(make_manifest(rows).kept)[:16] == "cbabedbd43a0ea88"


def test_canonical_json_is_one_text() -> None:
    """Key order does not matter, and values without a unique spelling are refused."""
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"\\u00fc","b":1}'
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_reasons_are_counted_without_what_differs_from_row_to_row() -> None:
    """Duplicates of many images are one reason, the most frequent first."""
    manifest = make_manifest(
        [
            make_row("a", **out("dedup", "exact-duplicate", "src/x")),
            make_row("b", **out("dedup", "exact-duplicate", "src/y")),
            make_row("c", **out("quality", "blurred", "sharpness 1.0, < 5")),
        ]
    )
    assert count_reasons(manifest.rejected) == [
        ReasonCount("dedup", "exact-duplicate", None, 2),
        ReasonCount("quality", "blurred", None, 1),
    ]


def test_what_is_no_manifest_is_a_clear_error(tmp_path: Path) -> None:
    """A missing and a damaged file are named."""
    with pytest.raises(CurationError, match="there is no manifest"):
        Manifest.read(tmp_path / "absent.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(CurationError, match="not a readable manifest"):
        Manifest.read(tmp_path / "bad.parquet")


COLUMN_NAMES = st.from_regex(r"[A-Za-z]\w{0,12}", fullmatch=True).filter(lambda name: name not in SCHEMA)
KINDS = {pl.String(): st.text(), pl.Int64(): st.integers(-(2**62), 2**62), pl.Float64(): st.floats(allow_nan=False)}


@st.composite
def metadata_tables(draw: st.DrawFn) -> Manifest:
    """Return a manifest with metadata columns of any name, role and type."""
    columns = [
        Metadata(name, draw(st.sampled_from([None, *ROLES])), draw(st.sampled_from(list(KINDS))))
        for name in draw(st.lists(COLUMN_NAMES, max_size=4, unique=True))
    ]
    rows = [
        make_row(str(number), **{each.name: draw(st.none() | KINDS[each.kind]) for each in columns})
        for number in range(draw(st.integers(0, 4)))
    ]
    return make_manifest(rows, columns)


@given(manifest=metadata_tables())
def test_metadata_columns_survive_writing_and_reading(
    manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Names, roles, types and values come back as they were."""
    path = tmp_path_factory.mktemp("manifest") / "manifest.parquet"
    manifest.write(path)
    read = Manifest.read(path)
    assert read.metadata == manifest.metadata
    assert read.rows.equals(manifest.rows)
    assert read.digest() == manifest.digest()


def test_a_metadata_column_with_a_name_of_the_manifests_is_refused() -> None:
    """It would replace what a step fills in; and a column that nothing declares is unknown."""
    for metadata in ((Metadata("label"),), (Metadata("pid"), Metadata("pid", "patient"))):
        with pytest.raises(ValueError, match="names of their own"):
            make_manifest([make_row("a")], metadata)
    with pytest.raises(ValueError, match="unknown manifest columns: pid"):
        Manifest(pl.DataFrame({"id": ["a"], "pid": ["1"]}))


def test_a_manifest_of_a_later_layout_is_refused(tmp_path: Path) -> None:
    """Its number says that this program does not know it."""
    path = tmp_path / "manifest.parquet"
    make_manifest([make_row("a")]).rows.write_parquet(path, metadata={"curation_schema": "3"})
    with pytest.raises(CurationError) as caught:
        Manifest.read(path)
    assert caught.value.code == ErrorCode.VERSION_DAMAGED
