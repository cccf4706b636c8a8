"""What the audit measures is kept by a file's sha256, for builds alone."""

from pathlib import Path

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from curation.audit.measurements import Measured, measure_version
from curation.engines import Local
from curation.storage.cache import Cache
from tests.audit.builders import jpeg, lesion, make_version, sample, with_exif


def assert_equal(one: Measured, other: Measured) -> None:
    """Fail unless two sets of measurements are the same."""
    assert_frame_equal(one.table, other.table)
    assert np.array_equal(one.gray, other.gray)
    assert np.array_equal(one.color, other.color)
    assert (one.unreadable, one.embedded) == (other.unreadable, other.embedded)


def samples(count: int) -> list[dict[str, object]]:
    """Return lesions, one with metadata and one that is no image."""
    found = [sample(f"{number}.jpg", jpeg(lesion(number, side=64))) for number in range(count)]
    found.append(sample("exif.jpg", with_exif(lesion(90, side=64))))
    found.append(sample("broken.jpg", b"not an image"))
    return found


def test_kept_measurements_are_those_of_the_files(tmp_path):
    """Measured, kept and read again: the same table, pixels, reasons and metadata."""
    version, cache = make_version(tmp_path / "v1", samples(5)), Cache(tmp_path / "cache")
    plain = measure_version(version)
    assert len(plain.unreadable) == 1
    assert_equal(measure_version(version, cache=cache), plain)
    assert_equal(measure_version(version, cache=cache), plain)


def test_only_a_build_trusts_what_was_kept(tmp_path):
    """With the cache a file that is gone is not missed; without it, as the commands do, every file is read."""
    version, cache = make_version(tmp_path / "v1", samples(3)), Cache(tmp_path / "cache")
    measure_version(version, cache=cache)
    (gone,) = version.samples().filter(pl.col("id") == "src/melanoma/0.jpg")["file"]
    Path(gone).unlink()
    assert len(measure_version(version, cache=cache).unreadable) == 1
    assert len(measure_version(version).unreadable) == 2


def test_a_damaged_cache_is_measured_again(tmp_path):
    """A shard that is not a table is ignored."""
    version, cache = make_version(tmp_path / "v1", samples(3)), Cache(tmp_path / "cache")
    plain = measure_version(version, cache=cache)
    for shard in (tmp_path / "cache").rglob("*.parquet"):
        shard.write_bytes(b"damaged")
    assert_equal(measure_version(version, cache=cache), plain)


class Sent(Local):
    """An engine whose workers do not see the files: contents are sent, as with a cluster."""

    is_remote = True


def test_files_are_sent_to_workers_that_do_not_see_them(tmp_path):
    """The measurements are the same, and a missing file has the same reason."""
    version = make_version(tmp_path / "v1", samples(3))
    Path(version.samples()["file"][1]).unlink()
    assert_equal(measure_version(version, engine=Sent()), measure_version(version))
