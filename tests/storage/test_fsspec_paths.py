"""Sources and cache behind a URL, against an S3 server on loopback."""

import pickle
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from curation.engines import Local
from curation.errors import ErrorCode
from curation.pipeline import Options, build
from curation.sources.folder import identify_archive
from curation.storage import fsspec_paths
from curation.storage.archive_members import UnreadableMember
from curation.storage.archives import list_members, read_member
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import RemotePath, locate
from curation.storage.progress import SilentProgress
from curation.versions import Home
from tests.builders import tiny_images, write_recipe, write_source
from tests.errors import fails_with
from tests.sources.s3 import bucket, put_files

__all__ = ["bucket"]


def test_a_url_survives_being_a_path() -> None:
    """Names, parents and joins are a path's, and the URL comes back whole, also from a pickle."""
    path = locate("s3://bucket/a") / "b" / "set.zip"
    assert isinstance(path, RemotePath)
    assert (path.url, path.name, path.suffix) == ("s3://bucket/a/b/set.zip", "set.zip", ".zip")
    assert isinstance(path.parent, RemotePath)
    assert path.parent.url == "s3://bucket/a/b"
    assert pickle.loads(pickle.dumps(path)) == path  # noqa: S301 - the test's own
    assert not isinstance(locate("a/b"), RemotePath)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_a_source_behind_a_url_lists_and_reads_as_the_local_one(tmp_path: Path, bucket: RemotePath, kind: str) -> None:
    """Members, their bytes and the archive's own sha256 are the same, of a folder and of each kind of archive."""
    files = {"a/one.jpg": b"one" * 1000, "b/two.jpg": b"two" * 2000, "three.txt": b""}
    folder = write_source(tmp_path / "set", files)
    local = folder
    if kind == "folder":
        put_files(bucket / "set", folder)
        away = bucket / "set"
    else:
        local = tmp_path / f"set.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(local, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(local, "w:gz" if kind == "tar.gz" else "w") as tar:
                for name in files:
                    tar.add(folder / name, name)
        away = bucket / local.name
        away.upload(local)
    cache, silence = Cache(), SilentProgress()
    here, there = (identify_archive(path, cache=cache, progress=silence) for path in (local, away))
    assert (here.sha256, here.size_bytes, here.name) == (there.sha256, there.size_bytes, there.name)
    members = list_members(there.path, name=there.name)
    assert [(m.path, m.size_bytes) for m in members] == [(m.path, m.size_bytes) for m in list_members(local)]
    assert {member.path: read_member(there.path, member) for member in members} == files


@pytest.mark.slow
def test_what_changed_behind_a_url_is_told(bucket: RemotePath) -> None:
    """An object that was exchanged or removed after the listing is unreadable; none of it is guessed."""
    (bucket / "set/a.jpg").write_bytes(b"before")
    (bucket / "set/b.jpg").write_bytes(b"before")
    a, b = list_members(bucket / "set")
    (bucket / "set/a.jpg").write_bytes(b"after that")
    (bucket / "set/b.jpg").unlink()
    with pytest.raises(UnreadableMember, match="changed since"):
        read_member(bucket / "set", a)
    with pytest.raises(UnreadableMember, match="gone"):
        read_member(bucket / "set", b)


@pytest.mark.slow
def test_a_changed_object_is_hashed_again_and_an_unchanged_one_is_not(bucket: RemotePath) -> None:
    """The store's own mark stands for the inode: the same size and second do not hide a change."""
    (bucket / "a.bin").write_bytes(b"before")
    cache, silence = Cache(), SilentProgress()
    before = identify_archive(bucket / "a.bin", cache=cache, progress=silence).sha256
    (bucket / "a.bin").write_bytes(b"after!")
    assert identify_archive(bucket / "a.bin", cache=cache, progress=silence).sha256 != before


@pytest.mark.slow
def test_a_build_from_a_url_with_a_cache_behind_a_url_has_the_same_digest(tmp_path: Path, bucket: RemotePath) -> None:
    """The findings of one machine are used by the next from the shared cache: no image is decoded again."""
    folder = write_source(tmp_path / "images", tiny_images())
    put_files(bucket / "images", folder)
    write_recipe(tmp_path / "here", images=folder)
    write_recipe(tmp_path / "away", images=Path("s3://pictures/images"))
    here = build("tiny", Options(home=Home(tmp_path / "here"), engine=Local(1)))
    away = Options(home=Home(tmp_path / "away"), engine=Local(1), cache=Cache(bucket / "cache"))
    there = build("tiny", away)
    assert here.line is not None
    assert there.line is not None
    assert there.line.digest == here.line.digest
    assert there.line.content_digest == here.line.content_digest
    kept = [name for name, _ in (bucket / "cache").files()]
    assert any(name.startswith("probe/") for name in kept)
    (bucket / "images/melanoma/m0.jpg").unlink()
    write_recipe(tmp_path / "third", images=folder)
    third = Options(home=Home(tmp_path / "third"), engine=Forbidden(), cache=Cache(bucket / "cache"))
    assert build("tiny", third, until="select").manifest.kept.height == here.manifest.kept.height


class Forbidden(Local):
    """An engine that has nothing to do."""

    def as_completed(self, function, shards):  # type: ignore[no-untyped-def]  # as the engine has it
        """Fail: everything was known."""
        raise AssertionError(f"{len(shards)} shards were read again")


@pytest.mark.slow
def test_no_bucket_is_told_with_what_to_do(tmp_path: Path, bucket: RemotePath) -> None:
    """A source that is not there names its URL."""
    write_recipe(tmp_path, images=Path("s3://pictures/nothing-here"))
    with fails_with(ErrorCode.SOURCE_MISSING, "s3://pictures/nothing-here"):
        build("tiny", Options(home=Home(tmp_path)))


def test_an_unknown_scheme_is_an_error() -> None:
    """The error names the scheme."""
    with fails_with(ErrorCode.URL_FAILED, "gopher://") as caught:
        locate("gopher://host/set.zip").exists()
    assert "gs://" in str(caught.value.hint)


@pytest.fixture
def schemes(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test exchange the library of a scheme, and undo it afterwards."""
    pytest.importorskip("fsspec", reason="fsspec is an extra")
    fsspec_paths._open_system.cache_clear()
    yield monkeypatch
    fsspec_paths._open_system.cache_clear()


def test_a_scheme_without_its_library_names_the_library(schemes: pytest.MonkeyPatch) -> None:
    """``gs://`` needs gcsfs, and the error tells how to have it."""
    schemes.setitem(sys.modules, "gcsfs", None)
    with fails_with(ErrorCode.EXTRA_MISSING, "gs://") as caught:
        locate("gs://bucket/set.zip").exists()
    assert "pip install gcsfs" in (caught.value.hint or "")


def test_a_build_reads_whatever_scheme_fsspec_speaks(tmp_path: Path, schemes: pytest.MonkeyPatch) -> None:
    """Nothing hangs on S3: sources and cache behind ``gs://`` give the digest of the local folder."""
    from fsspec.implementations.memory import MemoryFileSystem
    from fsspec.registry import _registry

    class Bucket(MemoryFileSystem):
        """A store in memory that answers to gs://."""

        protocol = ("gs",)
        store: ClassVar[dict[str, object]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(MemoryFileSystem._strip_protocol(path.removeprefix("gs:/")))

    schemes.setitem(_registry, "gs", Bucket)
    folder = write_source(tmp_path / "images", tiny_images())
    put_files(RemotePath("gs://pictures/images"), folder)
    write_recipe(tmp_path / "here", images=folder)
    write_recipe(tmp_path / "away", images=Path("gs://pictures/images"))
    here = build("tiny", Options(home=Home(tmp_path / "here"), engine=Local(1)))
    cache = Cache(RemotePath("gs://pictures/cache"))
    there = build("tiny", Options(home=Home(tmp_path / "away"), engine=Local(1), cache=cache))
    assert here.line is not None
    assert there.line is not None
    assert there.line.digest == here.line.digest
    assert any(name.startswith("probe/") for name, _ in RemotePath("gs://pictures/cache").files())
