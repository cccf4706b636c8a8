"""Maps source labels to classes; other labels stay in the table as context, so that a conflict is seen."""

import polars as pl

from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Labels
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason


def label(manifest: Manifest, labels: Labels) -> Manifest:
    """Fill ``label`` by the recipe's map.

    A context row has a null label and is kept here. An image without a source label is excluded as
    ``unlabelled`` (the source has no labels yet) or ``no-label`` (none was found) until a reviewer decides.

    Raises
    ------
    CurationError
        Where readable images have a source label that is neither of a class nor context; all are listed.
    """
    classes = labels.class_of()
    _check_labels(manifest, labels, classes)
    found = manifest.rows["source_label"].replace_strict(classes, default=None, return_dtype=pl.String)
    reasons = manifest.rows.select(
        pl.when(pl.col("source_label").is_null())
        .then(pl.lit(Reason.NO_LABEL.value))
        .when(pl.col("source_label") == "")
        .then(pl.lit(Reason.UNLABELLED.value))
    ).to_series()
    return manifest.with_columns(label=found).exclude("label", reasons)


def _check_labels(manifest: Manifest, labels: Labels, classes: dict[str, str]) -> None:
    if labels.context == "*":
        return
    known = {*classes, *labels.context, ""}
    unknown = (
        manifest.kept.filter(pl.col("source_label").is_not_null() & ~pl.col("source_label").is_in(sorted(known)))
        .group_by("source", "source_label")
        .len()
        .sort("source", "source_label")
    )
    if unknown.height:
        lines = "\n".join(f"  {source}: {name!r} ({count} files)" for source, name, count in unknown.rows())
        raise CurationError(
            ErrorCode.LABEL_UNKNOWN,
            f"labels that the recipe does not define:\n{lines}",
            hint='Put each under labels.classes or into labels.context (context = "*" takes all).',
        )
