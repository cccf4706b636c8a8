"""Builds int8 .tflite files layer by layer, with random weights and scales that fit what the layers really give.

No framework is needed: a file is written through the same schema that reads it, in milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

MISSING = "the extra `train` is not installed"
flatbuffers = pytest.importorskip("flatbuffers", reason=MISSING)
schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason=MISSING)

SAME, VALID = 0, 1
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
LIMITS = {"NONE": (-np.inf, np.inf), "RELU": (0, np.inf), "RELU_N1_TO_1": (-1, 1), "RELU6": (0, 6)}


class Network:
    """A network in the making: every method adds a layer and returns the number of the tensor it makes."""

    def __init__(self, shape, *, seed=0, input_scale=1 / 255, input_zero=-128, input_type="int8"):
        self.random = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.samples = {}
        stored = self.random.integers(0, 256, (1, *shape))
        offset = 128 if input_type == "int8" else 0
        real = (stored - offset - input_zero) * input_scale
        self.input = self._activation("input", real, scale=input_scale, zero=input_zero, kind=input_type)

    def convolve(
        self,
        source,
        channels,
        *,
        window=(3, 3),
        stride=(1, 1),
        same=True,
        activation="RELU6",
        dilation=1,
        bias=True,
        **how,
    ):
        real = self.samples[source]
        weights = self.random.normal(0, 1, (channels, *window, real.shape[3])) / np.sqrt(
            np.prod(window) * real.shape[3]
        )
        patches = _patches(real, window, stride, same)
        result = np.einsum("hwcij,oijc->hwo", patches, weights)[None]
        options = schema.Conv2DOptionsT()
        options.dilationHFactor = options.dilationWFactor = dilation
        return self._weighted(
            "CONV_2D",
            options,
            source,
            weights,
            result,
            axis=0,
            stride=stride,
            same=same,
            activation=activation,
            bias=bias,
            **how,
        )

    def depthwise(self, source, *, window=(3, 3), stride=(1, 1), same=True, activation="RELU6", multiplier=1, **how):
        real = self.samples[source]
        channels = real.shape[3] * multiplier
        weights = self.random.normal(0, 1, (1, *window, channels)) / np.sqrt(np.prod(window))
        patches = np.repeat(_patches(real, window, stride, same), multiplier, axis=2)
        result = np.einsum("hwcij,ijc->hwc", patches, weights[0])[None]
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = multiplier
        options.dilationHFactor = options.dilationWFactor = 1
        return self._weighted(
            "DEPTHWISE_CONV_2D",
            options,
            source,
            weights,
            result,
            axis=3,
            stride=stride,
            same=same,
            activation=activation,
            **how,
        )

    def dense(self, source, channels, *, activation="NONE", per_channel=False, **how):
        real = self.samples[source].reshape(1, -1)
        weights = self.random.normal(0, 1, (channels, real.shape[1])) / np.sqrt(real.shape[1])
        return self._weighted(
            "FULLY_CONNECTED",
            schema.FullyConnectedOptionsT(),
            source,
            weights,
            real @ weights.T,
            axis=0 if per_channel else None,
            activation=activation,
            **how,
        )

    def add(self, first, second, *, activation="NONE"):
        options = schema.AddOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[activation]
        real = np.clip(self.samples[first] + self.samples[second], *LIMITS[activation])
        return self._operate("ADD", options, [first, second], self._activation("add", real))

    def pad(self, source, amounts):
        real = np.pad(self.samples[source], ((0, 0), *amounts, (0, 0)))
        constant = self._constant(np.array([(0, 0), *amounts, (0, 0)], np.int32), 2)
        result = self._activation("pad", real, like=source)
        return self._operate("PAD", schema.PadOptionsT(), [source, constant], result)

    def average_pool(self, source, *, window=(2, 2), stride=(2, 2), same=False):
        options = schema.Pool2DOptionsT()
        options.filterHeight, options.filterWidth = window
        self._strides(options, stride, same)
        real = _patches(self.samples[source], window, stride, same).mean((3, 4))[None]
        return self._operate("AVERAGE_POOL_2D", options, [source], self._activation("pool", real, like=source))

    def mean(self, source, *, keep=False, like=None):
        real = self.samples[source].mean((1, 2), keepdims=keep)
        options = schema.ReducerOptionsT()
        options.keepDims = keep
        axes = self._constant(np.array([1, 2], np.int32), 2)
        return self._operate("MEAN", options, [source, axes], self._activation("mean", real, like=like))

    def softmax(self, source, *, beta=1.0):
        options = schema.SoftmaxOptionsT()
        options.beta = beta
        real = np.exp(self.samples[source])
        result = self._activation("softmax", real / real.sum(), scale=1 / 256, zero=-128)
        return self._operate("SOFTMAX", options, [source], result)

    def reshape(self, source, shape):
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        constant = self._constant(np.array(shape, np.int32), 2)
        result = self._activation("reshape", self.samples[source].reshape(shape), like=source)
        return self._operate("RESHAPE", options, [source, constant], result)

    def quantize(self, source, *, kind="int8", **how):
        result = self._activation("quantize", self.samples[source], kind=kind, **how)
        return self._operate("QUANTIZE", schema.QuantizeOptionsT(), [source], result)

    def foreign(self, source, name):
        """Add an operator without options that the compiler may not know."""
        result = self._activation(name.lower(), self.samples[source], like=source)
        return self._operate(name, None, [source], result)

    def finish(self, output):
        """Return the file's bytes."""
        self.graph.inputs, self.graph.outputs = [self.input], [output]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _weighted(
        self, op, options, source, weights, result, *, axis, activation, bias=True, stride=None, same=True, **how
    ):
        if stride is not None:
            self._strides(options, stride, same)
        options.fusedActivationFunction = ACTIVATIONS[activation]
        # Results as wide as a trained layer's: else biases drown the image, and every input gives the same logits.
        width = max(float(result.std()), 1e-3)
        weights, result = weights / width, result / width
        scales = (
            np.abs(weights).max(tuple(i for i in range(weights.ndim) if i != axis)) / 127 if axis is not None else None
        )
        scales = np.atleast_1d(np.abs(weights).max() / 127 if scales is None else scales).astype(np.float32)
        spread = [1] * weights.ndim
        if axis is not None:
            spread[axis] = -1
        stored = np.clip(np.rint(weights / scales.reshape(spread)), -127, 127).astype(np.int8)
        offsets = self.random.normal(0, 0.3, result.shape[-1])
        inputs = [source, self._constant(stored, 9, scales=scales, axis=axis or 0)]
        if bias:
            source_scale = self.graph.tensors[source].quantization.scale[0]
            product = source_scale * scales
            values = np.rint(offsets / product.astype(np.float64)).astype(np.int32)
            inputs.append(self._constant(np.broadcast_to(values, offsets.shape), 2, scales=product))
        real = np.clip(result + (offsets if bias else 0), *LIMITS[activation])
        return self._operate(op, options, inputs, self._activation(op.lower(), real, **how))

    def _strides(self, options, stride, same):
        options.strideH, options.strideW = stride
        options.padding = SAME if same else VALID

    def _activation(self, name, real, *, like=None, scale=None, zero=None, kind="int8"):
        if like is not None:
            quantization = self.graph.tensors[like].quantization
            scale, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
        if scale is None:
            low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
            scale = max((high - low) / 255, 1e-4)
            zero = int(np.clip(round(-128 - low / scale), -128, 127)) + (128 if kind == "uint8" else 0)
        index = self._tensor(
            f"{name}_{len(self.graph.tensors)}", real.shape, {"int8": 9, "uint8": 3, "float32": 0}[kind]
        )
        self._quantize(index, np.array([scale], np.float32), zero)
        bounds = (0, 255) if kind == "uint8" else (-128, 127)
        self.samples[index] = (np.clip(np.rint(real / scale) + zero, *bounds) - zero) * scale
        return index

    def _constant(self, values, kind, *, scales=None, axis=0):
        index = self._tensor(f"constant_{len(self.graph.tensors)}", values.shape, kind)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.graph.tensors[index].buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        if scales is not None:
            self._quantize(index, scales, 0, axis=axis)
        return index

    def _tensor(self, name, shape, kind):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [int(side) for side in shape], kind, 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _quantize(self, index, scales, zero, *, axis=0):
        quantization = schema.QuantizationParametersT()
        quantization.scale = scales
        quantization.zeroPoint = np.full(len(scales), zero, np.int64)
        quantization.quantizedDimension = axis
        self.graph.tensors[index].quantization = quantization

    def _operate(self, name, options, inputs, output):
        number = getattr(schema.BuiltinOperator, name)
        codes = [code.builtinCode for code in self.model.operatorCodes]
        if number not in codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = (
                number,
                min(number, 127),
                _VERSIONS.get(name, 1),
            )
            self.model.operatorCodes.append(code)
            codes.append(number)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = codes.index(number), inputs, [output]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        self.graph.operators.append(operator)
        return output


_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2, "MEAN": 2, "SOFTMAX": 2}


def _patches(real, window, stride, same) -> Any:
    """Cut (height, width, channels, rows, columns) windows out of (1, h, w, channels)."""
    image = real[0]
    if same:
        amounts = []
        for side, size, step in zip(image.shape[:2], window, stride, strict=True):
            total = max((-(-side // step) - 1) * step + size - side, 0)
            amounts.append((total // 2, total - total // 2))
        image = np.pad(image, (*amounts, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(image, window, (0, 1))
    return windows[:: stride[0], :: stride[1]]


def ds_cnn(*, side=96, seed=0, channels=(8, 16, 24, 32, 48, 64), strides=(2, 2, 2, 1, 2), labels=2):
    """Build a small depthwise net: a stem and blocks, mean, dense, softmax."""
    net = Network((side, side, 3), seed=seed)
    at = net.convolve(net.input, channels[0], stride=(2, 2))
    for out, stride in zip(channels[1:], strides, strict=True):
        at = net.convolve(net.depthwise(at, stride=(stride, stride)), out, window=(1, 1))
    return net.finish(net.softmax(net.dense(net.mean(at), labels)))


def inverted_residual(*, side=32, seed=0, labels=2):
    """Build a small MobileNetV2: a stem whose result is added, expansions, residuals, a wide last layer."""
    net = Network((side, side, 3), seed=seed)
    stem = net.convolve(net.input, 8, stride=(2, 2))
    at = net.add(stem, net.convolve(net.depthwise(stem), 8, window=(1, 1), activation="NONE"))
    for out, stride in ((8, 2), (8, 1), (12, 2), (12, 1), (12, 1)):
        wide = net.convolve(at, 4 * out, window=(1, 1))
        narrow = net.convolve(net.depthwise(wide, stride=(stride, stride)), out, window=(1, 1), activation="NONE")
        at = net.add(at, narrow) if stride == 1 else narrow
    at = net.convolve(at, 96, window=(1, 1))
    return net.finish(net.softmax(net.dense(net.mean(at), labels)))
