"""The progress of a review: what is left in each queue, each reviewer's share, and the agreement of reviewers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import polars as pl

from curation.dataset.decisions import DISAGREE, Decision, in_force
from curation.review.review_queues import QUEUES, Queue, count_queues, find_disagreements, last_opinions
from curation.review.review_session import ReviewSession


@dataclass(frozen=True)
class Kappa:
    """The agreement of reviewers beyond chance.

    Parameters
    ----------
    reviewers : tuple of str
    measure : str
        ``Cohen`` (two reviewers) or ``Fleiss`` (more).
    pictures : int
        The number of images that all of them judged.
    agreed : float
        The share of them with equal opinions.
    value : float, optional
        Kappa, at most 1; None where it is not defined, without common images or with only one opinion.
    """

    reviewers: tuple[str, ...]
    measure: str
    pictures: int
    agreed: float
    value: float | None


@dataclass(frozen=True)
class Disagreement:
    """An image on which the reviewers' latest opinions differ.

    Parameters
    ----------
    sha256 : str
    ids : tuple of str
        The ids of its rows.
    words : mapping
        Reviewer -> latest opinion: ``exclude``, ``keep`` or a label.
    outcome : str, optional
        The result of the policy; None where it is open.
    """

    sha256: str
    ids: tuple[str, ...]
    words: Mapping[str, str]
    outcome: str | None


@dataclass(frozen=True)
class ReviewStatus:
    """The progress of a review.

    Parameters
    ----------
    reference : str
    policy : str
        The agreement policy of the recipe.
    queues : mapping
        Queue -> (number of images, number left).
    reviewers : mapping
        Reviewer -> queue -> number of its images that they decided on.
    decisions : mapping
        Reviewer -> number of decisions in force.
    kappas : tuple of Kappa
        Of each pair of reviewers, and of all where there are more than two.
    disagreements : tuple of Disagreement
        Sorted by sha256; the open ones first.
    absent : tuple of str
        Images with decisions that no source contains any longer.
    """

    reference: str
    policy: str
    queues: Mapping[Queue, tuple[int, int]]
    reviewers: Mapping[str, Mapping[Queue, int]]
    decisions: Mapping[str, int]
    kappas: tuple[Kappa, ...]
    disagreements: tuple[Disagreement, ...]
    absent: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the status as JSON-able values."""
        fields = asdict(self)
        fields["queues"] = {queue: {"pictures": n, "left": left} for queue, (n, left) in self.queues.items()}
        return fields


def review_status(session: ReviewSession) -> ReviewStatus:
    """Return the progress of a review."""
    ledger, rows = session.ledger(), session.rows()
    words = last_opinions(ledger)
    standing = in_force(ledger)
    names = sorted({line.reviewer for line in standing})
    ruling = session.rules.rule(ledger)
    present = set(rows["sha256"].drop_nulls())
    return ReviewStatus(
        reference=session.reference,
        policy=session.rules.agreement,
        queues=count_queues(rows),
        reviewers={name: _progress(rows, [line for line in standing if line.reviewer == name]) for name in names},
        decisions={name: sum(line.reviewer == name for line in standing) for name in names},
        kappas=measure_agreement(words),
        disagreements=_disagreements(session, rows, words, ledger),
        absent=tuple(sorted(ruling.mentioned() - present)),
    )


def measure_agreement(words: Mapping[str, Mapping[str, str]]) -> tuple[Kappa, ...]:
    """Return Cohen's kappa of each pair of reviewers and, where there are more than two, Fleiss' kappa of all.

    Cohen (1960) by scikit-learn, Fleiss (1971) by statsmodels; each over the images that all of them judged.
    """
    names = sorted(words)
    found = [_measure(pair, words) for pair in combinations(names, 2)]
    if len(names) > 2:
        found.append(_measure(tuple(names), words))
    return tuple(found)


def _measure(names: tuple[str, ...], words: Mapping[str, Mapping[str, str]]) -> Kappa:
    shared = sorted(set.intersection(*(set(words[name]) for name in names)))
    table = [[words[name][sha] for name in names] for sha in shared]
    agreed = sum(len(set(row)) == 1 for row in table) / len(table) if table else 0.0
    measure = "Cohen" if len(names) == 2 else "Fleiss"
    if len({word for row in table for word in row}) < 2:
        return Kappa(names, measure, len(shared), agreed, None)
    return Kappa(names, measure, len(shared), agreed, _cohen(table) if len(names) == 2 else _fleiss(table))


def _cohen(table: Sequence[Sequence[str]]) -> float:
    from sklearn.metrics import cohen_kappa_score

    one, two = zip(*table, strict=True)
    return float(cohen_kappa_score(one, two))


def _fleiss(table: Sequence[Sequence[str]]) -> float:
    import numpy as np
    from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

    known = {word: number for number, word in enumerate(sorted({word for row in table for word in row}))}
    counts, _ = aggregate_raters(np.array([[known[word] for word in row] for row in table]))
    return float(fleiss_kappa(counts, method="fleiss"))


def _progress(rows: pl.DataFrame, lines: Sequence[Decision]) -> dict[Queue, int]:
    judged = {sha for line in lines for sha in (line.sha256, line.other) if sha}
    mine = rows.filter(pl.col("sha256").is_in(sorted(judged)))
    return {queue: mine.filter(pl.col("queues").list.contains(queue))["sha256"].n_unique() for queue in QUEUES}


def _disagreements(
    session: ReviewSession, rows: pl.DataFrame, words: Mapping[str, Mapping[str, str]], ledger: tuple[Decision, ...]
) -> tuple[Disagreement, ...]:
    ruling = session.rules.rule(ledger)
    contradicted = sorted(find_disagreements(ledger))
    ids: dict[str, list[str]] = {}
    for sha, name in rows.filter(pl.col("sha256").is_in(contradicted)).select("sha256", "id").iter_rows():
        ids.setdefault(sha, []).append(name)
    found = []
    for sha in contradicted:
        fate, label = ruling.fate[sha].verdict, ruling.labels.get(sha)
        name = label.verdict if label else ""
        outcome = None if DISAGREE in {fate, name} else name if fate == "use" else fate
        latest = {reviewer: opinions[sha] for reviewer, opinions in words.items() if sha in opinions}
        found.append(Disagreement(sha, tuple(ids.get(sha, ())), latest, outcome))
    return tuple(sorted(found, key=lambda each: (each.outcome is not None, each.sha256)))
