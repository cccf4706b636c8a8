"""The LiteRT reference: the camera's bytes reach the input tensor unchanged, and other models are refused."""

import numpy as np
import pytest

from curation.errors import CurationError, ErrorCode
from curation.images import camera_view, to_tensor
from firmware.compiler.tflite_reference import open_reference, quiet

pytestmark = pytest.mark.usefixtures("needs_train")


def test_an_image_reaches_the_tensor_as_the_golden_bytes():
    """A net that passes its input on answers with the tensor it was set: the camera's view, the high bit flipped."""
    import keras

    from training.quantize import convert_int8

    image = keras.Input((48, 48, 3))
    model = keras.Model(image, keras.layers.Flatten()(image))
    frame = np.random.default_rng(7).integers(0, 256, (144, 144, 3), dtype=np.uint8)
    seen = camera_view(frame, side=48)
    content = convert_int8(model, np.stack([seen, 255 - seen]))
    int8 = open_reference(content)
    wanted = to_tensor(seen).ravel()
    assert np.array_equal(int8.predict(seen[None])[0], wanted)
    assert np.array_equal(wanted, (seen.astype(np.int16).ravel() - 128).astype(np.int8))
    np.testing.assert_allclose(int8.probabilities(seen[None])[0], seen.ravel() / 255, atol=1e-6)


def test_another_input_scale_is_refused():
    """A model quantized elsewhere would be fed wrong numbers: it is refused with both scales."""
    import keras
    import tensorflow as tf

    image = keras.Input((48, 48, 3), batch_size=1)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(image)))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    pixels = np.random.default_rng(0).random((1, 48, 48, 3), dtype=np.float32)
    converter.representative_dataset = lambda: iter([[2 * pixels - 1]])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        content = converter.convert()
    with pytest.raises(CurationError, match=r"1/255 and -128") as caught:
        open_reference(content)
    assert caught.value.code is ErrorCode.MODEL_UNSUPPORTED


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + bytes(64), b"<html>not a model</html>"])
def test_a_file_that_is_not_a_model_is_an_error(content):
    """Truncated and other files end in one error that names the file."""
    with pytest.raises(CurationError, match=r"broken\.tflite") as caught:
        open_reference(content, name="broken.tflite")
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_a_float_model_is_refused():
    """The float model of a run is not what the board runs."""
    from training.framework import make_repeatable
    from training.models import ARCHITECTURES, build_model
    from training.quantize import convert_float

    make_repeatable(0)
    with pytest.raises(CurationError) as caught:
        open_reference(convert_float(build_model(ARCHITECTURES["ds_cnn_xs"], classes=2, side=48)))
    assert caught.value.code is ErrorCode.MODEL_UNSUPPORTED


def test_only_a_net_too_large_for_any_board_runs_on_other_kernels(monkeypatch, capfd):
    """What a board may hold runs on the reference kernels, the rest on LiteRT's fast ones; both nearly agree."""
    import keras
    from ai_edge_litert import interpreter as litert

    from training.framework import make_repeatable
    from training.quantize import convert_int8

    make_repeatable(0)
    image = keras.Input((48, 48, 3))
    mixed = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(image))
    images = np.random.default_rng(3).integers(0, 256, (8, 48, 48, 3), dtype=np.uint8)
    content = convert_int8(keras.Model(image, keras.layers.Dense(2, activation="softmax")(mixed)), images)
    asked, real = [], litert.Interpreter

    def interpreter(**settings):
        asked.append(settings["experimental_op_resolver_type"])
        return real(**settings)

    monkeypatch.setattr(litert, "Interpreter", interpreter)
    reference = open_reference(content).probabilities(images)
    monkeypatch.setattr("firmware.compiler.tflite_reference.LARGEST_FOR_A_BOARD", len(content) - 1)
    fast = open_reference(content).probabilities(images)
    assert asked == [litert.OpResolverType.BUILTIN_REF, litert.OpResolverType.AUTO]
    np.testing.assert_allclose(fast, reference, atol=2 / 256)
    assert "XNNPACK" not in capfd.readouterr().err


def test_a_net_that_learned_nothing_is_refused():
    """Scores that hardly differ would make LiteRT end the whole process: the error names what to do instead."""
    import keras

    from training.quantize import convert_int8

    image = keras.Input((48, 48, 3))
    scores = keras.layers.Dense(2, kernel_initializer="zeros")(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, keras.layers.Softmax()(scores))
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    with pytest.raises(CurationError) as caught:
        open_reference(convert_int8(model, images), name="model_int8.tflite")
    assert caught.value.code is ErrorCode.MODEL_UNTRAINED
    assert "--epochs" in caught.value.hint
