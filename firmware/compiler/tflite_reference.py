"""Runs an int8 ``.tflite`` with LiteRT's reference kernels, whose arithmetic is the one the board's code repeats.

LiteRT's default kernels (XNNPACK) give other bits for the same model. Only nets that are far too large for a board are
asked through them: the reference kernels would take seconds for each picture, and no board is there to agree with.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError
from curation.images import INPUT_SCALE, INPUT_ZERO_POINT, to_tensor
from training.framework import missing_extra, quiet

Int8 = npt.NDArray[np.int8]
LARGEST_FOR_A_BOARD: Final = 2 * 1024**2
"""Bytes of a model, twice the flash of the board: whatever is larger is only compared with."""
LEAST_SCALE: Final = 2.0**-26
"""Of the scores that LiteRT's softmax takes: below it, it finds no multiplier and aborts."""


@dataclass(frozen=True)
class Oracle:
    """An int8 model ready to be asked.

    Parameters
    ----------
    side : int
        Of the input in pixels.
    classes : int
    scale, zero_point : float, int
        Of the output: probability = (q - zero_point) * scale.
    """

    side: int
    classes: int
    scale: float
    zero_point: int
    _interpreter: Any

    def ask(self, pictures: npt.NDArray[np.uint8]) -> Int8:
        """Return the output tensor for each picture.

        Parameters
        ----------
        pictures : (n, side, side, 3) uint8 ndarray
            As the camera gives them.

        Returns
        -------
        (n, classes) int8 ndarray
        """
        given = self._interpreter.get_input_details()[0]["index"]
        wanted = self._interpreter.get_output_details()[0]["index"]
        answers = np.empty((len(pictures), self.classes), np.int8)
        for number, tensor in enumerate(to_tensor(pictures)):
            self._interpreter.set_tensor(given, tensor[None])
            self._interpreter.invoke()
            answers[number] = self._interpreter.get_tensor(wanted)[0]
        return answers

    def probabilities(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (n, classes) float32 probabilities, in steps of the output's scale."""
        return ((self.ask(pictures).astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


def open_oracle(content: bytes, *, name: str = "the model") -> Oracle:
    """Open an int8 model.

    Raises
    ------
    CurationError
        Where the bytes are no int8 model with the input that training and firmware share.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as fault:
        raise missing_extra(fault) from fault
    for_board = len(content) <= LARGEST_FOR_A_BOARD
    kernels = OpResolverType.BUILTIN_REF if for_board else OpResolverType.AUTO
    try:
        with nullcontext() if for_board else quiet():  # XNNPACK greets the user
            interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels, num_threads=1)
            _check_spread(interpreter, name)
            interpreter.allocate_tensors()
        given, wanted = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as fault:
        raise CurationError(f"{name}: LiteRT cannot run it: {fault}", hint="it may be cut or no .tflite") from fault
    _check_input(given, name)
    if len(wanted) != 1 or wanted[0]["dtype"] is not np.int8 or len(wanted[0]["shape"]) != 2:
        raise CurationError(f"{name}: one int8 output of shape (1, classes) is expected")
    scale, zero_point = wanted[0]["quantization"]
    side, classes = int(given[0]["shape"][1]), int(wanted[0]["shape"][1])
    return Oracle(side, classes, float(scale), int(zero_point), interpreter)


def _check_spread(interpreter: Any, name: str) -> None:
    """Raise where the scores differ so little that LiteRT's softmax cannot be set up: it would end the process."""
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for operator in interpreter._get_ops_details():
        given = tensors.get(operator["inputs"][0]) if operator["op_name"] == "SOFTMAX" else None
        if given is not None and given["dtype"] is np.int8 and given["quantization"][0] <= LEAST_SCALE:
            raise CurationError(
                f"{name}: whatever it is shown, its scores differ by less than a millionth: it has learnt nothing yet",
                hint="train it longer (--epochs), or on more pictures",
            )


def _check_input(given: list[dict[str, Any]], name: str) -> None:
    shape = tuple(int(length) for length in given[0]["shape"]) if len(given) == 1 else ()
    square = len(shape) == 4 and shape[0] == 1 and shape[1] == shape[2] and shape[3] == 3
    if not square or given[0]["dtype"] is not np.int8:
        raise CurationError(f"{name}: one int8 input of shape (1, side, side, 3) is expected")
    scale, zero_point = given[0]["quantization"]
    if np.float32(scale) != np.float32(INPUT_SCALE) or zero_point != INPUT_ZERO_POINT:
        raise CurationError(
            f"{name}: its input has scale {scale:g} and zero point {zero_point}, "
            f"where 1/255 and {INPUT_ZERO_POINT} are the camera's",
            hint="quantise it with `python -m training fit`",
        )
