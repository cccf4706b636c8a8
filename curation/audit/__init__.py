"""Audits a version from its files alone, by other means than it was built with.

The same version gives the same findings, byte for byte: nothing is random, and no sum is split over threads.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from curation.audit.balance import find_imbalance
from curation.audit.borderline import find_borderline
from curation.audit.label_errors import find_doubtful, rank_doubtful
from curation.audit.leakage import find_leaks
from curation.audit.licences import find_license_faults
from curation.audit.measurements import measure_version
from curation.audit.privacy import find_private
from curation.audit.quality import find_poor, find_unreadable
from curation.audit.remedies import Trials, advise, try_remedies
from curation.audit.same_images import find_same_images
from curation.audit.shortcuts import find_shortcuts, point_to_trial, probe_shortcuts
from curation.cross_validation import cut_folds
from curation.dataset.findings import NOT_AUDITED, Audit, Finding, waive
from curation.dataset.layout import Home
from curation.engines import Engine, Local, count_cores, keep_workers
from curation.storage.atomic_files import replace_file
from curation.storage.cache import Cache
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.progress import Progress
from curation.versions import Version, load

__all__ = ["audit", "audit_published", "leave_audit", "rank_doubtful", "read_waivers"]


def audit_published(
    home: Home,
    reference: str,
    *,
    run: Path | None = None,
    remedies: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Audit a published version by its name; findings that the current recipe waives are waived too.

    With a run, the audit is also written next to the version, as ``v<n>.audit.json``, where the review reads the queue
    of doubtful labels.

    Parameters
    ----------
    home : Home
    reference : str
        ``name``, ``name@v<n>`` or ``name@<digest>``.
    run, remedies, progress
        As of ``audit``.

    Raises
    ------
    CurationError
        As ``load`` and ``audit``, and where the queue cannot be written.
    """
    version = load(home, reference)
    waivers = read_waivers(home.dataset(version.name))
    with keep_workers(Local(count_cores())) as engine:
        audited = audit(version, run=run, remedies=remedies, waivers=waivers, engine=engine, progress=progress)
    if run is not None:
        queue = version.folder.with_name(f"{version.folder.name}.audit.json")
        with explain_disk_faults(f"{queue}: cannot be written", within=queue.parent):
            replace_file(queue, (json.dumps(audited.as_json(), indent=1) + "\n").encode())
    return audited


def audit(
    version: Version,
    *,
    run: Path | None = None,
    remedies: bool = False,
    waivers: Mapping[str, str] | None = None,
    engine: Engine | None = None,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit a version, published or being described.

    Parameters
    ----------
    version : Version
        Only its folder is read: images, ``manifest.parquet``, ``version.json``, ``recipe.toml``.
    run : Path, optional
        The folder of a training run; its ``embeddings.parquet`` finds doubtful labels better.
    remedies : bool
        Try every remedy on the images, and probe again after each: some seconds a remedy.
    waivers : mapping of str to str, optional
        Finding -> why it is accepted, in addition to those of the version's own recipe.
    engine : Engine, optional
        Where images are measured and compared; this process by default. The findings do not depend on it.
    cache : Cache, optional
        Has measurements of earlier audits; only a build trusts them, of files that it wrote itself. Without it every
        file is read.
    progress : Progress, optional
        Shows the progress.

    Raises
    ------
    CurationError
        Where the version has no readable manifest, or ``run`` no embeddings.
    """
    rows = version.samples()
    recipe = _read_recipe(version.folder)
    domain = str(recipe.get("domain"))
    import sklearn.linear_model  # noqa: F401  # native libraries are limited once they are loaded; workers need none

    with threadpool_limits(1):
        measured = measure_version(version, engine=engine, cache=cache, progress=progress)
        same = find_same_images(measured, tolerance=_tolerance(recipe), engine=engine, progress=progress)
        folds = cut_folds(measured.readable)
        probes = probe_shortcuts(measured, folds, domain=domain)
        doubtful = find_doubtful(measured, rows, same, run=run, folds=folds)
        parts = [
            find_borderline(version.folder),
            find_shortcuts(measured, probes),
            find_leaks(measured, same),
            doubtful,
            find_imbalance(rows, version.manifest.metadata, people=_shows_people(recipe)),
            find_unreadable(measured, _reference(version)),
            find_poor(measured, domain=domain),
            find_license_faults(
                rows,
                licence=recipe.get("licence"),
                archives=version.description.get("archives", []),
                synthetic=_synthetic_sources(recipe),
            ),
            find_private(measured, rows, version.manifest.metadata),
        ]
        trials = try_remedies(version, progress=progress) if remedies else Trials({})
    reasons = _reasons(recipe) | dict(waivers or {})
    findings = tuple(finding for part in parts for finding in part.findings)
    findings = advise(findings, trials.probes) if remedies else point_to_trial(findings, _reference(version))
    findings += _left_out(trials)
    findings += _unused(reasons, findings)
    return Audit(
        reference=_reference(version),
        findings=waive(findings, reasons),
        probes=probes,
        checks=tuple(check for part in parts for check in part.checks),
        crosstabs=tuple(crosstab for part in parts for crosstab in part.crosstabs),
        table=measured.table.drop("file"),
        remedies=trials.probes,
    )


def leave_audit(version: Version) -> Audit:
    """Return the audit of a version that is audited later: the finding that it was not, and what the build found."""
    reference = _reference(version)
    finding = Finding(id=NOT_AUDITED, severity="warning", count=0, facts={"reference": reference})
    known = find_borderline(version.folder).findings  # the build wrote these pairs
    return Audit(reference=reference, findings=(*known, finding), probes=(), checks=())


def _reference(version: Version) -> str:
    return f"{version.name}@v{version.number}"


def _read_recipe(folder: Path) -> Mapping[str, Any]:
    """Return the recipe's tables as they were written; empty where the version has none that can be read."""
    try:
        return tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _shows_people(recipe: Mapping[str, Any]) -> bool:
    """Return whether the recipe states that its images show people."""
    rules = recipe.get("audit")
    return isinstance(rules, Mapping) and rules.get("people") is True


def _tolerance(recipe: Mapping[str, Any]) -> float:
    """Return the recipe's factor on how much two files of one image may differ in one place."""
    rules = recipe.get("duplicates")
    value = rules.get("tolerance", 1.0) if isinstance(rules, Mapping) else 1.0
    return float(value) if isinstance(value, int | float) else 1.0


def _sources(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    sources = recipe.get("sources", [])
    return [source for source in sources if isinstance(source, Mapping)] if isinstance(sources, list) else []


def _synthetic_sources(recipe: Mapping[str, Any]) -> set[str]:
    """Return the names of the sources whose images the program draws."""
    return {str(source.get("name")) for source in _sources(recipe) if source.get("kind") == "drawn"}


def read_waivers(folder: Path) -> dict[str, str]:
    """Return what the recipe in a folder waives, each with its reason; empty where it cannot be read."""
    return _reasons(_read_recipe(folder))


def _reasons(recipe: Mapping[str, Any]) -> dict[str, str]:
    table = recipe.get("audit", {})
    waived = table.get("waive", {}) if isinstance(table, Mapping) else {}
    if not isinstance(waived, Mapping):
        return {}
    return {str(name): str(reason) for name, reason in sorted(waived.items())}


def _left_out(trials: Trials) -> tuple[Finding, ...]:
    if not trials.left_out:
        return ()
    which = tuple(f"{name}: {reason}" for name, reason in trials.left_out)
    return (Finding(id="quality-not-rendered", severity="warning", count=len(which), which=which),)


def _unused(reasons: Mapping[str, str], findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    idle = tuple(sorted(set(reasons) - {finding.id for finding in findings}))
    if not idle:
        return ()
    return (
        Finding(
            id="waiver-unused",
            severity="note",
            count=len(idle),
            which=idle,
        ),
    )
