"""Reading a .tflite file: every setting is explicit, and damaged or unsupported files are refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import CurationError, ErrorCode
from firmware.compiler import Padding, count_macs, plan_model, read_model
from tests.firmware.compiler.networks import Network, ds_cnn

NET = ds_cnn(side=24, channels=(4, 8), strides=(2,))


def test_every_layer_is_read_with_explicit_settings():
    """Strides, kernels, activations and the two sides of SAME padding stand in the layer itself."""
    model = read_model(NET)
    stem, depthwise, project, mean, dense, softmax = model.layers
    assert [layer.op for layer in model.layers[:3]] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert (stem.stride, stem.window, stem.activation) == ((2, 2), (3, 3), "RELU6")
    assert stem.padding == Padding(bottom=1, right=1)
    assert [layer.op for layer in (mean, dense, softmax)] == ["MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    assert [count_macs(model, layer) for layer in (stem, depthwise, project, mean)] == [
        144 * 4 * 27,
        36 * 36,
        36 * 32,
        0,
    ]


def test_a_layer_that_reaches_no_output_is_left_out():
    """A layer without readers costs nothing on the board, even without a kernel for it."""
    net = Network((8, 8, 3))
    at = net.mean(net.convolve(net.input, 4))
    net.foreign(net.input, "FLOOR")
    model = read_model(net.finish(net.dense(at, 2)))
    assert [layer.op for layer in model.layers] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + bytes(100), NET[:200], NET[: len(NET) // 2], bytes(4) + b"TFL3" + bytes(60)],
    ids=["empty", "foreign", "head only", "half", "nothing behind the name"],
)
def test_a_truncated_or_foreign_file_is_refused(content):
    """The error has a hint, and the size of the file where it is damaged."""
    with pytest.raises(CurationError) as caught:
        read_model(content)
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert f"{len(content)} bytes" in caught.value.message or "schema version" in caught.value.message
    assert caught.value.hint


def test_every_unknown_operator_is_named_with_its_layer():
    """Two operators without a kernel are two lines of one error."""
    net = Network((8, 8, 3))
    at = net.foreign(net.foreign(net.convolve(net.input, 4), "FLOOR"), "LOGISTIC")
    with pytest.raises(CurationError) as caught:
        read_model(net.finish(net.dense(net.mean(at), 2)))
    assert caught.value.code is ErrorCode.MODEL_UNSUPPORTED
    first, second = caught.value.message.splitlines()
    assert re.match(r"layer 1 .* is FLOOR", first)
    assert re.match(r"layer 2 .* is LOGISTIC", second)
    assert "DEPTHWISE_CONV_2D" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda net: net.convolve(net.input, 4, dilation=2), "dilated"),
        (lambda net: net.softmax(net.input, beta=2.0), "beta 2.0"),
        (lambda net: net.quantize(net.input, kind="float32"), "float32, not int8"),
    ],
    ids=["dilation", "beta", "float"],
)
def test_a_setting_without_a_kernel_is_refused_with_the_layer(change, fact):
    """A known operator with an unknown setting is not run as if it had another."""
    net = Network((8, 8, 3))
    with pytest.raises(CurationError, match=fact) as caught:
        read_model(net.finish(change(net)))
    assert caught.value.code is ErrorCode.MODEL_UNSUPPORTED
    assert "layer 0" in caught.value.message


def test_an_input_that_is_not_quantized_is_refused():
    """The error for a float model names the float tensor and how to convert it."""
    net = Network((8, 8, 3))
    net.graph.tensors[net.input].type = 0
    with pytest.raises(CurationError, match="float32, not int8") as caught:
        read_model(net.finish(net.convolve(net.input, 4)))
    assert "TFLITE_BUILTINS_INT8" in caught.value.hint


def test_a_shape_that_does_not_follow_is_refused():
    """A layer that claims another size than its window gives never reaches a kernel."""
    net = Network((8, 8, 3))
    at = net.convolve(net.input, 4)
    net.graph.tensors[at].shape = [1, 9, 8, 4]
    with pytest.raises(CurationError, match=r"from \(1, 8, 8, 3\) it would be \(1, 8, 8, 4\)"):
        read_model(net.finish(at))


@given(st.lists(st.tuples(st.integers(8, len(NET) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_file_is_read_or_refused(changes):
    """A few changed bytes end in a plan or in one error, never in a traceback."""
    content = bytearray(NET)
    for at, value in changes:
        content[at] = value
    try:
        planned = plan_model(read_model(bytes(content)))
    except CurationError:
        return
    assert planned.arena_bytes > 0


@given(st.integers(0, len(NET) - 1))
def test_a_truncated_file_is_refused(length):
    """No prefix of a file is taken for the file."""
    with pytest.raises(CurationError):
        read_model(NET[:length])
