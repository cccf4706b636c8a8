"""Finds what was edited in the App past the review's own buttons, and makes decisions of it or undoes it.

FiftyOne's *Annotate* tab, its tags and its own operators write to the database only. Each sample therefore keeps what
the review wrote last: the time, and the label. A sample that was changed at another time was edited in the App.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curation.dataset.decisions import CONTEXT, append_decisions
from curation.review.decision_import import import_tags
from curation.review.fiftyone_sync import read_subject, restore_samples, sample_collection
from curation.review.review_session import ReviewSession

_SHOWN = 5


@dataclass(frozen=True)
class EditedSample:
    """A sample that was changed in the App.

    Parameters
    ----------
    sample : object
        Its id in the database.
    row : str
        The id of its row.
    sha256 : str
        Empty for a file without one.
    label, written : str
        Its label now, and the one that the review wrote; empty for none.
    tags : tuple of str
    """

    sample: Any
    row: str
    sha256: str
    label: str
    written: str
    tags: tuple[str, ...]


def settle_edits(
    dataset: Any, session: ReviewSession, *, restore_deleted: Callable[[], object] | None = None
) -> tuple[str, ...]:
    """Make decisions of labels and tags that were edited in the App, and undo what cannot be one.

    Decisions are by the reviewer who opened the App. They are on the disk before the database is changed.

    Parameters
    ----------
    dataset
        A FiftyOne dataset that a review made.
    session : ReviewSession
        Of its version or draft.
    restore_deleted : callable, optional
        Adds deleted samples again; without it they come back when the review is opened next.

    Returns
    -------
    tuple of str
        What was done, in sentences; empty where nothing was edited.
    """
    session = replace(session, reviewer=(dataset.info or {}).get("reviewer") or session.reviewer)
    edited = _find_edited(dataset)
    notes = [*_decide_labels(session, edited), *_decide_tags(session, edited)]
    if edited:
        restore_samples(dataset, session.rows(), [one.row for one in edited], drop_tags=_meant_tags(session, edited))
    notes += _report_deleted(dataset, session, restore_deleted)
    return tuple(notes)


def _find_edited(dataset: Any) -> list[EditedSample]:
    found = sample_collection(dataset).find(
        {"$expr": {"$ne": ["$touched", "$last_modified_at"]}},
        {"row": 1, "sha256": 1, "label": 1, "written": 1, "tags": 1},
    )
    return [
        EditedSample(
            each["_id"],
            each["row"],
            each.get("sha256") or "",
            (each.get("label") or {}).get("label") or "",
            each.get("written") or "",
            tuple(each.get("tags") or ()),
        )
        for each in found.sort("row", 1)
    ]


def _decide_labels(session: ReviewSession, edited: Sequence[EditedSample]) -> list[str]:
    """Return what became of edited labels: a relabel, or the label that was there before."""
    wanted: dict[str, list[EditedSample]] = {}
    undone = []
    for one in edited:
        if one.label == one.written:
            continue
        is_label = one.label in session.rules.classes or (one.label.startswith(CONTEXT) and one.label != CONTEXT)
        if one.sha256 and is_label:
            wanted.setdefault(one.label, []).append(one)
        else:
            undone.append(one)
    notes = []
    for label, of_label in sorted(wanted.items()):
        reason = "edited in the App"
        session.decide("relabel", [one.sha256 for one in of_label], label=label, reason=reason)
        notes.append(f"edited in the App: {_name(of_label)} is now relabelled {label!r} in decisions.jsonl")
    for one in undone:
        what = f"{one.label!r} is neither a class nor {CONTEXT}<source label>" if one.label else "a label was removed"
        notes.append(f"undone in the App: {_name([one])}: {what}")
    return notes


def _decide_tags(session: ReviewSession, edited: Sequence[EditedSample]) -> list[str]:
    tagged = [(one.sha256, one.row, one.tags) for one in edited if one.tags]
    if not tagged:
        return []
    found = import_tags(session, [(sha, row, tags) for sha, row, tags in tagged if sha])
    append_decisions(session.ledger_path, found.decisions)
    notes = [
        f"tagged in the App: {line.action} {line.label}".rstrip() + f" of {line.sha256[:12]}"
        for line in found.decisions
    ]
    return [*notes, *(f"{note}; it stays in FiftyOne only" for note in found.notes)]


def _meant_tags(session: ReviewSession, edited: Sequence[EditedSample]) -> Mapping[Any, Sequence[str]]:
    """Return sample -> the tags that stand in the ledger now."""
    words = {"keep", "prefer", "exclude", *session.rules.classes}

    def is_meant(tag: str) -> bool:
        return tag in words or tag.partition(":")[0] in {"exclude", "relabel", CONTEXT.rstrip(":")}

    return {one.sample: [tag for tag in one.tags if is_meant(tag)] for one in edited}


def _report_deleted(dataset: Any, session: ReviewSession, restore_deleted: Callable[[], object] | None) -> list[str]:
    subject = read_subject(dataset)
    if subject is None or subject.reference != session.reference:
        return []
    there = set(dataset.values("row"))
    gone = [row for row in session.manifest.rows["id"] if row not in there]
    if not gone:
        return []
    if restore_deleted is not None:
        restore_deleted()
    more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
    when = "again now" if restore_deleted is not None else "again when the review is opened next"
    return [
        f"deleted in the App, which removes nothing from {session.name}: {', '.join(gone[:_SHOWN])}{more}; "
        f"shown {when}. Exclude images to remove them."
    ]


def _name(edited: Sequence[EditedSample]) -> str:
    more = f" and {len(edited) - _SHOWN} more" if len(edited) > _SHOWN else ""
    return ", ".join(one.row for one in edited[:_SHOWN]) + more
