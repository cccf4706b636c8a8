"""Compiles an untrained net, and measures its cost on the emulated board.

The cost of a net depends on its shape, not on what it has learned. Only its batch norms are set to the statistics of
synthetic images, so that its channels are not constant.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.board import open_board, prepare_frame
from curation.images import camera_view, to_tensor
from curation.images.camera import Side
from firmware.compiler import export
from firmware.compiler.tflite_reference import run_reference
from firmware.tools.check_bit_exact import emulate as run_emulated
from firmware.tools.session import PATIENCE, emulate
from training.framework import load_keras
from training.models import ARCHITECTURES, build_model
from training.quantize import convert_int8

FIRMWARE = Path(__file__).resolve().parents[1]
LABELS = ("healthy", "melanoma")
MODES = ("frame", "rows")
MOBILENET_V1 = "mobilenet_v1_0.25"
NETS = (*(name for name, architecture in ARCHITECTURES.items() if architecture.for_board), MOBILENET_V1)


def main(arguments: list[str] | None = None) -> int:
    """Measure one net and print its cost by mode as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=NETS)
    parser.add_argument("folder", type=Path, help="for generated and compiled files")
    given = parser.parse_args(arguments)
    print(json.dumps(build_programs(make_network(given.net), given.folder.resolve())))
    return 0


def draw_images(count: int, *, seed: int, side: Side = 96) -> npt.NDArray[np.uint8]:
    """Draw images of blocks of color and grain, through the camera: (count, side, side, 3) uint8."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (count, 1, 1, 3)) + random.integers(-60, 60, (count, 12, 12, 3))
    coarse = np.repeat(np.repeat(blocks, 12, axis=1), 12, axis=2) + random.normal(0, 12, (count, 144, 144, 3))
    return camera_view(np.clip(coarse, 0, 255).astype(np.uint8), side=side)


def build_mobilenet_v1(side: Side = 96) -> Any:
    """Return MobileNetV1 0.25 as in MLPerf Tiny's visual wake words."""
    _, keras = load_keras()
    layers = keras.layers

    def settle(features: Any) -> Any:
        return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(features))

    image = keras.Input((side, side, 3), name="image")
    at = settle(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image))
    halving = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for channels, stride in halving:
        at = settle(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(at))
        at = settle(layers.Conv2D(channels, 1, use_bias=False)(at))
    scores = layers.Dense(len(LABELS))(layers.GlobalAveragePooling2D()(at))
    return keras.Model(image, layers.Softmax()(scores))


def make_network(name: str, *, side: Side = 96) -> bytes:
    """Return a net's int8 ``.tflite``: random weights, and batch norms with the statistics of synthetic images."""
    _, keras = load_keras()
    keras.utils.set_random_seed(1)
    model = (
        build_mobilenet_v1(side)
        if name == MOBILENET_V1
        else build_model(ARCHITECTURES[name], classes=len(LABELS), side=side)
    )
    images = draw_images(32, seed=100, side=side)
    settle_norms(model, images)
    return convert_int8(model, images)


def settle_norms(model: Any, images: npt.NDArray[np.uint8], *, momentum: float = 0.0) -> None:
    """Set every batch norm of an untrained net to the statistics of some images, in one pass.

    Parameters
    ----------
    model : keras.Model
    images : (n, side, side, 3) uint8 ndarray
    momentum : float
        Share of the initial statistics that is kept; 0.9 ** n has the effect of n passes with a momentum of 0.9.
    """
    _, keras = load_keras()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    model(images.astype(np.float32) / 255, training=True)


def build_programs(content: bytes, folder: Path) -> dict[str, dict[str, int]]:
    """Compile a net's programs into a folder, and return its cost in each mode."""
    generated, build = folder / "generated", folder / "build"
    build.mkdir(parents=True, exist_ok=True)
    export(content, generated, labels=LABELS, alarm=LABELS[-1], data_version="drawn@v1")
    targets = [str(build / f"{kind}-{mode}.elf") for mode in MODES for kind in ("board", "measure")]
    make = ["make", "-s", "-C", str(FIRMWARE), f"GENERATED={generated}", f"BUILD={build}", *targets]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    return {mode: measure(build, mode, content) for mode in MODES}


def measure(build: Path, mode: str, content: bytes, *, images: int = 4) -> dict[str, int]:
    """Run a net on the emulated board over synthetic images, and compare its bits with the reference's."""
    inputs = to_tensor(draw_images(images, seed=200))
    program = build / f"measure-{mode}.elf"
    out, figures = run_emulated(program, inputs)
    expected = run_reference(content, inputs)
    both = np.frombuffer(out, np.int8).reshape(images, 2, len(LABELS))
    same = (both[:, 0] == expected.scores).all(axis=1) & (both[:, 1] == expected.logits).all(axis=1)
    program_sizes, board_sizes = read_sizes(program), read_sizes(build / f"board-{mode}.elf")
    return {
        "arena": int(figures["arena"]),
        "instructions": int(figures["instructions"]),
        "heaviest_row": int(figures["heaviest"]),
        "flash": program_sizes["text"] + program_sizes["data"],
        "static_ram": board_sizes["data"] + board_sizes["bss"],
        "image": board_sizes["text"] + board_sizes["data"],
        "stack": measure_stack(build / f"board-{mode}.elf", build),
        "same": int(same.sum()),
        "images": images,
    }


def read_sizes(program: Path) -> dict[str, int]:
    """Return a program's text (with read-only data), data and bss in bytes, without the stack."""
    command = ["arm-none-eabi-size", "-A", str(program)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    sizes = {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}
    return {"text": sizes[".text"] + sizes.get(".ARM.exidx", 0), "data": sizes[".data"], "bss": sizes[".bss"]}


def measure_stack(program: Path, folder: Path) -> int:
    """Return the largest size of the application's stack in bytes, over a session that uses every command."""
    frame = prepare_frame(np.random.default_rng(3).integers(0, 256, (150, 200, 3), np.uint8))
    with (
        emulate(program, folder, camera=[frame]) as emulated,
        open_board(emulated.port, timeout_factor=PATIENCE) as board,
    ):
        board.next_scores()
        board.run_golden()
        board.run_selftest()
        board.take_frame()
        board.inject(frame)
        board.reset()
        return emulated.wait()


if __name__ == "__main__":
    sys.exit(main())
