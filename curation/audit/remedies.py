"""Tries every remedy of the recipe: the published images are changed, measured and probed again.

A trial starts from the published files, not from the sources, so it shows what a remedy adds to what was done already.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from curation.audit.measurements import measure_version
from curation.audit.shortcuts import probe_shortcuts
from curation.dataset.finding_texts import ALL_REMEDIES, AS_PUBLISHED
from curation.dataset.findings import NOTABLE_AUC, Finding, Probe
from curation.images import DecodeFailure, RenderSettings, Step, apply_color_constancy, crop_border, render, soften
from curation.storage.progress import Progress
from curation.versions import Version

SHORT_SIDE: Final = 128
"""The uniform size that is tried on images of several sizes; where an image is smaller, its size."""
SHARE: Final = 0.1
QUANTILE: Final = 0.1
"""The common sharpness that is tried: that of the softest tenth."""


@dataclass(frozen=True)
class Trials:
    """What the remedies came to.

    Parameters
    ----------
    probes : mapping of str to tuple of Probe
        The probes as published, after each remedy, and after all of them.
    left_out : tuple of (str, str)
        Id and reason of the images that can be opened but not rendered again: no trial contains them.
    """

    probes: Mapping[str, tuple[Probe, ...]]
    left_out: tuple[tuple[str, str], ...] = ()


def try_remedies(version: Version, *, progress: Progress | None = None) -> Trials:
    """Return the probes after each remedy, and the images that could not be part of it.

    Parameters
    ----------
    version : Version
        Its files are read once for each remedy; nothing is written.
    progress : Progress, optional
        Shows the progress of each trial.
    """
    published = measure_version(version, progress=progress)
    tried: dict[str, tuple[Probe, ...]] = {AS_PUBLISHED: probe_shortcuts(published)}
    if not len(published.gray):
        return Trials(tried)
    side = min([SHORT_SIDE, *map(int, published.table["short_side"].drop_nulls())])
    softest = float(np.expm1(published.table["sharpness_fine"].quantile(QUANTILE) or 0.0))
    sharpness = max(1.0, round(softest))
    inner = side - 2 * int(side * SHARE)  # a size that every image still has after the crop
    single: dict[str, Step] = {
        f"crop_border = {SHARE:g}": partial(crop_border, share=SHARE),
        'colour_constancy = "grey-world"': partial(apply_color_constancy, constancy="grey-world"),
        'colour_constancy = "shades-of-grey"': partial(apply_color_constancy, constancy="shades-of-grey"),
        f"common_sharpness = {sharpness:g}": partial(soften, sharpness=sharpness, short_side=inner),
    }
    trials: dict[str, tuple[Step, ...]] = {f'encode = "uniform", short_side = {side}': ()}
    trials |= {name: (step,) for name, step in single.items()}
    names = tuple(single)
    trials[ALL_REMEDIES] = (single[names[0]], single[names[1]], single[names[3]])
    left_out: dict[str, str] = {}
    for name, steps in trials.items():
        settings = RenderSettings(encode="uniform", short_side=inner if single[names[0]] in steps else side)
        measured = measure_version(version, change=_changed(settings, steps), progress=progress, what=f"try {name}")
        tried[name] = probe_shortcuts(measured)
        left_out |= dict(measured.unreadable)
    for unread, _ in published.unreadable:  # the audit has a finding for these
        left_out.pop(unread, None)
    return Trials(tried, tuple(sorted(left_out.items())))


def advise(findings: Iterable[Finding], tried: Mapping[str, tuple[Probe, ...]]) -> tuple[Finding, ...]:
    """Return the findings; each shortcut's facts contain the effect of the remedies on these images.

    Parameters
    ----------
    findings : iterable of Finding
    tried : mapping of str to tuple of Probe
        ``Trials.probes``.
    """
    auc: dict[str, dict[str, float]] = {}
    for remedy, probes in tried.items():
        for each in probes:
            if each.auc is not None:
                auc.setdefault(f"shortcut-{each.name}", {})[remedy] = each.auc
    return tuple(_advise_one(finding, auc[finding.id]) if finding.id in auc else finding for finding in findings)


def _advise_one(finding: Finding, auc: Mapping[str, float]) -> Finding:
    before = auc[AS_PUBLISHED]
    trials = {remedy: value for remedy, value in auc.items() if remedy != AS_PUBLISHED}
    if not trials:
        return finding
    best = min(trials, key=lambda remedy: (trials[remedy], remedy))
    remedies = {
        "before": before,
        "best": best,
        "after": trials[best],
        "helps": before - trials[best] >= NOTABLE_AUC,
        "worse": [name for name in sorted(trials) if trials[name] - before >= NOTABLE_AUC and name != ALL_REMEDIES],
    }
    return replace(finding, facts={**finding.facts, "remedies": remedies})


def _changed(settings: RenderSettings, steps: tuple[Step, ...]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        try:
            return render(content, settings, steps=steps)
        except DecodeFailure as fault:
            raise ValueError(str(fault)) from fault  # the measurement names the file and this reason

    return change
