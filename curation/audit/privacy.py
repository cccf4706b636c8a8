"""Whether a file, or the table beside it, says more about a person than its picture."""

from collections import Counter

import polars as pl

from curation.audit.measurements import Measured
from curation.dataset.findings import Finding, Outcome, count_of


def find_private(measured: Measured, rows: pl.DataFrame) -> Outcome:
    """Return what the published files carry besides pictures, and what the manifest says of people."""
    kinds = Counter(kind for kinds in measured.embedded.values() for kind in kinds)
    told = ", ".join(f"{kind} in {count}" for kind, count in sorted(kinds.items())) or "nothing"
    checks = (("EXIF, GPS, maker notes, text in the files", f"{len(measured.grey):,} files looked at: {told} found"),)
    findings = [_embedded(measured, told), _patients(rows)]
    return Outcome(tuple(each for each in findings if each is not None), checks)


def _embedded(measured: Measured, told: str) -> Finding | None:
    if not measured.embedded:
        return None
    return Finding(
        id="privacy-metadata",
        severity="error",
        says=f"{count_of(len(measured.embedded), 'published file')} with more than a picture inside: {told}",
        count=len(measured.embedded),
        which=tuple(f"{name}: {', '.join(kinds)}" for name, kinds in sorted(measured.embedded.items())),
        advice="do not pass this version on; build it again, as no build writes metadata into a file",
    )


def _patients(rows: pl.DataFrame) -> Finding | None:
    known = rows.filter(pl.col("patient").is_not_null()).sort("id")
    if not known.height:
        return None
    return Finding(
        id="privacy-patients",
        severity="note",
        says=f"manifest.parquet names the patient of {count_of(known.height, 'picture')}, as the source does",
        count=known.height,
        advice="see that these are pseudonyms before you pass the manifest on",
    )
