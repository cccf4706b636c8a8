"""Trains one net on given pictures: seeded, repeatable, and resumed after an interruption with the same result."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curation.images.camera import Side
from training.augment import Augmentation, augment
from training.checkpoints import Progress, read_checkpoint, write_checkpoint
from training.data import Frames, Samples
from training.framework import load_keras, make_repeatable
from training.models import DEFAULT, Weights, build_model, find_architecture

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a net is trained; together with the pictures it decides every bit of the result.

    Parameters
    ----------
    model : str
        A name of ``training.models.ARCHITECTURES``.
    side : {96, 48}
        Of the input in pixels.
    weights : {"none", "imagenet"}
    seed : int
    epochs : int
        At most; the learning rate falls along a cosine over all of them.
    patience : int
        Epochs without a better validation loss after which training ends; 0 stands for what the architecture asks for,
        which takes its place.
    batch : int
        Pictures a step; 0 likewise.
    rate : float
        Learning rate at the top, after a warm-up over a tenth of the epochs; 0 likewise.
    decay : float
        AdamW's weight decay (Loshchilov and Hutter 2019).
    augmentation : Augmentation
    """

    model: str = DEFAULT
    side: Side = 96
    weights: Weights = "none"
    seed: int = 1
    epochs: int = 40
    patience: int = 0
    batch: int = 0
    rate: float = 0.0
    decay: float = 0.02
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        architecture = find_architecture(self.model)
        object.__setattr__(self, "patience", self.patience or architecture.patience)
        object.__setattr__(self, "batch", self.batch or architecture.batch)
        object.__setattr__(self, "rate", self.rate or architecture.rate)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the pictures came to; losses are cross-entropies in nats, the rest are shares."""

    number: int
    of: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class Listener(Protocol):
    """Whoever wants to be told while a training goes on."""

    def epoch(self, epoch: Epoch) -> None:
        """Hear that an epoch has ended."""

    def note(self, sentence: str) -> None:
        """Hear something worth knowing at once."""


class SilentFitListener:
    """A listener that shows nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Ignore it."""

    def note(self, sentence: str) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Fitted:
    """A trained net.

    Parameters
    ----------
    model : keras.Model
        With the weights of its best epoch.
    epochs : tuple of Epoch
    best : int
        The number of the epoch whose weights these are.
    """

    model: Any
    epochs: tuple[Epoch, ...]
    best: int


def fit(
    learn: Samples,
    judge: Samples,
    settings: FitSettings,
    *,
    classes: int,
    checkpoint: Path | None = None,
    logs: Path | None = None,
    listener: Listener | None = None,
) -> Fitted:
    """Train a net on ``learn`` and keep the epoch that does best on ``judge``.

    Parameters
    ----------
    learn, judge : Samples
        The pictures to learn from, and those that only decide when to stop.
    settings : FitSettings
    classes : int
    checkpoint : pathlib.Path, optional
        A file that holds the state after each epoch. Where it is there already, training goes on from it and gives
        the very net that it would have given without the interruption.
    logs : pathlib.Path, optional
        Folder for TensorBoard.
    listener : Listener, optional
    """
    listener = listener or SilentFitListener()
    make_repeatable(settings.seed)
    architecture = find_architecture(settings.model)
    model = build_model(architecture, classes=classes, side=settings.side, weights=settings.weights)
    feed = Feed(learn, settings)
    compile_model(model, settings, steps=feed.steps, warm_up=settings.epochs // 10)
    progress = read_checkpoint(checkpoint, model) if checkpoint else None
    if progress:
        listener.note(f"going on after epoch {progress.epoch} of {settings.epochs}")
    keeper = Keeper(model, progress or Progress.start(), settings, checkpoint=checkpoint, listener=listener)
    seen = judge.view(settings.side).astype(np.float32) / np.float32(255)
    if not keeper.done:
        run_epochs(model, feed, keeper, seen, judge.labels, logs=logs)
    keeper.restore_best()
    return Fitted(model, keeper.epochs, keeper.progress.best)


def compile_model(model: Any, settings: FitSettings, *, steps: int, warm_up: int) -> None:
    """Give a model its optimiser: AdamW, whose rate rises over ``warm_up`` epochs and falls along a cosine."""
    _, keras = load_keras()
    rate = keras.optimizers.schedules.CosineDecay(
        settings.rate / 10,
        decay_steps=max(1, (settings.epochs - warm_up) * steps),
        warmup_target=settings.rate,
        warmup_steps=max(1, warm_up * steps),
    )
    optimiser = keras.optimizers.AdamW(rate, weight_decay=settings.decay)
    # A bias or a batch norm pulled towards zero is no simpler for it.
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimiser, loss="sparse_categorical_crossentropy", weighted_metrics=["accuracy"])


def class_weights(labels: npt.NDArray[np.int64]) -> dict[int, float]:
    """Return a weight for each class so that all weigh the same together and the mean weight is 1.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]))
    {0: 0.666..., 1: 2.0}
    """
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    return {label: labels.size / (classes * count) for label, count in enumerate(counts.tolist()) if count}


class Feed:
    """The training pictures, drawn and changed anew for each epoch, as a function of seed and epoch alone."""

    def __init__(self, samples: Samples, settings: FitSettings) -> None:
        self._samples, self._settings = samples, settings
        weights = class_weights(samples.labels)
        self._weights = np.array([weights[label] for label in samples.labels.tolist()], dtype=np.float32)

    @property
    def steps(self) -> int:
        """Batches an epoch; the last one may be smaller."""
        return math.ceil(len(self._samples) / self._settings.batch)

    def batch(
        self, epoch: int, step: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return pictures (n, side, side, 3) in [0, 1], labels and weights of one step (epochs and steps from 0)."""
        settings = self._settings
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(self._samples))
        rows = order[step * settings.batch : (step + 1) * settings.batch]
        generator = np.random.default_rng([settings.seed, epoch, step])
        frames: Frames = self._samples.frames[rows]
        seen = augment(frames, generator, settings.augmentation, side=settings.side)
        return seen.astype(np.float32) / np.float32(255), self._samples.labels[rows], self._weights[rows]


def run_epochs(
    model: Any,
    feed: Feed,
    keeper: "Keeper",
    seen: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    logs: Path | None,
) -> None:
    """Go through the epochs that are left, with validation on ``seen``, until the keeper has had enough."""
    _, keras = load_keras()
    first = keeper.progress.epoch

    dataset: Any = keras.utils.PyDataset

    class Pictures(dataset):  # type: ignore[misc]  # Keras has no types
        epoch = first

        def __len__(self) -> int:
            return feed.steps

        def __getitem__(self, step: int) -> Any:
            return feed.batch(self.epoch, step)

    pictures = Pictures()

    def follow(epoch: int, _: Any) -> None:
        pictures.epoch = epoch

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_begin=follow),
        keras.callbacks.LambdaCallback(on_epoch_end=keeper.hear),
    ]
    if logs is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
    model.fit(
        pictures,
        validation_data=(seen, labels),
        initial_epoch=first,
        epochs=keeper.settings.epochs,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
    )


class Keeper:
    """Remembers the best epoch, writes the checkpoint, and ends the training when nothing gets better."""

    def __init__(
        self, model: Any, progress: Progress, settings: FitSettings, *, checkpoint: Path | None, listener: Listener
    ) -> None:
        self.model, self.progress, self.settings = model, progress, settings
        self._checkpoint, self._listener = checkpoint, listener

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """What the epochs so far came to."""
        return tuple(
            Epoch(number, self.settings.epochs, *values) for number, values in enumerate(self.progress.history, 1)
        )

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or nothing has got better for too long."""
        progress = self.progress
        return progress.epoch >= self.settings.epochs or progress.epoch - progress.best >= self.settings.patience

    def hear(self, epoch: int, logs: dict[str, float]) -> None:
        """Take in an epoch that has ended (from 0)."""
        values = tuple(float(logs[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
        self.progress = self.progress.after(epoch + 1, values, self.model.get_weights())
        if self._checkpoint is not None:
            write_checkpoint(self._checkpoint, self.progress, self.model)
        self._listener.epoch(self.epochs[-1])
        self.model.stop_training = self.done

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch."""
        self.model.set_weights(list(self.progress.best_weights))


def predict(model: Any, pictures: Frames, *, batch: int = 64) -> Probabilities:
    """Return what a float model says: (n, classes) float32 probabilities for (n, side, side, 3) uint8 pictures."""
    parts = [
        np.asarray(model(pictures[start : start + batch].astype(np.float32) / np.float32(255), training=False))
        for start in range(0, len(pictures), batch)
    ]
    return np.concatenate(parts) if parts else np.empty((0, model.output_shape[-1]), np.float32)
