"""Finds doubtful labels: disputed ones in use, one image under two labels, and labels that a model contradicts."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.audit.measurements import Measured
from curation.audit.same_images import SameImages
from curation.cross_validation import Folds, NoFolds, cut_folds, held_out_scores
from curation.dataset.findings import AuditPart, Check, Finding
from curation.errors import CurationError, ErrorCode, first_line

DOUBTFUL: Final = 0.1
"""A label is doubtful where a model that was not fitted on its group gives it a lower probability."""
SIMPLE: Final = (
    "sharpness_fine", "sharpness_coarse", "noise", "corners", "red", "green", "blue", "red_to_green", "blue_to_green",
    "contrast", "saturation",
)  # fmt: skip


def find_doubtful(
    measured: Measured,
    rows: pl.DataFrame,
    same: SameImages,
    *,
    run: Path | None = None,
    folds: Folds | NoFolds | None = None,
) -> AuditPart:
    """Return the doubtful labels.

    Parameters
    ----------
    rows : polars.DataFrame
        The version's kept rows, for ``disputed`` and ``reserve``.
    same : SameImages
        The images that are the same.
    run : Path, optional
        A training run's folder: its ``embeddings.parquet`` (``sha256``, ``embedding``) replaces the simple features.
    folds : Folds or NoFolds, optional
        The result of ``cut_folds`` for the readable images, where it is known already.

    Raises
    ------
    CurationError
        Where ``run`` has no such file, or it cannot be read.
    """
    findings = [_disputed(rows)]
    two_labels, compared = _two_labels(measured, same)
    ranked, method = rank_doubtful(measured, run=run, folds=folds)
    doubtful = ranked.filter(pl.col("confidence") < DOUBTFUL)
    findings.append(two_labels)
    if doubtful.height:
        findings.append(
            Finding(
                id="labels-doubtful",
                severity="warning" if run else "note",
                count=doubtful.height,
                which=tuple(doubtful["id"]),
                figures={"limit": DOUBTFUL},
                facts={"run": run.name} if run else {},
            )
        )
    checks = (
        Check("two-labels", "images under two labels", compared),
        Check("doubtful-labels", "doubtful labels", method),
    )
    return AuditPart(tuple(each for each in findings if each is not None), checks)


def rank_doubtful(
    measured: Measured, *, run: Path | None = None, folds: Folds | NoFolds | None = None
) -> tuple[pl.DataFrame, str]:
    """Return id, sha256, label and out-of-fold confidence in that label, the most doubtful first, and the method.

    Where nothing can be ranked the table has no rows, and the text gives the reason.

    Raises
    ------
    CurationError
        Where ``run`` has no embeddings that can be read.
    """
    readable = measured.readable
    empty = readable.select("id", "sha256", "label").clear().with_columns(confidence=pl.lit(0.0))
    if not readable.height:
        return empty, "not measured: no image could be read"
    features, method = _simple(measured, readable), "simple features"
    if run is not None:
        readable, features = _embedded(readable, run)
        method = f"the embeddings of {run.name}"
    if run is not None or folds is None:
        folds = cut_folds(readable)
    if isinstance(folds, NoFolds):
        return empty, f"not measured: {folds}"
    confidence = _own_confidence(features[folds.rows], folds)
    table = readable[folds.rows].select("id", "sha256", "label").with_columns(confidence=pl.Series(confidence).round(4))
    return table.sort("confidence", "sha256", "id"), f"{table.height:,} ranked by {method}, groups held out together"


def _own_confidence(features: NDArray[np.float64], folds: Folds) -> NDArray[np.float64]:
    """Return the held-out models' probability of each image's own label, as a share of all labels: (n,) float64."""
    classes = folds.classes
    if len(classes) == 2:
        second = held_out_scores(features, folds.labels == classes[1], folds)
        return np.where(folds.labels == classes[1], second, 1 - second)
    every = np.stack([held_out_scores(features, folds.labels == label, folds) for label in classes], axis=1)
    own = every[np.arange(len(every)), np.searchsorted(classes, folds.labels)]
    share: NDArray[np.float64] = own / np.maximum(every.sum(axis=1), 1e-9)
    return share


def _simple(measured: Measured, readable: pl.DataFrame) -> NDArray[np.float64]:
    cells = measured.color.reshape(-1, 8, 2, 8, 2, 3).astype(np.float64).mean(axis=(2, 4)).reshape(-1, 8 * 8 * 3)
    scalars: NDArray[np.float64] = readable.select(pl.col(SIMPLE).cast(pl.Float64)).to_numpy()
    return np.hstack([scalars.reshape(-1, len(SIMPLE)), cells])


def _embedded(readable: pl.DataFrame, run: Path) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    path = run / "embeddings.parquet"
    try:
        table = pl.read_parquet(path, columns=["sha256", "embedding"]).unique("sha256", maintain_order=True)
        embedding = table["embedding"].list.to_array(len(table["embedding"][0])) if table.height else table["embedding"]
        table = table.with_columns(embedding)
    except FileNotFoundError:
        raise CurationError(
            ErrorCode.FILE_MISSING, f"{path}: not found", hint="Name the folder of a training run."
        ) from None
    except (pl.exceptions.PolarsError, OSError, TypeError) as fault:
        raise CurationError(
            ErrorCode.FILE_UNREADABLE, f"{path}: not a table of embeddings: {first_line(fault)}"
        ) from None
    joined = readable.join(table, on="sha256", maintain_order="left")
    return joined.drop("embedding"), joined["embedding"].to_numpy().astype(np.float64).reshape(joined.height, -1)


def _disputed(rows: pl.DataFrame) -> Finding | None:
    used = rows.filter(pl.col("disputed").fill_null(value=False) | pl.col("reserve").fill_null(value=False)).sort("id")
    if not used.height:
        return None
    return Finding(
        id="labels-disputed",
        severity="warning",
        count=used.height,
        which=tuple(used["id"]),
        facts={"classes": [list(row) for row in used.group_by("label").len().sort("label").rows()]},
    )


def _two_labels(measured: Measured, same: SameImages) -> tuple[Finding | None, str]:
    """Return the pairs of different labels that show the same image, and what was compared."""
    readable = measured.readable
    labels, ids = readable["label"].to_list(), readable["id"]
    found = [match for match in same.matches if match.scale == 1.0 and labels[match.one] != labels[match.other]]
    result = f"{same.describe()}: {len(found)} of different labels show the same image"
    if not found:
        return None, result
    which = tuple(" = ".join(sorted((str(ids[match.one]), str(ids[match.other])))) for match in found)
    facts = same.facts(found)
    return Finding(id="labels-twins", severity="error", count=len(which), which=which, facts=facts), result
