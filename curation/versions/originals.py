"""Finds the archives a version was made from and reads any file of them by its row's id, the unpublished ones too."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import CurationError
from curation.sources.folder import identify_archive
from curation.storage.archive_members import Member
from curation.storage.archives import list_members, read_member
from curation.storage.cache import Cache
from curation.storage.progress import Silence
from curation.versions.store import Version


@dataclass(frozen=True)
class Originals:
    """The files of a version's sources, as far as their archives were found.

    Parameters
    ----------
    places : mapping
        Id -> (archive, member) of every file.
    missing : tuple of str
        The sources of which an archive was not found.
    """

    places: Mapping[str, tuple[Path, Member]]
    missing: tuple[str, ...]

    def read(self, identity: str, *, sha256: str) -> bytes:
        """Return the bytes of a row's file.

        Raises
        ------
        CurationError
            Where its source is missing, or the bytes are not those of that sha256.
        """
        if identity not in self.places:
            raise CurationError(f"{identity}: not in any archive that was found")
        content = read_member(*self.places[identity])
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CurationError(f"{identity}: its bytes changed since the version was built")
        return content


def open_originals(version: Version, *, places: Sequence[Path] = (), cache: Path | None = None) -> Originals:
    """Look for the archives a version names, by their sha256: in the cache, where it was read last, where one says.

    Parameters
    ----------
    version : Version
    places : sequence of pathlib.Path
        Archives, or folders that hold them: a mirror, say.
    cache : pathlib.Path, optional
        The cache's folder; by default the user's.

    Raises
    ------
    CurationError
        Where a place does not exist.
    """
    store = Cache(cache)
    found: dict[str, tuple[Path, Member]] = {}
    missing: list[str] = []
    archives: Sequence[Mapping[str, Any]] = version.description.get("archives", ())
    for archive in archives:
        source = str(archive["source"])
        sha256 = str(archive["sha256"])
        path = store.find(sha256) or store.recall(sha256) or _search(archive, places, store)
        if path is None:
            missing.append(source)
            continue
        alone = sum(other["source"] == source for other in archives) == 1
        prefix = source if alone else f"{source}/{archive['name']}"
        for member in list_members(path, name=str(archive["name"])):
            found[f"{prefix}/{member.path}"] = (path, member)
    return Originals(found, tuple(sorted(set(missing))))


def _search(archive: Mapping[str, Any], places: Sequence[Path], cache: Cache) -> Path | None:
    for candidate in _candidates(str(archive["name"]), places):
        if candidate.is_file() and candidate.stat().st_size != archive.get("size_bytes"):
            continue
        identified = identify_archive(candidate, cache=cache, progress=Silence())
        if identified.sha256 == archive["sha256"]:
            return identified.path
    return None


def _candidates(name: str, places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise CurationError(f"{place}: is not there", hint="give the archive a source was read from, or its folder")
        yield place
        if place.is_dir():
            yield from sorted(place.rglob(name))
