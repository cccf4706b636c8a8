"""Looks at a version as a sceptical reader would: its files alone, by other means than it was built with.

The same version gives the same findings, byte for byte: nothing is drawn by chance, and no sum is cut among threads.
"""

import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from curation.audit.balance import find_imbalance
from curation.audit.label_errors import find_doubtful, rank_doubtful
from curation.audit.leakage import find_leaks
from curation.audit.licences import find_licence_faults
from curation.audit.measurements import measure_version
from curation.audit.privacy import find_private
from curation.audit.quality import find_poor, find_unreadable
from curation.audit.shortcuts import find_shortcuts, point_to_trial, probe_shortcuts
from curation.cross_validation import cut_folds
from curation.dataset.findings import Audit, Finding, Probe, waive
from curation.storage.progress import Progress
from curation.versions import Version

__all__ = ["audit", "rank_doubtful", "read_waivers"]


def audit(
    version: Version,
    *,
    run: Path | None = None,
    remedies: bool = False,
    waivers: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit a version, published or being described.

    Parameters
    ----------
    version : Version
        Its folder is all that is read: pictures, ``manifest.parquet``, ``version.json``, ``recipe.toml``.
    run : Path, optional
        The folder of a training run; its ``embeddings.parquet`` finds doubtful labels better.
    remedies : bool
        Try every remedy on the pictures, and probe again after each: some seconds a remedy.
    waivers : mapping of str to str, optional
        Finding -> why it is accepted, besides those of the version's own recipe: what became known since.
    progress : Progress, optional
        Draws how far the reading of the pictures is.

    Raises
    ------
    CurationError
        Where the version has no readable manifest, or ``run`` no embeddings.
    """
    import sklearn.linear_model  # noqa: F401  # what it links to has to be loaded before it can be held to one thread
    from threadpoolctl import threadpool_limits

    rows = version.samples()
    recipe = _read_recipe(version.folder)
    with threadpool_limits(1):
        measured = measure_version(version, progress=progress)
        with ThreadPoolExecutor(1) as beside:  # the comparison of pairs leaves the interpreter free for the rest
            leaks = beside.submit(find_leaks, measured)
            folds = cut_folds(measured.readable)
            probes = probe_shortcuts(measured, folds)
            doubtful = find_doubtful(measured, rows, run=run, folds=folds)
        outcomes = [
            find_shortcuts(measured, probes),
            leaks.result(),
            doubtful,
            find_imbalance(rows, named=_named_columns(recipe), people=_shows_people(recipe)),
            find_unreadable(measured, _reference(version)),
            find_poor(measured),
            find_licence_faults(rows, licence=recipe.get("licence"), archives=version.description.get("archives", [])),
            find_private(measured, rows),
        ]
        tried = _try_remedies(version, progress) if remedies else {}
    reasons = _reasons(recipe) | dict(waivers or {})
    findings = tuple(finding for outcome in outcomes for finding in outcome.findings)
    findings = _advise(findings, tried) if tried else point_to_trial(findings, _reference(version))
    findings += _unused(reasons, findings)
    return Audit(
        reference=_reference(version),
        findings=waive(findings, reasons),
        probes=probes,
        checks=tuple(check for outcome in outcomes for check in outcome.checks),
        tallies=tuple(tally for outcome in outcomes for tally in outcome.tallies),
        table=measured.table.drop("file"),
        remedies=tried,
    )


def _reference(version: Version) -> str:
    return f"{version.name}@v{version.number}"


def _try_remedies(version: Version, progress: Progress | None) -> Mapping[str, tuple[Probe, ...]]:
    from curation.audit.remedies import try_remedies  # it needs what renders; an audit alone does not

    return try_remedies(version, progress=progress)


def _advise(findings: tuple[Finding, ...], tried: Mapping[str, tuple[Probe, ...]]) -> tuple[Finding, ...]:
    from curation.audit.remedies import advise

    return advise(findings, tried)


def _read_recipe(folder: Path) -> Mapping[str, Any]:
    """Return the recipe's tables as they were written; empty where the version holds none that can be read."""
    try:
        return tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _shows_people(recipe: Mapping[str, Any]) -> bool:
    """Say whether the recipe says that its pictures show people."""
    told = recipe.get("audit")
    return isinstance(told, Mapping) and told.get("people") is True


def _named_columns(recipe: Mapping[str, Any]) -> set[str]:
    """Return the manifest's columns that a recipe takes from metadata files."""
    sources = recipe.get("sources", [])
    told = sources if isinstance(sources, list) else []
    tables = [source.get("metadata") for source in told if isinstance(source, Mapping)]
    columns = [table.get("columns") for table in tables if isinstance(table, Mapping)]
    return {str(name) for each in columns if isinstance(each, Mapping) for name in each}


def read_waivers(folder: Path) -> dict[str, str]:
    """Return what the recipe in a folder waives, each with its reason; nothing where it cannot be read."""
    return _reasons(_read_recipe(folder))


def _reasons(recipe: Mapping[str, Any]) -> dict[str, str]:
    table = recipe.get("audit", {})
    waived = table.get("waive", {}) if isinstance(table, Mapping) else {}
    if not isinstance(waived, Mapping):
        return {}
    return {str(name): str(reason) for name, reason in sorted(waived.items())}


def _unused(reasons: Mapping[str, str], findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    idle = tuple(sorted(set(reasons) - {finding.id for finding in findings}))
    if not idle:
        return ()
    return (
        Finding(
            id="waiver-unused",
            severity="note",
            says=f"the recipe waives what was not found: {', '.join(idle)}",
            count=len(idle),
            which=idle,
            advice="take it out of [audit.waive], or mend its name",
        ),
    )
