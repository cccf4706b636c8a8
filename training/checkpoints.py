"""Keeps the state of a training in one file, written atomically, so that an interruption costs one epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from curation.storage.atomic_files import write_atomically

Weights = Sequence[npt.NDArray[np.float32]]
Values = tuple[float, ...]


@dataclass(frozen=True)
class Progress:
    """The progress of a training.

    Parameters
    ----------
    epoch : int
        Finished epochs.
    history : tuple of tuples
        Loss, accuracy, validation loss and validation accuracy of each.
    best : int
        The epoch (from 1) with the smallest validation loss so far; 0 before the first.
    best_weights : sequence of ndarray
        The model's weights after that epoch.
    """

    epoch: int
    history: tuple[Values, ...]
    best: int
    best_weights: Weights

    @classmethod
    def start(cls) -> "Progress":
        """Return the state before the first epoch."""
        return cls(0, (), 0, ())

    def after(self, epoch: int, values: Values, weights: Weights) -> "Progress":
        """Return the state after one epoch more."""
        better = not self.history or values[2] < self.history[self.best - 1][2]
        return Progress(
            epoch, (*self.history, values), epoch if better else self.best, weights if better else self.best_weights
        )


def write_checkpoint(path: Path, progress: Progress, model: Any) -> None:
    """Write the state of a training: of the model, its dropout and its optimizer, and the best weights so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = {  # the names are those that 0.1.0 wrote
        "model": model.get_weights(),
        "seeds": _values(_seeds(model)),
        "optimiser": _values(model.optimizer.variables),
        "best": progress.best_weights,
    }
    arrays = {f"{name}/{number}": value for name, values in groups.items() for number, value in enumerate(values)}
    arrays["history"] = np.array(progress.history, dtype=np.float64)
    arrays["position"] = np.array([progress.epoch, progress.best])

    def write(part: Path) -> None:
        with part.open("wb") as handle:  # given a name, savez would add a suffix
            np.savez(handle, allow_pickle=False, **arrays)

    write_atomically(path, write)


def read_checkpoint(path: Path, model: Any) -> Progress | None:
    """Set a compiled model and its optimizer to the state in a file; None where there is no such file.

    Raises
    ------
    CurationError
        RUN_INVALID where the file is damaged or belongs to another model.
    """
    if not path.exists():
        return None
    model.optimizer.build(model.trainable_variables)
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            model.set_weights(_group(arrays, "model"))
            kept = (*_group(arrays, "seeds"), *_group(arrays, "optimiser"))
            for variable, value in zip([*_seeds(model), *model.optimizer.variables], kept, strict=True):
                variable.assign(value)
            epoch, best = arrays["position"].tolist()
            history = tuple(tuple(values) for values in arrays["history"].tolist())
            return Progress(epoch, history, best, _group(arrays, "best"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as fault:
        raise CurationError(
            ErrorCode.RUN_INVALID,
            f"{path}: not a checkpoint of this training: {fault}",
            hint="Delete the file to start from the beginning.",
        ) from fault


def _seeds(model: Any) -> list[Any]:
    """Return the states of the generators that a model's dropout draws from; they are not among its weights."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _values(variables: Sequence[Any]) -> Weights:
    return [np.asarray(variable) for variable in variables]


def _group(arrays: Any, name: str) -> list[npt.NDArray[np.float32]]:
    count = sum(key.startswith(f"{name}/") for key in arrays)
    return [arrays[f"{name}/{number}"] for number in range(count)]
