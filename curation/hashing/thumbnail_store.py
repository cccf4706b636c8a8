"""Stores the thumbnails of many images: in memory up to a limit, then in an unnamed temporary file."""

import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

IN_MEMORY: Final = 1 << 26
"""Bytes of thumbnails that are kept in memory."""


@dataclass
class ThumbnailStore:
    """Stores thumbnails of one size and returns them in any order; a million of them take less than 64 MB of memory.

    Parameters
    ----------
    folder : Path, optional
        Where the file is created; by default, or where that fails, the system's temporary folder.
    side : int
        Of each, in cells.
    in_memory : int
        Thumbnails that are stored without a file; by default 64 MB of them.
    """

    folder: Path | None = None
    side: int = 32
    in_memory: int | None = None
    count: int = field(default=0, init=False)
    _parts: list[NDArray[np.uint8]] = field(default_factory=list, init=False)
    _file: "_File | None" = field(default=None, init=False)

    def add(self, thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Store (k, side * side) or (k, side, side) thumbnails, and return their (k,) places."""
        places = np.arange(self.count, self.count + len(thumbnails))
        self.count += len(thumbnails)
        self._parts.append(np.ascontiguousarray(thumbnails).reshape(-1, self._pixels))
        in_memory = IN_MEMORY // self._pixels if self.in_memory is None else self.in_memory
        if self._file is not None or self.count > in_memory:
            self._file = self._file or self._open()
            for part in self._parts:
                self._file.append(part.data)
            self._parts.clear()
        return places

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the (n, side, side) thumbnails of (n,) places, zeros where a place is -1.

        Thumbnails in a file are read when they are indexed; the result has an array's shape, dtype and row indexing.
        """
        if self._file is not None:
            return cast(NDArray[np.uint8], _StoredThumbnails(self._file, self.side, places))
        everyone = np.concatenate([*self._parts, np.zeros((1, self._pixels), np.uint8)])
        return everyone[places].reshape(-1, self.side, self.side)

    @property
    def _pixels(self) -> int:
        return self.side * self.side

    def _open(self) -> "_File":
        if self.folder is not None and self.folder.is_dir():
            try:
                return _File(cast(IO[bytes], tempfile.TemporaryFile(dir=self.folder)))
            except OSError:
                pass  # the cache folder may be read-only
        return _File(cast(IO[bytes], tempfile.TemporaryFile()))


class _File:
    """An unnamed temporary file, closed and removed with its last reference."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def append(self, content: memoryview) -> None:
        self._stream.seek(0, 2)
        self._stream.write(content)

    def read(self, start: int, size: int) -> bytes:
        self._stream.seek(start)
        return self._stream.read(size)

    def __del__(self) -> None:
        self._stream.close()


@dataclass(frozen=True)
class _StoredThumbnails:
    """Thumbnails in a file, read a batch at a time, by one thread."""

    file: _File
    side: int
    places: NDArray[np.int64]

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), self.side, self.side)

    def __len__(self) -> int:
        return len(self.places)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:  # noqa: ANN401 - numpy's own
        whole: NDArray[np.uint8] = self[:]
        return whole

    def __getitem__(self, rows: int | np.integer | slice | NDArray[np.integer] | NDArray[np.bool_]) -> Any:  # noqa: ANN401 - as an array's
        wanted = self.places[rows]
        places, inverse = np.unique(wanted, return_inverse=True)
        pixels = self.side * self.side
        found = np.zeros((len(places), pixels), np.uint8)
        first = int(np.searchsorted(places, 0))
        edges = [first, *(np.flatnonzero(np.diff(places[first:]) != 1) + first + 1).tolist(), len(places)]
        for start, end in pairwise(edges):
            if start < end:
                run = np.frombuffer(self.file.read(int(places[start]) * pixels, (end - start) * pixels), np.uint8)
                found[start:end] = run.reshape(-1, pixels)
        return found[inverse].reshape(*np.shape(wanted), self.side, self.side)
