"""An export is whole or not there, and is what was published."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import polars as pl
import pytest

from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from curation.exports import export
from curation.exports.rows import Sample
from curation.versions import open_folder
from tests.exports.builders import tree

PROJECT = Path(__file__).resolve().parents[2]


class Counting:
    """A progress that adds up."""

    def __init__(self):
        self.total, self.done, self.open = 0, 0, 0

    def start(self, description, total_bytes):
        self.total, self.open = total_bytes, 1
        return 0

    def advance(self, task, size_bytes):
        self.done += size_bytes

    def finish(self, task):
        self.open = 0


@pytest.fixture
def own(version, tmp_path):
    """Return a copy of the version that a test may spoil."""
    return open_folder(shutil.copytree(version.folder, tmp_path / "own"))


def test_a_target_that_is_not_empty_is_left_alone(version, tmp_path):
    """Nothing is overwritten, and the error reports it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(CurationError) as caught:
        export(version, "csv", tmp_path / "out")
    assert caught.value.code is ErrorCode.TARGET_EXISTS
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_an_empty_target_is_filled(version, tmp_path):
    """An existing empty folder is used."""
    (tmp_path / "out").mkdir()
    done = export(version, "imagefolder", tmp_path / "out")
    assert done.pictures == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("place", ["images", "images/train/new", "."])
def test_a_version_is_not_written_into(version, place):
    """A target inside the version's own folder is refused: it would no longer verify."""
    with pytest.raises(CurationError) as caught:
        export(version, "csv", version.folder / place)
    assert caught.value.code is ErrorCode.TARGET_EXISTS


def test_a_file_in_the_way_is_named(version, tmp_path):
    """A target that is a file, or a link, is refused."""
    (tmp_path / "out").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("out", "link"):
        with pytest.raises(CurationError, match=name) as caught:
            export(version, "csv", tmp_path / name)
        assert caught.value.code is ErrorCode.TARGET_EXISTS


def test_an_unknown_format_is_named(version, tmp_path):
    """The error lists the formats there are."""
    with pytest.raises(CurationError, match="zip") as caught:
        export(version, "zip", tmp_path / "out")
    assert caught.value.code is ErrorCode.FORMAT_UNKNOWN
    assert "imagefolder" in caught.value.hint


@pytest.mark.parametrize("name", ["imagefolder", "huggingface", "tfrecord", "webdataset"])
def test_a_changed_image_stops_the_export(own, tmp_path, name):
    """An image that is not the one that was published does not leave, and nothing else does."""
    victim = sorted(own.folder.glob("images/*/*/*.jpg"))[-1]
    victim.write_bytes(victim.read_bytes()[:-2] + b"\0\0")
    with pytest.raises(CurationError, match=victim.name) as caught:
        export(own, name, tmp_path / "out")
    assert caught.value.code is ErrorCode.VERSION_DAMAGED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_missing_image_stops_the_export(own, tmp_path):
    """It is named before anything is written."""
    victim = sorted(own.folder.glob("images/*/*/*.jpg"))[0]
    victim.unlink()
    with pytest.raises(CurationError, match=victim.name):
        export(own, "csv", tmp_path / "out")


@pytest.mark.parametrize(
    "cells", [{"label": "../../x"}, {"file": "../../../etc/passwd"}, {"file": "/etc/passwd"}, {"split": ".."}]
)
def test_a_manifest_that_leads_out_is_refused(own, tmp_path, cells):
    """A manipulated version cannot make an export read or write elsewhere."""
    first = pl.col("id") == own.manifest.kept["id"][0]
    changes = [pl.when(first).then(pl.lit(value)).otherwise(name).alias(name) for name, value in cells.items()]
    Manifest(own.manifest.rows.with_columns(changes)).write(own.folder / "manifest.parquet")
    with pytest.raises(CurationError) as caught:
        export(open_folder(own.folder), "imagefolder", tmp_path / "out")
    assert caught.value.code is ErrorCode.VERSION_DAMAGED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_link_in_place_of_an_image_is_refused(own, tmp_path):
    """Even where it leads to the right bytes."""
    victim = sorted(own.folder.glob("images/*/*/*.jpg"))[0]
    victim.rename(tmp_path / "elsewhere.jpg")
    victim.symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(CurationError, match=victim.name) as caught:
        export(own, "csv", tmp_path / "out")
    assert caught.value.code is ErrorCode.VERSION_DAMAGED


def test_a_full_disk_leaves_nothing(version, tmp_path, monkeypatch):
    """The error says the disk is full; the target is not there, and no temp folder either."""
    whole = Sample.read
    reads = []

    def read(sample):
        reads.append(sample)
        if len(reads) == 7:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))
        return whole(sample)

    monkeypatch.setattr(Sample, "read", read)
    with pytest.raises(CurationError) as caught:
        export(version, "csv", tmp_path / "out")
    assert caught.value.code is ErrorCode.DISK_FULL
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_cleared(version, tmp_path):
    """The next export to the same place removes it, and only it."""
    (tmp_path / ".out.export-dead" / "train").mkdir(parents=True)
    (tmp_path / ".other.export-dead").mkdir()
    export(version, "webdataset", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.export-dead", "out"]


def test_progress_counts_every_byte_of_every_image(version, tmp_path):
    """For every format the bytes that were announced are the bytes that were reported."""
    for name in ("coco", "csv", "edge-impulse", "fiftyone", "huggingface", "imagefolder", "tfrecord", "webdataset"):
        progress = Counting()
        done = export(version, name, tmp_path / name, progress=progress)
        assert progress.total == progress.done == done.size_bytes > 0
        assert not progress.open


def test_a_result_is_json(version, tmp_path):
    """What came out can be printed as JSON."""
    done = export(version, "webdataset", tmp_path / "out")
    told = json.loads(json.dumps(done.as_json()))
    assert told["version"] == "hostile@v1"
    assert told["folder"] == str(tmp_path / "out")
    assert told["content_digest"] == version.description["content_digest"]


def test_a_tar_says_nothing_of_clock_and_user(version, tmp_path):
    """Times, owners and modes in a shard are the same for everybody."""
    export(version, "webdataset", tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        heads = {(head.mtime, head.uid, head.gid, head.uname, head.gname, head.mode) for head in tar}
    assert heads == {(0, 0, 0, "", "", 0o644)}


def test_a_folder_that_may_not_be_written_to_is_the_users_matter(version, tmp_path):
    """A parent that is a file is reported as an error with a hint, not as a traceback."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CurationError, match="file/out") as caught:
        export(version, "csv", tmp_path / "file" / "out")
    assert caught.value.hint


def test_of_two_exports_at_once_one_wins(version, tmp_path):
    """The other waits, then finds the target full; what is there is whole."""
    failures = []

    def go():
        try:
            export(version, "imagefolder", tmp_path / "out")
        except CurationError as fault:
            failures.append(fault.message)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 2
    assert all("is not empty" in message for message in failures)
    assert len(list((tmp_path / "out").rglob("*.jpg"))) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


DIE = """
import os, signal, sys
from pathlib import Path
from curation.exports import export
from curation.storage.progress import SilentProgress
from curation.versions import open_folder

class Dying(SilentProgress):
    left = 9
    def advance(self, task, size_bytes):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

export(open_folder(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), progress=Dying())
"""


@pytest.mark.slow
def test_a_killed_export_is_not_there_and_the_next_one_is_whole(version, tmp_path):
    """Killed in the middle, it leaves no target; the next export clears up after it and is like any other."""
    run = subprocess.run(
        [sys.executable, "-c", DIE, str(version.folder), "imagefolder", str(tmp_path / "out")],
        cwd=PROJECT,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir())
    export(version, "imagefolder", tmp_path / "out")
    export(version, "imagefolder", tmp_path / "undisturbed")
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "undisturbed"]


ALL = """
import sys
from pathlib import Path
from curation.exports import FORMATS, export
from curation.versions import open_folder

for name in FORMATS:
    export(open_folder(Path(sys.argv[1])), name, Path(sys.argv[2]) / name)
"""


@pytest.mark.slow
def test_neither_process_nor_hash_seed_shows_in_an_export(version, tmp_path):
    """Two processes that hash strings differently, one of them from a copy of the version, write the same bytes."""
    copy = shutil.copytree(version.folder, tmp_path / "copy")
    for seed, folder in (("1", version.folder), ("2", copy)):
        subprocess.run(
            [sys.executable, "-c", ALL, str(folder), str(tmp_path / seed)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
    assert tree(tmp_path / "1") == tree(tmp_path / "2")
