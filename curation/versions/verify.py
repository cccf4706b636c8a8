"""Checks every byte, count and contract of a version from its files alone, and reports all problems."""

import contextlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curation.dataset.layout import Home
from curation.dataset.manifest import Manifest, canonical_json, choice_digest, content_digest
from curation.dataset.recipe import Recipe, parse_recipe
from curation.dataset.split_counts import count_splits
from curation.errors import CurationError, ErrorCode, first_line
from curation.storage.folders import list_files
from curation.storage.hash_index import hash_file
from curation.storage.progress import Advance, Progress, SilentProgress, ignore_bytes, show_progress
from curation.versions.describe import (
    SUMS,
    metadata_tables,
)
from curation.versions.integrity import read_sums, repair_hint
from curation.versions.invariants import check_contracts, check_radius
from curation.versions.problems import Problem, ProblemCode, list_problems
from curation.versions.store import Version, find, open_folder, other_bytes, parse_reference, restore_command
from curation.versions.version_index import SPLIT_COLUMNS, VersionLine, make_line, read_split, split_table

TEXTS = (
    "CARD.md",
    "audit.json",
    "borderline.json",
    "croissant.json",
    "decisions.jsonl",
    "lock.json",
    "recipe.toml",
    "report.html",
)
NEEDED = ("manifest.parquet", SUMS, "version.json")
LINE_FIELDS = ("version", "digest", "counts", "kept", "rendering")


_SHOWN = {"pictures": "images"}  # the key of the JSON is that of 0.1.0


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Parameters
    ----------
    folder : pathlib.Path
    problems : tuple of Problem
        Empty where the version is whole.
    notes : tuple of str
        What is not a problem but should be known, or could not be checked.
    checked : mapping
        How many ``files``, ``bytes``, ``pictures``, ``rows`` and ``groups`` were checked.
    hint : str, optional
        How to repair it; None where there is nothing to repair, or the folder is not one of a dataset.
    """

    folder: Path
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    checked: Mapping[str, int]
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the check as JSON-able values."""
        return {
            "folder": str(self.folder),
            "problems": [problem.text for problem in self.problems],
            "codes": [asdict(problem) for problem in self.problems],
            "notes": list(self.notes),
            "checked": dict(self.checked),
            "hint": self.hint,
        }

    def __str__(self) -> str:
        """Return the check as lines of text."""
        faults = f"{len(self.problems)} {'problem' if len(self.problems) == 1 else 'problems'}"
        head = f"{self.folder}: {faults if self.problems else 'whole'}"
        tail = "checked: " + ", ".join(f"{count:,} {_SHOWN.get(what, what)}" for what, count in self.checked.items())
        lines = [
            head,
            *list_problems(self.problems),
            *(f"  note: {note}" for note in self.notes),
            tail,
        ]
        return "\n".join([*lines, f"hint: {self.hint}"] if self.hint else lines)


def verify(home: Home, reference: str, *, progress: Progress | None = None) -> Verification:
    """Check a published version against its files, its line and its split.

    Parameters
    ----------
    progress : Progress, optional
        Counts the bytes of the files.

    Raises
    ------
    CurationError
        Where there is no such version, or its folder is absent.
    """
    name, line = parse_reference(reference).name, find(home, reference)
    folder = home.build(name, line.version)
    if not folder.is_dir():
        raise CurationError(
            ErrorCode.VERSION_NOT_BUILT,
            f"{name}@v{line.version}: its files are not on this machine ({folder})",
            hint=f"`{restore_command(name, line.version)}` makes them again from the sources.",
        )
    with show_progress(progress or SilentProgress(), "check files", size_of(folder)) as advance:
        alone = check_folder(folder, advance=advance)
    problems, notes, split = list(alone.problems), list(alone.notes), home.split(name, line.version)
    in_git: list[Problem] = []
    with contextlib.suppress(CurationError):  # a description or a manifest that cannot be read is a problem already
        version = open_folder(folder)
        problems += _check_line(version, line)
        in_git = list(_check_split(split, version))
        more, remarks = _check_recipe(version, line)
        problems, notes = problems + more, notes + remarks
    # A changed manifest does not match its split either: the text in git is at fault only where the folder is whole.
    hint = f"Restore {split} from git." if in_git else None
    hint = repair_hint(folder, name, line.version, problems=problems) if problems else hint
    return Verification(folder, (*problems, *in_git), tuple(notes), alone.checked, hint)


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum((folder / name).lstat().st_size for name in list_files(folder))


def check_folder(folder: Path, *, advance: Advance = ignore_bytes) -> Verification:
    """Check a version's folder, wherever it is, from its own files alone.

    Parameters
    ----------
    advance : function of int
        Receives the bytes of each file.
    """
    present = frozenset(list_files(folder))
    checked = {"files": len(present), "bytes": sum((folder / name).lstat().st_size for name in present)}
    version = _read_version(folder)
    if isinstance(version, Problem):
        problems = [version, *_check_files(folder, present, images=None, tables=frozenset(), advance=advance)]
        return Verification(folder, tuple(problems), (), checked)
    manifest = version.manifest
    kept = manifest.kept
    images = dict(kept.select("file", "file_sha256").drop_nulls().rows())
    tables = metadata_tables(manifest)
    problems = list(_check_files(folder, present, images=images, tables=frozenset(tables), advance=advance))
    problems += _check_images(folder, present & set(images))
    problems += check_contracts(manifest, classes=version.description.get("classes", ()))
    problems += _check_description(manifest, version.description)
    for name in sorted(present & set(tables)):
        problems += _check_table(folder / name, tables[name], name=name)
    checked |= {"pictures": kept.height, "rows": len(manifest), "groups": kept["group"].n_unique()}
    return Verification(folder, tuple(problems), (), checked)


def _read_version(folder: Path) -> Version | Problem:
    """Return the version in a folder, its manifest read; or why it cannot be read."""
    try:
        version = open_folder(folder)
        make_line(version.description, created="")
    except CurationError as fault:
        return Problem(ProblemCode.DESCRIPTION_INVALID, "version.json", fault.message)
    except ValueError as fault:
        return Problem.at(ProblemCode.DESCRIPTION_INVALID, "version.json", str(fault))
    try:
        _ = version.manifest  # read here, and kept
    except CurationError as fault:
        return Problem(ProblemCode.MANIFEST_INVALID, "manifest.parquet", fault.message)
    return version


def _check_files(
    folder: Path,
    present: frozenset[str],
    *,
    images: Mapping[str, str] | None,
    tables: frozenset[str],
    advance: Advance,
) -> Iterator[Problem]:
    """Check every byte; at most one problem per file, including missing and unexpected ones.

    Without a readable manifest the images are unknown (None), and only the checksums list them.
    """
    sums, broken = read_sums(folder)
    yield from broken
    by_manifest = images or {}
    needed = {*by_manifest, *tables, *NEEDED}
    for name in sorted({*present, *needed, *sums}):
        path = folder / name
        if name not in present:
            yield Problem.at(ProblemCode.FILE_MISSING, name, "missing")
            continue
        advance(path.lstat().st_size)
        if path.is_symlink():
            yield Problem.at(ProblemCode.FILE_NOT_REGULAR, name, "a symbolic link, where only files belong")
        elif not path.is_file():
            yield Problem.at(ProblemCode.FILE_NOT_REGULAR, name, "not a regular file")
        elif name not in needed and name not in TEXTS and (images is not None or name not in sums):
            yield Problem.at(ProblemCode.FILE_UNEXPECTED, name, "not a file of this version")
        elif (found := hash_file(path)) != by_manifest.get(name, found):
            yield Problem.at(
                ProblemCode.FILE_CHANGED,
                name,
                f"changed: its sha256 is {found[:12]}, in the manifest {by_manifest[name][:12]}",
            )
        elif name != SUMS and name not in sums:
            yield Problem.at(ProblemCode.CHECKSUM_MISSING, name, f"not in {SUMS}")
        elif found != sums.get(name, found):
            yield Problem.at(
                ProblemCode.FILE_CHANGED, name, f"changed: its sha256 is {found[:12]}, in {SUMS} {sums[name][:12]}"
            )


def _check_images(folder: Path, names: Iterable[str]) -> Iterator[Problem]:
    for name in sorted(names):
        if (folder / name).is_symlink():
            continue
        if problem := _check_jpeg(name, (folder / name).read_bytes()):
            yield problem


def _check_jpeg(name: str, content: bytes) -> Problem | None:
    """Return what an image's file has in addition to the image; a clean file loses nothing when it is stripped."""
    # These import numpy and Pillow, which reading a version does not need.
    from curation.images.jpeg import decode_jpeg
    from curation.images.jpeg_segments import strip_metadata, walk_segments
    from curation.images.types import DecodeFailure

    try:
        decode_jpeg(content, scale="scaled", page=1, gray=True)
        if strip_metadata(content) == content:
            return None
        segments = [(marker, segment[2:]) for marker, segment, _ in walk_segments(content)]
    except DecodeFailure as fault:
        return Problem.at(ProblemCode.IMAGE_DAMAGED, name, f"not a complete JPEG ({fault})")
    names = [
        "a comment" if marker == 0xFE else f"APP{marker - 0xE0} {body[:4].decode('ascii', 'replace')!r}"
        for marker, body in segments
        if marker == 0xFE or 0xE1 <= marker <= 0xEF
    ]
    carried = ", ".join(names) or "bytes after the image"
    return Problem.at(ProblemCode.IMAGE_METADATA, name, f"carries metadata: {carried}")


def _check_description(manifest: Manifest, description: Mapping[str, Any]) -> Iterator[Problem]:
    kept = manifest.kept
    found: dict[str, object] = {
        "counts": count_splits(kept, classes=sorted(description.get("classes", []))),
        "rows": len(manifest),
        "kept": kept.height,
        "reserve": int(kept["reserve"].fill_null(value=False).sum()),
    }
    # An incomplete kept row is reported already, and there is no digest with it.
    if not kept.select(pl.any_horizontal(pl.col("split", "label", "sha256", "file_sha256").is_null()).any()).item():
        found["digest"] = choice_digest(kept, rendering=description["rendering"])
        found["content_digest"] = content_digest(kept)
    for field, value in found.items():
        if description[field] != value:
            yield Problem.at(
                ProblemCode.DESCRIPTION_DIFFERS,
                "version.json",
                f"{field} is {_brief(description[field])}, the manifest gives {_brief(value)}",
            )


def _check_table(path: Path, wanted: pl.DataFrame, *, name: str) -> Iterator[Problem]:
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as fault:
        yield Problem.at(ProblemCode.TABLE_DIFFERS, name, f"cannot be read: {first_line(fault)}")
        return
    if not table.equals(wanted):
        yield Problem.at(ProblemCode.TABLE_DIFFERS, name, "differs from the manifest")


def _check_line(version: Version, line: VersionLine) -> Iterator[Problem]:
    description, published = version.description, line.as_json()
    same_encoder = description.get("encoder") == line.encoder
    for field in (*LINE_FIELDS, *(["content_digest"] if same_encoder else [])):
        if canonical_json(description.get(field)) != canonical_json(published[field]):
            built, wanted = _brief(description.get(field)), _brief(published[field])
            yield Problem.at(
                ProblemCode.LINE_DIFFERS, "version.json", f"{field} is {built}, in versions.jsonl {wanted}"
            )


def _check_split(path: Path, version: Version) -> Iterator[Problem]:
    try:
        table = read_split(path)
    except CurationError as fault:
        yield Problem(ProblemCode.SPLIT_INVALID, str(path), fault.message)
        return
    # The other columns may differ where the version was restored by another decoder.
    table, ours = table.select(*SPLIT_COLUMNS), split_table(version.manifest.kept).select(*SPLIT_COLUMNS)
    if table.equals(ours):
        return
    there, here = Counter(table.rows()), Counter(ours.rows())
    extra, lacking = (there - here).total(), (here - there).total()
    yield Problem.at(
        ProblemCode.SPLIT_DIFFERS,
        str(path),
        f"{extra} of its rows are not in the manifest, {lacking} rows of the manifest are not in it",
    )


def _check_recipe(version: Version, line: VersionLine) -> tuple[list[Problem], list[str]]:
    """Return problems and notes: whether the version is what the recipe in its folder asks for."""
    description, notes = version.description, []
    for field in ("rows", "reserve"):
        if description.get(field) != line.as_json()[field]:
            rows = f"{field} {description.get(field)}, published with {line.as_json()[field]}"
            notes.append(f"made again from sources that changed meanwhile: {rows}")
    if description.get("content_digest") != line.content_digest and description.get("encoder") != line.encoder:
        notes.append(other_bytes(version, line))
    path = version.folder / "recipe.toml"
    if not path.exists():
        return [], [*notes, "recipe.toml is not in the folder: the counts were not checked against it"]
    if description.get("recipe_digest") != line.recipe_digest:
        return [], [
            *notes,
            "made again with another recipe than it was published with: the counts were not checked against it",
        ]
    try:
        recipe = parse_recipe(tomllib.loads(path.read_text(encoding="utf-8")), name=version.name, base=version.folder)
    except (CurationError, ValueError, OSError) as fault:
        return [], [*notes, f"recipe.toml cannot be read: the counts were not checked against it ({fault})"]
    problems = list(_compare_with_recipe(description, recipe))
    problems += check_radius(
        version.manifest, radius=recipe.duplicates.radius, correlation=recipe.duplicates.correlation
    )
    return problems, notes


def _compare_with_recipe(description: Mapping[str, Any], recipe: Recipe) -> Iterator[Problem]:
    found: list[str] = []
    if list(recipe.classes) != description.get("classes"):
        found.append(f"its classes are {description.get('classes')}, the recipe's {list(recipe.classes)}")
    if canonical_json(recipe.rendering()) != canonical_json(description.get("rendering")):
        found.append("its rendering is not the recipe's")
    for name in recipe.classes:
        for split, wanted in recipe.selection.wanted(name).items():
            had = description.get("counts", {}).get(split, {}).get(name, 0)
            if had != wanted:
                found.append(f"{split} has {had} {name}, the recipe asks for {wanted}")
    for text in found:
        yield Problem.at(ProblemCode.RECIPE_DIFFERS, "version.json", text)


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
