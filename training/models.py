"""The nets that can be trained: small depthwise nets and MobileNetV2 for the board, two large ones to compare with.

Every net takes pixels / 255 and ends in a softmax over the classes. A stride of 2 pads at the bottom and right alone,
as TensorFlow's "same" does for even sides, so that neither a converter nor the board needs a padding step.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from training.data import Frames
from training.framework import load_keras

Family = Literal["ds_cnn", "mobilenet_v2", "efficientnet", "resnet50"]
Weights = Literal["none", "imagenet"]

BATCH_NORM_MOMENTUM: Final = 0.9
"""Keras' own nets have 0.999: with some 25 steps an epoch the moving averages then never converge, and a net that is
right on 93 % of its training images predicts the majority class in the test."""

DS_BLOCKS: Final[Mapping[str, Sequence[tuple[int, int]]]] = {
    # (channels, stride) of each depthwise-separable block after an 8-channel stem of stride 2
    "xs": ((16, 2), (24, 2), (32, 2), (48, 1), (64, 2)),
    "s": ((16, 2), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)),
}
STEM_CHANNELS: Final = 8
IMAGENET_ALPHAS: Final = (0.35,)
"""The alphas for which Keras publishes ImageNet weights."""

CALMER: Final = (16, 2e-3, 40)
"""Batch, rate and patience of MobileNetV2, some fifty layers deep. With those of the small nets, from scratch on 600
images, its folds differed by up to four points: a good validation at a high rate ended training too early."""


@dataclass(frozen=True)
class Architecture:
    """A net with its default training settings.

    Parameters
    ----------
    name : str
    family : str
    variant : str
        The size of a ds_cnn, the alpha of a MobileNetV2; empty for the others.
    for_board : bool
        Whether the compiler supports all of its layers.
    batch : int
        Images in each training step, by default.
    rate : float
        Highest learning rate, by default.
    patience : int
        Epochs without a better validation loss after which training ends, by default.
    """

    name: str
    family: Family
    variant: str
    for_board: bool
    batch: int = 32
    rate: float = 4e-3
    patience: int = 15


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    architecture.name: architecture
    for architecture in (
        Architecture("ds_cnn_xs", "ds_cnn", "xs", True),
        Architecture("ds_cnn_s", "ds_cnn", "s", True),
        Architecture("mobilenet_v2_0.1", "mobilenet_v2", "0.1", True, *CALMER),
        Architecture("mobilenet_v2_0.2", "mobilenet_v2", "0.2", True, *CALMER),
        Architecture("mobilenet_v2_0.35", "mobilenet_v2", "0.35", True, *CALMER),
        Architecture("efficientnet", "efficientnet", "", False),
        Architecture("resnet50", "resnet50", "", False),
    )
}
DEFAULT: Final = "ds_cnn_xs"


def find_architecture(name: str, *, variant: str | None = None) -> Architecture:
    """Return the architecture of that name, or of that family and variant.

    Raises
    ------
    CurationError
        OPTION_INVALID where there is none; the hint names those that exist.

    Examples
    --------
    >>> find_architecture("mobilenet_v2", variant="0.2").name
    'mobilenet_v2_0.2'
    >>> find_architecture("ds_cnn").name
    'ds_cnn_xs'
    """
    fitting = [
        architecture
        for architecture in ARCHITECTURES.values()
        if name in (architecture.name, architecture.family) and variant in (None, architecture.variant)
    ]
    if not fitting:
        asked = name if variant is None else f"{name} {variant}"
        raise CurationError(
            ErrorCode.OPTION_INVALID, f"there is no model {asked!r}", hint=f"Known models: {', '.join(ARCHITECTURES)}."
        )
    return fitting[0]


def build_model(architecture: Architecture, *, classes: int, side: int = 96, weights: Weights = "none") -> Any:
    """Return an untrained net, or one that starts from ImageNet's weights.

    Parameters
    ----------
    architecture : Architecture
    classes : int
        How many; two or more.
    side : int
        Side of the input in pixels.
    weights : {"none", "imagenet"}
        "imagenet" downloads them; where that fails or there are none, it is an error here. Whether to train
        without them is the caller's decision (``training.train_run.resolve_weights``).

    Returns
    -------
    keras.Model
        From (n, side, side, 3) float32 in [0, 1] to (n, classes) float32 that sum to 1. The layer before the last is
        the embedding.

    Raises
    ------
    CurationError
        WEIGHTS_MISSING where ImageNet weights do not exist for this net, or cannot be downloaded.
    """
    _, keras = load_keras()
    if weights == "imagenet" and not _has_imagenet(architecture):
        raise CurationError(
            ErrorCode.WEIGHTS_MISSING,
            f"there are no ImageNet weights for {architecture.name}",
            hint="Only mobilenet_v2_0.35, efficientnet and resnet50 have them; the others start from scratch.",
        )
    image = keras.Input((side, side, 3), batch_size=None, name="image")
    features = _BODIES[architecture.family](image, architecture.variant, weights)
    pooled = keras.layers.GlobalAveragePooling2D(name="embedding")(features)
    scores = keras.layers.Dense(classes, name="logits")(pooled)
    probabilities = keras.layers.Softmax(name="probabilities")(scores)
    return keras.Model(image, probabilities, name=architecture.name.replace(".", "_"))


def _has_imagenet(architecture: Architecture) -> bool:
    if architecture.family == "mobilenet_v2":
        return float(architecture.variant) in IMAGENET_ALPHAS
    return architecture.family in ("efficientnet", "resnet50")


def _build_ds_cnn(image: Any, variant: str, weights: Weights) -> Any:
    """Stack a stem and depthwise-separable blocks as MobileNetV1 does (Howard et al. 2017), narrow enough for 32 KB."""
    _, keras = load_keras()
    layers = keras.layers

    def settle(features: Any, name: str) -> Any:
        settled = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(features)
        return layers.ReLU(6.0, name=f"{name}_relu")(settled)

    convolve = {"padding": "same", "use_bias": False}
    features = settle(layers.Conv2D(STEM_CHANNELS, 3, strides=2, name="stem", **convolve)(image), "stem")
    for number, (channels, stride) in enumerate(DS_BLOCKS[variant], start=1):
        spread = layers.DepthwiseConv2D(3, strides=stride, name=f"block{number}_depthwise", **convolve)(features)
        spread = settle(spread, f"block{number}_depthwise")
        mixed = layers.Conv2D(channels, 1, name=f"block{number}_pointwise", **convolve)(spread)
        features = settle(mixed, f"block{number}_pointwise")
    return features


def _build_mobilenet_v2(image: Any, variant: str, weights: Weights) -> Any:
    """Take inverted residuals (Sandler et al. 2018) as Keras has them."""
    _, keras = load_keras()
    body = _fetch(keras.applications.MobileNetV2, image, weights, alpha=float(variant))
    model = adapt_body(body, image)
    if weights == "imagenet":
        fold_affine(model, "Conv1", "bn_Conv1", scale=np.full(3, 2.0), offset=np.full(3, -1.0))
    return model.output


def _build_efficientnet(image: Any, variant: str, weights: Weights) -> Any:
    """Take EfficientNet-B0 (Tan and Le 2019) as Keras has it: its first layers divide pixels of 0 to 255 themselves."""
    _, keras = load_keras()
    body = _fetch(keras.applications.EfficientNetB0, image, weights)
    return adapt_body(body, None)(keras.layers.Rescaling(255.0, name="pixels")(image))


def _build_resnet50(image: Any, variant: str, weights: Weights) -> Any:
    """Take ResNet-50 (He et al. 2015) as Keras has it: its ImageNet weights want BGR pixels less their mean."""
    _, keras = load_keras()
    body = _fetch(keras.applications.ResNet50, image, weights)
    model = adapt_body(body, image)
    if weights == "imagenet":
        stem = model.get_layer("conv1_conv")
        stem.kernel.assign(np.asarray(stem.kernel)[:, :, ::-1])
        offset = -np.array([123.68, 116.779, 103.939])
        fold_affine(model, "conv1_conv", None, scale=np.full(3, 255.0), offset=offset)
    return model.output


def _fetch(build: Callable[..., Any], image: Any, weights: Weights, *, alpha: float | None = None) -> Any:
    """Return a body from ``keras.applications``, its weights downloaded where they are wanted."""
    wanted = None if weights == "none" else weights
    width = {} if alpha is None else {"alpha": alpha}
    try:
        # Keras prints the download on standard output, and warns of a side that is not ImageNet's.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build(input_shape=tuple(image.shape[1:]), include_top=False, weights=wanted, **width)
    except Exception as fault:  # Keras raises this very class where a download fails
        if wanted is None:
            raise
        raise CurationError(
            ErrorCode.WEIGHTS_MISSING,
            f"the ImageNet weights cannot be downloaded: {fault}",
            hint="Without the network the net can only start from scratch.",
        ) from fault


def adapt_body(body: Any, source: Any) -> Any:
    """Return a copy of ``body`` with our batch norm momentum and padding, and its weights, on an input or its own."""
    _, keras = load_keras()

    def adapt(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = BATCH_NORM_MOMENTUM
        # Keras pads by (0, 1) before a stride of 2 on even sides, which is what "same" does without a step of its own.
        if isinstance(layer, keras.layers.ZeroPadding2D) and config["padding"] == ((0, 1), (0, 1)):
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.layers.DepthwiseConv2D) and config["strides"] == (2, 2):
            config["padding"] = "same"
        return type(layer).from_config(config)

    adapted = keras.models.clone_model(body, input_tensors=source, clone_function=adapt)
    adapted.set_weights(body.get_weights())
    return adapted


def fold_affine(
    model: Any, convolution: str, norm: str | None, *, scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> None:
    """Change a first convolution so that it gives for x what it gave for ``scale * x + offset`` (per channel).

    Exact but for the padded border, where the padding stands for 0 of the new x.
    """
    stem = model.get_layer(convolution)
    kernel = np.asarray(stem.kernel, dtype=np.float64)
    shift = (kernel * offset[:, None]).sum(axis=(0, 1, 2))
    stem.kernel.assign((kernel * scale[:, None]).astype(np.float32))
    if norm is None:
        stem.bias.assign(np.asarray(stem.bias) + shift)
    else:
        mean = model.get_layer(norm).moving_mean
        mean.assign(np.asarray(mean) - shift)


_BODIES: Final[Mapping[Family, Callable[[Any, str, Weights], Any]]] = {
    "ds_cnn": _build_ds_cnn,
    "mobilenet_v2": _build_mobilenet_v2,
    "efficientnet": _build_efficientnet,
    "resnet50": _build_resnet50,
}


def predict(model: Any, images: Frames, *, batch: int = 64) -> npt.NDArray[np.float32]:
    """Return a float model's probabilities: (n, classes) float32 for (n, side, side, 3) uint8 images."""
    parts = [
        np.asarray(model(images[start : start + batch].astype(np.float32) / np.float32(255), training=False))
        for start in range(0, len(images), batch)
    ]
    return np.concatenate(parts) if parts else np.empty((0, model.output_shape[-1]), np.float32)


def embed(model: Any, images: Frames) -> npt.NDArray[np.float32]:
    """Return the layer before the classes: (n, features) float32 for (n, side, side, 3) uint8 images."""
    _, keras = load_keras()
    body = keras.Model(model.input, model.get_layer("embedding").output)
    return predict(body, images).astype(np.float32)
