"""The scratch memory of each step, in bytes, and which part of its input is no longer needed when it writes.

The firmware's kernels lay their scratch out in the order of `BlockScratch`; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from firmware.compiler.model import Padding, Tensor
from firmware.compiler.steps import CHUNK, Block, Pointwise, Step, pixels_of

HALFWORD = 2
_WINDOW = 3


class BlockScratch(NamedTuple):
    """The parts of a block's scratch in bytes, in their order; each is a multiple of four.

    ``ring`` contains three rows of the depthwise layer's input, one channel after the other; ``row`` one row of that
    layer's result; ``widened`` the expansion's input as 16-bit values (three rows for a stem, one else, none without an
    expansion);
    ``residual`` one row of what an addition takes from the ring.
    """

    ring: int
    row: int
    widened: int
    residual: int


def up_to_four(count: int) -> int:
    """Round up to a multiple of four."""
    return -(-count // 4) * 4


def ring_columns(block: Block) -> int:
    """Count the 16-bit values of one channel's row in the ring: even, and long enough for what is read in pairs."""
    layer, width, width_out = block.depthwise.layer, block.middle.shape[2], _row_source(block).shape[2]
    stride = layer.stride[1]
    read = 2 * (width_out - 1) + 4 if stride == 2 else up_to_two(width_out) + 2
    return up_to_two(max(width + layer.padding.left, read))


def up_to_two(count: int) -> int:
    """Round up to an even number."""
    return -(-count // 2) * 2


def stem_columns(block: Block) -> int:
    """Count the 16-bit values of one widened row of a stem: its padding, its pixels, and what is read beyond them."""
    if block.expand is None:
        return 0
    layer, source = block.expand.layer, block.source.shape
    channels, stride = source[3], layer.stride[1]
    width_out = block.middle.shape[2]
    read = (width_out - 1) * stride * channels + stem_taps(block)
    return up_to_two(max((source[2] + layer.padding.left) * channels, read))


def stem_taps(block: Block) -> int:
    """Count the 16-bit weights of one row of a stem's kernel, even."""
    return up_to_two(_WINDOW * block.source.shape[3])


def scratch_of(block: Block) -> BlockScratch:
    """Measure a block's scratch."""
    channels, width_out = block.middle.shape[3], _row_source(block).shape[2]
    ring = _WINDOW * channels * ring_columns(block) * HALFWORD
    row = width_out * up_to_four(channels) * HALFWORD
    widened = 0
    if block.is_stem:
        widened = _WINDOW * stem_columns(block) * HALFWORD
    elif block.expand is not None:
        widened = block.source.shape[2] * up_to_four(block.source.shape[3]) * HALFWORD
    residual = width_out * block.result.shape[3] if block.residual == "expanded" else 0
    return BlockScratch(*map(up_to_four, (ring, row, widened, residual)))


def scratch_bytes(step: Step) -> int:
    """Measure the scratch memory of a step."""
    if isinstance(step, Block):
        return sum(scratch_of(step))
    if isinstance(step, Pointwise):
        pixels, channels = pixels_of(step)
        return min(pixels, CHUNK) * up_to_four(channels) * HALFWORD
    return 0


def _row_source(block: Block) -> Tensor:
    """Return the tensor whose width is that of the depthwise layer's output: the projection keeps it."""
    return block.result


def rows_read(block: Block, row: int) -> int:
    """Count the rows of its input a block has taken when it gives a row."""
    depthwise, height = block.depthwise.layer, block.middle.shape[1]
    middle = min(height, _last_row(depthwise.stride[0], depthwise.padding, row) + 1)
    if not block.is_stem or block.expand is None:
        return max(middle, 0)
    stem = block.expand.layer
    return min(block.source.shape[1], _last_row(stem.stride[0], stem.padding, middle - 1) + 1)


def _last_row(stride: int, padding: Padding, row: int) -> int:
    return row * stride - padding.top + _WINDOW - 1


def overlap_distance(step: Step) -> int | None:
    """Find how far above its result a step's input must begin, in bytes, where they may share memory; None where not.

    The step writes its result from the front while it reads its input from the front: as long as the input begins this
    far above the result, nothing is overwritten before it was read. It may be negative.
    """
    if isinstance(step, Block):
        return stream_distance((step,))
    if isinstance(step, Pointwise):
        return max(written - dead for written, dead in _pointwise_progress(step))
    return 0 if step.layer.op in ("ADD", "QUANTIZE") else None


def may_coincide(step: Step) -> bool:
    """Return whether input and result may begin at one address although `overlap_distance` is larger.

    An addition reads each value of the residual just before it writes the sum there.
    """
    return isinstance(step, Block) and step.residual == "input"


def stream_distance(blocks: tuple[Block, ...]) -> int:
    """Do what `overlap_distance` does for blocks that hand their rows to one another."""
    return max(written - dead for written, dead in _stream_progress(blocks))


def _stream_progress(blocks: tuple[Block, ...]) -> Iterator[tuple[int, int]]:
    source, result = blocks[0].source.shape, blocks[-1].result.shape
    for row in range(result[1]):
        taken = row + 1
        for block in reversed(blocks):
            taken = rows_read(block, taken - 1)
        dead = min(taken, row) if blocks[0].residual == "input" else taken
        yield (row + 1) * result[2] * result[3], dead * source[2] * source[3]


def _pointwise_progress(step: Pointwise) -> Iterator[tuple[int, int]]:
    pixels, channels = pixels_of(step)
    channels_out = step.result.shape[-1]
    for done in range(0, pixels, CHUNK):
        taken = min(done + CHUNK, pixels)
        yield taken * channels_out, taken * channels
