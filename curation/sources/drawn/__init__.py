"""The source kind ``drawn``: dermoscopy-like pictures from a seed, with known faults planted and the truth beside."""

from curation.sources.drawn.archive import draw
from curation.sources.drawn.plan import Settings, tell_truth
from curation.sources.drawn.planted import Expected, Fault, Part, Truth, read_truth, truth_path
from curation.sources.drawn.source import fetch
from curation.sources.drawn.verdict import find_missed, find_wronged

__all__ = [
    "Expected",
    "Fault",
    "Part",
    "Settings",
    "Truth",
    "draw",
    "fetch",
    "find_missed",
    "find_wronged",
    "read_truth",
    "tell_truth",
    "truth_path",
]
