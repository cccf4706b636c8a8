"""Checks the contracts that a version's table keeps, from the table alone."""

from collections.abc import Iterator, Sequence

import polars as pl

from curation.dataset.columns import STEPS
from curation.dataset.manifest import SPLITS, Manifest, has_reason
from curation.reasons import Reason
from curation.versions.describe import name_images
from curation.versions.problems import Problem, ProblemCode

DUPLICATES = (Reason.EXACT_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.SAME_PIXELS)


def check_contracts(manifest: Manifest, *, classes: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the rows, the groups, the disputes and the duplicates of a rendered manifest."""
    yield from _check_kept(manifest.kept, classes)
    yield from _check_excluded(manifest)
    yield from _check_sides(manifest.kept)
    yield from _check_groups(manifest.rows)
    yield from _check_disputes(manifest.kept)
    yield from _check_representatives(manifest.rows)


def check_radius(manifest: Manifest, *, radius: int, correlation: float) -> Iterator[Problem]:
    """Yield the near duplicates that are further from their representative than the recipe allows."""
    near = manifest.rejected.filter(has_reason(Reason.NEAR_DUPLICATE))
    # The column is float32: a threshold like 0.98 lies between two of its values.
    far = near.filter((pl.col("distance") > radius) | (pl.col("correlation") < correlation - 1e-6))
    for row, other, bits, found in far.select("id", "representative", "distance", "correlation").rows():
        yield _broken(
            ProblemCode.DUPLICATE_TOO_FAR,
            f"{row} is excluded as near duplicate of {other} at {bits} bits and correlation {found:.3f}; "
            f"the recipe allows {radius} and {correlation:g}",
            row,
            other,
        )


def _check_kept(kept: pl.DataFrame, classes: Sequence[str]) -> Iterator[Problem]:
    """Check that every kept row is a complete sample, and that its file has the right name."""
    for column in ("label", "split", "group", "sha256", "file", "file_sha256"):
        for row in kept.filter(pl.col(column).is_null())["id"]:
            yield _broken(ProblemCode.ROW_INCOMPLETE, f"{row} is kept without a {column}", row)
    for row, label in kept.filter(~pl.col("label").is_in(list(classes))).select("id", "label").rows():
        yield _broken(ProblemCode.LABEL_UNKNOWN, f"{row} is kept as {label!r}, which is not a class", row)
    for row, split in kept.filter(~pl.col("split").is_in(SPLITS)).select("id", "split").rows():
        yield _broken(ProblemCode.SPLIT_UNKNOWN, f"{row} is kept in {split!r}, which is not a split", row)
    named = kept.drop_nulls(["split", "label", "sha256"])
    wrong = named.with_columns(right=name_images(named)).filter(pl.col("file") != pl.col("right"))
    for row, file, right in wrong.select("id", "file", "right").rows():
        yield _broken(
            ProblemCode.NAME_DIFFERS, f"{row} is published as {file}; its split, label and sha256 require {right}", row
        )
    page = pl.col("page").fill_null(1)
    twice = kept.group_by("sha256", page).agg(pl.col("id").sort()).filter(pl.col("id").list.len() > 1)
    for sha256, number, ids in twice.sort("sha256", "page").rows():
        yield _broken(
            ProblemCode.KEPT_TWICE,
            f"page {number} of sha256 {str(sha256)[:12]} is kept {len(ids)} times: {', '.join(ids)}",
            *ids,
        )


def _check_excluded(manifest: Manifest) -> Iterator[Problem]:
    known = frozenset(Reason)
    for row, step, reason, file in manifest.rejected.select("id", "excluded_by", "reason", "file").rows():
        if step not in STEPS or reason not in known:
            yield _broken(
                ProblemCode.REASON_UNKNOWN,
                f"{row} is excluded without a known step and reason ({step!r}, {reason!r})",
                row,
            )
        if file is not None:
            yield _broken(ProblemCode.EXCLUDED_AND_PUBLISHED, f"{row} is excluded and is published as {file}", row)


def _check_sides(kept: pl.DataFrame) -> Iterator[Problem]:
    sides = kept.group_by("group").agg(pl.col("split").drop_nulls().unique().sort())
    for group, splits in sides.filter(pl.col("split").list.len() > 1).sort("group").rows():
        yield _broken(ProblemCode.GROUP_STRADDLES, f"group {str(group)[:12]} straddles {' and '.join(splits)}", group)


def _check_groups(rows: pl.DataFrame) -> Iterator[Problem]:
    """Check that duplicates, and what the group rule joins, are in one group: otherwise they could leak.

    A row without a group is in no split: an unreadable file, or one that a restored version did not contain.
    """
    keyed = rows.drop_nulls(["group_key", "group"]).group_by("group_key").agg(pl.col("group").n_unique())
    for key, count in keyed.filter(pl.col("group") > 1).sort("group_key").rows():
        yield _broken(ProblemCode.GROUP_DIVIDED, f"group key {key!r} is spread over {count} groups", key)
    pairs = rows.select("id", "group", other=pl.col("lookalikes").list.eval(pl.element().struct.field("id")))
    pairs = pairs.explode("other").drop_nulls("other").filter(pl.col("id") < pl.col("other"))
    pairs = pairs.join(rows.select(other="id", theirs="group"), on="other", how="left", maintain_order="left")
    split_up = pairs.filter(pl.col("group") != pl.col("theirs")).select("id", "other").sort("id", "other")
    for row, other in split_up.rows():
        yield _broken(
            ProblemCode.GROUP_DIVIDED, f"{row} and {other} are duplicates but are in different groups", row, other
        )


def _check_disputes(kept: pl.DataFrame) -> Iterator[Problem]:
    disputed, reserve = pl.col("disputed").fill_null(value=False), pl.col("reserve").fill_null(value=False)
    marked = kept.filter(disputed | reserve).select("id", "split", disputed, reserve)
    for row, split, doubtful, used in marked.rows():
        if not used:
            yield _broken(ProblemCode.DISPUTE_IN_USE, f"{row} is disputed and kept, but not as reserve", row)
        elif not doubtful:
            yield _broken(ProblemCode.RESERVE_UNDISPUTED, f"{row} is reserve without a dispute", row)
        if split != "train":
            yield _broken(
                ProblemCode.RESERVE_HELD_OUT, f"{row} is reserve in {split}; disputed images may be in train only", row
            )


def _check_representatives(rows: pl.DataFrame) -> Iterator[Problem]:
    """Check that every excluded duplicate has a representative that is not a duplicate itself."""
    theirs = rows.select(representative="id", is_duplicate=has_reason(*DUPLICATES))
    joined = rows.join(theirs, on="representative", how="left", maintain_order="left")
    for row, other in (
        joined.filter(pl.col("representative").is_not_null() & pl.col("is_duplicate").is_null())
        .select("id", "representative")
        .rows()
    ):
        yield _broken(
            ProblemCode.REPRESENTATIVE_INVALID, f"{row} is represented by {other}, which is not a row", row, other
        )
    duplicates = joined.filter(has_reason(*DUPLICATES))
    for row in duplicates.filter(pl.col("representative").is_null())["id"]:
        yield _broken(
            ProblemCode.REPRESENTATIVE_INVALID, f"{row} is excluded as a duplicate without a representative", row
        )
    chained = duplicates.filter("is_duplicate")
    for row, other in chained.select("id", "representative").rows():
        yield _broken(
            ProblemCode.REPRESENTATIVE_INVALID,
            f"{row} is represented by {other}, which is a duplicate itself",
            row,
            other,
        )


def _broken(code: ProblemCode, text: str, *ids: str) -> Problem:
    return Problem(code, "manifest.parquet", f"manifest: {text}", ids)
