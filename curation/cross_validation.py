"""Grouped cross-validation: how well features predict a label, on groups that the model was not fitted on.

A group never lies in two folds, so a probe cannot recognize a patient or an image that it was fitted on. The audit and
training share these functions. Everything is deterministic and runs on one thread.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.dataset.findings import Probe

FOLDS: Final = 5
MIN_GROUPS: Final = 4
"""A class with fewer groups is not probed."""
MAX_IMAGES: Final = 6000
"""More images are not probed: the interval is narrow enough by then."""
Z95: Final = 1.959964

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Folds:
    """The images that are probed and their folds; the same for every probe of an audit.

    Parameters
    ----------
    rows : (n,) int64 ndarray
        Rows of the table of measurements.
    labels, groups : (n,) str ndarray
        Class and group of those rows.
    fold : (n,) int64 ndarray
        The fold in which a row is held out.
    """

    rows: Rows
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    fold: Rows

    @property
    def classes(self) -> list[str]:
        """The classes, sorted."""
        return sorted({str(label) for label in self.labels})

    def count_groups(self, label: str, *, inside: bool) -> int:
        """Return the number of groups of a class, or of all others."""
        return len(set(self.groups[(self.labels == label) == inside]))


@dataclass(frozen=True)
class NoFolds:
    """Why images cannot be cut into folds.

    Parameters
    ----------
    reason : {"one-class", "few-groups"}
    label : str, optional
        The class with too few groups.
    groups : int
        How many groups it has.
    """

    reason: Literal["one-class", "few-groups"]
    label: str | None = None
    groups: int = 0

    def __str__(self) -> str:
        """Return the reason as a sentence without a full stop."""
        if self.reason == "one-class":
            return "there are not two classes"
        return f"{self.label} has only {self.groups} independent groups of images, {MIN_GROUPS} are needed"


def assign_folds(labels: NDArray[Any], groups: NDArray[Any], *, folds: int, seed: int | None = None) -> Rows:
    """Return the fold in which each row is held out, stratified by label, every group in one fold: (n,) int64.

    Parameters
    ----------
    labels, groups : (n,) ndarray
    folds : int
        Two or more; each class needs as many groups.
    seed : int, optional
        Shuffles the groups before they are assigned; without it nothing is drawn.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # one second to import; the unchanged build needs none

    splitter = StratifiedGroupKFold(folds, shuffle=seed is not None, random_state=seed)
    fold = np.zeros(len(labels), np.int64)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
        fold[held_out] = number
    return fold


def predict_held_out(fold: Rows, predict: Callable[[Mask], NDArray[Any]]) -> NDArray[Any]:
    """Return for each row the prediction of a model that was fitted on the other folds: (n,) ndarray.

    Parameters
    ----------
    fold : (n,) int64 ndarray
        The fold in which each row is held out, as ``assign_folds`` returns it.
    predict : function of an (n,) bool ndarray
        Fits on the rows where its argument is False and returns the predictions for the rows where it is True.
    """
    answers = [(held_out, predict(held_out)) for held_out in (fold == number for number in np.unique(fold))]
    found = np.empty(len(fold), np.result_type(*(values.dtype for _, values in answers)) if answers else np.float64)
    for held_out, values in answers:
        found[held_out] = values
    return found


def cut_folds(table: pl.DataFrame) -> Folds | NoFolds:
    """Cut images into folds, or return why that is not possible.

    Parameters
    ----------
    table : polars.DataFrame
        Rows with ``sha256``, ``label`` and ``group``. Rows without label or group are not used.
    """
    known = table.with_row_index("row").drop_nulls(["label", "group"]).sort("sha256", "row")
    if known.height > MAX_IMAGES:
        each = MAX_IMAGES // known["label"].n_unique()
        known = known.group_by("label", maintain_order=True).head(each)
    counts = known.group_by("label").agg(pl.col("group").n_unique()).sort("label")
    if counts.height < 2:
        return NoFolds("one-class")
    scarce = counts.filter(pl.col("group") < MIN_GROUPS)
    if scarce.height:
        return NoFolds("few-groups", *scarce.row(0))
    labels, groups = known["label"].to_numpy().astype(str), known["group"].to_numpy().astype(str)
    fold = assign_folds(labels, groups, folds=min(FOLDS, min(counts["group"].to_list())))
    return Folds(known["row"].to_numpy().astype(np.int64), labels, groups, fold)


def probe(features: Floats, folds: Folds, *, name: str, looks_at: str) -> Probe:
    """Return how well the features predict the label; of several classes, the one that is predicted best.

    Parameters
    ----------
    features : (rows of the table, k) float64 ndarray
    name, looks_at : str
        The probe's name, and what it sees of an image.
    """
    chosen = features[folds.rows]
    classes = folds.classes if len(folds.classes) > 2 else folds.classes[-1:]
    best = (-1.0, "")
    for label in classes:
        truth = folds.labels == label
        best = max(best, (grouped_auc(held_out_scores(chosen, truth, folds), truth, folds.fold), label))
    value, label = best
    low, high = auc_interval(value, folds.count_groups(label, inside=True), folds.count_groups(label, inside=False))
    return Probe(name=name, looks_at=looks_at, auc=round(value, 3), low=round(low, 3), high=round(high, 3), label=label)


def held_out_scores(features: Floats, truth: Mask, folds: Folds) -> Floats:
    """Return the probability that each image is of the class, by a model that was not fitted on its fold: 0 to 1.

    A logistic regression over each feature's rank among the images that it was fitted on, and over that rank's square,
    so that a class at both ends of a scale is found as well. 0.5 where no feature varies.

    Parameters
    ----------
    features : (n, k) float64 ndarray
    truth : (n,) bool ndarray
        Which images are of the class.
    """
    from sklearn.linear_model import LogisticRegression  # one second to import; the unchanged build needs none

    levels = _levels(features)

    def predict(held_out: Mask) -> Floats:
        ranks = _ranks(levels, known=~held_out)
        ranks = np.hstack([ranks, 1.5 * ranks**2 - 0.5])
        known, new = ranks[~held_out], ranks[held_out]
        varies = known.std(axis=0) > 0
        if not varies.any() or len(set(truth[~held_out])) != 2:
            return np.full(len(new), 0.5)
        strength = 10.0 / max(10, int(varies.sum()))
        model = LogisticRegression(C=strength, max_iter=2000).fit(known[:, varies], truth[~held_out])
        scores: Floats = model.predict_proba(new[:, varies])[:, 1].round(9)
        return scores

    return predict_held_out(folds.fold, predict)


def _levels(features: Floats) -> Rows:
    """Return for each value the number of distinct smaller values in its column: (n, k) int64."""
    order = np.argsort(features, axis=0, kind="stable")
    ordered = np.take_along_axis(features, order, axis=0)
    steps = np.zeros(features.shape, np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], axis=0, out=steps[1:])
    levels = np.empty_like(steps)
    np.put_along_axis(levels, order, steps, axis=0)
    return levels


def _ranks(levels: Rows, *, known: Mask) -> Floats:
    """Return every value's mean rank among the known ones of its column, from -1 to 1: (n, k) float64."""
    height, columns = int(levels.max(initial=0)) + 1, np.arange(levels.shape[1])
    places = (levels[known] * len(columns) + columns).ravel()
    counts = np.bincount(places, minlength=height * len(columns)).reshape(height, len(columns))
    upto = counts.cumsum(axis=0)
    ranks: Floats = (2 * upto - counts)[levels, columns] / int(known.sum()) - 1
    return ranks


def grouped_auc(scores: Floats, truth: Mask, fold: Rows) -> float:
    """Return the area under the ROC curve over the pairs that were held out together; a tie counts half.

    Parameters
    ----------
    scores : (n,) float64 ndarray
    truth : (n,) bool ndarray
    fold : (n,) int64 ndarray
        Scores of different folds come from different models and are not compared.
    """
    won = pairs = 0.0
    for number in np.unique(fold):
        inside = scores[(fold == number) & truth]
        others = np.sort(scores[(fold == number) & ~truth])
        below = np.searchsorted(others, inside, side="left")
        upto = np.searchsorted(others, inside, side="right")
        won += float((below + upto).sum()) / 2
        pairs += len(inside) * len(others)
    return won / pairs if pairs else 0.5


def auc_interval(value: float, inside: int, others: int) -> tuple[float, float]:
    """Return the 95 % interval of an area under the curve, from the number of independent groups on either side.

    Newcombe's score interval, method 5 (Statistics in Medicine 25, 2006, 559 to 573): unlike the usual standard
    error it does not shrink to zero at 1.0. Groups are counted, not images: images of one patient count once.

    Parameters
    ----------
    value : float
        The estimate, 0 to 1.
    inside, others : int
        Groups of the class, and of all other classes.
    """
    half = (inside + others) / 2 - 1

    def beyond(area: float) -> float:
        variance = 1 + half * (1 - area) / (2 - area) + half * area / (1 + area)
        return abs(value - area) - Z95 * math.sqrt(max(area * (1 - area) * variance, 0.0) / (inside * others))

    return _root(beyond, value, 0.0), _root(beyond, value, 1.0)


def _root(beyond: Callable[[float], float], near: float, far: float) -> float:
    """Return where ``beyond`` changes its sign between the estimate (below 0) and the end of the scale."""
    if beyond(far) <= 0:
        return far
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (middle, far) if beyond(middle) <= 0 else (near, middle)
    return (near + far) / 2


def wilson_interval(hits: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson, JASA 22, 1927, 209 to 212); (0, 1) without trials.

    Examples
    --------
    >>> [round(end, 3) for end in wilson_interval(32, 32)]
    [0.893, 1.0]
    """
    if not trials:
        return 0.0, 1.0
    rate, weight = hits / trials, Z95**2 / trials
    middle = (rate + weight / 2) / (1 + weight)
    reach = Z95 / (1 + weight) * math.sqrt(rate * (1 - rate) / trials + weight / (4 * trials))
    return max(0.0, min(rate, middle - reach)), min(1.0, max(rate, middle + reach))
