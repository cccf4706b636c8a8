"""The two texts that git keeps of a published version: its line in ``versions.jsonl`` and its split ``v<n>.csv``."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import polars as pl

from curation.dataset.layout import Home
from curation.dataset.manifest import canonical_json, choice_digest
from curation.errors import CurationError, ErrorCode, first_line

SPLIT_COLUMNS: Mapping[str, Any] = {
    "sha256": pl.String(),
    "page": pl.UInt32(),
    "label": pl.String(),
    "split": pl.String(),
    "group": pl.String(),
}
EXTRA_COLUMNS: Mapping[str, Any] = {
    "fold": pl.UInt32(),
    "id": pl.String(),
    "earlier": pl.String(),
    "image": pl.String(),
    "fingerprint": pl.String(),
}
"""Further columns, which are not part of the digest and which 0.1.0 did not write: the fold, the id, the sha256 of the
image in earlier versions, the sha256 of the image without metadata, and its thumbnail by ``pack_thumbnails``."""
_FROM_MANIFEST = {"earlier": "earlier_sha256", "image": "image_sha256"}
_OPTIONAL = frozenset({"withdrawn", "previous"})
SHA256 = re.compile(r"[0-9a-f]{64}")
SHA256_PATTERN = r"^[0-9a-f]{64}$"


@dataclass(frozen=True)
class VersionLine:
    """What git keeps of a version: its number, its identity and its counts.

    Parameters
    ----------
    version : int
        1, 2, ...
    digest, content_digest, recipe_digest : str
        64 hex digits each: what was chosen, the bytes that came out, the recipe that asked for it.
    counts : mapping
        Split -> class -> images.
    rows, kept, reserve : int
        All files, the images published, and those of them that are used although disputed.
    rendering : mapping
        What decides the pixels; a part of the digest.
    encoder : str
        The encoder that wrote the images; not a part of the digest.
    tool : str
        The version of this program.
    created : str
        When it was published, ISO 8601 in UTC.
    withdrawn : str, optional
        When it was withdrawn, because images of it were forgotten; its files cannot be made again.
    previous : str, optional
        Its recipe's ``selection.previous``, where that is not ``newest``.
    """

    version: int
    digest: str
    content_digest: str
    recipe_digest: str
    counts: Mapping[str, Mapping[str, int]]
    rows: int
    kept: int
    reserve: int
    rendering: Mapping[str, object]
    encoder: str
    tool: str
    created: str
    withdrawn: str | None = None
    previous: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the line as JSON-able values, in the order of the fields."""
        return {key: value for key, value in asdict(self).items() if value is not None or key not in _OPTIONAL}


def make_line(description: Mapping[str, Any], *, created: str) -> VersionLine:
    """Return the line of a version from its ``version.json``.

    Raises
    ------
    ValueError
        Where the description lacks a field or holds another type; names the field.
    """
    return _parse({**description, "created": created})


def published(home: Home, name: str) -> tuple[VersionLine, ...]:
    """Return the lines of ``versions.jsonl``, oldest first; empty where nothing was published.

    Raises
    ------
    CurationError
        Lists each line that is not a version: broken JSON, a missing field, a wrong number, a repeated digest.
    """
    path = home.lines(name)
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as fault:
        raise CurationError(ErrorCode.VERSION_INDEX_INVALID, f"{path}: cannot be read: {fault}") from None
    lines: list[VersionLine] = []
    mistakes: list[str] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(texts, start=1):
        try:
            line = _parse(json.loads(text))
            if line.version != number:
                raise ValueError(f"it has version {line.version} instead of {number}")
            if line.digest in seen:
                raise ValueError(f"line {seen[line.digest]} has the digest {line.digest[:12]} too")
        except ValueError as fault:
            mistakes.append(f"  line {number}: {fault}")
            continue
        seen[line.digest] = number
        lines.append(line)
    if mistakes:
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID,
            f"{path}: not a list of versions\n" + "\n".join(mistakes),
            hint="Only the program writes this file: restore it from git; after a merge, keep the lines of one branch.",
        )
    return tuple(lines)


def _parse(fields_of_line: object) -> VersionLine:
    if not isinstance(fields_of_line, dict):
        raise ValueError("not a JSON object")
    types: Mapping[str, type] = {
        "version": int,
        "rows": int,
        "kept": int,
        "reserve": int,
        "counts": dict,
        "rendering": dict,
    }
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(VersionLine)):
        value, wanted = fields_of_line.get(name), types.get(name, str)
        if name in _OPTIONAL and value is None:
            continue
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ValueError(f"{name!r} is missing" if value is None else f"{name!r} is not of type {wanted.__name__}")
        if name.endswith("digest") and not SHA256.fullmatch(str(value)):
            raise ValueError(f"{name!r} is not a sha256")
        values[name] = value
    return VersionLine(**values)


def format_lines(before: bytes, line: VersionLine) -> bytes:
    """Return the bytes of ``versions.jsonl`` with one line more; the lines before stay as they are."""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    return before + json.dumps(line.as_json(), ensure_ascii=True).encode() + b"\n"


def split_table(kept: pl.DataFrame) -> pl.DataFrame:
    """Return what ``v<n>.csv`` holds of the kept rows, sorted by sha256 and page.

    ``SPLIT_COLUMNS``; ``EXTRA_COLUMNS`` follow where the version has fingerprints, and of these only used ones.
    """
    table = kept.with_columns(pl.col("page").fill_null(1))
    kinds = dict(SPLIT_COLUMNS)
    if "fingerprint" in kept and kept["fingerprint"].null_count() < kept.height:
        table = table.with_columns(pl.col(old).alias(new) for new, old in _FROM_MANIFEST.items())
        kinds |= {name: kind for name, kind in EXTRA_COLUMNS.items() if table[name].null_count() < table.height}
    return table.select([pl.col(name).cast(kind) for name, kind in kinds.items()]).sort("sha256", "page")


def read_split(path: Path, *, only: Sequence[str] | None = None) -> pl.DataFrame:
    """Return a published split: ``SPLIT_COLUMNS`` and those of ``EXTRA_COLUMNS`` that it has, by sha256 and page.

    Parameters
    ----------
    path : pathlib.Path
    only : sequence of str, optional
        The columns to read, ``sha256`` and ``page`` among them.

    Raises
    ------
    CurationError
        Where the file is missing or is not a split.
    """
    hint = f"It belongs in git: `git checkout -- {path}`."
    try:
        kinds = _columns_of(path)
        table = pl.read_csv(path, schema=kinds, columns=only)
    except FileNotFoundError:
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID, f"{path}: the published split is missing", hint=hint
        ) from None
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID, f"{path}: not a published split: {first_line(fault)}", hint=hint
        ) from None
    if table.columns != [name for name in kinds if only is None or name in only] or table["page"].null_count():
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID,
            f"{path}: not a published split: its columns are {', '.join(table.columns)}",
            hint=hint,
        )
    return table.sort("sha256", "page")


def _columns_of(path: Path) -> dict[str, Any]:
    """Return the columns of a split's file in their order; those of 0.1.0 where it has unknown ones."""
    with path.open("rb") as stream:
        names = stream.readline(1000).decode(errors="replace").strip().split(",")
    extra = names[len(SPLIT_COLUMNS) :]
    if names[: len(SPLIT_COLUMNS)] != list(SPLIT_COLUMNS) or extra != [name for name in EXTRA_COLUMNS if name in extra]:
        return dict(SPLIT_COLUMNS)
    return {name: {**SPLIT_COLUMNS, **EXTRA_COLUMNS}[name] for name in names}


def fill_extra(table: pl.DataFrame) -> pl.DataFrame:
    """Return a split with all columns: those that its file does not have are null."""
    missing = [pl.lit(None, kind).alias(name) for name, kind in EXTRA_COLUMNS.items() if name not in table.columns]
    return table.with_columns(missing).select(*SPLIT_COLUMNS, *EXTRA_COLUMNS)


def read_chosen(home: Home, name: str, line: VersionLine) -> pl.DataFrame:
    """Return the published split of one version, checked against its line's digest; of a withdrawn one, what is left.

    Raises
    ------
    CurationError
        Where the file is missing, is not a split, or is not the one that was published.
    """
    path = home.split(name, line.version)
    table = read_split(path)
    if line.withdrawn:
        return table.filter(pl.col("sha256").str.contains(SHA256_PATTERN))
    digest = choice_digest(table, rendering=line.rendering)
    if digest != line.digest:
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID,
            f"{path}: not the split that was published as v{line.version}: "
            f"its digest is {digest[:12]}, the line's {line.digest[:12]}",
            hint=f"Versions are never changed: `git checkout -- {path}`; correct the recipe or the decisions instead.",
        )
    return table


def same_rendering(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Return whether two renderings give the same pixels."""
    return canonical_json(dict(one)) == canonical_json(dict(other))
