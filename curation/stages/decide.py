"""Applies the decisions of the ledger, before duplicates: an excluded image must not represent a cluster."""

from dataclasses import dataclass

import polars as pl

from curation.dataset.columns import SCHEMA, InForce
from curation.dataset.decisions import CONTEXT, DISAGREE, Opinion, Ruling, describe_opinion
from curation.dataset.manifest import Manifest, is_not_image
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason


@dataclass(frozen=True)
class Decided:
    """The manifest after the decisions, and the sha256 of the decisions that found no file."""

    manifest: Manifest
    absent: tuple[str, ...]


def decide(manifest: Manifest, ruling: Ruling, *, classes: tuple[str, ...]) -> Decided:
    """Apply what is in force: exclusions, relabels (to every row of that sha256), keeps and preferences.

    ``keep`` protects a readable image from the quality thresholds; ``relabel`` does, too, and gives a label to an image
    without one. Neither makes an unreadable file readable. A disagreement under the recipe's policy excludes.

    Raises
    ------
    CurationError
        Where a relabel names a class that the recipe does not define.
    """
    _check_labels(ruling, classes)
    mentioned = pl.Series(sorted(ruling.mentioned()), dtype=pl.String)
    present = set(mentioned.filter(mentioned.is_in(manifest.rows["sha256"].drop_nulls().implode())))
    shas = sorted(present)
    table = pl.DataFrame(
        [_effect(sha, ruling) for sha in shas],
        schema={
            "sha256": pl.String,
            "decision": SCHEMA["decision"],
            "_label": pl.String,
            "_reason": pl.String,
            "_detail": pl.String,
        },
        orient="row",
    )
    effects = manifest.rows.select("sha256").join(table, on="sha256", how="left", maintain_order="left")
    rows = manifest.rows.with_columns(effects.drop("sha256"))
    context = pl.col("_label").str.starts_with(CONTEXT)
    relabelled = pl.when(pl.col("_label").is_not_null() & ~context).then(pl.col("_label"))
    rows = rows.with_columns(
        label=pl.when(context).then(None).otherwise(pl.coalesce(relabelled, pl.col("label"))),
        source_label=pl.when(context)
        .then(pl.col("_label").str.strip_prefix(CONTEXT))
        .otherwise(pl.col("source_label")),
        **{
            name: pl.when(is_not_image())
            .then(name)
            .when(pl.col("_reason").is_not_null())
            .then(value)
            .when(pl.col("_label").is_not_null())
            .then(None)
            .otherwise(name)
            for name, value in (("excluded_by", pl.lit("decide")), ("reason", "_reason"), ("detail", "_detail"))
        },
    ).drop("_label", "_reason", "_detail")
    absent = tuple(sorted(ruling.mentioned() - present))
    return Decided(manifest.with_rows(rows), absent)


def _effect(sha: str, ruling: Ruling) -> tuple[str, list[dict[str, object]], str | None, str | None, str | None]:
    """Return the sha256, the actions in force, the new label, and reason and detail of an exclusion."""
    fate, name = ruling.fate.get(sha), ruling.labels.get(sha)
    kinds: dict[str, InForce] = {"exclude": "exclude", "keep": "keep"}
    actions = [_act(kinds[fate.verdict], fate)] if fate and fate.verdict in kinds else []
    if name and name.verdict != DISAGREE:
        actions.append(_act("relabel", name, label=name.verdict))
    if sha in ruling.preferred:
        actions.append(_act("prefer"))
    if any(sha in pair for pair in ruling.apart):
        actions.append(_act("not-duplicates"))
    reason = detail = None
    for opinion in (fate, name):
        if opinion and opinion.verdict == DISAGREE:
            reason, detail = Reason.REVIEWERS_DISAGREE.value, opinion.reason
            actions.append(_act("disagree", opinion))
    if fate and fate.verdict == "exclude":
        reason, detail = Reason.EXCLUDED_BY_REVIEWER.value, describe_opinion(fate.reviewers, fate.reason)
    label = name.verdict if name and name.verdict != DISAGREE else None
    return sha, actions, label, reason, detail


def _act(action: InForce, opinion: Opinion | None = None, *, label: str | None = None) -> dict[str, object]:
    reviewers = list(opinion.reviewers) if opinion else []
    reason = opinion.reason or None if opinion else None
    return {"action": action, "label": label, "reviewers": reviewers, "reason": reason}


def _check_labels(ruling: Ruling, classes: tuple[str, ...]) -> None:
    words = {opinion.verdict for opinion in ruling.labels.values()} - {DISAGREE}
    unknown = sorted(
        word for word in words if word not in classes and not (word.startswith(CONTEXT) and word != CONTEXT)
    )
    if unknown:
        raise CurationError(
            ErrorCode.LABEL_UNKNOWN,
            f"decisions.jsonl uses a class that the recipe does not define: {', '.join(map(repr, unknown))}",
            hint=f"Classes: {', '.join(classes)}; or {CONTEXT}<source label> for an image of none of them.",
        )
