"""The source kind ``drawn``: dermoscopy-like pictures from a seed, with known faults planted and the truth beside."""

from curation.sources.synthetic.archive import draw
from curation.sources.synthetic.ground_truth import Expected, Fault, Part, Truth, read_truth, truth_path
from curation.sources.synthetic.ground_truth_check import find_missed, find_wronged
from curation.sources.synthetic.plan import SyntheticSettings, tell_truth
from curation.sources.synthetic.source import fetch

__all__ = [
    "Expected",
    "Fault",
    "Part",
    "SyntheticSettings",
    "Truth",
    "draw",
    "fetch",
    "find_missed",
    "find_wronged",
    "read_truth",
    "tell_truth",
    "truth_path",
]
