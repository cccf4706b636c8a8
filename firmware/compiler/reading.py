"""Reads an int8 ``.tflite`` file into a checked `Model`.

The bytes may be damaged or hostile: everything is checked, and any violation of the format ends in one error.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from firmware.compiler.check_model import check_model
from firmware.compiler.model import (
    OPERATORS,
    Activation,
    ElementType,
    Layer,
    Model,
    Operator,
    Padding,
    Shape,
    Tensor,
)
from firmware.compiler.unpack import Allowance, RawModel, RawOperator, RawTensor, unpack, version_of

IDENTIFIER: Final = b"TFL3"
SCHEMA_VERSION: Final = 3
_TYPES: Final[dict[int, ElementType]] = {0: "float32", 2: "int32", 3: "uint8", 4: "int64", 9: "int8"}
_ACTIVATIONS: Final[dict[int, Activation]] = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
_SAME: Final = 0
_LARGEST_SIDE: Final = 1 << 15
_MALFORMED: Final = (struct.error, ArithmeticError, ValueError, TypeError, LookupError, AttributeError)
"""What the generated flatbuffer reader and numpy raise on a damaged file."""

_HINT: Final = "Export the model again, or copy the file again; it has to be a .tflite with int8 input and output."


def read_model(content: bytes) -> Model:
    """Read an int8 network.

    Parameters
    ----------
    content : bytes
        A ``.tflite`` file.

    Returns
    -------
    Model
        Without layers whose results do not reach the output, such as the computed shape of a reshape.

    Raises
    ------
    CurationError
        MODEL_INVALID where it is truncated or another kind of file, MODEL_UNSUPPORTED where it is not quantized to int8
        or has an operator or a setting without a kernel; every such layer is named.
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise CurationError(
            ErrorCode.MODEL_INVALID,
            f"not a .tflite file: {len(content)} bytes without {IDENTIFIER.decode()!r} at byte 4",
            hint=_HINT,
        )
    try:
        with np.errstate(all="ignore"):
            model = _assemble(_unpack(content), Allowance(len(content)))
    except _MALFORMED as error:
        raise CurationError(
            ErrorCode.MODEL_INVALID,
            f"the .tflite file is damaged: an offset points outside its {len(content)} bytes ({error})",
            hint=_HINT,
        ) from error
    check_model(model)
    return model


def _unpack(content: bytes) -> RawModel:
    if (version := version_of(content)) != SCHEMA_VERSION:
        raise CurationError(
            ErrorCode.MODEL_INVALID,
            f"the .tflite file has schema version {version}, not {SCHEMA_VERSION}",
            hint=_HINT,
        )
    packed = unpack(content)
    if packed.graphs != 1:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED,
            f"the .tflite file has {packed.graphs} graphs; one is expected",
            hint=_HINT,
        )
    return packed


def _assemble(packed: RawModel, allowance: Allowance) -> Model:
    tensors = tuple(_read_tensor(packed, index, raw, allowance) for index, raw in enumerate(packed.tensors))
    if len(packed.inputs) != 1 or len(packed.outputs) != 1:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED,
            f"the network has {len(packed.inputs)} inputs and {len(packed.outputs)} outputs; one of each is expected",
            hint="Export the classifier alone.",
        )
    first, last = _tensor_number(packed.inputs[0], tensors), _tensor_number(packed.outputs[0], tensors)
    needed = _needed_operators(packed, last)
    _refuse_unknown(packed, needed, tensors)
    layers = tuple(_read_layer(packed.operators[index], index, packed.names, tensors) for index in needed)
    return Model(tensors=tensors, layers=layers, input=first, output=last)


def _read_tensor(packed: RawModel, index: int, raw: RawTensor, allowance: Allowance) -> Tensor:
    shape: Shape = tuple(int(side) for side in raw.shape)
    if any(not 0 <= side <= _LARGEST_SIDE for side in shape) and raw.kind in _TYPES:
        raise ValueError(f"tensor {index} has the shape {shape}")
    kind = _TYPES.get(raw.kind, "float32")
    if len({int(point) for point in raw.zero_points}) > 1:
        raise ValueError(f"tensor {index} has several zero points")
    return Tensor(
        index=index,
        name=raw.name.decode("utf-8") if raw.name else f"tensor {index}",
        shape=shape,
        type=kind,
        scales=np.asarray(raw.scales, np.float32).astype(np.float64),
        zero_point=int(raw.zero_points[0]) if len(raw.zero_points) else 0,
        values=_read_values(packed, raw, shape, kind, allowance),
    )


def _read_values(
    packed: RawModel, raw: RawTensor, shape: Shape, kind: ElementType, allowance: Allowance
) -> npt.NDArray[Any] | None:
    if not 0 <= raw.buffer < len(packed.buffers):
        raise IndexError(f"buffer {raw.buffer} of {len(packed.buffers)}")
    content = packed.buffers[raw.buffer]
    if raw.buffer == 0 or len(content) == 0 or raw.kind not in _TYPES:
        return None
    allowance.spend(content.nbytes)
    values = np.frombuffer(content.tobytes(), np.dtype(kind).newbyteorder("<"))
    if values.size != math.prod(shape):
        raise ValueError(f"a constant of shape {shape} has {values.size} values")
    return values.reshape(shape)


def _tensor_number(number: Any, tensors: tuple[Tensor, ...]) -> int:
    if not 0 <= int(number) < len(tensors):
        raise IndexError(f"tensor {number} of {len(tensors)}")
    return int(number)


def _needed_operators(packed: RawModel, last: int) -> tuple[int, ...]:
    """Find, from the end, the operators whose results reach the output; what only computes a shape does not."""
    needed, kept = {last}, []
    for index in range(len(packed.operators) - 1, -1, -1):
        operator = packed.operators[index]
        if len(operator.outputs) and int(operator.outputs[0]) in needed:
            kept.append(index)
            read = operator.inputs[:1] if packed.names[operator.code] == "RESHAPE" else operator.inputs
            needed.update(int(number) for number in read)
    return tuple(reversed(kept))


def _refuse_unknown(packed: RawModel, needed: tuple[int, ...], tensors: tuple[Tensor, ...]) -> None:
    faults = []
    for index in needed:
        operator = packed.operators[index]
        name = packed.names[operator.code]
        if name not in OPERATORS:
            made = tensors[_tensor_number(operator.outputs[0], tensors)].name
            faults.append(f"layer {index} ({made!r}) is {name}, for which the firmware has no kernel")
    if faults:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED, "\n".join(faults), hint=f"The firmware has kernels for {', '.join(OPERATORS)}."
        )


def _read_layer(raw: RawOperator, index: int, names: tuple[str, ...], tensors: tuple[Tensor, ...]) -> Layer:
    op: Operator = next(known for known in OPERATORS if known == names[raw.code])
    inputs = tuple(int(number) for number in raw.inputs)
    if op == "RESHAPE":
        inputs = inputs[:1]
    for number in inputs:
        if number != -1:
            _tensor_number(number, tensors)
    output = _tensor_number(raw.outputs[0], tensors)
    options = raw.options
    layer = Layer(index=index, op=op, name=tensors[output].name, inputs=inputs, output=output)
    if op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return _read_convolution(layer, options, tensors)
    if op == "AVERAGE_POOL_2D":
        return _read_pool(layer, options, tensors)
    if op in ("ADD", "FULLY_CONNECTED"):
        return _with(layer, activation=_ACTIVATIONS[options.fusedActivationFunction])
    if op == "PAD":
        return _with(layer, padding=_read_pad(tensors[inputs[1]]))
    if op == "SOFTMAX" and options.beta != 1.0:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED, f"{layer.place} has beta {options.beta}; the firmware's softmax supports 1"
        )
    return layer


def _with(layer: Layer, **changes: Any) -> Layer:
    return replace(layer, **changes)


def _read_convolution(layer: Layer, options: Any, tensors: tuple[Tensor, ...]) -> Layer:
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED, f"{layer.place} is dilated; the firmware has no kernel for that"
        )
    height, width = tensors[layer.inputs[1]].shape[1:3]
    return _with(
        layer,
        stride=(options.strideH, options.strideW),
        window=(height, width),
        padding=_explicit_padding(layer, options, (height, width), tensors),
        activation=_ACTIVATIONS[options.fusedActivationFunction],
    )


def _read_pool(layer: Layer, options: Any, tensors: tuple[Tensor, ...]) -> Layer:
    window = (options.filterHeight, options.filterWidth)
    return _with(
        layer,
        stride=(options.strideH, options.strideW),
        window=window,
        padding=_explicit_padding(layer, options, window, tensors),
        activation=_ACTIVATIONS[options.fusedActivationFunction],
    )


def _explicit_padding(layer: Layer, options: Any, window: tuple[int, int], tensors: tuple[Tensor, ...]) -> Padding:
    if options.padding != _SAME:
        return Padding()
    _, height, width, _ = tensors[layer.inputs[0]].shape
    rows = max((-(-height // options.strideH) - 1) * options.strideH + window[0] - height, 0)
    columns = max((-(-width // options.strideW) - 1) * options.strideW + window[1] - width, 0)
    return Padding(top=rows // 2, left=columns // 2, bottom=rows - rows // 2, right=columns - columns // 2)


def _read_pad(amounts: Tensor) -> Padding:
    if amounts.values is None or amounts.shape != (4, 2):
        raise ValueError("a PAD without constant amounts for four dimensions")
    before_after = amounts.values.astype(int).tolist()
    if before_after[0] != [0, 0] or before_after[3] != [0, 0] or min(map(min, before_after)) < 0:
        raise ValueError(f"a PAD by {before_after}")
    (_, (top, bottom), (left, right), _) = before_after
    return Padding(top=top, left=left, bottom=bottom, right=right)
