"""Multipliers, clamps and constant channels against the definitions they come from."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import CurationError, ErrorCode
from firmware.compiler import read_model
from firmware.compiler.requantize import Clamp, Factor, clamp_of, scale_by, to_factor, to_kernel
from tests.firmware.compiler.networks import Network


@given(st.floats(1e-9, 1e9))
def test_a_factor_is_within_a_31_bit_rounding_of_its_value(value):
    """Multiplier and shift represent the number to 31 bits."""
    factor = to_factor(value)
    assert 1 << 30 <= factor.multiplier < 1 << 31
    said = Fraction(factor.multiplier) / (1 << 31) / Fraction(2) ** factor.shift
    assert abs(said / Fraction(value) - 1) <= Fraction(1, 1 << 30)


def test_what_is_below_every_shift_is_zero():
    """TFLite turns a factor below 2**-32 into zero."""
    assert to_factor(2.0**-34) == Factor(0, 0) == to_factor(0.0)


@given(st.integers(-(1 << 30), 1 << 30), st.integers(1 << 30, (1 << 31) - 1), st.integers(0, 30))
def test_both_roundings_are_those_of_the_reference(value, multiplier, shift):
    """First the doubled high word half up, then the shift half away from zero."""
    high = math.floor(Fraction(value * multiplier, 1 << 31) + Fraction(1, 2))
    exact = Fraction(abs(high), 1 << shift)
    expected = int(math.copysign(math.floor(exact + Fraction(1, 2)), high))
    assert scale_by(value, Factor(multiplier, shift)) == expected


@pytest.mark.parametrize(
    ("activation", "scale", "zero", "clamp"),
    [
        ("NONE", 0.1, 3, (-128, 127)),
        ("RELU", 0.1, 3, (3, 127)),
        ("RELU6", 6 / 255, -128, (-128, 127)),
        ("RELU6", 0.1, -100, (-100, -40)),
        ("RELU_N1_TO_1", 0.1, 0, (-10, 10)),
        ("RELU6", 7.7e-40, -128, (-128, 127)),  # a damaged file's scale once ended in a traceback
    ],
)
def test_an_activation_clamps_stored_values(activation, scale, zero, clamp):
    """The clamp is where the activation's limits lie in the result's own scale."""
    net = Network((3, 3, 1))
    tensor = net.quantize(net.input, scale=scale, zero=zero)
    model = read_model(net.finish(tensor))
    assert clamp_of(activation, model.tensors[tensor]) == Clamp(*clamp)


def _one_channel(bias, weight_scale, *, positive=False):
    net = Network((4, 4, 1), input_scale=0.01)
    at = net.convolve(net.input, 1, window=(1, 1), activation="RELU6", scale=6 / 255, zero=-128)
    constants = [tensor for tensor in net.graph.tensors if tensor.name.startswith("constant")]
    constants[0].quantization.scale[0] = weight_scale
    net.model.buffers[constants[1].buffer].data = np.frombuffer(np.int32(bias).tobytes(), np.uint8)
    if positive:
        weights = net.model.buffers[constants[0].buffer]
        weights.data = np.full(len(weights.data), 7, np.uint8)
    model = read_model(net.finish(at))
    return to_kernel(model, model.layers[0])


def test_a_channel_that_every_input_clamps_to_one_value_becomes_that_constant():
    """A dead channel, with the huge multiplier dead channels have, costs no slow kernel."""
    dead = _one_channel(-(1 << 30), weight_scale=1e6)
    assert (dead.fast, dead.folded) == (True, 1)
    assert not dead.weights.any()
    (channel,) = dead.channels
    assert scale_by(channel.bias, Factor(channel.multiplier, channel.shift)) == 0


def test_a_channel_beyond_the_fast_kernels_keeps_its_weights():
    """What varies with the input is never folded; the plain kernel runs it."""
    wild = _one_channel(16_000, weight_scale=1e4)
    assert (wild.fast, wild.folded) == (False, 0)
    assert wild.weights.any()


def test_an_accumulator_that_leaves_32_bits_is_refused_with_its_layer():
    """The reference would overflow there; the compiler raises an error."""
    with pytest.raises(CurationError, match=r"layer 0 ") as caught:
        _one_channel((1 << 31) - 5, weight_scale=0.01, positive=True)
    assert caught.value.code is ErrorCode.MODEL_UNSUPPORTED
