"""The source kind ``drawn``: dermoscopy-like images drawn from a seed, with planted faults and their ground truth."""

from curation.sources.synthetic.archive import draw
from curation.sources.synthetic.ground_truth import (
    Expected,
    Fault,
    GroundTruth,
    Part,
    ground_truth_path,
    read_ground_truth,
)
from curation.sources.synthetic.ground_truth_check import find_missed, find_wrongly_excluded
from curation.sources.synthetic.plan import SyntheticSettings, describe_ground_truth
from curation.sources.synthetic.source import fetch

__all__ = [
    "Expected",
    "Fault",
    "GroundTruth",
    "Part",
    "SyntheticSettings",
    "describe_ground_truth",
    "draw",
    "fetch",
    "find_missed",
    "find_wrongly_excluded",
    "ground_truth_path",
    "read_ground_truth",
]
