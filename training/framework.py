"""Imports TensorFlow and Keras where they are first needed, without their messages, and makes their work repeatable."""

import gc
import logging
import os
import sys
from contextlib import nullcontext
from typing import Any

from firmware.compiler.tflite_reference import missing_extra, quiet


def load_keras() -> tuple[Any, Any]:
    """Return the modules ``tensorflow`` and ``keras``.

    Raises
    ------
    CurationError
        EXTRA_MISSING where the extra ``train`` is not installed.
    """
    # TensorFlow reads them while it is imported: without them it prints several lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with nullcontext() if "tensorflow" in sys.modules else quiet():
            import keras
            import tensorflow as tf
    except ImportError as fault:
        raise missing_extra(fault) from fault
    for chatty in ("tensorflow", "absl"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return tf, keras


def make_repeatable(seed: int) -> None:
    """Seed every generator, and let TensorFlow use only kernels that give the same bits each time.

    Models that were built before are released: layers get the same names however many models were built, and the
    earlier ones take no memory.
    """
    tf, keras = load_keras()
    keras.backend.clear_session()
    _forget_gradients()
    gc.collect()  # models are cycles of references
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _forget_gradients() -> None:
    """Remove the gradient functions of earlier trainings from TensorFlow's registry.

    TensorFlow keeps each for good, and with it the whole graph of its training: 50 to 170 MB for each net of a search.
    A later training registers its own.
    """
    from tensorflow.python.framework import ops

    known = getattr(ops.gradient_registry, "_registry", {})  # TensorFlow has no public way to remove an entry
    for name in [name for name in known if name.startswith("CustomGradient-")]:
        del known[name]
