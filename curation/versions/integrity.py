"""Checks quickly whether a version's files are still as published, and describes how to make them again."""

import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from curation.dataset.layout import Home
from curation.errors import CurationError, ErrorCode
from curation.storage.hash_index import hash_file
from curation.versions.describe import SUMS
from curation.versions.problems import Problem, ProblemCode, list_problems
from curation.versions.store import open_folder, restore_command, wrong_folder
from curation.versions.version_index import VersionLine

SUM_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>\S.*)")
SHOWN = 10
"""Damaged files that an error lists; `verify` lists all."""


def check_present(home: Home, name: str, line: VersionLine) -> None:
    """Check that every file of a built version exists and was not written to since, by one stat per file.

    Only files that are newer than the checksums, which are written last, are read. ``verify`` reads every byte.

    Raises
    ------
    CurationError
        Where a file is missing, empty, changed or not a regular file, or the folder contains another version.
    """
    folder = home.build(name, line.version)
    if problems := list(_find_damage(folder)):
        raise CurationError(
            ErrorCode.VERSION_DAMAGED,
            "\n".join([f"{folder}: damaged since it was built", *list_problems(problems, limit=SHOWN)]),
            hint=repair_hint(folder, name, line.version, problems=problems),
        )
    version = open_folder(folder)
    if version.digest != line.digest:
        raise wrong_folder(version, line)


def repair_hint(folder: Path, name: str, number: int, *, problems: Sequence[Problem] = ()) -> str:
    """Return how to make the files of a damaged version again, and which other versions share the damage."""
    hint = f"Move or delete the folder {folder}, then `{restore_command(name, number)}` makes it again from git."
    if sharing := _name_sharers(folder, problems):
        hint += f"; damaged files are shared with {', '.join(sharing)} (versions share images): repair those too"
    return hint


def _name_sharers(folder: Path, problems: Sequence[Problem]) -> list[str]:
    """Return the other versions that share a damaged file by a hard link, in order."""
    damaged: set[tuple[int, int]] = set()
    for problem in problems:
        try:
            seen = (folder / problem.place).lstat()
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
            damaged.add((seen.st_dev, seen.st_ino))
    if not damaged:
        return []
    others = (path for path in folder.parent.glob("v*") if path != folder and path.name[1:].isdigit())
    return [
        other.name
        for other in sorted(others, key=lambda path: int(path.name[1:]))
        if any((file.lstat().st_dev, file.lstat().st_ino) in damaged for file in other.rglob("*"))
    ]


def read_sums(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    """Return the checksums by file name, and what is wrong with the list itself."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as fault:
        return {}, [Problem.at(ProblemCode.CHECKSUMS_INVALID, SUMS, f"cannot be read: {fault}")]
    found = [SUM_LINE.fullmatch(line) for line in lines]
    broken = [
        Problem.at(ProblemCode.CHECKSUMS_INVALID, SUMS, f"line {number} is not a checksum")
        for number, match in enumerate(found, start=1)
        if match is None
    ]
    return {match["name"]: match["sha256"] for match in found if match}, broken


def _find_damage(folder: Path) -> Iterator[Problem]:
    sums, broken = read_sums(folder)
    yield from broken
    if not sums and not broken:
        yield Problem.at(ProblemCode.FILE_MISSING, SUMS, "missing or empty")
        return
    written = (folder / SUMS).lstat().st_mtime_ns
    for name, sha256 in sorted(sums.items()):
        path = folder / name
        try:
            seen = path.lstat()
        except OSError:
            yield Problem.at(ProblemCode.FILE_MISSING, name, "missing")
            continue
        if not stat.S_ISREG(seen.st_mode):
            yield Problem.at(ProblemCode.FILE_NOT_REGULAR, name, "not a regular file")
        elif seen.st_mtime_ns > written and hash_file(path) != sha256:
            yield Problem.at(ProblemCode.FILE_CHANGED, name, f"changed since {SUMS} was written")
        elif not seen.st_size:
            yield Problem.at(ProblemCode.FILE_EMPTY, name, "empty")
