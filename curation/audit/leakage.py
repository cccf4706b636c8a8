"""Finds what lies on two sides of the split: near duplicates by other means than the build's, and shared origins.

The build proposes by hash and confirms by thumbnail. Here an index of descriptors proposes, whole against whole in
eight orientations and whole against crops of the other; the published files are aligned and must agree everywhere.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.audit.candidate_index import places
from curation.audit.crop_matching import Match
from curation.audit.measurements import Measured
from curation.audit.same_images import SameImages
from curation.dataset.finding_texts import ORIGINS
from curation.dataset.findings import AuditPart, Check, Finding

NUMBERED: Final = re.compile(r"(?P<stem>.*?)(?P<number>\d{3,})$")
TOKEN: Final = re.compile(r"[A-Za-z]{0,12}[_-]?\d{5,}")
BURST_CORRELATION: Final = 0.9
FAR: Final = 10
"""Images at least so many places apart in the numbering are not of one moment: they show how alike the set is."""
FAR_PAIRS: Final = 2_000
FAR_QUANTILE: Final = 0.999
NEAR_DUPLICATES: Final = "near duplicates across splits"


def find_leaks(measured: Measured, same: SameImages) -> AuditPart:
    """Return what lies on two sides of the split, and every check that was made.

    Parameters
    ----------
    measured : Measured
    same : SameImages
        The images that are the same.
    """
    readable = measured.readable
    if readable["split"].drop_nulls().n_unique() < 2:
        return AuditPart(checks=(Check("near-duplicates-across-splits", NEAR_DUPLICATES, "there is only one split"),))
    split = readable["split"].to_list()
    matches = [match for match in same.matches if split[match.one] != split[match.other]]
    whole = [match for match in matches if match.scale == 1.0]
    cropped = [match for match in matches if match.scale < 1.0]
    findings = [
        _pairs_found("leakage-look-alike", readable["id"], whole, same),
        _pairs_found("leakage-crop", readable["id"], cropped, same),
        *_shared(measured.table),
        _bursts(measured, readable),
    ]
    checks = [
        Check(
            "near-duplicates-across-splits",
            NEAR_DUPLICATES,
            f"each compared with its nearest as a whole, in eight orientations: {len(whole)} found; {same.describe()}",
        ),
        Check(
            "crops-across-splits",
            "crops across splits",
            f"each compared with {len(places()) - 1} crops of the others, down to 80 %: {len(cropped)} found",
        ),
        *_origin_checks(measured.table),
    ]
    return AuditPart(tuple(each for each in findings if each is not None), tuple(checks))


def _name_pairs(ids: pl.Series, pairs: Iterable[tuple[int, int, float]]) -> list[str]:
    ranked = sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))
    return [" = ".join(sorted((str(ids[one]), str(ids[other])))) for one, other, _ in ranked]


def _pairs_found(name: str, ids: pl.Series, matches: Sequence[Match], same: SameImages) -> Finding | None:
    if not matches:
        return None
    which = tuple(" = ".join(sorted((str(ids[match.one]), str(ids[match.other])))) for match in matches)
    return Finding(id=name, severity="error", count=len(which), which=which, facts=same.facts(matches))


ORIGIN_COLUMNS: Final = {
    "sha256": "same-bytes",
    "patient": "patient",
    "lesion": "lesion",
    "group_key": "group",
    "image": "source-image",
}
"""The columns that name an origin, and the ending of their finding's code."""


def _with_image(table: pl.DataFrame) -> pl.DataFrame:
    """Add the numbers in the file names that may number an image: five digits or more."""
    stems = [str(path).replace("\\", "/").rpartition("/")[2].rpartition(".")[0] for path in table["path"]]
    tokens = [sorted(set(TOKEN.findall(stem))) for stem in stems]
    return table.with_columns(image=pl.Series(tokens, dtype=pl.List(pl.String)))


def _origins(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return value, ids and number of sources of each origin on two sides of the split."""
    rows = _with_image(table).select("id", "split", "source", column)
    rows = rows.explode("image", empty_as_null=True) if column == "image" else rows
    shared = rows.drop_nulls().group_by(column).agg(pl.col("split", "source").n_unique(), pl.col("id").sort())
    return shared.filter(pl.col("split") > 1).sort(column)


def _shared(table: pl.DataFrame) -> list[Finding]:
    findings = []
    for column, name in ORIGIN_COLUMNS.items():
        shared = _origins(table, column)
        if shared.height:
            apart = int((shared["source"] > 1).sum())
            which = tuple(f"{value}: {' = '.join(ids)}" for value, ids in shared.select(column, "id").rows())
            findings.append(
                Finding(
                    id=f"leakage-{name}",
                    severity="warning" if column == "image" else "error",
                    count=shared.height,
                    which=which,
                    facts={"several_sources": apart},
                )
            )
    return findings


def _origin_checks(table: pl.DataFrame) -> list[Check]:
    checks = []
    for column, name in ORIGIN_COLUMNS.items():
        known = (
            _with_image(table).filter(pl.col(column).list.len() > 0) if column == "image" else table.drop_nulls(column)
        )
        if column == "lesion" and not known.height:
            continue  # a word of one field, where no recipe of that field gives the column
        count = _origins(table, column).height
        result = f"known for {known.height:,} of {table.height:,} images: {count} on two sides"
        words = f"{ORIGINS[name]} across splits"
        checks.append(Check(f"{name}-across-splits", words, result if known.height else "not known for any image"))
    return checks


def _bursts(measured: Measured, readable: pl.DataFrame) -> Finding | None:
    """Return neighbors in the numbering of one source that correlate and lie on two sides: shots of one moment.

    In a set of objects that are framed alike every image correlates with every other, so neighbors must also correlate
    more than images far apart in the numbering do.
    """
    numbers: list[tuple[str, int, int]] = []
    for row, (source, path) in enumerate(readable.select("source", "path").iter_rows()):
        found = NUMBERED.match(str(path).rpartition("/")[2].rpartition(".")[0])
        if found:
            numbers.append((f"{source}/{found['stem']}", int(found["number"]), row))
    numbers.sort()
    split = readable["split"].to_list()
    candidates = [
        (before[2], after[2])
        for before, after in pairwise(numbers)
        if before[0] == after[0] and 0 < after[1] - before[1] <= 2 and split[before[2]] != split[after[2]]
    ]
    if not candidates:
        return None
    least = max(BURST_CORRELATION, _usual_correlation(measured, numbers))
    strengths = _color_correlations(measured.color, candidates)
    found_pairs = [(*pair, strength) for pair, strength in zip(candidates, strengths, strict=True) if strength > least]
    if not found_pairs:
        return None
    which = _name_pairs(readable["id"], found_pairs)
    return Finding(
        id="leakage-burst",
        severity="warning",
        count=len(which),
        which=tuple(which),
    )


def _usual_correlation(measured: Measured, numbers: Sequence[tuple[str, int, int]]) -> float:
    """Return what hardly any pair of images far apart in one numbering exceeds; -1 where there are no such pairs."""
    far = [
        (one[2], other[2])
        for gap in range(FAR, len(numbers), max(1, len(numbers) * len(numbers) // (2 * FAR_PAIRS)))
        for one, other in zip(numbers, numbers[gap:], strict=False)
        if one[0] == other[0]
    ][:FAR_PAIRS]
    if not far:
        return -1.0
    return float(np.quantile(_color_correlations(measured.color, far), FAR_QUANTILE))


def _color_correlations(color: NDArray[np.uint8], pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Return how well the images of each pair correlate; 0 where one of them is flat."""
    ends = np.array(pairs, np.int64)
    found = []
    for part in np.array_split(ends, max(1, len(ends) // 1024)):
        one, other = (color[rows].reshape(len(part), -1).astype(np.float64) for rows in part.T)
        one -= one.mean(axis=1, keepdims=True)
        other -= other.mean(axis=1, keepdims=True)
        power = (one * one).sum(axis=1) * (other * other).sum(axis=1)
        shared = (one * other).sum(axis=1)
        found += np.where(power > 0, shared / np.sqrt(np.where(power > 0, power, 1)), 0).tolist()
    return found
