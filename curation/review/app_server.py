"""Runs the FiftyOne App for a review: starts and stops the database, the server and the browser."""

import asyncio
import atexit
import json
import logging
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from curation.errors import CurationError, ErrorCode
from curation.review.app_edits import settle_edits
from curation.review.fiftyone_sync import dataset_name, read_subject, synchronize_dataset
from curation.review.mongodb import MongoServer, find_database, free_port, is_listening
from curation.review.processes import Process, find_running_apps, record_process, remove_record
from curation.review.review_session import ReviewSession
from curation.review.setup import PreparedReview, ReviewRequest, prepare, session_of, show
from curation.storage.cache import Cache

DEFAULT_PORT: Final = 5151
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
OPERATOR: Final = "@curation/review/open_review"

_POLICY: Final = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
"""The App's page may load resources from its own server only."""

Notify = Callable[[str], None]


@dataclass(frozen=True)
class ServerOptions:
    """Options of the App's server.

    Parameters
    ----------
    port : int, optional
        By default 5151, or a free port where that is taken.
    address : str
        The address the App listens on.
    browser : bool
        Whether to open a browser.
    queue : str
        The queue to open first, or ``""``.
    """

    port: int | None = None
    address: str = "127.0.0.1"
    browser: bool = True
    queue: str = ""


def review(request: ReviewRequest, options: ServerOptions, *, cache: Cache, notify: Notify) -> None:
    """Open a dataset in the App and serve it until Ctrl-C; an App that runs already is used instead.

    Raises
    ------
    CurationError
        Where there is nothing to review, no database, or the port is taken.
    """
    began = time.monotonic()
    folder = cache.folder("review")
    running = _find_app(folder, request, options)
    if running is not None:
        _show_in_running_app(running, request, options, notify=notify, began=began)
        return
    port = _choose_port(options)
    server = MongoServer(cache, find_database(cache))
    # FiftyOne registers its own clean-up later, so that it runs first: it needs the database once more.
    atexit.register(_close, server, folder)
    with ThreadPoolExecutor(1) as background:
        # Worker processes decode images while this process imports FiftyOne, which takes seconds.
        preparing = background.submit(prepare, request, cache=cache)
        try:
            uri = server.open()
            _configure_fiftyone(uri, request, cache, port=port)
            _import_server()
            prepared = preparing.result()
            for note in prepared.notes:
                notify(note)
            dataset = show(prepared, notify=notify)
            watcher = EditWatcher(dataset, prepared, notify)
            record_process(folder, f"app-{port}", _describe_self(request, options, port))
            url = _url(options.address, port, request, options.queue)
            _serve(
                options.address,
                port,
                ready=lambda: _print_ready(url, options, prepared.session.reference, notify, began),
                changed=watcher.look_soon,
            )
            watcher.finish()
            notify(f"the App has ended; the decisions are in {prepared.session.ledger_path}")
        finally:
            preparing.cancel()
            remove_record(folder, f"app-{port}")


def _find_app(folder: Path, request: ReviewRequest, options: ServerOptions) -> Process | None:
    """Return the running App of this reviewer and these datasets, unless another port is requested."""
    for app in find_running_apps(folder):
        same = app.reviewer == request.reviewer and app.datasets == str(Path(request.datasets).resolve())
        if options.port not in {None, app.port} or not is_listening(app.address, app.port):
            continue
        if same:
            return app
        if options.port == app.port:
            raise CurationError(
                ErrorCode.APP_PORT_TAKEN,
                f"port {app.port} is used by the review of {app.reviewer} in {app.datasets}",
                hint="Give another --port, or stop that review with `python -m curation review --stop`.",
            )
    return None


def _choose_port(options: ServerOptions) -> int:
    wanted = options.port or DEFAULT_PORT
    if not is_listening(options.address, wanted):
        return wanted
    if options.port is not None:
        raise CurationError(
            ErrorCode.APP_PORT_TAKEN, f"port {wanted} is used by another program", hint="Give another --port."
        )
    return free_port()


def _configure_fiftyone(uri: str, request: ReviewRequest, cache: Cache, *, port: int) -> None:
    """Set FiftyOne's environment variables: our database, our plugin, and no usage reports."""
    os.environ |= {
        "FIFTYONE_DATABASE_URI": uri,
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_PLUGINS_DIR": str(Path(__file__).with_name("plugin").parent),
        "FIFTYONE_DEFAULT_APP_PORT": str(port),
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_SERVER": "1",
        # This service requires a replica set, and there is a single server.
        "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",
        "CURATION_REVIEWER": request.reviewer,
        "CURATION_CACHE": str(cache.root),
    }


def _import_server() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fiftyone.server.app  # noqa: F401  # imported for its cost alone, while images are prepared


def _describe_self(request: ReviewRequest, options: ServerOptions, port: int) -> Process:
    datasets = str(Path(request.datasets).resolve())
    return Process.of(os.getpid(), port=port, address=options.address, reviewer=request.reviewer, datasets=datasets)


def _serve(address: str, port: int, *, ready: Callable[[], None], changed: Callable[[], None]) -> None:
    """Serve the App until Ctrl-C or SIGTERM; ``changed`` is called after a request that may have edited a sample."""
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    logger = logging.getLogger("curation.review.app")
    config = Config()
    config.errorlog = logger
    config.bind = [f"{address}:{port}"]
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    set_port(port)

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            # Browsers keep a stream of events open; each would end with a traceback of its own.
            logger.setLevel(logging.CRITICAL + 1)
            loop.set_exception_handler(lambda _loop, _context: None)
            ended.set()

        with _end_on_signals(lambda: loop.call_soon_threadsafe(end)):
            server = asyncio.create_task(
                serve(_report_edits(_add_content_policy(app), changed), config, shutdown_trigger=ended.wait)
            )
            while not server.done() and not await asyncio.to_thread(is_listening, address, port):
                await asyncio.sleep(0.05)
            if not server.done():
                await asyncio.to_thread(ready)
            await server

    asyncio.run(run())


def _add_content_policy(app: Any) -> Any:
    """Forbid the browser to use other servers: the App's page would load its fonts from one."""

    async def with_policy(scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"content-security-policy", _POLICY)]}
            await send(message)

        await app(scope, receive, send_on)

    return with_policy


def _report_edits(app: Any, changed: Callable[[], None]) -> Any:
    """Call ``changed`` after each request that may have edited a sample past the review's buttons."""

    async def with_report(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] != "http":
            return
        path, method = str(scope.get("path")), scope.get("method")
        writes = "/tag" in path or path.endswith(("/operators/execute", "/graphql"))
        if method in {"PATCH", "PUT", "DELETE"} or (method == "POST" and writes):
            changed()

    return with_report


class EditWatcher:
    """Makes decisions of edits in the App while it runs: one search at a time, soon after a request that may be one."""

    def __init__(self, dataset: Any, prepared: PreparedReview, notify: Notify) -> None:
        self._dataset, self._prepared, self._notify = dataset, prepared, notify
        self._workers = ThreadPoolExecutor(1)
        self._waiting = threading.Event()

    def look_soon(self) -> None:
        """Search for edits in the background; requests that come meanwhile cause one more search."""
        if not self._waiting.is_set():
            self._waiting.set()
            self._workers.submit(self._look)

    def finish(self) -> None:
        """Search once more, when the App has ended."""
        self._workers.shutdown(wait=True)
        self._look()

    def _look(self) -> None:
        self._waiting.clear()
        try:
            session = session_of(self._dataset)
            notes = settle_edits(self._dataset, session, restore_deleted=lambda: self._restore(session))
        except Exception as fault:  # noqa: BLE001  # a database that is gone keeps the edits for the next start
            notes = (f"edits in the App could not be read now, and are looked for at the next start: {fault}",)
        for note in notes:
            self._notify(note)

    def _restore(self, session: ReviewSession) -> None:
        subject = read_subject(self._dataset)
        if subject is not None:
            rows, media = session.rows(), self._prepared.media
            synchronize_dataset(rows, media, subject, metadata=session.manifest.metadata)


@contextmanager
def _end_on_signals(end: Callable[[], object]) -> Iterator[None]:
    """Call ``end`` on SIGINT and SIGTERM, instead of raising an exception at an arbitrary place."""
    kinds = [signal.SIGINT, signal.SIGTERM]
    before = {kind: signal.signal(kind, lambda *_: end()) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _print_ready(url: str, options: ServerOptions, reference: str, notify: Notify, began: float) -> None:
    notify(f"{reference} is ready after {time.monotonic() - began:.1f} s: {url}")
    notify("Ctrl-C stops the App and its database. Decisions are in the ledger as soon as the App confirms them.")
    if options.browser:
        _open_browser(url)


def _open_browser(url: str) -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    with suppress(webbrowser.Error):
        webbrowser.open(url)


def _close(server: MongoServer, folder: Path) -> None:
    """Stop the database, unless another App still uses it."""
    if any(app.pid != os.getpid() for app in find_running_apps(folder)):
        server.detach()
    else:
        server.close()


def _url(address: str, port: int, request: ReviewRequest, queue: str) -> str:
    host = "127.0.0.1" if address in {"0.0.0.0", "::"} else address  # noqa: S104  # compared, not listened on
    name = dataset_name(Path(request.datasets), request.reference.partition("@")[0])
    return f"http://{host}:{port}/datasets/{quote(name)}" + (f"?view={quote(queue)}" if queue else "")


def _show_in_running_app(
    app: Process, request: ReviewRequest, options: ServerOptions, *, notify: Notify, began: float
) -> None:
    """Open the review in the App that runs already."""
    base = f"http://{app.address}:{app.port}"
    answer = _post(f"{base}/operators/execute", {"operator_uri": OPERATOR, "params": request.as_json()})
    result: dict[str, Any] = answer.get("result") or {}
    if answer.get("error") or result.get("error") or not result:
        raise CurationError(
            ErrorCode(result.get("code", ErrorCode.APP_FAILED)),
            str(result.get("error") or f"the App at port {app.port} could not open the review: {answer.get('error')}"),
            hint=result.get("hint") or "Stop the App with `python -m curation review --stop`, and try again.",
        )
    for note in result["notes"]:
        notify(note)
    url = _url(app.address, app.port, request, options.queue)
    notify(f"{result['reference']} is ready after {time.monotonic() - began:.1f} s in the running App: {url}")
    if options.browser:
        _open_browser(url)


def _post(url: str, content: object) -> dict[str, Any]:
    body = json.dumps(content).encode()
    wanted = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310  # loopback
    try:
        with urllib.request.urlopen(wanted, timeout=120) as response:  # noqa: S310  # as above
            answer: dict[str, Any] = json.loads(response.read())
    except (urllib.error.URLError, ValueError, OSError) as fault:
        return {"error": str(fault)}
    return answer
