"""Finds shortcuts: what predicts the label without the content of the images. Each probe sees one thing only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.audit.measurements import Measured
from curation.cross_validation import Folds, NoFolds, cut_folds, probe
from curation.dataset.finding_texts import REMEDIED
from curation.dataset.findings import AuditPart, Check, Finding, Probe

COLUMNS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "encoding": (
        "how the file is encoded: its quantization tables, subsampling and type",
        (
            *(f"table{number}_{what}" for number in (0, 1) for what in ("mean", "first", "last", "deviation")),
            *("tables", "subsampling", "progressive", "channels", "is_jpeg"),
        ),
    ),
    "file-size": ("the size of the file", ("bytes", "bytes_per_pixel")),
    "frame": ("the width, height and aspect ratio of the image", ("width", "height", "short_side", "aspect")),
    "sharpness": (
        "sharpness, noise and the traces of an earlier JPEG",
        ("sharpness_fine", "sharpness_middle", "sharpness_coarse", "noise", "fine_to_coarse", "blockiness"),
    ),
    "border": (
        "the border: frames, vignettes, a round field of view",
        ("border0", "border1", "border2", "corners", "border_deviation"),
    ),
    "artefacts": (
        "thin dark lines, regular marks, black areas at the border and overexposed spots",
        ("hair", "ruler", "black_border", "overexposed", "underexposed"),
    ),
    "colour": (
        "the mean color and the white balance",
        ("red", "green", "blue", "red_to_green", "blue_to_green", "saturation"),
    ),
}
"""Probe -> what it sees, and the measured values that it is given."""

WORDS_OF: Final[Mapping[str, Mapping[str, str]]] = {
    "dermatology": {"artefacts": "hairs, rulers, black borders and overexposed spots"}
}
"""Field that a recipe states -> what a probe sees in the words of that field."""

THUMBNAILS: Final[Mapping[str, str]] = {
    "surroundings": "a blurred 8x8 thumbnail with its center grayed out",
    "thumbnail": "a blurred 8x8 thumbnail of the whole image",
}

STEPS: Final[Mapping[str, float]] = {
    **dict.fromkeys(
        ("red", "green", "blue", "saturation", "noise", "border0", "border1", "border2", "border_deviation", "corners"),
        1.0,
    ),
    **dict.fromkeys(("sharpness_fine", "sharpness_middle", "sharpness_coarse", "fine_to_coarse", "blockiness"), 0.05),
    **dict.fromkeys(("red_to_green", "blue_to_green", "aspect", "bytes_per_pixel", "ruler"), 0.01),
    **dict.fromkeys(("hair", "black_border", "overexposed", "underexposed"), 0.002),
}
"""Values that differ by less than such a step count as equal: a model that sees 8-bit pixels cannot use the rest."""


def point_to_trial(findings: Iterable[Finding], reference: str) -> tuple[Finding, ...]:
    """Return the findings; where the advice is a remedy that was not tried, it includes the command that tries it.

    Parameters
    ----------
    findings : iterable of Finding
    reference : str
        ``name@v<n>``.
    """
    untried = {f"shortcut-{name}" for name in REMEDIED}
    return tuple(
        replace(each, facts={**each.facts, "trial": reference}) if each.id in untried else each for each in findings
    )


def probe_shortcuts(
    measured: Measured, folds: Folds | NoFolds | None = None, *, domain: str | None = None
) -> tuple[Probe, ...]:
    """Return the result of every probe; where the images cannot be cut into folds, each carries the reason.

    Parameters
    ----------
    measured : Measured
    folds : Folds or NoFolds, optional
        The result of ``cut_folds`` for the readable images, where it is known already.
    domain : str, optional
        The field that the recipe states.
    """
    words_of = WORDS_OF.get(domain or "", {})
    found = _probe_all(measured, folds)
    return tuple(replace(each, looks_at=words_of.get(each.name, each.looks_at)) for each in found)


def _probe_all(measured: Measured, folds: Folds | NoFolds | None) -> tuple[Probe, ...]:
    readable = measured.readable
    folds = cut_folds(readable) if folds is None else folds
    if isinstance(folds, NoFolds):
        return tuple(Probe(name=name, looks_at=text, why_not=str(folds)) for name, text in _every_probe())
    cells = measured.color.reshape(-1, 8, 2, 8, 2, 3).astype(np.float64).mean(axis=(2, 4)).round()
    outside = np.ones((8, 8), np.bool_)
    outside[2:6, 2:6] = False
    found = [_probe_columns(readable, folds, name) for name in COLUMNS]
    for name, seen in (("surroundings", cells[:, outside]), ("thumbnail", cells)):
        found.append(probe(seen.reshape(len(cells), -1), folds, name=name, looks_at=THUMBNAILS[name]))
    return tuple(found)


def _every_probe() -> list[tuple[str, str]]:
    return [*((name, text) for name, (text, _) in COLUMNS.items()), *THUMBNAILS.items()]


def _probe_columns(readable: pl.DataFrame, folds: Folds, name: str) -> Probe:
    looks_at, columns = COLUMNS[name]
    values: NDArray[np.float64] = readable.select(pl.col(columns).cast(pl.Float64)).to_numpy()
    steps = np.array([STEPS.get(column, 1.0) for column in columns])
    features = np.round(values / steps)
    return probe(features, folds, name=name, looks_at=looks_at)


def find_shortcuts(measured: Measured, probes: tuple[Probe, ...]) -> AuditPart:
    """Return the shortcuts that the probes show, and whether each class has sources of its own."""
    classes = measured.table["label"].n_unique()
    findings = [_judge(each, len(measured.gray), classes) for each in probes]
    findings.append(_own_source(measured.table))
    measured_ones = [each for each in probes if each.auc is not None]
    if all(each is None or each.severity == "note" for each in findings):
        findings.append(_too_few(measured_ones, len(measured.gray)))
    checks = [Check(f"shortcut-{each.name}", f"label from {each.name}", str(each)) for each in probes]
    if not measured_ones and probes:
        reason = {"reason": probes[0].why_not}
        findings.append(Finding(id="shortcut-unknown", severity="warning", count=0, facts=reason))
    return AuditPart(tuple(each for each in findings if each is not None), tuple(checks))


def _figures(found: Probe) -> dict[str, float]:
    return {"auc": found.auc or 0.0, "low": found.low or 0.0, "high": found.high or 0.0}


def _judge(found: Probe, images: int, classes: int) -> Finding | None:
    if found.severity is None:
        return None
    return Finding(
        id=f"shortcut-{found.name}",
        severity=found.severity,
        count=images,
        figures=_figures(found),
        facts={"looks_at": found.looks_at, "label": found.label, **({"classes": classes} if classes > 2 else {})},
    )


def _too_few(probes: Sequence[Probe], images: int) -> Finding | None:
    """Return the finding that so few images rule no strong shortcut out: no finding would read as praise."""
    wide = [each for each in probes if each.is_wide]
    if not wide:
        return None
    best = max(wide, key=lambda each: (each.high or 0, each.auc or 0))
    return Finding(
        id="shortcut-unknown",
        severity="warning",
        count=images,
        figures=_figures(best),
        facts={"looks_at": best.looks_at},
    )


def _own_source(table: pl.DataFrame) -> Finding | None:
    """Return the finding that no source has more than one class: camera and class then coincide."""
    pairs = table.select("source", "label").unique().drop_nulls()
    sources = pairs.group_by("source").agg(pl.col("label").sort()).sort("source")
    if pairs["label"].n_unique() < 2 or sources["label"].list.len().max() != 1:
        return None
    return Finding(
        id="shortcut-source",
        severity="error",
        count=table.height,
        facts={"pairs": [[labels[0], source] for source, labels in sources.rows()]},
    )
