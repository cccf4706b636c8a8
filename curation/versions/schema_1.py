"""Reads the manifests of 0.1.0, whose reasons and decisions were sentences; no other module reads such sentences."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from curation.dataset.columns import ACTION, IMPLIED_ROLES, Metadata
from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode, first_line
from curation.reasons import Cause, Reason

_EXACT: Final[Mapping[str, Cause]] = {
    "ingest: metadata file": Cause(Reason.METADATA_FILE),
    "ingest: encrypted": Cause(Reason.ENCRYPTED),
    "ingest: file is gone": Cause(Reason.FILE_GONE),
    "ingest: not a file": Cause(Reason.NOT_A_FILE),
    "ingest: file changed while it was read": Cause(Reason.FILE_CHANGED, "while it was read"),
    "ingest: file changed since it was listed": Cause(Reason.FILE_CHANGED, "since it was listed"),
    "ingest: zip entry is not as long as it declares": Cause(
        Reason.ARCHIVE_DAMAGED, "zip entry of another length than declared"
    ),
    "ingest: zip entry has no header where the directory says": Cause(
        Reason.ARCHIVE_DAMAGED, "zip entry without a header"
    ),
    "ingest: zip bomb: shares its bytes with another": Cause(Reason.ARCHIVE_BOMB, "shares its bytes with another file"),
    "probe: empty file": Cause(Reason.EMPTY_FILE),
    "probe: truncated": Cause(Reason.TRUNCATED),
    "probe: not an image": Cause(Reason.NOT_AN_IMAGE),
    "probe: decompression bomb": Cause(Reason.DECOMPRESSION_BOMB),
    "probe: too large for memory": Cause(Reason.TOO_LARGE),
    "probe: no pixels": Cause(Reason.NO_PIXELS),
    "probe: no pages": Cause(Reason.MISSING_PAGE),
    "probe: missing strips or tiles": Cause(Reason.DAMAGED, "tiff: missing strips or tiles"),
    "probe: tiff with a palette that cannot be read": Cause(Reason.DAMAGED, "tiff: palette"),
    "probe: tiff with colours beyond its palette": Cause(Reason.DAMAGED, "tiff: colors beyond its palette"),
    "probe: tiff of samples that cannot be read": Cause(Reason.UNSUPPORTED, "tiff of this sample type"),
    "probe: a volume, not a picture": Cause(Reason.UNSUPPORTED, "a volume"),
    "label: not labelled yet": Cause(Reason.UNLABELLED),
    "label: none found": Cause(Reason.NO_LABEL),
    "select: disputed, not needed": Cause(Reason.DISPUTED_NOT_NEEDED),
}
_PATTERNS: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), reason)
    for pattern, reason in (
        (r"ingest: zip bomb: (.+)", Reason.ARCHIVE_BOMB),
        (r"ingest: larger than (.+)", Reason.FILE_TOO_LARGE),
        (r"ingest: packed by a method that is not supported \((.+)\)", Reason.UNSUPPORTED_COMPRESSION),
        (r"ingest: folder cannot be opened: (.+)", Reason.FOLDER_UNREADABLE),
        (r"ingest: (link\b.*|device|pipe|sparse file|refused)", Reason.NOT_A_FILE),
        (r"ingest: ((?:zip|tar)\b.+)", Reason.ARCHIVE_DAMAGED),
        (r"ingest: (?:cannot be read: )?(.+)", Reason.FILE_UNREADABLE),
        (r"probe: system file: (.+)", Reason.SYSTEM_FILE),
        (r"probe: not an image: (.+)", Reason.NOT_AN_IMAGE),
        (r"probe: decompression bomb: (.+)", Reason.DECOMPRESSION_BOMB),
        (r"probe: damaged (.+)", Reason.DAMAGED),
        (r"probe: (1 pixel (?:wide|high))", Reason.NO_PIXELS),
        (r"probe: no page (.+)", Reason.MISSING_PAGE),
        (r"probe: (.+ samples)(?:: no tone rule covers them|: tone = .*)", Reason.NO_TONE_RULE),
        (r"probe: cannot be read: file changed (.+)", Reason.FILE_CHANGED),
        (r"probe: cannot be read: changed (.+)", Reason.FILE_CHANGED),
        (r"probe: cannot be read: ((?:zip|tar)\b.+)", Reason.ARCHIVE_DAMAGED),
        (r"probe: cannot be read: (.+)", Reason.FILE_UNREADABLE),
        (r"probe: (?:not read: )?(.+)", Reason.UNSUPPORTED),
        (r"decide: excluded \((.*)\)", Reason.EXCLUDED_BY_REVIEWER),
        (r"decide: reviewers disagree \((.*)\)", Reason.REVIEWERS_DISAGREE),
        (r"quality: too small \((.*)\)", Reason.TOO_SMALL),
        (r"quality: blank \((.*)\)", Reason.BLANK),
        (r"quality: too dark \((.*)\)", Reason.TOO_DARK),
        (r"quality: too bright \((.*)\)", Reason.TOO_BRIGHT),
        (r"quality: blurred \((.*)\)", Reason.BLURRED),
        (r"dedup: exact duplicate of (.+)", Reason.EXACT_DUPLICATE),
        (r"dedup: same pixels, duplicate of (.+)", Reason.SAME_PIXELS),
        (r"dedup: near duplicate of (.+) \(\d+ bits, correlation [^()]*\)", Reason.NEAR_DUPLICATE),
        (r"select: context class (.*)", Reason.CONTEXT_CLASS),
        (r"select: disputed \(its group is on the (\w+) side\)", Reason.DISPUTED_HELD_OUT),
        (r"select: disputed \((.*)\)", Reason.DISPUTED),
        (r"select: leakage \(\w+ picture, its group is on the (\w+) side\)", Reason.LEAKAGE),
        (r"select: not in (.+)", Reason.NOT_IN_VERSION),
        (r"select: surplus in (.+)", Reason.SURPLUS),
    )
)
_ACTION = re.compile(
    r"(?P<action>exclude|keep|relabel|disagreement|prefer|not-duplicates)(?: (?P<label>.+?))??(?: \((?P<by>.*)\))?",
    re.DOTALL,
)
_ACTIONS_START = re.compile(r"; (?=(?:exclude|keep|relabel|prefer|not-duplicates|disagreement)\b)")


def read_schema_1(path: Path) -> Manifest:
    """Read a manifest that 0.1.0 wrote.

    Raises
    ------
    CurationError
        Where it cannot be read, or is not one.
    """
    try:
        return upgrade(pl.read_parquet(path), named=_named_columns(path.with_name("recipe.toml")))
    except CurationError as fault:
        raise CurationError(fault.code, f"{path}: {fault.message}", hint=fault.hint) from fault
    except (pl.exceptions.PolarsError, ValueError, OSError) as fault:
        raise CurationError(
            ErrorCode.VERSION_DAMAGED, f"{path}: not a readable manifest: {first_line(fault)}"
        ) from fault


def _named_columns(recipe: Path) -> frozenset[str]:
    """Return the metadata columns that a version's recipe names; none where it cannot be read."""
    try:
        sources = tomllib.loads(recipe.read_text(encoding="utf-8"))["sources"]
        tables = [source.get("metadata", {}).get("columns", {}) for source in sources]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return frozenset()
    return frozenset(name for table in tables for name in table)


def upgrade(rows: pl.DataFrame, *, named: frozenset[str] = frozenset()) -> Manifest:
    """Return the manifest of a table that 0.1.0 wrote.

    Parameters
    ----------
    rows : polars.DataFrame
        Its six metadata columns are kept where they have a value or the recipe names them.
    named : frozenset of str
        The metadata columns that the recipe names.

    Raises
    ------
    CurationError
        Where a reason or a decision is not one that 0.1.0 wrote.
    """
    sentences = rows["excluded"].unique().drop_nulls().sort().to_list()
    parsed = [(text, *_parse_reason(text)) for text in sentences]
    names = ["excluded", "excluded_by", "reason", "detail"]
    causes = pl.DataFrame(parsed, schema=dict.fromkeys(names, pl.String), orient="row")
    decisions = rows["decision"].unique().drop_nulls().sort().to_list()
    actions = pl.DataFrame(
        {"decision": decisions, "_actions": [_parse_decision(text) for text in decisions]},
        schema={"decision": pl.String, "_actions": pl.List(ACTION)},
    )
    rows = rows.join(causes, on="excluded", how="left", maintain_order="left")
    rows = rows.join(actions, on="decision", how="left", maintain_order="left")
    rows = rows.drop("excluded", "decision").rename({"_actions": "decision"})
    empty = [name for name in IMPLIED_ROLES if name not in named and rows[name].null_count() == rows.height]
    metadata = (Metadata(name, role, rows.schema[name]) for name, role in IMPLIED_ROLES.items() if name not in empty)
    return Manifest(rows.drop(empty), tuple(metadata))


def _parse_reason(text: str) -> tuple[str, str, str | None]:
    """Return step, code and detail of a reason."""
    step = text.partition(": ")[0]
    if known := _EXACT.get(text):
        return step, known.reason.value, known.detail
    for pattern, reason in _PATTERNS:
        if found := pattern.fullmatch(text):
            return step, reason.value, found[1]
    raise CurationError(ErrorCode.VERSION_DAMAGED, f"a row is excluded without a known step and reason ({text!r})")


def _parse_decision(text: str) -> list[dict[str, Any]]:
    """Return the actions of a decision; 0.1.0 wrote a comma for each semicolon inside of one."""
    return list(_parse_actions(_ACTIONS_START.split(text), text))


def _parse_actions(parts: Iterable[str], text: str) -> Iterable[dict[str, Any]]:
    for part in parts:
        found = _ACTION.fullmatch(part)
        if found is None:
            raise CurationError(ErrorCode.VERSION_DAMAGED, f"a row has a decision of unknown form ({text!r})")
        who, _, reason = (found["by"] or "").partition(": ")
        action = "disagree" if found["action"] == "disagreement" else found["action"]
        reviewers = who.split(", ") if who else []
        yield {"action": action, "label": found["label"], "reviewers": reviewers, "reason": reason or None}
