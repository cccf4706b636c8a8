"""Arena plans: nothing in use is overwritten, and the board's marks are met."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.compiler import plan_model, read_model
from firmware.compiler.arena import Buffer, Overlap, lay_out
from firmware.compiler.planning import schedule_frame
from firmware.compiler.steps import Block, Plain, Pointwise, to_steps
from tests.firmware.compiler.networks import Network, ds_cnn, inverted_residual

BUFFERS = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=14)


@given(BUFFERS)
def test_buffers_in_use_at_the_same_time_do_not_overlap(drawn):
    """Two buffers of one moment are disjoint, aligned, and inside the arena."""
    buffers = tuple(Buffer(str(i), size, first, first + more) for i, (size, first, more) in enumerate(drawn))
    layout = lay_out(buffers, ())
    for number, one in enumerate(buffers):
        at = layout.offsets[one.name]
        assert at % 4 == 0
        assert 0 <= at <= layout.size_bytes - one.size_bytes
        for other in buffers[:number]:
            if one.first <= other.last and other.first <= one.last:
                there = layout.offsets[other.name]
                assert at + one.size_bytes <= there or there + other.size_bytes <= at
    moments = range(max(buffer.last for buffer in buffers) + 1)
    needed = max(sum(b.size_bytes for b in buffers if b.first <= moment <= b.last) for moment in moments)
    assert layout.size_bytes >= needed


@given(st.integers(1, 300), st.integers(1, 300), st.integers(-200, 200))
def test_an_overlap_keeps_its_distance(source, result, distance):
    """A result lies over its input only as far below as the step may write."""
    buffers = (Buffer("in", source, 0, 0), Buffer("out", result, 0, 1))
    layout = lay_out(buffers, (Overlap("in", "out", distance, coincide=False),))
    at_in, at_out = layout.offsets["in"], layout.offsets["out"]
    assert at_in - at_out >= distance or at_in + source <= at_out or at_out + result <= at_in


def test_layers_become_blocks_pointwise_and_plain_steps():
    """A stem with its depthwise block is one step; so is an expansion with its residual."""
    steps = to_steps(read_model(inverted_residual()))
    assert [type(step) for step in steps] == [Block] * 6 + [Pointwise] + [Plain] * 3
    assert [step.residual for step in steps[:6]] == ["expanded", "none", "input", "none", "input", "input"]


def test_a_result_with_another_reader_is_stored_whole():
    """A layer inside a block whose result is read elsewhere keeps the block from forming."""
    net = Network((16, 16, 3))
    expanded = net.convolve(net.input, 8, window=(1, 1))
    narrow = net.convolve(net.depthwise(expanded, stride=(2, 2)), 8, window=(1, 1))
    pooled = net.average_pool(expanded)
    steps = to_steps(read_model(net.finish(net.mean(net.add(narrow, pooled)))))
    assert [type(step) for step in steps] == [Pointwise, Block, Plain, Plain, Plain]


def test_the_default_shape_keeps_the_boards_marks():
    """A depthwise net at 96x96 needs 32 KB with its whole input, 16 KB where rows come from the camera."""
    planned = plan_model(read_model(ds_cnn()))
    assert planned.arena_bytes <= 32_768
    assert planned.row_mode_arena_bytes <= 16_384
    assert planned.interpreter_arena_bytes >= 46_000
    assert planned.macs == sum(layer.macs for layer in planned.layers)
    assert 800_000 < planned.macs < 900_000


def test_a_result_larger_than_its_input_still_shares_memory():
    """A block that widens writes behind what it reads: less than both together."""
    net = Network((48, 48, 3))
    at = net.convolve(net.depthwise(net.convolve(net.input, 8, stride=(2, 2))), 24, window=(1, 1))
    model = read_model(net.finish(at))
    whole = model.tensors[model.input].size_bytes + model.tensors[at].size_bytes
    assert schedule_frame(model, to_steps(model)).layout.size_bytes < whole


@pytest.mark.parametrize("first", ["quantize", "mean", "residual", "two readers"])
def test_a_network_that_wants_its_whole_input_has_no_row_mode(first):
    """Row mode is offered only where the first step takes rows and nothing else reads the input."""
    net = Network((12, 12, 3))
    if first == "quantize":
        at = net.convolve(net.depthwise(net.quantize(net.input)), 4, window=(1, 1))
    elif first == "mean":
        at = net.mean(net.input)
    elif first == "residual":
        at = net.add(net.input, net.convolve(net.depthwise(net.input), 3, window=(1, 1)))
    else:
        one = net.convolve(net.depthwise(net.input, stride=(2, 2)), 3, window=(1, 1))
        at = net.add(one, net.average_pool(net.input))
    assert plan_model(read_model(net.finish(at))).row_mode_arena_bytes is None


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_a_plan_is_the_same_every_time(seed):
    """A plan does not depend on any order that is not sorted."""
    content = inverted_residual(seed=seed)
    assert plan_model(read_model(content)) == plan_model(read_model(content))
