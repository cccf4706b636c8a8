"""Training: repeatable byte for byte, and the same after an interruption as without one."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from curation.errors import CurationError, ErrorCode
from training.checkpoints import Progress, read_checkpoint, write_checkpoint
from training.fit import Feed, FitSettings, SilentFitListener, class_weights, compile_model, fit
from training.framework import make_repeatable
from training.quantize import choose_calibration, convert_int8
from training.train_run import split_training

pytestmark = pytest.mark.usefixtures("needs_train")


class Interrupt(SilentFitListener):
    """A user who presses Ctrl-C after an epoch."""

    def __init__(self, after: int) -> None:
        self.after, self.heard = after, []

    def epoch(self, epoch):
        """Count, and interrupt."""
        self.heard.append(epoch.number)
        if epoch.number == self.after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def sides(data):
    """Return the images to learn from and to validate on."""
    return split_training(data, seed=1)


def to_bytes(fitted, samples) -> bytes:
    """Return the int8 model."""
    return convert_int8(fitted.model, choose_calibration(samples, seed=1).view(48))


SETTINGS = FitSettings(side=48, epochs=3, batch=16, seed=5)


@pytest.fixture(scope="module")
def whole(sides):
    """Return a training without an interruption: its epochs, the best of them, and the int8 model."""
    fitted = fit(*sides, SETTINGS, classes=2)
    return fitted.epochs, fitted.best, to_bytes(fitted, sides[0])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_another_does_not(sides, whole):
    """Two trainings of one seed are the same int8 file; another seed is another file."""
    same, other = (to_bytes(fit(*sides, replace(SETTINGS, seed=seed), classes=2), sides[0]) for seed in (5, 8))
    assert same == whole[2]
    assert other != whole[2]


@pytest.mark.slow
def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path, sides, whole):
    """Interrupted after its first and again after its second epoch, it resumes there and gives the same model."""
    checkpoint = tmp_path / "checkpoint.npz"
    for after in (1, 2):
        stopped = Interrupt(after)
        with pytest.raises(KeyboardInterrupt):
            fit(*sides, SETTINGS, classes=2, checkpoint=checkpoint, listener=stopped)
        assert stopped.heard == [after]
    rest = Interrupt(99)
    resumed = fit(*sides, SETTINGS, classes=2, checkpoint=checkpoint, listener=rest)
    assert rest.heard == [3]
    assert (resumed.epochs, resumed.best, to_bytes(resumed, sides[0])) == whole


@pytest.mark.slow
def test_a_net_with_dropout_resumes_with_the_same_random_numbers(tmp_path):
    """Dropout within a net within a net, as in EfficientNet: the state of its generator is part of the checkpoint."""
    import keras

    pixels, labels = np.random.default_rng(1).random((32, 4), np.float32), np.arange(32) % 2

    def build():
        make_repeatable(5)
        inside = keras.Input((4,))
        body = keras.Model(inside, keras.layers.Dropout(0.5)(keras.layers.Dense(8)(inside)))
        outside = keras.Input((4,))
        model = keras.Model(outside, keras.layers.Softmax()(keras.layers.Dense(2)(body(outside))))
        compile_model(model, SETTINGS, steps=4, warm_up=0)
        return model

    def train(model):
        model.fit(pixels, labels, batch_size=8, shuffle=False, verbose=0)

    first = build()
    train(first)
    progress = Progress.start().after(1, (1.0, 1.0, 1.0, 1.0), first.get_weights())
    write_checkpoint(tmp_path / "checkpoint.npz", progress, first)
    train(first)
    wanted = first.get_weights()
    second = build()
    assert read_checkpoint(tmp_path / "checkpoint.npz", second).epoch == 1
    train(second)
    for mine, theirs in zip(second.get_weights(), wanted, strict=True):
        assert np.array_equal(mine, theirs)


def test_a_damaged_checkpoint_is_an_error(tmp_path, sides):
    """Half a state is not taken for a state; the file to delete is named."""
    learn, stop = sides
    checkpoint = tmp_path / "checkpoint.npz"
    checkpoint.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CurationError, match=r"checkpoint\.npz") as caught:
        fit(learn, stop, FitSettings(side=48, epochs=1), classes=2, checkpoint=checkpoint)
    assert caught.value.code is ErrorCode.RUN_INVALID
    assert "Delete" in caught.value.hint


def test_a_batch_is_a_function_of_seed_epoch_and_step(data):
    """Batches come out alike in any order of asking, differ between epochs, and an epoch shows every image once."""
    train = data.samples.of_split("train")
    settings = FitSettings(side=48, batch=7, seed=2)
    one, other = Feed(train, settings), Feed(train, settings)
    last = other.batch(3, 2)
    for mine, theirs in zip(one.batch(3, 2), last, strict=True):
        assert np.array_equal(mine, theirs)
    assert not np.array_equal(one.batch(4, 2)[0], last[0])
    shown = np.concatenate([one.batch(0, step)[1] for step in range(one.steps)])
    assert np.bincount(shown).tolist() == np.bincount(train.labels).tolist()


def test_classes_weigh_the_same_together():
    """Nine images of one class and three of another: each class has half of the weight."""
    labels = np.array([0] * 9 + [1] * 3)
    weights = class_weights(labels)
    assert weights[0] * 9 == pytest.approx(weights[1] * 3)
    assert np.mean([weights[label] for label in labels.tolist()]) == pytest.approx(1)


def test_images_are_trained_on_with_the_weight_of_their_class(data):
    """Of a set with four images of one class for each of the other, both weigh the same over an epoch."""
    train = data.samples.of_split("train")
    rows = np.concatenate([np.flatnonzero(train.labels == 0)[:8], np.flatnonzero(train.labels == 1)[:2]])
    feed = Feed(train.take(rows), FitSettings(side=48, batch=4))
    batches = [feed.batch(0, step) for step in range(feed.steps)]
    labels, weights = (np.concatenate([batch[part] for batch in batches]) for part in (1, 2))
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum()) == pytest.approx(5)


@pytest.mark.slow
def test_a_training_leaves_no_graph_behind_when_the_next_one_begins(sides):
    """TensorFlow kept the graphs of every net of a search, 5 GB in the end; now they are gone, as the models are."""

    def count_graphs() -> int:
        make_repeatable(1)
        return sum(type(one).__name__ == "FuncGraph" for one in gc.get_objects())

    learn, stop = (side.take(np.arange(4)) for side in sides)
    before = count_graphs()
    fit(learn, stop, FitSettings(side=48, epochs=1, batch=4), classes=2)
    assert count_graphs() == before


@pytest.mark.slow
def test_training_ends_when_nothing_gets_better_and_keeps_its_best(sides):
    """It ends so many epochs after the best one, or at the last; the best has the smallest validation loss."""
    learn, stop = sides
    fitted = fit(learn, stop, FitSettings(side=48, epochs=30, patience=2, batch=8, seed=1), classes=2)
    losses = [epoch.val_loss for epoch in fitted.epochs]
    assert fitted.best == losses.index(min(losses)) + 1
    assert len(losses) == min(30, fitted.best + 2)
    seen = stop.view(48).astype(np.float32) / np.float32(255)
    said = np.asarray(fitted.model(seen, training=False))
    assert -np.log(said[np.arange(len(stop)), stop.labels]).mean() == pytest.approx(min(losses), rel=1e-3)
