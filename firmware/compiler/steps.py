"""Groups the layers of a network into the steps the firmware runs: fused blocks, pointwise layers and plain layers.

A block is (an expansion,) a 3x3 depthwise layer, a 1x1 projection (and an addition); it runs row by row, so that what
lies between its layers is never stored whole. What fits no block runs as a plain layer on whole tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from firmware.compiler.model import Layer, Model, Padding, Tensor
from firmware.compiler.requantize import Addition, Kernel, to_addition, to_kernel

Residual = Literal["none", "input", "expanded"]
CHUNK: Final = 16
"""How many pixels a pointwise step widens at a time."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One convolution with its kernel ready."""

    layer: Layer
    kernel: Kernel


@dataclass(frozen=True, eq=False)
class Block:
    """Layers that run together, row by row.

    Parameters
    ----------
    expand : Stage, optional
        A 3x3 convolution over few channels (the stem) or a 1x1 convolution.
    depthwise : Stage
    project : Stage
    add : Layer, optional
    residual : {"none", "input", "expanded"}
        What the addition adds to the projection: the block's input, or what the expansion gave.
    """

    expand: Stage | None
    depthwise: Stage
    project: Stage
    add: Layer | None
    residual: Residual
    source: Tensor
    middle: Tensor
    result: Tensor

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer that this step runs."""
        stages = (self.expand, self.depthwise, self.project)
        return tuple(stage.layer for stage in stages if stage) + ((self.add,) if self.add else ())

    @property
    def is_stem(self) -> bool:
        """Whether the expansion is a 3x3 convolution."""
        return self.expand is not None and self.expand.layer.window != (1, 1)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A 1x1 convolution by itself."""

    stage: Stage
    source: Tensor
    result: Tensor

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The one layer."""
        return (self.stage.layer,)


@dataclass(frozen=True, eq=False)
class Plain:
    """A layer on whole tensors."""

    layer: Layer
    kernel: Kernel | None
    sources: tuple[Tensor, ...]
    result: Tensor

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The one layer."""
        return (self.layer,)


Step: TypeAlias = Block | Pointwise | Plain


def sources_of(step: Step) -> tuple[Tensor, ...]:
    """Return the activations a step reads."""
    return step.sources if isinstance(step, Plain) else (step.source,)


def to_steps(model: Model) -> tuple[Step, ...]:
    """Group a network's layers, in the order in which they run.

    Reshapes vanish (what they make is the tensor they read), and a padding that only one convolution reads becomes
    that convolution's own.
    """
    model = _without_reshapes(_merge_pads(model))
    steps: list[Step] = []
    at = 0
    while at < len(model.layers):
        step = _match_block(model, at) or _match_pointwise(model, at) or _to_plain(model, at)
        steps.append(step)
        at += len(step.layers)
    return tuple(steps)


def final_tensor(model: Model) -> Tensor:
    """Return the tensor the output is once reshapes have vanished."""
    return model.tensors[_without_reshapes(model).output]


def softmax_input(model: Model) -> Tensor | None:
    """Return what the last layer, a softmax, reads; None where the last layer is something else."""
    model = _without_reshapes(model)
    last = model.layers[-1]
    return model.source(last) if last.op == "SOFTMAX" and last.output == model.output else None


def logits_tensor(model: Model) -> Tensor:
    """Return what the last softmax reads, or the output where the last layer is something else."""
    return softmax_input(model) or final_tensor(model)


def _without_reshapes(model: Model) -> Model:
    same: dict[int, int] = {}
    layers = []
    for layer in model.layers:
        read = tuple(same.get(number, number) for number in layer.inputs)
        if layer.op == "RESHAPE":
            same[layer.output] = read[0]
        else:
            layers.append(replace(layer, inputs=read))
    return replace(model, layers=tuple(layers), output=same.get(model.output, model.output))


def _merge_pads(model: Model) -> Model:
    merged: dict[int, Layer] = {}
    for pad in model.layers:
        readers = model.readers(pad.output)
        if pad.op == "PAD" and len(readers) == 1 and pad.output != model.output:
            (reader,) = readers
            if reader.op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                reader = merged.get(reader.index, reader)
                inputs = (pad.inputs[0], *reader.inputs[1:])
                merged[reader.index] = replace(reader, inputs=inputs, padding=pad.padding + reader.padding)
                merged[pad.index] = replace(pad, output=-1)
    layers = (merged.get(layer.index, layer) for layer in model.layers)
    return replace(model, layers=tuple(layer for layer in layers if layer.output >= 0))


def _to_stage(model: Model, layer: Layer) -> Stage | None:
    kernel = to_kernel(model, layer)
    return Stage(layer, kernel) if kernel.fast else None


def _is_pointwise(layer: Layer) -> bool:
    return layer.op == "CONV_2D" and layer.window == (1, 1) and layer.stride == (1, 1) and not layer.padding


def _is_stem(model: Model, layer: Layer) -> bool:
    few = model.source(layer).shape[-1] <= 4
    square = layer.stride in ((1, 1), (2, 2))
    return layer.op == "CONV_2D" and layer.window == (3, 3) and few and square and _narrow(layer.padding)


def _is_depthwise(model: Model, layer: Layer) -> bool:
    return (
        layer.op == "DEPTHWISE_CONV_2D"
        and layer.window == (3, 3)
        and layer.stride in ((1, 1), (2, 2))
        and model.source(layer).shape[-1] == model.result(layer).shape[-1]
        and _narrow(layer.padding)
    )


def _narrow(padding: Padding) -> bool:
    return max(padding.top, padding.left, padding.bottom, padding.right) <= 1


def _match_block(model: Model, at: int) -> Block | None:
    layers = model.layers[at : at + 4]
    if not layers:
        return None
    expands = _is_pointwise(layers[0]) or _is_stem(model, layers[0])
    first = 1 if expands and len(layers) > 1 and _is_depthwise(model, layers[1]) else 0
    rest = layers[first:]
    if len(rest) < 2 or not _is_depthwise(model, rest[0]) or not _is_pointwise(rest[1]):
        return None
    if not _is_chain(layers[: first + 2]):
        return None
    expand = _to_stage(model, layers[0]) if first else None
    depthwise, project = _to_stage(model, rest[0]), _to_stage(model, rest[1])
    if (first and expand is None) or depthwise is None or project is None:
        return None
    block = Block(
        expand=expand,
        depthwise=depthwise,
        project=project,
        add=None,
        residual="none",
        source=model.source(layers[0]),
        middle=model.source(rest[0]),
        result=model.result(rest[1]),
    )
    block = _match_addition(model, block, rest[2] if len(rest) > 2 else None)
    return block if _hidden_stay_hidden(model, block) else None


def _is_chain(layers: tuple[Layer, ...]) -> bool:
    return all(after.inputs[0] == before.output for before, after in pairwise(layers))


def _match_addition(model: Model, block: Block, add: Layer | None) -> Block:
    if add is None or add.op != "ADD" or add.inputs.count(block.result.index) != 1:
        return block
    if not is_fast_addition(to_addition(model, add)):
        return block
    other = add.inputs[1 - add.inputs.index(block.result.index)]
    if block.expand is not None and other == block.middle.index and block.depthwise.layer.stride == (1, 1):
        fused = replace(block, add=add, residual="expanded", result=model.result(add))
        return fused if _hidden_stay_hidden(model, fused) else block
    if other == block.source.index:
        fused = replace(block, add=add, residual="input", result=model.result(add))
        return fused if _hidden_stay_hidden(model, fused) else block
    return block


def is_fast_addition(addition: Addition) -> bool:
    """Return whether no factor of an addition shifts to the left, so that nothing can leave 32 bits."""
    return all(0 <= factor.shift <= 22 for factor in addition) and addition.total.shift >= 1


def _hidden_stay_hidden(model: Model, block: Block) -> bool:
    """Return whether nothing outside the block reads what it never stores whole."""
    inside = {layer.index for layer in block.layers}
    hidden = {layer.output for layer in block.layers} - {block.result.index}
    read = {layer.index for number in hidden for layer in model.readers(number)}
    return read <= inside and model.output not in hidden


def _match_pointwise(model: Model, at: int) -> Pointwise | None:
    layer = model.layers[at]
    if not _is_pointwise(layer):
        return None
    stage = _to_stage(model, layer)
    return Pointwise(stage, model.source(layer), model.result(layer)) if stage else None


def _to_plain(model: Model, at: int) -> Plain:
    layer = model.layers[at]
    read = layer.inputs if layer.op == "ADD" else layer.inputs[:1]
    kernel = to_kernel(model, layer) if layer.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") else None
    return Plain(layer, kernel, tuple(model.tensors[number] for number in read), model.result(layer))


def pixels_of(step: Pointwise) -> tuple[int, int]:
    """Return how many pixels a pointwise step runs over, and how many channels it reads."""
    return math.prod(step.source.shape[:-1]), step.source.shape[-1]
