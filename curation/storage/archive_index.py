"""The files of all archives by their ids: where each one is read, with every archive listed once.

An id is ``source/path``; a further page of a file has ``#2``, ``#3`` and so on behind it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from curation.storage.archive_members import Member
from curation.storage.archives import list_members, read_member


@dataclass(frozen=True)
class Archive:
    """A zip, a tar, a folder or a loose file, ready to be read in place.

    Parameters
    ----------
    path : Path
        Where it can be read: in the cache, in the mirror, or at the recipe's path. A compressed tar was unpacked to
        a plain one in the cache; then this is the plain one.
    name : str
        Its name where it comes from.
    sha256 : str
        Of the archive as it came. A folder's is over its files' paths and sha256.
    size_bytes : int
        Of the archive as it came; of a folder the sum of its files.
    md5 : str, optional
        What the source states.
    listed : tuple of Member, optional
        Its files, where they were listed already.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int
    md5: str | None = None
    listed: tuple[Member, ...] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every file inside, sorted by path; listed when first asked for.

        Raises
        ------
        CurationError
            The archive is missing or damaged.
        """
        return list_members(self.path, name=self.name) if self.listed is None else self.listed


@dataclass(frozen=True)
class SourceArchive:
    """One of the archives that a source consists of.

    Parameters
    ----------
    source : str
        The source's name in the recipe.
    archive : Archive
    alone : bool
        Whether the source has no other archive.
    """

    source: str
    archive: Archive
    alone: bool

    def inner_path(self, path: str) -> str:
        """Return the path inside the source of a file of the archive; a loose file has its own name only."""
        return path if self.alone or path == self.archive.name else f"{self.archive.name}/{path}"

    def file_id(self, path: str) -> str:
        """Return the id of a file of the archive."""
        return f"{self.source}/{self.inner_path(path)}"


@dataclass(frozen=True)
class ArchiveIndex:
    """Every file of some archives, to be read by its id; nothing is listed before it is needed."""

    archives: tuple[SourceArchive, ...]

    @cached_property
    def places(self) -> Mapping[str, tuple[Path, Member]]:
        """Return id -> (archive, member) of every file."""
        return {
            part.file_id(member.path): (part.archive.path, member)
            for part in self.archives
            for member in part.archive.members
        }

    def read(self, name: str) -> bytes:
        """Return the bytes of the file with this id.

        Raises
        ------
        KeyError
            No archive has such a file.
        UnreadableMember
            Its bytes cannot be had.
        """
        archive, member = self.places[name]
        return read_member(archive, member)


def page_id(name: str, page: int, *, taken: Container[str] = ()) -> str:
    """Return the id of a further page of a file, other than the ids of the files that are named like one.

    >>> page_id("s/a.tif", 2), page_id("s/a.tif", 2, taken={"s/a.tif#2"})
    ('s/a.tif#2', 's/a.tif#2~')
    """
    found = f"{name}#{page}"
    while found in taken:
        found += "~"
    return found


def file_of(name: str, page: int) -> str:
    """Return the id of the file that a page's id names.

    >>> file_of("s/a.tif#2~", 2), file_of("s/a.tif#2", 1)
    ('s/a.tif', 's/a.tif#2')
    """
    return name.rstrip("~").removesuffix(f"#{page}") if page > 1 else name
