"""What people decided is applied, before duplicates: a picture someone excluded must not stand for a cluster."""

from dataclasses import dataclass

import polars as pl

from curation.dataset.decisions import DISAGREE, Opinion, Ruling
from curation.dataset.manifest import Manifest
from curation.errors import CurationError

CONTEXT = "context:"
_UNREADABLE = ("ingest: ", "probe: ")


@dataclass(frozen=True)
class Decided:
    """The manifest after the decisions, and the sha256 of the decisions that found no file."""

    manifest: Manifest
    absent: tuple[str, ...]


def decide(manifest: Manifest, ruling: Ruling, *, classes: tuple[str, ...]) -> Decided:
    """Apply what is in force: exclusions, relabels (to every row of that sha256), keeps and preferences.

    ``keep`` protects a readable picture from the quality thresholds, ``relabel`` besides gives a label to one that
    had none. Neither can make an unreadable file readable. A disagreement under the recipe's policy excludes.

    Raises
    ------
    CurationError
        Where a relabel names what is no class of the recipe.
    """
    _refuse_unknown_labels(ruling, classes)
    mentioned = pl.Series(sorted(ruling.mentioned()), dtype=pl.String)
    present = set(mentioned.filter(mentioned.is_in(manifest.rows["sha256"].drop_nulls().implode())))
    shas = sorted(present)
    table = pl.DataFrame(
        [_effect(sha, ruling) for sha in shas],
        schema={"sha256": pl.String, "decision": pl.String, "_label": pl.String, "_out": pl.String},
        orient="row",
    )
    effects = manifest.rows.select("sha256").join(table, on="sha256", how="left", maintain_order="left")
    rows = manifest.rows.with_columns(effects.drop("sha256"))
    unreadable = pl.any_horizontal(pl.col("excluded").str.starts_with(start) for start in _UNREADABLE)
    context = pl.col("_label").str.starts_with(CONTEXT)
    relabelled = pl.when(pl.col("_label").is_not_null() & ~context).then(pl.col("_label"))
    rows = rows.with_columns(
        label=pl.when(context).then(None).otherwise(pl.coalesce(relabelled, pl.col("label"))),
        source_label=pl.when(context)
        .then(pl.col("_label").str.strip_prefix(CONTEXT))
        .otherwise(pl.col("source_label")),
        excluded=pl.when(unreadable.fill_null(value=False))
        .then(pl.col("excluded"))
        .when(pl.col("_out").is_not_null())
        .then(pl.col("_out"))
        .when(pl.col("_label").is_not_null())
        .then(None)
        .otherwise(pl.col("excluded")),
    ).drop("_label", "_out")
    absent = tuple(sorted(ruling.mentioned() - present))
    return Decided(Manifest(rows), absent)


def _effect(sha: str, ruling: Ruling) -> tuple[str, str, str | None, str | None]:
    fate, name = ruling.fate.get(sha), ruling.labels.get(sha)
    notes = [fate.verdict + _by(fate)] if fate and fate.verdict in {"exclude", "keep"} else []
    if name and name.verdict != DISAGREE:
        notes.append(f"relabel {name.verdict}" + _by(name))
    if sha in ruling.preferred:
        notes.append("prefer")
    if any(sha in pair for pair in ruling.apart):
        notes.append("not-duplicates")
    out = None
    for opinion in (fate, name):
        if opinion and opinion.verdict == DISAGREE:
            out = f"decide: reviewers disagree ({opinion.reason})"
            notes.append("disagreement" + _by(opinion))
    if fate and fate.verdict == "exclude":
        out = "decide: excluded" + _by(fate)
    label = name.verdict if name and name.verdict != DISAGREE else None
    return sha, "; ".join(notes), label, out


def _by(opinion: Opinion) -> str:
    """Return who decided and why; free text must not look like another decision, which starts after a semicolon."""
    who = ", ".join(opinion.reviewers)
    text = f" ({who}: {opinion.reason})" if opinion.reason else f" ({who})"
    return text.replace(";", ",")


def _refuse_unknown_labels(ruling: Ruling, classes: tuple[str, ...]) -> None:
    words = {opinion.verdict for opinion in ruling.labels.values()} - {DISAGREE}
    unknown = sorted(
        word for word in words if word not in classes and not (word.startswith(CONTEXT) and word != CONTEXT)
    )
    if unknown:
        raise CurationError(
            f"the ledger relabels to what is no class: {', '.join(map(repr, unknown))}",
            hint=f"classes: {', '.join(classes)}; or {CONTEXT}<source label> for a picture that is of none",
        )
