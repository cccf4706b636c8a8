"""Whatever name the tool prints for a file, pasted back it finds that file."""

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from curation.storage.archive_members import storable_name
from curation.storage.control_characters import show_line
from curation.versions.image_lookup import find_rows

NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/"), min_size=1, max_size=12)


def table(*paths):
    """Return the columns of a manifest that a lookup reads."""
    cells = {"id": [f"src/{path}" for path in paths], "path": list(paths), "file": [None] * len(paths)}
    kinds = dict.fromkeys(("id", "path", "file", "sha256"), pl.String)
    return pl.DataFrame({**cells, "sha256": [f"{place:064x}" for place in range(len(paths))]}, schema=kinds)


@given(NAMES)
@example("back\\slash.jpg")
@example("final space.jpg ")
@example(" first space.jpg")
@example("caf\\xe9.jpg")
@example("a\x1b[31m\\x1b.jpg")
@example("two\nlines\r.jpg")
@example("line separator\u2028.jpg\n")
@example("e\u0301.jpg")
def test_an_id_as_it_is_printed_finds_its_row(name):
    """Control characters, backslashes, escapes of undecodable bytes and spaces at either end lose no file."""
    path = storable_name(f"cat/{name}")
    rows = table("cat/other.jpg", path, "dog/other.jpg")
    assert path in find_rows(rows, show_line(f"src/{path}"))["path"].to_list()
    assert path in find_rows(rows, f"src/{path}")["path"].to_list()


def test_an_undecodable_name_is_found_as_the_shell_completes_it():
    """The shell hands over the raw bytes of the name, which Python holds as surrogates."""
    rows = table(storable_name("cat/caf\udce9.jpg"), "cat/other.jpg")
    assert find_rows(rows, "cat/caf\udce9.jpg").height == 1


def test_a_whole_id_means_that_row_alone():
    """The id of one file may be the end of another file's path."""
    rows = table("a.jpg", "copy/src/a.jpg")
    assert find_rows(rows, "src/a.jpg")["path"].to_list() == ["a.jpg"]


def test_a_path_with_backslashes_is_found():
    """A path copied from Windows means the same file."""
    rows = table("cat/a.jpg", "cat/b.jpg")
    assert find_rows(rows, r"cat\a.jpg")["path"].to_list() == ["cat/a.jpg"]
