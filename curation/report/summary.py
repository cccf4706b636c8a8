"""What a person should know of a manifest: conflicts, leaks, unreadable files, disputed samples in use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from curation.dataset.manifest import (
    SPLITS,
    Manifest,
    ReasonCount,
    count_reasons,
    describe_excluded,
    has_reason,
    is_excluded_by,
    is_not_image,
    is_unreadable,
)
from curation.reasons import Reason


@dataclass(frozen=True)
class Conflict:
    """One picture (by its bytes) under several labels."""

    sha256: str
    claims: tuple[str, ...]
    splits: tuple[str, ...]
    """The source's own splits it stands in."""
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """One picture on two sides of the source's own split."""

    how: str
    """``same bytes``, ``look-alike`` or ``same group``."""
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    touches_classes: bool
    """False where only context classes are touched."""


@dataclass(frozen=True)
class Summary:
    """Everything the build tells; ids are sorted."""

    rows: int
    kept: int
    splits: dict[str, dict[str, int]]
    reasons: tuple[ReasonCount, ...]
    conflicts: tuple[Conflict, ...]
    disputed_lookalikes: tuple[str, ...]
    reserve: dict[str, tuple[str, ...]]
    leaks: tuple[Leak, ...]
    unreadable: tuple[tuple[str, str], ...]
    no_group: dict[str, int] = field(default_factory=dict)
    """Source -> pictures its group rule did not match: each is a group of its own."""
    ungrouped: tuple[str, ...] = ()
    """The sources among these of which the rule matched no picture at all."""
    unlabelled: dict[str, int] = field(default_factory=dict)
    """Source -> pictures that have no label (yet)."""
    system_files: dict[str, int] = field(default_factory=dict)
    """What operating systems left beside the pictures, by what it is, and how many files of it."""


def summarise(manifest: Manifest, *, classes: Sequence[str], grouped: Sequence[str] = ()) -> Summary:
    """Return the summary of a manifest; what a step that has not run would say is empty.

    Parameters
    ----------
    grouped : sequence of str
        Sources whose recipe has a group rule.
    """
    rows, kept = manifest.rows, manifest.kept
    conflicts = find_conflicts(rows)
    byte_equal = {name for conflict in conflicts for name in conflict.ids}
    disputed = rows.filter(pl.col("disputed"))["id"].to_list()
    reserve = kept.filter(pl.col("reserve")).select("label", "id")
    unreadable = rows.filter(is_unreadable())
    loners = rows.filter(
        pl.col("group_key").is_null() & pl.col("source").is_in(list(grouped)) & pl.col("width").is_not_null()
    )
    matched = rows.filter(pl.col("group_key").is_not_null() & pl.col("width").is_not_null())["source"].unique()
    return Summary(
        rows=len(manifest),
        kept=kept.height,
        splits=count_splits(kept, classes=classes),
        reasons=tuple(count_reasons(manifest.rejected)),
        conflicts=conflicts,
        disputed_lookalikes=tuple(name for name in disputed if name not in byte_equal),
        reserve={
            label: tuple(reserve.filter(pl.col("label") == label)["id"]) for label in reserve["label"].unique().sort()
        },
        leaks=find_leaks(rows),
        unreadable=tuple(zip(unreadable["id"], describe_excluded(unreadable), strict=True)),
        no_group=_by_source(loners),
        ungrouped=tuple(sorted(set(loners["source"]) - set(matched))),
        unlabelled=_by_source(rows.filter(is_excluded_by("label"))),
        system_files=_count_system_files(rows),
    )


def _by_source(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by("source").len().sort("source").rows())


def _count_system_files(rows: pl.DataFrame) -> dict[str, int]:
    left = rows.filter(has_reason(Reason.SYSTEM_FILE))
    return dict(left.group_by("detail").len().sort("detail").rows())


def count_splits(kept: pl.DataFrame, *, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return split -> class -> samples, in the order train, val, test; splits without samples are left out."""
    counts = {(split, label): n for split, label, n in kept.group_by("split", "label").len().iter_rows()}
    used = [split for split in SPLITS if any(part == split for part, _ in counts)]
    return {split: {label: counts.get((split, label), 0) for label in classes} for split in used}


def _claim() -> pl.Expr:
    context = pl.when(pl.col("source_label") != "").then(pl.lit("context:") + pl.col("source_label"))
    return pl.coalesce("label", context)


def find_conflicts(rows: pl.DataFrame) -> tuple[Conflict, ...]:
    """Return the pictures whose very bytes stand under several labels, sorted by sha256; an empty file is none."""
    pictures = rows.filter(pl.col("sha256").is_not_null() & ~is_not_image())
    shared = pictures.filter(pl.col("sha256").is_duplicated()).with_columns(claim=_claim())
    table = (
        shared.group_by("sha256")
        .agg(
            pl.col("claim").drop_nulls().unique().sort(),
            pl.col("source_split").drop_nulls().unique().sort(),
            pl.col("id").sort(),
        )
        .filter(pl.col("claim").list.len() > 1)
        .sort("sha256")
    )
    return tuple(
        Conflict(sha, tuple(claims), tuple(splits), tuple(ids)) for sha, claims, splits, ids in table.iter_rows()
    )


@dataclass(frozen=True)
class Settled:
    """One picture (by its bytes) that its source has under several labels, and that people gave one."""

    claims: tuple[str, ...]
    """The classes as the source has them."""
    label: str
    reviewers: str
    ids: tuple[str, ...]


def find_settled(rows: pl.DataFrame, class_of: Mapping[str, str]) -> tuple[Settled, ...]:
    """Return the conflicts of the sources that a relabel settled, sorted by their first id.

    A picture that was relabelled to a context class is not among them: the manifest holds the decision's word then.

    Parameters
    ----------
    class_of : mapping of str to str
        Source label -> class.
    """
    claim = pl.col("source_label").replace_strict(class_of, default=None, return_dtype=pl.String)
    relabel = pl.col("decision").list.filter(pl.element().struct.field("action") == "relabel").list.first()
    open_ones = {conflict.sha256 for conflict in find_conflicts(rows)}
    shared = rows.filter(pl.col("sha256").is_duplicated() & ~pl.col("sha256").is_in(list(open_ones)))
    groups = (
        shared.with_columns(
            claim=pl.coalesce(claim, pl.lit("context:") + pl.col("source_label")),
            named=relabel.struct.field("label"),
            by=relabel.struct.field("reviewers").list.join(", "),
        )
        .group_by("sha256")
        .agg(pl.col("claim").unique().sort(), pl.col("named", "by").drop_nulls().first(), pl.col("id").sort())
        .filter((pl.col("claim").list.len() > 1) & pl.col("named").is_not_null())
        .sort(pl.col("id").list.first())
    )
    told = groups.select("claim", "named", "by", "id").iter_rows()
    return tuple(Settled(tuple(claims), label, who, tuple(ids)) for claims, label, who, ids in told)


def find_leaks(rows: pl.DataFrame) -> tuple[Leak, ...]:
    """Return what the sources' own splits have on two sides, context classes included: each group of pictures once.

    A picture in the test of one source and in the train of another leaks as well. By bytes first, then look-alikes with
    other bytes, then what only the group rule says belongs together. A file that is no picture leaks nothing.
    """
    seen = ~is_not_image()
    sided = rows.filter(pl.col("source_split").is_not_null() & seen).with_columns(claim=_claim())
    groups = [
        *_spanning(sided, "sha256", "same bytes"),
        *_lookalikes(sided),
        *_spanning(sided, "group_key", "same group"),
    ]
    named = sorted({name for _, ids in groups for name in ids})
    told_of = sided.filter(pl.col("id").is_in(named)).select("id", "sha256", "claim", "label")
    facts = {name: rest for name, *rest in told_of.iter_rows()}
    found: list[Leak] = []
    told: dict[str, list[frozenset[str]]] = {}
    for how, ids in groups:
        shas, claims, labels = zip(*(facts[name] for name in ids), strict=True)
        pictures = frozenset(shas) - {None}
        # Whoever holds all of these pictures holds any one of them.
        if not pictures or any(pictures <= known for known in told.get(min(pictures), ())):
            continue
        for sha in pictures:
            told.setdefault(sha, []).append(pictures)
        touches = any(label is not None for label in labels)
        found.append(Leak(how, tuple(sorted(ids)), tuple(sorted(set(claims) - {None})), touches))
    return tuple(found)


def _spanning(sided: pl.DataFrame, column: str, how: str) -> list[tuple[str, list[str]]]:
    shared = sided.filter(pl.col(column).is_not_null()).group_by(column)
    table = shared.agg(pl.col("id").sort(), pl.col("source_split").n_unique()).filter(pl.col("source_split") > 1)
    return [(how, ids) for ids in table.sort(column)["id"].to_list()]


def _lookalikes(sided: pl.DataFrame) -> list[tuple[str, list[str]]]:
    if sided["lookalikes"].null_count() == sided.height:
        return []
    ends = sided.select(other="id", split2="source_split")
    edges = (
        sided.select("id", "source_split", "lookalikes")
        .explode("lookalikes", empty_as_null=True)
        .filter(pl.col("lookalikes").is_not_null())
        .with_columns(other=pl.col("lookalikes").struct.field("id"))
        .join(ends, on="other")
        .filter((pl.col("source_split") != pl.col("split2")) & (pl.col("id") < pl.col("other")))
        .sort("id", "other")
    )
    return [("look-alike", [one, other]) for one, other in edges.select("id", "other").iter_rows()]
