"""Which labels are doubtful: disputed ones in use, one picture under two labels, and what a model cannot believe."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.audit.crop_matching import WHOLE, coarse_matches, refine_all
from curation.audit.measurements import Measured
from curation.cross_validation import Folds, NoFolds, cut_folds, held_out_scores
from curation.dataset.findings import Finding, Outcome, count_of
from curation.errors import CurationError

DOUBTFUL: Final = 0.1
"""A picture is doubtful where a model that never saw its group gives its own label less than this."""
SIMPLE: Final = (
    "sharpness_fine", "sharpness_coarse", "noise", "corners", "red", "green", "blue", "red_to_green", "blue_to_green",
    "contrast", "saturation",
)  # fmt: skip
MOST_COMPARED: Final = 4000
"""With more pictures a class, only these are compared across labels, in the order of their sha256."""


def find_doubtful(
    measured: Measured, rows: pl.DataFrame, *, run: Path | None = None, folds: Folds | NoFolds | None = None
) -> Outcome:
    """Return the doubtful labels.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows, for ``disputed`` and ``reserve``.
    run : Path, optional
        A training run's folder: its ``embeddings.parquet`` (``sha256``, ``embedding``) replaces the simple features.
    folds : Folds or NoFolds, optional
        What ``cut_folds`` gave for the readable pictures, where it is known already.

    Raises
    ------
    CurationError
        Where ``run`` holds no such file.
    """
    findings = [_disputed(rows)]
    twins, told_twins = _twins(measured)
    ranked, told_ranked = rank_doubtful(measured, run=run, folds=folds)
    doubtful = ranked.filter(pl.col("confidence") < DOUBTFUL)
    findings.append(twins)
    if doubtful.height:
        by = "a run's embeddings" if run else "simple features"
        findings.append(
            Finding(
                id="labels-doubtful",
                severity="warning" if run else "note",
                says=f"{count_of(doubtful.height, 'label')} doubtful by {by}: a model that never saw the picture "
                f"gives its own under {100 * DOUBTFUL:.0f} %",
                count=doubtful.height,
                which=tuple(doubtful["id"]),
                advice="look at the first ones first (`python -m curation review`); decide relabel, exclude or keep",
            )
        )
    checks = (("pictures under two labels", told_twins), ("doubtful labels", told_ranked))
    return Outcome(tuple(each for each in findings if each is not None), checks)


def rank_doubtful(
    measured: Measured, *, run: Path | None = None, folds: Folds | NoFolds | None = None
) -> tuple[pl.DataFrame, str]:
    """Return id, sha256, label and out-of-fold confidence in that label, the most doubtful first, and what was done.

    Where nothing can be ranked the table has no rows, and the text says why.
    """
    readable = measured.readable
    empty = readable.select("id", "sha256", "label").clear().with_columns(confidence=pl.lit(0.0))
    if not readable.height:
        return empty, "not measured: no picture could be read"
    features, what = _simple(measured, readable), "simple features"
    if run is not None:
        readable, features = _embedded(readable, run)
        what = f"the embeddings of {run.name}"
    if run is not None or folds is None:
        folds = cut_folds(readable)
    if isinstance(folds, NoFolds):
        return empty, f"not measured: {folds}"
    confidence = _own_confidence(features[folds.rows], folds)
    table = readable[folds.rows].select("id", "sha256", "label").with_columns(confidence=pl.Series(confidence).round(4))
    return table.sort("confidence", "sha256", "id"), f"{table.height:,} ranked by {what}, groups held out together"


def _own_confidence(features: NDArray[np.float64], folds: Folds) -> NDArray[np.float64]:
    """Return how sure the held-out models are of each picture's own label, as a share of all labels: (n,) float64."""
    classes = folds.classes
    if len(classes) == 2:
        second = held_out_scores(features, folds.labels == classes[1], folds)
        return np.where(folds.labels == classes[1], second, 1 - second)
    every = np.stack([held_out_scores(features, folds.labels == label, folds) for label in classes], axis=1)
    own = every[np.arange(len(every)), np.searchsorted(classes, folds.labels)]
    share: NDArray[np.float64] = own / np.maximum(every.sum(axis=1), 1e-9)
    return share


def _simple(measured: Measured, readable: pl.DataFrame) -> NDArray[np.float64]:
    cells = measured.colour.reshape(-1, 8, 2, 8, 2, 3).astype(np.float64).mean(axis=(2, 4)).reshape(-1, 8 * 8 * 3)
    scalars: NDArray[np.float64] = readable.select(pl.col(SIMPLE).cast(pl.Float64)).to_numpy()
    return np.hstack([scalars.reshape(-1, len(SIMPLE)), cells])


def _embedded(readable: pl.DataFrame, run: Path) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    path = run / "embeddings.parquet"
    try:
        table = pl.read_parquet(path, columns=["sha256", "embedding"]).unique("sha256", maintain_order=True)
        embedding = table["embedding"].list.to_array(len(table["embedding"][0])) if table.height else table["embedding"]
        table = table.with_columns(embedding)
    except FileNotFoundError:
        raise CurationError(f"{path}: there are no embeddings", hint="name the folder of a training run") from None
    except (pl.exceptions.PolarsError, OSError, TypeError) as fault:
        raise CurationError(f"{path}: no embeddings can be read: {fault}") from None
    joined = readable.join(table, on="sha256", maintain_order="left")
    return joined.drop("embedding"), joined["embedding"].to_numpy().astype(np.float64).reshape(joined.height, -1)


def _disputed(rows: pl.DataFrame) -> Finding | None:
    used = rows.filter(pl.col("disputed").fill_null(value=False) | pl.col("reserve").fill_null(value=False)).sort("id")
    if not used.height:
        return None
    by = ", ".join(f"{count} {label}" for label, count in used.group_by("label").len().sort("label").rows())
    return Finding(
        id="labels-disputed",
        severity="warning",
        says=f"{count_of(used.height, 'picture')} with another label elsewhere in the source in use: {by}",
        count=used.height,
        which=tuple(used["id"]),
        advice="have somebody who knows decide each (`python -m curation review`); relabel or exclude what is wrong",
    )


def _twins(measured: Measured) -> tuple[Finding | None, str]:
    """Compare all pictures of each two classes, as the leakage check compares those of two splits."""
    readable = measured.readable
    labels, order = readable["label"].to_numpy(), readable["sha256"].arg_sort().to_numpy()
    classes = sorted(set(labels[labels != None]))  # noqa: E711  # element by element
    sides = {label: order[labels[order] == label][:MOST_COMPARED].astype(np.int64) for label in classes}
    pairs, found = 0, []
    for number, one in enumerate(classes):
        for other in classes[number + 1 :]:
            pairs += len(sides[one]) * len(sides[other])
            near = coarse_matches(measured.grey, sides[one], sides[other], tried=WHOLE)
            found += refine_all(measured.grey, near)
    told = f"{pairs:,} pairs of different labels compared: {len(found)} show the same picture"
    if not found:
        return None, told
    ids = readable["id"]
    ranked = sorted(found, key=lambda match: (-round(match.detail, 5), match.one, match.other))
    which = tuple(" = ".join(sorted((str(ids[match.one]), str(ids[match.other])))) for match in ranked)
    return (
        Finding(
            id="labels-twins",
            severity="error",
            says=f"{count_of(len(which), 'pair')} of pictures with different labels: both show the same",
            count=len(which),
            which=which,
            advice="decide which label is right (`python -m curation review`), and build again",
        ),
        told,
    )
