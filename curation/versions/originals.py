"""Finds the archives that a version was made from and reads any file of them by its row's id."""

import glob
import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import CurationError, ErrorCode
from curation.sources.folder import identify_archive
from curation.storage.archive_index import Archive, ArchiveIndex, SourceArchive, file_of
from curation.storage.archive_members import UnreadableMember
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import is_url
from curation.storage.progress import SilentProgress
from curation.versions.store import Version


@dataclass(frozen=True)
class Originals:
    """The files of a version's sources, as far as their archives were found.

    Parameters
    ----------
    files : ArchiveIndex
    missing : tuple of str
        The sources of which an archive was not found.
    """

    files: ArchiveIndex
    missing: tuple[str, ...]

    def read(self, name: str, *, page: int = 1, sha256: str) -> bytes:
        """Return the bytes of the file that a row is of.

        Parameters
        ----------
        name : str
            The row's id.
        page : int
            The row's page; the id of a further page is not that of its file.
        sha256 : str
            The row's.

        Raises
        ------
        CurationError
            The file's archive is missing, the file cannot be read, or it has other bytes.
        """
        try:
            content = self.files.read(file_of(name, page))
        except KeyError:
            raise CurationError(
                ErrorCode.ORIGINALS_MISSING,
                f"{name}: not in any archive that was found",
                hint="Give the archive that its source was read from, or the archive's folder.",
            ) from None
        except UnreadableMember as fault:
            raise CurationError(
                ErrorCode.FILE_UNREADABLE, f"{name}: {fault.reason}", hint="Check the archive, or copy it again."
            ) from fault
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CurationError(
                ErrorCode.SOURCE_CHANGED,
                f"{name}: its bytes changed since the version was built",
                hint="Restore the archive that the version was built from.",
            )
        return content


def open_originals(version: Version, *, places: Sequence[Path] = (), cache: Path | None = None) -> Originals:
    """Look for the archives that a version names, by their sha256.

    They are looked for in the cache, where they were last read, where the recipe names them, and in `places`.

    Parameters
    ----------
    version : Version
    places : sequence of pathlib.Path
        Archives, or folders that contain them (a mirror, for example).
    cache : pathlib.Path, optional
        The cache's folder; by default the user's.

    Raises
    ------
    CurationError
        A place does not exist.
    """
    _check_places(places)
    store = Cache(cache)
    own = _own_folders(version)
    described: Sequence[Mapping[str, Any]] = version.description.get("archives", ())
    archives_of = Counter(str(archive["source"]) for archive in described)
    found: list[SourceArchive] = []
    missing: set[str] = set()
    for facts in described:
        source = str(facts["source"])
        archive = _find(facts, (*own.get(source, ()), *places), store)
        if archive is None:
            missing.add(source)
        else:
            found.append(SourceArchive(source, archive, alone=archives_of[source] == 1))
    return Originals(ArchiveIndex(tuple(found)), tuple(sorted(missing)))


def _check_places(places: Sequence[Path]) -> None:
    for place in places:
        if not place.exists():
            raise CurationError(
                ErrorCode.SOURCE_MISSING,
                f"{place}: there is no such file or folder",
                hint="Give the archive that a source was read from, or the archive's folder.",
            )


def _own_folders(version: Version) -> dict[str, tuple[Path, ...]]:
    """Return source -> the folder or archive that the version's recipe names, where it is on this machine."""
    try:
        raw = tomllib.loads((version.folder / "recipe.toml").read_text(encoding="utf-8"))
        named = [(str(source["name"]), str(source["path"])) for source in raw["sources"] if "path" in source]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    definition = version.folder.parent.parent.parent / version.name  # where a relative path starts
    return {
        source: (place,) for source, path in named if not is_url(Path(path)) and (place := definition / path).exists()
    }


def _find(facts: Mapping[str, Any], places: Sequence[Path], cache: Cache) -> Archive | None:
    name, sha256, size_bytes = str(facts["name"]), str(facts["sha256"]), int(facts.get("size_bytes") or 0)
    path = cache.find_plain_tar(sha256) or cache.find(sha256) or cache.recall(sha256)
    if path is not None:
        return Archive(path, name, sha256, size_bytes)
    for candidate in _candidates(name, places):
        if candidate.is_file() and candidate.stat().st_size != size_bytes:
            continue
        identified = identify_archive(candidate, cache=cache, progress=SilentProgress())
        if identified.sha256 == sha256:
            return Archive(identified.path, name, sha256, size_bytes, listed=identified.listed)
    return None


def _candidates(name: str, places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        yield place
        if place.is_dir():
            yield from sorted(place.rglob(glob.escape(name)))
