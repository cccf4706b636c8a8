"""Makes the page or a contact sheet of a published version."""

from collections.abc import Sequence
from pathlib import Path

from curation.dataset.borderline import read_borderline
from curation.dataset.findings import Audit
from curation.dataset.recipe import Recipe
from curation.report.contact_sheet import write_sheet
from curation.report.excluded_gallery import Evidence, gather_evidence
from curation.report.page import read_recipe, write_page
from curation.report.version_diff import changes_since_previous
from curation.storage.cache import Cache
from curation.versions import Home, Version
from curation.versions.originals import open_originals


def make_page(
    home: Home, version: Version, audit: Audit, *, places: Sequence[Path] = (), cache: Cache | None = None
) -> str:
    """Return the page of a published version as HTML.

    Excluded images are shown where their archives are found; the histogram contains the confirmed pairs only.

    Parameters
    ----------
    home : Home
        Where the previous version is looked up.
    places : sequence of Path
        Archives, or folders that contain them, in addition to the cache.
    cache : Cache, optional
        By default the user's.
    """
    recipe = read_recipe(version)
    before = changes_since_previous(home, version)
    return write_page(version, recipe, audit, evidence=_evidence(version, recipe, places, cache), before=before)


def make_sheet(version: Version, *, places: Sequence[Path] = (), cache: Cache | None = None) -> str:
    """Return a contact sheet of a published version as SVG.

    Raises
    ------
    CurationError
        Where a place does not exist.
    """
    return write_sheet(version, evidence=_evidence(version, read_recipe(version), places, cache))


def _evidence(version: Version, recipe: Recipe, places: Sequence[Path], cache: Cache | None) -> Evidence:
    originals = open_originals(version, places=places, cache=cache.root if cache else None)
    return gather_evidence(
        version.manifest,
        recipe,
        read=lambda name, sha: originals.read(name, sha256=sha),
        borderline=read_borderline(version.folder),
    )
