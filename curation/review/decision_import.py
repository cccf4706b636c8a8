"""Imports decisions from CSV and from the tags of a FiftyOne dataset, and exports them to CSV."""

import atexit
import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import polars as pl

from curation.dataset.decisions import CONTEXT, Action, Decision, now
from curation.dataset.manifest import describe_excluded
from curation.errors import CurationError, ErrorCode, first_line
from curation.release import VERSION
from curation.review.review_session import ReviewSession, check_labels
from curation.storage.cache import Cache
from curation.storage.hash_index import hash_file
from curation.versions.image_lookup import find_rows, near_names

COLUMNS: Final = ("action", "sha256", "other", "label", "reason", "reviewer", "time", "tool")
KEYS: Final = ("sha256", "file", "name", "path", "id")
"""The columns that may name the image."""
NAMED: Final = 5
"""The number of matching files that an error lists."""


def export_csv(ledger: Sequence[Decision]) -> str:
    """Return the whole ledger as CSV, one decision per line, the oldest first."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([getattr(decision, column) for column in COLUMNS] for decision in ledger)
    return out.getvalue()


def import_csv(path: Path, session: ReviewSession) -> tuple[Decision, ...]:
    """Read decisions from CSV; nothing is written.

    The columns ``action`` and one of ``KEYS`` are required. ``reviewer``, ``time`` and ``tool`` default to the
    session's reviewer, the current time and this program. A ``sha256`` may be abbreviated, or be a file name. A line
    that is in the ledger already, with the same time and reviewer, is skipped: importing an export twice changes
    nothing.

    Raises
    ------
    CurationError
        Where lines are invalid; it lists all of them, and none is imported.
    """
    lines = _read_lines(path)
    known = {_without_line(line) for line in session.ledger()}
    moment = now()
    made: list[Decision] = []
    problems: list[str] = []
    for number, fields in lines:
        try:
            decision = _as_decision(fields, session, moment)
            check_labels([decision], session.rules.classes)
        except CurationError as fault:
            problems.append(f"  line {number}: {fault.message}")
            continue
        if _without_line(decision) not in known:
            made.append(decision)
    if problems:
        raise CurationError(
            ErrorCode.LEDGER_INVALID,
            f"{path}: {len(problems)} invalid line(s)\n" + "\n".join(problems),
            hint=f"Columns: {', '.join(COLUMNS)}. Actions: {', '.join(get_args(Action))}.",
        )
    return tuple(made)


def _read_lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            heads = [str(head).strip() for head in reader.fieldnames or ()]
            keys = [name for name in heads if name in KEYS]
            unknown = sorted({*heads} - {*COLUMNS} - {*KEYS} | {*keys[1:]})
            missing = [
                *(["action"] if "action" not in heads else []),
                *(["sha256 (or file, path, id)"] if not keys else []),
            ]
            if unknown or missing:
                problems = [f"missing columns: {', '.join(missing)}"] if missing else []
                problems += [f"unknown columns: {', '.join(unknown)}"] if unknown else []
                raise CurationError(
                    ErrorCode.LEDGER_INVALID,
                    f"{path}: {'; '.join(problems)}",
                    hint=f"Columns: {', '.join(COLUMNS)}.",
                )
            reader.fieldnames = ["sha256" if head in KEYS else head for head in heads]
            return [(reader.line_num, _clean_cells(fields)) for fields in reader]
    except FileNotFoundError:
        raise CurationError(ErrorCode.FILE_MISSING, f"{path}: no such file") from None
    except (csv.Error, UnicodeDecodeError, OSError) as fault:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE,
            f"{path}: cannot be read as CSV: {first_line(fault)}",
            hint="Save it as CSV in UTF-8.",
        ) from None


def _clean_cells(fields: Mapping[str | None, Any]) -> dict[str, str]:
    """Return the cells of a line without surrounding spaces, except for file names, which may end in a space."""
    names = {"sha256", "other"}
    cells = {name: value or "" for name, value in fields.items() if name is not None}
    return {name: value if name in names else value.strip() for name, value in cells.items()}


def _as_decision(fields: Mapping[str, str], session: ReviewSession, moment: str) -> Decision:
    given = {name: fields.get(name, "") for name in COLUMNS}
    if not given["action"]:
        raise CurationError(ErrorCode.DECISION_INVALID, "action is missing")
    if given["action"] == "exclude" and not given["reason"]:
        raise CurationError(ErrorCode.DECISION_INVALID, "exclude requires a reason")
    given["sha256"] = resolve_sha256(session, given["sha256"])
    given["other"] = resolve_sha256(session, given["other"]) if given["other"] else ""
    if given["action"] == "not-duplicates" and given["other"]:
        given["sha256"], given["other"] = sorted((given["sha256"], given["other"]))
    given["reviewer"] = given["reviewer"] or session.reviewer
    given["time"] = given["time"] or moment
    given["tool"] = given["tool"] or VERSION
    return Decision(**given)  # type: ignore[arg-type]  # the decision checks its action


def _without_line(decision: Decision) -> tuple[str, ...]:
    return tuple(getattr(decision, column) for column in COLUMNS)


def resolve_sha256(session: ReviewSession, given: str) -> str:
    """Return the sha256 of the file that a name or an abbreviated digest refers to.

    A complete sha256 is returned unchanged, also where the dataset has no such file.

    Parameters
    ----------
    given : str
        The first 4 or more digits of the sha256, or a file name, a path or its end, or an id.

    Raises
    ------
    CurationError
        Where no file matches, or several different ones.
    """
    if re.fullmatch("[0-9a-fA-F]{64}", given):
        return given.lower()
    found = find_rows(session.manifest.rows, given)
    first = found.filter(pl.col("sha256").is_not_null()).unique("sha256", keep="first", maintain_order=True)
    if first.height == 1:
        return str(first["sha256"][0])
    if found.height and not first.height:
        raise CurationError(
            ErrorCode.IMAGE_MISSING,
            f"{found['id'][0]} could not be read ({describe_excluded(found)[0]}), so it has no sha256 to decide on",
        )
    if not first.height:
        near = near_names(session.manifest.rows, given)
        raise CurationError(
            ErrorCode.IMAGE_MISSING,
            f"no file matches {given!r}",
            hint=f"Did you mean {' or '.join(near)}?" if near else "`explain` prints names and digests.",
        )
    named = [f"{row['id']} ({row['sha256'][:12]})" for row in first.head(NAMED).iter_rows(named=True)]
    more = f" and {first.height - NAMED} more" if first.height > NAMED else ""
    raise CurationError(
        ErrorCode.IMAGE_AMBIGUOUS,
        f"{first.height} different files match {given!r}: {', '.join(named)}{more}",
        hint="Give more of the path, the id, or more digits of the sha256.",
    )


@dataclass(frozen=True)
class ImportedTags:
    """Decisions from the tags of a FiftyOne dataset.

    Parameters
    ----------
    decisions : tuple of Decision
    notes : tuple of str
        Warnings about unknown tags, and about tagged samples that are not in this dataset.
    """

    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]


def import_tags(session: ReviewSession, samples: Iterable[tuple[str, str, Sequence[str]]]) -> ImportedTags:
    """Turn tags into decisions; nothing is written.

    ``exclude`` and ``exclude:<reason>`` exclude, ``keep`` keeps, ``prefer`` prefers; a class of the recipe,
    ``context:<source label>`` and ``relabel:<either>`` relabel. Decisions that the reviewer made already are skipped.

    Parameters
    ----------
    samples : iterable of (str, str, sequence of str)
        (sha256 or ``""``, path of the sample's file, tags).
    """
    rendered = dict(
        session.manifest.rows.filter(pl.col("file_sha256").is_not_null()).select("file_sha256", "sha256").rows()
    )
    present = set(session.manifest.rows["sha256"].drop_nulls())
    wanted: dict[tuple[str, str, str], str] = {}
    foreign: set[str] = set()
    unknown: dict[str, int] = {}
    for given, path, tags in samples:
        sha = given if given in present else _identify(Path(path), rendered, present)
        for tag in tags:
            meaning = _meaning(tag, session.rules.classes)
            if meaning is None:
                unknown[tag] = unknown.get(tag, 0) + 1
            elif sha is None:
                foreign.add(path)
            else:
                wanted[(sha, meaning[0], meaning[1])] = meaning[2]
    known = {(line.sha256, line.action, line.label) for line in session.ledger() if line.reviewer == session.reviewer}
    moment = now()
    made = tuple(
        Decision(action, sha, session.reviewer, moment, label=label, reason=reason, tool=VERSION)  # type: ignore[arg-type]  # of the table below
        for (sha, action, label), reason in sorted(wanted.items())
        if (sha, action, label) not in known
    )
    notes = [f"{count} samples have the tag {tag!r}, which is not a decision" for tag, count in sorted(unknown.items())]
    notes += [f"{path} is tagged, but is not in {session.reference}" for path in sorted(foreign)]
    return ImportedTags(made, tuple(notes))


def _meaning(tag: str, classes: Sequence[str]) -> tuple[str, str, str] | None:
    """Return (action, label, reason) of a tag; None where it is not a decision."""
    head, _, rest = tag.partition(":")
    if head == "exclude":
        return "exclude", "", rest.strip() or "tagged exclude"
    if tag in {"keep", "prefer"}:
        return tag, "", ""
    label = rest.strip() if head == "relabel" else tag
    is_label = label in classes or (label.startswith(CONTEXT) and label != CONTEXT)
    return ("relabel", label, "") if is_label else None


def _identify(path: Path, rendered: Mapping[str, str], present: set[str]) -> str | None:
    try:
        sha = hash_file(path)
    except OSError:
        return None
    return sha if sha in present else rendered.get(sha)


def read_tags(name: str, *, cache: Cache, environ: Mapping[str, str] = os.environ) -> list[tuple[str, str, list[str]]]:
    """Return (sha256 or "", file, tags) of each tagged sample of a FiftyOne dataset.

    The datasets are in the database at ``$FIFTYONE_DATABASE_URI``, else in the server of FiftyOne's own package, else
    in the database of the review.

    Raises
    ------
    CurationError
        Where there is no database, or no such dataset.
    """
    from curation.review.mongodb import MongoServer, bundled_mongod, find_database  # needs the extra `review`

    os.environ |= {"FIFTYONE_DO_NOT_TRACK": "true", "FIFTYONE_SHOW_PROGRESS_BARS": "false"}
    if environ.get("FIFTYONE_DATABASE_URI") or bundled_mongod() is not None:
        return _read_tags(name)
    server = MongoServer(cache, find_database(cache))
    atexit.register(server.close)  # after FiftyOne's own clean-up, which is registered later and needs the database
    os.environ |= {"FIFTYONE_DATABASE_URI": server.open(), "FIFTYONE_DATABASE_VALIDATION": "false"}
    return _read_tags(name)


def _read_tags(name: str) -> list[tuple[str, str, list[str]]]:
    import fiftyone as fo

    if not fo.dataset_exists(name):
        known = ", ".join(fo.list_datasets()) or "none"
        raise CurationError(
            ErrorCode.DATASET_MISSING, f"FiftyOne has no dataset {name!r}", hint=f"Its datasets: {known}."
        )
    dataset = fo.load_dataset(name)
    has_sha = "sha256" in dataset.get_field_schema()
    paths, tags = dataset.values(["filepath", "tags"])
    shas = dataset.values("sha256") if has_sha else [""] * len(paths)
    return [(sha or "", path, list(words)) for sha, path, words in zip(shas, paths, tags, strict=True) if words]
