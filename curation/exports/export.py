"""Writes a version to a folder in one of the formats, completely or not at all."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from curation.errors import CurationError, ErrorCode
from curation.exports import coco, edge_impulse, fiftyone, huggingface, imagefolder, spreadsheet, tfrecord, webdataset
from curation.exports.rows import Outgoing, gather, total_bytes
from curation.storage.disk_errors import HINTS, code_of
from curation.storage.fsync import flush_folder, flush_tree
from curation.storage.locks import hold_lock
from curation.storage.progress import Progress, SilentProgress, show_progress
from curation.versions import Version

Format = Literal["coco", "csv", "edge-impulse", "fiftyone", "huggingface", "imagefolder", "tfrecord", "webdataset"]
FORMATS: tuple[str, ...] = get_args(Format)

Writer: TypeAlias = Callable[[Outgoing, Path], None]
"""Fills an empty folder with a version in one format."""

_WRITERS: Final[Mapping[Format, Writer]] = {
    "coco": coco.write,
    "csv": spreadsheet.write,
    "edge-impulse": edge_impulse.write,
    "fiftyone": fiftyone.write,
    "huggingface": huggingface.write,
    "imagefolder": imagefolder.write,
    "tfrecord": tfrecord.write,
    "webdataset": webdataset.write,
}


@dataclass(frozen=True)
class Exported:
    """An export that was written.

    Parameters
    ----------
    version : str
        ``name@v2``.
    digest, content_digest : str
    format : str
    folder : pathlib.Path
    pictures, size_bytes : int
        The number of images, and their size without the bytes of the format.
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
    """Write a version to ``target``, which must not exist or must be empty.

    Parameters
    ----------
    version : Version
        From ``curation.load``.
    format : str
        One of ``FORMATS``.
    target : pathlib.Path
        It appears as a whole, by renaming a temporary folder, or not at all.
    progress : Progress, optional
        Counts the bytes of the images.

    Raises
    ------
    CurationError
        Where the target is not empty, an image is not as it was published, or the disk is at fault.
    """
    if format not in FORMATS:
        raise CurationError(
            ErrorCode.FORMAT_UNKNOWN, f"{format!r} is not an export format", hint=f"Formats: {', '.join(FORMATS)}."
        )
    target = Path(os.path.abspath(target))  # noqa: PTH100 (resolving would follow a link that the caller set up)
    samples = gather(version).samples
    size_bytes = total_bytes(samples)
    with (
        _staging_folder(target, version) as folder,
        show_progress(progress or SilentProgress(), f"export {format}", size_bytes) as advance,
    ):
        outgoing = Outgoing(version, samples, advance)
        _WRITERS[format](outgoing, folder)
        _write_identity(outgoing, folder)
    return Exported(
        outgoing.reference, version.digest, outgoing.content_digest, format, target, len(samples), size_bytes
    )


def _write_identity(outgoing: Outgoing, folder: Path) -> None:
    """Add ``version.json`` and the version's card."""
    licences = sorted({sample.licence for sample in outgoing.samples if sample.licence})
    description = {**outgoing.version.description, "licences": licences}
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (folder / "version.json").write_bytes(text.encode())
    card = outgoing.version.folder / "CARD.md"
    if card.is_file() and not (folder / "README.md").exists():
        (folder / "CARD.md").write_bytes(card.read_bytes())


@contextmanager
def _staging_folder(target: Path, version: Version) -> Iterator[Path]:
    """Yield an empty folder that is renamed to ``target`` if the block succeeds, and removed otherwise."""
    _refuse_target(target, version)
    lock, prefix = target.with_name(f".{target.name}.export.lock"), f".{target.name}.export-"
    with _explain_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(lock):
            _refuse_target(target, version)
            # Under the lock, every folder with this prefix was left by a killed export.
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
    """Turn a fault of the target's disk into an error for the user; unreadable images are errors already."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in {*HINTS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST}:
            raise
        where = f" ({fault.filename})" if fault.filename else ""
        raise CurationError(
            code_of(fault),
            f"{target}: the export could not be written: {fault.strerror}{where}",
            hint="Choose a folder that you may write to, on a disk with enough space.",
        ) from fault


def _refuse_target(target: Path, version: Version) -> None:
    if target.resolve().is_relative_to(version.folder.resolve()):
        raise CurationError(
            ErrorCode.TARGET_EXISTS,
            f"{target}: is inside the version's folder",
            hint="Versions are never changed. Choose another folder.",
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise CurationError(
            ErrorCode.TARGET_EXISTS, f"{target}: exists and is not a folder", hint="Choose another folder."
        )
    if target.is_dir() and any(target.iterdir()):
        raise CurationError(
            ErrorCode.TARGET_EXISTS,
            f"{target}: is not empty, and nothing is overwritten",
            hint="Choose another folder, or remove this one.",
        )
