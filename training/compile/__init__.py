"""From an int8 ``.tflite`` to what the board runs: reading, planning, and one C file."""

from training.compile.exporting import Exported, export
from training.compile.model import Layer, Model, Padding, Tensor, count_macs
from training.compile.planning import LayerCost, Plan, plan
from training.compile.reading import read_model

__all__ = [
    "Exported",
    "Layer",
    "LayerCost",
    "Model",
    "Padding",
    "Plan",
    "Tensor",
    "count_macs",
    "export",
    "plan",
    "read_model",
]
