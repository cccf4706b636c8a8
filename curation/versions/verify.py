"""Checks a version from its files alone: every byte, every count, every contract; all problems in one run."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curation.dataset.layout import Home
from curation.dataset.manifest import Manifest, canonical_json, choice_digest, content_digest
from curation.dataset.recipe import parse_recipe
from curation.dataset.split_counts import count_splits
from curation.errors import CurationError
from curation.storage.folders import list_files
from curation.storage.hash_index import hash_file
from curation.versions.describe import (
    SUMS,
    metadata_tables,
)
from curation.versions.integrity import read_sums, repair_hint
from curation.versions.invariants import check_contracts, check_radius
from curation.versions.store import Version, find, open_folder, other_bytes, parse_reference, restore_command
from curation.versions.version_index import VersionLine, make_line, read_split, split_table

TEXTS = ("CARD.md", "audit.json", "croissant.json", "decisions.jsonl", "lock.json", "recipe.toml", "report.html")
NEEDED = ("manifest.parquet", SUMS, "version.json")
LINE_FIELDS = ("version", "digest", "counts", "kept", "rendering")


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Parameters
    ----------
    folder : pathlib.Path
    problems : tuple of str
        One sentence each, beginning with the file; empty where the version is whole.
    notes : tuple of str
        What is no fault but should be known, or could not be checked.
    checked : mapping
        How many ``files``, ``bytes``, ``pictures``, ``rows`` and ``groups`` were looked at.
    hint : str, optional
        How to repair what is wrong; None where nothing is, or the folder is not a dataset's own.
    """

    folder: Path
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    checked: Mapping[str, int]
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the check as JSON-able values."""
        return {
            "folder": str(self.folder),
            "problems": list(self.problems),
            "notes": list(self.notes),
            "checked": dict(self.checked),
            "hint": self.hint,
        }

    def __str__(self) -> str:
        """Return the check as lines for a person."""
        faults = f"{len(self.problems)} {'problem' if len(self.problems) == 1 else 'problems'}"
        head = f"{self.folder}: {faults if self.problems else 'whole'}"
        tail = "checked: " + ", ".join(f"{count:,} {what}" for what, count in self.checked.items())
        lines = [
            head,
            *(f"  {problem}" for problem in self.problems),
            *(f"  note: {note}" for note in self.notes),
            tail,
        ]
        return "\n".join([*lines, f"hint: {self.hint}"] if self.hint else lines)


def verify(home: Home, reference: str) -> Verification:
    """Check a published version against its files, its line and its split.

    Raises
    ------
    CurationError
        Where there is no such version or its folder is absent: nothing to check.
    """
    name, line = parse_reference(reference).name, find(home, reference)
    folder = home.build(name, line.version)
    if not folder.is_dir():
        raise CurationError(
            f"{name}@v{line.version}: its files are not here ({folder})",
            hint=f"`{restore_command(name, line.version)}` makes them again from the sources",
        )
    alone = check_folder(folder)
    problems, notes, split = list(alone.problems), list(alone.notes), home.split(name, line.version)
    in_git: list[str] = []
    try:
        version = open_folder(folder)
        problems += _check_line(version, line)
        in_git = list(_check_split(split, version))
        more, told = _check_recipe(version, line)
        problems, notes = problems + more, notes + told
    except CurationError as fault:
        problems += [fault.message] if fault.message not in problems else []
    # A manifest that was changed does not fit its split either: git's text is at fault only where the folder is whole.
    hint = f"take {split} back from git" if in_git else None
    hint = repair_hint(folder, name, line.version, problems=problems) if problems else hint
    return Verification(folder, (*problems, *in_git), tuple(notes), alone.checked, hint)


def check_folder(folder: Path) -> Verification:
    """Check a version's folder wherever it lies, from its own files alone."""
    present = frozenset(list_files(folder))
    checked = {"files": len(present), "bytes": sum((folder / name).lstat().st_size for name in present)}
    try:
        version = open_folder(folder)
        make_line(version.description, created="")
        manifest = version.manifest
    except (CurationError, ValueError) as fault:
        where = "" if isinstance(fault, CurationError) else "version.json: "
        problems = [f"{where}{fault}", *_check_files(folder, present=present, pictures=None, tables=frozenset())]
        return Verification(folder, tuple(problems), (), checked)
    kept = manifest.kept
    pictures = dict(kept.select("file", "file_sha256").drop_nulls().rows())
    tables = metadata_tables(manifest)
    problems = list(_check_files(folder, present=present, pictures=pictures, tables=frozenset(tables)))
    problems += _check_pictures(folder, present & set(pictures))
    problems += check_contracts(manifest, classes=version.description.get("classes", ()))
    problems += _check_description(manifest, version.description)
    for name in sorted(present & set(tables)):
        problems += _check_table(folder / name, tables[name], name=name)
    checked |= {"pictures": kept.height, "rows": len(manifest), "groups": kept["group"].n_unique()}
    return Verification(folder, tuple(problems), (), checked)


def _check_files(
    folder: Path, *, present: frozenset[str], pictures: Mapping[str, str] | None, tables: frozenset[str]
) -> Iterator[str]:
    """Every byte: one sentence at most for each file, the missing and the superfluous ones too.

    Without a readable manifest nobody knows the pictures (None); then the checksums alone speak of them.
    """
    sums, broken = read_sums(folder)
    yield from broken
    by_manifest = pictures or {}
    needed = {*by_manifest, *tables, *NEEDED}
    for name in sorted({*present, *needed, *sums}):
        path = folder / name
        if name not in present:
            yield f"{name}: missing"
        elif path.is_symlink():
            yield f"{name}: a symbolic link, where only files belong"
        elif not path.is_file():
            yield f"{name}: no regular file"
        elif name not in needed and name not in TEXTS and (pictures is not None or name not in sums):
            yield f"{name}: no file of this version"
        elif (found := hash_file(path)) != by_manifest.get(name, found):
            yield f"{name}: changed: its sha256 is {found[:12]}, the manifest says {by_manifest[name][:12]}"
        elif name != SUMS and name not in sums:
            yield f"{name}: not in {SUMS}"
        elif found != sums.get(name, found):
            yield f"{name}: changed: its sha256 is {found[:12]}, {SUMS} says {sums[name][:12]}"


def _check_pictures(folder: Path, names: Iterable[str]) -> Iterator[str]:
    for name in sorted(names):
        if (folder / name).is_symlink():
            continue
        if problem := _find_metadata((folder / name).read_bytes()):
            yield f"{name}: {problem}"


def _find_metadata(content: bytes) -> str | None:
    """Return what a picture's file holds besides the picture; a clean file loses nothing when it is stripped."""
    # The images bring numpy and Pillow, which reading a version does not need.
    from curation.images.jpeg_segments import strip_metadata, walk_segments
    from curation.images.types import DecodeFailure

    try:
        if strip_metadata(content) == content:
            return None
        segments = [(marker, segment[2:]) for marker, segment, _ in walk_segments(content)]
    except DecodeFailure as fault:
        return f"not a whole JPEG ({fault})"
    names = [
        "a comment" if marker == 0xFE else f"APP{marker - 0xE0} {body[:4].decode('ascii', 'replace')!r}"
        for marker, body in segments
        if marker == 0xFE or 0xE1 <= marker <= 0xEF
    ]
    return f"carries metadata: {', '.join(names) or 'bytes that are no part of the picture'}"


def _check_description(manifest: Manifest, description: Mapping[str, Any]) -> Iterator[str]:
    kept = manifest.kept
    found: dict[str, object] = {
        "counts": count_splits(kept, classes=sorted(description.get("classes", []))),
        "rows": len(manifest),
        "kept": kept.height,
        "reserve": int(kept["reserve"].fill_null(value=False).sum()),
    }
    # A kept row that is no whole sample is told of already, and nothing has a digest with it.
    if not kept.select(pl.any_horizontal(pl.col("split", "label", "sha256", "file_sha256").is_null()).any()).item():
        found["digest"] = choice_digest(kept, rendering=description["rendering"])
        found["content_digest"] = content_digest(kept)
    for field, value in found.items():
        if description[field] != value:
            yield f"version.json: {field} is {_brief(description[field])}, the manifest gives {_brief(value)}"


def _check_table(path: Path, wanted: pl.DataFrame, *, name: str) -> Iterator[str]:
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as fault:
        yield f"{name}: cannot be read: {fault}"
        return
    if not table.equals(wanted):
        yield f"{name}: does not say what the manifest says"


def _check_line(version: Version, line: VersionLine) -> Iterator[str]:
    said = line.as_json()
    for field in LINE_FIELDS:
        if canonical_json(version.description.get(field)) != canonical_json(said[field]):
            told, published = _brief(version.description.get(field)), _brief(said[field])
            yield f"version.json: {field} is {told}, versions.jsonl says {published}"
    said_content = version.description.get("content_digest")
    if said_content != line.content_digest and version.description.get("encoder") == line.encoder:
        told, published = _brief(said_content), _brief(line.content_digest)
        yield f"version.json: content_digest is {told}, versions.jsonl says {published} by the same encoder"


def _check_split(path: Path, version: Version) -> Iterator[str]:
    try:
        table = read_split(path)
    except CurationError as fault:
        yield fault.message
        return
    ours = split_table(version.manifest.kept)
    if table.equals(ours):
        return
    there, here = Counter(table.rows()), Counter(ours.rows())
    extra, lacking = (there - here).total(), (here - there).total()
    yield f"{path}: {extra} of its rows are not in the manifest, {lacking} rows of the manifest are not in it"


def _check_recipe(version: Version, line: VersionLine) -> tuple[list[str], list[str]]:
    """Return problems and notes: whether the recipe in the folder asked for what is there."""
    description, notes = version.description, []
    for field in ("rows", "reserve"):
        if description.get(field) != line.as_json()[field]:
            said = f"{field} {description.get(field)}, published with {line.as_json()[field]}"
            notes.append(f"made again from sources that changed meanwhile: {said}")
    if description.get("content_digest") != line.content_digest and description.get("encoder") != line.encoder:
        notes.append(other_bytes(version, line))
    path = version.folder / "recipe.toml"
    if not path.exists():
        return [], [*notes, "recipe.toml is not in the folder: what it asked for was not checked"]
    if description.get("recipe_digest") != line.recipe_digest:
        return [], [
            *notes,
            "made again under another recipe than it was published with: what that asked for was not checked",
        ]
    try:
        recipe = parse_recipe(tomllib.loads(path.read_text(encoding="utf-8")), name=version.name, base=version.folder)
    except (CurationError, ValueError, OSError) as fault:
        return [], [*notes, f"recipe.toml is none that this program reads: what it asked for was not checked ({fault})"]
    problems = []
    if list(recipe.classes) != description.get("classes"):
        problems.append(f"version.json: classes {description.get('classes')}, the recipe has {list(recipe.classes)}")
    if canonical_json(recipe.rendering()) != canonical_json(description.get("rendering")):
        problems.append("version.json: it is rendered otherwise than the recipe says")
    for name in recipe.classes:
        for split, wanted in recipe.selection.wanted(name).items():
            had = description.get("counts", {}).get(split, {}).get(name, 0)
            if had != wanted:
                problems.append(f"version.json: {split} has {had} {name}, the recipe asks for {wanted}")
    problems += check_radius(
        version.manifest, radius=recipe.duplicates.radius, correlation=recipe.duplicates.correlation
    )
    return problems, notes


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
