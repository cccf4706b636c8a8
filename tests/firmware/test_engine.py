"""Compiled networks are bit-exact with LiteRT's reference kernels, on the host and on the emulated board."""

import subprocess

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from firmware.compiler import plan_model, read_model
from firmware.compiler.tflite_reference import run_reference
from tests.firmware.builds import (
    BOARD_FLAGS,
    EMULATOR,
    assert_same,
    draw_inputs,
    emulate,
    require,
    run_on_board,
    run_on_host,
)
from tests.firmware.compiler.networks import Network, ds_cnn, inverted_residual


def _unstrided_stem():
    """A stem of stride 1 before a depthwise layer of stride 2: both windows reach below the image."""
    net = Network((13, 13, 2), seed=1)
    at = net.depthwise(net.convolve(net.input, 6), stride=(2, 2))
    return net.finish(net.softmax(net.dense(net.convolve(at, 10, window=(1, 1)), 3)))


SMALL = {
    "depthwise blocks": ds_cnn(side=48, seed=2, channels=(8, 12, 20), strides=(2, 1)),
    "inverted residuals": inverted_residual(side=33, seed=4),
    "a stem without a stride": _unstrided_stem(),
    "odd channels": ds_cnn(side=30, seed=3, channels=(7, 9, 5), strides=(1, 2), labels=3),
}


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_logit_equals_the_reference(name, compiler, tmp_path):
    """Both compilers, with sanitizers, give the results of the reference in frame mode and in row mode."""
    model = read_model(SMALL[name])
    inputs = draw_inputs(model, 24)
    expected = run_reference(SMALL[name], inputs)
    assert len({tuple(row) for row in expected.logits.tolist()}) > 12
    for rows in (False, True):
        assert_same(run_on_host(model, inputs, tmp_path, compiler=compiler, rows=rows), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_emulated_board_gives_the_same_results(name, tmp_path):
    """Cortex-M4 code with Arduino's flags and the board's memory gives the results of the reference."""
    model = read_model(SMALL[name])
    inputs = draw_inputs(model, 6)
    for rows in (False, True):
        measured = run_on_board(model, inputs, tmp_path, rows=rows)
        assert_same(measured.reference, run_reference(SMALL[name], inputs))
        assert measured.stack <= 1024


def test_the_default_shape_meets_the_limits(tmp_path):
    """Instructions, stack and flash of a depthwise network at 96x96, measured on the emulated board."""
    content = ds_cnn(seed=1)
    model = read_model(content)
    inputs = draw_inputs(model, 3)
    measured = run_on_board(model, inputs, tmp_path, rows=True)
    assert_same(measured.reference, run_reference(content, inputs))
    assert measured.instructions <= 2_300_000
    assert measured.stack <= 1024
    assert measured.sizes["text"] <= 24_576


def test_the_flash_estimate_is_what_is_linked(tmp_path):
    """The planned flash is within 10 % of the linked tables and code."""
    model = read_model(ds_cnn(seed=1))
    linked = run_on_board(model, draw_inputs(model, 1), tmp_path, rows=True).sizes["text"]
    assert plan_model(model).flash_bytes == pytest.approx(linked, rel=0.1)


ACTIVATIONS = st.sampled_from(["RELU6", "RELU6", "RELU", "NONE", "RELU_N1_TO_1"])


@st.composite
def networks(draw):
    """Generate a small network of any supported layers."""
    shape = (draw(st.integers(3, 17)), draw(st.integers(3, 17)), draw(st.integers(1, 4)))
    zero = draw(st.sampled_from([-128, -128, 3]))
    net = Network(
        shape, seed=draw(st.integers(0, 10**6)), input_zero=zero, input_scale=draw(st.sampled_from([1 / 255, 0.02]))
    )
    at = net.quantize(net.input) if draw(st.integers(0, 4)) == 0 else net.input
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.sampled_from(LAYERS))(draw, net, at)
    return net.finish(_draw_head(draw, net, at))


def _draw_head(draw, net, at):
    if draw(st.booleans()):
        at = net.mean(at, keep=draw(st.booleans()), like=at if draw(st.booleans()) else None)
    at = net.reshape(at, (1, net.samples[at].size))
    at = net.dense(at, draw(st.integers(1, 6)), per_channel=draw(st.booleans()), activation=draw(ACTIVATIONS))
    return net.softmax(at) if draw(st.booleans()) else at


def _is_small(net, at):
    return min(net.samples[at].shape[1:3]) < 3


def _draw_window(draw, net, at):
    stride = 1 if _is_small(net, at) else draw(st.integers(1, 2))
    same = _is_small(net, at) or draw(st.booleans())
    return {"stride": (stride, stride), "same": same, "activation": draw(ACTIVATIONS)}


def _draw_convolution(draw, net, at):
    return net.convolve(at, draw(st.integers(1, 11)), **_draw_window(draw, net, at))


def _draw_depthwise(draw, net, at):
    return net.depthwise(at, multiplier=draw(st.sampled_from([1, 1, 2])), **_draw_window(draw, net, at))


def _draw_pointwise(draw, net, at):
    return net.convolve(at, draw(st.integers(1, 20)), window=(1, 1), activation=draw(ACTIVATIONS))


def _draw_block(draw, net, at):
    inside = _draw_pointwise(draw, net, at) if draw(st.booleans()) else at
    return _draw_pointwise(draw, net, net.depthwise(inside, **_draw_window(draw, net, inside)))


def _draw_residual(draw, net, at):
    inside = net.convolve(at, draw(st.integers(1, 20)), window=(1, 1), activation=draw(ACTIVATIONS))
    channels = net.samples[at].shape[3]
    out = net.convolve(net.depthwise(inside, activation=draw(ACTIVATIONS)), channels, window=(1, 1), activation="NONE")
    operands = (at, out) if draw(st.booleans()) else (out, at)
    return net.add(*operands, activation=draw(ACTIVATIONS))


def _draw_pad(draw, net, at):
    amounts = st.tuples(st.integers(0, 2), st.integers(0, 2))
    return net.pad(at, (draw(amounts), draw(amounts)))


def _draw_pool(draw, net, at):
    if _is_small(net, at):
        return at
    window = draw(st.sampled_from([(2, 2), (3, 2), (3, 3)]))
    return net.average_pool(at, window=window, stride=(draw(st.integers(1, 2)),) * 2, same=draw(st.booleans()))


LAYERS = [
    _draw_convolution,
    _draw_depthwise,
    _draw_pointwise,
    _draw_block,
    _draw_block,
    _draw_residual,
    _draw_pad,
    _draw_pool,
]


@pytest.mark.slow
@settings(max_examples=60)
@given(networks())
def test_any_network_of_supported_layers_is_bit_exact(tmp_path_factory, content):
    """All logits equal the reference in frame mode and in row mode, for any combination of layers."""
    folder = tmp_path_factory.mktemp("drawn")
    model = read_model(content)
    inputs = draw_inputs(model, 5)
    expected = run_reference(content, inputs)
    for rows in (False, True) if plan_model(model).row_mode_arena_bytes is not None else (False,):
        assert_same(run_on_host(model, inputs, folder, rows=rows), expected)


@pytest.mark.slow
@settings(max_examples=8, phases=[Phase.generate])  # shrinking takes minutes; the test above does it
@given(networks())
def test_any_network_is_bit_exact_on_the_board(tmp_path_factory, content):
    """Some of these networks run on the emulated board as well."""
    model = read_model(content)
    inputs = draw_inputs(model, 3)
    rows = plan_model(model).row_mode_arena_bytes is not None
    measured = run_on_board(model, inputs, tmp_path_factory.mktemp("drawn"), rows=rows)
    assert_same(measured.reference, run_reference(content, inputs))


def test_an_access_beyond_the_boards_memory_ends_the_emulator(tmp_path):
    """An access outside of the 256 KB of the emulated board is a fault."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    source = tmp_path / "beyond.c"
    for address, status in ((0x2003FFFC, 0), (0x20040000, 99), (0x1FFFFFFC, 99)):
        source.write_text(f"int main(void) {{ *(volatile int *){address:#x} = 1; return 0; }}\n")
        program = tmp_path / "beyond.elf"
        support = [str(EMULATOR / "start.c"), str(EMULATOR / "emulator.c")]
        command = ["arm-none-eabi-gcc", *BOARD_FLAGS, f"-I{EMULATOR}", *support, str(source), "-o", str(program)]
        subprocess.run(command, check=True, timeout=60)
        run = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native"]
        done = subprocess.run(
            [*run, "-kernel", str(program)], timeout=60, check=False, stdin=subprocess.DEVNULL, capture_output=True
        )
        assert done.returncode == status, hex(address)


CLOCK = """\
#include "emulator.h"
int main(void) {
  uint64_t before = 0, longest = 0;
  emulator_start_counting();
  while (emulator_count() < 665000000) {
    for (volatile int wait = 0; wait < 1000000; wait++) {
    }
  }
  before = emulator_count();
  while (before < 675000000) {
    const uint64_t now = emulator_count();
    longest = now - before > longest ? now - before : longest; /* a step back is a huge difference */
    before = now;
  }
  return longest > 4000;
}
"""


@pytest.mark.slow
def test_the_emulated_boards_time_never_jumps(tmp_path):
    """The timer overflows every 671 million instructions; the time jumped there, and the watchdog triggered."""
    require("arm-none-eabi-gcc", "qemu-system-arm")
    (tmp_path / "clock.c").write_text(CLOCK)
    sources = [str(EMULATOR / "start.c"), str(EMULATOR / "emulator.c"), "clock.c"]
    command = ["arm-none-eabi-gcc", *BOARD_FLAGS, f"-I{EMULATOR}", *sources, "-o", "clock.elf"]
    subprocess.run(command, check=True, timeout=60, cwd=tmp_path)
    emulate(tmp_path / "clock.elf", tmp_path)
