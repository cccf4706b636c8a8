"""The arithmetic of the int8 kernels, as LiteRT's reference kernels do it: multipliers, clamps, accumulators.

A real factor becomes a 31-bit multiplier and a shift; a product is rounded twice, first to the high word (half up),
then by the shift (half away from zero). Only a dense layer rounds once, half up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from firmware.compiler.model import Activation, Layer, Model, Tensor

LEAST, MOST = -128, 127
_FAST_BOUND: Final = 1 << 30
"""Below it an accumulator can be doubled without leaving 32 bits, which the fast kernels do."""
_LARGEST_FAST_SHIFT: Final = 22
"""A zero point that is shifted to the left by as much still fits next to a product."""
_HALF: Final = 1 << 30
_FAR: Final = 2.0**31
"""Steps beyond every stored value."""


class Factor(NamedTuple):
    """A real factor: ``multiplier / 2**31 / 2**shift``; a negative shift is one to the left."""

    multiplier: int
    shift: int


class Channel(NamedTuple):
    """What an output channel adds and multiplies by."""

    bias: int
    multiplier: int
    shift: int


class Clamp(NamedTuple):
    """The least and the greatest value a layer lets through, as stored."""

    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """The weights of a convolution or a dense layer as the firmware uses them.

    Parameters
    ----------
    weights : (channels, taps) int8 ndarray
        One row an output channel; a depthwise kernel has its taps row by row.
    channels : tuple of Channel
    fast : bool
        Every channel shifts right by 1 to 22 and stays below 2**30, so that the fast kernels may run it. A dense
        layer, which rounds otherwise, never is.
    folded : int
        How many channels are constant for every input; their weights are zero here.
    """

    weights: npt.NDArray[np.int8]
    channels: tuple[Channel, ...]
    fast: bool
    folded: int


def to_factor(value: float) -> Factor:
    """Split a real factor, not negative, as TFLite's ``QuantizeMultiplier`` does."""
    if value == 0:
        return Factor(0, 0)
    fraction, exponent = math.frexp(value)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    return Factor(0, 0) if exponent < -31 else Factor(multiplier, -exponent)


def scale_by(value: int, factor: Factor) -> int:
    """Multiply with both roundings, as TFLite's ``MultiplyByQuantizedMultiplier`` does."""
    left = value << -factor.shift if factor.shift < 0 else value
    high = (left * factor.multiplier + _HALF) >> 31
    if factor.shift <= 0:
        return high
    return (high - (high < 0) + (1 << (factor.shift - 1))) >> factor.shift


def clamp_of(activation: Activation, tensor: Tensor) -> Clamp:
    """Find what an activation function clamps a tensor's stored values to."""
    if activation == "NONE":
        return Clamp(LEAST, MOST)
    low = _stored(-1.0, tensor) if activation == "RELU_N1_TO_1" else tensor.zero_point
    high = {"RELU": math.inf, "RELU6": 6.0, "RELU_N1_TO_1": 1.0}[activation]
    return Clamp(max(LEAST, low), MOST if high == math.inf else min(MOST, _stored(high, tensor)))


def _stored(value: float, tensor: Tensor) -> int:
    with np.errstate(over="ignore"):  # a tiny scale puts the limit beyond every stored value
        ratio = float(np.float32(value) / np.float32(tensor.scale))
    steps = math.floor(min(abs(ratio), _FAR) + 0.5)
    return tensor.zero_point + int(math.copysign(steps, ratio))


def to_kernel(model: Model, layer: Layer) -> Kernel:
    """Bring a layer's weights, bias and scales to what its kernel multiplies, adds and shifts.

    Raises
    ------
    CurationError
        An accumulator could leave 32 bits.
    """
    rows = _weight_rows(model, layer)
    source, result = model.source(layer), model.result(layer)
    scales = np.broadcast_to(model.weights(layer).scales, (len(rows),))
    bias = model.bias(layer)
    biases = np.zeros(len(rows), np.int64) if bias is None else bias
    clamp = clamp_of(layer.activation, result)
    inner = Clamp(clamp.low - result.zero_point, clamp.high - result.zero_point)
    channels, fast, folded = [], True, 0
    for row, scale, offset in zip(rows, scales, biases, strict=True):
        factor = to_factor(_product(layer, source, scale, count=model.weights(layer).scales.size) / result.scale)
        channel = Channel(int(offset), *factor)
        low, high = _accumulator_range(row, int(offset), source.zero_point)
        if max(-low, high) >= 1 << 31:
            raise CurationError(
                ErrorCode.MODEL_UNSUPPORTED,
                f"{layer.place}: an accumulator could reach {max(-low, high)}, which exceeds 32 bits",
                hint="Its scales do not suit its weights: quantize the model again.",
            )
        if layer.op == "FULLY_CONNECTED":
            fast = False
        elif not _is_fast(row, channel, source.zero_point):
            constant = _constant(low, high, factor, inner)
            if constant is None:
                fast = False
            else:
                row[:] = 0
                # (4v * 2**30) >> 31 is 2v, and half of that is v, whatever its sign.
                channel, folded = Channel(constant * 4, 1 << 30, 1), folded + 1
        channels.append(channel)
    return Kernel(weights=rows, channels=tuple(channels), fast=fast, folded=folded)


def _product(layer: Layer, source: Tensor, scale: float, *, count: int) -> float:
    """Multiply the scales of input and weights; a dense layer with one scale does it in single precision."""
    if layer.op == "FULLY_CONNECTED" and count == 1:
        return float(np.float32(source.scale) * np.float32(scale))
    return source.scale * float(scale)


def _weight_rows(model: Model, layer: Layer) -> npt.NDArray[np.int8]:
    values = model.weights(layer).values
    assert values is not None  # noqa: S101 - the model was checked
    if layer.op == "DEPTHWISE_CONV_2D":
        values = np.moveaxis(values, 3, 0)
    return np.ascontiguousarray(values.reshape(values.shape[0], -1)).astype(np.int8, copy=True)


def _accumulator_range(row: npt.NDArray[np.int8], bias: int, zero_point: int) -> tuple[int, int]:
    weights = row.astype(np.int64)
    positive, negative = int(weights[weights > 0].sum()), int(weights[weights < 0].sum())
    least, most = LEAST - zero_point, MOST - zero_point
    return bias + positive * least + negative * most, bias + positive * most + negative * least


def _is_fast(row: npt.NDArray[np.int8], channel: Channel, zero_point: int) -> bool:
    reach = max(zero_point - LEAST, MOST - zero_point)
    bound = abs(channel.bias) + int(np.abs(row.astype(np.int64)).sum()) * reach
    return bound < _FAST_BOUND and 1 <= channel.shift <= _LARGEST_FAST_SHIFT and channel.multiplier > 0


def _constant(low: int, high: int, factor: Factor, clamp: Clamp) -> int | None:
    """Return what a channel always gives, where both ends of its accumulator are clamped to one value."""
    first, last = (min(max(scale_by(value, factor), clamp.low), clamp.high) for value in (low, high))
    return first if first == last else None


class Addition(NamedTuple):
    """How two operands are brought to one scale, added, and brought to the result's."""

    first: Factor
    second: Factor
    total: Factor


ADD_SHIFT: Final = 20
"""How far the operands of an addition are shifted to the left before they are scaled."""


def to_addition(model: Model, layer: Layer) -> Addition:
    """Find the three factors of an addition, in the order of its inputs."""
    first, second = (model.tensors[number].scale for number in layer.inputs)
    twice = 2 * max(first, second)
    total = twice / ((1 << ADD_SHIFT) * model.result(layer).scale)
    return Addition(to_factor(first / twice), to_factor(second / twice), to_factor(total))


def to_mean(model: Model, layer: Layer) -> Factor:
    """Find the factor of an average over rows and columns: scales and count in one multiplier, as LiteRT folds them."""
    source, result = model.source(layer), model.result(layer)
    count = source.shape[1] * source.shape[2]
    factor = to_factor(source.scale / result.scale)
    extra = min(count.bit_length() - 1, 32, 31 - factor.shift)
    return Factor((factor.multiplier << extra) // count, factor.shift + extra)
