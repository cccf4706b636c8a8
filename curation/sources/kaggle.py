"""Datasets on Kaggle, through Kaggle's own client, which is imported only when the network is asked.

The client prints and exits; this module prevents both.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError, ErrorCode
from curation.sources import offline_mirror
from curation.sources.lock import check_unchanged, find_locked
from curation.sources.protocol import Fetched, LockedFile, Request
from curation.storage.archive_index import Archive
from curation.storage.archives import ArchiveReader, UnreadableMember, archive_kind, list_members
from curation.storage.hash_index import hash_file
from curation.storage.progress import show_progress

if TYPE_CHECKING:
    from curation.dataset.recipe import KaggleSource

_POLL_SECONDS = 0.2
_ATTEMPTS = 3
_REFUSED = (401, 403)
# Bytes that the client buffers are lost with the connection.
_CHUNK_BYTES = 1 << 16


def fetch(request: Request[KaggleSource]) -> Fetched:
    """Take a dataset's zip from the mirror, the cache or Kaggle."""
    if request.mirror is not None:
        return offline_mirror.fetch_kaggle(request, request.mirror)
    asked = _ask(request.settings)
    if (fetched := find_locked(request, asked, by_hand=_manual_download(request.settings))) is not None:
        return fetched
    with _explain_failures(request):
        return _fetch(request, asked)


def _ask(settings: KaggleSource) -> str:
    version = "" if settings.version is None else f", version {settings.version}"
    return f"Kaggle dataset {settings.dataset}{version}"


def _fetch(request: Request[KaggleSource], asked: str) -> Fetched:
    settings = request.settings
    name = settings.dataset.split("/")[1] + ".zip"
    api = _open_client()
    version, licence = _describe_dataset(api, settings)
    if version is not None and request.locked is not None:
        check_unchanged(request, version=version, files=request.locked.files)
    with request.cache.partial(f"kaggle {settings.dataset} {settings.version}") as folder:
        archive = _take_zip(api, request, folder / name, version)
    return Fetched(
        source=request.name,
        archives=(archive,),
        version=version,
        licence=licence,
        doi=None,
        citation=None,
        url=f"https://www.kaggle.com/datasets/{settings.dataset}",
        origin="network",
        asked=asked,
    )


def _open_client() -> Any:  # noqa: ANN401 - Kaggle's client has no types
    """Return the client, signed in where there are credentials; without them the server decides."""
    with _silence():
        from kaggle.api.kaggle_api_extended import KaggleApi
        from kagglesdk.kaggle_client import KaggleClient
        from kagglesdk.kaggle_env import get_env

    class Client(KaggleApi):  # type: ignore[misc]  # Kaggle's client has no types
        def build_kaggle_client(self) -> Any:  # noqa: ANN401 - as above
            """Build the client as the real method does, but for the server KAGGLE_API_ENVIRONMENT names."""
            return KaggleClient(
                env=get_env(),
                username=self.config_values.get(self.CONFIG_NAME_USER),
                password=self.config_values.get(self.CONFIG_NAME_KEY),
                api_token=self.config_values.get(self.CONFIG_NAME_TOKEN),
                response_processor=self.get_response_processor(),
            )

    client = Client()
    with _silence(), contextlib.suppress(SystemExit):  # it exits where it finds no credentials
        client.authenticate()
    return client


def _describe_dataset(api: Any, settings: KaggleSource) -> tuple[str | None, str | None]:  # noqa: ANN401 - as above
    """Return version and licence where Kaggle states them; whether there is access, the download shows."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest
    from requests import RequestException

    pinned = None if settings.version is None else str(settings.version)
    question = ApiGetDatasetRequest()
    question.owner_slug, question.dataset_slug = settings.dataset.split("/")
    try:
        with _silence(), api.build_kaggle_client() as kaggle:
            answer = kaggle.datasets.dataset_api_client.get_dataset(question)
    except (RequestException, ValueError, KeyError, TypeError, AttributeError):
        return pinned, None
    current = str(answer.current_version_number) if answer.current_version_number else None
    return pinned or current, answer.license_name or None


def _take_zip(api: Any, request: Request[KaggleSource], finished: Path, version: str | None) -> Archive:  # noqa: ANN401 - as above
    """Download the zip into the cache, unless the one of this ETag and length is there."""
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    question = ApiDownloadDatasetRequest()
    question.owner_slug, question.dataset_slug = request.settings.dataset.split("/")
    question.dataset_version_number = request.settings.version
    with api.build_kaggle_client() as kaggle:
        with _silence():
            ask = api.with_retry(kaggle.datasets.dataset_api_client.download_dataset, max_retries=_ATTEMPTS)
            response = ask(question)
        with contextlib.closing(response):
            mark = _mark(response, request.settings)
            found = None if mark is None else request.cache.find_download(mark)
            if found is None:
                _download(api, kaggle, response, request, finished)
    if found is None:
        archive = _check_zip(finished, _ask(request.settings))
    else:
        archive = Archive(found[1], finished.name, found[0], found[1].stat().st_size)
    try:
        locked = LockedFile(archive.name, archive.size_bytes, archive.sha256, None)
        check_unchanged(request, version=version, files=[locked])
    except CurationError:
        finished.unlink(missing_ok=True)
        raise
    if found is not None:
        return archive
    return replace(archive, path=request.cache.add_archive(finished, archive.sha256, mark=mark))


def _mark(response: Any, settings: KaggleSource) -> str | None:  # noqa: ANN401 - as above
    etag, length = response.headers.get("ETag", "W/"), response.headers.get("Content-Length")
    return None if etag.startswith("W/") or length is None else f"kaggle {settings.dataset} {etag} {length}"


def _download(api: Any, kaggle: Any, response: Any, request: Request[KaggleSource], finished: Path) -> None:  # noqa: ANN401 - as above
    """Let the client download, resume and retry; what it leaves behind when it fails it picks up the next time."""
    length = response.headers.get("Content-Length", "")
    total_bytes = int(length) if length.isdecimal() else None
    have = finished.stat().st_size if finished.exists() else 0
    request.cache.check_room((total_bytes or 0) - have)
    with (
        show_progress(request.progress, f"download {finished.name}", total_bytes) as advance,
        _watch(finished, advance),
    ):
        api.download_file(
            response, str(finished), kaggle.http_client(), quiet=True, resume=True, chunk_size=_CHUNK_BYTES
        )


def _check_zip(path: Path, asked: str) -> Archive:
    """Return a zip whose directory and every file are whole, with its listing; remove what is not.

    The client checks the length at most, and a resumed download may have been put together from two files.
    """
    try:
        if archive_kind(path) != "zip":
            raise CurationError(
                ErrorCode.DOWNLOAD_DAMAGED,
                f"{asked}: what arrived is not a zip",
                hint="Kaggle may have answered with a sign-in page; the README explains the credentials.",
            )
        members = list_members(path, name=asked)
        with ArchiveReader(path) as reader:
            for member in members:
                if member.refused is None:
                    reader.read(member)
    except UnreadableMember as error:
        path.unlink()
        raise CurationError(
            ErrorCode.DOWNLOAD_DAMAGED, f"{asked}: it arrived damaged ({error})", hint="It was removed: run it again."
        ) from error
    except CurationError:
        path.unlink()
        raise
    return Archive(path, path.name, hash_file(path), path.stat().st_size, listed=members)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the client prints from our output, which may be JSON.

    Only around calls that print: a progress bar drawn by another thread must not vanish with it.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _watch(path: Path, advance: Callable[[int], None]) -> Iterator[None]:
    """Report the growth of a file that another program writes."""
    stop = threading.Event()

    def report() -> None:
        seen = 0
        while True:
            stopped = stop.wait(_POLL_SECONDS)
            size_bytes = path.stat().st_size if path.exists() else 0
            advance(size_bytes - seen)
            seen = size_bytes
            if stopped:
                return

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def _explain_failures(request: Request[KaggleSource]) -> Iterator[None]:
    """Turn the client's errors into errors with a next step."""
    from requests import RequestException

    dataset = request.settings.dataset
    try:
        yield
    except RequestException as error:
        if error.response is None or error.response.ok:
            code, message = ErrorCode.NETWORK_FAILED, f"Kaggle cannot be reached for {dataset}: {error}"
        else:
            status = error.response.status_code
            code = ErrorCode.CREDENTIALS_MISSING if status in _REFUSED else ErrorCode.NETWORK_FAILED
            message = f"Kaggle answered {status} for {dataset}: {error}"
        raise CurationError(code, f"source {request.name}: {message}", hint=_next_step(request.settings)) from error
    except ValueError as error:  # the length is not what was announced
        raise CurationError(
            ErrorCode.DOWNLOAD_DAMAGED,
            f"source {request.name}: {dataset}: {error}",
            hint=f"Run it again, or {_manual_download(request.settings)}.",
        ) from error
    except OSError as error:
        raise request.cache.write_error(error) from error


def _next_step(settings: KaggleSource) -> str:
    return (
        "Public datasets need no account; for others set KAGGLE_API_TOKEN to a token from "
        f"https://www.kaggle.com/settings, or put kaggle.json into ~/.kaggle; or {_manual_download(settings)}."
    )


def _manual_download(settings: KaggleSource) -> str:
    return (
        f"download https://www.kaggle.com/datasets/{settings.dataset} by hand to MIRROR/kaggle/{settings.dataset}.zip "
        "and build with --mirror MIRROR"
    )
