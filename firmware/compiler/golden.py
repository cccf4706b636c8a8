"""Golden vectors: images with the scores and logits that LiteRT's reference kernels give for them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from curation.images import to_tensor
from firmware.compiler.c_writer import write_numbers
from firmware.compiler.model import Model
from firmware.compiler.tflite_reference import run_reference

MOST: Final = 4
"""Each vector takes a whole image of flash."""
_DRAWN: Final = 2
_SEED: Final = 5


def draw_images(side: int) -> npt.NDArray[np.uint8]:
    """Return two synthetic images, smooth with some noise, always the same: (2, side, side, 3) uint8."""
    generator = np.random.default_rng(_SEED)
    rows, columns = np.mgrid[0:side, 0:side] / side
    images = []
    for _ in range(_DRAWN):
        color, slope = generator.uniform(60, 200, 3), generator.uniform(-60, 60, (2, 3))
        plane = color + rows[..., None] * slope[0] + columns[..., None] * slope[1]
        spot = np.exp(-(((rows - 0.5) ** 2 + (columns - 0.5) ** 2) / generator.uniform(0.02, 0.1)))
        noise = generator.normal(0, 8, (side, side, 3))
        images.append(plane - spot[..., None] * generator.uniform(20, 120, 3) + noise)
    drawn: npt.NDArray[np.uint8] = np.clip(np.rint(np.stack(images)), 0, 255).astype(np.uint8)
    return drawn


def write_golden(content: bytes, model: Model, images: npt.NDArray[np.uint8] | None) -> str:
    """Write ``golden.h``.

    Parameters
    ----------
    content : bytes
        The ``.tflite`` file.
    model : Model
        The same model, read.
    images : (n, side, side, 3) uint8 ndarray, optional
        As the camera gives them; at most 4. Synthetic ones by default.

    Raises
    ------
    CurationError
        OPTION_INVALID where they have another shape, or are too many.
    """
    shape = model.tensors[model.input].shape[1:]
    given = draw_images(shape[0]) if images is None else images
    if given.dtype != np.uint8 or given.shape[1:] != shape or not 1 <= len(given) <= MOST:
        raise CurationError(
            ErrorCode.OPTION_INVALID,
            f"golden images are {given.dtype} {given.shape}; uint8, 1 to {MOST} of {shape} are expected",
        )
    inputs = to_tensor(given)
    reference = run_reference(content, inputs)
    labels = reference.scores.shape[1]
    return (
        "/* Generated; do not edit. Images and the outputs of LiteRT's reference kernels. */\n"
        "#ifndef GOLDEN_H\n#define GOLDEN_H\n\n#include <assert.h>\n#include <stdint.h>\n\n"
        f"enum {{ GOLDEN_COUNT = {len(inputs)}, GOLDEN_BYTES = {inputs[0].size}, GOLDEN_LABELS = {labels} }};\n\n"
        "/* Row by row, as model_take_row wants them. */\n"
        f"{_write_matrix('golden_images', 'GOLDEN_BYTES', inputs.reshape(len(inputs), -1))}\n"
        f"{_write_matrix('golden_scores', 'GOLDEN_LABELS', reference.scores)}\n"
        f"{_write_matrix('golden_logits', 'GOLDEN_LABELS', reference.logits)}\n"
        "#endif\n"
    )


def _write_matrix(name: str, columns: str, values: npt.NDArray[np.int8]) -> str:
    rows = "".join(f"  {{\n{write_numbers(row)}  }},\n" for row in values.tolist())
    return f"static const int8_t {name}[GOLDEN_COUNT][{columns}] __attribute__((aligned(4))) = {{\n{rows}}};\n"
