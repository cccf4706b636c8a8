"""Built versions behind a URL: uploaded with ``version.json`` last, and read back for verification.

An object store writes single objects and has no renames, so a folder is not published in one step: ``version.json`` is
the mark, and a folder without it is an incomplete upload, which the next one finishes. Two machines that upload the
same version write the same bytes. Two different versions under one number are refused, unless both uploads begin at the
same moment, which cannot be prevented here: let one machine publish.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from curation.errors import CurationError, ErrorCode
from curation.storage.folders import list_files
from curation.storage.fsspec_paths import RemotePath
from curation.storage.hash_index import hash_file
from curation.versions.store import open_folder
from curation.versions.verify import Verification, check_folder

MARK = "version.json"


@dataclass(frozen=True)
class Uploaded:
    """The result of an upload: where the version is, its files, and how many of them were sent."""

    url: str
    files: int
    sent: int


def upload(folder: Path, builds: str) -> Uploaded:
    """Copy a built version to ``<builds>/<name>/v<n>/``; files that are there in the same size are not sent again.

    Raises
    ------
    CurationError
        Where there is another version, or the store cannot be written.
    """
    version = open_folder(folder)
    target = RemotePath(builds) / version.name / f"v{version.number}"
    try:
        present = dict(target.files()) if target.exists() else {}
        if MARK in present:
            _refuse_other(folder, target)
            return Uploaded(target.url, len(present), 0)
        names = sorted(list_files(folder), key=lambda name: (name == MARK, name))
        missing = [name for name in names if present.get(name) != (folder / name).stat().st_size]
        for name in missing:
            (target / name).upload(folder / name)
    except OSError as fault:
        raise CurationError(
            ErrorCode.URL_FAILED,
            f"{target}: cannot be written: {fault}",
            hint="The version is published on this machine; run the command again to continue the upload.",
        ) from fault
    return Uploaded(target.url, len(names), len(missing))


def _refuse_other(folder: Path, target: RemotePath) -> None:
    with tempfile.TemporaryDirectory() as place:
        mark = Path(place) / MARK
        (target / MARK).download(mark)
        if hash_file(mark) != hash_file(folder / MARK):
            raise CurationError(
                ErrorCode.TARGET_EXISTS,
                f"{target}: there is another version with this number",
                hint="Give --upload another URL, or move that version away.",
            )


def verify_url(url: str) -> Verification:
    """Read a version back from behind its URL and check every byte, from its own files alone.

    Raises
    ------
    CurationError
        Where there is no complete version.
    """
    source = RemotePath(url)
    try:
        names = [name for name, _ in source.files()] if source.exists() else []
        if MARK not in names:
            what = "an upload that was not finished" if names else "nothing"
            raise CurationError(
                ErrorCode.VERSION_MISSING,
                f"{url}: not a complete version but {what}",
                hint="Give the URL of one version, .../<name>/v<n>, or upload it again.",
            )
        with tempfile.TemporaryDirectory() as place:
            for name in names:
                (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).download(Path(place) / name)
            return replace(check_folder(Path(place)), folder=source)
    except OSError as fault:
        raise CurationError(ErrorCode.URL_FAILED, f"{url}: cannot be read: {fault}") from fault
