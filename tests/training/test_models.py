"""The nets: what they are made of, and that ImageNet's preprocessing folds into the first layer."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.errors import CurationError, ErrorCode
from firmware.compiler import load_board, measure_budget, read_model
from training.board_fit import convert_untrained
from training.fit import FitSettings, SilentFitListener
from training.framework import make_repeatable
from training.models import ARCHITECTURES, adapt_body, build_model, find_architecture, fold_affine
from training.train_run import resolve_weights

pytestmark = pytest.mark.usefixtures("needs_train")

PROJECT = Path(__file__).resolve().parents[2]


def layers_of(model):
    """Yield the layers of a model, those of models within it too."""
    for layer in model.layers:
        yield from layers_of(layer) if hasattr(layer, "layers") else [layer]


@pytest.mark.parametrize("name", [name for name, one in ARCHITECTURES.items() if one.family != "resnet50"])
def test_every_batch_norm_arrives_within_an_epoch(name):
    """The momentum is 0.9 in our nets and in Keras' own."""
    import keras

    make_repeatable(0)
    model = build_model(ARCHITECTURES[name], classes=2, side=48)
    norms = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert {layer.momentum for layer in norms} == {0.9}


@pytest.mark.parametrize(("name", "most"), [("ds_cnn_xs", 900_000), ("ds_cnn_s", 1_300_000)])
def test_the_boards_own_nets_stay_small(name, most):
    """The family's figures at 96x96 do not creep up unnoticed."""
    found = measure_budget(convert_untrained(name, classes=2, side=96), load_board("nano33ble"))
    assert found.macs <= most
    assert found.arena_bytes <= 32_768
    assert found.row_arena_bytes <= 16_384


@pytest.mark.parametrize("name", ["ds_cnn_xs", "mobilenet_v2_0.1"])
def test_board_nets_need_no_padding_step(name):
    """The converted net has only convolutions, additions, one mean, one dense layer and one softmax."""
    found = {layer.op for layer in read_model(convert_untrained(name, classes=2, side=96)).layers}
    assert found <= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX"}


def test_padding_at_the_end_gives_what_keras_gives():
    """MobileNetV2 with our padding answers as Keras' own with its padding layers, with the same weights."""
    import keras

    body = keras.applications.MobileNetV2((96, 96, 3), alpha=0.1, include_top=False, weights=None)
    ours = adapt_body(body, keras.Input((96, 96, 3)))
    images = np.random.default_rng(1).random((2, 96, 96, 3), dtype=np.float32)
    assert not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in ours.layers)
    np.testing.assert_allclose(ours(images), body(images), atol=1e-5)


def test_imagenet_preprocessing_folds_into_the_stem():
    """A net whose first layer is folded gives for x in 0 to 1 what it gave for 2x - 1, but for the padded border."""
    import keras

    image = keras.Input((12, 12, 3))
    stem = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    model = keras.Model(image, keras.layers.BatchNormalization(name="norm")(stem))
    model.get_layer("norm").moving_mean.assign([0.1, -0.2, 0.3, 0.0])
    pixels = np.random.default_rng(2).random((1, 12, 12, 3), dtype=np.float32)
    wanted = np.asarray(model(2 * pixels - 1))[:, :-1, :-1]
    fold_affine(model, "stem", "norm", scale=np.full(3, 2.0), offset=np.full(3, -1.0))
    np.testing.assert_allclose(np.asarray(model(pixels))[:, :-1, :-1], wanted, atol=1e-5)


def test_a_name_or_a_family_with_a_variant_finds_a_net():
    """``mobilenet_v2`` with 0.2 is ``mobilenet_v2_0.2``; what is not known is answered with what is."""
    assert find_architecture("mobilenet_v2_0.35").variant == "0.35"
    assert find_architecture("ds_cnn", variant="s").name == "ds_cnn_s"
    with pytest.raises(CurationError, match=r"'mobilenet_v2 0\.5'") as caught:
        find_architecture("mobilenet_v2", variant="0.5")
    assert caught.value.code is ErrorCode.OPTION_INVALID
    assert "mobilenet_v2_0.35" in caught.value.hint


@pytest.mark.parametrize("name", ["ds_cnn_xs", "mobilenet_v2_0.2"])
def test_imagenet_weights_that_do_not_exist_are_an_error(name):
    """Keras has no ImageNet weights for these; a net without them would not be what was asked for."""
    with pytest.raises(CurationError, match=name) as caught:
        build_model(ARCHITECTURES[name], classes=2, weights="imagenet")
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING


@pytest.mark.slow
def test_without_a_network_a_net_starts_from_scratch_and_the_user_is_informed(tmp_path):
    """Where no server answers, one note has the reason, and Keras prints nothing."""
    code = (
        "from training.fit import SilentFitListener, FitSettings\n"
        "from training.train_run import resolve_weights\n"
        "class Aloud(SilentFitListener):\n"
        "    def note(self, sentence): print('SAID', sentence)\n"
        "asked = FitSettings(model='mobilenet_v2_0.35', side=48, weights='imagenet')\n"
        "print('SETTLED', resolve_weights(asked, listener=Aloud()).weights)"
    )
    nowhere = {"KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    ended = subprocess.run(command, cwd=PROJECT, env=os.environ | nowhere, capture_output=True, text=True, check=True)
    note, settled = ended.stdout.splitlines()
    assert "URL fetch failure" in note
    assert "mobilenet_v2_0.35" in note
    assert settled == "SETTLED none"


def test_a_net_without_imagenet_weights_starts_from_scratch_and_the_user_is_informed():
    """Weights that were never published are not needed to go on; one note names the net."""

    class Aloud(SilentFitListener):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, sentence):
            self.notes.append(sentence)

    listener = Aloud()
    asked = FitSettings(model="ds_cnn_xs", weights="imagenet")
    assert resolve_weights(asked, listener=listener) == FitSettings(model="ds_cnn_xs", weights="none")
    (note,) = listener.notes
    assert "ds_cnn_xs" in note
    assert resolve_weights(FitSettings(), listener=listener) == FitSettings()
    assert len(listener.notes) == 1


def test_a_net_is_trained_at_its_own_pace_unless_another_is_asked_for():
    """MobileNetV2 takes smaller steps and more of them; a search gives each net its own, whatever it began with."""
    assert (FitSettings().batch, FitSettings().rate, FitSettings().patience) == (32, 4e-3, 15)
    deep = FitSettings(model="mobilenet_v2_0.2")
    assert (deep.batch, deep.rate, deep.patience) == (16, 2e-3, 40)
    assert FitSettings(model="mobilenet_v2_0.2", batch=8, rate=1e-3) == replace(deep, batch=8, rate=1e-3)
    assert replace(FitSettings(), model="mobilenet_v2_0.2", batch=0, rate=0.0, patience=0) == deep
