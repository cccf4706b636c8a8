"""Writes what a version states about itself into its folder: tables, Croissant, audit, page and card."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path

from curation.audit import audit, leave_audit
from curation.dataset.borderline import read_borderline
from curation.dataset.findings import Finding
from curation.dataset.manifest import Manifest
from curation.dataset.recipe import Recipe
from curation.engines import Engine
from curation.exports.croissant import write_croissant
from curation.hashing import Fingerprints
from curation.release import VERSION
from curation.report.card import write_card
from curation.report.excluded_gallery import gather_evidence
from curation.report.page import write_page
from curation.report.summary import Summary
from curation.report.version_diff import changes_since_previous
from curation.sources import Fetched
from curation.stages.render import encoder_name
from curation.storage.archive_index import ArchiveIndex
from curation.storage.cache import Cache
from curation.storage.progress import Progress
from curation.versions import Home, describe_version, open_folder, write_tables


def describe(
    folder: Path,
    rows: Manifest,
    recipe: Recipe,
    *,
    number: int,
    published_on: str | None,
    fetched: tuple[Fetched, ...],
    archives: ArchiveIndex,
    fingerprints: Fingerprints,
    summary: Summary,
    texts: Mapping[str, bytes],
    home: Home,
    engine: Engine,
    cache: Cache,
    quick: bool,
    progress: Progress,
) -> None:
    """Write the description of a rendered version into its folder.

    Parameters
    ----------
    folder : Path
        The version's folder before it is published; its images are there.
    rows : Manifest
        After rendering.
    number : int
        The version's.
    published_on : str, optional
        The day (``2026-11-30``) a restored version was published; today for a new one.
    texts : mapping
        File name to content of what the version is made from: recipe, decisions, lock.
    quick : bool
        Leave the audit for later.
    """
    description = describe_version(
        rows, recipe, number=number, encoder=encoder_name(), tool=VERSION, archives=_describe_archives(fetched)
    )
    write_tables(folder, rows, description)
    day = published_on or datetime.datetime.now(datetime.UTC).date().isoformat()
    write_croissant(folder, recipe, description, rows, fetched, published=day)
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    summary.borderline.write(folder)
    findings = _write_report(
        folder,
        rows,
        recipe,
        archives=archives,
        fingerprints=fingerprints,
        home=home,
        engine=engine,
        cache=cache,
        quick=quick,
        progress=progress,
    )
    card = write_card(recipe, description, summary, fetched, findings=findings)
    (folder / "CARD.md").write_text(card, encoding="utf-8", newline="\n")


def _write_report(
    folder: Path,
    rows: Manifest,
    recipe: Recipe,
    *,
    archives: ArchiveIndex,
    fingerprints: Fingerprints,
    home: Home,
    engine: Engine,
    cache: Cache,
    quick: bool,
    progress: Progress,
) -> tuple[Finding, ...]:
    """Audit the version in the folder unless that is left for later, write ``audit.json`` and the page."""
    version = open_folder(folder)
    audited = leave_audit(version) if quick else audit(version, engine=engine, cache=cache, progress=progress)
    (folder / "audit.json").write_text(json.dumps(audited.as_json(), indent=1) + "\n", encoding="utf-8")
    shown = gather_evidence(
        rows,
        recipe,
        read=lambda name, _: archives.read(name),
        fingerprints=fingerprints,
        borderline=read_borderline(folder),
    )
    page = write_page(version, recipe, audited, evidence=shown, before=changes_since_previous(home, version))
    (folder / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return audited.findings


def _describe_archives(fetched: tuple[Fetched, ...]) -> list[dict[str, object]]:
    return [
        {
            "source": given.source,
            "name": archive.name,
            "sha256": archive.sha256,
            "size_bytes": archive.size_bytes,
            **_describe_source(given),
        }
        for given in fetched
        for archive in given.archives
    ]


def _describe_source(given: Fetched) -> dict[str, str]:
    """Return what is known about a source in addition to its bytes."""
    known = {
        "version": given.version,
        "licence": given.licence,
        "doi": given.doi,
        "citation": given.citation,
        "url": given.url,
    }
    return {key: value for key, value in known.items() if value is not None}
