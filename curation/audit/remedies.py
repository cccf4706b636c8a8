"""What every remedy of the recipe does to the shortcuts: the published pictures are changed, measured and probed again.

It starts from the published files, not from the sources, and so shows what a remedy adds to what was done already.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from curation.audit.measurements import measure_version
from curation.audit.shortcuts import probe_shortcuts
from curation.dataset.findings import Finding, Probe
from curation.errors import CurationError
from curation.images import DecodeFailure, RenderSettings, Step, crop_border, even_colours, render, soften
from curation.storage.progress import Progress
from curation.versions import Version

SHORT_SIDE: Final = 128
"""Of the uniform size that is tried on pictures of several sizes; smaller ones set a smaller one."""
PUBLISHED: Final = "as published"
ALL: Final = "all of them"
NOTABLE: Final = 0.02
"""An AUC that moves by less has not moved, as far as this many pictures can tell."""
SHARE: Final = 0.1
QUANTILE: Final = 0.1
"""The common sharpness that is tried: that of the softest tenth."""


def try_remedies(version: Version, *, progress: Progress | None = None) -> Mapping[str, tuple[Probe, ...]]:
    """Return what the probes give after each remedy, after all of them, and as published.

    Parameters
    ----------
    version : Version
        Its files are read once for each remedy; nothing is written.
    progress : Progress, optional
        Draws how far each trial is.
    """
    published = measure_version(version, progress=progress)
    tried: dict[str, tuple[Probe, ...]] = {PUBLISHED: probe_shortcuts(published)}
    if not len(published.grey):
        return tried
    side = min(SHORT_SIDE, int(published.table["short_side"].min()))  # type: ignore[arg-type]  # a number, as there are pictures
    softest = float(np.expm1(published.table["sharpness_fine"].quantile(QUANTILE) or 0.0))
    sharpness = max(1.0, round(softest))
    inner = side - 2 * int(side * SHARE)  # what is cut has to be scaled to a size that all of them still reach
    single: dict[str, Step] = {
        f"crop_border = {SHARE:g}": partial(crop_border, share=SHARE),
        'colour_constancy = "grey-world"': partial(even_colours, constancy="grey-world"),
        'colour_constancy = "shades-of-grey"': partial(even_colours, constancy="shades-of-grey"),
        f"common_sharpness = {sharpness:g}": partial(soften, sharpness=sharpness, short_side=inner),
    }
    trials: dict[str, tuple[Step, ...]] = {f'encode = "uniform", short_side = {side}': ()}
    trials |= {name: (step,) for name, step in single.items()}
    names = tuple(single)
    trials[ALL] = (single[names[0]], single[names[1]], single[names[3]])
    for name, steps in trials.items():
        settings = RenderSettings(encode="uniform", short_side=inner if single[names[0]] in steps else side)
        measured = measure_version(version, change=_changed(settings, steps), progress=progress, what=f"try {name}")
        tried[name] = probe_shortcuts(measured)
    return tried


def advise(findings: Iterable[Finding], tried: Mapping[str, tuple[Probe, ...]]) -> tuple[Finding, ...]:
    """Return the findings with the advice on each shortcut led by what the remedies did to it on these very pictures.

    Parameters
    ----------
    tried : mapping of str to tuple of Probe
        What ``try_remedies`` returned.
    """
    auc: dict[str, dict[str, float]] = {}
    for remedy, probes in tried.items():
        for each in probes:
            if each.auc is not None:
                auc.setdefault(f"shortcut-{each.name}", {})[remedy] = each.auc
    return tuple(_advise_one(finding, auc[finding.id]) if finding.id in auc else finding for finding in findings)


def _advise_one(finding: Finding, auc: Mapping[str, float]) -> Finding:
    before = auc[PUBLISHED]
    trials = {remedy: value for remedy, value in auc.items() if remedy != PUBLISHED}
    if not trials:
        return finding
    best = min(trials, key=lambda remedy: (trials[remedy], remedy))
    helps = before - trials[best] >= NOTABLE
    if helps:
        does = "all remedies together do most" if best == ALL else f"of the remedies `{best}` does most"
        told = f"{does} here: {before:.3f} becomes {trials[best]:.3f}"
    else:
        told = f"no remedy of the recipe helps here (at best {trials[best]:.3f}): only other pictures would"
    worse = [f"`{remedy}`" for remedy in sorted(trials) if trials[remedy] - before >= NOTABLE and remedy != ALL]
    if worse:
        told += f"; {' and '.join(worse)} would make it worse"
    return replace(finding, advice=f"{told}; in general: {finding.advice}" if helps else told)


def _changed(settings: RenderSettings, steps: tuple[Step, ...]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        try:
            return render(content, settings, steps=steps)
        except DecodeFailure as fault:
            raise CurationError(f"a published picture cannot be rendered again: {fault.reason}") from fault

    return change
