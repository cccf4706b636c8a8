"""Lists what a folder or archive holds: images by their bytes, tables, and what this program does not use."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from curation.dataset.recipe import compose
from curation.errors import CurationError, ErrorCode
from curation.images.sniffing import SNIFF_BYTES, sniff
from curation.sources.table_files import is_table_name
from curation.storage.archive_members import (
    FilePlace,
    Member,
    UnreadableMember,
    name_program_folder,
    name_system_file,
)
from curation.storage.archives import list_members, read_member
from curation.storage.fsspec_paths import is_url
from curation.storage.progress import Progress, SilentProgress, show_progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
IMAGE_KINDS: Final = frozenset(
    {"jpeg", "png", "tiff", "gif", "bmp", "webp", "jpeg2000", "heif", "avif", "jpegxl", "dicom"}
)
_MASKS: Final = re.compile(r"masks?|segmentations?|annotations?|annots?|gt|labels?", re.IGNORECASE)
"""The name of a folder of masks, where a folder of images lies next to it: it may be a class elsewhere."""
_SURELY_MASKS: Final = re.compile(
    r"segmentation_?(?:class|object)|ground[\W_]?truths?|(?:train|val|valid|test)[\W_]?masks?", re.IGNORECASE
)
IMAGE_FOLDER: Final = re.compile(r"(?:jpeg|rgb)?(?:images?|imgs?|pictures?|photos?|pics|frames)", re.IGNORECASE)
"""The name of a folder that only states that it holds images."""
_BOXES = re.compile(
    r"(?:^|/)(?:annotations/[^/]+\.(?:json|xml)|_annotations\.coco\.json|labels/(?:.+/)?[^/]+\.txt)\Z", re.I
)
_MAX_SNIFFED_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Listing:
    """What a folder or an archive holds.

    Parameters
    ----------
    root : pathlib.Path
    images : tuple of str
        The paths of the images.
    tables : tuple of Member
    masks : mapping of str to int
        Folder name -> number of images in folders of that name which are masks of others.
    left : mapping of str to int
        What programs and operating systems left -> number of files.
    boxes : int
        The number of files that describe parts of images.
    others : mapping of str to int
        Suffix -> number of other files.
    """

    root: Path
    images: tuple[str, ...]
    tables: tuple[Member, ...] = ()
    masks: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    boxes: int = 0
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def mask_folders(self) -> tuple[str, ...]:
        """The names of the folders of masks, sorted."""
        return tuple(sorted(self.masks))


def list_images(root: Path, *, progress: Progress | None = None) -> Listing:
    """List a folder, zip or tar; the bytes of a file decide whether it is an image, whatever its suffix.

    In an archive the suffix of an image is trusted, as reading its bytes would unpack the whole archive.

    Raises
    ------
    CurationError
        There is no such folder or archive, or it cannot be read.
    """
    if not root.exists():
        raise CurationError(ErrorCode.SOURCE_MISSING, f"{root}: no such folder or archive", hint="Check the path.")
    root = root.resolve()
    members = list_members(root)
    left: Counter[str] = Counter()
    others: Counter[str] = Counter()
    images, tables, boxes = [], [], 0
    with show_progress(progress or SilentProgress(), f"read {root.name}", len(members)) as advance:
        for member in members:
            advance(1)
            program = name_system_file(member.path) or name_program_folder(member.path)
            if program:
                left[program] += 1
            elif _is_image(root, member):
                images.append(compose(member.path))
            elif is_table_name(member.path) and not _BOXES.search(member.path):
                tables.append(member)
            elif _BOXES.search(member.path):
                boxes += 1
            else:
                others[Path(member.path).suffix.lower() or "none"] += 1
    kept, masks = _divide_masks(images)
    return Listing(
        root, tuple(kept), tuple(tables), masks, dict(sorted(left.items())), boxes, dict(sorted(others.items()))
    )


def is_image_name(path: str) -> bool:
    """Return whether a file has the suffix of an image."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def _is_image(root: Path, member: Member) -> bool:
    place = member.locator
    if place is None:
        return is_image_name(member.path)
    if isinstance(place, FilePlace) and not is_url(place.path):
        try:
            with Path(place.path).open("rb") as stream:
                return sniff(stream.read(SNIFF_BYTES)) in IMAGE_KINDS
        except OSError:
            return is_image_name(member.path)
    if is_image_name(member.path):
        return True
    if is_table_name(member.path) or member.size_bytes > _MAX_SNIFFED_BYTES:
        return False
    try:
        return sniff(read_member(root, member)[:SNIFF_BYTES]) in IMAGE_KINDS
    except UnreadableMember:
        return False


def _divide_masks(images: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the images without masks, and the names of the folders of masks with their numbers of files."""
    folders = {path.rpartition("/")[0] for path in images}
    parents = {folder.rpartition("/")[0] for folder in folders if IMAGE_FOLDER.fullmatch(folder.rpartition("/")[2])}

    def holds_masks(folder: str) -> bool:
        parent, _, name = folder.rpartition("/")
        return bool(_SURELY_MASKS.fullmatch(name) or (parent in parents and _MASKS.fullmatch(name)))

    masks = {folder for folder in folders if holds_masks(folder)}
    if masks == folders:
        return list(images), {}
    found = Counter(folder.rpartition("/")[2] for path in images if (folder := path.rpartition("/")[0]) in masks)
    return [path for path in images if path.rpartition("/")[0] not in masks], dict(sorted(found.items()))
