"""Sees in a moment whether a version's files are still as they were published, and says how to make them again."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from curation.errors import CurationError
from curation.versions.describe import SUMS, hash_file
from curation.versions.home import Home
from curation.versions.lines import VersionLine
from curation.versions.store import open_folder, restore_command, wrong_folder

SUM_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>\S.*)")
NAMED = 10
"""Damaged files that an error names; `verify` names all."""


def check_present(home: Home, name: str, line: VersionLine) -> None:
    """Check that every file of a built version is there and was not written to since; a stat a file.

    Nothing is read but a file that is younger than the checksums, which are written last. ``verify`` reads every byte.

    Raises
    ------
    CurationError
        Where a file is missing, empty, no regular file or changed, or the folder holds another version.
    """
    folder = home.build(name, line.version)
    if problems := list(_find_damage(folder)):
        more = [f"  ... and {len(problems) - NAMED} more"] if len(problems) > NAMED else []
        raise CurationError(
            "\n".join(
                [f"{folder}: damaged since it was built", *(f"  {each}" for each in problems[:NAMED]), *more],
            ),
            hint=repair_hint(folder, name, line.version),
        )
    version = open_folder(folder)
    if version.digest != line.digest:
        raise wrong_folder(version, line)


def repair_hint(folder: Path, name: str, number: int) -> str:
    """Return how the files of a damaged version are made again."""
    return f"move or delete the folder {folder}, then `{restore_command(name, number)}` makes it again from git's texts"


def read_sums(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return the checksums by file name, and what is wrong with the list itself."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as fault:
        return {}, [f"{SUMS}: cannot be read: {fault}"]
    found = [SUM_LINE.fullmatch(line) for line in lines]
    broken = [f"{SUMS}: line {number} is no checksum" for number, match in enumerate(found, start=1) if match is None]
    return {match["name"]: match["sha256"] for match in found if match}, broken


def _find_damage(folder: Path) -> Iterator[str]:
    sums, broken = read_sums(folder)
    yield from broken
    if not sums and not broken:
        yield f"{SUMS}: missing or empty"
        return
    written = (folder / SUMS).lstat().st_mtime_ns
    for name, sha256 in sorted(sums.items()):
        path = folder / name
        try:
            seen = path.lstat()
        except OSError:
            yield f"{name}: missing"
            continue
        if not stat.S_ISREG(seen.st_mode):
            yield f"{name}: no regular file"
        elif seen.st_mtime_ns > written and hash_file(path) != sha256:
            yield f"{name}: changed since {SUMS} was written"
        elif not seen.st_size:
            yield f"{name}: empty"
