"""Git's two texts: the line of a version and its split."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import CurationError, ErrorCode
from curation.versions import VersionLine, published
from curation.versions.version_index import (
    format_lines,
    make_line,
    read_chosen,
    read_split,
    same_rendering,
    split_table,
)
from tests.errors import fails_with
from tests.versions.builders import make_home, make_manifest, make_row, make_rows, publish_texts, sha


def test_nothing_published_is_an_empty_list(tmp_path):
    """A dataset without versions.jsonl has no versions, which is not a fault."""
    assert published(make_home(tmp_path), "squares") == ()


def test_lines_come_back_as_they_were_written(tmp_path):
    """What was published is read back field by field, oldest first."""
    home = make_home(tmp_path)
    written = tuple(publish_texts(home, make_rows(salt=salt)) for salt in ("a", "b", "c"))
    assert published(home, "squares") == written
    assert [line.version for line in written] == [1, 2, 3]


BROKEN = {
    "not json": ("{", "line 2:"),
    "not an object": ("[1]", "line 2:"),
    "empty": ("", "line 2:"),
    "merge": ("<<<<<<< HEAD", "line 2:"),
    "field missing": ({"rows": None}, "line 2: 'rows'"),
    "wrong type": ({"kept": "six"}, "line 2: 'kept'"),
    "a bool is not a number": ({"kept": True}, "line 2: 'kept'"),
    "digest cut": ({"digest": "abc"}, "line 2: 'digest'"),
    "out of turn": ({"version": 3}, "version 3"),
    "twice": ({"digest": "first"}, "line 1"),
}


@pytest.mark.parametrize("mistake", sorted(BROKEN))
def test_a_broken_line_is_named_by_its_number(tmp_path, mistake):
    """Each way a line can be broken by a hand or a merge is told with its line's number and a hint about git."""
    home = make_home(tmp_path)
    publish_texts(home, make_rows(salt="a"))
    second = publish_texts(home, make_rows(salt="b")).as_json()
    change, expected = BROKEN[mistake]
    path = home.lines("squares")
    first = path.read_text().splitlines()[0]
    if isinstance(change, dict):
        if change.get("digest") == "first":
            change = {"digest": json.loads(first)["digest"]}
        change = json.dumps({**second, **change})
    path.write_text(f"{first}\n{change}\n")
    with fails_with(ErrorCode.VERSION_INDEX_INVALID) as caught:
        published(home, "squares")
    assert expected in caught.value.message
    assert "git" in (caught.value.hint or "")


def test_all_broken_lines_are_reported_in_one_run(tmp_path):
    """Two broken lines are two lines of one message."""
    home = make_home(tmp_path)
    home.lines("squares").write_text("{\n[]\n")
    with pytest.raises(CurationError) as caught:
        published(home, "squares")
    assert "line 1:" in caught.value.message
    assert "line 2:" in caught.value.message


def test_bytes_that_are_no_text_are_a_fault_of_the_file(tmp_path):
    """A file that is not UTF-8 is named, not passed on as a decoding traceback."""
    home = make_home(tmp_path)
    home.lines("squares").write_bytes(b"\xff\xfe\x00")
    with fails_with(ErrorCode.VERSION_INDEX_INVALID):
        published(home, "squares")


def test_lines_with_the_line_ends_of_windows_are_read(tmp_path):
    """A checkout that turned the line ends into CRLF holds the same versions and splits."""
    home = make_home(tmp_path)
    line = publish_texts(home, make_rows())
    for path in (home.lines("squares"), home.split("squares", 1)):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert published(home, "squares") == (line,)
    assert read_chosen(home, "squares", line).height == 6


def test_what_stood_there_before_keeps_its_bytes(tmp_path):
    """A new line is put behind the old bytes, also if the last line end was removed."""
    line = publish_texts(make_home(tmp_path), make_rows())
    assert format_lines(b'{"a": 1}', line).startswith(b'{"a": 1}\n{"version": 1, ')
    assert format_lines(b'{"a":  1}\n', line).startswith(b'{"a":  1}\n{"version": 1, ')


def test_a_description_without_a_field_makes_no_line():
    """A line is never made with a hole in it."""
    with pytest.raises(ValueError, match="'version' is missing"):
        make_line({}, created="2026")


def test_the_split_is_sorted_and_ends_its_lines_with_a_newline(tmp_path):
    """v<n>.csv lists sha256, page, label, split and group, sorted by sha256 and page."""
    rows = [make_row(n, page=page) for n in (3, 1, 2) for page in (2, 1)]
    for row in rows:
        row["id"] = f"{row['id']}#{row['page']}"
    table = split_table(make_manifest(rows).kept)
    assert table.columns == ["sha256", "page", "label", "split", "group"]
    assert table.rows() == sorted(table.rows())
    assert table["page"].to_list() == [1, 2] * 3


def test_a_missing_split_says_how_git_gives_it_back(tmp_path):
    """The hint for a missing v<n>.csv is the git command that restores it."""
    with fails_with(ErrorCode.VERSION_INDEX_INVALID, "v1.csv") as caught:
        read_split(tmp_path / "v1.csv")
    assert f"git checkout -- {tmp_path / 'v1.csv'}" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "sha256,page,label,split,group\nx,one,a,train,x\n", "\x00\xff"])
def test_a_file_that_is_no_split_is_refused(tmp_path, text):
    """Another table, an empty file or bytes are an error that names the file."""
    path = tmp_path / "v1.csv"
    path.write_text(text, encoding="latin-1")
    with fails_with(ErrorCode.VERSION_INDEX_INVALID, "v1.csv"):
        read_split(path)


def test_a_changed_split_is_not_taken_for_the_published_one(tmp_path):
    """A row of v1.csv that was moved by hand is reported, because later versions depend on it."""
    home = make_home(tmp_path)
    line = publish_texts(home, make_rows())
    path = home.split("squares", 1)
    path.write_text(path.read_text().replace(",test,", ",train,", 1))
    with fails_with(ErrorCode.VERSION_INDEX_INVALID, "v1") as caught:
        read_chosen(home, "squares", line)
    assert "git checkout" in (caught.value.hint or "")


def test_renderings_are_compared_by_value():
    """Order of keys makes no difference, a value does."""
    assert same_rendering({"a": 1, "b": [1]}, {"b": [1], "a": 1})
    assert not same_rendering({"a": 1}, {"a": 2})


LABELS = st.text("abcdefghij -+.", min_size=1, max_size=8)


@given(
    kinds=st.lists(st.tuples(LABELS, st.sampled_from(["train", "val", "test"]), st.integers(1, 3)), max_size=6),
    seed=st.randoms(use_true_random=False),
)
def test_a_split_survives_the_disk_whatever_the_order_of_the_rows(tmp_path_factory, kinds, seed):
    """Writing and reading a split gives the same table for every order of the manifest's rows."""
    path = tmp_path_factory.mktemp("split") / "v1.csv"
    rows = [
        {"sha256": sha((index, n)), "page": n + 1, "label": label, "split": split, "group": sha(index)}
        for index, (label, split, count) in enumerate(kinds)
        for n in range(count)
    ]
    schema = {"sha256": pl.String, "page": pl.UInt32, "label": pl.String, "split": pl.String, "group": pl.String}
    table = split_table(pl.DataFrame(rows, schema=schema))
    seed.shuffle(rows)
    split_table(pl.DataFrame(rows, schema=schema)).write_csv(path, line_terminator="\n")
    assert read_split(path).equals(table)


def test_a_line_is_frozen(tmp_path):
    """Versions are never changed, and neither is what mentions them."""
    line = publish_texts(make_home(tmp_path), make_rows())
    assert isinstance(line, VersionLine)
    with pytest.raises(AttributeError):
        line.version = 2
