"""What the tests of the sources are built from: archives, requests, other users, other disks."""

import contextlib
import io
import os
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from curation.sources import Request
from curation.storage.cache import Cache
from curation.storage.progress import SilentProgress
from tests.disks import mount_disk

NOBODY = 65534


def make_zip(path: Path, files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack files into a zip, in the order given."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


def make_tar(path: Path, files: Mapping[str, bytes], *, mode: str = "w") -> Path:
    """Pack files into a tar, in the order given."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def make_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder, in the order given."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def patch_directory(path: Path, name: str, **fields: int) -> Path:
    """Change the entry of one file in a zip's central directory: flags, crc, packed, size, offset."""
    places = {"flags": ("<H", 8), "method": ("<H", 10), "crc": ("<L", 16), "packed": ("<L", 20), "size": ("<L", 24)}
    places |= {"offset": ("<L", 42)}
    content = bytearray(path.read_bytes())
    start = content.rindex(name.encode()) - 46
    assert content[start : start + 4] == b"PK\x01\x02"
    for key, value in fields.items():
        form, place = places[key]
        struct.pack_into(form, content, start + place, value)
    path.write_bytes(content)
    return path


@dataclass
class Ledger:
    """A progress that records its calls."""

    started: list[tuple[str, int | None]] = field(default_factory=list)
    done: dict[int, int] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)

    def start(self, description: str, total_bytes: int | None) -> int:
        self.started.append((description, total_bytes))
        return len(self.started) - 1

    def advance(self, task: int, size_bytes: int) -> None:
        self.done[task] = self.done.get(task, 0) + size_bytes

    def finish(self, task: int) -> None:
        self.finished.append(task)


def make_request(settings, cache: Cache, **changes) -> Request:
    """Build a request as fetch_all does, with nothing locked and everything allowed."""
    parts = {"mirror": None, "locked": None, "update": False, "offline": False, "progress": SilentProgress(), **changes}
    return Request(name=settings.name, settings=settings, cache=cache, **parts)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Lose root's right to read everything, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of one megabyte; skip where none can be mounted."""
    with mount_disk(tmp_path / "small", size="1m") as folder:
        yield folder


@pytest.fixture
def make_read_only(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Give a function that copies a folder to a read-only file system; skip where that is not possible."""
    with contextlib.ExitStack() as stack:

        def copy(folder: Path) -> Path:
            disk = stack.enter_context(mount_disk(tmp_path / "read-only", size="16m"))
            subprocess.run(["cp", "-a", f"{folder}/.", disk], check=True)
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            return disk

        yield copy
