"""Reading a .tflite file: every setting is explicit, and damaged or unsupported files are refused."""

import re
import time
import tracemalloc
import warnings

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
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


def _share(*, tensors: int, data: int, name: int) -> bytes:
    """Return a small file whose tensors all have one buffer and one name."""
    builder = flatbuffers.Builder(1024)
    text = builder.CreateString("n" * name)
    shape = builder.CreateNumpyVector(np.array([data], np.int32))
    content = builder.CreateByteVector(bytes(data))
    buffers = []
    for filled in (False, True):
        schema.BufferStart(builder)
        if filled:
            schema.BufferAddData(builder, content)
        buffers.append(schema.BufferEnd(builder))
    offsets = []
    for _ in range(tensors):
        schema.TensorStart(builder)
        schema.TensorAddName(builder, text)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddType(builder, 9)
        schema.TensorAddBuffer(builder, 1)
        offsets.append(schema.TensorEnd(builder))
    schema.SubGraphStartTensorsVector(builder, len(offsets))
    for offset in offsets:
        builder.PrependUOffsetTRelative(offset)
    listed = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, listed)
    graph = schema.SubGraphEnd(builder)
    parts = []
    for start, each in ((schema.ModelStartSubgraphsVector, [graph]), (schema.ModelStartBuffersVector, buffers[::-1])):
        start(builder, len(each))
        for offset in each:
            builder.PrependUOffsetTRelative(offset)
        parts.append(builder.EndVector())
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, parts[0])
    schema.ModelAddBuffers(builder, parts[1])
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


WORDS = (0, 1, 4, 255, 1 << 15, 1 << 31, (1 << 32) - 1)
FLOATS = (np.float32(np.nan), np.float32(np.inf), np.float32(1e-45), np.float32(3.4e38))
SHARED = {
    "one buffer, 20,000 tensors": _share(tensors=20_000, data=400_000, name=4),
    "one buffer, 4,000 tensors": _share(tensors=4_000, data=1 << 20, name=4),
    "one name of 1 MiB": _share(tensors=4_000, data=4, name=1 << 20),
}


def _read_bounded(content: bytes) -> CurationError | None:
    """Read and plan within 5 seconds and a hundred times the file's size; return the error, and fail on a warning."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plan_model(read_model(content))
    except CurationError as fault:
        return fault
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert time.process_time() - begun < 5
        assert peak < 100 * len(content) + 20_000_000
    return None


@pytest.mark.parametrize("name", sorted(SHARED))
def test_a_file_that_refers_to_one_part_many_times_is_refused(name):
    """A FlatBuffer of 1 MB can unpack to gigabytes: it is refused before, with one error."""
    fault = _read_bounded(SHARED[name])
    assert fault is not None
    assert fault.code in {ErrorCode.MODEL_INVALID, ErrorCode.MODEL_UNSUPPORTED}
    assert fault.hint


@given(st.data())
def test_a_mutated_file_is_read_or_refused_within_bounds(data):
    """Changed words, spliced and repeated parts end in a plan or in one error, without warnings, in little memory."""
    content = bytearray(NET)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(8, len(content) - 8))
        match data.draw(st.sampled_from(["word", "copy", "float"])):
            case "word":
                content[at : at + 4] = data.draw(st.sampled_from(WORDS)).to_bytes(4, "little")
            case "copy":
                length, source = data.draw(st.integers(1, 64)), data.draw(st.integers(8, len(content) - 64))
                content[at : at + length] = content[source : source + length]
            case "float":
                content[at : at + 4] = data.draw(st.sampled_from(FLOATS)).tobytes()
    _read_bounded(bytes(content))
