"""Runs the FiftyOne App for a review: the database, the server, the browser, and the end of all three."""

import asyncio
import atexit
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from curation.errors import CurationError
from curation.review.fiftyone_sync import dataset_name
from curation.review.mongodb import MongoServer, find_database, free_port, is_listening
from curation.review.processes import Process, find_running_apps, record_process, remove_record
from curation.review.setup import ReviewRequest, prepare, show
from curation.storage.cache import Cache

DEFAULT_PORT: Final = 5151
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
OPERATOR: Final = "@curation/review/open_review"

_POLICY: Final = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
"""What the App's page may load: its own server's, and what it makes itself."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ServerOptions:
    """How the App is run.

    Parameters
    ----------
    port : int, optional
        None takes 5151, or a free one where that is taken.
    address : str
        The address the App listens on.
    browser : bool
        Whether to open one.
    queue : str
        The queue to open, or ``""``.
    """

    port: int | None = None
    address: str = "127.0.0.1"
    browser: bool = True
    queue: str = ""


def review(request: ReviewRequest, options: ServerOptions, *, cache: Cache, tell: Tell) -> None:
    """Open a dataset in the App, and stay until Ctrl-C unless an App of ours runs already.

    Raises
    ------
    CurationError
        Where there is nothing to review, no FiftyOne, no database, or the port is taken.
    """
    began = time.monotonic()
    folder = cache.folder("review")
    running = _find_app(folder, request, options)
    if running is not None:
        _show_in_running_app(running, request, options, tell=tell, began=began)
        return
    port = _choose_port(options)
    server = MongoServer(cache, find_database(cache))
    # FiftyOne registers its own clean-up later, so that it runs first: it needs the database once more.
    atexit.register(_close, server, folder)
    with ThreadPoolExecutor(1) as beside:
        # Pictures are decoded in processes of their own while this one imports FiftyOne, which takes seconds.
        preparing = beside.submit(prepare, request, cache=cache)
        try:
            uri = server.open()
            _set_up(uri, request, cache, port=port)
            _import_server()
            prepared = preparing.result()
            for note in prepared.notes:
                tell(note)
            show(prepared)
            record_process(folder, f"app-{port}", _describe_self(request, options, port))
            url = _url(options.address, port, request, options.queue)
            _serve(
                options.address, port, ready=lambda: _announce(url, options, prepared.session.reference, tell, began)
            )
        finally:
            preparing.cancel()
            remove_record(folder, f"app-{port}")


def _find_app(folder: Path, request: ReviewRequest, options: ServerOptions) -> Process | None:
    """Return the App that runs for this reviewer and these datasets, where nobody wants another port."""
    for app in find_running_apps(folder):
        same = app.reviewer == request.reviewer and app.datasets == str(Path(request.datasets).resolve())
        if options.port not in {None, app.port} or not is_listening(app.address, app.port):
            continue
        if same:
            return app
        if options.port == app.port:
            raise CurationError(
                f"port {app.port} is taken by the review of {app.reviewer} in {app.datasets}",
                hint="give another --port, or end it with `python -m curation review --stop`",
            )
    return None


def _choose_port(options: ServerOptions) -> int:
    wanted = options.port or DEFAULT_PORT
    if not is_listening(options.address, wanted):
        return wanted
    if options.port is not None:
        raise CurationError(f"port {wanted} is taken by another program", hint="give another --port")
    return free_port()


def _set_up(uri: str, request: ReviewRequest, cache: Cache, *, port: int) -> None:
    """Set what FiftyOne reads from its environment: our database, our plugin, and nothing sent home."""
    os.environ |= {
        "FIFTYONE_DATABASE_URI": uri,
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_PLUGINS_DIR": str(Path(__file__).with_name("plugin").parent),
        "FIFTYONE_DEFAULT_APP_PORT": str(port),
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_SERVER": "1",
        # It wants a replica set, which a single server is not.
        "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",
        "CURATION_REVIEWER": request.reviewer,
        "CURATION_CACHE": str(cache.root),
    }


def _import_server() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fiftyone.server.app  # noqa: F401  # what it imports is the work


def _describe_self(request: ReviewRequest, options: ServerOptions, port: int) -> Process:
    datasets = str(Path(request.datasets).resolve())
    return Process.of(os.getpid(), port=port, address=options.address, reviewer=request.reviewer, datasets=datasets)


def _serve(address: str, port: int, *, ready: Callable[[], None]) -> None:
    """Serve the App until Ctrl-C or a request to end."""
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{address}:{port}"]
    config.graceful_timeout = 1.0
    config.loglevel = "WARNING"
    set_port(port)

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        with _end_on_signals(lambda: loop.call_soon_threadsafe(ended.set)):
            server = asyncio.create_task(serve(_add_content_policy(app), config, shutdown_trigger=ended.wait))
            while not server.done() and not await asyncio.to_thread(is_listening, address, port):
                await asyncio.sleep(0.05)
            if not server.done():
                await asyncio.to_thread(ready)
            await server

    asyncio.run(run())


def _add_content_policy(app: Any) -> Any:
    """Have the browser ask nobody but this server: the App's page would fetch its fonts from elsewhere."""

    async def confined(scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"content-security-policy", _POLICY)]}
            await send(message)

        await app(scope, receive, send_on)

    return confined


@contextmanager
def _end_on_signals(end: Callable[[], object]) -> Iterator[None]:
    """Have Ctrl-C and a request to end call ``end`` instead of raising in the middle of something."""
    kinds = [signal.SIGINT, signal.SIGTERM]
    before = {kind: signal.signal(kind, lambda *_: end()) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _announce(url: str, options: ServerOptions, reference: str, tell: Tell, began: float) -> None:
    tell(f"{reference} is ready after {time.monotonic() - began:.1f} s: {url}")
    tell("Ctrl-C ends the App and its database; decisions are in the ledger as soon as the App says so")
    if options.browser:
        _open_browser(url)


def _open_browser(url: str) -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    with suppress(webbrowser.Error):
        webbrowser.open(url)


def _close(server: MongoServer, folder: Path) -> None:
    """End the database, unless another App still uses it."""
    if any(app.pid != os.getpid() for app in find_running_apps(folder)):
        server.detach()
    else:
        server.close()


def _url(address: str, port: int, request: ReviewRequest, queue: str) -> str:
    host = "127.0.0.1" if address in {"0.0.0.0", "::"} else address  # noqa: S104  # compared, not listened on
    name = dataset_name(Path(request.datasets), request.reference.partition("@")[0])
    return f"http://{host}:{port}/datasets/{quote(name)}" + (f"?view={quote(queue)}" if queue else "")


def _show_in_running_app(
    app: Process, request: ReviewRequest, options: ServerOptions, *, tell: Tell, began: float
) -> None:
    """Have the App that runs show what is wanted."""
    base = f"http://{app.address}:{app.port}"
    answer = _post(f"{base}/operators/execute", {"operator_uri": OPERATOR, "params": request.as_json()})
    result: dict[str, Any] = answer.get("result") or {}
    if answer.get("error") or result.get("error") or not result:
        raise CurationError(
            str(result.get("error") or f"the App at port {app.port} could not show it: {answer.get('error')}"),
            hint=result.get("hint") or "end it with `python -m curation review --stop` and try again",
        )
    for note in result["notes"]:
        tell(note)
    url = _url(app.address, app.port, request, options.queue)
    tell(f"{result['reference']} is ready after {time.monotonic() - began:.1f} s in the App that runs: {url}")
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
