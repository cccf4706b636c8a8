"""Versions behind a URL: whole or unmistakably not, against an S3 server on loopback."""

from pathlib import Path

import polars as pl
import pytest

from curation.cli import main
from curation.engines import Local
from curation.errors import ErrorCode
from curation.pipeline import Built, Options, build
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import RemotePath
from curation.versions import Home, forget, plan_forget, upload
from curation.versions.problems import ProblemCode
from curation.versions.upload import verify_url
from tests.builders import tiny_images, write_recipe, write_source
from tests.errors import fails_with
from tests.sources.s3 import bucket

__all__ = ["bucket"]

pytestmark = pytest.mark.slow


def make_version(folder: Path, *, short_side: int = 48, to: str | None = None) -> Built:
    """Build a tiny version, and upload it where a URL is given."""
    images = write_source(folder / "images", tiny_images())
    dataset = write_recipe(folder / "datasets", images=images)
    recipe = dataset / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("short_side = 48", f"short_side = {short_side}"))
    return build("tiny", Options(home=Home(folder / "datasets"), engine=Local(1), upload=to))


def test_an_uploaded_version_is_whole_and_verified_from_its_url(tmp_path: Path, bucket: RemotePath) -> None:
    """Every file is there, byte by byte; building again sends nothing; the command line verifies it."""
    built = make_version(tmp_path, to="s3://pictures/builds")
    assert built.folder is not None
    there = dict((bucket / "builds/tiny/v1").files())
    here = {p.relative_to(built.folder).as_posix(): p.stat().st_size for p in built.folder.rglob("*") if p.is_file()}
    assert there == here
    checked = verify_url("s3://pictures/builds/tiny/v1")
    assert checked.problems == ()
    assert checked.checked["pictures"] == 16
    assert main(["verify", "s3://pictures/builds/tiny/v1"]) == 0
    assert any("0 of" in note for note in make_version(tmp_path, to="s3://pictures/builds").notes)


def test_what_is_forgotten_goes_from_behind_the_url(
    tmp_path: Path, bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uploaded copy of a version that is withdrawn is removed; a version without the image stays."""
    monkeypatch.setenv("CURATION_CONFIG", str(tmp_path / "config"))
    built = make_version(tmp_path, to="s3://pictures/builds")
    home, cache = Home(tmp_path / "datasets"), Cache(tmp_path / "cache")
    path = built.manifest.rows.filter(pl.col("split").is_not_null())["path"].item(0)
    (bucket / "builds/other/v1/kept.txt").write_bytes(b"kept")
    plan = plan_forget(home, "tiny", files=[path], cache=cache, uploads=["s3://pictures/builds"])
    assert [str(each.path) for each in plan.held if each.kind == "upload"] == ["s3://pictures/builds/tiny/v1"]
    assert (bucket / "builds/tiny/v1/version.json").read_bytes(), "a plan changes nothing"
    forget(home, plan, uploads=["s3://pictures/builds"])
    assert [name for name, _ in (bucket / "builds").files()] == ["other/v1/kept.txt"]


def test_a_changed_image_behind_the_url_is_found(tmp_path: Path, bucket: RemotePath) -> None:
    """One flipped byte, same size."""
    make_version(tmp_path, to="s3://pictures/builds")
    picture = next(name for name, _ in (bucket / "builds/tiny/v1").files() if name.endswith(".jpg"))
    content = bytearray((bucket / "builds/tiny/v1" / picture).read_bytes())
    content[-20] ^= 1
    (bucket / "builds/tiny/v1" / picture).write_bytes(bytes(content))
    problems = verify_url("s3://pictures/builds/tiny/v1").problems
    assert (ProblemCode.FILE_CHANGED, picture) in {(problem.code, problem.place) for problem in problems}
    assert main(["verify", "s3://pictures/builds/tiny/v1"]) == 1


def test_an_upload_that_was_cut_short_is_no_version_and_is_finished_by_the_next(
    tmp_path: Path, bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """version.json comes last: without it nothing is published, and what was sent is not sent again."""
    sent: list[str] = []
    put = RemotePath.upload

    def break_off(self: RemotePath, file: Path) -> None:
        if len(sent) == 5:
            raise OSError(32, "the connection was lost")
        sent.append(self.name)
        put(self, file)

    monkeypatch.setattr(RemotePath, "upload", break_off)
    with fails_with(ErrorCode.URL_FAILED, "the connection was lost") as caught:
        make_version(tmp_path, to="s3://pictures/builds")
    assert "is published on this machine" in str(caught.value.hint)
    with fails_with(ErrorCode.VERSION_MISSING):
        verify_url("s3://pictures/builds/tiny/v1")
    monkeypatch.setattr(RemotePath, "upload", put)
    note = make_version(tmp_path, to="s3://pictures/builds").notes[-1]
    total = len((bucket / "builds/tiny/v1").files())
    assert f"{total - 5} of {total} files" in note
    assert verify_url("s3://pictures/builds/tiny/v1").problems == ()


def test_another_version_under_the_same_number_is_never_overwritten(tmp_path: Path, bucket: RemotePath) -> None:
    """Two machines that both made a v1: the second is told, and the first one's stays whole."""
    make_version(tmp_path / "one", to="s3://pictures/builds")
    other = make_version(tmp_path / "two", short_side=32)
    assert other.folder is not None
    with fails_with(ErrorCode.TARGET_EXISTS):
        upload.upload(other.folder, "s3://pictures/builds")
    assert verify_url("s3://pictures/builds/tiny/v1").problems == ()
