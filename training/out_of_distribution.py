"""Judges a model on images of classes that it was not trained on: those that a version sets aside as context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curation.dataset.manifest import has_reason
from curation.errors import CurationError
from curation.images import DecodeFailure, RenderSettings, Tone, Window, render
from curation.images.camera import Side
from curation.reasons import Reason
from curation.versions import Version
from curation.versions.originals import Originals
from training.data import Frames, read_frame
from training.evaluate import LED_THRESHOLD, Probabilities, Rate, share_of


@dataclass(frozen=True)
class Context:
    """Images of labels that are not a class, rendered as the version's own images were.

    Parameters
    ----------
    table : polars.DataFrame
        Columns id, sha256, page, source, source_label; sorted by id.
    frames : (n, 144, 144, 3) uint8 ndarray
        Before RGB565, as ``training.data.Samples`` has them.
    left_out : int
        Context images whose archive was not found, or that do not decode.
    """

    table: pl.DataFrame
    frames: Frames
    left_out: int


@dataclass(frozen=True)
class Alarms:
    """How often the board would warn of images of a class that it was not trained on."""

    source_label: str
    alarms: Rate
    blinking: Rate


def list_context(version: Version) -> pl.DataFrame:
    """Return a version's context rows: read and compared, but of no class; duplicates are not among them."""
    rows = version.manifest.rows.filter(has_reason(Reason.CONTEXT_CLASS))
    return rows.select("id", "sha256", "page", "source", "source_label")


def read_context(version: Version, originals: Originals, *, side: Side) -> Context:
    """Read the context images whose archives were found.

    A context image is processed as a published one was (decoded, scaled, encoded, decoded), so that the net cannot
    recognize it by its encoding.
    """
    rows = list_context(version)
    settings, tone = rendering_of(version)
    kept, frames = [], []
    for row in rows.iter_rows(named=True):
        try:
            content = originals.read(row["id"], page=row["page"] or 1, sha256=row["sha256"])
            rendered = render(content, settings, tone=tone, page=row["page"] or 1)
            frame, _ = read_frame(rendered, side=side, name=row["id"])
        except (CurationError, DecodeFailure):
            continue
        kept.append(row)
        frames.append(frame)
    table = pl.DataFrame(kept, schema=rows.schema)
    return Context(table, np.stack(frames) if frames else np.empty((0, 144, 144, 3), np.uint8), rows.height - len(kept))


def rendering_of(version: Version) -> tuple[RenderSettings, Tone]:
    """Return how a version's images were rendered, from its description."""
    described: dict[str, Any] = dict(version.description["rendering"])
    tone: Tone = "scale" if described["tone"] == "scale" else Window(**described["tone"])
    return RenderSettings(**described["render"]), tone


def judge_context(labels: Sequence[str], probabilities: Probabilities, *, alarm: int) -> tuple[Alarms, ...]:
    """Return how often each class that was not trained on gets the alarm, the most frequent class first.

    Parameters
    ----------
    labels : sequence of str, length n
        Source labels.
    probabilities : (n, classes) float32 ndarray
    alarm : int
        Index of the alarm class.
    """
    names = np.array(labels)
    found = []
    for name in sorted(set(labels)):
        inside = probabilities[names == name]
        found.append(Alarms(name, share_of(inside.argmax(axis=1) == alarm), share_of(inside[:, alarm] > LED_THRESHOLD)))
    return tuple(sorted(found, key=lambda alarms: -(alarms.alarms.share or 0.0)))
