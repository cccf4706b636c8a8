"""Restores a published split from its text in git: the same images, with any recipe of today."""

import polars as pl

from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason

NAMED = 5
"""Lost images that an error names."""


def restore_split(manifest: Manifest, chosen: pl.DataFrame, *, reference: str) -> Manifest:
    """Choose exactly what a version published, by sha256 and page.

    Parameters
    ----------
    manifest : Manifest
        After dedup. A chosen image is kept whatever excludes it today; the others keep their reason, or get
        ``not-in-version``.
    chosen : polars.DataFrame
        ``sha256``, ``page``, ``label``, ``split``, ``group`` of every sample of the version, and its ``fold`` if any.

    Raises
    ------
    CurationError
        Where the sources no longer contain some of the images.
    """
    fold = pl.col("fold") if "fold" in chosen.columns else pl.lit(None, pl.UInt32)
    wanted = chosen.select("sha256", "page", _label="label", _split="split", _group="group", _fold=fold)
    rows = manifest.rows.with_columns(_page=pl.col("page").fill_null(1))
    joined = rows.join(
        wanted, left_on=["sha256", "_page"], right_on=["sha256", "page"], how="left", maintain_order="left"
    )
    # Of several rows of the same bytes one stands for the sample: one that is kept, then the smallest id.
    first = joined.filter(pl.col("_split").is_not_null() & pl.col("width").is_not_null())
    first = first.sort(pl.col("excluded_by").is_not_null(), "id").unique(["sha256", "_page"], keep="first")
    if first.height < chosen.height:
        lost = wanted.join(first, left_on=["sha256", "page"], right_on=["sha256", "_page"], how="anti").sort(
            "_split", "_label", "sha256"
        )
        names = [f"{split}/{label}/{sha[:12]}" for sha, _, label, split, *_ in lost.head(NAMED).iter_rows()]
        more = [f"and {lost.height - NAMED} more"] if lost.height > NAMED else []
        raise CurationError(
            ErrorCode.ORIGINALS_MISSING,
            f"{reference}: the sources no longer contain {chosen.height - first.height} of its {chosen.height} images: "
            f"{', '.join([*names, *more])}",
            hint="Restore the files with these sha256, under any name. For a download, lock.json in git names the "
            "version that this was built from.",
        )
    taken = pl.col("id").is_in(first["id"].implode())
    marked = joined.with_columns(
        label=pl.when(taken).then("_label").otherwise("label"),
        group=pl.when(taken).then("_group"),  # groups have grown since: the others belong to none of this version
        split=pl.when(taken).then("_split"),
        fold=pl.when(taken).then("_fold"),
        excluded_by=pl.when(~taken).then("excluded_by"),
        reason=pl.when(~taken).then("reason"),
        detail=pl.when(~taken).then("detail"),
    ).with_columns(
        disputed=pl.when(taken).then(pl.col("disputed") & (pl.col("_split") == "train")).otherwise("disputed")
    )
    marked = marked.with_columns(
        reserve=pl.when(taken).then("disputed"),
        claims=pl.when(taken & ~pl.col("disputed")).then(None).otherwise("claims"),
        representative=pl.when(taken & (pl.col("representative") != pl.col("id")))
        .then(None)
        .otherwise("representative"),
    )
    marked = _drop_contradictions(marked, taken)
    others = marked.select(pl.when(~taken).then(pl.lit(Reason.NOT_IN_VERSION.value))).to_series()
    details = pl.repeat(reference, marked.height, dtype=pl.String, eager=True)
    return manifest.with_rows(marked.drop("_page", "_label", "_split", "_group", "_fold")).exclude(
        "select", others, details
    )


def _drop_contradictions(rows: pl.DataFrame, taken: pl.Expr) -> pl.DataFrame:
    """Drop what today's rules state of the taken images where it contradicts the groups of the version.

    A wider radius or a coarser group rule joins images that the version kept apart.
    """
    ours = rows.filter(taken).select("id", "group", "group_key", "lookalikes")
    keys = ours.drop_nulls("group_key").group_by("group_key").agg(pl.col("group").n_unique())
    edges = ours.select("group", other=pl.col("lookalikes").list.eval(pl.element().struct.field("id")))
    edges = edges.explode("other", empty_as_null=True).join(ours.select(other="id", theirs="group"), on="other")
    contradicted = (keys["group"] > 1).any() or (edges["group"] != edges["theirs"]).any()
    if not contradicted:
        return rows
    return rows.with_columns(
        pl.when(taken).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("group_key", "lookalikes", "distance", "correlation", "representative")
    )
