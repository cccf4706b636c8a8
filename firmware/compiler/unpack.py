"""Unpacks what the compiler needs of a ``.tflite`` file, within bounds of memory and time that follow from its size.

A FlatBuffer may refer to the same bytes any number of times, so a small file can unpack to any size. A file whose parts
refer to more than twice its bytes is therefore refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode

MOST_TENSORS: Final = 4096
MOST_OPERATORS: Final = 1024
_SHARE: Final = 2
_EXTRA_BYTES: Final = 65_536
_WITH_OPTIONS: Final = frozenset(
    {
        "Conv2DOptions",
        "DepthwiseConv2DOptions",
        "Pool2DOptions",
        "AddOptions",
        "FullyConnectedOptions",
        "SoftmaxOptions",
    }
)
"""The tables of settings that are read; none of them has parts of variable size."""


@dataclass(frozen=True, eq=False)
class RawTensor:
    """A tensor as the file has it; empty arrays where it has none."""

    name: bytes
    shape: npt.NDArray[Any]
    kind: int
    buffer: int
    scales: npt.NDArray[Any]
    zero_points: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class RawOperator:
    """An operator as the file has it."""

    code: int
    inputs: npt.NDArray[Any]
    outputs: npt.NDArray[Any]
    options: Any


@dataclass(frozen=True, eq=False)
class RawModel:
    """The first graph of a file, its constants, and the names of its operators by their code."""

    graphs: int
    tensors: tuple[RawTensor, ...]
    operators: tuple[RawOperator, ...]
    inputs: npt.NDArray[Any]
    outputs: npt.NDArray[Any]
    buffers: tuple[npt.NDArray[np.uint8], ...]
    names: tuple[str, ...]


class Allowance:
    """How many bytes may still be referred to."""

    def __init__(self, size_bytes: int) -> None:
        self._left = _SHARE * size_bytes + _EXTRA_BYTES

    def spend(self, size_bytes: int) -> None:
        """Count bytes that a part refers to.

        Raises
        ------
        ValueError
            The parts refer to more than the file contains.
        """
        self._left -= size_bytes
        if self._left < 0:
            raise ValueError("its parts refer to more bytes than it has")


def unpack(content: bytes) -> RawModel:
    """Unpack a file.

    Raises
    ------
    CurationError
        MODEL_UNSUPPORTED where it has more tensors or operators than a net for a board can have.
    ValueError and others
        The file is damaged: what the generated FlatBuffer reader and numpy raise.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    allowance = Allowance(len(content))
    graph = model.Subgraphs(0) if model.SubgraphsLength() else None
    counted = [model.BuffersLength(), model.OperatorCodesLength()]
    counted += [graph.TensorsLength()] if graph else []
    _require_few(max(counted), MOST_TENSORS, "tensors or buffers")
    _require_few(graph.OperatorsLength() if graph else 0, MOST_OPERATORS, "operators")
    buffers = tuple(_read_array(model.Buffers(at), "Data", allowance) for at in range(model.BuffersLength()))
    codes = [model.OperatorCodes(at) for at in range(model.OperatorCodesLength())]
    if graph is None:
        nothing = np.zeros(0, np.int32)
        return RawModel(0, (), (), nothing, nothing, buffers, ())
    return RawModel(
        graphs=model.SubgraphsLength(),
        tensors=tuple(_read_tensor(graph.Tensors(at), allowance) for at in range(graph.TensorsLength())),
        operators=tuple(_read_operator(graph.Operators(at), allowance) for at in range(graph.OperatorsLength())),
        inputs=_read_array(graph, "Inputs", allowance),
        outputs=_read_array(graph, "Outputs", allowance),
        buffers=buffers,
        names=tuple(_name_operator(code, allowance) for code in codes),
    )


def version_of(content: bytes) -> int:
    """Return the version of the schema."""
    from ai_edge_litert import schema_py_generated as schema

    return int(schema.Model.GetRootAs(content, 0).Version())


def _require_few(count: int, most: int, what: str) -> None:
    if count > most:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED,
            f"the .tflite file has {count:,} {what}; a network for a board has at most {most:,}",
            hint="Export the classifier alone.",
        )


def _read_array(table: Any, name: str, allowance: Allowance) -> npt.NDArray[Any]:
    if table is None or getattr(table, f"{name}IsNone")():
        return np.zeros(0, np.uint8)
    length = getattr(table, f"{name}Length")()
    allowance.spend(length)
    values: npt.NDArray[Any] = getattr(table, f"{name}AsNumpy")()
    allowance.spend(values.nbytes - length)
    return values


def _read_text(text: bytes | None, allowance: Allowance) -> bytes:
    allowance.spend(len(text or b""))
    return text or b""


def _read_tensor(table: Any, allowance: Allowance) -> RawTensor:
    quantization = table.Quantization()
    return RawTensor(
        name=_read_text(table.Name(), allowance),
        shape=_read_array(table, "Shape", allowance),
        kind=int(table.Type()),
        buffer=int(table.Buffer()),
        scales=_read_array(quantization, "Scale", allowance),
        zero_points=_read_array(quantization, "ZeroPoint", allowance),
    )


def _read_operator(table: Any, allowance: Allowance) -> RawOperator:
    from ai_edge_litert import schema_py_generated as schema

    known = {code: name for name, code in vars(schema.BuiltinOptions).items() if name in _WITH_OPTIONS}
    kind, options = table.BuiltinOptionsType(), None
    if kind in known and (found := table.BuiltinOptions()) is not None:
        options = schema.BuiltinOptionsCreator(kind, found)
    return RawOperator(
        code=int(table.OpcodeIndex()),
        inputs=_read_array(table, "Inputs", allowance),
        outputs=_read_array(table, "Outputs", allowance),
        options=options,
    )


def _name_operator(code: Any, allowance: Allowance) -> str:
    from ai_edge_litert import schema_py_generated as schema

    known = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    custom = _read_text(code.CustomCode(), allowance).decode("utf-8", "replace")
    return custom or known.get(number, f"operator {number}")
