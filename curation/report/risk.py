"""Assesses the risk of shortcuts: what a reader has to know before any accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from curation.dataset.findings import NOT_AUDITED, SEVERITIES, Audit, Finding, Probe


@dataclass(frozen=True)
class Risk:
    """What a reader has to know before any accuracy."""

    severity: str
    headline: str
    sentences: tuple[str, ...]


def assess_risk(audit: Audit) -> Risk:
    """Return the risk of shortcuts in plain words: the first section of a page."""
    known = [probe for probe in audit.probes if probe.auc is not None]
    if not known:
        why = audit.probes[0].why_not if audit.probes else "there are no probes"
        if any(finding.id == NOT_AUDITED for finding in audit.findings):
            why = "this version is not audited yet"
        headline = "It is not known whether a model can take a shortcut to the label"
        return Risk("warning", headline, (f"The shortcuts could not be measured: {why}.",))
    findings = {finding.id: finding for finding in audit.findings}
    found = [each for each in known if f"shortcut-{each.name}" in findings]
    shown = [each for each in audit.findings if each.topic == "shortcut" and each.id != "shortcut-unknown"]
    worst = min((SEVERITIES.index(each.severity) for each in shown), default=3)
    sentences = tuple(_risk_sentences(known, found, findings))
    if worst >= 2 and "shortcut-unknown" in findings:
        return Risk("warning", "Too few images to know whether a model can take a shortcut to the label", sentences)
    if worst == 0:
        headline = _name_strongest(found, "alone predicts the label")
    elif worst == 1:
        headline = _name_strongest(found, "predicts the label in part")
    elif worst == 2:
        headline = "Simple features predict the label weakly; no strong shortcut was found"
    else:
        headline = "No strong shortcut to the label was found"
    return Risk(("error", "warning", "note", "good")[worst], headline, sentences)


def _name_strongest(found: Sequence[Probe], what: str) -> str:
    """Return what the best simple model sees, and how well it does; where none was measured, the sources do it."""
    strongest = max((each for each in found if each.name != "thumbnail"), key=lambda each: each.auc or 0, default=None)
    name = strongest.looks_at.partition(":")[0] if strongest else "the source of an image"
    return f"{name[:1].upper()}{name[1:]} {what}"


def _risk_sentences(known: Sequence[Probe], found: Sequence[Probe], findings: Mapping[str, Finding]) -> Iterable[str]:
    strong = sorted((each for each in found if each.name != "thumbnail"), key=lambda each: -(each.auc or 0))[:3]
    shares = [100 * (each.auc or 0) for each in strong]
    if strong:
        classes = max(findings[f"shortcut-{strong[0].name}"].facts.get("classes", 2), 2)
        rest = f"the other {classes - 1} classes (one class against the rest)" if classes > 2 else "the other class"
        others = [
            f"{share:.1f} % for {each.label} by {each.looks_at}"
            for each, share in zip(strong[1:], shares[1:], strict=True)
        ]
        yield (
            f"A simple model that sees one thing only ({strong[0].looks_at}) ranks a random {strong[0].label} image "
            f"above a random image of {rest} {shares[0]:.1f} % of the time"
            + (f" ({'; '.join(others)})" if others else "")
            + ". Guessing would give 50 %."
        )
    if "shortcut-source" in findings:
        yield (
            "Every class comes from sources of its own, so a model that recognizes the camera is always right. An "
            "accuracy measured on this dataset alone, however high, does not show what a model uses."
        )
    if "shortcut-unknown" in findings:
        yield findings["shortcut-unknown"].says
    elif not strong:
        best = max(known, key=lambda each: each.auc or 0)
        yield (
            f"Each of {len(known)} simple models that see one thing only stays near chance. The best of them, by "
            f"{best.looks_at}, has an area under the curve of {best}."
        )
