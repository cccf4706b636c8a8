"""Keeps in git what identifies decided images that no split contains, so that decisions follow them to new bytes."""

from collections.abc import Collection
from pathlib import Path

import polars as pl

from curation.dataset.layout import Home
from curation.errors import CurationError, ErrorCode, first_line
from curation.hashing import Fingerprints, pack_thumbnails
from curation.storage.atomic_files import replace_file
from curation.versions.version_index import EXTRA_COLUMNS, SPLIT_COLUMNS, fill_extra

_SCHEMA = {
    name: {**SPLIT_COLUMNS, **EXTRA_COLUMNS}[name]
    for name in ("sha256", "page", "id", "earlier", "image", "fingerprint")
}
_ON = ["sha256", "page"]


def read_decided(home: Home, name: str) -> pl.DataFrame:
    """Return the decided images of ``versions/decided.csv`` with all columns of ``v<n>.csv``; label and split are null.

    Raises
    ------
    CurationError
        Where the file is not such a table.
    """
    path = home.decided(name)
    try:
        table = pl.read_csv(path, schema=_SCHEMA) if path.is_file() else pl.DataFrame(schema=_SCHEMA)
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID,
            f"{path}: not a table of decided images: {first_line(fault)}",
            hint=f"It belongs in git: `git checkout -- {path}`.",
        ) from None
    absent = [pl.lit(None, kind).alias(name) for name, kind in SPLIT_COLUMNS.items() if name not in _SCHEMA]
    return fill_extra(table.with_columns(absent))


def list_decided(rows: pl.DataFrame, fingerprints: Fingerprints, known: pl.DataFrame) -> pl.DataFrame:
    """Return the decided images that are not chosen, and those of the known ones that no source contains now.

    Parameters
    ----------
    rows : polars.DataFrame
        Of a manifest after select.
    fingerprints : Fingerprints
        Aligned with the rows.
    known : polars.DataFrame
        As ``read_decided`` returns it, with today's sha256.
    """
    chosen = pl.col("excluded_by").is_null() & pl.col("split").is_not_null()
    decided = pl.col("decision").list.len().fill_null(0) > 0
    mask = rows.select((decided & ~chosen & pl.col("width").is_not_null()).fill_null(value=False)).to_series()
    texts = pack_thumbnails(fingerprints.take(mask.to_numpy()).thumbnails)
    found = rows.filter(mask).select(
        "sha256",
        pl.col("page").fill_null(1),
        "id",
        earlier="earlier_sha256",
        image="image_sha256",
        fingerprint=pl.Series(texts, dtype=pl.String),
    )
    absent = known.join(rows.select("sha256").drop_nulls().unique(), on="sha256", how="anti")
    used = rows.filter(chosen).select("sha256", pl.col("page").fill_null(1))
    table = pl.concat(
        [each.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items()) for each in (found, absent)]
    )
    return table.join(used, on=_ON, how="anti").sort(*_ON, "id").unique(_ON, keep="first", maintain_order=True)


def write_decided(path: Path, table: pl.DataFrame) -> None:
    """Write ``versions/decided.csv`` where it changes; without images there is no such file."""
    text = table.select(list(_SCHEMA)).write_csv(line_terminator="\n").encode()
    if not table.height:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != text:
        replace_file(path, text)


def names_any(table: pl.DataFrame, shas: Collection[str]) -> pl.Series:
    """Return which of the decided images have one of these sha256, today or earlier."""
    earlier = pl.col("earlier").str.split(" ").list.eval(pl.element().is_in(list(shas))).list.any()
    return table.select(pl.col("sha256").is_in(list(shas)) | earlier.fill_null(value=False)).to_series()
