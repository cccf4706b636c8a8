"""A review session: a dataset's table, its ledger, and the decisions that a reviewer adds to the ledger."""

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

import polars as pl

from curation.dataset.decisions import (
    CONTEXT,
    Action,
    Decision,
    append_decisions,
    describe_line,
    in_force,
    now,
    read_ledger,
    same_subject,
)
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, load_recipe
from curation.errors import CurationError, ErrorCode
from curation.release import VERSION
from curation.review.review_queues import DecisionRules, build_review_table
from curation.versions import Draft, Home, Version, open_table, parse_reference

MAX_LISTED = 5
"""The number of rows that a message lists."""


@dataclass(frozen=True)
class DecisionResult:
    """The result of a decision.

    Parameters
    ----------
    made : tuple of Decision
        The lines that were added to the ledger.
    shas : tuple of str
        The images that they are about.
    message : str
        The result in words, for the reviewer.
    withdrawn : tuple of Decision
        The lines that an undo has withdrawn.
    other_rows : tuple of str
        The ids of rows that were not selected, but contain the same bytes.
    """

    made: tuple[Decision, ...]
    shas: tuple[str, ...]
    message: str
    withdrawn: tuple[Decision, ...] = ()
    other_rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReviewSession:
    """One dataset under review.

    Parameters
    ----------
    home : Home
    name, reference : str
        The dataset, and its version or draft that is reviewed.
    table : Version or Draft
    recipe : Recipe
        The current recipe of the dataset.
    reviewer : str
    """

    home: Home
    name: str
    reference: str
    table: Version | Draft
    recipe: Recipe
    reviewer: str

    @property
    def ledger_path(self) -> Path:
        """The path of the ledger."""
        return self.home.dataset(self.name) / "decisions.jsonl"

    @property
    def manifest(self) -> Manifest:
        """All rows, the excluded ones included."""
        return self.table.manifest

    @cached_property
    def rules(self) -> DecisionRules:
        """The rules of the recipe for decisions."""
        return DecisionRules.of(self.recipe)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that an image can get: the classes, then the contexts that occur."""
        found = self.manifest.rows.filter(pl.col("label").is_null())["source_label"].drop_nulls().unique().sort()
        contexts = [label for label in found if label and label not in self.rules.class_of]
        return (*self.rules.classes, *(f"{CONTEXT}{label}" for label in contexts))

    @cached_property
    def doubts(self) -> Mapping[str, float]:
        """The doubts of the audit about labels, by sha256; empty where there are none."""
        ids = dict(self.manifest.rows.select("id", "sha256").rows())
        return read_doubts(self.table.folder, ids)

    def ledger(self) -> tuple[Decision, ...]:
        """Return all decisions so far, of all reviewers."""
        return read_ledger(self.ledger_path)

    def rows(self) -> pl.DataFrame:
        """Return the review table, with all decisions so far."""
        return build_review_table(self.manifest, self.ledger(), self.rules, doubts=self.doubts)

    def decide(
        self, action: Action, shas: Sequence[str], *, label: str = "", reason: str = "", rows: Sequence[str] = ()
    ) -> DecisionResult:
        """Append one decision on each image to the ledger; when this returns, they are on the disk.

        Parameters
        ----------
        shas : sequence of str
            The images. ``not-duplicates`` applies to every pair of them; ``undo`` without images withdraws the latest
            decision.
        rows : sequence of str
            The ids that were selected; the result lists other rows with the same bytes.

        Raises
        ------
        CurationError
            Where the decision is invalid; nothing is written.
        """
        images = sorted(set(shas))
        withdrawn: tuple[Decision, ...] = ()
        if action == "undo":
            withdrawn, time = self._find_undone(images), now()
            made = tuple(
                Decision("undo", line.sha256, self.reviewer, time, other=line.other, tool=VERSION) for line in withdrawn
            )
        elif not images:
            raise CurationError(
                ErrorCode.NOTHING_SELECTED, "no image is selected", hint="Select images in the grid, or open one."
            )
        else:
            made = make_decisions(action, images, reviewer=self.reviewer, label=label, reason=reason)
            check_labels(made, self.rules.classes)
        append_decisions(self.ledger_path, made)
        touched = tuple(sorted({sha for decision in made for sha in (decision.sha256, decision.other) if sha}))
        others = tuple(self.other_rows(touched, rows)) if rows else ()
        count = f"{len(made)} {'decision' if len(made) == 1 else 'decisions'}"
        sentences = [f"{action} {label}".strip() + f": {count} in the ledger"]
        sentences += [describe_other_rows(others)] if others else []
        sentences += [f"Withdrawn: {'; '.join(map(describe_line, withdrawn))}"] if withdrawn else []
        return DecisionResult(made, touched, ". ".join(sentences), withdrawn, others)

    def other_rows(self, shas: Sequence[str], rows: Sequence[str]) -> list[str]:
        """Return the ids of rows that are not selected, but contain the same bytes as the selected ones."""
        same = self.manifest.rows.filter(pl.col("sha256").is_in(list(shas)) & ~pl.col("id").is_in(list(rows)))
        return same["id"].to_list()

    def _find_undone(self, images: Sequence[str]) -> tuple[Decision, ...]:
        standing = [line for line in in_force(self.ledger()) if line.reviewer == self.reviewer]
        newest = [next((line for line in reversed(standing) if same_subject(line, sha)), None) for sha in images]
        last = [line for line in standing if line.time == standing[-1].time] if not images else []
        lines = dict.fromkeys(line for line in (*newest, *last) if line is not None)
        if not lines:
            raise CurationError(ErrorCode.NOTHING_TO_UNDO, f"{self.reviewer} has no decision here to undo")
        return tuple(lines)


def describe_other_rows(others: Sequence[str]) -> str:
    """Return a sentence that lists the rows that are also affected, because they have the same bytes."""
    more = f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
    named = ", ".join(others[:MAX_LISTED]) + more
    rows = "another row" if len(others) == 1 else f"{len(others)} other rows"
    return f"This also affects {rows} with the same bytes: {named}"


def make_decisions(
    action: Action, shas: Sequence[str], *, reviewer: str, label: str = "", reason: str = "", time: str = ""
) -> tuple[Decision, ...]:
    """Return one decision on each image, or on each pair of images, with the same time; nothing is written.

    Raises
    ------
    CurationError
        Where a reason, a label or a second image is missing.
    """
    time = time or now()
    if action == "exclude" and not reason.strip():
        raise CurationError(
            ErrorCode.DECISION_INVALID, "exclude requires a reason", hint="Describe in a few words what is wrong."
        )
    if action != "not-duplicates":
        why = reason.strip()
        return tuple(Decision(action, sha, reviewer, time, label=label, reason=why, tool=VERSION) for sha in shas)
    if len(set(shas)) < 2:
        raise CurationError(
            ErrorCode.DECISION_INVALID,
            "not-duplicates requires two different files",
            hint="Rows with the same bytes are the same image. Select images that differ in bytes.",
        )
    pairs = combinations(sorted(set(shas)), 2)
    return tuple(
        Decision("not-duplicates", one, reviewer, time, other=two, reason=reason.strip(), tool=VERSION)
        for one, two in pairs
    )


def check_labels(decisions: Sequence[Decision], classes: Sequence[str]) -> None:
    """Raise an error for labels that are neither a class of the recipe nor a context, before a build does."""
    unknown = sorted(
        {
            decision.label
            for decision in decisions
            if decision.action == "relabel"
            and decision.label not in classes
            and not (decision.label.startswith(CONTEXT) and decision.label != CONTEXT)
        }
    )
    if unknown:
        raise CurationError(
            ErrorCode.LABEL_UNKNOWN,
            f"not a class: {', '.join(map(repr, unknown))}",
            hint=f"Classes: {', '.join(classes)}. For an image of no class, use {CONTEXT}<source label>.",
        )


def open_session(home: Home, reference: str, *, reviewer: str | None = None) -> ReviewSession:
    """Open a dataset for review: the given version or draft, else the draft of a failed build, else the newest version.

    Raises
    ------
    CurationError
        Where there is nothing to review yet, or the recipe is invalid.
    """
    wanted = parse_reference(reference)
    home.check_name(wanted.name)
    if wanted == replace(wanted, number=None, prefix=None, draft=False) and home.draft(wanted.name).is_dir():
        reference = f"{wanted.name}@draft"
    table = open_table(home, reference)
    full = f"{table.name}@draft" if isinstance(table, Draft) else f"{table.name}@v{table.number}"
    recipe = load_recipe(home.dataset(wanted.name))
    return ReviewSession(home, wanted.name, full, table, recipe, reviewer or default_reviewer())


def default_reviewer(environ: Mapping[str, str] = os.environ) -> str:
    """Return the default reviewer: ``$CURATION_REVIEWER``, else the user of this machine."""
    return environ.get("CURATION_REVIEWER") or getpass.getuser()


def read_doubts(folder: Path, ids: Mapping[str, str]) -> dict[str, float]:
    """Return sha256 -> doubt from the audit of a version: 1 for the most doubtful label, decreasing towards 0.

    Parameters
    ----------
    folder : Path
        The version's folder, whose ``audit.json`` lists doubtful labels in order under ``labels-doubtful``. A file
        ``<folder>.audit.json`` next to it, which ``audit --run`` wrote later, takes precedence.
    ids : mapping of str to str
        Id of a row -> sha256.
    """
    later = folder.with_name(f"{folder.name}.audit.json")
    path = later if later.is_file() else folder / "audit.json"
    try:
        findings = json.loads(path.read_bytes())["findings"]
        which: list[str] = next((finding["which"] for finding in findings if finding["id"] == "labels-doubtful"), [])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise CurationError(ErrorCode.FILE_UNREADABLE, f"{path}: cannot be read as an audit: {fault}") from None
    known = [ids[name] for name in which if name in ids]
    return {sha: 1 - place / len(known) for place, sha in reversed(list(enumerate(known)))}
