"""What an audit says of a version: findings, and the measurements they rest on.

These values are made in one room (the audit) and shown in others (the page, the card, the command line), which may
not know one another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import polars as pl

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""The worst first. An error stands against the use of the set, a warning limits what it can show, a note is to know."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing an audit found.

    Parameters
    ----------
    id : str
        Names the kind of finding, ``topic-what``; a recipe waives a finding by it.
    severity : str
    says : str
        One sentence: what was found.
    count : int
        How many pictures, pairs or files it is about.
    which : tuple of str
        What it is about, the worst first: ids, or ``id = id`` for a pair.
    advice : str
        What to do about it.
    figures : mapping of str to float
        What was measured.
    waived : str, optional
        The recipe's reason why it is known and accepted.
    """

    id: str
    severity: Severity
    says: str
    count: int
    which: tuple[str, ...] = ()
    advice: str
    figures: Mapping[str, float] = field(default_factory=dict)
    waived: str | None = None

    @property
    def topic(self) -> str:
        """The part of the audit that found it: ``leakage``, ``shortcut`` and so on."""
        return self.id.partition("-")[0]

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON-able values."""
        return {**asdict(self), "which": list(self.which), "figures": dict(self.figures)}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How well one family of simple features tells the label, by grouped cross-validation.

    Parameters
    ----------
    name : str
        ``sharpness``, ``border`` and so on.
    looks_at : str
        What it sees of a picture, in words.
    auc, low, high : float, optional
        Area under the ROC curve and its 95 % interval; 0.5 is chance, 1.0 gives every label away. None where it could
        not be measured.
    label : str, optional
        The class that is told from the others best.
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

    def __str__(self) -> str:
        """Return the area and its interval."""
        if self.auc is None:
            return f"not measured: {self.why_not}"
        return f"{self.auc:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Numbers by class and split: how many pictures of what, or which share of them.

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
    unit : str
        ``pictures``, or ``share`` of the pictures of that class and split.
    """

    name: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    unit: Literal["pictures", "share"]


@dataclass(frozen=True)
class Outcome:
    """What one part of an audit came to.

    Parameters
    ----------
    findings : tuple of Finding
    checks : tuple of (str, str)
        What was checked, and what came of it in words.
    tallies : tuple of Tally
        The same by class and split.
    """

    findings: tuple[Finding, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    tallies: tuple[Tally, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit of a version came to.

    Parameters
    ----------
    reference : str
        ``name@v<n>``.
    findings : tuple of Finding
        The worst first, then by id.
    probes : tuple of Probe
        What the label can be told by.
    checks : tuple of (str, str)
        Every check that was made, and what came of it in words, also where nothing was found.
    tallies : tuple of Tally
        Quality, sources and strata by class and split.
    table : polars.DataFrame
        A row a picture that could be read: ``id``, ``split``, ``label``, and the measured values by name.
    remedies : mapping of str to tuple of Probe
        What the probes give after each remedy; empty unless asked for.
    """

    reference: str
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    tallies: tuple[Tally, ...] = ()
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
            "checks": [{"check": check, "result": result} for check, result in self.checks],
            "tallies": [asdict(tally) for tally in self.tallies],
            "remedies": {name: [asdict(probe) for probe in probes] for name, probes in self.remedies.items()},
        }


def waive(findings: tuple[Finding, ...], reasons: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return the findings, those with a reason by their id waived, the worst first."""
    told = [replace(each, waived=reasons[each.id]) if each.id in reasons else each for each in findings]
    return tuple(sorted(told, key=lambda each: (SEVERITIES.index(each.severity), each.id)))


def count_of(number: int, word: str, plural: str | None = None) -> str:
    """Return a number with its word.

    Examples
    --------
    >>> count_of(1, "picture"), count_of(2_000, "picture")
    ('1 picture', '2,000 pictures')
    """
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
