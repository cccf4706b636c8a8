"""Shows the net what it was never taught: the pictures a version holds back under labels that are no class of it."""

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
from training.data import Frames, frame_of


@dataclass(frozen=True)
class Context:
    """Pictures of labels that are no class, rendered as the version's own pictures were.

    Parameters
    ----------
    table : polars.DataFrame
        Columns id, sha256, page, source, source_label; sorted by id.
    frames : (n, 144, 144, 3) uint8 ndarray
        Before RGB565, as ``training.data.Samples`` has them.
    left_out : int
        Context pictures whose archive is not here, or that do not decode.
    """

    table: pl.DataFrame
    frames: Frames
    left_out: int


def list_context(version: Version) -> pl.DataFrame:
    """Return a version's context rows: read and compared, but of no class; duplicates are not among them."""
    rows = version.manifest.rows.filter(has_reason(Reason.CONTEXT_CLASS))
    return rows.select("id", "sha256", "page", "source", "source_label")


def read_context(version: Version, originals: Originals, *, side: Side) -> Context:
    """Read the context pictures whose archives are here.

    A context picture goes the same way as a published one (decoded, scaled, encoded, decoded), so that the net cannot
    tell it by how it was written.
    """
    rows = list_context(version)
    settings, tone = rendering_of(version)
    kept, frames = [], []
    for row in rows.iter_rows(named=True):
        try:
            content = originals.read(row["id"], page=row["page"] or 1, sha256=row["sha256"])
            rendered = render(content, settings, tone=tone, page=row["page"] or 1)
            frame, _ = frame_of(rendered, side=side, name=row["id"])
        except (CurationError, DecodeFailure):
            continue
        kept.append(row)
        frames.append(frame)
    table = pl.DataFrame(kept, schema=rows.schema)
    return Context(table, np.stack(frames) if frames else np.empty((0, 144, 144, 3), np.uint8), rows.height - len(kept))


def rendering_of(version: Version) -> tuple[RenderSettings, Tone]:
    """Return how a version's pictures were written, from what it says of itself."""
    said: dict[str, Any] = dict(version.description["rendering"])
    tone: Tone = "scale" if said["tone"] == "scale" else Window(**said["tone"])
    return RenderSettings(**said["render"]), tone
