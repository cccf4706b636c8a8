"""Reads tables as spreadsheets, programs and people write them: CSV in any delimiter and encoding, JSON, Parquet."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50


@dataclass(frozen=True)
class TableFile:
    """The content of a table file.

    Parameters
    ----------
    rows : polars.DataFrame
        Of a CSV every value is a text without spaces at its ends; an empty one is null.
    typed : bool
        Whether the file states types.
    """

    rows: pl.DataFrame
    typed: bool


def is_table_name(path: str) -> bool:
    """Return whether a file has the suffix of a table, compressed or not."""
    return path.lower().removesuffix(".gz").endswith(TABLE_SUFFIXES)


def read_table(content: bytes, name: str, *, header: bool = True) -> TableFile:
    """Return the table in a file's bytes.

    Parameters
    ----------
    name : str
        The name of the file, whose suffix gives the format; anything unknown is read as CSV.
    header : bool
        Whether the first line of a CSV names the columns; otherwise they are ``column_1``, ``column_2`` and so on.

    Raises
    ------
    polars.exceptions.PolarsError, ValueError, OSError
        The bytes are not such a table.
    """
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    suffix = name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix == "parquet":
        return TableFile(pl.read_parquet(io.BytesIO(content)), typed=True)
    if suffix == "json":
        return TableFile(_as_frame(_records_of(json.loads(decode_text(content)))), typed=True)
    if suffix in {"jsonl", "ndjson"}:
        lines = [json.loads(line) for line in decode_text(content).split("\n") if line.strip()]
        return TableFile(_as_frame(_records_of(lines)), typed=True)
    return TableFile(_read_csv(decode_text(content), tabs=suffix == "tsv", header=header), typed=False)


def decode_text(content: bytes) -> str:
    r"""Return a text whatever its encoding: by its mark, else UTF-8, else Windows' Western one (a superset of Latin-1).

    Line ends become ``\n``.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def find_delimiter(text: str) -> str:
    r"""Return what divides the columns: the character that divides most of the first lines into equally many parts.

    >>> find_delimiter("a;b;c\n1,5;2;3\n2,5;3;4\n")
    ';'
    """
    lines = [line for line in text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES] if line.strip()]

    def judge(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        width = widths[0] if widths else 1
        return (sum(each == width for each in widths) if width > 1 else 0, width)

    return max(DELIMITERS, key=judge)


def _read_csv(text: str, *, tabs: bool, header: bool) -> pl.DataFrame:
    text = text.lstrip("\n")
    given = "\t" if tabs else None
    if text[:4].lower() == "sep=" and text[5:6] == "\n":  # what a spreadsheet writes for another
        given, text = text[4], text[6:]
    while text.startswith("#") and "\n" in text:
        text = text.partition("\n")[2].lstrip("\n")
    separator = given or find_delimiter(text)
    rows = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema=False, has_header=header)
    if not header:
        rows.columns = [f"column_{number}" for number in range(1, rows.width + 1)]
    rows = rows.filter(~pl.all_horizontal(pl.all().is_null())) if rows.width else rows
    rows = rows.rename({name: name.strip() for name in rows.columns} if _stay_unique(rows.columns) else {})
    return rows.with_columns(pl.all().str.strip_chars()).with_columns(
        pl.when(pl.all() == "").then(None).otherwise(pl.all()).name.keep()
    )


def _stay_unique(names: Sequence[str]) -> bool:
    return len({name.strip() for name in names}) == len(names)


def _records_of(content: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever JSON holds
    """Return the records of a JSON file: a list of tables, a table of lists, or a table of values by name.

    Raises
    ------
    ValueError
        It contains neither.
    """
    if isinstance(content, list) and all(isinstance(each, dict) for each in content):
        return content
    if isinstance(content, dict) and content:
        values = list(content.values())
        if all(isinstance(each, list) for each in values):
            if len({len(each) for each in values}) == 1:
                return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
        elif all(isinstance(each, dict) for each in values):
            return [{"key": key, **each} for key, each in content.items()]
        elif not any(isinstance(each, list | dict) for each in values):
            return [{"key": key, "value": each} for key, each in content.items()]
    raise ValueError("it contains neither a list of records nor a table of columns")


def _as_frame(records: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return the records as a table; every record decides the types, not only the first ones."""
    names = dict.fromkeys(name for record in records for name in record)
    return pl.DataFrame([_as_column(name, [record.get(name) for record in records]) for name in names])


def _as_column(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {int, float} or kinds <= {str} or kinds <= {bool}:
        return pl.Series(name, values, strict=False)
    if kinds <= {list} or kinds <= {dict}:
        return pl.Series(name, values, strict=False)
    # Numbers and texts in one column are texts: the identifier 7 of one record is "7" in the next.
    texts = [None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)
