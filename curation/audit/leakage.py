"""Does anything stand on two sides of the split? Look-alikes by other means than the build's, and shared origins.

The build proposes by hash and confirms by thumbnail. Here every pair across the split is compared: whole against
whole in eight orientations, and whole against cut-outs of the other; what comes near is laid over each other and must
agree in its fine detail too, since one dark spot on pale skin resembles the next in everything else.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.audit.crop_matching import MOST_MATCHES, Match, coarse_matches, places, refine_all
from curation.audit.measurements import Measured
from curation.dataset.findings import Finding, Outcome, count_of

NUMBERED: Final = re.compile(r"(?P<stem>.*?)(?P<number>\d{3,})$")
TOKEN: Final = re.compile(r"[A-Za-z]{0,12}[_-]?\d{5,}")
BURST_CORRELATION: Final = 0.9


def find_leaks(measured: Measured) -> Outcome:
    """Return what lies on two sides of the split, and every check that was made."""
    readable = measured.readable
    splits = readable["split"].drop_nulls().unique().sort().to_list()
    if len(splits) < 2:
        return Outcome(checks=(("look-alikes across splits", "there is one split, so nothing can leak"),))
    matches, near, close = _compare(measured.grey, readable, splits)
    whole = [match for match in matches if match.scale == 1.0]
    cropped = [match for match in matches if match.scale < 1.0]
    pairs = sum(_count(readable, one) * _count(readable, other) for one, other in _across(splits))
    ids = readable["id"]
    looks = _name_pairs(ids, ((match.one, match.other, match.detail) for match in whole))
    crops = _name_pairs(ids, ((match.one, match.other, match.detail) for match in cropped))
    findings = [
        _finding("leakage-look-alike", "across the split show one and the same picture", looks),
        _finding("leakage-crop", "across the split are a picture and a part of it", crops),
        *_shared(measured.table),
        _bursts(measured, readable),
    ]
    checks = [
        ("look-alikes across splits", f"{pairs:,} pairs compared as a whole in eight orientations: {len(whole)} found"),
        (
            "crops across splits",
            f"each against {len(places()) - 1} cut-outs of the other, down to 80 %: {len(cropped)} found; "
            f"of {count_of(near, 'pair')} that came near the nearest {close:,} were laid over each other",
        ),
        *_told(measured.table),
    ]
    return Outcome(tuple(each for each in findings if each is not None), tuple(checks))


def _across(splits: list[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for number, one in enumerate(splits) for other in splits[number + 1 :])


def _count(table: pl.DataFrame, split: str) -> int:
    return int((table["split"] == split).sum())


def _compare(grey: NDArray[np.uint8], readable: pl.DataFrame, splits: list[str]) -> tuple[list[Match], int, int]:
    """Return the pairs that show the same, how many came near, and how many of these were looked at closely."""
    split = readable["split"].to_numpy()
    found: list[Match] = []
    near = close = 0
    for one, other in _across(splits):
        left, right = np.flatnonzero(split == one), np.flatnonzero(split == other)
        candidates = coarse_matches(grey, left, right, tried=places())
        near, close = near + len(candidates), close + min(len(candidates), MOST_MATCHES)
        found += refine_all(grey, candidates)
    return found, near, close


def _name_pairs(ids: pl.Series, pairs: Iterable[tuple[int, int, float]]) -> list[str]:
    ranked = sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))
    return [" = ".join(sorted((str(ids[one]), str(ids[other])))) for one, other, _ in ranked]


def _finding(name: str, words: str, which: list[str]) -> Finding | None:
    if not which:
        return None
    return Finding(
        id=name,
        severity="error",
        says=f"{count_of(len(which), 'pair')} {words}",
        count=len(which),
        which=tuple(which),
        advice="look at each pair; exclude one of the two, or widen `radius` under [duplicates], and build again",
    )


ORIGINS: Final = {
    "sha256": ("same-bytes", "the very same source file"),
    "patient": ("patient", "the same patient"),
    "lesion": ("lesion", "the same lesion"),
    "group_key": ("group", "the same group of the recipe"),
    "image": ("source-image", "the same picture number in their file names"),
}


def _with_image(table: pl.DataFrame) -> pl.DataFrame:
    """Add the numbers in the file names that look like a picture's own: five digits or more."""
    stems = [str(path).replace("\\", "/").rpartition("/")[2].rpartition(".")[0] for path in table["path"]]
    tokens = [sorted(set(TOKEN.findall(stem))) for stem in stems]
    return table.with_columns(image=pl.Series(tokens, dtype=pl.List(pl.String)))


def _origins(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return value, ids and number of sources for what stands on two sides of the split."""
    rows = _with_image(table).select("id", "split", "source", column)
    rows = rows.explode("image", empty_as_null=True) if column == "image" else rows
    shared = rows.drop_nulls().group_by(column).agg(pl.col("split", "source").n_unique(), pl.col("id").sort())
    return shared.filter(pl.col("split") > 1).sort(column)


def _shared(table: pl.DataFrame) -> list[Finding]:
    findings = []
    for column, (name, words) in ORIGINS.items():
        shared = _origins(table, column)
        if shared.height:
            apart = int((shared["source"] > 1).sum())
            which = tuple(f"{value}: {' = '.join(ids)}" for value, ids in shared.select(column, "id").rows())
            findings.append(
                Finding(
                    id=f"leakage-{name}",
                    severity="warning" if column == "image" else "error",
                    says=f"{count_of(shared.height, 'origin')} on two sides of the split: {words}{_tell_apart(apart)}",
                    count=shared.height,
                    which=which,
                    advice="; ".join(_advise(within=apart < shared.height, apart=apart > 0)),
                )
            )
    return findings


def _tell_apart(apart: int) -> str:
    return f" ({apart:,} of them in more than one source, which no build compares but by their looks)" if apart else ""


def _advise(*, within: bool, apart: bool) -> Iterator[str]:
    """Say what a person can do: a `group` rule joins what comes from one source, and nothing besides."""
    if within:
        yield "name it in the source's `group`, so that its pictures stay on one side, and build again"
    if apart:
        yield (
            "no `group` rule joins pictures of two sources: look at each pair, exclude the picture of one side where "
            "they are of one origin (`python -m curation review`), and build again"
        )


def _told(table: pl.DataFrame) -> list[tuple[str, str]]:
    told = []
    for column, (_, words) in ORIGINS.items():
        known = (
            _with_image(table).filter(pl.col(column).list.len() > 0) if column == "image" else table.drop_nulls(column)
        )
        count = _origins(table, column).height
        result = f"known of {known.height:,} of {table.height:,} pictures: {count} on two sides"
        told.append((f"{words} across splits", result if known.height else "not known of any picture"))
    return told


def _bursts(measured: Measured, readable: pl.DataFrame) -> Finding | None:
    """Return neighbours in the numbering of one source that look alike and lie on two sides: shots of one moment."""
    numbers: list[tuple[str, int, int]] = []
    for row, (source, path) in enumerate(readable.select("source", "path").iter_rows()):
        found = NUMBERED.match(str(path).rpartition("/")[2].rpartition(".")[0])
        if found:
            numbers.append((f"{source}/{found['stem']}", int(found["number"]), row))
    split, found_pairs = readable["split"].to_list(), []
    for before, after in zip(sorted(numbers), sorted(numbers)[1:], strict=False):
        one, other = before[2], after[2]
        if before[0] == after[0] and 0 < after[1] - before[1] <= 2 and split[one] != split[other]:
            worth = _colour_correlation(measured.colour[one], measured.colour[other])
            if worth >= BURST_CORRELATION:
                found_pairs.append((one, other, worth))
    if not found_pairs:
        return None
    which = _name_pairs(readable["id"], found_pairs)
    return Finding(
        id="leakage-burst",
        severity="warning",
        says=f"{count_of(len(which), 'pair')} across the split are neighbours in their numbering and look alike",
        count=len(which),
        which=tuple(which),
        advice="look at each pair: shots of one moment belong on one side; name what they share in `group`",
    )


def _colour_correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    left, right = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    if left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
