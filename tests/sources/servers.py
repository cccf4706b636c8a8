"""Real servers on loopback that speak as figshare and Kaggle do, and misbehave on request."""

import hashlib
import importlib
import json
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from curation.storage.locks import hold_lock


@dataclass(frozen=True)
class Fault:
    """What goes wrong while one answer with a file's bytes is given.

    A status is answered instead of the file; `cut` bytes are sent before the connection breaks (`stall`: stays silent
    until the server stops); `announce` is added to the true Content-Length; `lag` bytes before the asked ones are sent
    first; `after` is called when the answer is given.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None
    stall: bool = False
    announce: int = 0
    lag: int = 0
    ignore_range: bool = False
    ignore_condition: bool = False
    after: Callable[[], None] | None = None


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    time: float


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignore clients that were killed, or that left, in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """A server in a thread, with what it saw and what it shall do wrong next."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        self.stopping = threading.Event()
        self._http = _Http(("127.0.0.1", port), handler)
        self._http.owner = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def asked(self, pattern: str) -> list[Seen]:
        """Return the requests whose path matches."""
        return [seen for seen in self.seen if re.search(pattern, seen.path)]


class Handler(BaseHTTPRequestHandler):
    """What both servers share: writing down requests, and sending bytes with ranges and faults."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_) -> None:
        """Log nothing."""

    def note(self) -> bytes:
        """Write the request down and return its body."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        owner = self.server.owner
        owner.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body, time.monotonic()))
        return body

    def send_json(self, status: int, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_file(self, content: bytes, *, tags: bool = True) -> None:
        owner = self.server.owner
        fault = owner.faults.popleft() if owner.faults else Fault()
        try:
            if fault.status is not None:
                self.send_response(fault.status)
                for name, value in fault.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._send_bytes(content, fault, tags=tags)
        finally:
            if fault.after is not None:
                fault.after()

    def _send_bytes(self, content: bytes, fault: Fault, *, tags: bool) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        start = self._start(content, etag, fault)
        if start is not None and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = content[start or 0 :]
        self.send_response(200 if start is None else 206)
        self.send_header("Content-Length", str(len(rest) + fault.announce))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        if tags:
            self.send_header("ETag", etag)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        whole = fault.cut is None and fault.announce <= 0
        self.wfile.write(rest[: fault.cut])
        self.wfile.flush()
        if fault.stall:
            self.server.owner.stopping.wait(60)
        if not whole:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)

    def _start(self, content: bytes, etag: str, fault: Fault) -> int | None:
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if span is None or fault.ignore_range:
            return None
        return int(span[1]) - fault.lag if fault.ignore_condition or condition in (None, etag) else None


@dataclass
class Article:
    """One figshare article."""

    files: dict[str, bytes]
    version: int = 1
    md5s: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    states_md5: bool = True
    tags: bool = True
    shown: int = 10
    names: dict[str, str] = field(default_factory=dict)
    """What a file is called in the listing, where that is not its key."""


class FigshareHandler(Handler):
    """GET /v2/articles/ID[/versions/V][/files] and /files/ID/NAME."""

    def do_GET(self):
        self.note()
        url = urlsplit(self.path)
        owner = self.server.owner
        if found := re.fullmatch(r"/files/(\d+)/(\d+)", url.path):
            article = owner.articles[int(found[1])]
            self.send_file(list(article.files.values())[int(found[2])], tags=article.tags)
            return
        found = re.fullmatch(r"/v2/articles/(\d+)(?:/versions/(\d+))?(/files)?", url.path)
        article = owner.articles.get(int(found[1])) if found else None
        if article is None or (found[2] and int(found[2]) != article.version):
            self.send_json(404, {"message": "Entity not found", "code": "EntityNotFound"})
        elif owner.api_faults:
            self.send_response(owner.api_faults.popleft())
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif found[3]:
            query = parse_qs(url.query)
            page, size = int(query["page"][0]), int(query["page_size"][0])
            self.send_json(200, self._files(int(found[1]), article)[(page - 1) * size : page * size])
        else:
            self.send_json(200, self._article(int(found[1]), article))

    def _article(self, number: int, article: Article) -> dict:
        return {
            "id": number,
            "version": article.version,
            "doi": f"10.6084/m9.figshare.{number}.v{article.version}",
            "citation": "Somebody (2026): A drawn set. figshare.",
            "license": {"value": 1, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
            "url_public_html": f"https://figshare.com/articles/dataset/drawn/{number}",
            "files": self._files(number, article)[: article.shown],
        }

    def _files(self, number: int, article: Article) -> list[dict]:
        listing = []
        for index, (name, content) in enumerate(article.files.items()):
            md5 = article.md5s.get(name, hashlib.md5(content, usedforsecurity=False).hexdigest())
            listing.append(
                {
                    "id": index,
                    "name": article.names.get(name, name),
                    "size": article.sizes.get(name, len(content)),
                    "is_link_only": False,
                    "download_url": f"{self.server.owner.url}/files/{number}/{index}",
                    "computed_md5": md5 if article.states_md5 else "",
                    "supplied_md5": "",
                }
            )
        return listing


@pytest.fixture
def figshare(monkeypatch) -> Iterator[Server]:
    """Run a figshare on loopback; `articles` holds its content."""
    with Server(FigshareHandler) as server:
        server.articles = {}
        server.api_faults = deque()
        monkeypatch.setenv("FIGSHARE_API", server.url)
        yield server


class KaggleHandler(Handler):
    """POST /api/v1/<service>/<method>, and GET of the archive it redirects to."""

    def do_POST(self):
        body = json.loads(self.note() or b"{}")
        owner = self.server.owner
        method = self.path.rpartition("/")[2]
        if method == "IntrospectToken":
            self.send_json(200, {"active": body["token"] == "good", "username": "somebody"})
        elif owner.refusal is not None:
            self.send_json(owner.refusal, {"code": owner.refusal, "message": "Permission was denied"})
        elif method == "GetDataset" and owner.version is not None:
            self.send_json(200, {"currentVersionNumber": owner.version, "licenseName": "CC0-1.0"})
        elif method == "DownloadDataset" and f"{body['ownerSlug']}/{body['datasetSlug']}" in owner.datasets:
            name = f"{body['ownerSlug']}/{body['datasetSlug']}"
            self.send_response(302)
            self.send_header("Location", f"/storage/{name}/{body.get('datasetVersionNumber', 'newest')}")
            self.send_header("X-Kaggle-APIVersion", "99.0.0")  # makes the client print that it is out of date
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_json(404, {"code": 404, "message": "Not found"})

    def do_GET(self):
        self.note()
        _, _, owner, dataset, _ = self.path.split("/")
        self.send_file(self.server.owner.datasets[f"{owner}/{dataset}"])


@pytest.fixture
def kaggle(monkeypatch, tmp_path) -> Iterator[Server]:
    """Run a Kaggle on loopback at the port its client knows; other runs of these tests on this machine wait."""
    monkeypatch.setenv("HOME", str(tmp_path))
    importlib.import_module("kaggle")  # signs in while it is imported: before it could find a test's credentials

    turn = Path(tempfile.gettempdir()) / "curation-test-kaggle-7777.lock"
    with hold_lock(turn, keep_file=True), Server(KaggleHandler, port=7777) as server:
        server.datasets = {}
        server.version = 3
        server.refusal = None
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
        for name in [name for name in os.environ if name.startswith("KAGGLE_") and "ENVIRONMENT" not in name]:
            monkeypatch.delenv(name)
        yield server
