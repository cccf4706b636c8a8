"""Writes the files that the firmware is built from: ``model.c``, ``model.h`` and ``golden.h``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import numpy.typing as npt

from curation.errors import CurationError, ErrorCode
from curation.images import INPUT_SCALE, INPUT_ZERO_POINT
from firmware.compiler.boards import Board
from firmware.compiler.codegen import Identity, generate
from firmware.compiler.golden import write_golden
from firmware.compiler.lights import Light, assign_lights
from firmware.compiler.model import Model
from firmware.compiler.planning import ArenaPlan, plan_model
from firmware.compiler.reading import read_model
from firmware.compiler.row_mode import Mode, choose_mode
from firmware.compiler.steps import softmax_input

SIDES: Final = (96, 48)
"""Sides of the camera's view, in pixels."""


@dataclass(frozen=True)
class Exported:
    """The files of an export, sorted, what the network takes on the board, its mode, and the light of each class."""

    files: tuple[Path, ...]
    plan: ArenaPlan
    mode: Mode
    lights: tuple[Light, ...]


def export(
    tflite: bytes,
    target: Path,
    *,
    labels: Sequence[str],
    alarm: str,
    data_version: str,
    data_digest: str = "",
    name: str = "model",
    golden: npt.NDArray[np.uint8] | None = None,
    arena_limit_bytes: int | None = None,
    board: Board | None = None,
) -> Exported:
    """Compile a network and write the files that the firmware is built from.

    Parameters
    ----------
    tflite : bytes
        An int8 ``.tflite`` whose input is the camera's view and whose last layer is a softmax.
    target : Path
        The folder to write into, ``firmware/generated``; created if missing.
    labels : sequence of str
        One for each score, in order.
    alarm : str
        The label for which the board shows red.
    data_version, data_digest : str
        The version it was trained on, such as ``melanoma@v1``.
    name : str
        The name of the model in the firmware; the file's digest is appended.
    golden : (n, side, side, 3) uint8 ndarray, optional
        Images in the camera's view, at most 4, for the board's self-test; synthetic ones by default.
    arena_limit_bytes : int, optional
        Refuse a network whose arena is larger in every mode.
    board : Board, optional
        Decides whether the network takes rows or whole frames; without it rows, where they are possible.

    Raises
    ------
    CurationError
        MODEL_INVALID or MODEL_UNSUPPORTED where it cannot be compiled, OPTION_INVALID where the labels do not match its
        outputs, DOES_NOT_FIT where it is too large.
    """
    model = read_model(tflite)
    _require_camera_view(model)
    _require_labels(model, labels, alarm)
    planned = plan_model(model)
    _require_room(planned, arena_limit_bytes)
    mode = choose_mode(model, board)
    identity = Identity(
        labels=tuple(labels),
        alarm=tuple(labels).index(alarm),
        data_version=data_version,
        data_digest=data_digest,
        model=f"{name}-{hashlib.sha256(tflite).hexdigest()[:16]}",
        tool=f"curation {version('curation')}",
        rows=mode.rows,
        mode_reason=mode.reason,
    )
    texts = {**generate(model, identity), "golden.h": write_golden(tflite, model, golden)}
    lights = assign_lights(labels, alarm)
    return Exported(files=_write_all(target, texts), plan=planned, mode=mode, lights=lights)


def _require_camera_view(model: Model) -> None:
    source = model.tensors[model.input]
    square = source.shape in tuple((1, side, side, 3) for side in SIDES)
    scaled = np.float32(source.scale) == np.float32(INPUT_SCALE) and source.zero_point == INPUT_ZERO_POINT
    if not square or not scaled or source.type != "int8":
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED,
            f"the network's input is {source.type} {source.shape} with scale {source.scale:.8g} and zero point "
            f"{source.zero_point}; the camera gives int8 (1, 96, 96, 3) or (1, 48, 48, 3) with 1/255 and -128",
            hint="Train and calibrate on the camera's view divided by 255: `python -m training fit` does.",
        )


def _require_labels(model: Model, labels: Sequence[str], alarm: str) -> None:
    if softmax_input(model) is None:
        raise CurationError(
            ErrorCode.MODEL_UNSUPPORTED,
            f"the network ends with {model.layers[-1].op}; the board decides by probabilities, which a SOFTMAX gives",
            hint="Give the last dense layer activation='softmax'.",
        )
    count = model.result(model.layers[-1]).shape[-1]
    if len(labels) != count or len(set(labels)) != len(labels) or alarm not in labels:
        raise CurationError(
            ErrorCode.OPTION_INVALID,
            f"the network gives {count} scores; the labels are {', '.join(labels) or 'none'}, the alarm is {alarm!r}",
            hint="Give one label a score, each once, and one of them as the alarm.",
        )


def _require_room(planned: ArenaPlan, limit: int | None) -> None:
    least = min(size for size in (planned.arena_bytes, planned.row_mode_arena_bytes) if size is not None)
    if limit is not None and least > limit:
        largest = max(planned.layers, key=lambda layer: layer.activation_bytes)
        raise CurationError(
            ErrorCode.DOES_NOT_FIT,
            f"the network needs an arena of {least:,} bytes and the board has {limit:,}; its largest layer is "
            f"{largest.name!r} ({largest.op}) with {largest.activation_bytes:,} bytes",
            hint="Use a smaller network, or one that reduces its image earlier.",
        )


def _write_all(target: Path, texts: dict[str, str]) -> tuple[Path, ...]:
    """Write every file to a temporary folder first, so that a full disk leaves the old files intact."""
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target, prefix=".writing-") as temporary:
        for file, text in sorted(texts.items()):
            (Path(temporary) / file).write_text(text, encoding="utf-8")
        for file in sorted(texts):
            (Path(temporary) / file).replace(target / file)
    return tuple(target / file for file in sorted(texts))
