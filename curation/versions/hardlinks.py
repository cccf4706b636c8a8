"""Images that several versions share are hard links to one file: finds them, and links or copies them."""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.dataset.layout import Home
from curation.errors import CurationError
from curation.storage.hash_index import hash_file
from curation.versions.store import open_folder
from curation.versions.version_index import published, same_rendering

NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.ENOSYS})
"""Another file system, too many links, or a file system without links: a copy serves as well."""


@dataclass(frozen=True)
class PublishedImage:
    """A published image, and the sha256 of its file when it was published."""

    path: Path
    file_sha256: str


def reuse(
    home: Home, name: str, *, rendering: Mapping[str, object], encoder: str
) -> Mapping[tuple[str, int], PublishedImage]:
    """Return (sha256, page) -> image of published versions that are rendered and encoded in the same way.

    A version whose folder is absent or cannot be read is skipped. Nothing is checked here; ``link_or_copy`` does.
    """
    found: dict[tuple[str, int], PublishedImage] = {}
    for line in published(home, name):
        folder = home.build(name, line.version)
        if not same_rendering(line.rendering, rendering) or not folder.is_dir():
            continue
        try:
            version = open_folder(folder)
            if version.digest != line.digest or version.description.get("encoder") != encoder:
                continue
            kept = version.manifest.kept
        except CurationError:
            # `verify` reports a damaged version.
            continue
        for sha256, page, file, digest in (
            kept.select("sha256", "page", "file", "file_sha256").drop_nulls("file").rows()
        ):
            found[sha256, page or 1] = PublishedImage(folder / file, digest)
    return found


def link_or_copy(image: PublishedImage, target: Path) -> bool:
    """Link a published image to ``target`` (copy it across file systems), if its bytes are still the published ones.

    Returns
    -------
    bool
        False where the image is gone or was changed, and must be rendered.
    """
    try:
        if hash_file(image.path) != image.file_sha256:
            return False
    except OSError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(image.path)
    except OSError as fault:
        if fault.errno not in NO_LINK:
            raise
        shutil.copyfile(image.path, target)
    return True
