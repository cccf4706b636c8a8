"""Brings in TensorFlow and Keras where they are first needed, quietly, and makes their work repeatable."""

import gc
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from curation.errors import CurationError

INSTALL = "in the project's folder: make setup-all, or pip install -e '.[train]' -c constraints.txt"


def load_keras() -> tuple[Any, Any]:
    """Return the modules ``tensorflow`` and ``keras``.

    Raises
    ------
    CurationError
        Where the extra ``train`` is not installed.
    """
    # Read by TensorFlow while it is imported: without them it greets the user in several lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with _quiet_first_time():
            import keras
            import tensorflow as tf
    except ImportError as fault:
        raise missing_extra(fault) from fault
    for chatty in ("tensorflow", "absl"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return tf, keras


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what TensorFlow's native code writes to the terminal, and its warnings; show it all where it fails."""
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(2)
        sys.stderr.flush()
        os.dup2(kept.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of TensorFlow's own making, and none of the user's
                yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


@contextmanager
def _quiet_first_time() -> Iterator[None]:
    if "tensorflow" in sys.modules:
        yield
        return
    with quiet():
        yield


def require_litert() -> None:
    """Raise the ``CurationError`` of ``missing_extra`` where nothing is installed that reads an int8 model."""
    try:
        import ai_edge_litert  # noqa: F401  # whether it can be is the question
    except ImportError as fault:
        raise missing_extra(fault) from fault


def missing_extra(fault: ImportError) -> CurationError:
    """Return the error for a machine on which the extra ``train`` is not installed."""
    return CurationError(f"training needs the extra `train` ({fault.name} is not installed)", hint=INSTALL)


def make_repeatable(seed: int) -> None:
    """Seed every generator and have TensorFlow choose only kernels that give the same bits each time.

    Also forgets the models built so far, so that layers are named alike however many were built before, and none of
    them takes memory any more.
    """
    tf, keras = load_keras()
    keras.backend.clear_session()
    _forget_gradients()
    gc.collect()  # models are rings of references
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _forget_gradients() -> None:
    """Forget how the functions of earlier trainings are differentiated.

    TensorFlow keeps that for good under a name for each, and with it the whole graph of the training: 50 to 170 MB for
    each net of a search. Whatever is trained from here on names its own.
    """
    from tensorflow.python.framework import ops

    known = getattr(ops.gradient_registry, "_registry", {})  # it offers no way to take one back
    for name in [name for name in known if name.startswith("CustomGradient-")]:
        del known[name]
