"""Finds what files and manifest contain about people besides the image."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from curation.audit.measurements import Measured
from curation.dataset.columns import Metadata, role_values
from curation.dataset.findings import AuditPart, Check, Finding


def find_private(measured: Measured, rows: pl.DataFrame, metadata: Sequence[Metadata] = ()) -> AuditPart:
    """Return what the published files contain besides images, and what the manifest contains about people.

    Parameters
    ----------
    measured : Measured
    rows : polars.DataFrame
        The version's kept rows.
    metadata : sequence of Metadata
        The columns that the recipe takes from a metadata file.
    """
    kinds = sorted(Counter(kind for kinds in measured.embedded.values() for kind in kinds).items())
    found = ", ".join(f"{kind} in {count}" for kind, count in kinds) or "none"
    result = f"{len(measured.gray):,} files read; found: {found}"
    check = Check("metadata-in-files", "EXIF, GPS, maker notes, text in the files", result)
    findings = [_embedded(measured, kinds), _burned_in(rows, metadata), _patients(rows, metadata)]
    return AuditPart(tuple(each for each in findings if each is not None), (check,))


def _embedded(measured: Measured, kinds: list[tuple[str, int]]) -> Finding | None:
    if not measured.embedded:
        return None
    return Finding(
        id="privacy-metadata",
        severity="error",
        count=len(measured.embedded),
        which=tuple(f"{name}: {', '.join(kinds)}" for name, kinds in sorted(measured.embedded.items())),
        facts={"kinds": [list(kind) for kind in kinds]},
    )


def _burned_in(rows: pl.DataFrame, metadata: Sequence[Metadata]) -> Finding | None:
    """Return the images whose DICOM tag states that text is burned into them: names and dates, most often."""
    marked = rows.filter(role_values(metadata, "burned_in").str.to_uppercase() == "YES")
    if not marked.height:
        return None
    return Finding(id="privacy-burned-in", severity="error", count=marked.height, which=tuple(marked["id"].sort()))


def _patients(rows: pl.DataFrame, metadata: Sequence[Metadata]) -> Finding | None:
    known = rows.filter(role_values(metadata, "patient").is_not_null())
    return Finding(id="privacy-patients", severity="note", count=known.height) if known.height else None
