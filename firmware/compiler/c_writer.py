"""Writes C initialisers: short lines, designated fields, every constant aligned for word reads."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping

from firmware.compiler.kernel_tables import Description, Value
from firmware.compiler.weight_layout import Table

WIDTH = 118


def write_table(table: Table) -> str:
    """Write one constant array, with a check of its length."""
    if table.type == "nn_channel":
        count = len(table.values)
        words = [f"{{{bias}, {multiplier}, {shift}}}" for bias, multiplier, shift in table.values.tolist()]
    else:
        count = table.values.size
        words = [str(value) for value in table.values.tolist()]
    aligned = "" if table.type == "nn_channel" else " __attribute__((aligned(4)))"
    return f"static const {table.type} {table.name}[{count}]{aligned} = {{\n{_fold(words)}}};\n"


def write_struct(kind: str, name: str, fields: Mapping[str, Value]) -> str:
    """Write one constant struct."""
    return f"static const {kind} {name} = {_initialiser(fields, 1)};\n"


def write_description(description: Description) -> str:
    """Write everything that describes a step."""
    parts = [write_table(table) for table in description.tables]
    parts += [write_struct(*struct) for struct in description.structs]
    if description.type:
        parts.append(write_struct(description.type, description.name, description.fields))
    return "".join(parts)


def write_text(text: str) -> str:
    """Write a C string of printable ASCII."""
    return json.dumps(text, ensure_ascii=True)


def write_comment(lines: Iterable[str]) -> str:
    """Write a block comment; nothing in it can end it."""
    body = "\n".join(f" * {line}".rstrip() for line in lines).replace("*/", "* /")
    return f"/*{body[2:]} */\n"


def write_numbers(values: Iterable[int]) -> str:
    """Write an array's values, folded."""
    return _fold([str(value) for value in values])


def _initialiser(fields: Mapping[str, Value], depth: int) -> str:
    indent = "  " * depth
    lines = [f"{indent}.{name} = {_value(value, depth)},\n" for name, value in fields.items()]
    return "{\n" + "".join(lines) + "  " * (depth - 1) + "}"


def _value(value: Value, depth: int) -> str:
    if isinstance(value, Mapping):
        flat = ", ".join(f".{name} = {inner}" for name, inner in value.items() if not isinstance(inner, Mapping))
        return f"{{{flat}}}" if len(flat) < WIDTH - 24 else _initialiser(value, depth + 1)
    return str(value)


def _fold(words: list[str]) -> str:
    text = ", ".join(words)
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"    {line}\n" for line in lines)
