"""Summarizes a manifest: conflicts, leaks, unreadable files, disputed samples in use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from curation.dataset.borderline import Borderline
from curation.dataset.manifest import (
    Manifest,
    ReasonCount,
    count_reasons,
    describe_excluded,
    has_reason,
    is_excluded_by,
    is_not_image,
    is_unreadable,
)
from curation.dataset.recipe import Split
from curation.dataset.split_counts import count_splits
from curation.reasons import Reason
from curation.versions.identity import Renewal, Renewed, Unclear

CONTEXT: Final = "context:"
"""Begins the claim of a context class; its source label follows."""


@dataclass(frozen=True)
class Conflict:
    """One image (by its bytes) under several labels."""

    sha256: str
    claims: tuple[str, ...]
    splits: tuple[str, ...]
    """The source's own splits that contain it."""
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """One image, or group, on two sides of the source's own split."""

    how: Literal["same bytes", "near duplicate", "same group"]
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    touches_classes: bool
    """False where only context classes are touched."""


@dataclass(frozen=True)
class MissedRatio:
    """A split whose share of a class, or of all images, differs from the recipe's ratio by a point and an image."""

    label: str | None
    """The class; None for all images."""
    split: str
    wanted: float
    share: float


@dataclass(frozen=True)
class Summary:
    """What a build reports; ids are sorted."""

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
    """Source -> images that its group rule did not match: each is a group of its own."""
    ungrouped: tuple[str, ...] = ()
    """The sources among these whose rule matched no image."""
    unlabelled: dict[str, int] = field(default_factory=dict)
    """Source -> images without a label (yet)."""
    system_files: dict[str, int] = field(default_factory=dict)
    """Kind of file left by an operating system -> number of files."""
    vanished: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Source -> ids of the last version's images that it no longer contains."""
    renewed: tuple[Renewed, ...] = ()
    """Images of the last version whose files have new bytes."""
    unclear: tuple[Unclear, ...] = ()
    """Images of the last version whose files are gone and that several new files could be."""
    missed_ratios: tuple[MissedRatio, ...] = ()
    """With ratios: what came out otherwise by more than a point, because groups are whole."""
    borderline: Borderline = field(default_factory=Borderline)
    """The pairs of images that are nearly the same."""


def summarize(
    manifest: Manifest,
    *,
    classes: Sequence[str],
    grouped: Sequence[str] = (),
    ratios: Mapping[Split, float] | None = None,
    borderline: Borderline | None = None,
    renewal: Renewal | None = None,
) -> Summary:
    """Return the summary of a manifest; the fields of steps that have not run are empty.

    Parameters
    ----------
    grouped : sequence of str
        Sources whose recipe has a group rule.
    ratios : mapping of str to float, optional
        What the recipe asks for.
    borderline : Borderline, optional
        What the build found of pairs that are nearly the same.
    renewal : Renewal, optional
        What became of the last version's images whose files are gone.
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
        vanished=_name_vanished(renewal.vanished) if renewal else {},
        renewed=renewal.found if renewal else (),
        unclear=renewal.unclear if renewal else (),
        missed_ratios=find_missed_ratios(kept, ratios or {}),
        borderline=borderline or Borderline(),
    )


UNKNOWN: Final = "unknown source"
"""Where 0.1.0 published an image, whose split in git has no ids, and its files are not on this machine."""


def _name_vanished(vanished: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, sha in vanished.select("id", "sha256").iter_rows():
        found.setdefault(name.split("/", 1)[0] if name else UNKNOWN, []).append(name or sha)
    return {source: tuple(sorted(names)) for source, names in sorted(found.items())}


POINT: Final = 0.01
ROUNDING: Final = 1e-6


def find_missed_ratios(kept: pl.DataFrame, ratios: Mapping[Split, float]) -> tuple[MissedRatio, ...]:
    """Return where the share of a split differs from its ratio by more than a point: in all, then by class.

    A difference of less than one image is rounding: no division would come nearer by whole images.
    """
    if not ratios or kept["split"].null_count() == kept.height:
        return ()
    parts = [(None, kept), *((label, part) for (label,), part in kept.partition_by("label", as_dict=True).items())]
    found = []
    for label, part in sorted(parts, key=lambda each: (each[0] is not None, each[0] or "")):
        counts = dict(part.group_by("split").len().iter_rows())
        for split, wanted in ratios.items():
            share = counts.get(split, 0) / part.height
            if abs(share - wanted) > max(POINT, (1 - ROUNDING) / part.height):
                found.append(MissedRatio(label, split, wanted, share))
    return tuple(found)


def _by_source(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by("source").len().sort("source").rows())


def _count_system_files(rows: pl.DataFrame) -> dict[str, int]:
    left = rows.filter(has_reason(Reason.SYSTEM_FILE, Reason.PROGRAM_FOLDER))
    return dict(left.group_by("detail").len().sort("detail").rows())


def claim_words(claim: str) -> str:
    """Return a claim as it is shown: the class, or the source label of a context class."""
    return claim.removeprefix(CONTEXT)


def _claim() -> pl.Expr:
    context = pl.when(pl.col("source_label") != "").then(pl.lit(CONTEXT) + pl.col("source_label"))
    return pl.coalesce("label", context)


def find_conflicts(rows: pl.DataFrame) -> tuple[Conflict, ...]:
    """Return the images whose bytes have several labels, sorted by sha256; files that are not images are skipped."""
    images = rows.filter(pl.col("sha256").is_not_null() & ~is_not_image())
    shared = images.filter(pl.col("sha256").is_duplicated()).with_columns(claim=_claim())
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
class ResolvedConflict:
    """One image (by its bytes) that its source has under several labels, and to which reviewers gave one label."""

    claims: tuple[str, ...]
    """The classes as the source has them."""
    label: str
    reviewers: str
    ids: tuple[str, ...]


def find_resolved(rows: pl.DataFrame, class_of: Mapping[str, str]) -> tuple[ResolvedConflict, ...]:
    """Return the conflicts of the sources that a relabel resolved, sorted by their first id.

    Images that were relabelled to a context class are not among them.

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
            claim=pl.coalesce(claim, pl.lit(CONTEXT) + pl.col("source_label")),
            named=relabel.struct.field("label"),
            by=relabel.struct.field("reviewers").list.join(", "),
        )
        .group_by("sha256")
        .agg(pl.col("claim").unique().sort(), pl.col("named", "by").drop_nulls().first(), pl.col("id").sort())
        .filter((pl.col("claim").list.len() > 1) & pl.col("named").is_not_null())
        .sort(pl.col("id").list.first())
    )
    found = groups.select("claim", "named", "by", "id").iter_rows()
    return tuple(ResolvedConflict(tuple(claims), label, who, tuple(ids)) for claims, label, who, ids in found)


def find_leaks(rows: pl.DataFrame) -> tuple[Leak, ...]:
    """Return what the sources' own splits have on two sides, context classes included: each group of images once.

    An image in the test of one source and in the train of another leaks as well. First by bytes, then near duplicates
    with other bytes, then by the group rule. Files that are not images are skipped.
    """
    seen = ~is_not_image()
    sided = rows.filter(pl.col("source_split").is_not_null() & seen).with_columns(claim=_claim())
    groups: list[tuple[Literal["same bytes", "near duplicate", "same group"], list[str]]] = [
        *(("same bytes", ids) for ids in _spanning(sided, "sha256")),
        *(("near duplicate", ids) for ids in _near_duplicates(sided)),
        *(("same group", ids) for ids in _spanning(sided, "group_key")),
    ]
    named = sorted({name for _, ids in groups for name in ids})
    known = sided.filter(pl.col("id").is_in(named)).select("id", "sha256", "claim", "label")
    facts = {name: rest for name, *rest in known.iter_rows()}
    found: list[Leak] = []
    covered: dict[str, list[frozenset[str]]] = {}
    for how, ids in groups:
        shas, claims, labels = zip(*(facts[name] for name in ids), strict=True)
        images = frozenset(shas) - {None}
        # A group that contains all of these images contains any one of them.
        if not images or any(images <= group for group in covered.get(min(images), ())):
            continue
        for sha in images:
            covered.setdefault(sha, []).append(images)
        touches = any(label is not None for label in labels)
        found.append(Leak(how, tuple(sorted(ids)), tuple(sorted(set(claims) - {None})), touches))
    return tuple(found)


def _spanning(sided: pl.DataFrame, column: str) -> list[list[str]]:
    shared = sided.filter(pl.col(column).is_not_null()).group_by(column)
    table = shared.agg(pl.col("id").sort(), pl.col("source_split").n_unique()).filter(pl.col("source_split") > 1)
    return table.sort(column)["id"].to_list()


def _near_duplicates(sided: pl.DataFrame) -> list[list[str]]:
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
    return [[one, other] for one, other in edges.select("id", "other").iter_rows()]
