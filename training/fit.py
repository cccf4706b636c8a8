"""Trains one net: seeded, repeatable, and resumed after an interruption with the same result."""

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


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a net is trained; settings and images determine every bit of the result.

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
        Epochs without a better validation loss after which training ends; 0 is replaced by the architecture's own.
    batch : int
        Images a step; 0 likewise.
    rate : float
        Highest learning rate, after a warm-up over a tenth of the epochs; 0 likewise.
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
    """The result of one pass over the images; losses are cross-entropies in nats, accuracies are shares."""

    number: int
    of: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class FitListener(Protocol):
    """Receives the progress of a training."""

    def epoch(self, epoch: Epoch) -> None:
        """Receive an epoch that has ended."""

    def note(self, sentence: str) -> None:
        """Receive a message for the user."""


class SilentFitListener:
    """Ignores the progress of a training."""

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
    train: Samples,
    val: Samples,
    settings: FitSettings,
    *,
    classes: int,
    checkpoint: Path | None = None,
    logs: Path | None = None,
    listener: FitListener | None = None,
) -> Fitted:
    """Train a net on ``train`` and keep the epoch with the smallest loss on ``val``.

    Parameters
    ----------
    train, val : Samples
        The images to train on, and those that only decide when to stop.
    settings : FitSettings
    classes : int
    checkpoint : pathlib.Path, optional
        A file with the state after each epoch. Where it exists, training resumes from it and gives the same net as
        without the interruption.
    logs : pathlib.Path, optional
        Folder for TensorBoard.
    listener : FitListener, optional
    """
    listener = listener or SilentFitListener()
    make_repeatable(settings.seed)
    architecture = find_architecture(settings.model)
    model = build_model(architecture, classes=classes, side=settings.side, weights=settings.weights)
    feed = Feed(train, settings)
    compile_model(model, settings, steps=feed.steps, warm_up=settings.epochs // 10)
    progress = read_checkpoint(checkpoint, model) if checkpoint else None
    if progress:
        listener.note(f"resuming after epoch {progress.epoch} of {settings.epochs}")
    keeper = Keeper(model, progress or Progress.start(), settings, checkpoint=checkpoint, listener=listener)
    seen = val.view(settings.side).astype(np.float32) / np.float32(255)
    if not keeper.done:
        run_epochs(model, feed, keeper, seen, val.labels, logs=logs)
    keeper.restore_best()
    return Fitted(model, keeper.epochs, keeper.progress.best)


def compile_model(model: Any, settings: FitSettings, *, steps: int, warm_up: int) -> None:
    """Compile a model with AdamW, whose rate rises over ``warm_up`` epochs and falls along a cosine."""
    _, keras = load_keras()
    rate = keras.optimizers.schedules.CosineDecay(
        settings.rate / 10,
        decay_steps=max(1, (settings.epochs - warm_up) * steps),
        warmup_target=settings.rate,
        warmup_steps=max(1, warm_up * steps),
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.decay)
    # A smaller bias or batch norm does not make a net simpler.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", weighted_metrics=[accuracy])
    # All variables exist now. A step that creates some is traced twice, which takes longer than 16 epochs of 80 images.
    optimizer.build(model.trainable_variables)


def class_weights(labels: npt.NDArray[np.int64]) -> dict[int, float]:
    """Return a weight for each class: all classes have the same total weight, and the mean weight is 1.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]))
    {0: 0.666..., 1: 2.0}
    """
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    return {label: labels.size / (classes * count) for label, count in enumerate(counts.tolist()) if count}


class Feed:
    """The batches of a training: shuffled and augmented in each epoch, as a function of seed and epoch alone."""

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
        """Return images (n, side, side, 3) in [0, 1], labels and weights of one step (epochs and steps from 0)."""
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
    """Train for the epochs that are left, with validation on ``seen``, until the keeper ends it."""
    _, keras = load_keras()
    first = keeper.progress.epoch

    dataset: Any = keras.utils.PyDataset

    class Images(dataset):  # type: ignore[misc]  # Keras has no types
        epoch = first

        def __len__(self) -> int:
            return feed.steps

        def __getitem__(self, step: int) -> Any:
            return feed.batch(self.epoch, step)

    images = Images()

    def follow(epoch: int, _: Any) -> None:
        images.epoch = epoch

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_begin=follow),
        keras.callbacks.LambdaCallback(on_epoch_end=keeper.end_epoch),
    ]
    if logs is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
    model.fit(
        images,
        validation_data=(seen, labels),
        initial_epoch=first,
        epochs=keeper.settings.epochs,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
    )


class Keeper:
    """Remembers the best epoch, writes the checkpoint, and ends the training when the loss no longer falls."""

    def __init__(
        self,
        model: Any,
        progress: Progress,
        settings: FitSettings,
        *,
        checkpoint: Path | None,
        listener: FitListener,
    ) -> None:
        self.model, self.progress, self.settings = model, progress, settings
        self._checkpoint, self._listener = checkpoint, listener

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The epochs so far."""
        return tuple(
            Epoch(number, self.settings.epochs, *values) for number, values in enumerate(self.progress.history, 1)
        )

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or the loss has not fallen for ``patience`` epochs."""
        progress = self.progress
        return progress.epoch >= self.settings.epochs or progress.epoch - progress.best >= self.settings.patience

    def end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Record an epoch that has ended (from 0)."""
        values = tuple(float(logs[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
        self.progress = self.progress.after(epoch + 1, values, self.model.get_weights())
        if self._checkpoint is not None:
            write_checkpoint(self._checkpoint, self.progress, self.model)
        self._listener.epoch(self.epochs[-1])
        self.model.stop_training = self.done

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch."""
        self.model.set_weights(list(self.progress.best_weights))
