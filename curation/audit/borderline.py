"""Reports the pairs of images that are nearly the same, as the build of the version found them."""

from pathlib import Path

from curation.dataset.borderline import read_borderline
from curation.dataset.findings import AuditPart, Check, Finding


def find_borderline(folder: Path) -> AuditPart:
    """Return a finding where a version holds many pairs that are nearly the same; which of them is nearest, by rank.

    A version of an earlier release has no list of them: then there is neither a finding nor a check.
    """
    known = read_borderline(folder)
    if known is None:
        return AuditPart()
    check = Check("nearly-the-same", "pairs of images that are nearly the same", f"{known.count:,} pairs")
    if not known.many:
        return AuditPart(checks=(check,))
    nearest = sorted(known.pairs, key=lambda pair: (abs(pair.difference - known.tolerance), pair.id, pair.other))
    which = tuple(f"{pair.id} = {pair.other}" for pair in nearest)
    finding = Finding(id="duplicates-borderline", severity="warning", count=known.count, which=which, facts=known.facts)
    return AuditPart((finding,), (check,))
