"""The cache: archives under their sha256, the hashes of files on disk, and folders for the results of other steps.

Every file in it is whole: it is written to a temporary file, flushed, and renamed into place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from curation.errors import CurationError, ErrorCode
from curation.storage.archive_members import format_bytes
from curation.storage.atomic_files import replace_file, sweep_leftovers
from curation.storage.disk_errors import code_of
from curation.storage.fsspec_paths import RemotePath, is_url, locate
from curation.storage.fsync import flush_file, flush_folder
from curation.storage.hash_index import HashedFile, hash_files, index_bytes, read_index
from curation.storage.locks import hold_lock, try_lock

_ROOM_HINT = "Make room there, or set CURATION_CACHE to a folder that can be written."


@dataclass(frozen=True)
class CachedFile:
    """One file of the cache, for `gc`.

    Parameters
    ----------
    path : Path
    kind : str
        Its folder below the cache's root: ``archives``, ``partial``, ``index``, ``tars``, or that
        of another step.
    size_bytes : int
    last_used : float
        Seconds since the epoch: the later of the last reading and the last writing, as the file system keeps them.
    """

    path: Path
    kind: str
    size_bytes: int
    last_used: float


class Cache:
    """The cache folder; every file in it is written through this class.

    Parameters
    ----------
    root : Path, optional
        The folder; else ``$CURATION_CACHE``, else the user's cache folder. It is made when first written to. If it
        is a URL, the results of steps (probes, listings) are kept there for every machine; downloads, which are read at
        random, and the index of this machine's files are kept in the user's cache folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        own = platformdirs.user_cache_dir("curation")
        chosen = root or os.environ.get("CURATION_CACHE") or own
        self.shared = locate(chosen) if is_url(chosen) else None
        self.root = Path(own if self.shared else chosen).expanduser().absolute()
        self._warnings: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what could not be kept or used, each once."""
        return tuple(self._warnings)

    def folder(self, kind: str) -> Path:
        """Return the folder of one kind (``archives``, ``probe`` ...); it may not exist yet."""
        return self.root / kind

    def shared_folder(self, kind: str) -> Path:
        """Return the folder of files that every machine may use, named by their content."""
        return (self.shared or self.root) / kind

    def keep(self, path: Path, content: bytes) -> bool:
        """Write a file below the cache atomically; if that fails, warn and return False."""
        try:
            if isinstance(path, RemotePath):
                path.write_bytes(content)
            else:
                self._replace(path, content)
        except (OSError, CurationError) as error:
            where = self.shared if isinstance(path, RemotePath) else self.root
            reason = error.strerror if isinstance(error, OSError) else error.message
            self._warn(f"the cache {where} cannot be written ({reason}): the next run starts from less")
            return False
        return True

    def _replace(self, path: Path, content: bytes) -> None:
        # Temporary files are written under one lock, so that the next holder can remove leftovers.
        partial = self.folder("partial")
        partial.mkdir(parents=True, exist_ok=True)
        with hold_lock(self._writing_path()):
            replace_file(path, content, temporary=partial)

    def archive_path(self, sha256: str) -> Path:
        """Return the path of the archive with this sha256, whether it exists or not."""
        return self.folder("archives") / sha256[:2] / sha256

    def find(self, sha256: str, *, advance: Callable[[int], None] | None = None) -> Path | None:
        """Return the archive with this sha256, or None where it is missing or damaged.

        An archive that changed since it was added is hashed again.
        """
        path = self.archive_path(sha256)
        if not path.is_file():
            return None
        if self.file_sha256s(path, [path], advance=advance) != (sha256,):
            self._warn(f"the cached archive {path} is damaged and not used")
            return None
        return path

    def recall(self, sha256: str) -> Path | None:
        """Return an unchanged file outside of the cache that had this sha256 when it was hashed, else None.

        The archives of a mirror are read in place; the index remembers where.
        """
        for index in sorted(self.folder("index").glob("*.json")):
            for file, known in read_index(index).items():
                with suppress(OSError):
                    if known.sha256 == sha256 and known.matches(Path(file).stat()):
                        return Path(file)
        return None

    def plain_tar_path(self, sha256: str, layout: str = "") -> Path:
        """Return the place of the plain tar that was made of an archive with this sha256.

        Parameters
        ----------
        sha256 : str
        layout : str
            How it was made, where it is not the archive's own tar unpacked.
        """
        return self.folder("tars") / f"{sha256}{layout}.tar"

    def find_plain_tar(self, sha256: str) -> Path | None:
        """Return the newest plain tar that was made of an archive with this sha256, else None."""
        return max(self.folder("tars").glob(f"{sha256}*.tar"), default=None)

    def find_download(self, mark: str) -> tuple[str, Path] | None:
        """Return sha256 and path of the archive that was added under a mark, or None where it is missing or damaged."""
        try:
            sha256 = json.loads(self._mark_path(mark).read_bytes())["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        path = self.find(str(sha256))
        return None if path is None else (str(sha256), path)

    def add_archive(self, finished: Path, sha256: str, *, mark: str | None = None) -> Path:
        """Move a finished file, which lies below the cache, to its place as an archive.

        Two processes may add the same archive at once.

        Parameters
        ----------
        finished : Path
        sha256 : str
        mark : str, optional
            What identifies the file on its server before it is downloaded: an md5, an ETag.
        """
        path = self.archive_path(sha256)
        status = self.place(finished, path).stat()
        known = HashedFile(status.st_size, status.st_mtime_ns, status.st_ino, sha256)
        self.keep(self._index_path(path), index_bytes({str(path): known}))
        if mark is not None:
            self.keep(self._mark_path(mark), json.dumps({"mark": mark, "sha256": sha256}).encode())
        return path

    def place(self, finished: Path, path: Path) -> Path:
        """Flush a finished file below the cache and rename it to `path`."""
        with self.must_write():
            path.parent.mkdir(parents=True, exist_ok=True)
            flush_file(finished)
            finished.replace(path)
            flush_folder(path.parent)
        return path

    @contextmanager
    def must_write(self) -> Iterator[None]:
        """Turn a failed write into a CurationError: without this file the build cannot continue."""
        try:
            yield
        except OSError as error:
            raise self.write_error(error) from error

    def write_error(self, error: OSError) -> CurationError:
        """Return the error for a cache that cannot be written."""
        return CurationError(
            code_of(error), f"the cache {self.root} cannot be written: {error.strerror or error}", hint=_ROOM_HINT
        )

    def check_room(self, size_bytes: int) -> None:
        """Raise CurationError if the cache's disk has less space left than that."""
        with self.must_write():
            self.root.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.root).free
        if free < size_bytes:
            raise CurationError(
                ErrorCode.DISK_FULL,
                f"the cache {self.root} has {format_bytes(free)} left; {format_bytes(size_bytes)} are needed",
                hint=_ROOM_HINT,
            )

    @contextmanager
    def partial(self, key: str) -> Iterator[Path]:
        """Hold the folder of one unfinished download; other processes that need it wait.

        Parameters
        ----------
        key : str
            What is downloaded. After a failed download the content of the folder stays for the next holder of the key.
        """
        name = _short_name(key.encode())
        folder = self.folder("partial") / name
        lock = hold_lock(self.folder("partial") / f"{name}.lock")
        with self.must_write():
            self.folder("partial").mkdir(parents=True, exist_ok=True)
            lock.__enter__()
        try:
            with self.must_write():
                folder.mkdir(exist_ok=True)
            yield folder
        finally:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            lock.__exit__(None, None, None)

    def recover(self) -> None:
        """Remove the temporary files of killed processes, unless another process is writing one."""
        partial = self.folder("partial")
        if not partial.is_dir():
            return
        with suppress(OSError, CurationError), try_lock(self._writing_path()) as held:
            if held:
                sweep_leftovers(partial)

    def file_sha256s(
        self, root: Path, paths: Sequence[Path], *, advance: Callable[[int], None] | None = None
    ) -> tuple[str | None, ...]:
        """Return the sha256 of each file, None where it cannot be read; only new and changed ones are read.

        Parameters
        ----------
        root : Path
            The folder of the files, or the one file itself: their hashes are kept under its name.
        paths : sequence of Path
        advance : callable, optional
            Called with the number of bytes done, read or not.
        """
        index = self._index_path(root)
        known = read_index(index)
        digests, now_known = hash_files(paths, known, advance=advance)
        if now_known != known:
            self.keep(index, index_bytes(now_known))
        return digests

    def usage(self) -> tuple[CachedFile, ...]:
        """List every file of the cache, sorted by path."""
        found = []
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.lstat()
                except FileNotFoundError:  # another process is at work
                    continue
                kind = path.relative_to(self.root).parts[0]
                found.append(CachedFile(path, kind, status.st_size, max(status.st_atime, status.st_mtime)))
        return tuple(sorted(found, key=lambda cached: cached.path))

    def _index_path(self, root: Path) -> Path:
        return self.folder("index") / f"{_short_name(os.fsencode(root.absolute()))}.json"

    def _writing_path(self) -> Path:
        return self.folder("partial") / "writing.lock"

    def _mark_path(self, mark: str) -> Path:
        return self.folder("downloads") / f"{_short_name(mark.encode())}.json"

    def _warn(self, warning: str) -> None:
        if warning not in self._warnings:
            self._warnings.append(warning)


def _short_name(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:32]
