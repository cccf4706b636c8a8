"""Maps a function over shards of published files: by their paths on this machine, with their contents elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from curation.engines import Engine

Setting = TypeVar("Setting")
Result = TypeVar("Result")
FileContent: TypeAlias = Path | bytes

SENT_BYTES: Final = 64 << 20
"""Contents that are sent to other machines at once; bounds the memory."""


@dataclass(frozen=True)
class FileShard(Generic[Setting]):
    """Files that are worked on together.

    Parameters
    ----------
    files : tuple of Path or bytes
        Bytes where the worker may not see the path.
    setting : object
        What else the function needs; it can be pickled.
    """

    files: tuple[FileContent, ...]
    setting: Setting


def read_content(file: FileContent) -> bytes:
    """Return the bytes of a file of a shard."""
    return file if isinstance(file, bytes) else file.read_bytes()


def map_files(
    engine: Engine, function: Callable[[FileShard[Setting]], Result], shards: Sequence[FileShard[Setting]]
) -> Iterator[Result]:
    """Yield the function's result for each shard, in order."""
    if not engine.is_remote:
        yield from engine.map(function, shards)
        return
    waiting: list[FileShard[Setting]] = []
    size = 0
    for shard in shards:
        loaded = tuple(_load(file) for file in shard.files)
        size += sum(len(file) for file in loaded if isinstance(file, bytes))
        waiting.append(replace(shard, files=loaded))
        if size >= SENT_BYTES:
            yield from engine.map(function, waiting)
            waiting, size = [], 0
    yield from engine.map(function, waiting)


def _load(file: FileContent) -> FileContent:
    """Return the contents; the path where it cannot be read, so that the worker reports why."""
    try:
        return read_content(file)
    except OSError:
        return file
