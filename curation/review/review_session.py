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
    in_force,
    now,
    read_ledger,
    same_subject,
    tell_line,
)
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe, load_recipe
from curation.errors import CurationError
from curation.release import VERSION
from curation.review.review_queues import DecisionRules, build_review_table
from curation.versions import Draft, Home, Version, open_table, parse_reference

NAMED = 5
"""Rows and pictures that are named one by one in a message."""


@dataclass(frozen=True)
class DecisionResult:
    """What a decision came to.

    Parameters
    ----------
    made : tuple of Decision
        The lines that are in the ledger now.
    shas : tuple of str
        The pictures they are about.
    message : str
        What to tell the reviewer, the other rows of the same bytes included.
    withdrawn : tuple of Decision
        The lines that an undo has taken back.
    """

    made: tuple[Decision, ...]
    shas: tuple[str, ...]
    message: str
    withdrawn: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class ReviewSession:
    """One dataset under review.

    Parameters
    ----------
    home : Home
    name, reference : str
        The dataset, and the version or draft whose table is shown.
    table : Version or Draft
    recipe : Recipe
        As it stands in the definition now.
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
        """Where decisions go."""
        return self.home.dataset(self.name) / "decisions.jsonl"

    @property
    def manifest(self) -> Manifest:
        """Every row that was ever ingested."""
        return self.table.manifest

    @cached_property
    def rules(self) -> DecisionRules:
        """How the recipe reads decisions."""
        return DecisionRules.of(self.recipe)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What a picture can be relabelled to: the classes, then the contexts that occur."""
        found = self.manifest.rows.filter(pl.col("label").is_null())["source_label"].drop_nulls().unique().sort()
        contexts = [label for label in found if label and label not in self.rules.class_of]
        return (*self.rules.classes, *(f"{CONTEXT}{label}" for label in contexts))

    @cached_property
    def doubts(self) -> Mapping[str, float]:
        """How doubtful the audit finds labels, by sha256; empty where it has not run."""
        ids = dict(self.manifest.rows.select("id", "sha256").rows())
        return read_doubts(self.table.folder, ids)

    def ledger(self) -> tuple[Decision, ...]:
        """Return every decision so far, whoever wrote it."""
        return read_ledger(self.ledger_path)

    def rows(self) -> pl.DataFrame:
        """Return what is shown of every row, with all decisions so far."""
        return build_review_table(self.manifest, self.ledger(), self.rules, doubts=self.doubts)

    def decide(
        self, action: Action, shas: Sequence[str], *, label: str = "", reason: str = "", rows: Sequence[str] = ()
    ) -> DecisionResult:
        """Write one decision on each picture to the ledger; when this returns they are on the disk.

        Parameters
        ----------
        shas : sequence of str
            The pictures; for ``not-duplicates`` every pair of them; none for ``undo`` means what was last decided.
        rows : sequence of str
            The ids that were selected; other rows of the same bytes are named in the message.

        Raises
        ------
        CurationError
            Where the decision makes no sense; nothing is written then.
        """
        pictures = sorted(set(shas))
        withdrawn: tuple[Decision, ...] = ()
        if action == "undo":
            withdrawn, time = self._find_undone(pictures), now()
            made = tuple(
                Decision("undo", line.sha256, self.reviewer, time, other=line.other, tool=VERSION) for line in withdrawn
            )
        elif not pictures:
            raise CurationError("nothing is selected", hint="select pictures in the grid, or open one")
        else:
            made = make_decisions(action, pictures, reviewer=self.reviewer, label=label, reason=reason)
            check_labels(made, self.rules.classes)
        append_decisions(self.ledger_path, made)
        touched = tuple(sorted({sha for decision in made for sha in (decision.sha256, decision.other) if sha}))
        message = self._tell(action, label, touched, rows, len(made))
        message += f". Taken back: {'; '.join(map(tell_line, withdrawn))}" if withdrawn else ""
        return DecisionResult(made, touched, message, withdrawn)

    def others(self, shas: Sequence[str], rows: Sequence[str]) -> list[str]:
        """Return the ids of further rows that hold the same bytes as the selected ones."""
        same = self.manifest.rows.filter(pl.col("sha256").is_in(list(shas)) & ~pl.col("id").is_in(list(rows)))
        return same["id"].to_list()

    def _find_undone(self, pictures: Sequence[str]) -> tuple[Decision, ...]:
        standing = [line for line in in_force(self.ledger()) if line.reviewer == self.reviewer]
        newest = [next((line for line in reversed(standing) if same_subject(line, sha)), None) for sha in pictures]
        last = [line for line in standing if line.time == standing[-1].time] if not pictures else []
        lines = dict.fromkeys(line for line in (*newest, *last) if line is not None)
        if not lines:
            raise CurationError(f"{self.reviewer} has decided nothing here that could be undone")
        return tuple(lines)

    def _tell(self, action: Action, label: str, shas: Sequence[str], rows: Sequence[str], lines: int) -> str:
        what = f"{action} {label}".strip()
        text = f"{what}: {lines} {'decision' if lines == 1 else 'decisions'} in the ledger"
        others = self.others(shas, rows) if rows else []
        if others:
            text += f". {describe_other_rows(others)}"
        return text


def describe_other_rows(others: Sequence[str]) -> str:
    """Return the sentence that says which rows are touched because they hold the same bytes."""
    named = ", ".join(others[:NAMED]) + (f" and {len(others) - NAMED} more" if len(others) > NAMED else "")
    rows = "another row" if len(others) == 1 else f"{len(others)} other rows"
    return f"This also touches {rows} of the same bytes: {named}"


def make_decisions(
    action: Action, shas: Sequence[str], *, reviewer: str, label: str = "", reason: str = "", time: str = ""
) -> tuple[Decision, ...]:
    """Return one decision on each picture, or on each pair of them, at one time; nothing is written.

    Raises
    ------
    CurationError
        Where a reason, a label or a second picture is missing.
    """
    time = time or now()
    if action == "exclude" and not reason.strip():
        raise CurationError("an exclusion wants a reason", hint="say in a few words what is wrong with the picture")
    if action != "not-duplicates":
        why = reason.strip()
        return tuple(Decision(action, sha, reviewer, time, label=label, reason=why, tool=VERSION) for sha in shas)
    if len(set(shas)) < 2:
        raise CurationError(
            "not-duplicates wants two different files; this is one",
            hint="rows of the same bytes are the same picture; select two that differ in bytes",
        )
    pairs = combinations(sorted(set(shas)), 2)
    return tuple(
        Decision("not-duplicates", one, reviewer, time, other=two, reason=reason.strip(), tool=VERSION)
        for one, two in pairs
    )


def check_labels(decisions: Sequence[Decision], classes: Sequence[str]) -> None:
    """Refuse a relabel to what is no class of the recipe and no context, before it stops a build."""
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
            f"no class is called {', '.join(map(repr, unknown))}",
            hint=f"classes: {', '.join(classes)}; or {CONTEXT}<source label> for a picture that is of none",
        )


def open_session(home: Home, reference: str, *, reviewer: str | None = None) -> ReviewSession:
    """Open a dataset for review: the version or draft that is named, else the draft of a failed build, else the newest.

    Raises
    ------
    CurationError
        Where there is nothing to review yet, or the recipe is broken.
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
    """Return who decides where nobody said: ``$CURATION_REVIEWER``, else the user of this machine."""
    return environ.get("CURATION_REVIEWER") or getpass.getuser()


def read_doubts(folder: Path, ids: Mapping[str, str]) -> dict[str, float]:
    """Return sha256 -> doubt from the audit of a version: 1 for the most doubtful label, towards 0 for the last.

    Parameters
    ----------
    folder : Path
        The version's; its ``audit.json`` lists doubtful labels in order under ``labels-doubtful``. One beside the
        folder, ``<folder>.audit.json``, that ``audit --run`` wrote later, wins.
    ids : mapping of str to str
        Row's id -> sha256.
    """
    later = folder.with_name(f"{folder.name}.audit.json")
    path = later if later.is_file() else folder / "audit.json"
    try:
        findings = json.loads(path.read_bytes())["findings"]
        which: list[str] = next((finding["which"] for finding in findings if finding["id"] == "labels-doubtful"), [])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise CurationError(f"{path}: no audit can be read: {fault}") from None
    known = [ids[name] for name in which if name in ids]
    return {sha: 1 - place / len(known) for place, sha in reversed(list(enumerate(known)))}
