"""How well simple features tell a label: grouped cross-validation, the area under the curve, and its interval.

Groups never straddle a fold, so a probe cannot recognise a patient or a picture it was shown. Everything is
deterministic: features are ranks, the folds are not drawn, and nothing runs on more than one thread.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.dataset.findings import Probe

FOLDS: Final = 5
LEAST_GROUPS: Final = 4
"""A class with fewer groups is not probed."""
MOST_PICTURES: Final = 6000
"""More are not looked at: the interval is narrow enough by then."""
Z95: Final = 1.959964

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Folds:
    """Which pictures are probed, and how they are cut into folds; the same for every probe of an audit.

    Parameters
    ----------
    rows : (n,) int64 ndarray
        Rows of the table of measurements.
    labels, groups : (n,) ndarray
        Of those rows: class and group.
    fold : (n,) int64 ndarray
        The fold in which a row is held out.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    fold: NDArray[np.int64]

    @property
    def classes(self) -> list[str]:
        """The classes, sorted."""
        return sorted({str(label) for label in self.labels})

    def groups_of(self, label: str, *, inside: bool) -> int:
        """Return the number of groups of a class, or of all others."""
        return len(set(self.groups[(self.labels == label) == inside]))


def cut_folds(table: pl.DataFrame) -> Folds | str:
    """Cut the pictures into folds, or say why that cannot be done.

    Parameters
    ----------
    table : polars.DataFrame
        Rows with ``sha256``, ``label`` and ``group``, all of them readable.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    known = table.with_row_index("row").drop_nulls(["label", "group"]).sort("sha256", "row")
    if known.height > MOST_PICTURES:
        each = MOST_PICTURES // known["label"].n_unique()
        known = known.group_by("label", maintain_order=True).head(each)
    counts = known.group_by("label").agg(pl.col("group").n_unique()).sort("label")
    if counts.height < 2:
        return "there are not two classes"
    scarce = counts.filter(pl.col("group") < LEAST_GROUPS)
    if scarce.height:
        label, groups = scarce.row(0)
        return f"{label} has only {groups} independent groups of pictures, {LEAST_GROUPS} are needed"
    folds = min(FOLDS, int(counts["group"].min()))  # type: ignore[arg-type]  # an integer column's minimum
    labels, groups = known["label"].to_numpy().astype(str), known["group"].to_numpy().astype(str)
    fold = np.zeros(known.height, np.int64)
    splitter = StratifiedGroupKFold(folds)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(known.height), labels, groups)):
        fold[held_out] = number
    return Folds(known["row"].to_numpy().astype(np.int64), labels, groups, fold)


def probe(features: Floats, folds: Folds, *, name: str, looks_at: str) -> Probe:
    """Return how well the features tell the label; of several classes, the one that is told best.

    Parameters
    ----------
    features : (rows of the table, k) float64 ndarray
    """
    chosen = features[folds.rows]
    classes = folds.classes if len(folds.classes) > 2 else folds.classes[-1:]
    best = (-1.0, "")
    for label in classes:
        truth = folds.labels == label
        best = max(best, (area(held_out_scores(chosen, truth, folds), truth, folds.fold), label))
    value, label = best
    low, high = interval(value, folds.groups_of(label, inside=True), folds.groups_of(label, inside=False))
    return Probe(name=name, looks_at=looks_at, auc=round(value, 3), low=round(low, 3), high=round(high, 3), label=label)


def held_out_scores(features: Floats, truth: NDArray[np.bool_], folds: Folds) -> Floats:
    """Return for each picture how sure a model that never saw its fold is that it is of the class: 0 to 1.

    A logistic regression over each feature's rank among the pictures it was trained on, and over that rank's square,
    so that "too much or too little" is seen as well as "more". Where no feature varies it is 0.5.
    """
    from sklearn.linear_model import LogisticRegression

    scores, levels = np.full(len(features), 0.5), _levels(features)
    for number in np.unique(folds.fold):
        held_out = folds.fold == number
        ranks = _ranks(levels, known=~held_out)
        ranks = np.hstack([ranks, 1.5 * ranks**2 - 0.5])
        known, new = ranks[~held_out], ranks[held_out]
        varies = known.std(axis=0) > 0
        if varies.any() and len(set(truth[~held_out])) == 2:
            strength = 10.0 / max(10, int(varies.sum()))
            model = LogisticRegression(C=strength, max_iter=2000).fit(known[:, varies], truth[~held_out])
            scores[held_out] = model.predict_proba(new[:, varies])[:, 1].round(9)
    return scores


def _levels(features: Floats) -> NDArray[np.int64]:
    """Return for each value how many smaller ones its column holds, each counted once: (n, k) int64."""
    order = np.argsort(features, axis=0, kind="stable")
    ordered = np.take_along_axis(features, order, axis=0)
    steps = np.zeros(features.shape, np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], axis=0, out=steps[1:])
    levels = np.empty_like(steps)
    np.put_along_axis(levels, order, steps, axis=0)
    return levels


def _ranks(levels: NDArray[np.int64], *, known: NDArray[np.bool_]) -> Floats:
    """Return every value's mean rank among the known ones of its column, as -1 to 1; equal values share theirs."""
    height, columns = int(levels.max(initial=0)) + 1, np.arange(levels.shape[1])
    places = (levels[known] * len(columns) + columns).ravel()
    counts = np.bincount(places, minlength=height * len(columns)).reshape(height, len(columns))
    upto = counts.cumsum(axis=0)
    ranks: Floats = (2 * upto - counts)[levels, columns] / int(known.sum()) - 1
    return ranks


def area(scores: Floats, truth: NDArray[np.bool_], fold: NDArray[np.int64]) -> float:
    """Return the area under the ROC curve over the pairs that were held out together; a tie counts half."""
    won = pairs = 0.0
    for number in np.unique(fold):
        inside = scores[(fold == number) & truth]
        others = np.sort(scores[(fold == number) & ~truth])
        below = np.searchsorted(others, inside, side="left")
        upto = np.searchsorted(others, inside, side="right")
        won += float((below + upto).sum()) / 2
        pairs += len(inside) * len(others)
    return won / pairs if pairs else 0.5


def interval(value: float, inside: int, others: int) -> tuple[float, float]:
    """Return the 95 % interval of an area under the curve, from the number of independent groups on either side.

    Newcombe's score interval, method 5 (Statistics in Medicine 25, 2006, 559 to 573): unlike the usual standard
    error it does not shrink to nothing at 1.0. Counting groups, not pictures, takes pictures of one patient as one.
    """
    half = (inside + others) / 2 - 1

    def beyond(area_: float) -> float:
        spread = 1 + half * (1 - area_) / (2 - area_) + half * area_ / (1 + area_)
        return abs(value - area_) - Z95 * math.sqrt(max(area_ * (1 - area_) * spread, 0.0) / (inside * others))

    return _root(beyond, value, 0.0), _root(beyond, value, 1.0)


def _root(beyond: Callable[[float], float], near: float, far: float) -> float:
    """Return where ``beyond`` changes its sign between the estimate (below 0) and the end of the scale."""
    if beyond(far) <= 0:
        return far
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (middle, far) if beyond(middle) <= 0 else (near, middle)
    return (near + far) / 2


def wilson(hits: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson, 1927).

    Examples
    --------
    >>> [round(end, 3) for end in wilson(32, 32)]
    [0.893, 1.0]
    """
    if not trials:
        return 0.0, 1.0
    rate, weight = hits / trials, Z95**2 / trials
    middle = (rate + weight / 2) / (1 + weight)
    reach = Z95 / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    return max(0.0, min(rate, middle - reach)), min(1.0, max(rate, middle + reach))
