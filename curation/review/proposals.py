"""Predictions of a training run as proposed labels, and its embeddings as a map. Neither is a decision."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curation.errors import CurationError, ErrorCode, first_line


def read_predictions(run: Path) -> pl.DataFrame:
    """Read the predictions of a run.

    Parameters
    ----------
    run : Path
        A run's folder; ``predictions.parquet`` has ``sha256``, ``page``, ``predicted``, ``confidence`` and
        ``probabilities`` (of every class).

    Returns
    -------
    polars.DataFrame
        Columns sha256, page, proposal, confidence (0 to 1) and uncertainty: one minus the margin between the two most
        likely classes (Scheffer et al. 2001), 0 to 1.

    Raises
    ------
    CurationError
        Where the run has no predictions, or they cannot be read.
    """
    path = run / "predictions.parquet"
    columns = ["sha256", "page", "predicted", "confidence", "probabilities"]
    table = _read(path, columns, what="predictions")
    ordered = pl.col("probabilities").list.sort(descending=True)
    second = ordered.list.get(1, null_on_oob=True).fill_null(0.0)
    return table.select(
        "sha256",
        page=pl.col("page").fill_null(1).cast(pl.UInt32),
        proposal="predicted",
        confidence=pl.col("confidence").cast(pl.Float64),
        uncertainty=(1 - (ordered.list.first() - second)).cast(pl.Float64).round(6),
    ).unique(["sha256", "page"], keep="first", maintain_order=True)


def propose(rows: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with ``proposal``, ``confidence`` and ``uncertainty``, null where the run has no prediction."""
    keyed = rows.with_columns(_page=pl.col("page").fill_null(1).cast(pl.UInt32))
    joined = keyed.join(
        predictions.rename({"page": "_page"}), on=["sha256", "_page"], how="left", maintain_order="left"
    )
    return joined.drop("_page")


def read_map(run: Path) -> pl.DataFrame:
    """Read the two-dimensional embeddings of a run: columns sha256, x, y.

    Raises
    ------
    CurationError
        Where the run has no embeddings, or they cannot be read.
    """
    path = run / "embeddings.parquet"
    return _read(path, ["sha256", "x", "y"], what="embeddings").unique("sha256", keep="first", maintain_order=True)


def _read(path: Path, columns: Sequence[str], *, what: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=list(columns))
    except FileNotFoundError:
        raise CurationError(
            ErrorCode.RUN_INVALID, f"{path}: the run has no {what}", hint="Give the folder of a training run."
        ) from None
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise CurationError(ErrorCode.RUN_INVALID, f"{path}: cannot be read as {what}: {first_line(fault)}") from None
