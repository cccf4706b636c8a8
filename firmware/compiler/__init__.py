"""Compiles an int8 ``.tflite`` to C: reading, checking, planning, and the files that the firmware is built from."""

from firmware.compiler.boards import DEFAULT_BOARD, Board, list_boards, load_board
from firmware.compiler.budget import Budget, LayerBudget, estimate_least, measure_budget
from firmware.compiler.export import Exported, export
from firmware.compiler.model import Layer, Model, Padding, Tensor, count_macs
from firmware.compiler.planning import ArenaPlan, LayerCost, plan_model
from firmware.compiler.reading import read_model

__all__ = [
    "DEFAULT_BOARD",
    "ArenaPlan",
    "Board",
    "Budget",
    "Exported",
    "Layer",
    "LayerBudget",
    "LayerCost",
    "Model",
    "Padding",
    "Tensor",
    "count_macs",
    "estimate_least",
    "export",
    "list_boards",
    "load_board",
    "measure_budget",
    "plan_model",
    "read_model",
]
