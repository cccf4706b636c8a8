"""Runs a ``.tflite`` through LiteRT's reference kernels, whose bits the firmware has to give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Reference:
    """What the reference kernels make of some inputs.

    Parameters
    ----------
    scores : (n, labels) int8 or uint8 ndarray
        The network's output.
    logits : (n, labels) int8 ndarray
        What its softmax read; the scores where it has none.
    """

    scores: npt.NDArray[Any]
    logits: npt.NDArray[Any]


def run_reference(content: bytes, inputs: npt.NDArray[Any], *, logits: int) -> Reference:
    """Run a network.

    Parameters
    ----------
    content : bytes
        The ``.tflite`` file.
    inputs : (n, ...) int8 or uint8 ndarray
        As the input tensor wants them, without the batch.
    logits : int
        The number of the tensor that counts as the logits.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    scores, before = [], []
    for one in inputs:
        interpreter.set_tensor(source, one[None])
        interpreter.invoke()
        scores.append(interpreter.get_tensor(result).ravel())
        before.append(interpreter.get_tensor(logits).ravel())
    return Reference(scores=np.stack(scores), logits=np.stack(before))
