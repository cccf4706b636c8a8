"""From an int8 ``.tflite`` to what the board runs: reading, planning, and one C file."""

from firmware.compiler.export import Exported, export
from firmware.compiler.model import Layer, Model, Padding, Tensor, count_macs
from firmware.compiler.planning import ArenaPlan, LayerCost, plan
from firmware.compiler.reading import read_model

__all__ = [
    "ArenaPlan",
    "Exported",
    "Layer",
    "LayerCost",
    "Model",
    "Padding",
    "Tensor",
    "count_macs",
    "export",
    "plan",
    "read_model",
]
