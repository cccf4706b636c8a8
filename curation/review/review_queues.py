"""The review table: the manifest with the decisions that were made since the build, and the queues of the review.

It does not depend on FiftyOne: ``review status`` counts it, and the plugin updates it after each decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from curation.dataset.decisions import CONTEXT, DISAGREE, Decision, Ruling, in_force, rule
from curation.dataset.manifest import (
    Manifest,
    comparable_decision,
    describe_decisions,
    describe_excluded,
    has_action,
    is_excluded_by,
    is_not_image,
    is_unreadable,
)
from curation.dataset.recipe import Recipe
from curation.stages.decide import decide

Queue = Literal[
    "conflicts", "near-duplicates", "reserve", "quality", "unlabelled", "doubtful", "disagreements", "everything"
]
QUEUES: Final[Mapping[Queue, str]] = {
    "conflicts": "images that have several labels, as the same bytes or as duplicates",
    "near-duplicates": "near duplicates, each group with the image that is kept first",
    "reserve": "disputed images that are used to reach the requested count",
    "quality": "unreadable files, and images below a quality threshold",
    "unlabelled": "images without a label, the most uncertain proposal first",
    "doubtful": "labels that the audit finds doubtful, the most doubtful first",
    "disagreements": "images on which reviewers disagree",
    "everything": "all files of the sources",
}
DECISION_COLUMNS: Final = ("label", "split", "excluded", "decision", "reviewers", "left")
"""The columns that a decision can change."""


@dataclass(frozen=True)
class DecisionRules:
    """The parts of a recipe that decide how decisions are applied.

    Parameters
    ----------
    classes : tuple of str
    class_of : mapping
        Source label -> class.
    agreement, adjudicator
        The policy of the recipe.
    """

    classes: tuple[str, ...]
    class_of: Mapping[str, str]
    agreement: Literal["newest", "majority", "adjudicator"]
    adjudicator: str | None

    @classmethod
    def of(cls, recipe: Recipe) -> "DecisionRules":
        """Return the rules of a recipe."""
        review = recipe.review
        return cls(recipe.classes, recipe.labels.class_of(), review.agreement, review.adjudicator)

    def rule(self, ledger: tuple[Decision, ...]) -> Ruling:
        """Apply the policy of the recipe to the ledger."""
        return rule(ledger, agreement=self.agreement, adjudicator=self.adjudicator)


def build_review_table(
    manifest: Manifest, ledger: tuple[Decision, ...], rules: DecisionRules, *, doubts: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """Return the review table, in the order of the manifest.

    Parameters
    ----------
    doubts : mapping of sha256 to float, optional
        How doubtful the label is according to the audit, 0 to 1.

    Returns
    -------
    polars.DataFrame
        The manifest's columns, with ``label`` (``context:<source label>`` where it is of no class) and ``excluded_by``,
        ``reason`` and ``detail`` under the current decisions. In addition: ``excluded`` and ``decision`` as text,
        ``cluster`` (of near duplicates, null for an image without any), ``rank`` (0 for the representative of its
        cluster), ``queues``, ``left`` (the queues in which it has no decision yet), ``reviewers`` and ``doubt``.
    """
    ruling = rules.rule(ledger)
    rows = _with_decisions(manifest, ruling, rules)
    rows = _with_clusters(rows)
    rows = _with_doubts(rows, doubts or {})
    rows = rows.join(_reviewers(ledger), on="sha256", how="left", maintain_order="left")
    contradicted = find_disagreements(ledger)
    rows = _with_opinions(rows, ledger, contradicted)
    queues = _queues(rows, contradicted)
    return rows.with_columns(queues=_listed(queues), left=_listed(_left(rows, queues, ruling)))


def _with_decisions(manifest: Manifest, ruling: Ruling, rules: DecisionRules) -> pl.DataFrame:
    """Apply the ruling to a manifest that was built under an older one."""
    built = manifest.rows
    relabelled, out = has_action("relabel"), ("excluded_by", "reason", "detail")
    original = pl.col("source_label").replace_strict(dict(rules.class_of), default=None, return_dtype=pl.String)
    bare = built.with_columns(
        label=pl.when(relabelled).then(original).otherwise("label"),
        **{name: pl.when(~is_excluded_by("decide")).then(name) for name in out},
    )
    now = decide(manifest.with_rows(bare), ruling, classes=rules.classes).manifest.rows
    # Only rows with decisions since the build change; all others stay as they were built.
    decisions = (table.select(comparable_decision()).to_series() for table in (now, built))
    pending = next(decisions).ne_missing(next(decisions))
    freed = now.select(has_action("keep") & is_excluded_by("quality")).to_series()
    context = pl.when(pl.col("source_label") != "").then(pl.lit(CONTEXT) + pl.col("source_label"))
    rows = built.with_columns(
        decision=now["decision"],
        label=pl.when(pending).then(now["label"]).otherwise("label"),
        source_label=pl.when(pending).then(now["source_label"]).otherwise("source_label"),
        **{name: pl.when(pending & freed).then(None).when(pending).then(now[name]).otherwise(name) for name in out},
    )
    return rows.with_columns(
        describe_decisions(rows),
        describe_excluded(rows),
        label=pl.coalesce("label", context),
        split=pl.when(pl.col("excluded_by").is_null()).then("split"),
    )


def _with_clusters(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the clusters of near duplicates and their representatives; exact copies alone form no cluster."""
    sizes = (
        rows.filter(pl.col("representative").is_not_null())
        .group_by("representative")
        .agg(files=pl.col("sha256").n_unique())
        .filter(pl.col("files") > 1)
    )
    known = rows["representative"].is_in(sizes["representative"].implode()).fill_null(value=False)
    return rows.with_columns(
        cluster=pl.when(known).then("representative"),
        rank=(pl.col("id") != pl.col("representative")).fill_null(value=False).cast(pl.Int32),
    )


def _with_doubts(rows: pl.DataFrame, doubts: Mapping[str, float]) -> pl.DataFrame:
    table = pl.DataFrame(
        {"sha256": list(doubts), "doubt": list(doubts.values())}, schema={"sha256": pl.String, "doubt": pl.Float64}
    )
    return rows.join(table, on="sha256", how="left", maintain_order="left")


def _reviewers(ledger: tuple[Decision, ...]) -> pl.DataFrame:
    names: dict[str, set[str]] = {}
    for decision in ledger:
        for sha in filter(None, (decision.sha256, decision.other)):
            names.setdefault(sha, set()).add(decision.reviewer)
    return pl.DataFrame(
        {"sha256": list(names), "reviewers": [sorted(found) for found in names.values()]},
        schema={"sha256": pl.String, "reviewers": pl.List(pl.String)},
    )


def _with_opinions(rows: pl.DataFrame, ledger: tuple[Decision, ...], contradicted: frozenset[str]) -> pl.DataFrame:
    """Add the latest opinion of every reviewer to decisions on which they disagree."""
    opinions = last_opinions(ledger)
    texts = {
        sha: ", ".join(f"{name}: {found[sha]}" for name, found in opinions.items() if sha in found)
        for sha in contradicted
    }
    table = pl.DataFrame(
        {"sha256": list(texts), "_opinions": list(texts.values())}, schema={"sha256": pl.String, "_opinions": pl.String}
    )
    joined = rows.join(table, on="sha256", how="left", maintain_order="left")
    decision = pl.concat_str("_opinions", "decision", separator="; ", ignore_nulls=True)
    return joined.with_columns(
        decision=pl.when(pl.col("_opinions").is_null()).then("decision").otherwise(decision)
    ).drop("_opinions")


def _queues(rows: pl.DataFrame, contradicted: frozenset[str]) -> dict[Queue, pl.Series]:
    """Return, for each queue, the rows that belong to it, decided or not."""
    claimed = rows["claims"].list.len().fill_null(0) > 1
    built_unlabelled = rows["source_label"].is_null() | (rows["source_label"] == "")
    readable = rows["format"].is_not_null() & ~rows.select(is_not_image()).to_series()
    return {
        "conflicts": claimed & readable,
        "near-duplicates": rows["cluster"].is_not_null(),
        "reserve": rows["reserve"].fill_null(value=False),
        "quality": rows.select(is_excluded_by("quality") | is_unreadable()).to_series(),
        "unlabelled": built_unlabelled & readable,
        "doubtful": rows["doubt"].is_not_null(),
        "disagreements": rows["sha256"].is_in(sorted(contradicted)).fill_null(value=False),
        "everything": pl.Series([True] * rows.height, dtype=pl.Boolean),
    }


def _left(rows: pl.DataFrame, queues: Mapping[Queue, pl.Series], ruling: Ruling) -> dict[Queue, pl.Series]:
    """Return, for each queue, the rows that have no decision yet."""
    settled = {sha for sha, opinion in ruling.fate.items() if opinion.verdict != DISAGREE}
    settled -= {sha for sha, opinion in ruling.labels.items() if opinion.verdict == DISAGREE}
    labelled = {sha for sha in settled if sha in ruling.labels or ruling.fate[sha].verdict == "exclude"}
    apart = {sha for pair in ruling.apart for sha in pair}
    judged = settled | apart | set(ruling.preferred)
    preferred = rows.filter(pl.col("sha256").is_in(sorted(ruling.preferred)))["cluster"].drop_nulls().unique()
    in_cluster = rows["cluster"].is_in(preferred.implode()).fill_null(value=False)

    def waits(done: set[str]) -> pl.Series:
        return ~rows["sha256"].is_in(sorted(done)).fill_null(value=False)

    waiting = waits(settled)
    left = {queue: member & waiting for queue, member in queues.items()}
    left["near-duplicates"] = queues["near-duplicates"] & waits(judged) & ~in_cluster
    left["unlabelled"] = queues["unlabelled"] & waits(labelled)
    left["everything"] = queues["everything"] & waits(judged)
    return left


def _listed(flags: Mapping[Queue, pl.Series]) -> pl.Series:
    table = pl.DataFrame(dict(flags))
    parts = [pl.when(pl.col(queue)).then(pl.lit(queue)) for queue in flags]
    return table.select(pl.concat_list(parts).list.drop_nulls()).to_series()


def find_disagreements(ledger: tuple[Decision, ...]) -> frozenset[str]:
    """Return the images on which the reviewers' latest opinions differ, under any policy."""
    # Without an adjudicator, this policy agrees only where all reviewers do.
    strict = rule(ledger, agreement="adjudicator", adjudicator=None)
    opinions = (*strict.fate.items(), *strict.labels.items())
    return frozenset(sha for sha, opinion in opinions if opinion.verdict == DISAGREE)


def last_opinions(ledger: Sequence[Decision]) -> dict[str, dict[str, str]]:
    """Return reviewer -> sha256 -> latest opinion in force: ``exclude``, ``keep`` or the label."""
    words: dict[str, dict[str, str]] = {}
    for line in in_force(ledger):
        if line.action in {"exclude", "keep", "relabel"}:
            words.setdefault(line.reviewer, {})[line.sha256] = line.label or line.action
    return dict(sorted(words.items()))


def count_queues(rows: pl.DataFrame) -> dict[Queue, tuple[int, int]]:
    """Return, for each queue, (number of images, number left); rows with the same bytes count as one image."""
    key = pl.coalesce("sha256", "id")

    def count(column: str, queue: Queue) -> int:
        return int(rows.filter(pl.col(column).list.contains(queue)).select(key.n_unique()).item())

    return {queue: (count("queues", queue), count("left", queue)) for queue in QUEUES}
