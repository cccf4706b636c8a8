"""Checks that the firmware has kernels for a network, and lists every mistake at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from curation.errors import CurationError, ErrorCode
from firmware.compiler.model import Layer, Model, Operator, Shape, Tensor

_RANGES: Final = {"int8": (-128, 127), "uint8": (0, 255)}
_HINT: Final = (
    "Convert with full integer quantization: a representative dataset, TFLITE_BUILTINS_INT8, and int8 input and output."
)


def check_model(model: Model) -> None:
    """Raise one MODEL_UNSUPPORTED error that names every layer that the firmware cannot run."""
    faults = list(_find_faults(model))
    if faults:
        raise CurationError(ErrorCode.MODEL_UNSUPPORTED, "\n".join(faults), hint=_HINT)


def _find_faults(model: Model) -> Iterator[str]:
    if not model.layers:
        yield "The network has no layer between its input and its output"
        return
    ready = {model.input}
    yield from (f"The input {fault}" for fault in _activation_faults(model.tensors[model.input]))
    for layer in model.layers:
        faults = list(_layer_faults(model, layer, ready))
        yield from (f"{layer.place}: {fault}" for fault in faults)
        ready.add(layer.output)


def _layer_faults(model: Model, layer: Layer, ready: set[int]) -> Iterator[str]:
    wanted = _ACTIVATIONS_READ.get(layer.op, 1)
    for number in layer.inputs[:wanted]:
        if number not in ready:
            yield f"reads tensor {number}, which no layer before it makes (a constant is not supported there)"
            return
    if len(layer.inputs) < wanted:
        yield f"has {len(layer.inputs)} inputs, not {wanted}"
        return
    faults = [fault for number in layer.inputs[:wanted] for fault in _activation_faults(model.tensors[number])]
    faults += list(_activation_faults(model.result(layer)))
    if not faults and layer.op != "QUANTIZE" and {model.source(layer).type, model.result(layer).type} != {"int8"}:
        faults.append("reads or makes uint8; only QUANTIZE may")
    yield from faults or _CHECKS[layer.op](model, layer)


def _activation_faults(tensor: Tensor) -> Iterator[str]:
    if tensor.type not in _RANGES:
        yield f"tensor {tensor.name!r} is {tensor.type}, not int8"
        return
    low, high = _RANGES[tensor.type]
    if tensor.scales.size != 1 or not 0 < tensor.scale < math.inf or not low <= tensor.zero_point <= high:
        yield f"tensor {tensor.name!r} is not quantized: scale {tensor.scales.tolist()}, zero {tensor.zero_point}"
    if not tensor.shape or tensor.shape[0] != 1 or min(tensor.shape) < 1:
        yield f"tensor {tensor.name!r} has the shape {tensor.shape}; a batch of one is expected"


def _weight_faults(model: Model, layer: Layer, *, shape: Shape, channels: int) -> Iterator[str]:
    if len(layer.inputs) not in (2, 3):
        yield f"has {len(layer.inputs)} inputs, not an activation, weights and a bias"
        return
    weights = model.weights(layer)
    if weights.values is None or weights.type != "int8" or weights.shape != shape:
        yield f"has weights {weights.type} {weights.shape}; constant int8 {shape} is expected"
        return
    if weights.scales.size not in (1, channels) or not all(0 < scale < math.inf for scale in weights.scales):
        yield f"has {weights.scales.size} weight scales for {channels} channels, or one that is not positive"
    if weights.zero_point != 0:
        yield f"has weights with zero point {weights.zero_point}; symmetric weights are expected"
    if len(layer.inputs) == 3 and layer.inputs[2] >= 0:
        bias = model.tensors[layer.inputs[2]]
        if bias.values is None or bias.type != "int32" or bias.values.size != channels:
            yield f"has a bias {bias.type} {bias.shape}; constant int32 ({channels},) is expected"


def _window_faults(model: Model, layer: Layer, *, channels: int) -> Iterator[str]:
    source, result = model.source(layer).shape, model.result(layer).shape
    if len(source) != 4 or len(result) != 4:
        yield f"reads {source} and makes {result}; (1, height, width, channels) is expected"
        return
    if min(layer.stride) < 1 or min(layer.window) < 1:
        yield f"has stride {layer.stride} and window {layer.window}"
        return
    pad = layer.padding
    height = (source[1] + pad.top + pad.bottom - layer.window[0]) // layer.stride[0] + 1
    width = (source[2] + pad.left + pad.right - layer.window[1]) // layer.stride[1] + 1
    if result != (1, height, width, channels):
        yield f"makes {result}; from {source} it would be {(1, height, width, channels)}"


def _check_convolution(model: Model, layer: Layer) -> Iterator[str]:
    source, channels = model.source(layer).shape, model.result(layer).shape[-1]
    yield from _weight_faults(model, layer, shape=(channels, *layer.window, source[-1]), channels=channels)
    yield from _window_faults(model, layer, channels=channels)


def _check_depthwise(model: Model, layer: Layer) -> Iterator[str]:
    source, channels = model.source(layer).shape, model.result(layer).shape[-1]
    if channels % source[-1]:
        yield f"makes {channels} channels of {source[-1]}"
        return
    yield from _weight_faults(model, layer, shape=(1, *layer.window, channels), channels=channels)
    yield from _window_faults(model, layer, channels=channels)


def _check_dense(model: Model, layer: Layer) -> Iterator[str]:
    features, channels = math.prod(model.source(layer).shape), model.result(layer).shape[-1]
    if model.result(layer).shape != (1, channels):
        yield f"makes {model.result(layer).shape}; (1, {channels}) is expected"
    yield from _weight_faults(model, layer, shape=(channels, features), channels=channels)


def _check_add(model: Model, layer: Layer) -> Iterator[str]:
    shapes = [model.tensors[number].shape for number in (*layer.inputs, layer.output)]
    if len(set(shapes)) != 1:
        yield f"adds {shapes[0]} and {shapes[1]} to {shapes[2]}; equal shapes are expected"


def _check_pad(model: Model, layer: Layer) -> Iterator[str]:
    source, result, pad = model.source(layer), model.result(layer), layer.padding
    if len(source.shape) != 4:
        yield f"pads {source.shape}; (1, height, width, channels) is expected"
        return
    _, height, width, channels = source.shape
    expected = (1, height + pad.top + pad.bottom, width + pad.left + pad.right, channels)
    if result.shape != expected:
        yield f"makes {result.shape}; from {source.shape} it would be {expected}"
    yield from _same_quantization(source, result)


def _check_pool(model: Model, layer: Layer) -> Iterator[str]:
    source, result = model.source(layer), model.result(layer)
    yield from _window_faults(model, layer, channels=source.shape[-1])
    yield from _same_quantization(source, result)


def _check_mean(model: Model, layer: Layer) -> Iterator[str]:
    source, result = model.source(layer).shape, model.result(layer).shape
    axes = model.tensors[layer.inputs[1]].values if len(layer.inputs) == 2 else None
    if len(source) != 4 or axes is None or sorted(int(axis) % 4 for axis in axes.ravel()) != [1, 2]:
        yield f"averages {source} over {None if axes is None else axes.tolist()}; rows and columns are expected"
    elif math.prod(result) != source[-1]:
        yield f"makes {result} of {source}"


def _check_softmax(model: Model, layer: Layer) -> Iterator[str]:
    source, result = model.source(layer).shape, model.result(layer)
    if math.prod(source) != source[-1] or result.shape != source:
        yield f"makes {result.shape} of {source}; one vector is expected"
    if result.scale != 1 / 256 or result.zero_point != -128:
        yield f"makes scale {result.scale} and zero {result.zero_point}; 1/256 and -128 are expected"


def _check_reshape(model: Model, layer: Layer) -> Iterator[str]:
    source, result = model.source(layer), model.result(layer)
    if math.prod(source.shape) != math.prod(result.shape):
        yield f"makes {result.shape} of {source.shape}"
    yield from _same_quantization(source, result)


def _check_quantize(model: Model, layer: Layer) -> Iterator[str]:
    if model.source(layer).shape != model.result(layer).shape:
        yield f"makes {model.result(layer).shape} of {model.source(layer).shape}"


def _same_quantization(source: Tensor, result: Tensor) -> Iterator[str]:
    if (source.scale, source.zero_point) != (result.scale, result.zero_point):
        yield f"changes the quantization from {source.scale, source.zero_point} to {result.scale, result.zero_point}"


_ACTIVATIONS_READ: Final[dict[Operator, int]] = {"ADD": 2}
_CHECKS: Final[dict[Operator, Callable[[Model, Layer], Iterator[str]]]] = {
    "CONV_2D": _check_convolution,
    "DEPTHWISE_CONV_2D": _check_depthwise,
    "ADD": _check_add,
    "PAD": _check_pad,
    "AVERAGE_POOL_2D": _check_pool,
    "MEAN": _check_mean,
    "FULLY_CONNECTED": _check_dense,
    "SOFTMAX": _check_softmax,
    "RESHAPE": _check_reshape,
    "QUANTIZE": _check_quantize,
}
