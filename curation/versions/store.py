"""Finds published versions, drafts and splits by reference, and opens them for reading."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from curation.dataset.layout import Home
from curation.dataset.manifest import Manifest, read_schema_number
from curation.dataset.recipe import NAME_PATTERN
from curation.errors import CurationError, ErrorCode
from curation.versions.schema_1 import read_schema_1
from curation.versions.version_index import (
    SHA256_PATTERN,
    SPLIT_COLUMNS,
    VersionLine,
    fill_extra,
    published,
    read_chosen,
    read_split,
)

REFERENCE = re.compile(
    rf"(?P<name>{NAME_PATTERN.pattern})(@(?:v(?P<number>[1-9]\d{{0,8}})|(?P<draft>draft)|(?P<prefix>[0-9a-f]{{4,64}})))?"
)


@dataclass(frozen=True)
class Reference:
    """What ``melanoma``, ``melanoma@v2``, ``melanoma@1f3a`` or ``melanoma@draft`` asks for.

    At most one of ``number``, ``prefix`` and ``draft`` is set; none means the newest version.
    """

    name: str
    number: int | None = None
    prefix: str | None = None
    draft: bool = False

    def __str__(self) -> str:
        """Return the reference as it is written."""
        which = f"v{self.number}" if self.number else "draft" if self.draft else self.prefix
        return f"{self.name}@{which}" if which else self.name


def parse_reference(text: str) -> Reference:
    """Return what ``text`` refers to.

    Raises
    ------
    CurationError
        Where it is not a reference.

    Examples
    --------
    >>> parse_reference("melanoma@v2")
    Reference(name='melanoma', number=2, prefix=None, draft=False)
    """
    found = REFERENCE.fullmatch(text)
    if not found:
        raise CurationError(
            ErrorCode.REFERENCE_INVALID,
            f"{text!r} is not a reference to a version",
            hint="Write NAME, NAME@v2, NAME@draft or NAME@<the first 4 or more hex digits of its digest>.",
        )
    number = found["number"]
    return Reference(
        name=found["name"], number=int(number) if number else None, prefix=found["prefix"], draft=bool(found["draft"])
    )


def find(home: Home, reference: str) -> VersionLine:
    """Return the line of the published version that ``reference`` names.

    Raises
    ------
    CurationError
        Where nothing was published, or none or several versions match; the hint lists the versions.
    """
    wanted = parse_reference(reference)
    if wanted.draft:
        raise CurationError(
            ErrorCode.REFERENCE_INVALID,
            f"{reference} is a draft, not a published version",
            hint="`python -m curation show` and `explain` read drafts.",
        )
    lines = published(home, home.check_name(wanted.name))
    if not lines:
        raise CurationError(
            ErrorCode.VERSION_MISSING,
            f"{wanted.name} has no published version yet",
            hint=f"`python -m curation show {wanted.name}@draft` shows why its last build failed."
            if home.draft(wanted.name).is_dir()
            else f"Run `python -m curation build {wanted.name}`.",
        )
    if wanted.number is None and wanted.prefix is None:
        return next((line for line in reversed(lines) if not line.withdrawn), lines[-1])
    fitting = [
        line
        for line in lines
        if line.version == wanted.number or (wanted.prefix and line.digest.startswith(wanted.prefix))
    ]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"v{line.version} ({line.digest[:12]})" for line in fitting or lines)
    if fitting:
        raise CurationError(
            ErrorCode.REFERENCE_INVALID, f"{reference} matches several versions", hint=f"Write more digits: {known}."
        )
    raise CurationError(
        ErrorCode.VERSION_MISSING, f"{reference} is not a published version", hint=f"The versions are {known}."
    )


def find_digest(home: Home, name: str, digest: str) -> VersionLine | None:
    """Return the line of the version with this digest; None where it was never published."""
    return next((line for line in published(home, name) if line.digest == digest), None)


def next_number(home: Home, name: str, digest: str) -> int:
    """Return the number a version of this digest has, or would be published under."""
    lines = published(home, name)
    return next((line.version for line in lines if line.digest == digest), len(lines) + 1)


def chosen(home: Home, reference: str) -> pl.DataFrame:
    """Return what a version published, from git's texts alone: columns sha256, page, label, split, group.

    Raises
    ------
    CurationError
        Where there is no such version, or its split is missing or was changed since.
    """
    return read_chosen(home, parse_reference(reference).name, find(home, reference))


def previous_split(home: Home, name: str, which: str) -> pl.DataFrame:
    """Return the published split that a new one follows: columns sha256, page, split, label.

    Parameters
    ----------
    which : str
        ``"newest"``, ``"none"`` or ``"v<n>"``. The first two may have no rows.
    """
    lines = published(home, name)
    columns = ["sha256", "page", "split", "label"]
    if which == "none" or (which == "newest" and not lines):
        return pl.DataFrame(schema=dict(SPLIT_COLUMNS)).select(columns)
    line = lines[-1] if which == "newest" else find(home, f"{name}@{which}")
    return read_chosen(home, name, line).select(columns)


def previous_images(home: Home, name: str, which: str) -> tuple[VersionLine | None, pl.DataFrame]:
    """Return the version that a new one follows and its images, with all columns of ``v<n>.csv``.

    Parameters
    ----------
    which : str
        ``"newest"``, ``"none"`` (the newest too: its images keep their decisions) or ``"v<n>"``.
    """
    lines = published(home, name)
    if which in {"newest", "none"} and not lines:
        return None, fill_extra(pl.DataFrame(schema=dict(SPLIT_COLUMNS)))
    line = lines[-1] if which in {"newest", "none"} else find(home, f"{name}@{which}")
    return line, fill_extra(read_chosen(home, name, line))


def held_out_earlier(home: Home, name: str, which: str) -> pl.DataFrame:
    """Return sha256, page and split of what earlier versions held out and the version that a new one follows lacks.

    The newest version that has an image decides where it was. A version that was drawn with ``previous = "none"`` ends
    the search, and one with ``previous = "v<n>"`` continues it there.

    Parameters
    ----------
    which : str
        As for ``previous_split``.
    """
    columns = ["sha256", "page", "split"]
    tables = [pl.DataFrame(schema={column: SPLIT_COLUMNS[column] for column in columns})]
    lines = published(home, name)
    line = None if which == "none" or not lines else lines[-1] if which == "newest" else find(home, f"{name}@{which}")
    while line is not None:
        tables.append(read_split(home.split(name, line.version), only=columns).select(columns))
        number = _followed(line)
        line = lines[number - 1] if 0 < number < line.version else None
    found = pl.concat(tables, how="vertical").unique(["sha256", "page"], keep="first", maintain_order=True)
    last = pl.concat(tables[:2], how="vertical").select("sha256", "page")
    is_held = (pl.col("split") != "train") & pl.col("sha256").str.contains(SHA256_PATTERN)
    return found.filter(is_held).join(last, on=["sha256", "page"], how="anti", maintain_order="left")


def _followed(line: VersionLine) -> int:
    """Return the number of the version that a version followed; 0 where it followed none."""
    if line.previous == "none":
        return 0
    return int(line.previous.removeprefix("v")) if line.previous else line.version - 1


@dataclass(frozen=True)
class Version:
    """One version's folder, opened for reading.

    Parameters
    ----------
    name : str
        The dataset's.
    number : int
    digest : str
    folder : pathlib.Path
        ``datasets/builds/<name>/v<n>``, or the temporary folder of a running build.
    description : mapping
        The content of ``version.json``.
    """

    name: str
    number: int
    digest: str
    folder: Path
    description: Mapping[str, Any]

    @cached_property
    def manifest(self) -> Manifest:
        """All rows, the excluded ones too; read at the first use."""
        return read_manifest(self.folder / "manifest.parquet")

    @cached_property
    def domain(self) -> str | None:
        """The field that the recipe of the version states; None where it states none or is not there."""
        try:
            raw = tomllib.loads((self.folder / "recipe.toml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return None
        domain = raw.get("domain")
        return domain if isinstance(domain, str) else None

    def samples(self) -> pl.DataFrame:
        """Return the kept rows, with ``file`` as an absolute path, sorted by split, label, sha256 and page."""
        root = f"{self.folder.resolve()}/"
        return self.manifest.kept.with_columns(file=pl.lit(root) + pl.col("file")).sort(
            "split", "label", "sha256", "page"
        )


@dataclass(frozen=True)
class Draft:
    """What a failed build left: the manifest so far, and why it failed."""

    name: str
    folder: Path
    description: Mapping[str, Any]

    @property
    def stage(self) -> str:
        """The stage that failed."""
        return str(self.description["stage"])

    @property
    def reason(self) -> str:
        """The error's message."""
        return str(self.description["reason"])

    @cached_property
    def manifest(self) -> Manifest:
        """All rows as they were before the stage that failed."""
        return read_manifest(self.folder / "manifest.parquet")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest of this layout, or of 0.1.0's.

    Raises
    ------
    CurationError
        Where it is missing or damaged, or of a later layout.
    """
    return read_schema_1(path) if read_schema_number(path) == 1 else Manifest.read(path)


def open_folder(folder: Path) -> Version:
    """Open a version's folder wherever it is, also the temporary folder of a running build.

    Raises
    ------
    CurationError
        Where ``version.json`` is missing or does not describe a version.
    """
    description = read_json(folder / "version.json", hint="this folder is not a published version")
    try:
        name, number, digest = description["name"], description["version"], description["digest"]
    except KeyError as fault:
        raise CurationError(
            ErrorCode.VERSION_DAMAGED, f"{folder / 'version.json'}: {fault.args[0]!r} is missing"
        ) from None
    return Version(name=str(name), number=int(number), digest=str(digest), folder=folder, description=description)


def load(home: Home, reference: str) -> Version:
    """Open a published version.

    Raises
    ------
    CurationError
        Where there is none of that name, its files are absent (the hint has the command that makes them again), or the
        folder of its number contains another version.
    """
    name, line = parse_reference(reference).name, find(home, reference)
    folder = home.build(name, line.version)
    check_not_withdrawn(name, line)
    if not folder.is_dir():
        raise CurationError(
            ErrorCode.VERSION_NOT_BUILT,
            f"{name}@v{line.version} is published, but its files are not on this machine ({folder})",
            hint=f"`{restore_command(name, line.version)}` makes them again from the sources.",
        )
    version = open_folder(folder)
    if version.digest != line.digest:
        raise wrong_folder(version, line)
    return version


def check_not_withdrawn(name: str, line: VersionLine) -> None:
    """Raise where a version was withdrawn: its files cannot be made again."""
    if line.withdrawn:
        raise CurationError(
            ErrorCode.VERSION_WITHDRAWN,
            f"{name}@v{line.version} was withdrawn on {line.withdrawn[:10]}, because images of it were forgotten",
            hint=f"`python -m curation build {name}` makes a version without them.",
        )


def open_draft(home: Home, name: str) -> Draft:
    """Open the draft that the last failed build left.

    Raises
    ------
    CurationError
        Where there is none.
    """
    folder = home.draft(home.check_name(name))
    if not folder.is_dir():
        raise CurationError(
            ErrorCode.DRAFT_MISSING,
            f"{name} has no draft: its last build did not fail",
            hint=f"`python -m curation show {name}` shows its newest version.",
        )
    return Draft(name=name, folder=folder, description=read_json(folder / "draft.json", hint="build again"))


def open_table(home: Home, reference: str) -> Version | Draft:
    """Open the version or the draft that ``reference`` names: what ``show`` and ``explain`` read."""
    wanted = parse_reference(reference)
    return open_draft(home, wanted.name) if wanted.draft else load(home, reference)


def restore_command(name: str, number: int) -> str:
    """Return the command that makes the files of a published version again."""
    return f"python -m curation build {name}@v{number}"


def wrong_folder(version: Version, line: VersionLine) -> CurationError:
    """Return the error for a folder that does not contain the version of its number."""
    return CurationError(
        ErrorCode.VERSION_DAMAGED,
        f"{version.folder}: its digest is {version.digest[:12]}, "
        f"but v{line.version} was published as {line.digest[:12]}",
        hint=f"Move that folder away, then `{restore_command(version.name, line.version)}`.",
    )


def other_bytes(version: Version, line: VersionLine) -> str:
    """Return the note for a folder that has the published choice in other bytes."""
    return (
        f"v{line.version} is the same choice in other bytes: content digest "
        f"{version.description['content_digest'][:12]} by {version.description['encoder']}, "
        f"published as {line.content_digest[:12]} by {line.encoder}"
    )


def read_json(path: Path, *, hint: str) -> dict[str, Any]:
    """Return the JSON object a file holds.

    Raises
    ------
    CurationError
        Where it is missing, cannot be read or is not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CurationError(ErrorCode.VERSION_DAMAGED, f"{path}: missing", hint=hint) from None
    except (OSError, ValueError) as fault:
        raise CurationError(ErrorCode.VERSION_DAMAGED, f"{path}: cannot be read: {fault}", hint=hint) from None
    if not isinstance(content, dict):
        raise CurationError(ErrorCode.VERSION_DAMAGED, f"{path}: not a JSON object", hint=hint)
    return content
