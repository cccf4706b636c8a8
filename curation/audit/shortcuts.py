"""Can the label be told without looking at what the pictures show? Each probe sees one thing beside that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.audit.measurements import Measured
from curation.cross_validation import Folds, NoFolds, cut_folds, probe
from curation.dataset.findings import Finding, Outcome, Probe, Severity, count_of

COLUMNS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "encoding": (
        "how the file is encoded: its quantisation tables, subsampling and type",
        (
            *(f"table{number}_{what}" for number in (0, 1) for what in ("mean", "first", "last", "spread")),
            *("tables", "subsampling", "progressive", "channels", "is_jpeg"),
        ),
    ),
    "file-size": ("the size of the file", ("bytes", "bytes_per_pixel")),
    "frame": ("the width, height and aspect of the picture", ("width", "height", "short_side", "aspect")),
    "sharpness": (
        "sharpness, noise and the traces of an earlier JPEG",
        ("sharpness_fine", "sharpness_middle", "sharpness_coarse", "noise", "fine_to_coarse", "blockiness"),
    ),
    "border": ("the rim: borders, vignettes, a round field of view", ("rim0", "rim1", "rim2", "corners", "rim_spread")),
    "artefacts": (
        "hairs, rulers, black borders and burnt-out spots",
        ("hair", "ruler", "black_border", "overexposed", "underexposed"),
    ),
    "colour": (
        "the mean colour and the white balance",
        ("red", "green", "blue", "red_to_green", "blue_to_green", "saturation"),
    ),
}
"""Probe -> what it looks at, and the measured values it is given."""

PICTURES: Final[Mapping[str, str]] = {
    "surroundings": "a blurred 8x8 thumbnail with its middle half greyed out",
    "thumbnail": "a blurred 8x8 thumbnail of the whole picture",
}

STEPS: Final[Mapping[str, float]] = {
    **dict.fromkeys(
        ("red", "green", "blue", "saturation", "noise", "rim0", "rim1", "rim2", "rim_spread", "corners"), 1.0
    ),
    **dict.fromkeys(("sharpness_fine", "sharpness_middle", "sharpness_coarse", "fine_to_coarse", "blockiness"), 0.05),
    **dict.fromkeys(("red_to_green", "blue_to_green", "aspect", "bytes_per_pixel", "ruler"), 0.01),
    **dict.fromkeys(("hair", "black_border", "overexposed", "underexposed"), 0.002),
}
"""What differs by less than such a step counts as equal: a model that sees pixels in whole levels cannot live on it."""

GIVES_AWAY, TELLS, HINTS = 0.9, 0.7, 0.55
"""The lower end of the interval from which on a shortcut is an error, a warning, a note."""

ADVICE: Final[Mapping[str, str]] = {
    "encoding": 'set `encode = "uniform"` under [render]: every picture is then written by one encoder setting',
    "file-size": 'with `encode = "uniform"` what is left is how much there is to see; never give a model the file size',
    "frame": 'set `encode = "uniform"` and `short_side` under [render]; a differing aspect needs a crop',
    "sharpness": "set `common_sharpness` under [render], augment with blur and noise, "
    "and test on pictures of both classes from one camera",
    "border": "set `crop_border` under [render], and a `short_side` that every picture still reaches when it is cut",
    "artefacts": "set `crop_border` under [render]; add pictures of the other class that show hairs and rulers, too",
    "colour": "set `colour_constancy` under [render], and augment the colours",
    "surroundings": "collect both classes with one camera and one light; until then believe no accuracy on this set",
    "thumbnail": "some of this may be what the pictures are about; compare with `surroundings`, which cannot see it",
}


def point_to_trial(findings: Iterable[Finding], reference: str) -> tuple[Finding, ...]:
    """Return the findings; where the advice is a remedy that nobody has tried here, it says how to try it first.

    Parameters
    ----------
    reference : str
        ``name@v<n>``.
    """
    trial = f"; whether that helps here shows `python -m curation audit {reference} --remedies`, so try it first"
    untried = {f"shortcut-{name}" for name, advice in ADVICE.items() if "[render]" in advice}
    return tuple(replace(each, advice=each.advice + trial) if each.id in untried else each for each in findings)


def probe_shortcuts(measured: Measured, folds: Folds | NoFolds | None = None) -> tuple[Probe, ...]:
    """Return what every probe gives; where the pictures cannot be cut into folds, each says why.

    Parameters
    ----------
    folds : Folds or NoFolds, optional
        What ``cut_folds`` gave for the readable pictures, where it is known already.
    """
    readable = measured.readable
    folds = cut_folds(readable) if folds is None else folds
    if isinstance(folds, NoFolds):
        return tuple(Probe(name=name, looks_at=text, why_not=str(folds)) for name, text in _every_probe())
    cells = measured.colour.reshape(-1, 8, 2, 8, 2, 3).astype(np.float64).mean(axis=(2, 4)).round()
    outside = np.ones((8, 8), np.bool_)
    outside[2:6, 2:6] = False
    found = [_probe_columns(readable, folds, name) for name in COLUMNS]
    for name, seen in (("surroundings", cells[:, outside]), ("thumbnail", cells)):
        found.append(probe(seen.reshape(len(cells), -1), folds, name=name, looks_at=PICTURES[name]))
    return tuple(found)


def _every_probe() -> list[tuple[str, str]]:
    return [*((name, text) for name, (text, _) in COLUMNS.items()), *PICTURES.items()]


def _probe_columns(readable: pl.DataFrame, folds: Folds, name: str) -> Probe:
    looks_at, columns = COLUMNS[name]
    values: NDArray[np.float64] = readable.select(pl.col(columns).cast(pl.Float64)).to_numpy()
    steps = np.array([STEPS.get(column, 1.0) for column in columns])
    features = np.round(values / steps)
    return probe(features, folds, name=name, looks_at=looks_at)


def find_shortcuts(measured: Measured, probes: tuple[Probe, ...]) -> Outcome:
    """Return the shortcuts that the probes show, and whether each class has sources of its own."""
    findings = [_judge(each, len(measured.grey)) for each in probes]
    findings.append(_own_source(measured.table))
    measured_ones = [each for each in probes if each.auc is not None]
    if all(each is None or each.severity == "note" for each in findings):
        findings.append(_too_few(measured_ones, len(measured.grey)))
    checks = [(f"label from {each.name}", str(each)) for each in probes]
    if not measured_ones and probes:
        advice = "add pictures of independent groups; until then nobody knows whether the label can be told by accident"
        said = f"the shortcuts could not be measured: {probes[0].why_not}"
        findings.append(Finding(id="shortcut-unknown", severity="warning", says=said, count=0, advice=advice))
    return Outcome(tuple(each for each in findings if each is not None), tuple(checks))


def _judge(found: Probe, pictures: int) -> Finding | None:
    if found.auc is None or found.low is None or found.high is None or found.low < HINTS:
        return None
    severity: Severity = "error" if found.low >= GIVES_AWAY else "warning" if found.low >= TELLS else "note"
    words = {"error": "this alone gives the label away", "warning": "this tells much", "note": "this hints at it"}
    return Finding(
        id=f"shortcut-{found.name}",
        severity=severity,
        says=f"{found.looks_at}: AUC {found} for {found.label}, where 0.5 is chance; {words[severity]}",
        count=pictures,
        advice=ADVICE[found.name],
        figures={"auc": found.auc, "low": found.low, "high": found.high},
    )


def _too_few(probes: Sequence[Probe], pictures: int) -> Finding | None:
    """Return the finding that so few pictures rule no strong shortcut out: silence would read as praise.

    An interval is too wide where it reaches into what gives a label away, or where it would reach into what tells much
    even if it stood around chance.
    """
    wide = [each for each in probes if _is_wide(each)]
    if not wide:
        return None
    best = max(wide, key=lambda each: (each.high or 0, each.auc or 0))
    return Finding(
        id="shortcut-unknown",
        severity="warning",
        says=f"{count_of(pictures, 'picture')} are too few to tell whether the label can be told by accident: "
        f"by {best.looks_at} the AUC is {best}, where 0.5 is chance and 1.0 gives every label away",
        count=pictures,
        advice="add pictures of independent groups; until then neither a shortcut nor its absence is shown",
    )


def _is_wide(found: Probe) -> bool:
    low, high = found.low or 0.0, found.high or 0.0
    return high >= GIVES_AWAY or high - low >= 2 * (TELLS - 0.5)


def _own_source(table: pl.DataFrame) -> Finding | None:
    """Return the finding that no source holds more than one class: camera and class are then one and the same."""
    pairs = table.select("source", "label").unique().drop_nulls()
    sources = pairs.group_by("source").agg(pl.col("label").sort()).sort("source")
    if pairs["label"].n_unique() < 2 or sources["label"].list.len().max() != 1:
        return None
    told = "; ".join(f"{labels[0]} from {source}" for source, labels in sources.rows())
    return Finding(
        id="shortcut-source",
        severity="error",
        says=f"every class comes from sources of its own ({told}): "
        "what tells the cameras apart tells the classes apart",
        count=table.height,
        advice="add pictures of every class from every source; until then a model may only know the cameras",
    )
