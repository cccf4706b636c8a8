"""All files of all sources, to be read by their id."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from curation.sources.protocol import Archive, Fetched
from curation.storage.archives import Member, list_members, read_member


@dataclass(frozen=True)
class Shelf:
    """All files of all sources, to be read by id; members are looked up in their archive when first asked for.

    Parameters
    ----------
    fetched : tuple of Fetched
        What the fetch step gave.
    """

    fetched: tuple[Fetched, ...]

    @cached_property
    def places(self) -> Mapping[str, tuple[Path, Member]]:
        """Return id -> (archive, member) of every file."""
        return {
            file_id(given, archive, member.path): (archive.path, member)
            for given in self.fetched
            for archive in given.archives
            for member in list_members(archive.path, name=archive.name)
        }

    def read(self, name: str) -> bytes:
        """Return the bytes of the file with this id; raises UnreadableMember where they cannot be had."""
        archive, member = self.places[name]
        return read_member(archive, member)


def file_id(given: Fetched, archive: Archive, path: str) -> str:
    """Return the id of a file: source/path, with the archive's name between where a source has several."""
    return f"{given.source}/{inner_path(given, archive, path)}"


def inner_path(given: Fetched, archive: Archive, path: str) -> str:
    """Return the path of a file inside its source; a loose file is called by its own name once."""
    return path if len(given.archives) == 1 or path == archive.name else f"{archive.name}/{path}"


def page_id(name: str, page: int, *, taken: Container[str] = ()) -> str:
    """Return the id of a further page of a file, out of the way of files that are called like one.

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
