"""The files inside an archive: one frozen value a file, its place for random reading, and the limits of an archive.

Names inside an archive are text, never paths: none of them reaches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from curation.errors import CurationError, ErrorCode
from curation.reasons import Cause, Reason, UnusableFile


@dataclass(frozen=True)
class ZipPlace:
    """The place of a file in a zip: its local header, and its entry in the central directory."""

    header_offset: int
    packed_bytes: int
    method: int
    crc32: int


@dataclass(frozen=True)
class Span:
    """The place of a file in a tar: the offset of its first byte in the uncompressed tar."""

    offset: int


@dataclass(frozen=True)
class FilePlace:
    """A file on disk: its absolute path with links resolved, in the operating system's spelling."""

    path: str


Place = ZipPlace | Span | FilePlace


@dataclass(frozen=True)
class Member:
    """One file inside an archive or a folder.

    Parameters
    ----------
    path : str
        The name inside, with ``/`` between folders; always storable as UTF-8.
    size_bytes : int
        The declared size; a reader never returns more.
    locator : ZipPlace, Span, FilePlace or None
        What another process needs to read it at random; None where it is refused.
    refused : Cause, optional
        Why it may not be read; the same on every run.
    """

    path: str
    size_bytes: int
    locator: Place | None
    refused: Cause | None = None


class UnreadableMember(UnusableFile):
    """Raised where the bytes of a member cannot be read; reason and detail are the same on every run."""


@dataclass(frozen=True)
class Limits:
    """Limits that no legitimate archive of images exceeds.

    Parameters
    ----------
    members : int
        Files in one archive.
    member_bytes : int
        Size of one file, unpacked.
    ratio : int
        Unpacked over packed size; deflate of zeros reaches 1032.
    ratio_floor_bytes : int
        Below this size the ratio is not checked: a blank image without compression packs a thousandfold.
    tar_floor_bytes : int
        The same for a whole compressed tar.
    """

    members: int = 5_000_000
    member_bytes: int = 1 << 30
    ratio: int = 200
    ratio_floor_bytes: int = 256 << 20
    tar_floor_bytes: int = 16 << 20

    def refuse_size(self, size_bytes: int, packed_bytes: int | None = None) -> Cause | None:
        """Return why a file of this size is not read, or None."""
        if packed_bytes is not None and size_bytes > self.ratio_floor_bytes and size_bytes > packed_bytes * self.ratio:
            return Cause(Reason.ARCHIVE_BOMB, f"{format_bytes(packed_bytes)} expands to {format_bytes(size_bytes)}")
        if size_bytes > self.member_bytes:
            return Cause(Reason.FILE_TOO_LARGE, format_bytes(self.member_bytes))
        return None

    def too_many(self, archive: str) -> CurationError:
        """Return the error that refuses an archive with too many files."""
        return CurationError(
            ErrorCode.ARCHIVE_REFUSED,
            f"{archive}: it has more than {self.members} files",
            hint="Split it into several archives.",
        )


LIMITS = Limits()


def format_bytes(size_bytes: int) -> str:
    """Return a size in decimal units.

    >>> format_bytes(999), format_bytes(1_500), format_bytes(4_294_967_296)
    ('999 B', '1.5 KB', '4.3 GB')
    """
    size = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.1f}".removesuffix(".0") + f" {unit}"
        size /= 1000
    return f"{size:.1f}".removesuffix(".0") + " TB"


def storable_name(name: str) -> str:
    r"""Return a name in a form that UTF-8 can store; undecodable bytes (lone surrogates) are spelled out.

    >>> storable_name("caf\udce9.jpg"), storable_name("./a/b.jpg")
    ('caf\\xe9.jpg', 'a/b.jpg')
    >>> storable_name("a//b.jpg")
    'a/b.jpg'
    """
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate without a byte
        raw = name.encode("utf-8", "backslashreplace")
    text = raw.decode("utf-8", "backslashreplace")
    while text.startswith("./"):  # `tar cf x.tar .` names what a folder listing names without it
        text = text[2:].lstrip("/")
    while "//" in text:  # a folder without a name is not a class
        text = text.replace("//", "/")
    return text or "unnamed"


_SYSTEM_FILES = {
    ".ds_store": ".DS_Store (macOS)",
    ".localized": ".localized (macOS)",
    "icon\r": "Icon (macOS)",
    "desktop.ini": "desktop.ini (Windows)",
    "thumbs.db": "Thumbs.db (Windows)",
    "ehthumbs.db": "Thumbs.db (Windows)",
    "ehthumbs_vista.db": "Thumbs.db (Windows)",
    ".directory": ".directory (KDE)",
    ".nomedia": ".nomedia (Android)",
}


def name_system_file(path: str) -> str | None:
    """Return the kind of a file that an operating system leaves in folders, judged by its name; None for other files.

    An image may have such a name too, so the content of the file takes precedence.

    >>> name_system_file("cat/Thumbs.db"), name_system_file("__MACOSX/cat/._1.jpg"), name_system_file("cat/1.jpg")
    ('Thumbs.db (Windows)', 'AppleDouble (macOS)', None)
    """
    name = path.rpartition("/")[2].lower()
    return "AppleDouble (macOS)" if name.startswith("._") else _SYSTEM_FILES.get(name)


_PROGRAM_FOLDERS = {
    ".ipynb_checkpoints": ".ipynb_checkpoints (Jupyter)",
    ".thumbnails": ".thumbnails",
    ".thumbs": ".thumbs",
    "@eadir": "@eaDir (Synology)",
    "#recycle": "#recycle (Synology)",
    "__macosx": "__MACOSX (macOS)",
    ".appledouble": ".AppleDouble (macOS)",
    ".trashes": ".Trashes (macOS)",
    ".spotlight-v100": ".Spotlight-V100 (macOS)",
    "$recycle.bin": "$RECYCLE.BIN (Windows)",
    "system volume information": "System Volume Information (Windows)",
    ".picasaoriginals": ".picasaoriginals (Picasa)",
    ".dropbox.cache": ".dropbox.cache (Dropbox)",
    ".git": ".git",
    ".cache": ".cache",
    "__pycache__": "__pycache__ (Python)",
}


def name_program_folder(path: str) -> str | None:
    """Return the folder on a path in which a program keeps copies for itself; None where there is none.

    Its images are copies, thumbnails or deleted: they are neither images of a dataset nor evidence about one.

    >>> name_program_folder("cat/.ipynb_checkpoints/1-checkpoint.png"), name_program_folder("cat/1.png")
    ('.ipynb_checkpoints (Jupyter)', None)
    >>> name_program_folder(".Trash-1000/files/1.png")
    '.Trash-1000 (trash)'
    """
    for folder in path.split("/")[:-1]:
        name = folder.lower()
        if name in _PROGRAM_FOLDERS:
            return _PROGRAM_FOLDERS[name]
        if name == ".trash" or name.startswith(".trash-"):
            return f"{folder} (trash)"
    return None


def number_duplicates(members: Sequence[Member]) -> tuple[Member, ...]:
    """Add ``~2``, ``~3`` before the extension to the second and later members of one path, and sort by path.

    The order of `members` is the archive's own, so that the same archive always gives the same paths.
    """
    taken = {member.path for member in members}
    if len(taken) == len(members):
        return tuple(sorted(members, key=lambda member: member.path))
    seen: dict[str, int] = {}
    numbered = []
    for member in members:
        path = member.path
        if path in seen:
            number = seen[path]
            while path in taken:
                number += 1
                path = number_path(member.path, number)
            taken.add(path)
            seen[member.path] = number
        else:
            seen[path] = 1
        numbered.append(replace(member, path=path))
    return tuple(sorted(numbered, key=lambda member: member.path))


def number_path(path: str, number: int) -> str:
    """Return the path with a ``~number`` before its extension."""
    folder, slash, name = path.rpartition("/")
    suffix = PurePosixPath(name).suffix
    return f"{folder}{slash}{name.removesuffix(suffix)}~{number}{suffix}"
