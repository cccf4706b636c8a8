"""A file is written whole or not at all."""

from pathlib import Path

import pytest

from curation.storage.atomic_files import replace_file, replace_unflushed, sweep_leftovers, write_atomically


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Where the writer fails the old content stands, and no temp file stays."""
    path = tmp_path / "file"
    path.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("replace", [replace_file, replace_unflushed])
def test_a_replaced_file_leaves_nothing_else(tmp_path: Path, replace) -> None:
    """The new content stands under the name, and no temporary file is left."""
    (tmp_path / "file").write_bytes(b"old")
    replace(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_leftovers_of_one_name_are_swept(tmp_path: Path) -> None:
    """Temporary files of that name go, also those that 0.1.0 named; others stay."""
    for name in (".lines.1234.part", "lines.1234.tmp", ".other.1234.part", "lines"):
        (tmp_path / name).touch()
    removed = sweep_leftovers(tmp_path, name="lines")
    assert sorted(path.name for path in removed) == [".lines.1234.part", "lines.1234.tmp"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.1234.part", "lines"]
