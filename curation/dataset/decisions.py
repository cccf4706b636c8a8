"""The ledger of decisions: one JSON line each, keyed by the file's sha256, appended and never rewritten."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from curation.errors import CurationError, ErrorCode
from curation.storage.disk_errors import code_of
from curation.storage.fsync import append_text
from curation.storage.locks import hold_lock

Action = Literal["exclude", "keep", "relabel", "not-duplicates", "prefer", "undo"]
Agreement = Literal["newest", "majority", "adjudicator"]

CONTEXT = "context:"
"""Begins a label that names a source label and not a class."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_Value = TypeVar("_Value")
_FIELDS = ("action", "sha256", "other", "label", "reason", "reviewer", "time", "tool")


@dataclass(frozen=True)
class Decision:
    """One line of the ledger.

    Parameters
    ----------
    action : str
        ``exclude``, ``keep``, ``relabel`` (wants ``label``), ``not-duplicates`` (wants ``other``), ``prefer`` (this one
        represents its duplicates) or ``undo`` (withdraws this reviewer's newest decision on the image).
    sha256 : str
        The file's sha256, 64 hex digits.
    other : str
        The second file's sha256, for ``not-duplicates`` and its ``undo``.
    label : str
        The class, or ``context:<source label>`` for an image of no class.
    reason, reviewer : str
        Free text, and who decided.
    time : str
        UTC, ISO 8601 with a ``Z``.
    tool : str
        The version of this program.
    line : int
        The line in the ledger, from 1; 0 before it is written.

    Raises
    ------
    CurationError
        Where a field is missing or malformed.
    """

    action: Action
    sha256: str
    reviewer: str
    time: str
    other: str = ""
    label: str = ""
    reason: str = ""
    tool: str = ""
    line: int = 0

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise CurationError(ErrorCode.DECISION_INVALID, f"invalid decision: {problem}")

    @property
    def moment(self) -> tuple[datetime, int]:
        """When it was decided; of one instant the later line. Texts differ in the length of their fractions."""
        return datetime.fromisoformat(self.time), self.line

    def as_json(self) -> str:
        """Return the ledger's line, without the line end; empty fields are left out."""
        fields = asdict(self)
        return json.dumps({key: fields[key] for key in _FIELDS if fields[key]}, ensure_ascii=False)


def _problem(decision: Decision) -> str | None:
    if decision.action not in get_args(Action):
        return f"{decision.action!r} is not an action (known: {', '.join(get_args(Action))})"
    for name, value in (("sha256", decision.sha256), ("other", decision.other)):
        if (value or name == "sha256") and not _SHA256.fullmatch(value):
            return f"{name} {value!r} is not 64 hex digits"
    if decision.action == "not-duplicates" and not decision.other:
        return "not-duplicates needs the sha256 of the second file in `other`"
    if decision.action == "not-duplicates" and decision.other == decision.sha256:
        return "not-duplicates needs two different files, and these have the same bytes"
    if decision.action == "relabel" and not decision.label:
        return "relabel needs a label"
    if not decision.reviewer.strip():
        return "the reviewer is missing"
    if not _TIME.fullmatch(decision.time):
        return f"time {decision.time!r} is not like 2026-11-24T09:30:00Z"
    return None


def now() -> str:
    """Return the time as the ledger wants it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_ledger(path: Path) -> tuple[Decision, ...]:
    """Read every decision; a missing ledger is an empty one.

    Raises
    ------
    CurationError
        Where it cannot be read, or has invalid lines: all of them are listed, and none is skipped silently.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # an editor on Windows may begin it with a mark
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as fault:
        raise CurationError(ErrorCode.LEDGER_INVALID, f"{path}: not UTF-8 text (byte {fault.start})") from None
    except OSError as fault:
        raise CurationError(ErrorCode.FILE_UNREADABLE, f"{path}: cannot be read: {fault.strerror}") from None
    decisions, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            decisions.append(_parse(line, number))
        except CurationError as fault:
            problems.append(f"  line {number}: {fault.message}")
    if problems:
        count = "1 line is" if len(problems) == 1 else f"{len(problems)} lines are"
        raise CurationError(
            ErrorCode.LEDGER_INVALID,
            f"{path}: {count} invalid\n" + "\n".join(problems),
            hint="Correct or remove each of them in a text editor; git has the earlier versions.",
        )
    return tuple(decisions)


def _parse(line: str, number: int) -> Decision:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as fault:
        raise CurationError(ErrorCode.DECISION_INVALID, f"not JSON: {fault.msg} at column {fault.colno}") from None
    if not isinstance(fields, dict):
        raise CurationError(ErrorCode.DECISION_INVALID, "not a JSON object")
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise CurationError(ErrorCode.DECISION_INVALID, f"unknown field {', '.join(unknown)}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise CurationError(ErrorCode.DECISION_INVALID, "every field must be a text")
    missing = [key for key in ("action", "sha256", "reviewer", "time") if not fields.get(key)]
    if missing:
        raise CurationError(ErrorCode.DECISION_INVALID, f"missing {', '.join(missing)}")
    return Decision(line=number, **fields)


def append_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Append decisions under a lock and flush them to the disk before returning.

    A ledger whose last line was cut short (by a kill, or an editor) gets its line end first, so that the new lines
    stay whole.

    Raises
    ------
    CurationError
        Where the ledger cannot be written; then none of the decisions counts as made.
    """
    text = "".join(decision.as_json() + "\n" for decision in decisions)
    if not text:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(path.with_name(f".{path.name}.lock")):
            append_text(path, text)
    except OSError as fault:
        raise CurationError(code_of(fault), f"{path}: the decisions could not be written: {fault.strerror}") from fault


@dataclass(frozen=True)
class Opinion:
    """The outcome for one image on one question, and who decided it."""

    verdict: str
    reason: str
    reviewers: tuple[str, ...]


@dataclass(frozen=True)
class Ruling:
    """The outcome of the ledger under a policy.

    Parameters
    ----------
    fate : mapping of sha256 to Opinion
        The verdict is ``exclude``, ``keep``, ``use`` (a relabel also takes an exclusion back) or ``DISAGREE``.
    labels : mapping of sha256 to Opinion
        The verdict is the label, or ``DISAGREE``.
    apart : frozenset of (sha256, sha256)
        Pairs, smaller first, that are not duplicates.
    preferred : mapping of sha256 to int
        Higher means preferred later, which wins.
    """

    fate: Mapping[str, Opinion]
    labels: Mapping[str, Opinion]
    apart: frozenset[tuple[str, str]]
    preferred: Mapping[str, int]

    def mentioned(self) -> frozenset[str]:
        """Return every sha256 that a decision in force concerns."""
        pairs = {sha for pair in self.apart for sha in pair}
        return frozenset({*self.fate, *self.labels, *self.preferred, *pairs})

    def follow(self, renamed: Mapping[str, str]) -> "Ruling":
        """Return the ruling for files that have other bytes now: old sha256 -> new; what is decided of the new stays.

        Parameters
        ----------
        renamed : mapping of sha256 to sha256
        """

        def rename(old: Mapping[str, _Value]) -> dict[str, _Value]:
            own = {sha: value for sha, value in old.items() if sha not in renamed}
            return {**{renamed[sha]: value for sha, value in old.items() if sha in renamed}, **own}

        pairs = ((renamed.get(one, one), renamed.get(other, other)) for one, other in self.apart)
        apart = frozenset((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])
        return Ruling(rename(self.fate), rename(self.labels), apart, rename(self.preferred))


DISAGREE = "[disagree]"


def in_force(ledger: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return the decisions that no ``undo`` has withdrawn, oldest first (by time, then line)."""
    standing: list[Decision] = []
    for decision in sorted(ledger, key=lambda line: line.moment):
        if decision.action != "undo":
            standing.append(decision)
            continue
        withdrawn = next((old for old in reversed(standing) if _is_undone_by(old, decision)), None)
        if withdrawn is not None:
            standing.remove(withdrawn)
    return tuple(standing)


def _is_undone_by(old: Decision, undo: Decision) -> bool:
    if old.reviewer != undo.reviewer:
        return False
    if undo.other:
        return {old.sha256, old.other} == {undo.sha256, undo.other}
    return same_subject(old, undo.sha256)


def same_subject(decision: Decision, sha256: str) -> bool:
    """Return whether a decision concerns this image, as the first or the second of a pair."""
    return sha256 in {decision.sha256, decision.other}


def rule(ledger: Sequence[Decision], *, agreement: Agreement = "newest", adjudicator: str | None = None) -> Ruling:
    """Resolve the ledger.

    ``newest``: the last decision counts. ``majority``: the most frequent of each reviewer's last decisions; a tie is a
    disagreement. ``adjudicator``: where reviewers differ, the adjudicator's decision counts; without one they disagree.
    """
    standing = in_force(ledger)
    fates: dict[str, list[Decision]] = {}
    labels: dict[str, list[Decision]] = {}
    apart: set[tuple[str, str]] = set()
    preferred: dict[str, int] = {}
    for rank, decision in enumerate(standing, start=1):
        match decision.action:
            case "exclude" | "keep":
                fates.setdefault(decision.sha256, []).append(decision)
            case "relabel":
                fates.setdefault(decision.sha256, []).append(decision)
                labels.setdefault(decision.sha256, []).append(decision)
            case "not-duplicates":
                apart.add((min(decision.sha256, decision.other), max(decision.sha256, decision.other)))
            case "prefer":
                preferred[decision.sha256] = rank
            case "undo":
                raise AssertionError("an undo is never in force")

    def settle(said: Mapping[str, list[Decision]], *, about: Literal["fate", "label"]) -> dict[str, Opinion]:
        return {
            sha: _settle(lines, about=about, agreement=agreement, adjudicator=adjudicator)
            for sha, lines in sorted(said.items())
        }

    return Ruling(settle(fates, about="fate"), settle(labels, about="label"), frozenset(apart), preferred)


def _settle(
    lines: Sequence[Decision], *, about: Literal["fate", "label"], agreement: Agreement, adjudicator: str | None
) -> Opinion:
    last = {line.reviewer: line for line in lines}
    words = {name: _verdict(line, about=about) for name, line in last.items()}
    if agreement == "newest":
        chosen = words[lines[-1].reviewer]
    elif agreement == "adjudicator":
        agreed = next(iter(words.values())) if len(set(words.values())) == 1 else DISAGREE
        chosen = words.get(adjudicator or "", agreed)
    else:
        counts = sorted(((list(words.values()).count(word), word) for word in set(words.values())), reverse=True)
        chosen = DISAGREE if len(counts) > 1 and counts[0][0] == counts[1][0] else counts[0][1]
    backers = tuple(sorted(name for name, word in words.items() if chosen in {word, DISAGREE}))
    reasons = [line.reason for line in lines if line.reviewer in backers and _verdict(line, about=about) == chosen]
    if chosen == DISAGREE:
        reasons = [", ".join(f"{name}: {words[name]}" for name in backers)]
    return Opinion(chosen, reasons[-1] if reasons else "", backers)


def _verdict(line: Decision, *, about: Literal["fate", "label"]) -> str:
    if about == "label":
        return line.label
    return "use" if line.action == "relabel" else line.action


def describe_opinion(reviewers: Sequence[str], reason: str | None) -> str:
    """Return who decided and why, as it is shown."""
    who = ", ".join(reviewers)
    return f"{who}: {reason}" if reason else who


def describe_actions(actions: Iterable[Mapping[str, Any]] | None, *, with_reviewers: bool = True) -> str | None:
    """Return the actions of the manifest's column ``decision`` as they are shown; None where there are none.

    >>> describe_actions([{"action": "keep", "label": None, "reviewers": ["anna"], "reason": "fine"}])
    'keep (anna: fine)'
    """
    shown = []
    for action in actions or ():
        name = "disagreement" if action["action"] == "disagree" else action["action"]
        by = describe_opinion(action["reviewers"] or (), action["reason"]) if with_reviewers else ""
        shown.append(" ".join(filter(None, [name, action["label"], f"({by})" if by else ""])))
    return "; ".join(shown) or None


def describe_history(
    ledger: Sequence[Decision], sha256: str, *, agreement: Agreement = "newest", adjudicator: str | None = None
) -> tuple[str, ...]:
    """Return every decision about one image, one sentence for each line of the ledger, and the outcome.

    Withdrawn decisions are included. Where reviewers differ, the last sentence names them and the policy's outcome.
    """
    about = [line for line in ledger if same_subject(line, sha256)]
    standing = set(in_force(ledger))
    sentences = [describe_line(line, withdrawn=line.action != "undo" and line not in standing) for line in about]
    ruling = rule(ledger, agreement=agreement, adjudicator=adjudicator)
    for question, opinions, words_of in (
        ("whether it is used", ruling.fate, _last_words(standing, sha256, about="fate")),
        ("its label", ruling.labels, _last_words(standing, sha256, about="label")),
    ):
        if len(set(words_of.values())) > 1:
            words = ", ".join(f"{name}: {word}" for name, word in sorted(words_of.items()))
            verdict = opinions[sha256].verdict
            outcome = "it is unresolved, so the image is excluded" if verdict == DISAGREE else f"it is {verdict!r}"
            sentences.append(f"reviewers differ on {question} ({words}); by the policy {agreement!r} {outcome}")
    return tuple(sentences)


def _last_words(standing: Iterable[Decision], sha256: str, *, about: Literal["fate", "label"]) -> dict[str, str]:
    relevant = {"relabel"} if about == "label" else {"exclude", "keep", "relabel"}
    lines = sorted((line for line in standing if line.sha256 == sha256), key=lambda line: line.moment)
    return {line.reviewer: _verdict(line, about=about) for line in lines if line.action in relevant}


def describe_line(line: Decision, *, withdrawn: bool = False) -> str:
    """Return one line of the ledger as a sentence."""
    what = " ".join(filter(None, [line.action, line.label, line.other[:12]]))
    reason = f": {line.reason}" if line.reason else ""
    return f"line {line.line}: {line.reviewer} on {line.time[:10]}: {what}{reason}{' (withdrawn)' if withdrawn else ''}"
