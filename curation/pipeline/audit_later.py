"""Adds the findings of an audit to a version that was built without one: its ``audit.json``, its page and its card."""

import json
from pathlib import Path

from curation.dataset.findings import Audit
from curation.report.card import add_findings
from curation.storage.atomic_files import replace_file
from curation.storage.cache import Cache
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.progress import Progress
from curation.versions import Home, Version, is_audited, load, locked, renew_sums


def audit_and_add(
    home: Home,
    reference: str,
    *,
    run: Path | None = None,
    remedies: bool = False,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audit a published version; where it was built without an audit, its folder gets the findings.

    Parameters
    ----------
    home : Home
    reference : str
        ``name``, ``name@v<n>`` or ``name@<digest>``.
    run, remedies, progress
        As of ``curation.audit.audit_published``.
    cache : Cache, optional
        Where originals are found for the page; the user's by default.

    Raises
    ------
    CurationError
        As ``audit_published``, and where the version's folder cannot be written.
    """
    from curation.audit import audit_published  # a second of imports, which a build that finds nothing new must not pay

    audited = audit_published(home, reference, run=run, remedies=remedies, progress=progress)
    version = load(home, reference)
    if not is_audited(version.folder):
        with locked(home, version.name):
            _add(home, version, audited, cache)
    return audited


def _add(home: Home, version: Version, audited: Audit, cache: Cache | None) -> None:
    from curation.report.api import make_page  # the same

    folder = version.folder
    card = add_findings((folder / "CARD.md").read_text(encoding="utf-8"), audited.findings)
    contents = {
        "CARD.md": card.encode(),
        "report.html": make_page(home, version, audited, cache=cache).encode(),
        "audit.json": (json.dumps(audited.as_json(), indent=1) + "\n").encode(),
    }
    with explain_disk_faults(f"{folder}: the audit could not be added", within=folder):
        for name in ("CARD.md", "report.html"):
            replace_file(folder / name, contents[name])
        renew_sums(folder, contents)
        replace_file(folder / "audit.json", contents["audit.json"])  # last: after an interruption all is done again
    kept = home.dataset(version.name) / "CARD.md"
    if kept.is_file() and f"`{version.name}@v{version.number}`" in kept.read_text(encoding="utf-8"):
        with explain_disk_faults(f"{kept}: the card could not be written", within=kept.parent):
            replace_file(kept, contents["CARD.md"])
