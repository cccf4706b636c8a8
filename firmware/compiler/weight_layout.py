"""Brings weights into the order in which the firmware's kernels read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from firmware.compiler.requantize import Channel, Kernel
from firmware.compiler.scratch import stem_taps, up_to_four
from firmware.compiler.steps import Block, Stage

CType: TypeAlias = Literal["int8_t", "int16_t", "nn_channel"]


@dataclass(frozen=True, eq=False)
class Table:
    """One constant array of the generated file.

    Parameters
    ----------
    name : str
        Its name in C.
    type : str
    values : (n,) or (n, 3) ndarray
        Numbers, or bias, multiplier and shift of each channel.
    """

    name: str
    type: CType
    values: npt.NDArray[Any]

    @property
    def size_bytes(self) -> int:
        """What it takes in flash."""
        return int(self.values.size) * {"int8_t": 1, "int16_t": 2, "nn_channel": 4}[self.type]


def pack_pointwise(name: str, stage: Stage) -> tuple[Table, Table]:
    """Pack a 1x1 kernel: output channels in pairs, inputs in groups of four in the order 0 2 1 3, padded with zeros.

    The order is that in which a Cortex-M4 takes two 16-bit pairs from a word of four bytes.
    """
    weights = stage.kernel.weights
    padded = np.zeros((-(-weights.shape[0] // 2) * 2, up_to_four(weights.shape[1])), np.int8)
    padded[: weights.shape[0], : weights.shape[1]] = weights
    pairs = padded.reshape(len(padded) // 2, 2, -1, 4).transpose(0, 2, 1, 3)[..., [0, 2, 1, 3]]
    return Table(f"{name}_weights", "int8_t", pairs.ravel()), _channels(name, stage.kernel.channels)


def pack_stem(name: str, block: Block, stage: Stage) -> tuple[Table, Table]:
    """Pack a stem's kernel: each row of taps padded to an even number, as 16-bit values, doubled like the biases."""
    taps, channels = stem_taps(block), len(stage.kernel.channels)
    rows = stage.kernel.weights.reshape(channels, 3, -1)
    padded = np.zeros((channels, 3, taps), np.int16)
    padded[:, :, : rows.shape[2]] = 2 * rows.astype(np.int16)
    return Table(f"{name}_weights", "int16_t", padded.ravel()), _channels(name, _doubled(stage.kernel))


def pack_depthwise(name: str, stage: Stage) -> tuple[Table, Table]:
    """Pack a 3x3 depthwise kernel: of each row w0 w1 w1 w2, as 16-bit values, doubled like the biases."""
    rows = 2 * stage.kernel.weights.reshape(-1, 3, 3).astype(np.int16)
    return Table(f"{name}_weights", "int16_t", rows[..., [0, 1, 1, 2]].ravel()), _channels(name, _doubled(stage.kernel))


def pack_plain(name: str, kernel: Kernel) -> tuple[Table, Table]:
    """Pack a kernel of a plain layer as it is: output channel, row, column, input channel."""
    return Table(f"{name}_weights", "int8_t", kernel.weights.ravel()), _channels(name, kernel.channels)


def _doubled(kernel: Kernel) -> tuple[Channel, ...]:
    return tuple(channel._replace(bias=2 * channel.bias) for channel in kernel.channels)


def _channels(name: str, channels: tuple[Channel, ...]) -> Table:
    return Table(f"{name}_channels", "nn_channel", np.asarray(channels, np.int64).reshape(-1, 3))
