"""Turns a trained net into a full int8 ``.tflite`` whose input is the camera's bytes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firmware.compiler.tflite_reference import ReferenceModel, open_reference, quiet
from training.data import Frames, Samples
from training.finetune import finetune
from training.fit import FitListener, FitSettings, Fitted
from training.framework import load_keras
from training.models import predict

CALIBRATION_IMAGES: Final = 200
TOLERATED_LOSS: Final = 0.5
"""Points of accuracy (of 100) that quantization may cost before the net is fine-tuned."""
METADATA_NAME: Final = "curation"


@dataclass(frozen=True)
class QuantizedModel:
    """A net and its int8 form.

    Parameters
    ----------
    fitted : Fitted
    int8 : ReferenceModel
        The int8 model, opened once.
    unrounded : bytes
        The float32 ``.tflite`` file.
    lost : float
        Points of accuracy (of 100) that quantization cost on all images the net knew, before any fine-tuning.
    finetuned : bool
        Whether the net was fine-tuned for quantization.
    calibration : Samples
        The images it was calibrated on.
    """

    fitted: Fitted
    int8: ReferenceModel
    unrounded: bytes
    lost: float
    finetuned: bool
    calibration: Samples


def quantize(
    fitted: Fitted,
    train: Samples,
    val: Samples,
    settings: FitSettings,
    *,
    metadata: Mapping[str, object] | None = None,
    listener: FitListener,
) -> QuantizedModel:
    """Convert to int8; where that costs over half a point on the images the net knows, fine-tune it first.

    The cost is measured on all training images: they are many, and the test images must not decide anything.

    Parameters
    ----------
    fitted : Fitted
    train, val : Samples
        As for ``training.fit.fit``.
    settings : FitSettings
    metadata : mapping, optional
        Written into both ``.tflite`` files.
    listener : FitListener
    """
    calibration = choose_calibration(train, seed=settings.seed)
    seen = calibration.view(settings.side)
    origin = metadata or {}
    int8 = _open_int8(fitted.model, seen, origin)
    lost = measure_loss(fitted.model, int8, (train, val), settings)
    finetuned = False
    if lost > TOLERATED_LOSS:
        listener.note(f"quantization costs {lost:.2f} points of accuracy: fine-tuning with rounded weights")
        tuned = finetune(fitted, train, val, settings, calibration=seen, listener=listener)
        candidate = _open_int8(tuned.model, seen, origin)
        left = measure_loss(fitted.model, candidate, (train, val), settings)
        finetuned = left < lost
        if finetuned:
            fitted, int8 = replace(tuned, epochs=fitted.epochs, best=fitted.best), candidate
        kept = "" if finetuned else "; the net without fine-tuning is kept"
        listener.note(f"after fine-tuning, quantization costs {left:.2f} points{kept}")
    unrounded = add_metadata(convert_float(fitted.model), origin) if origin else convert_float(fitted.model)
    return QuantizedModel(fitted, int8, unrounded, lost, finetuned, calibration)


def _open_int8(model: Any, calibration: Frames, metadata: Mapping[str, object]) -> ReferenceModel:
    content = convert_int8(model, calibration)
    return open_reference(add_metadata(content, metadata) if metadata else content)


def measure_loss(model: Any, int8: ReferenceModel, parts: tuple[Samples, ...], settings: FitSettings) -> float:
    """Return the points of accuracy (of 100) that int8 loses against float, over all given images."""
    balance, count = 0, 0
    for part in parts:
        seen = part.view(settings.side)
        float_right = predict(model, seen).argmax(axis=1) == part.labels
        balance += int(float_right.sum()) - int((int8.probabilities(seen).argmax(axis=1) == part.labels).sum())
        count += len(part)
    return 100 * balance / count


def choose_calibration(train: Samples, *, seed: int, count: int = CALIBRATION_IMAGES) -> Samples:
    """Return the images to calibrate on: equally many of each class, from as many groups as possible.

    Parameters
    ----------
    train : Samples
        The images the net was trained on; never those that it is judged on.
    seed : int
    count : int
        At most.
    """
    return train.take(choose_rows(train.labels, train.groups, count=count, seed=seed))


def choose_rows(labels: npt.NDArray[np.int64], groups: list[str], *, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Return row numbers, the classes in turn; within a class, one image of every group comes before a second one."""
    generator = np.random.default_rng([seed, count])
    order = generator.permutation(len(labels))
    seen: dict[tuple[int, str], int] = {}
    rank = np.empty(len(labels), dtype=np.int64)
    for row in order.tolist():
        key = (int(labels[row]), groups[row])
        rank[row] = seen[key] = seen.get(key, -1) + 1
    queues = [
        sorted((row for row in order.tolist() if labels[row] == label), key=lambda row: rank[row])
        for label in np.unique(labels)
    ]
    turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return np.array(sorted(turns[:count]), dtype=np.int64)


def convert_float(model: Any) -> bytes:
    """Return a model as a float32 ``.tflite`` for one image at a time."""
    return bytes(_convert(model, None))


def convert_int8(model: Any, calibration: Frames) -> bytes:
    """Return a model as a full int8 ``.tflite``.

    Parameters
    ----------
    model : keras.Model
    calibration : (n, side, side, 3) uint8 ndarray
        Images of ``choose_calibration`` through the camera. Two corners of the first count as black and white, so
        that the input's range is exactly that of a pixel.

    Returns
    -------
    bytes
        Weights per channel, activations per tensor, input and output int8; the input's scale is 1/255, its zero point
        -128, so that q = pixel XOR 0x80.
    """
    return bytes(_convert(model, calibration))


def _convert(model: Any, calibration: Frames | None) -> bytes:
    tf, _ = load_keras()
    side = int(model.input_shape[1])
    signature = [tf.TensorSpec((1, side, side, 3), tf.float32, name="image")]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([_freeze(function.get_concrete_function())])
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _represent(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        return bytes(converter.convert())


def _freeze(function: Any) -> Any:
    """Return a function whose weights are constants; the calibrator cannot read the variables of Keras 3."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function)


def _represent(calibration: Frames) -> Iterator[list[npt.NDArray[np.float32]]]:
    for number, image in enumerate(calibration):
        given = image[None].astype(np.float32) / np.float32(255)
        if number == 0:
            given[0, 0, 0], given[0, -1, -1] = 0.0, 1.0
        yield [given]


def add_metadata(content: bytes, metadata: Mapping[str, object]) -> bytes:
    """Return a ``.tflite`` that also contains its origin, as JSON under the metadata name "curation"."""
    import flatbuffers  # type: ignore[import-untyped]  # ships no types
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(json.dumps(dict(metadata), sort_keys=True).encode(), dtype=np.uint8)
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read_metadata(content: bytes) -> dict[str, Any]:
    """Return what ``add_metadata`` wrote; empty where there is none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for entry in model.metadata or []:
        if (entry.name.decode() if isinstance(entry.name, bytes) else entry.name) == METADATA_NAME:
            found: dict[str, Any] = json.loads(bytes(model.buffers[entry.buffer].data))
            return found
    return {}
