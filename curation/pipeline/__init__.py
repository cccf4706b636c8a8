"""Builds a dataset from its recipe: ``build`` and ``restore`` are the chain of steps, in ``build.py``."""

from curation.pipeline.audit_later import audit_and_add
from curation.pipeline.build import STEPS, BuildOutcome, Built, Step, build, pull, restore
from curation.pipeline.journal import StageLine
from curation.pipeline.options import Listener, Options, SilentListener

__all__ = [
    "STEPS",
    "BuildOutcome",
    "Built",
    "Listener",
    "Options",
    "SilentListener",
    "StageLine",
    "Step",
    "audit_and_add",
    "build",
    "pull",
    "restore",
]
