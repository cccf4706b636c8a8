"""The contents of a version or a draft: counts per class, split and reason."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curation.dataset.findings import NOT_AUDITED
from curation.dataset.layout import Home
from curation.dataset.manifest import Manifest, count_reasons
from curation.dataset.split_counts import count_splits
from curation.versions.store import Draft, Version, open_table

MAX_UNAUDITED_BYTES = 1 << 20
CLASS = pl.coalesce("label", pl.lit("context:") + pl.col("source_label"), pl.lit("no label")).alias("class")


@dataclass(frozen=True)
class ClassReason:
    """How many rows of one class were excluded by one stage for one reason; ``text`` is the reason as it is shown."""

    label: str
    stage: str
    reason: str
    detail: str | None
    text: str
    rows: int


@dataclass(frozen=True)
class Shown:
    """The counts of a version or a draft.

    Parameters
    ----------
    reference : str
        ``name@v<n>`` or ``name@draft``.
    digest : str, optional
        None for a draft.
    rows, kept, reserve : int
        All files, the images kept, and those of them that are used although disputed.
    counts : mapping
        Split -> class -> images. Empty before selection.
    undecided : mapping
        Class -> kept images that have no split yet, in a draft.
    reasons : tuple of ClassReason
        Sorted by class (``context:<source label>`` for rows without a class), the most frequent first.
    sources : mapping
        Source -> {"rows", "kept"}.
    failed : mapping, optional
        A draft's ``stage``, ``code``, ``reason`` and ``hint``.
    audited : bool
        False for a version whose audit was left for later.
    """

    reference: str
    digest: str | None
    rows: int
    kept: int
    reserve: int
    counts: Mapping[str, Mapping[str, int]]
    undecided: Mapping[str, int]
    reasons: tuple[ClassReason, ...]
    sources: Mapping[str, Mapping[str, int]]
    failed: Mapping[str, Any] | None = None
    audited: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the counts as lines of text."""
        digest = f" ({self.digest[:12]})" if self.digest else ""
        lines = [f"{self.reference}{digest}: {self.kept:,} of {self.rows:,} files kept, {self.reserve} of them reserve"]
        if not self.audited:
            lines.append(f"  not audited yet: run `python -m curation audit {self.reference}`")
        if self.failed:
            lines.append(f"  stopped at {self.failed['stage']}: {self.failed['reason']}")
        for split, counts in self.counts.items():
            lines.append(f"  {split}: " + ", ".join(f"{count:,} {label}" for label, count in counts.items()))
        if self.undecided:
            lines.append("  no split: " + ", ".join(f"{count:,} {label}" for label, count in self.undecided.items()))
        lines += [f"  out: {each.rows:,} {each.label}: {each.stage}: {each.text}" for each in self.reasons]
        lines += [f"  from {name}: {each['kept']:,} of {each['rows']:,}" for name, each in self.sources.items()]
        return "\n".join(lines)


def show(home: Home, reference: str) -> Shown:
    """Count the contents of a version or a draft (``name@draft``).

    Raises
    ------
    CurationError
        Where there is none, or its files are absent.
    """
    table = open_table(home, reference)
    manifest, kept = table.manifest, table.manifest.kept
    classes = sorted(manifest.rows["label"].drop_nulls().unique())
    failed = None
    if isinstance(table, Draft):
        failed = {field: table.description.get(field) for field in ("stage", "code", "reason", "hint")}
    return Shown(
        reference=f"{table.name}@v{table.number}" if isinstance(table, Version) else f"{table.name}@draft",
        digest=table.digest if isinstance(table, Version) else None,
        rows=len(manifest),
        kept=kept.height,
        reserve=int(kept["reserve"].fill_null(value=False).sum()),
        counts=count_splits(kept, classes=sorted(classes)),
        undecided=dict(kept.filter(pl.col("split").is_null()).group_by(CLASS).len().sort("class").rows()),
        reasons=count_by_class(manifest),
        sources=_count_sources(manifest),
        failed=failed,
        audited=not isinstance(table, Version) or is_audited(table.folder),
    )


def is_audited(folder: Path) -> bool:
    """Return whether the audit of a version was not left for later; the file that states so is short."""
    audit = folder / "audit.json"
    try:
        if audit.stat().st_size > MAX_UNAUDITED_BYTES:
            return True
        findings = json.loads(audit.read_text(encoding="utf-8")).get("findings", [])
    except (OSError, ValueError, AttributeError):
        return True
    return all(finding.get("id") != NOT_AUDITED for finding in findings)


def count_by_class(manifest: Manifest) -> tuple[ClassReason, ...]:
    """Return why rows were excluded, class by class, each class's most frequent reason first."""
    rejected = manifest.rejected.with_columns(CLASS)
    return tuple(
        ClassReason(label, each.excluded_by, each.reason, each.detail, each.phrase, each.rows)
        for label in sorted(rejected["class"].unique())
        for each in count_reasons(rejected.filter(pl.col("class") == label))
    )


def _count_sources(manifest: Manifest) -> dict[str, dict[str, int]]:
    kept = pl.col("excluded_by").is_null().sum()
    counts = manifest.rows.group_by("source").agg(pl.len().alias("rows"), kept.alias("kept")).sort("source")
    return {source: {"rows": rows, "kept": count} for source, rows, count in counts.rows()}
