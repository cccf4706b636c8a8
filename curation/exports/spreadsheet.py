"""CSV tables: ``samples.csv`` lists every image, ``excluded.csv`` every excluded file with its reason.

File names and labels come from outside, and spreadsheets run cells that begin like a formula. Such a cell is written
with a leading apostrophe, which spreadsheets show as text; the manifest has the original text.
"""

from pathlib import Path

import polars as pl

from curation.dataset.columns import COLUMNS
from curation.dataset.manifest import describe_decisions, describe_excluded
from curation.exports.rows import Outgoing

FORMULA = r"^[=+\-@\t\r\n\x00\uFF1D\uFF0B\uFF0D\uFF20]"
"""The beginnings of cells that Excel, LibreOffice or Google Sheets may run; the last four are full-width."""

FIRST = ("file", "split", "label", "sha256", "file_sha256", "group")
"""The first columns of samples.csv, before the other exported ones."""
EXCLUDED = (
    "id", "excluded", "excluded_by", "reason", "detail", "source", "path", "page", "sha256", "source_label",
    "source_split", "label", "licence",
)  # fmt: skip


def write(outgoing: Outgoing, folder: Path) -> None:
    """Write the images as ``<split>/<class>/<image>.jpg``, and both tables."""
    places = {}
    for sample in outgoing.samples:
        place = f"{sample.split}/{sample.label}/{sample.name}.jpg"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        outgoing.copy(sample, folder / place)
        places[sample.path.relative_to(outgoing.version.folder).as_posix()] = place
    manifest = outgoing.version.manifest
    samples = manifest.kept.with_columns(
        describe_decisions(manifest.kept), file=pl.col("file").replace_strict(places, return_dtype=pl.String)
    )
    excluded = manifest.rejected.with_columns(describe_excluded(manifest.rejected))
    columns = [*FIRST, *(column.name for column in COLUMNS if column.exported and column.name not in FIRST)]
    columns = [name for name in columns if name != "fold" or outgoing.has_folds]
    columns += [column.name for column in manifest.metadata]
    identity = [pl.lit(value).alias(f"curation_{name}") for name, value in outgoing.identity().items()]
    tables = {
        "samples.csv": samples.select(*columns, *identity).sort("file"),
        "excluded.csv": excluded.select(*EXCLUDED, *identity).sort("id"),
    }
    for name, table in tables.items():
        text = escape_formulas(table).write_csv(quote_style="non_numeric", line_terminator="\n")
        (folder / name).write_bytes(text.encode())


def escape_formulas(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table with an apostrophe before every text that a spreadsheet could run as a formula."""
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    formulas = [pl.col(name).str.contains(FORMULA) for name in texts]
    return table.with_columns(
        pl.when(runs).then(pl.lit("'") + pl.col(name)).otherwise(name).alias(name)
        for name, runs in zip(texts, formulas, strict=True)
    )
