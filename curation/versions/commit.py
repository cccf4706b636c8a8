"""Publishes a finished build; a crash at any moment leaves the old state or the new one after ``recover``.

The order makes this safe: the folder is verified, flushed and renamed to ``v<n>`` before git's texts mention it, and
the line in ``versions.jsonl`` is written last. Once the lock is free, every temporary name is a leftover.
"""

import contextlib
import datetime
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curation.errors import CurationError, ErrorCode
from curation.storage.atomic_files import replace_file
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.fsync import BUILD, flush_folder, flush_tree, make_temp_folder
from curation.storage.progress import Progress, SilentProgress, show_progress
from curation.versions.describe import write_sums, write_text
from curation.versions.drafts import drop_draft
from curation.versions.locks import Lock
from curation.versions.problems import list_problems
from curation.versions.store import Version, open_folder, other_bytes
from curation.versions.verify import check_folder, size_of
from curation.versions.version_index import VersionLine, format_lines, make_line, published, split_table


@dataclass(frozen=True)
class Staging:
    """The temp folder of a build under way; the stages write into ``folder``, ``commit`` renames it."""

    held: Lock
    folder: Path


@dataclass(frozen=True)
class Published:
    """The result of a commit.

    Parameters
    ----------
    line : VersionLine
        The version's line, old or new.
    outcome : str
        ``"published"``: a new version; ``"restored"``: the absent files of a published one are back under their own
        number; ``"unchanged"``: it was there already and nothing was written.
    notes : tuple of str
        What a user should know.
    """

    line: VersionLine
    outcome: Literal["published", "restored", "unchanged"]
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def open_staging(held: Lock) -> Iterator[Staging]:
    """Make a temporary folder next to the built versions; it is removed at the end unless it was committed.

    Raises
    ------
    CurationError
        Where the disk is full or read-only, also for what the block writes.
    """
    builds = held.home.builds(held.name)
    with explain_disk_faults(f"{builds}: the build of {held.name} could not be written", within=builds):
        folder = make_temp_folder(builds, BUILD)
        try:
            yield Staging(held, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def commit(build: Staging, *, created: str | None = None, progress: Progress | None = None) -> Published:
    """Publish the staged folder under the lock: verify, flush, rename, then git's texts.

    Parameters
    ----------
    build : Staging
        Its folder contains the images and what ``write_tables`` wrote, and possibly a card, recipe, lock, decisions
        and report.
    created : str, optional
        The moment of publication (ISO 8601); now, where it is not given.
    progress : Progress, optional
        Counts the bytes of the files, each three times: they are hashed, checked and flushed.

    Raises
    ------
    RuntimeError
        Where the folder does not verify: a bug of a stage.
    CurationError
        Where the disk is at fault, or something else has the name of the folder.
    """
    held, version = build.held, open_folder(build.folder)
    home, name = held.home, held.name
    lines = published(home, name)
    line = next((line for line in lines if line.digest == version.digest), None)
    number = line.version if line else len(lines) + 1
    if (version.name, version.number) != (name, number):
        raise ValueError(
            f"the build is described as {version.name}@v{version.number}, but {name}@v{number} is the next"
        )
    target = home.build(name, number)
    if line and target.is_dir():
        drop_draft(held)
        return Published(line, "unchanged")
    if target.exists():
        raise CurationError(
            ErrorCode.TARGET_EXISTS,
            f"{target}: not a folder, so v{number} cannot be published",
            hint="Move it away and build again.",
        )
    with explain_disk_faults(f"{target}: v{number} could not be published", within=home.datasets):
        _check_and_flush(build.folder, progress or SilentProgress())
        build.folder.rename(target)
        flush_folder(target.parent)
        drop_draft(held)
        version = open_folder(target)
        if line:
            return Published(line, "restored", _restore_texts(held, version, line))
        return Published(write_texts(held, version, created=created), "published")


def _check_and_flush(folder: Path, progress: Progress) -> None:
    """Write the checksums, check everything, and flush it to the disk."""
    with show_progress(progress, "check and flush files", 3 * size_of(folder)) as advance:
        write_sums(folder, advance=advance)
        if problems := check_folder(folder, advance=advance).problems:
            raise RuntimeError(f"{folder}: the build does not verify\n" + "\n".join(list_problems(problems)))
        flush_tree(folder, advance=advance)


def write_texts(held: Lock, version: Version, *, created: str | None = None) -> VersionLine:
    """Write the split, then the line: the moment from which the version is published."""
    home, name = held.home, held.name
    moment = created or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = make_line(version.description, created=moment)
    write_split(held, version)
    path = home.lines(name)
    text = format_lines(path.read_bytes() if path.exists() else b"", line)
    replace_file(path, text)
    flush_folder(path.parent)
    return line


def write_split(held: Lock, version: Version) -> None:
    """Write ``v<n>.csv`` from a version's manifest."""
    path = held.home.split(held.name, version.number)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        flush_folder(path.parent.parent)
    write_text(path, split_table(version.manifest.kept).write_csv(line_terminator="\n"))
    flush_folder(path.parent)


def _restore_texts(held: Lock, version: Version, line: VersionLine) -> tuple[str, ...]:
    notes = []
    if not held.home.split(held.name, line.version).exists():
        write_split(held, version)
        notes.append(f"v{line.version}.csv was missing and has been written again")
    if version.description["content_digest"] != line.content_digest:
        notes.append(other_bytes(version, line))
    return tuple(notes)
