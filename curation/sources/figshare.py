"""Articles on figshare, through its public API."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from curation.errors import CurationError, ErrorCode
from curation.sources import offline_mirror
from curation.sources.lock import check_unchanged, find_locked
from curation.sources.protocol import Fetched, LockedFile, Request
from curation.storage.archive_index import Archive
from curation.storage.archive_members import number_path
from curation.storage.progress import show_progress

# What talks to the network is imported where the network is asked: a build from the cache or a mirror starts a tenth
# of a second sooner without it.
if TYPE_CHECKING:
    import httpx

    from curation.dataset.recipe import FigshareSource
    from curation.storage.retry import RetryPolicy

_API = "https://api.figshare.com"
_LISTED_WITH_ARTICLE = 10
_PAGE = 100


class _File(BaseModel):
    id: int
    name: str
    size: int
    download_url: str
    computed_md5: str | None = None
    supplied_md5: str | None = None
    is_link_only: bool = False

    @property
    def md5(self) -> str | None:
        return self.computed_md5 or self.supplied_md5 or None


class _Licence(BaseModel):
    name: str


class _Article(BaseModel):
    version: int | None = None
    files: tuple[_File, ...] = ()
    license: _Licence | None = None
    doi: str | None = None
    citation: str | None = None
    url_public_html: str | None = None


def fetch(request: Request[FigshareSource], *, policy: RetryPolicy | None = None) -> Fetched:
    """Take an article's files from the mirror, the cache or figshare.

    Parameters
    ----------
    request : Request
    policy : RetryPolicy, optional
        How long to try where the network or the server fails.
    """
    if request.mirror is not None:
        return offline_mirror.fetch_figshare(request, request.mirror)
    asked = _ask(request.settings)
    if (fetched := find_locked(request, asked, by_hand=_manual_download(request.settings.article))) is not None:
        return fetched
    from curation.sources.download import open_client
    from curation.storage.retry import RetryPolicy

    with open_client() as client:
        return _fetch(request, client, asked, policy or RetryPolicy())


def _ask(settings: FigshareSource) -> str:
    version = "" if settings.version is None else f", version {settings.version}"
    files = "" if tuple(settings.files) == ("*",) else f", files {' '.join(settings.files)}"
    return f"figshare article {settings.article}{version}{files}"


def _fetch(request: Request[FigshareSource], client: httpx.Client, asked: str, policy: RetryPolicy) -> Fetched:
    article = _read_article(client, request.settings, policy)
    files = _choose_files(request, article.files)
    version = None if article.version is None else str(article.version)
    listed = [LockedFile(file.name, file.size, "", file.md5) for file in files]
    check_unchanged(request, version=version, files=listed)
    archives = tuple(_take_file(request, client, file, policy) for file in files)
    arrived = [LockedFile(archive.name, archive.size_bytes, archive.sha256, archive.md5) for archive in archives]
    check_unchanged(request, version=version, files=arrived)
    return Fetched(
        source=request.name,
        archives=archives,
        version=version,
        licence=article.license.name if article.license else None,
        doi=article.doi or None,
        citation=article.citation or None,
        url=article.url_public_html,
        origin="network",
        asked=asked,
    )


def _read_article(client: httpx.Client, settings: FigshareSource, policy: RetryPolicy) -> _Article:
    from curation.sources.download import get_json

    base = os.environ.get("FIGSHARE_API", _API).rstrip("/").removesuffix("/v2")
    url = f"{base}/v2/articles/{settings.article}"
    if settings.version is not None:
        url += f"/versions/{settings.version}"
    try:
        article = _Article.model_validate(get_json(client, url, policy=policy))
        if len(article.files) < _LISTED_WITH_ARTICLE:
            return article
        # The article lists only so many of its files; the whole list has pages of its own.
        files: list[_File] = []
        page = 0
        while len(files) == page * _PAGE:
            page += 1
            listing = get_json(client, f"{url}/files", params={"page": page, "page_size": _PAGE}, policy=policy)
            files += [_File.model_validate(file) for file in listing]
    except (ValidationError, TypeError) as error:
        raise CurationError(
            ErrorCode.NETWORK_FAILED,
            f"{url}: the answer is not what figshare documents: {error}",
            hint="Run it again later, or build from a mirror.",
        ) from error
    return article.model_copy(update={"files": tuple(files)})


def _choose_files(request: Request[FigshareSource], files: tuple[_File, ...]) -> list[_File]:
    patterns = request.settings.files
    chosen = [file for file in files if any(fnmatchcase(file.name, pattern) for pattern in patterns)]
    links = sorted(file.name for file in chosen if file.is_link_only)
    if not chosen or links:
        names = ", ".join(sorted(file.name for file in files)) or "none"
        what = f"{', '.join(links)} is only a link" if links else f"no file matches {', '.join(patterns)}"
        raise CurationError(
            ErrorCode.NO_FILES,
            f"source {request.name}: figshare article {request.settings.article}: {what} (its files: {names})",
            hint="Name the files to take in the source's `files`.",
        )
    return _number_names(sorted(chosen, key=lambda file: (file.name, file.id)))


def _number_names(files: Sequence[_File]) -> list[_File]:
    """Give the second and later files of one name a ``~2``, ``~3``: an article may hold a name twice."""
    taken = {file.name for file in files}
    seen: set[str] = set()
    named = []
    for file in files:
        name, number = file.name, 1
        while name in seen or (number > 1 and name in taken):
            number += 1
            name = number_path(file.name, number)
        seen.add(name)
        named.append(file.model_copy(update={"name": name}))
    return named


def _take_file(request: Request[FigshareSource], client: httpx.Client, file: _File, policy: RetryPolicy) -> Archive:
    """Download one file into the cache, unless a file of its md5 and size is there."""
    from curation.sources.download import Wanted, download

    cache = request.cache
    wanted = Wanted(file.name, file.download_url, file.size, file.md5)
    mark = None if file.md5 is None else f"md5 {file.md5} {file.size}"
    if mark is not None and (found := cache.find_download(mark)) is not None:
        return Archive(found[1], file.name, found[0], file.size, file.md5)
    with cache.partial(f"figshare {request.settings.article} {file.id} {file.size} {file.md5}") as folder:
        # Another process may have downloaded it meanwhile.
        if mark is not None and (found := cache.find_download(mark)) is not None:
            return Archive(found[1], file.name, found[0], file.size, file.md5)
        cache.check_room(file.size - sum(part.stat().st_size for part in folder.iterdir()))
        with show_progress(request.progress, f"download {file.name}", file.size) as advance, cache.must_write():
            arrived = download(client, wanted, folder, advance=advance, policy=policy)
        path = cache.add_archive(arrived.path, arrived.sha256, mark=mark)
    return Archive(path, file.name, arrived.sha256, file.size, arrived.md5)


def _manual_download(article: int) -> str:
    return (
        f"download its files from https://figshare.com/articles/dataset/_/{article} into MIRROR/figshare/{article}/ "
        "and build with --mirror MIRROR"
    )
