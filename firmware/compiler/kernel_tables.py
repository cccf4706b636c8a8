"""Turns each step into the C tables that describe it to the engine: which kernel, what shape, which weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from firmware.compiler.model import Layer, Model, Tensor
from firmware.compiler.requantize import ADD_SHIFT, Clamp, Factor, clamp_of, to_addition, to_factor, to_mean
from firmware.compiler.scratch import ring_columns, scratch_of, stem_columns, stem_taps, up_to_four
from firmware.compiler.steps import Block, Plain, Pointwise, Stage, Step
from firmware.compiler.weight_layout import Table, pack_depthwise, pack_plain, pack_pointwise, pack_stem

Value: TypeAlias = "int | str | Mapping[str, Value]"
"""A C initialiser: a number, a name, or a struct's fields."""

WHOLE: Final = Clamp(0, 255)
"""All values of eight bits, above a zero point."""
_SOFTMAX_INTEGER_BITS: Final = 5
_SOFTMAX_FRACTION_BITS: Final = 31 - _SOFTMAX_INTEGER_BITS


@dataclass(frozen=True, eq=False)
class Description:
    """A step in C.

    Parameters
    ----------
    name : str
        Of its struct.
    type : str
        Of its struct; empty where the step needs none.
    tables : tuple of Table
        The arrays it points to.
    structs : tuple of (type, name, fields)
        What else it points to.
    fields : mapping
    """

    name: str
    type: str
    tables: tuple[Table, ...]
    structs: tuple[tuple[str, str, Mapping[str, Value]], ...]
    fields: Mapping[str, Value]


def describe(model: Model, step: Step, number: int) -> Description:
    """Describe the step of that number."""
    if isinstance(step, Block):
        return _describe_block(model, step, f"block_{number}")
    if isinstance(step, Pointwise):
        return _describe_pointwise(model, step, f"pointwise_{number}")
    return _describe_plain(model, step, f"layer_{number}")


def _relative_clamp(model: Model, layer: Layer) -> Clamp:
    result = model.result(layer)
    clamp = clamp_of(layer.activation, result)
    return Clamp(clamp.low - result.zero_point, clamp.high - result.zero_point)


def _shape(tensor: Tensor) -> Mapping[str, Value]:
    if len(tensor.shape) == 4:
        return {"height": tensor.shape[1], "width": tensor.shape[2], "channels": tensor.shape[3]}
    return {"height": 1, "width": 1, "channels": math.prod(tensor.shape)}


def _factor(factor: Factor) -> Mapping[str, Value]:
    return {"multiplier": factor.multiplier, "shift": factor.shift}


def _operand(factor: Factor) -> tuple[Mapping[str, Value], int]:
    """Write a factor of a half, the only one without a shift, so that it has one: the operand goes one further left."""
    if factor.shift == 0:
        return {"multiplier": factor.multiplier, "shift": 1}, ADD_SHIFT + 2
    return _factor(factor), ADD_SHIFT + 1


def addition_fields(model: Model, layer: Layer, *, swapped: bool) -> Mapping[str, Value]:
    """Describe an addition; swapped, its second input comes first."""
    first, second, total = to_addition(model, layer)
    tensors = [model.tensors[number] for number in layer.inputs]
    if swapped:
        first, second, tensors = second, first, tensors[::-1]
    result = model.result(layer)
    clamp = clamp_of(layer.activation, result)
    (factor_a, left_a), (factor_b, left_b) = _operand(first), _operand(second)
    return {
        "factor_a": factor_a,
        "factor_b": factor_b,
        "total": _factor(total),
        "zero_a": tensors[0].zero_point,
        "zero_b": tensors[1].zero_point,
        "zero": result.zero_point,
        "low": clamp.low,
        "high": clamp.high,
        "left_a": left_a,
        "left_b": left_b,
    }


def _project_fields(model: Model, stage: Stage, name: str, addition: str | None) -> Mapping[str, Value]:
    layer, result = stage.layer, model.result(stage.layer)
    clamp = clamp_of(layer.activation, result)
    channels_in = model.source(layer).shape[-1]
    return {
        "weights": f"{name}_weights",
        "channels": f"{name}_channels",
        "project": "nn_project_add" if addition else _project_kernel(model, layer),
        "addition": f"&{addition}" if addition else "0",
        "groups": up_to_four(channels_in) // 4,
        "channels_in": channels_in,
        "source_zero": model.source(layer).zero_point,
        "channels_out": result.shape[-1],
        "zero": result.zero_point,
        "low": clamp.low,
        "high": clamp.high,
    }


def _project_kernel(model: Model, layer: Layer) -> str:
    if clamp_of(layer.activation, model.result(layer)) != Clamp(-128, 127):
        return "nn_project_clamp"
    positive = layer.activation in ("RELU", "RELU6") and _relative_clamp(model, layer) == WHOLE
    return "nn_project_positive" if positive else "nn_project_any"


def _describe_pointwise(model: Model, step: Pointwise, name: str) -> Description:
    return Description(
        name=name,
        type="nn_pointwise",
        tables=pack_pointwise(name, step.stage),
        structs=(),
        fields=_project_fields(model, step.stage, name, None),
    )


def _describe_block(model: Model, block: Block, name: str) -> Description:
    tables = (*pack_depthwise(f"{name}_depthwise", block.depthwise), *pack_pointwise(f"{name}_project", block.project))
    structs: tuple[tuple[str, str, Mapping[str, Value]], ...] = ()
    if block.add is not None:
        swapped = block.add.inputs[0] == block.project.layer.output
        structs = (("nn_addition", f"{name}_addition", addition_fields(model, block.add, swapped=swapped)),)
    expand_tables, expand_fields = _describe_expansion(model, block, f"{name}_expand")
    clamp = _relative_clamp(model, block.depthwise.layer)
    scratch = scratch_of(block)
    fields: Mapping[str, Value] = {
        "source": _shape(block.source),
        "middle": _shape(block.middle),
        "result": _shape(block.result),
        **expand_fields,
        "depthwise": _depthwise_kernel(block, clamp),
        "depthwise_weights": f"{name}_depthwise_weights",
        "depthwise_channels": f"{name}_depthwise_channels",
        "depthwise_low": clamp.low,
        "depthwise_high": clamp.high,
        "ring_columns": ring_columns(block),
        "stride": block.depthwise.layer.stride[0],
        "top": block.depthwise.layer.padding.top,
        "left": block.depthwise.layer.padding.left,
        "residual_from_ring": int(block.residual == "expanded"),
        "middle_zero": block.middle.zero_point,
        "project": _project_fields(model, block.project, f"{name}_project", structs[0][1] if structs else None),
        "row_at": scratch.ring,
        "widened_at": scratch.ring + scratch.row,
        "residual_at": scratch.ring + scratch.row + scratch.widened,
    }
    return Description(name=name, type="nn_block", tables=(*expand_tables, *tables), structs=structs, fields=fields)


def _depthwise_kernel(block: Block, clamp: Clamp) -> str:
    if clamp != WHOLE:
        return "nn_depthwise_any"
    return "nn_depthwise_by_one" if block.depthwise.layer.stride == (1, 1) else "nn_depthwise_by_two"


def _describe_expansion(model: Model, block: Block, name: str) -> tuple[tuple[Table, ...], Mapping[str, Value]]:
    if block.expand is None:
        return (), {"expand": "nn_expand_copy", "source_zero": block.source.zero_point}
    layer = block.expand.layer
    clamp = _relative_clamp(model, layer)
    fields: dict[str, Value] = {
        "expand_weights": f"{name}_weights",
        "expand_channels": f"{name}_channels",
        "source_zero": block.source.zero_point,
        "expand_low": clamp.low,
        "expand_high": clamp.high,
    }
    if not block.is_stem:
        kernel = "nn_expand_positive" if clamp == WHOLE else "nn_expand_clamp"
        groups = up_to_four(block.source.shape[3]) // 4
        return pack_pointwise(name, block.expand), {"expand": kernel, "expand_groups": groups, **fields}
    stem: dict[str, Value] = {
        "stem": _stem_kernel(block, layer, clamp),
        "stem_columns": stem_columns(block),
        "stem_taps": stem_taps(block),
        "stem_stride": layer.stride[0],
        "stem_top": layer.padding.top,
        "stem_left": layer.padding.left,
    }
    return pack_stem(name, block, block.expand), {**stem, **fields}


def _stem_kernel(block: Block, layer: Layer, clamp: Clamp) -> str:
    even = block.middle.shape[2] % 2 == 0 and block.middle.shape[3] % 2 == 0
    usual = clamp == WHOLE and layer.stride == (2, 2) and block.source.shape[3] == 3
    return "nn_stem_rgb_by_two" if even and usual else "nn_stem_any"


def _describe_plain(model: Model, step: Plain, name: str) -> Description:
    layer = step.layer
    tables = pack_plain(name, step.kernel) if step.kernel is not None else ()
    kind, fields = _plain_fields(model, layer, name)
    return Description(name=name, type=kind, tables=tables, structs=(), fields=fields)


def _plain_fields(model: Model, layer: Layer, name: str) -> tuple[str, Mapping[str, Value]]:
    if layer.op == "MEAN":
        return "nn_mean", _mean_fields(model, layer)
    if layer.op == "FULLY_CONNECTED":
        return "nn_dense", _dense_fields(model, layer, name)
    if layer.op == "ADD":
        return "nn_addition", addition_fields(model, layer, swapped=False)
    if layer.op == "QUANTIZE":
        return "nn_quantize", _quantize_fields(model, layer)
    if layer.op == "SOFTMAX":
        return "nn_softmax", _softmax_fields(model, layer)
    return "nn_window", _window_fields(model, layer, name)


def _window_fields(model: Model, layer: Layer, name: str) -> Mapping[str, Value]:
    source, result = model.source(layer), model.result(layer)
    clamp = clamp_of(layer.activation, result)
    weighted = layer.op in ("CONV_2D", "DEPTHWISE_CONV_2D")
    return {
        "source": _shape(source),
        "result": _shape(result),
        "weights": f"{name}_weights" if weighted else "0",
        "channels": f"{name}_channels" if weighted else "0",
        "source_zero": source.zero_point,
        "result_zero": result.zero_point,
        "low": clamp.low,
        "high": clamp.high,
        "window_height": layer.window[0],
        "window_width": layer.window[1],
        "stride_rows": layer.stride[0],
        "stride_columns": layer.stride[1],
        "top": layer.padding.top,
        "left": layer.padding.left,
    }


def _dense_fields(model: Model, layer: Layer, name: str) -> Mapping[str, Value]:
    source, result = model.source(layer), model.result(layer)
    clamp = clamp_of(layer.activation, result)
    return {
        "weights": f"{name}_weights",
        "channels": f"{name}_channels",
        "inputs": math.prod(source.shape),
        "outputs": result.shape[-1],
        "source_zero": source.zero_point,
        "result_zero": result.zero_point,
        "low": clamp.low,
        "high": clamp.high,
    }


def _mean_fields(model: Model, layer: Layer) -> Mapping[str, Value]:
    source, result = model.source(layer), model.result(layer)
    return {
        "pixels": source.shape[1] * source.shape[2],
        "channels": source.shape[3],
        "factor": _factor(to_mean(model, layer)),
        "source_zero": source.zero_point,
        "result_zero": result.zero_point,
    }


def _quantize_fields(model: Model, layer: Layer) -> Mapping[str, Value]:
    source, result = model.source(layer), model.result(layer)
    flips = [128 if tensor.type == "uint8" else 0 for tensor in (source, result)]
    return {
        "count": math.prod(source.shape),
        "factor": _factor(to_factor(source.scale / result.scale)),
        "source_zero": source.zero_point - flips[0],
        "result_zero": result.zero_point - flips[1],
        "in_flip": flips[0],
        "out_flip": flips[1],
    }


def _softmax_fields(model: Model, layer: Layer) -> Mapping[str, Value]:
    """Bring differences to 5.26 fixed point as TFLite does (``PreprocessSoftmaxScaling``, ``CalculateInputRadius``)."""
    source = model.source(layer)
    factor = to_factor(min(source.scale * (1 << _SOFTMAX_FRACTION_BITS), (1 << 31) - 1.0))
    left = -factor.shift
    reach = math.floor(((1 << _SOFTMAX_INTEGER_BITS) - 1) * (1 << _SOFTMAX_FRACTION_BITS) / (1 << left))
    return {
        "count": math.prod(source.shape),
        "multiplier": factor.multiplier,
        "left": left,
        "reach": min(reach, 255),
    }
