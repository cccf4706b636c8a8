"""May it be used, and for what: the licence of every picture against that of the whole, and whom to cite."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from curation.dataset.findings import Finding, Outcome, count_of

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


def find_licence_faults(rows: pl.DataFrame, *, licence: str | None, archives: Sequence[Mapping[str, Any]]) -> Outcome:
    """Return what stands against publishing or using the pictures.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows.
    licence : str, optional
        Of the whole, as the recipe states it.
    archives : sequence of mappings
        What the version was made from: ``source`` and, where known, ``citation`` and ``doi``.
    """
    counts = rows.group_by("source", "licence").len().sort("source", "licence", nulls_last=True)
    told = "; ".join(f"{source}: {name or 'not stated'} ({count:,})" for source, name, count in counts.rows())
    findings = [
        _not_stated(rows),
        _non_commercial(rows, licence),
        _no_derivatives(rows),
        _share_alike(rows, licence),
        _whole(rows, licence),
        _citation(rows, archives),
    ]
    checks = (("licences", told), ("licence of the whole", licence or "the recipe states none"))
    return Outcome(tuple(each for each in findings if each is not None), checks)


def _terms(name: str | None) -> frozenset[str]:
    return frozenset((name or "").upper().replace("_", "-").replace(" ", "-").split("-"))


def _with(rows: pl.DataFrame, term: str) -> pl.DataFrame:
    fits = [name for name in rows["licence"].drop_nulls().unique() if term in _terms(name)]
    return rows.filter(pl.col("licence").is_in(fits)).sort("id")


def is_permissive(licence: str) -> bool:
    """Return whether a licence allows commercial use without sharing alike, as far as its name tells."""
    plain = licence.upper().replace(" ", "-")
    return plain.startswith(PERMISSIVE) and not _terms(licence) & {"NC", "ND", "SA"}


def _sources(rows: pl.DataFrame) -> str:
    return ", ".join(rows["source"].unique().sort())


def _not_stated(rows: pl.DataFrame) -> Finding | None:
    unknown = rows.filter(pl.col("licence").is_null()).sort("id")
    if not unknown.height:
        return None
    return Finding(
        id="licence-missing",
        severity="warning",
        says=f"{count_of(unknown.height, 'picture')} of {_sources(unknown)} "
        "have no stated licence: nobody can be sure of them",
        count=unknown.height,
        which=tuple(unknown["id"]),
        advice="find out, and set `licence` (an SPDX name) in the source's table of the recipe",
    )


def _non_commercial(rows: pl.DataFrame, licence: str | None) -> Finding | None:
    bound = _with(rows, "NC")
    if not bound.height:
        return None
    mixed = licence is not None and is_permissive(licence)
    return Finding(
        id="licence-mixed" if mixed else "licence-non-commercial",
        severity="error" if mixed else "note",
        says=f"{count_of(bound.height, 'picture')} of {_sources(bound)} may not be used commercially"
        + (f", but the whole is to be released under {licence}" if mixed else ""),
        count=bound.height,
        which=tuple(bound["id"]) if mixed else (),
        advice="leave them out, or state a non-commercial `licence` in the recipe"
        if mixed
        else "no commercial product may be trained on it without asking",
    )


def _no_derivatives(rows: pl.DataFrame) -> Finding | None:
    bound = _with(rows, "ND")
    if not bound.height:
        return None
    return Finding(
        id="licence-no-derivatives",
        severity="error",
        says=f"{count_of(bound.height, 'picture')} of {_sources(bound)}"
        " may not be passed on changed, and scaling changes them",
        count=bound.height,
        which=tuple(bound["id"]),
        advice="leave them out of what is released, or ask",
    )


def _share_alike(rows: pl.DataFrame, licence: str | None) -> Finding | None:
    bound = _with(rows, "SA")
    if not bound.height or licence is None or "SA" in _terms(licence):
        return None
    return Finding(
        id="licence-share-alike",
        severity="error",
        says=f"{count_of(bound.height, 'picture')} of {_sources(bound)}"
        f" must be passed on under their own licence, not {licence}",
        count=bound.height,
        which=tuple(bound["id"]),
        advice="leave them out, or state their licence as that of the whole",
    )


def _whole(rows: pl.DataFrame, licence: str | None) -> Finding | None:
    if licence is not None or not rows.height:
        return None
    stated = ", ".join(sorted(rows["licence"].drop_nulls().unique())) or "none stated"
    return Finding(
        id="licence-whole",
        severity="note",
        says=f"the recipe states no licence of the whole; its pictures are under: {stated}",
        count=rows.height,
        advice="set `licence` at the top of the recipe before you pass it on",
    )


def _citation(rows: pl.DataFrame, archives: Sequence[Mapping[str, Any]]) -> Finding | None:
    cited = {str(archive["source"]) for archive in archives if archive.get("citation") or archive.get("doi")}
    drawn = {str(archive["source"]) for archive in archives if str(archive.get("version", "")).startswith("seed ")}
    missing = sorted(set(rows["source"].unique()) - cited - drawn)
    if not missing:
        return None
    return Finding(
        id="licence-citation",
        severity="note",
        says=f"no citation or DOI is known of {', '.join(missing)}",
        count=len(missing),
        which=tuple(missing),
        advice="set `citation` in the source's table of the recipe; a pull from the network records the source's own",
    )
