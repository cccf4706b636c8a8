"""Checks the licence of every image against that of the dataset, and that sources can be cited."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import polars as pl

from curation.dataset.findings import AuditPart, Check, Finding

PERMISSIVE: Final = (
    "CC0",
    "CC-BY-1",
    "CC-BY-2",
    "CC-BY-3",
    "CC-BY-4",
    "MIT",
    "APACHE",
    "BSD",
    "PDDL",
    "ODC-BY",
    "UNLICENSE",
)


def find_license_faults(
    rows: pl.DataFrame, *, licence: str | None, archives: Sequence[Mapping[str, Any]], synthetic: Collection[str] = ()
) -> AuditPart:
    """Return what argues against publishing or using the images.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows.
    licence : str, optional
        The licence of the dataset, as the recipe states it.
    archives : sequence of mappings
        What the version was made from: ``source`` and, where known, ``citation`` and ``doi``.
    synthetic : collection of str
        Sources whose images are drawn by the program: they need no citation.
    """
    counts = rows.group_by("source", "licence").len().sort("source", "licence", nulls_last=True)
    stated = "; ".join(f"{source}: {name or 'not stated'} ({count:,})" for source, name, count in counts.rows())
    findings = [
        _missing(rows),
        _non_commercial(rows, licence),
        _no_derivatives(rows),
        _share_alike(rows, licence),
        _whole(rows, licence),
        _citation(rows, archives, synthetic),
    ]
    checks = (
        Check("licences", "licences", stated),
        Check("licence-of-dataset", "licence of the dataset", licence or "the recipe states none"),
    )
    return AuditPart(tuple(each for each in findings if each is not None), checks)


def _terms(name: str | None) -> frozenset[str]:
    return frozenset((name or "").upper().replace("_", "-").replace(" ", "-").split("-"))


def _with_term(rows: pl.DataFrame, term: str) -> pl.DataFrame:
    fits = [name for name in rows["licence"].drop_nulls().unique() if term in _terms(name)]
    return rows.filter(pl.col("licence").is_in(fits)).sort("id")


def is_permissive(licence: str) -> bool:
    """Return whether a licence allows commercial use without sharing alike, as far as its name shows."""
    plain = licence.upper().replace(" ", "-")
    return plain.startswith(PERMISSIVE) and not _terms(licence) & {"NC", "ND", "SA"}


def _sources(rows: pl.DataFrame) -> list[str]:
    return rows["source"].unique().sort().to_list()


def _missing(rows: pl.DataFrame) -> Finding | None:
    unknown = rows.filter(pl.col("licence").is_null()).sort("id")
    if not unknown.height:
        return None
    return Finding(
        id="licence-missing",
        severity="warning",
        count=unknown.height,
        which=tuple(unknown["id"]),
        facts={"sources": _sources(unknown)},
    )


def _non_commercial(rows: pl.DataFrame, licence: str | None) -> Finding | None:
    bound = _with_term(rows, "NC")
    if not bound.height:
        return None
    mixed = licence is not None and is_permissive(licence)
    return Finding(
        id="licence-mixed" if mixed else "licence-non-commercial",
        severity="error" if mixed else "note",
        count=bound.height,
        which=tuple(bound["id"]) if mixed else (),
        facts={"sources": _sources(bound), "licence": licence},
    )


def _no_derivatives(rows: pl.DataFrame) -> Finding | None:
    bound = _with_term(rows, "ND")
    if not bound.height:
        return None
    return Finding(
        id="licence-no-derivatives",
        severity="error",
        count=bound.height,
        which=tuple(bound["id"]),
        facts={"sources": _sources(bound)},
    )


def _share_alike(rows: pl.DataFrame, licence: str | None) -> Finding | None:
    bound = _with_term(rows, "SA")
    if not bound.height or licence is None or "SA" in _terms(licence):
        return None
    return Finding(
        id="licence-share-alike",
        severity="error",
        count=bound.height,
        which=tuple(bound["id"]),
        facts={"sources": _sources(bound), "licence": licence},
    )


def _whole(rows: pl.DataFrame, licence: str | None) -> Finding | None:
    if licence is not None or not rows.height:
        return None
    stated = sorted(rows["licence"].drop_nulls().unique())
    return Finding(id="licence-whole", severity="note", count=rows.height, facts={"licences": stated})


def _citation(rows: pl.DataFrame, archives: Sequence[Mapping[str, Any]], synthetic: Collection[str]) -> Finding | None:
    cited = {str(archive["source"]) for archive in archives if archive.get("citation") or archive.get("doi")}
    missing = sorted(set(rows["source"].unique()) - cited - set(synthetic))
    if not missing:
        return None
    return Finding(
        id="licence-citation",
        severity="note",
        count=len(missing),
        which=tuple(missing),
    )
