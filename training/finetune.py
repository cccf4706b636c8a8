"""Quantization-aware fine-tuning: a few epochs in which every weight and activation is rounded to 8 bits.

Batch norms are folded into the convolutions first, as the converter does, so that training rounds the values that the
board will hold. Gradients pass the rounding unchanged (Jacob et al. 2018). The result is an ordinary float net without
batch norms, which is converted and calibrated like any other.
"""

from dataclasses import replace
from typing import Any, Final

import numpy as np

from training.checkpoints import Progress
from training.data import Frames, Samples
from training.fit import Feed, FitListener, FitSettings, Fitted, Keeper, compile_model, run_epochs
from training.framework import load_keras

FINETUNE_EPOCHS: Final = 8
FINETUNE_RATE: Final = 0.05
"""Of the rate the net was trained at: small steps around what it has learned."""


def finetune(
    fitted: Fitted,
    train: Samples,
    val: Samples,
    settings: FitSettings,
    *,
    calibration: Frames,
    listener: FitListener,
) -> Fitted:
    """Return the net after quantization-aware fine-tuning.

    Parameters
    ----------
    fitted : Fitted
        Of convolutions, depthwise convolutions, dense layers and additions alone.
    train, val : Samples
        As for ``training.fit.fit``.
    settings : FitSettings
        Those the net was trained with.
    calibration : (n, side, side, 3) uint8 ndarray
        Sets the range of every activation, as it does in the conversion.
    listener : FitListener
    """
    folded = fold_norms(fitted.model)
    ranges = measure_ranges(folded, calibration)
    rounding = round_layers(folded, ranges)
    calm = replace(settings, epochs=FINETUNE_EPOCHS, patience=FINETUNE_EPOCHS, rate=settings.rate * FINETUNE_RATE)
    feed = Feed(train, calm)
    compile_model(rounding, calm, steps=feed.steps, warm_up=0)
    keeper = Keeper(rounding, Progress.start(), calm, checkpoint=None, listener=listener)
    seen = val.view(settings.side).astype(np.float32) / np.float32(255)
    run_epochs(rounding, feed, keeper, seen, val.labels, logs=None)
    keeper.restore_best()
    folded.set_weights(rounding.get_weights())
    return Fitted(folded, keeper.epochs, keeper.progress.best)


def fold_norms(model: Any) -> Any:
    """Return the same net with every batch norm folded into the convolution before it."""
    _, keras = load_keras()
    before = _producers(model)
    norms = {before[layer.name].name: layer for layer in model.layers if _is_norm(layer)}

    def without(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in norms:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def skip_norms(layer: Any, *inputs: Any, **more: Any) -> Any:
        return inputs[0] if _is_norm(layer) else layer(*inputs, **more)

    folded = keras.models.clone_model(model, clone_function=without, call_function=skip_norms)
    for layer in model.layers:
        if layer.weights and not _is_norm(layer):
            folded.get_layer(layer.name).set_weights(_folded_weights(layer, norms.get(layer.name)))
    return folded


def _is_norm(layer: Any) -> bool:
    _, keras = load_keras()
    return isinstance(layer, keras.layers.BatchNormalization)


def _producers(model: Any) -> dict[str, Any]:
    """Return for each layer's name the layer that computes its (first) input."""
    made = {id(layer.output): layer for layer in model.layers}
    read = {layer.name: layer.input if isinstance(layer.input, list) else [layer.input] for layer in model.layers}
    return {name: made[id(tensors[0])] for name, tensors in read.items() if tensors}


def _folded_weights(layer: Any, norm: Any) -> list[Any]:
    if norm is None:
        return list(layer.get_weights())
    kernel, *bias = layer.get_weights()
    gamma, beta, mean, variance = (np.asarray(value, dtype=np.float64) for value in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    depthwise = kernel.ndim == 4 and kernel.shape[-1] == 1 and kernel.shape[2] == scale.size
    wide = scale[:, None] if depthwise else scale
    shift = beta + ((bias[0] if bias else 0.0) - mean) * scale
    return [(kernel * wide).astype(np.float32), shift.astype(np.float32)]


def measure_ranges(model: Any, calibration: Frames) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of each layer's result over the calibration images, zero included."""
    _, keras = load_keras()
    watched = keras.Model(model.input, {layer.name: layer.output for layer in model.layers[1:]})
    found = watched(calibration.astype(np.float32) / np.float32(255), training=False)
    return {
        name: (min(0.0, float(np.min(value))), max(1e-6, float(np.max(value)))) for name, value in sorted(found.items())
    }


def round_layers(model: Any, ranges: dict[str, tuple[float, float]]) -> Any:
    """Return the same net, with the same weights, in which kernels and activations are rounded to 8 bits."""
    tf, keras = load_keras()
    layers = keras.layers
    conv2d: Any = layers.Conv2D
    depthwise2d: Any = layers.DepthwiseConv2D
    dense: Any = layers.Dense
    plain: Any = layers.Layer

    def round_kernel(kernel: Any, axis: int) -> Any:
        """Round symmetrically to -127 ... 127, each output channel by its own scale."""
        others = [other for other in range(len(kernel.shape)) if other != axis]
        limit = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=others, keepdims=True), 1e-12)
        step = limit / 127.0
        return kernel + tf.stop_gradient(tf.round(kernel / step) * step - kernel)

    class Convolution(conv2d):  # type: ignore[misc]  # Keras has no types
        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            return super().convolution_op(inputs, round_kernel(tf.convert_to_tensor(kernel), 3))

    class Depthwise(depthwise2d):  # type: ignore[misc]  # Keras has no types
        def call(self, inputs: Any) -> Any:
            kernel = round_kernel(tf.convert_to_tensor(self.kernel), 2)
            spread = keras.ops.depthwise_conv(inputs, kernel, strides=tuple(self.strides), padding=self.padding)
            return spread + self.bias

    class Mixed(dense):  # type: ignore[misc]  # Keras has no types
        def call(self, inputs: Any) -> Any:
            return keras.ops.matmul(inputs, round_kernel(tf.convert_to_tensor(self.kernel), 1)) + self.bias

    class Rounded(plain):  # type: ignore[misc]  # Keras has no types
        def __init__(self, low: float, high: float, *, name: str) -> None:
            super().__init__(name=name)
            self.low, self.high = low, high

        def call(self, inputs: Any) -> Any:
            return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high, num_bits=8)

    swapped: dict[Any, Any] = {conv2d: Convolution, depthwise2d: Depthwise, dense: Mixed}
    held = _held_layers(model)

    def rounded(layer: Any) -> Any:
        kind: Any = type(layer)
        return swapped.get(kind, kind).from_config(layer.get_config())

    def call(layer: Any, *inputs: Any, **more: Any) -> Any:
        result = layer(*inputs, **more)
        if layer.name in held:
            result = Rounded(*ranges[layer.name], name=f"{layer.name}_rounded")(result)
        return result

    clone = keras.models.clone_model(model, clone_function=rounded, call_function=call)
    clone.set_weights(model.get_weights())
    return clone


def _held_layers(model: Any) -> frozenset[str]:
    """Return the layers whose result the int8 net stores: all but the input and the convolutions before a ReLU."""
    _, keras = load_keras()
    before = _producers(model)
    passing = (keras.layers.Identity, keras.layers.InputLayer, keras.layers.Softmax)
    fused = set()
    for layer in model.layers:
        if isinstance(layer, keras.layers.ReLU):
            source = before[layer.name]
            while isinstance(source, keras.layers.Identity):
                source = before[source.name]
            fused.add(source.name)
    return frozenset(layer.name for layer in model.layers if not isinstance(layer, passing) and layer.name not in fused)
