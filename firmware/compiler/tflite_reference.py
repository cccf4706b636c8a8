"""Runs int8 ``.tflite`` models with LiteRT's reference kernels, whose arithmetic the firmware repeats bit for bit.

LiteRT's default kernels (XNNPACK) give other bits for the same model. Only models that are far too large for a board
run on them: the reference kernels would take seconds for each image, and no firmware has to agree with the result.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from curation.images import INPUT_SCALE, INPUT_ZERO_POINT, to_tensor
from firmware.compiler.reading import read_model
from firmware.compiler.steps import logits_tensor

Int8 = npt.NDArray[np.int8]
LARGEST_FOR_A_BOARD: Final = 2 * 1024**2
"""Bytes of a model, twice the flash of the board: larger models are only compared with."""
LEAST_SCALE: Final = 2.0**-26
"""Of the scores that LiteRT's softmax reads: below it, LiteRT finds no multiplier and ends the process."""
INSTALL: Final = "in the project's folder: make setup-all, or pip install -e '.[train]' -c constraints.txt"


@dataclass(frozen=True, eq=False)
class ReferenceModel:
    """An int8 model that takes the camera's view, opened once and ready to predict.

    Parameters
    ----------
    content : bytes
        The ``.tflite`` file.
    side : int
        Of the input in pixels.
    classes : int
    scale, zero_point : float, int
        Of the output: probability = (q - zero_point) * scale.
    interpreter : ai_edge_litert.interpreter.Interpreter
        With its tensors allocated.
    """

    content: bytes
    side: int
    classes: int
    scale: float
    zero_point: int
    interpreter: Any

    def predict(self, images: npt.NDArray[np.uint8]) -> Int8:
        """Return the output tensor for each image.

        Parameters
        ----------
        images : (n, side, side, 3) uint8 ndarray
            As the camera gives them.

        Returns
        -------
        (n, classes) int8 ndarray
        """
        (output,) = _output_indices(self.interpreter)
        answers = np.empty((len(images), self.classes), np.int8)
        for number, (scores,) in enumerate(_invoke(self.interpreter, to_tensor(images), read=(output,))):
            answers[number] = scores
        return answers

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (n, classes) float32 probabilities, in steps of the output's scale."""
        return ((self.predict(images).astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ReferenceOutputs:
    """What the reference kernels compute for some inputs.

    Parameters
    ----------
    scores : (n, labels) int8 or uint8 ndarray
        The network's output.
    logits : (n, labels) int8 ndarray
        What its softmax reads; the scores where it has none.
    """

    scores: npt.NDArray[Any]
    logits: npt.NDArray[Any]


def open_reference(content: bytes, *, name: str = "the model") -> ReferenceModel:
    """Open an int8 model that takes the camera's view.

    Parameters
    ----------
    content : bytes
        A ``.tflite`` file.
    name : str
        How messages name it.

    Raises
    ------
    CurationError
        MODEL_INVALID where LiteRT cannot read the bytes, MODEL_UNSUPPORTED where the model has another input or output
        than training and firmware share, MODEL_UNTRAINED where its scores hardly differ.
    """
    for_board = len(content) <= LARGEST_FOR_A_BOARD
    try:
        with nullcontext() if for_board else quiet():  # XNNPACK prints a line
            interpreter = _load(content, reference=for_board)
            _check_spread(content, interpreter, name)
            interpreter.allocate_tensors()
        given, wanted = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as fault:
        raise CurationError(
            ErrorCode.MODEL_INVALID,
            f"{name}: LiteRT cannot run it: {fault}",
            hint="The file may be truncated, or not a .tflite file.",
        ) from fault
    _check_input(given, name)
    if len(wanted) != 1 or wanted[0]["dtype"] is not np.int8 or len(wanted[0]["shape"]) != 2:
        raise CurationError(ErrorCode.MODEL_UNSUPPORTED, f"{name}: one int8 output of shape (1, classes) is expected")
    scale, zero_point = wanted[0]["quantization"]
    side, classes = int(given[0]["shape"][1]), int(wanted[0]["shape"][1])
    return ReferenceModel(content, side, classes, float(scale), int(zero_point), interpreter)


def run_reference(content: bytes, inputs: npt.NDArray[Any]) -> ReferenceOutputs:
    """Run any network that the compiler can read, and keep what its softmax reads too.

    Parameters
    ----------
    content : bytes
        The ``.tflite`` file.
    inputs : (n, ...) int8 or uint8 ndarray
        As the input tensor takes them, without the batch.
    """
    logits = logits_tensor(read_model(content)).index
    interpreter = _load(content, reference=True, keep_tensors=True)
    interpreter.allocate_tensors()
    (output,) = _output_indices(interpreter)
    scores, before = zip(*_invoke(interpreter, inputs, read=(output, logits)), strict=True)
    return ReferenceOutputs(scores=np.stack(scores), logits=np.stack(before))


def _load(content: bytes, *, reference: bool, keep_tensors: bool = False) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as fault:
        raise missing_extra(fault) from fault
    return Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO,
        experimental_preserve_all_tensors=keep_tensors,
        num_threads=1,
    )


def _output_indices(interpreter: Any) -> tuple[int, ...]:
    return tuple(int(detail["index"]) for detail in interpreter.get_output_details())


def _invoke(
    interpreter: Any, inputs: npt.NDArray[Any], *, read: tuple[int, ...]
) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Run one input after the other, and yield the values of the tensors to read, flat."""
    given = interpreter.get_input_details()[0]["index"]
    for one in inputs:
        interpreter.set_tensor(given, one[None])
        interpreter.invoke()
        yield tuple(interpreter.get_tensor(index).ravel() for index in read)


def _check_spread(content: bytes, interpreter: Any, name: str) -> None:
    """Raise where the scores differ so little that LiteRT's softmax cannot be set up: it would end the process."""
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for index in _softmax_inputs(content):
        tensor = tensors.get(index)
        if tensor is not None and tensor["dtype"] is np.int8 and tensor["quantization"][0] <= LEAST_SCALE:
            raise CurationError(
                ErrorCode.MODEL_UNTRAINED,
                f"{name}: its scores differ by less than a millionth for any image: it has learned nothing yet",
                hint="Train longer (--epochs), or on more images.",
            )


def _softmax_inputs(content: bytes) -> list[int]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    operators = [graph.Operators(number) for number in range(graph.OperatorsLength())]
    codes = [model.OperatorCodes(operator.OpcodeIndex()) for operator in operators]
    return [
        operator.Inputs(0)
        for operator, code in zip(operators, codes, strict=True)
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == schema.BuiltinOperator.SOFTMAX
    ]


def _check_input(given: list[dict[str, Any]], name: str) -> None:
    shape = tuple(int(length) for length in given[0]["shape"]) if len(given) == 1 else ()
    square = len(shape) == 4 and shape[0] == 1 and shape[1] == shape[2] and shape[3] == 3
    if not square or given[0]["dtype"] is not np.int8:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED, f"{name}: one int8 input of shape (1, side, side, 3) is expected"
        )
    scale, zero_point = given[0]["quantization"]
    if np.float32(scale) != np.float32(INPUT_SCALE) or zero_point != INPUT_ZERO_POINT:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED,
            f"{name}: its input has scale {scale:g} and zero point {zero_point}; "
            f"the camera's are 1/255 and {INPUT_ZERO_POINT}",
            hint="Quantize it with `python -m training fit`.",
        )


def require_litert() -> None:
    """Raise the ``CurationError`` of ``missing_extra`` where LiteRT is not installed."""
    try:
        import ai_edge_litert  # noqa: F401  # whether it can be imported is the question
    except ImportError as fault:
        raise missing_extra(fault) from fault


def missing_extra(fault: ImportError) -> CurationError:
    """Return the error for a machine on which the extra ``train`` is not installed."""
    return CurationError(
        ErrorCode.EXTRA_MISSING, f"training needs the extra `train` ({fault.name} is not installed)", hint=INSTALL
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what native code writes to standard error, and Python's warnings; show all of it after a failure."""
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(2)
        sys.stderr.flush()
        os.dup2(kept.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they concern the framework's own code, not the user's
                yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
