"""Checks the contracts that a version's table keeps, from the table alone; each broken one is a sentence."""

from collections.abc import Iterator, Sequence

import polars as pl

from curation.dataset.columns import STEPS
from curation.dataset.manifest import SPLITS, Manifest, has_reason
from curation.reasons import Reason
from curation.versions.describe import name_pictures

DUPLICATES = (Reason.EXACT_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.SAME_PIXELS)


def check_contracts(manifest: Manifest, *, classes: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the rows, the groups, the disputes and the duplicates of a rendered manifest."""
    yield from _check_kept(manifest.kept, classes)
    yield from _check_excluded(manifest)
    yield from _check_sides(manifest.kept)
    yield from _check_groups(manifest.rows)
    yield from _check_disputes(manifest.kept)
    yield from _check_representatives(manifest.rows)


def check_radius(manifest: Manifest, *, radius: int, correlation: float) -> Iterator[str]:
    """Yield the near duplicates that are further from their representative than the recipe allows."""
    near = manifest.rejected.filter(has_reason(Reason.NEAR_DUPLICATE))
    # The column is float32: a threshold like 0.98 lies between two of its values.
    far = near.filter((pl.col("distance") > radius) | (pl.col("correlation") < correlation - 1e-6))
    for row, other, bits, found in far.select("id", "representative", "distance", "correlation").rows():
        yield (
            f"manifest: {row} is excluded as near duplicate of {other} at {bits} bits and correlation {found:.3f}, "
            f"the recipe allows {radius} and {correlation:g}"
        )


def _check_kept(kept: pl.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    """Check that every kept row is a whole sample, and its picture has the name it should."""
    for column in ("label", "split", "group", "sha256", "file", "file_sha256"):
        for row in kept.filter(pl.col(column).is_null())["id"]:
            yield f"manifest: {row} is kept without a {column}"
    for row, label in kept.filter(~pl.col("label").is_in(list(classes))).select("id", "label").rows():
        yield f"manifest: {row} is kept as {label!r}, which is no class"
    for row, split in kept.filter(~pl.col("split").is_in(SPLITS)).select("id", "split").rows():
        yield f"manifest: {row} is kept in {split!r}, which is no split"
    named = kept.drop_nulls(["split", "label", "sha256"])
    wrong = named.with_columns(right=name_pictures(named)).filter(pl.col("file") != pl.col("right"))
    for row, file, right in wrong.select("id", "file", "right").rows():
        yield f"manifest: {row} is published as {file}, its split, label and sha256 say {right}"
    page = pl.col("page").fill_null(1)
    twice = kept.group_by("sha256", page).agg(pl.col("id").sort()).filter(pl.col("id").list.len() > 1)
    for sha256, number, ids in twice.sort("sha256", "page").rows():
        yield f"manifest: sha256 {str(sha256)[:12]}, page {number}, is kept {len(ids)} times: {', '.join(ids)}"


def _check_excluded(manifest: Manifest) -> Iterator[str]:
    known = frozenset(Reason)
    for row, step, reason, file in manifest.rejected.select("id", "excluded_by", "reason", "file").rows():
        if step not in STEPS or reason not in known:
            yield f"manifest: {row} is excluded without a known step and reason ({step!r}, {reason!r})"
        if file is not None:
            yield f"manifest: {row} is excluded and yet published as {file}"


def _check_sides(kept: pl.DataFrame) -> Iterator[str]:
    sides = kept.group_by("group").agg(pl.col("split").drop_nulls().unique().sort())
    for group, splits in sides.filter(pl.col("split").list.len() > 1).sort("group").rows():
        yield f"manifest: group {str(group)[:12]} straddles {' and '.join(splits)}"


def _check_groups(rows: pl.DataFrame) -> Iterator[str]:
    """Check that what looks alike, and what the group rule joins, carries one group: else it could leak.

    A row without a group is of no side: an unreadable one, or one that a version made again did not know.
    """
    keyed = rows.drop_nulls(["group_key", "group"]).group_by("group_key").agg(pl.col("group").n_unique())
    for key, count in keyed.filter(pl.col("group") > 1).sort("group_key").rows():
        yield f"manifest: group key {key!r} is spread over {count} groups"
    pairs = rows.select("id", "group", other=pl.col("lookalikes").list.eval(pl.element().struct.field("id")))
    pairs = pairs.explode("other").drop_nulls("other").filter(pl.col("id") < pl.col("other"))
    pairs = pairs.join(rows.select(other="id", theirs="group"), on="other", how="left", maintain_order="left")
    split_up = pairs.filter(pl.col("group") != pl.col("theirs")).select("id", "other").sort("id", "other")
    for row, other in split_up.rows():
        yield f"manifest: {row} and {other} look alike but are in different groups"


def _check_disputes(kept: pl.DataFrame) -> Iterator[str]:
    disputed, reserve = pl.col("disputed").fill_null(value=False), pl.col("reserve").fill_null(value=False)
    marked = kept.filter(disputed | reserve).select("id", "split", disputed, reserve)
    for row, split, doubtful, used in marked.rows():
        if not used:
            yield f"manifest: {row} is disputed and kept, but not as reserve"
        elif not doubtful:
            yield f"manifest: {row} is reserve without a dispute"
        if split != "train":
            yield f"manifest: {row} is reserve in {split}; disputed pictures may be in train only"


def _check_representatives(rows: pl.DataFrame) -> Iterator[str]:
    """Check that whoever is excluded as a duplicate has a representative that is not itself one."""
    theirs = rows.select(representative="id", is_duplicate=has_reason(*DUPLICATES))
    joined = rows.join(theirs, on="representative", how="left", maintain_order="left")
    for row, other in (
        joined.filter(pl.col("representative").is_not_null() & pl.col("is_duplicate").is_null())
        .select("id", "representative")
        .rows()
    ):
        yield f"manifest: {row} is represented by {other}, which is no row"
    duplicates = joined.filter(has_reason(*DUPLICATES))
    for row in duplicates.filter(pl.col("representative").is_null())["id"]:
        yield f"manifest: {row} is excluded as a duplicate of nothing"
    chained = duplicates.filter("is_duplicate")
    for row, other in chained.select("id", "representative").rows():
        yield f"manifest: {row} is represented by {other}, which is a duplicate itself"
