"""Cuts pictures into folds and hold-outs in which no group lies on two sides."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError
from training.data import Samples

HELD_OUT_FOLDS: Final = 7
"""A version without a val split lends a seventh of its training pictures to validation."""

Rows = npt.NDArray[np.int64]


def hold_out(samples: Samples, *, seed: int) -> tuple[Rows, Rows]:
    """Return the row numbers to learn from and those to validate on: stratified, groups whole.

    Raises
    ------
    CurationError
        Where a class has too few groups to lie on both sides.
    """
    count = count_possible_folds(samples, HELD_OUT_FOLDS)
    if count < 2:
        raise CurationError(
            "a class has one group of pictures alone to learn from, and one more is needed to say when to stop",
            hint="the version needs more groups in each class",
        )
    return next(cut_folds(samples, folds=count, seed=seed))


def cut_folds(samples: Samples, *, folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield (learn, judge) row numbers of a stratified group k-fold: each picture is judged exactly once.

    Parameters
    ----------
    samples : Samples
    folds : int
        Two or more.
    seed : int
        Another seed cuts otherwise.

    Raises
    ------
    CurationError
        Where a class has fewer groups than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    check_folds(samples, folds)
    cutter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for learn, judge in cutter.split(np.zeros(len(samples)), samples.labels, groups=samples.groups):
        yield np.sort(learn).astype(np.int64), np.sort(judge).astype(np.int64)


def count_possible_folds(samples: Samples, wanted: int) -> int:
    """Return how many folds can be cut, ``wanted`` at most."""
    return min(wanted, _fewest_groups(samples))


def check_folds(samples: Samples, folds: int) -> None:
    """Raise a ``CurationError`` where so many folds cannot be cut."""
    fewest = _fewest_groups(samples)
    if folds < 2 or fewest < folds:
        raise CurationError(
            f"{folds} folds cannot be cut: a class has {fewest} groups, and every fold needs one of each class",
            hint=f"ask for 2 to {fewest} folds" if fewest >= 2 else "the version needs more groups in each class",
        )


def check_cross_validation(samples: Samples, *, folds: int, repeats: int, seed: int) -> None:
    """Raise a ``CurationError`` where a fold would leave a class too little to learn from and to validate on.

    Parameters
    ----------
    samples : Samples
    folds, repeats, seed : int
        As they will be cut: repeat n by ``seed`` + n.
    """
    groups = np.array(samples.groups)
    for repeat in range(repeats):
        for learn, _ in cut_folds(samples, folds=folds, seed=seed + repeat):
            for label in np.unique(samples.labels):
                left = len(np.unique(groups[learn][samples.labels[learn] == label]))
                if left < 2:
                    raise CurationError(
                        f"{folds} folds cannot be cut: one of them leaves {left} group of a class to learn from, and "
                        "one more is needed to say when to stop",
                        hint="ask for more folds, or for none; the version has few groups in each class",
                    )


def _fewest_groups(samples: Samples) -> int:
    """Return the number of groups of the class that has the fewest."""
    pairs = {(int(label), group) for label, group in zip(samples.labels, samples.groups, strict=True)}
    return min(sum(label == wanted for label, _ in pairs) for wanted in sorted({label for label, _ in pairs}))
