"""A folder that replaces the network: ``kaggle/<owner>/<dataset>.zip`` and ``figshare/<article>/<file>``.

An archive may also have been unpacked there by hand; its members then have the same paths as inside the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError, ErrorCode
from curation.sources.folder import identify_archive
from curation.sources.protocol import Fetched, Request
from curation.storage.archive_members import name_system_file
from curation.storage.archives import archive_kind

if TYPE_CHECKING:
    from curation.dataset.recipe import FigshareSource, KaggleSource


def find_kaggle(mirror: Path, dataset: str) -> Path:
    """Return the mirror's copy of a Kaggle dataset: the zip, else the folder it was unpacked to.

    Raises
    ------
    CurationError
        Neither exists; the error names both.
    """
    folder = mirror.joinpath("kaggle", *dataset.split("/"))
    archive = folder.with_name(folder.name + ".zip")
    if archive.is_file():
        return archive
    if folder.is_dir():
        return folder
    raise _missing(mirror, f"the Kaggle dataset {dataset}", [archive, folder])


def find_figshare(mirror: Path, article: int, patterns: Sequence[str]) -> tuple[Path, ...]:
    """Return the mirror's copy of an article: its files, else the folder they were unpacked in.

    If the folder contains an archive, the files that match a pattern are the article's files. Otherwise the folder is
    an unpacked archive, or the loose files.

    Raises
    ------
    CurationError
        Nothing is there, nothing matches, or there are both archives and folders.
    """
    folder = mirror / "figshare" / str(article)
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if not found:
        raise _missing(mirror, f"the figshare article {article}", [folder / "<file name>"])
    files = [path for path in found if path.is_file() and not _is_left(path)]
    if not any(archive_kind(path) != "file" for path in files):
        return (folder,)
    folders = [path.name for path in found if path.is_dir() and path.name != "__MACOSX"]
    if folders:
        raise CurationError(
            ErrorCode.MIRROR_INCOMPLETE,
            f"{folder}: there are archives and folders ({', '.join(folders)}), so it is not clear what to read",
            hint="Keep either the archives as they were downloaded or the folders they were unpacked to.",
        )
    chosen = [path for path in files if any(fnmatchcase(path.name, pattern) for pattern in patterns)]
    if not chosen:
        raise _missing(mirror, f"the figshare article {article}", [folder / pattern for pattern in patterns])
    return tuple(chosen)


def _is_left(path: Path) -> bool:
    """Return whether a file is hidden or a system file."""
    return path.name.startswith(".") or name_system_file(path.name) is not None


def fetch_kaggle(request: Request[KaggleSource], mirror: Path) -> Fetched:
    """Take a Kaggle dataset from the mirror."""
    return _take(request, (find_kaggle(mirror, request.settings.dataset),))


def fetch_figshare(request: Request[FigshareSource], mirror: Path) -> Fetched:
    """Take a figshare article from the mirror."""
    return _take(request, find_figshare(mirror, request.settings.article, request.settings.files))


def _take(request: Request[Any], paths: Sequence[Path]) -> Fetched:
    archives = tuple(identify_archive(path, cache=request.cache, progress=request.progress) for path in paths)
    return Fetched(
        source=request.name,
        archives=archives,
        version=None,
        licence=None,
        doi=None,
        citation=None,
        url=None,
        origin="mirror",
    )


def _missing(mirror: Path, what: str, looked_for: Sequence[Path]) -> CurationError:
    if not mirror.is_dir():
        return CurationError(
            ErrorCode.MIRROR_INCOMPLETE,
            f"the mirror {mirror} is not a folder",
            hint="Give --mirror the folder that contains kaggle/ and figshare/.",
        )
    places = "\n".join(f"  {path}" for path in looked_for)
    return CurationError(
        ErrorCode.MIRROR_INCOMPLETE,
        f"the mirror {mirror} does not contain {what}; looked for:\n{places}",
        hint="Download it by hand and put it at one of these places.",
    )
