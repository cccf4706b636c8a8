"""Writes a version into a folder in one of the formats: all of it or nothing."""

import errno
import importlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from curation.errors import CurationError
from curation.exports.rows import Outgoing, gather, total_bytes
from curation.storage.disk_errors import HINTS
from curation.storage.fsync import flush_folder, flush_tree
from curation.storage.locks import hold_lock
from curation.storage.progress import Progress, SilentProgress, show_progress
from curation.versions import Version

Format = Literal["coco", "csv", "edge-impulse", "fiftyone", "huggingface", "imagefolder", "tfrecord", "webdataset"]
FORMATS: tuple[str, ...] = get_args(Format)

_MODULES = {"csv": "spreadsheet", "edge-impulse": "edge_impulse"}


class _Writer(Protocol):
    """A module of this room."""

    def write(self, outgoing: Outgoing, folder: Path) -> None:
        """Fill an empty folder with the version in this format."""


@dataclass(frozen=True)
class Exported:
    """What left.

    Parameters
    ----------
    version : str
        ``name@v2``.
    digest, content_digest : str
    format : str
    folder : pathlib.Path
    pictures, size_bytes : int
        How many, and what they take without the format's own bytes.
    """

    version: str
    digest: str
    content_digest: str
    format: str
    folder: Path
    pictures: int
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {**asdict(self), "folder": str(self.folder)}


def export(version: Version, format: Format, target: Path, *, progress: Progress | None = None) -> Exported:
    """Write a version into ``target``, which must not exist yet or be empty.

    Parameters
    ----------
    version : Version
        From ``curation.load``.
    format : str
        One of ``FORMATS``.
    target : pathlib.Path
        It appears as a whole, by renaming a folder beside it, or not at all.
    progress : Progress, optional
        Is told the bytes of the pictures.

    Raises
    ------
    CurationError
        Where the target is not empty, a picture is not the one that was published, or the disk is at fault.
    """
    if format not in FORMATS:
        raise CurationError(f"there is no format {format!r}", hint=f"formats: {', '.join(FORMATS)}")
    writer = cast(_Writer, importlib.import_module(f"curation.exports.{_MODULES.get(format, format)}"))
    target = Path(os.path.abspath(target))  # noqa: PTH100 (resolving would follow a link that the caller set up)
    samples = gather(version).samples
    size_bytes = total_bytes(samples)
    with (
        _take_shape(target, version) as folder,
        show_progress(progress or SilentProgress(), f"export {format}", size_bytes) as advance,
    ):
        outgoing = Outgoing(version, samples, advance)
        writer.write(outgoing, folder)
        _sign(outgoing, folder)
    return Exported(
        outgoing.reference, version.digest, outgoing.content_digest, format, target, len(samples), size_bytes
    )


def _sign(outgoing: Outgoing, folder: Path) -> None:
    """Put what the version says of itself, and its card, beside the pictures."""
    licences = sorted({sample.licence for sample in outgoing.samples if sample.licence})
    told = {**outgoing.version.description, "licences": licences}
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    (folder / "version.json").write_bytes(text.encode())
    card = outgoing.version.folder / "CARD.md"
    if card.is_file() and not (folder / "README.md").exists():
        (folder / "CARD.md").write_bytes(card.read_bytes())


@contextmanager
def _take_shape(target: Path, version: Version) -> Iterator[Path]:
    """Give an empty folder that becomes ``target`` if the block ends well, and vanishes else."""
    _refuse_target(target, version)
    lock, prefix = target.with_name(f".{target.name}.export.lock"), f".{target.name}.export-"
    with _explain_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(lock):
            _refuse_target(target, version)
            # Under the lock every folder of that name is what a killed export left.
            for left in sorted(path for path in target.parent.iterdir() if path.name.startswith(prefix)):
                shutil.rmtree(left, ignore_errors=True)
            folder = target.with_name(f"{prefix}{secrets.token_hex(4)}")
            folder.mkdir()
            try:
                yield folder
                flush_tree(folder)
                if target.exists():
                    target.rmdir()
                folder.rename(target)
                flush_folder(target.parent)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _explain_faults(target: Path) -> Iterator[None]:
    """Turn what a disk can do to an export into an error of the user; pictures that cannot be read are told already."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in {*HINTS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST}:
            raise
        where = f" ({fault.filename})" if fault.filename else ""
        raise CurationError(
            f"{target}: the export could not be written: {fault.strerror}{where}",
            hint="choose a folder on a disk with room, that you may write to",
        ) from fault


def _refuse_target(target: Path, version: Version) -> None:
    if target.resolve().is_relative_to(version.folder.resolve()):
        raise CurationError(f"{target}: lies inside the version", hint="versions are never changed: export elsewhere")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise CurationError(f"{target}: is there already and is no folder", hint="choose another one")
    if target.is_dir() and any(target.iterdir()):
        raise CurationError(
            f"{target}: is not empty, and nothing is overwritten", hint="choose another folder, or clear it away"
        )
