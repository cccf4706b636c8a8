"""Writes the lines of a recipe that give a source's images their labels and splits."""

import re
from collections.abc import Mapping

from curation.dataset.recipe import SPLIT_NAMES
from curation.sources.folder_layout.types import FolderLayout, LabelTable
from curation.storage.toml_text import quote


def write_label_rule(layout: FolderLayout) -> list[str]:
    """Return the lines of ``[[sources]]`` that give label and split, without those of a table."""
    lines = []
    if layout.pattern is not None:
        lines.append(f"pattern = {quote_pattern(layout.pattern)}")
    if layout.origin == "none":
        lines.append('label = ""                           # the images have no labels yet: `review` gives them')
    unusual = {name: side for name, side in layout.splits.items() if name.lower() not in SPLIT_NAMES}
    if unusual:
        lines.append(f"splits = {{ {_list_splits(unusual)} }}")
    return lines


def quote_pattern(pattern: str) -> str:
    """Return a regular expression as TOML, in which backslashes stay where that is possible."""
    return quote(pattern) if re.search(r"['\x00-\x1f\x7f]", pattern) else f"'{pattern}'"


def _list_splits(splits: Mapping[str, str]) -> str:
    return ", ".join(f'{quote(name)} = "{side}"' for name, side in splits.items())


def write_table(table: LabelTable) -> list[str]:
    """Return the lines of ``[sources.metadata]``, which end a source."""
    label = f"[{', '.join(map(quote, table.label))}]" if isinstance(table.label, tuple) else quote(table.label)
    return [
        "[sources.metadata]                   # the table that labels the images",
        f"file = {quote(_escape_glob(table.file))}",
        f"key = {quote(table.key)}",
        f"match = {quote(table.match)}",
        f"label = {label}",
        *([f"split = {quote(table.split)}"] if table.split else []),
        *(
            ["header = false                       # the first line is a row like the others"]
            if not table.header
            else []
        ),
        *(
            [f"# columns = {{ {', '.join(f'{_bare(name)} = {{}}' for name in table.others[:8])} }}"]
            if table.others
            else []
        ),
    ]


def _escape_glob(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) else quote(name)
