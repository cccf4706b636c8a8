"""Fine-tuning for int8: norms fold exactly, and its rounding is close to the converter's."""

from dataclasses import replace

import numpy as np
import pytest

from firmware.compiler.tflite_reference import open_reference
from firmware.tools.costs import settle_norms
from training.finetune import finetune, fold_norms, measure_ranges, round_layers
from training.fit import Fitted, SilentFitListener, fit
from training.framework import make_repeatable
from training.models import ARCHITECTURES, build_model, predict
from training.quantize import choose_calibration, convert_int8, measure_loss, quantize
from training.train_run import split_training

pytestmark = pytest.mark.usefixtures("needs_train")


@pytest.fixture(scope="module", params=["ds_cnn_xs", pytest.param("mobilenet_v2_0.1", marks=pytest.mark.slow)])
def net(request):
    """Return a net whose batch norms have seen some images, and those images."""
    make_repeatable(3)
    images = np.random.default_rng(2).integers(0, 256, (24, 48, 48, 3), dtype=np.uint8)
    model = build_model(ARCHITECTURES[request.param], classes=2, side=48)
    settle_norms(model, images, momentum=0.9**30)
    return model, images


def test_folded_norms_change_no_answer(net):
    """The net without batch norms answers as the one with them."""
    import keras

    model, images = net
    folded = fold_norms(model)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(predict(folded, images), predict(model, images), atol=2e-4)


def test_rounding_is_nearer_to_int8_than_the_float_net(net):
    """The rounded net's probabilities are nearer to those of the int8 model than the float net's are."""
    import keras

    model, images = net
    folded = fold_norms(model)
    rounded = round_layers(folded, measure_ranges(folded, images))
    assert [layer.name for layer in rounded.layers if layer.name.endswith("_rounded")]
    answers = open_reference(convert_int8(model, images)).probabilities(images)
    assert isinstance(rounded, keras.Model)
    near, far = (np.abs(predict(one, images) - answers).mean() for one in (rounded, model))
    assert near < far


def test_rounding_leaves_the_weights_themselves_unrounded(net):
    """What is rounded is only what is computed with: the weights that learn keep all their bits."""
    model, images = net
    folded = fold_norms(model)
    rounded = round_layers(folded, measure_ranges(folded, images))
    for mine, theirs in zip(rounded.get_weights(), folded.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def train_briefly(data, settings, *, epochs):
    """Return images to train and to validate on, and a net that was trained on them for some epochs."""
    train, val = split_training(data, seed=1)
    return train, val, fit(train, val, replace(settings, epochs=epochs), classes=2)


@pytest.mark.slow
def test_fine_tuning_brings_the_int8_model_nearer_to_the_truth(data, small_settings):
    """A net that was trained briefly: after fine-tuning its int8 form is surer of the right classes."""
    learn, stop, fitted = train_briefly(data, small_settings, epochs=6)
    calibration = choose_calibration(learn, seed=1).view(48)
    tuned = finetune(fitted, learn, stop, small_settings, calibration=calibration, listener=SilentFitListener())

    def loss(model) -> float:
        answers = open_reference(convert_int8(model, calibration)).probabilities(learn.view(48))
        return float(-np.log(np.maximum(answers[np.arange(len(answers)), learn.labels], 1 / 512)).mean())

    assert loss(tuned.model) < loss(fitted.model)


def unbalance(original, share: float):
    """Return a net that int8 cannot represent: a layer's channels but one shrunk, and widened in the next layer."""
    import keras

    model = keras.models.clone_model(original)
    model.set_weights(original.get_weights())
    for number in (2, 3):
        norm, spread = model.get_layer(f"block{number}_pointwise_norm"), model.get_layer(f"block{number + 1}_depthwise")
        gamma, beta = np.asarray(norm.gamma), np.asarray(norm.beta)
        shrink = np.full(gamma.shape, share, np.float32)
        shrink[np.argmax(np.abs(gamma) + beta)] = 1
        norm.gamma.assign(gamma * shrink)
        norm.beta.assign(beta * shrink)
        spread.kernel.assign(np.asarray(spread.kernel) / shrink[None, None, :, None])
    return model


@pytest.mark.slow
def test_a_net_that_loses_over_half_a_point_is_fine_tuned_and_loses_less(run, data, small_settings):
    """Where channels differ too much for one scale, rounding costs points, and after fine-tuning it costs fewer."""
    import keras

    class Notes:
        def __init__(self) -> None:
            self.notes: list[str] = []

        def epoch(self, epoch) -> None:
            pass

        def note(self, sentence: str) -> None:
            self.notes.append(sentence)

    learn, stop = split_training(data, seed=small_settings.seed)
    model = unbalance(keras.models.load_model(run.folder / "model.keras"), 1 / 128)
    notes = Notes()
    made = quantize(Fitted(model, (), 0), learn, stop, small_settings, listener=notes)
    assert made.lost > 0.5
    assert made.finetuned
    assert measure_loss(model, made.int8, (learn, stop), small_settings) < made.lost
    before, after = notes.notes
    assert f"{made.lost:.2f}" in before
    assert f"{measure_loss(model, made.int8, (learn, stop), small_settings):.2f}" in after
