"""An int8 network as frozen values: tensors, layers, and the quantization of each tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

Operator = Literal[
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "PAD",
    "AVERAGE_POOL_2D",
    "MEAN",
    "FULLY_CONNECTED",
    "SOFTMAX",
    "RESHAPE",
    "QUANTIZE",
]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
"""Every operator that the compiler supports."""

Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6"]
ElementType = Literal["int8", "uint8", "int32", "int64", "float32"]
Shape: TypeAlias = tuple[int, ...]

ELEMENT_BYTES: Final[dict[ElementType, int]] = {"int8": 1, "uint8": 1, "int32": 4, "int64": 8, "float32": 4}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the graph.

    Parameters
    ----------
    index : int
        Its number in the file.
    name : str
    shape : tuple of int
        As in the file: activations are (1, height, width, channels) or (1, features).
    type : str
    scales : (1,) or (channels,) float64 ndarray
        The float32 scales of the file, exactly; empty where the tensor is not quantized.
    zero_point : int
    values : ndarray, optional
        The values of a constant, in its shape; None for an activation.
    """

    index: int
    name: str
    shape: Shape
    type: ElementType
    scales: npt.NDArray[np.float64]
    zero_point: int
    values: npt.NDArray[Any] | None

    @property
    def scale(self) -> float:
        """The one scale of an activation."""
        return float(self.scales[0])

    @property
    def size_bytes(self) -> int:
        """Its size in memory."""
        return math.prod(self.shape) * ELEMENT_BYTES[self.type]


@dataclass(frozen=True)
class Padding:
    """Rows and columns of zero points around an image."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __add__(self, other: Padding) -> Padding:
        """Return both paddings together."""
        return Padding(
            self.top + other.top, self.left + other.left, self.bottom + other.bottom, self.right + other.right
        )

    def __bool__(self) -> bool:
        """Return whether there is any padding."""
        return any((self.top, self.left, self.bottom, self.right))


@dataclass(frozen=True)
class Layer:
    """One operator of the graph, with every setting made explicit.

    Parameters
    ----------
    index : int
        Its place in the file, from 0.
    op : str
    name : str
        The name of the tensor it makes, which is how Keras names its layers.
    inputs : tuple of int
        Tensor numbers: the activation first, then weights and bias (-1: none).
    output : int
    stride : (int, int)
        Rows, columns.
    padding : Padding
        In rows and columns, for SAME and for explicit padding.
    window : (int, int)
        Height and width of the kernel or the pooling window.
    activation : str
        The activation function that is fused into the layer.
    """

    index: int
    op: Operator
    name: str
    inputs: tuple[int, ...]
    output: int
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    window: tuple[int, int] = (1, 1)
    activation: Activation = "NONE"

    @property
    def place(self) -> str:
        """The layer, as error messages name it."""
        return f"layer {self.index} ({self.op}, {self.name!r})"


@dataclass(frozen=True)
class Model:
    """A network with one input and one output, its layers in the order in which they run."""

    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    input: int
    output: int

    def source(self, layer: Layer) -> Tensor:
        """Return the activation a layer reads (of an addition the first)."""
        return self.tensors[layer.inputs[0]]

    def result(self, layer: Layer) -> Tensor:
        """Return the tensor a layer makes."""
        return self.tensors[layer.output]

    def weights(self, layer: Layer) -> Tensor:
        """Return a layer's weights."""
        return self.tensors[layer.inputs[1]]

    def bias(self, layer: Layer) -> npt.NDArray[np.int64] | None:
        """Return a layer's bias in the accumulator's units; None where it has none."""
        if len(layer.inputs) < 3 or layer.inputs[2] < 0:
            return None
        values = self.tensors[layer.inputs[2]].values
        return None if values is None else values.astype(np.int64).ravel()

    def readers(self, tensor: int) -> tuple[Layer, ...]:
        """Return the layers that read a tensor."""
        return tuple(layer for layer in self.layers if tensor in layer.inputs)


def count_macs(model: Model, layer: Layer) -> int:
    """Count a layer's multiplications with a weight; 0 for what has none."""
    if layer.op not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights = model.weights(layer)
    outputs = math.prod(model.result(layer).shape)
    if layer.op == "DEPTHWISE_CONV_2D":
        return outputs * layer.window[0] * layer.window[1]
    return outputs * math.prod(weights.shape[1:])
