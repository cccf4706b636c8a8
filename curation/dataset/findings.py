"""The result of an audit: findings with codes and facts, and the measurements they rest on.

The audit makes these values; the page, the card and the command line show them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import polars as pl

from curation.dataset.finding_texts import FIRST, count_of, describe_finding

__all__ = [
    "NOTABLE_AUC",
    "NOT_AUDITED",
    "PARTIAL_AUC",
    "SEVERITIES",
    "STRONG_AUC",
    "WEAK_AUC",
    "WIDE_AUC",
    "Audit",
    "AuditPart",
    "Check",
    "Crosstab",
    "Finding",
    "Probe",
    "Severity",
    "count_of",
    "waive",
]

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""The worst first. An error argues against using the dataset, a warning limits what it can show, a note informs."""

STRONG_AUC: Final = 0.9
"""The lower end of a probe's interval from which on a shortcut is an error."""
PARTIAL_AUC: Final = 0.7
"""... from which on it is a warning."""
WEAK_AUC: Final = 0.55
"""... from which on it is a note."""
WIDE_AUC: Final = 2 * (PARTIAL_AUC - 0.5)
"""The width from which on an interval around chance would reach what is a warning."""
NOT_AUDITED: Final = "audit-missing"
"""The finding of a version whose audit was left for later."""
NOTABLE_AUC: Final = 0.02
"""A smaller change of an AUC is not significant with as many images as a dataset has."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing an audit found: a code and facts, of which ``says`` and ``advice`` make sentences.

    Parameters
    ----------
    id : str
        The code of the finding, ``topic-what``; a recipe waives a finding by it.
    severity : {"error", "warning", "note"}
    count : int
        How many images, pairs or files it is about.
    which : tuple of str
        What it is about, the worst first: ids, or ``id = id`` for a pair.
    figures : mapping of str to float
        What was measured.
    facts : mapping of str to JSON-able values
        Names, ids and counts in addition to the figures.
    waived : str, optional
        The recipe's reason why it is known and accepted.
    """

    id: str
    severity: Severity
    count: int
    which: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    waived: str | None = None

    @property
    def says(self) -> str:
        """What was found, in sentences; free text."""
        return describe_finding(self).says

    @property
    def advice(self) -> str:
        """What to do about it, in sentences; free text."""
        return describe_finding(self).advice

    @property
    def topic(self) -> str:
        """The part of the audit that found it: ``leakage``, ``shortcut`` and so on."""
        return self.id.partition("-")[0]

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON-able values, its sentences included."""
        text = describe_finding(self)
        return {
            "id": self.id,
            "severity": self.severity,
            "says": text.says,
            "count": self.count,
            "which": list(self.which),
            "advice": text.advice,
            "figures": dict(self.figures),
            "facts": dict(self.facts),
            "waived": self.waived,
        }


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How well one family of simple features predicts the label, by grouped cross-validation.

    Parameters
    ----------
    name : str
        ``sharpness``, ``border`` and so on.
    looks_at : str
        What it sees of an image, in words.
    auc, low, high : float, optional
        Area under the ROC curve and its 95 % interval; 0.5 is chance, 1.0 a perfect prediction. None where it could not
        be measured.
    label : str, optional
        The class that is predicted best.
    why_not : str
        Why it could not be measured.
    """

    name: str
    looks_at: str
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    label: str | None = None
    why_not: str = ""

    @property
    def severity(self) -> Severity | None:
        """The severity of the shortcut that the interval shows; None where it shows none."""
        if self.low is None or self.low < WEAK_AUC:
            return None
        return "error" if self.low >= STRONG_AUC else "warning" if self.low >= PARTIAL_AUC else "note"

    @property
    def is_wide(self) -> bool:
        """Whether the interval is too wide to rule a shortcut out: it reaches, or could reach, one."""
        if self.low is None or self.high is None:
            return False
        return self.high >= STRONG_AUC or self.high - self.low >= WIDE_AUC

    def __str__(self) -> str:
        """Return the area and its interval."""
        if self.auc is None:
            return f"not measured: {self.why_not}"
        return f"{self.auc:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Check:
    """One check that was made, also where nothing was found.

    Parameters
    ----------
    id : str
        The code of the check.
    name : str
        What was checked, in words.
    result : str
        The result, in words.
    """

    id: str
    name: str
    result: str


@dataclass(frozen=True, kw_only=True)
class Crosstab:
    """Numbers by class and split: how many images of what, or which share of them.

    Parameters
    ----------
    name : str
        ``quality``, ``source``, ``sex`` and so on.
    says : str
        What is counted, in words.
    columns : tuple of str
        ``<split>: <class>``, in the order train, val, test.
    rows : tuple of (str, tuple of float)
        What a row is about, and its number in each column.
    unit : {"pictures", "share"}
        Images, or the share of the images of that class and split.
    """

    name: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    unit: Literal["pictures", "share"]


@dataclass(frozen=True)
class AuditPart:
    """The result of one part of an audit.

    Parameters
    ----------
    findings : tuple of Finding
    checks : tuple of Check
    crosstabs : tuple of Crosstab
        The same by class and split.
    """

    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    crosstabs: tuple[Crosstab, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of an audit of a version.

    Parameters
    ----------
    reference : str
        ``name@v<n>``.
    findings : tuple of Finding
        The worst first, then by id.
    probes : tuple of Probe
        What the label can be predicted from.
    checks : tuple of Check
        Every check that was made, also where nothing was found.
    crosstabs : tuple of Crosstab
        Quality, sources and strata by class and split.
    table : polars.DataFrame
        A row for each image: ``id``, ``split``, ``label``, and the measured values by name.
    remedies : mapping of str to tuple of Probe
        The probes after each remedy; empty unless asked for.
    """

    reference: str
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...] = ()
    checks: tuple[Check, ...] = ()
    crosstabs: tuple[Crosstab, ...] = ()
    table: pl.DataFrame = field(default_factory=pl.DataFrame, compare=False)
    remedies: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Finding]:
        """Iterate over the findings."""
        return iter(self.findings)

    def count(self, severity: Severity) -> int:
        """Return how many findings of this severity are not waived."""
        return sum(finding.severity == severity and finding.waived is None for finding in self.findings)

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of this severity or a worse one that are not waived."""
        levels = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return tuple(each for each in self.findings if each.severity in levels and each.waived is None)

    def as_json(self) -> dict[str, Any]:
        """Return the audit as JSON-able values; the table of measurements stays out."""
        return {
            "version": self.reference,
            "findings": [finding.as_json() for finding in self.findings],
            "probes": [asdict(probe) for probe in self.probes],
            "checks": [{"id": each.id, "check": each.name, "result": each.result} for each in self.checks],
            "tallies": [asdict(crosstab) for crosstab in self.crosstabs],
            "remedies": {name: [asdict(probe) for probe in probes] for name, probes in self.remedies.items()},
        }


def waive(findings: tuple[Finding, ...], reasons: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return the findings, those with a reason by their id waived, the worst first after ``FIRST``."""
    marked = [replace(each, waived=reasons[each.id]) if each.id in reasons else each for each in findings]
    return tuple(sorted(marked, key=lambda each: (each.id != FIRST, SEVERITIES.index(each.severity), each.id)))
