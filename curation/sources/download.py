"""Downloads over HTTP: resumed after an interruption, retried, and verified before use."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from curation.errors import CurationError, ErrorCode
from curation.storage.atomic_files import replace_file
from curation.storage.retry import RetryPolicy, TransientError, retry_call

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Wanted:
    """A file as the source's listing describes it."""

    name: str
    url: str
    size_bytes: int
    md5: str | None


@dataclass(frozen=True)
class Arrived:
    """A complete file that was checked against what was wanted."""

    path: Path
    sha256: str
    md5: str


@dataclass(frozen=True)
class _Part:
    """The file that the bytes received so far belong to; stored next to them, so that another process can resume."""

    url: str
    size_bytes: int
    md5: str | None
    validator: str | None


def open_client() -> httpx.Client:
    """Open the client all requests of a source go through; a context manager."""
    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(60, connect=20),
        # A compressed answer would make byte ranges and lengths those of something else.
        headers={"Accept-Encoding": "identity", "User-Agent": "curation"},
    )


def get_json(client: httpx.Client, url: str, *, params: Mapping[str, int] | None = None, policy: RetryPolicy) -> Any:  # noqa: ANN401 - the caller validates it
    """Ask for a JSON document, retrying what may pass.

    Raises
    ------
    CurationError
        The server refuses, cannot be reached, or answers something else.
    """

    def ask() -> Any:  # noqa: ANN401 - as above
        try:
            answer = client.get(url, params=params)
        except httpx.TransportError as error:
            raise TransientError(_describe_transport(error)) from error
        _check_status(answer, url)
        try:
            return answer.json()
        except ValueError as error:
            raise CurationError(
                ErrorCode.NETWORK_FAILED,
                f"{url}: the answer is not JSON",
                hint="Check for a proxy or a sign-in page in between, and run it again.",
            ) from error

    return retry_call(ask, what=url, policy=policy)


def download(
    client: httpx.Client, wanted: Wanted, folder: Path, *, advance: Callable[[int], None], policy: RetryPolicy
) -> Arrived:
    """Download one file into `folder`, resuming what an earlier process left there.

    Parameters
    ----------
    client : httpx.Client
    wanted : Wanted
        Its size is always checked, its md5 where it is given.
    folder : Path
        Held by this process alone.
    advance : callable
        Called with the number of bytes received; negative where bytes are discarded.
    policy : RetryPolicy

    Raises
    ------
    CurationError
        The server refuses, or does not send the whole and right file within the attempts of `policy`.
    OSError
        The disk is full or fails; what arrived stays for the next run.
    """
    body = folder / "body"
    advance(_size(body))

    def attempt() -> Arrived:
        if _size(body) != wanted.size_bytes or _read_part(folder, wanted) is None:
            _receive(client, wanted, folder, advance)
        return _check_body(wanted, folder, advance)

    arrived = retry_call(attempt, what=wanted.name, policy=policy, gained=lambda: _size(body))
    (folder / "part.json").unlink()
    return arrived


def _receive(client: httpx.Client, wanted: Wanted, folder: Path, advance: Callable[[int], None]) -> None:
    body = folder / "body"
    part = _read_part(folder, wanted)
    # Without a validator only the md5 can tell whether two halves belong together.
    if part is None or _size(body) >= wanted.size_bytes or (part.validator is None and part.md5 is None):
        _discard(folder, advance)
    have = _size(body)
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and part is not None and part.validator is not None:
        headers["If-Range"] = part.validator
    try:
        with client.stream("GET", wanted.url, headers=headers) as answer:
            if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                _discard(folder, advance)
                raise TransientError(f"wanted {wanted.size_bytes} bytes, got {have}, and the server has no others")
            _check_status(answer, wanted.url)
            if not (have and _continues(answer, have, part)):
                _discard(folder, advance)
                if answer.status_code == HTTPStatus.PARTIAL_CONTENT:
                    raise TransientError("the file changed while it was downloaded")
                _write_part(folder, wanted, answer)
            # Bytes as they arrive: what httpx gathers for a chunk of a given size is lost with the connection.
            _append(body, answer.iter_raw(), wanted, advance)
    except httpx.TransportError as error:
        raise TransientError(_describe_transport(error)) from error


def _append(body: Path, chunks: Iterator[bytes], wanted: Wanted, advance: Callable[[int], None]) -> None:
    with body.open("ab") as stream:
        for chunk in chunks:
            stream.write(chunk)
            stream.flush()  # what has arrived is not asked for again, however this process ends
            advance(len(chunk))
            if stream.tell() > wanted.size_bytes:
                return


def _continues(answer: httpx.Response, have: int, part: _Part | None) -> bool:
    """Return whether an answer continues where the body ends, and belongs to the same file."""
    if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
        return False
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    same_file = part is not None and part.validator in (None, _validator(answer))
    return span is not None and int(span[1]) == have and same_file


def _check_body(wanted: Wanted, folder: Path, advance: Callable[[int], None]) -> Arrived:
    body = folder / "body"
    got = _size(body)
    if got > wanted.size_bytes:
        _discard(folder, advance)
        raise TransientError(f"wanted {wanted.size_bytes} bytes, the server sent more")
    if got < wanted.size_bytes:
        raise TransientError(f"wanted {wanted.size_bytes} bytes, got {got}")
    sha256, md5 = _hash(body)
    if wanted.md5 is not None and md5 != wanted.md5:
        _discard(folder, advance)
        raise TransientError(f"wanted md5 {wanted.md5}, got {md5}")
    return Arrived(body, sha256, md5)


def _hash(path: Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(folder: Path, advance: Callable[[int], None]) -> None:
    advance(-_size(folder / "body"))
    (folder / "body").unlink(missing_ok=True)
    (folder / "part.json").unlink(missing_ok=True)


def _read_part(folder: Path, wanted: Wanted) -> _Part | None:
    """Return what the body in `folder` is a part of, or None where that is not the file wanted."""
    try:
        part = _Part(**json.loads((folder / "part.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return part if (part.url, part.size_bytes, part.md5) == (wanted.url, wanted.size_bytes, wanted.md5) else None


def _write_part(folder: Path, wanted: Wanted, answer: httpx.Response) -> None:
    part = _Part(wanted.url, wanted.size_bytes, wanted.md5, _validator(answer))
    (folder / "body").touch()
    replace_file(folder / "part.json", json.dumps(asdict(part)).encode())


def _validator(answer: httpx.Response) -> str | None:
    """Return what If-Range may carry: a strong ETag, else the time of the last change."""
    etag: str | None = answer.headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    changed: str | None = answer.headers.get("Last-Modified")
    return changed


def _check_status(answer: httpx.Response, url: str) -> None:
    if answer.is_success:
        return
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS or answer.is_server_error:
        raise TransientError(f"the server answered {status}", after=_retry_after(answer))
    raise CurationError(
        ErrorCode.NETWORK_FAILED,
        f"{url}: the server answered {status}",
        hint="Check the number and the version in the recipe; only public articles can be fetched.",
    )


def _retry_after(answer: httpx.Response) -> float:
    """Return the pause in seconds that the server asks for, given as seconds or as a date; 0 for none."""
    wish = answer.headers.get("Retry-After", "")
    if re.fullmatch(r"\d+", wish):
        return float(wish)
    try:
        return max(0.0, parsedate_to_datetime(wish).timestamp() - time.time())
    except ValueError:
        return 0.0


def _describe_transport(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
