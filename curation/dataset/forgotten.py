"""The marks of forgotten files: they stay out of a dataset, although neither name nor sha256 of them is kept.

A mark is an HMAC of the file's sha256 with a salt in the user's configuration. Without the salt it cannot be tested
whether a file was forgotten; with it a build recognizes the file when it comes again.
"""

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import platformdirs
import polars as pl

from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason
from curation.storage.atomic_files import replace_file

PREFIX: Final = "forgotten-"
FILE: Final = "forgotten.jsonl"
_SALT: Final = "forget-salt"


@dataclass(frozen=True)
class Forgotten:
    """One line of ``datasets/<name>/forgotten.jsonl``.

    Parameters
    ----------
    mark : str
        32 hex digits.
    salt : str
        The first digits of a hash of the salt that the mark was made with.
    time : str
        UTC, ISO 8601.
    """

    mark: str
    salt: str
    time: str


def salt_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the salt is kept: in ``$CURATION_CONFIG``, else in the user's folder for configuration."""
    return Path(environ.get("CURATION_CONFIG") or platformdirs.user_config_dir("curation")) / _SALT


def read_salt(*, create: bool = False) -> bytes | None:
    """Return the salt of this user; None where there is none and none is to be made."""
    path = salt_path()
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as fault:
        raise CurationError(ErrorCode.FILE_UNREADABLE, f"{path}: not a salt: {fault}", hint="Restore it.") from None
    if not create:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    salt = secrets.token_bytes(32)
    replace_file(path, salt.hex().encode())
    path.chmod(0o600)
    return salt


def mark_of(sha256: str, salt: bytes) -> str:
    """Return the mark of a file: 32 hex digits."""
    return hmac.new(salt, sha256.encode(), "sha256").hexdigest()[:32]


def name_salt(salt: bytes) -> str:
    """Return a short name of a salt, which does not reveal it."""
    return mark_of("salt", salt)[:8]


def read_forgotten(folder: Path) -> tuple[Forgotten, ...]:
    """Return the marks of a dataset's folder; empty where nothing was forgotten.

    Raises
    ------
    CurationError
        The file is not valid.
    """
    path = folder / FILE
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return tuple(Forgotten(**json.loads(line)) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as fault:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE, f"{path}: not a list of marks: {fault}", hint="Restore it from git."
        ) from None


def write_forgotten(folder: Path, lines: Iterable[Forgotten]) -> None:
    """Write the marks of a dataset, in one step."""
    text = "".join(f"{json.dumps(asdict(line))}\n" for line in lines)
    replace_file(folder / FILE, text.encode())


def strike_forgotten(manifest: Manifest, lines: Iterable[Forgotten], salt: bytes | None) -> Manifest:
    """Return the manifest; of a forgotten file only its source and its mark stay, as a row that is excluded."""
    marks = {line.mark for line in lines}
    if not marks or salt is None:
        return manifest
    shas = manifest.rows["sha256"].drop_nulls().unique()
    found = {sha: mark for sha in shas if (mark := mark_of(sha, salt)) in marks}
    if not found:
        return manifest
    rows = manifest.rows
    struck_by = rows["sha256"].replace_strict(found, default=None, return_dtype=pl.String)
    number = pl.int_range(pl.len()).over(pl.col("source"), pl.col("_mark"))
    name = (
        pl.lit(PREFIX) + pl.col("_mark") + pl.when(number > 0).then(pl.format("~{}", number + 1)).otherwise(pl.lit(""))
    )
    struck = pl.col("_mark").is_not_null()
    emptied = [
        pl.when(struck).then(None).otherwise(pl.col(column)).alias(column)
        for column in rows.columns
        if column not in {"id", "source", "path", "page", "size_bytes", "licence", "excluded_by", "reason", "detail"}
    ]
    rows = (
        rows.with_columns(_mark=struck_by)
        .with_columns(_name=name)
        .with_columns(
            *emptied,
            id=pl.when(struck).then(pl.col("source") + "/" + pl.col("_name")).otherwise("id"),
            path=pl.when(struck).then("_name").otherwise("path"),
            size_bytes=pl.when(struck).then(0).otherwise("size_bytes").cast(rows.schema["size_bytes"]),
            excluded_by=pl.when(struck).then(pl.lit("ingest")).otherwise("excluded_by"),
            reason=pl.when(struck).then(pl.lit(Reason.FORGOTTEN.value)).otherwise("reason"),
            detail=pl.when(struck).then(None).otherwise("detail"),
        )
        .drop("_mark", "_name")
        .sort("id")
    )
    return manifest.with_rows(rows)
