"""A full or read-only disk is told in plain words."""

import contextlib
import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curation.errors import CurationError, ErrorCode
from curation.init import start_dataset
from curation.storage.disk_errors import explain_disk_faults
from curation.versions import (
    Home,
    carry_out,
    locked,
    open_draft,
    open_staging,
    plan_gc,
    published,
    recover,
    verify,
    write_draft,
)
from tests.disks import mount_disk
from tests.errors import fails_with
from tests.versions.builders import fill, make_home, make_manifest, make_recipe, make_rows, publish

NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 1 MB, which only root may; skip where that is not allowed."""
    with mount_disk(tmp_path / "disk", size="1m") as folder:
        yield folder


def leave(folder, free):
    """Fill the disk up to ``free`` bytes, to whole blocks."""
    state = os.statvfs(folder)
    (folder / "ballast").write_bytes(b"\0" * (state.f_bavail * state.f_bsize - free))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_fault_of_the_disk_says_what_to_do(tmp_path, number):
    """Full, over quota, read-only and forbidden each become an error with the file and a hint."""
    with pytest.raises(CurationError, match="v1 could not be written: ") as caught, explain(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "a"))
    assert str(tmp_path / "a") in caught.value.message
    assert caught.value.hint


def explain(folder):
    """Return the block that explains faults in ``folder``."""
    return explain_disk_faults("v1 could not be written", within=folder)


@pytest.mark.parametrize(
    "fault",
    [
        FileNotFoundError(errno.ENOENT, "gone", "a"),
        PermissionError(errno.EACCES, "not yours", "/elsewhere/a"),
        ValueError("a bug"),
        CurationError(ErrorCode.OFFLINE, "as it is", hint="kept"),
    ],
)
def test_any_other_fault_passes_unchanged(tmp_path, fault):
    """A missing file, a forbidden file of another user's and a bug are not called a fault of this disk."""
    with pytest.raises(type(fault)) as caught, explain(tmp_path):
        raise fault
    assert caught.value is fault


@pytest.mark.parametrize("free", [0, 4096, 16384, 24576, 32768, 49152, 65536, 81920, 98304])
def test_a_full_disk_loses_nothing(small_disk, free):
    """However little is free, the error reports it, the old version stays whole, and with space the build finishes."""
    home = make_home(small_disk)
    publish(home, make_rows(salt="a"))
    before = home.lines("squares").read_bytes()
    leave(small_disk, free)
    with contextlib.suppress(CurationError):
        publish(home, make_rows(salt="b"))
    assert home.lines("squares").read_bytes().startswith(before)
    (small_disk / "ballast").unlink()
    assert publish(home, make_rows(salt="b")).outcome in {"published", "unchanged"}
    for number in (1, 2):
        assert verify(home, f"squares@v{number}").problems == ()
    assert sorted(path.name for path in home.builds("squares").iterdir()) == [".lock", "v1", "v2"]


@pytest.mark.parametrize("step", ["stage", "tables", "draft"])
def test_a_full_disk_is_told_as_such_wherever_it_is_met(small_disk, step):
    """Images, Parquet and drafts give the one error with a hint about space, and leave no temp folder."""
    home = make_home(small_disk)
    publish(home, make_rows(salt="a"))
    leave(small_disk, 8192)
    with locked(home, "squares") as held, fails_with(ErrorCode.DISK_FULL) as caught:
        write_much(held, step)
    assert "gc" in (caught.value.hint or "")
    assert sorted(path.name for path in home.builds("squares").iterdir()) == [".lock", "v1"]


def write_much(held, step):
    """Write more than there is room for: images, a table, or a draft."""
    manifest = make_manifest([*make_rows(), *make_rows([("dark", "train", 500)], salt="many")])
    if step == "draft":
        write_draft(held, manifest, stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "x"))
        return
    with open_staging(held) as build:
        if step == "stage":
            (build.folder / "a.jpg").write_bytes(b"\0" * 99999)
        manifest.write(build.folder / "manifest.parquet")


def test_a_full_disk_at_the_last_step_is_finished_by_the_next_sweep(small_disk, tmp_path):
    """Where the folder was moved into place and git's texts found no room, the next run writes them."""
    home = Home(tmp_path / "datasets")
    make_home(tmp_path)
    (home.dataset("squares") / "recipe.toml").unlink()
    home.dataset("squares").rmdir()
    (small_disk / "squares").mkdir()
    home.dataset("squares").symlink_to(small_disk / "squares")
    (small_disk / "squares" / "recipe.toml").write_text("")
    leave(small_disk, 0)
    with fails_with(ErrorCode.DISK_FULL, "v1"):
        publish(home, make_rows())
    assert home.build("squares", 1).is_dir()
    assert published(home, "squares") == ()
    (small_disk / "ballast").unlink()
    with locked(home, "squares") as held:
        assert len(recover(held)) == 1
    assert [line.version for line in published(home, "squares")] == [1]
    assert verify(home, "squares").problems == ()


def test_a_full_disk_can_be_made_room_on(small_disk):
    """gc wrote its name into the lock first, so that nothing could be freed where nothing was free."""
    home = make_home(small_disk)
    publish(home, make_rows())
    leave(small_disk, 0)
    assert [target.name for target in carry_out(plan_gc(home, keep=0))] == ["squares"]
    assert not home.build("squares", 1).exists()


@pytest.mark.parametrize("full", [True, False])
def test_a_recipe_that_finds_no_room_is_told(small_disk, full):
    """init on a full or read-only disk ended in a traceback."""
    (small_disk / "datasets").mkdir()
    leave(small_disk, 0)
    if not full:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with fails_with(ErrorCode.DISK_FULL if full else ErrorCode.DISK_READ_ONLY, "recipe.toml") as caught:
        start_dataset(Home(small_disk / "datasets"), "pets")
    assert caught.value.hint


def test_a_read_only_disk_is_told_and_can_still_be_read(small_disk):
    """A build on a read-only disk reports it; what is published there can be verified, shown and planned for."""
    home = make_home(small_disk)
    publish(home, make_rows())
    with locked(home, "squares") as held:
        write_draft(held, make_manifest(make_rows()), stage="select", fault=CurationError(ErrorCode.COUNT_SHORT, "x"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with fails_with(ErrorCode.DISK_READ_ONLY) as caught:
        publish(home, make_rows())
    assert "CURATION_DATASETS" in (caught.value.hint or "")
    assert verify(home, "squares").problems == ()
    assert open_draft(home, "squares").reason == "x"
    assert len(plan_gc(home, keep=0).targets) == 2


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Be a user who may read a folder and not write it; root becomes the user `nobody` for that time."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    """A user without the right to write is told where."""
    publish(make_home(tmp_path), make_rows())  # what is imported late is imported while everything may be read
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        home = make_home(Path(name))
        with without_rights(home.datasets), fails_with(ErrorCode.PERMISSION_DENIED):
            publish(home, make_rows())


def test_a_version_that_fits_is_written_to_a_small_disk(small_disk):
    """The small disk of these tests has room for a version: what fails there fails for want of space."""
    home = make_home(small_disk)
    with locked(home, "squares") as held, open_staging(held) as build:
        fill(build.folder, make_rows(), make_recipe(), number=1)
    assert publish(home, make_rows()).outcome == "published"
    assert Path(home.build("squares", 1)).is_dir()
