"""A Hugging Face dataset: Parquet files that contain the images, and a README that lists the splits.

``datasets.load_dataset(DIR)`` reads it, and the Hub shows it unchanged.
"""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curation.dataset.columns import TEXT, Metadata
from curation.exports.rows import PROVENANCE, Outgoing, Sample, cut

SHARD_BYTES = 128 << 20
"""The approximate bytes of images per file; a file is made in memory."""

ROW_GROUP = 100
"""The rows of a row group; the Hub's viewer reads few at a time."""

SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}


def write(outgoing: Outgoing, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write ``data/<split>-00000-of-00001.parquet`` and so on, the classes mixed, and ``README.md``."""
    (folder / "data").mkdir()
    for split in outgoing.splits:
        shards = list(cut(outgoing.mixed(split), max_bytes=shard_bytes, cost=lambda sample: sample.size_bytes))
        for number, samples in enumerate(shards):
            name = f"{SPLIT_NAMES[split]}-{number:05d}-of-{len(shards):05d}.parquet"
            (folder / "data" / name).write_bytes(_pack(outgoing, samples))
    (folder / "README.md").write_bytes(write_readme(outgoing).encode())


def _pack(outgoing: Outgoing, samples: Sequence[Sample]) -> bytes:
    number = {label: place for place, label in enumerate(outgoing.classes)}
    images = []
    for sample in samples:
        content = sample.read()
        images.append({"bytes": content, "path": f"{sample.name}.jpg"})
        outgoing.advance(len(content))
    columns = {
        "image": pl.Series(images, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String})),
        "label": pl.Series([number[sample.label] for sample in samples], dtype=pl.Int64),
        **{name: pl.Series([getattr(sample, name) for sample in samples], dtype=pl.String) for name in PROVENANCE},
        "reserve": pl.Series([sample.reserve for sample in samples], dtype=pl.Boolean),
        **({"fold": pl.Series([sample.fold for sample in samples], dtype=pl.Int64)} if outgoing.has_folds else {}),
        **{
            column.name: pl.Series([sample.metadata[column.name] for sample in samples], dtype=column.kind)
            for column in outgoing.metadata
        },
    }
    metadata = {
        "huggingface": json.dumps({"info": {"features": _features(outgoing)}}),
        "curation": json.dumps(outgoing.identity()),
    }
    buffer = io.BytesIO()
    # JPEGs cannot be compressed further, and the bytes must not depend on a codec's version.
    pl.DataFrame(columns).write_parquet(
        buffer, compression="uncompressed", statistics=False, row_group_size=ROW_GROUP, metadata=metadata
    )
    return buffer.getvalue()


def _features(outgoing: Outgoing) -> dict[str, object]:
    return {
        "image": {"_type": "Image"},
        "label": {"names": list(outgoing.classes), "_type": "ClassLabel"},
        **{name: {"dtype": "string", "_type": "Value"} for name in PROVENANCE},
        "reserve": {"dtype": "bool", "_type": "Value"},
        **({"fold": {"dtype": "int64", "_type": "Value"}} if outgoing.has_folds else {}),
        **{column.name: {"dtype": _dtype_of(column), "_type": "Value"} for column in outgoing.metadata},
    }


def _dtype_of(column: Metadata) -> str:
    """Return the name that Hugging Face has for a metadata column's type."""
    return "string" if column.kind == TEXT else "int64" if column.kind.is_integer() else "float64"


def write_readme(outgoing: Outgoing) -> str:
    """Return the version's card with a header that lists the files of the splits; its other keys are kept."""
    card = outgoing.version.folder / "CARD.md"
    head, body = split_head(card.read_text(encoding="utf-8") if card.is_file() else f"# {outgoing.reference}\n")
    files = [
        line
        for split in outgoing.splits
        for line in (f"  - split: {SPLIT_NAMES[split]}", f"    path: data/{SPLIT_NAMES[split]}-*.parquet")
    ]
    lines = [
        *drop_keys(head, ("configs", "dataset_info")),
        *_declare(outgoing),
        "configs:",
        "- config_name: default",
        "  data_files:",
        *files,
    ]
    identity = ", ".join(f"{name} `{value}`" for name, value in outgoing.identity().items())
    return "\n".join(["---", *lines, "---", "", body.strip("\n"), "", f"Exported from {identity}.", ""])


def _declare(outgoing: Outgoing) -> list[str]:
    """Return the types of the columns, which pyarrow does not read from Parquet files of Polars."""
    names = [
        f"          '{number}': {json.dumps(label, ensure_ascii=False)}"
        for number, label in enumerate(outgoing.classes)
    ]
    lines = ["dataset_info:", "  features:", "  - name: image", "    dtype: image", "  - name: label"]
    lines += ["    dtype:", "      class_label:", "        names:", *names]
    for name in PROVENANCE:
        lines += [f"  - name: {name}", "    dtype: string"]
    lines += ["  - name: reserve", "    dtype: bool"]
    lines += ["  - name: fold", "    dtype: int64"] if outgoing.has_folds else []
    for column in outgoing.metadata:
        lines += [f"  - name: {json.dumps(column.name, ensure_ascii=False)}", f"    dtype: {_dtype_of(column)}"]
    return lines


def split_head(text: str) -> tuple[list[str], str]:
    """Return the lines of a Markdown file's YAML header, empty where it has none, and the text below it."""
    match = re.match(r"---\n(.*?\n)?---\n", text, re.DOTALL)
    return ((match[1] or "").splitlines(), text[match.end() :]) if match else ([], text)


def drop_keys(head: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return the lines of a YAML mapping without some of its keys and the lines that belong to them."""
    kept, dropping = [], False
    for line in head:
        if re.match(r"[^\s#-]", line):
            dropping = line.partition(":")[0] in keys
        if not dropping:
            kept.append(line)
    return kept
