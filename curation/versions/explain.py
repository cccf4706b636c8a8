"""Explains one image: where it comes from, its duplicates, and why it is kept or excluded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from curation.dataset.columns import Metadata
from curation.dataset.decisions import CONTEXT, describe_actions
from curation.dataset.layout import Home
from curation.dataset.manifest import Manifest
from curation.errors import CurationError, ErrorCode
from curation.reasons import Reason, describe, describe_reason
from curation.versions.decision_history import DecisionHistory
from curation.versions.image_lookup import find_rows, near_names
from curation.versions.store import Draft, open_table

NAMED = 10
"""Duplicates and members of a group that are listed one by one."""


@dataclass(frozen=True)
class Explanation:
    """What happened to one image.

    Parameters
    ----------
    id : str
    fate : str
        ``in: <split>/<label>`` or ``out: <stage>: <reason>``.
    steps : tuple of (str, str)
        (stage, sentence), in the order of the stages; a stage may have several.
    row : mapping
        Its cells in the manifest, without nulls.
    """

    id: str
    fate: str
    steps: tuple[tuple[str, str], ...]
    row: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the explanation as JSON-able values."""
        steps = [{"step": step, "text": text} for step, text in self.steps]
        return {"id": self.id, "fate": self.fate, "steps": steps, "row": dict(self.row)}

    def __str__(self) -> str:
        """Return the explanation as lines of text."""
        return "\n".join([f"{self.id}: {self.fate}", *(f"  {step:<8}{text}" for step, text in self.steps)])


def explain(home: Home, reference: str, query: str) -> tuple[Explanation, ...]:
    """Explain every image that ``query`` names, sorted by id.

    Parameters
    ----------
    reference : str
        A version, or a draft (``name@draft``).
    query : str
        An id, a path in a source or its end, a file name with or without its suffix, the first 4 or more digits of a
        sha256, or a published file.

    Raises
    ------
    CurationError
        Where nothing matches; the hint has similar names.
    """
    table = open_table(home, reference)
    rows = table.manifest.rows
    found = find_rows(rows, query)
    if not found.height:
        near = near_names(rows, query)
        raise CurationError(
            ErrorCode.IMAGE_MISSING,
            f"{reference}: no image is named {query!r}",
            hint=f"Did you mean {' or '.join(near)}?" if near else "Give a file name, a path, an id or a sha256.",
        )
    stopped = table.stage if isinstance(table, Draft) else None
    history = DecisionHistory.read(home, table.name, table.folder)
    return tuple(_explain_row(row, table.manifest, history, stopped=stopped) for row in found.iter_rows(named=True))


def _explain_row(
    row: dict[str, Any], manifest: Manifest, history: DecisionHistory, *, stopped: str | None
) -> Explanation:
    decided = [("decide", sentence) for sentence in history.about(row["sha256"])]
    steps = [
        *_origin(row, manifest.metadata),
        *_label(row),
        *decided,
        *_likeness(row, manifest.rows),
        *_end(row, stopped),
    ]
    cells = {column: value for column, value in row.items() if value is not None}
    return Explanation(id=row["id"], fate=_fate(row), steps=tuple(steps), row=cells)


def _fate(row: Mapping[str, Any], *, seen_from: str | None = None) -> str:
    if row["excluded_by"] is not None:
        detail = "this one" if row["detail"] is not None and row["detail"] == seen_from else row["detail"]
        return f"out: {describe(row['excluded_by'], row['reason'], detail)}"
    return f"in: {row['split'] or 'no split yet'}/{_class(row)}"


def _class(row: Mapping[str, Any]) -> str:
    if row["label"] is not None:
        return str(row["label"])
    return f"context:{row['source_label']}" if row["source_label"] else "no label"


def _origin(row: Mapping[str, Any], metadata: Sequence[Metadata]) -> Iterator[tuple[str, str]]:
    facts = [f"{row['size_bytes']:,} bytes"] if row["size_bytes"] is not None else []
    facts += [f"sha256 {row['sha256'][:12]}"] if row["sha256"] else ["no bytes could be read"]
    facts += [f"licence {row['licence']}"] if row["licence"] else []
    yield "ingest", f"{row['path']} of {row['source']}: {', '.join(facts)}"
    known = [f"{column.name} {row[column.name]}" for column in metadata if row[column.name] is not None]
    if known:
        yield "ingest", f"metadata: {', '.join(known)}"
    if row["format"] is None and row["width"] is None:
        return
    facts = [f"{row['width']} x {row['height']} px"] if row["width"] is not None else []
    facts += [f"{row['mode']}, {row['bits']} bits"] if row["mode"] and row["bits"] else []
    facts += [f"page {row['page']} of {row['pages']}"] if (row["pages"] or 1) > 1 else []
    facts += [f"EXIF orientation {row['orientation']}"] if (row["orientation"] or 1) > 1 else []
    names = ("sharpness", "brightness", "contrast")
    facts += [f"{name} {row[name]:.1f}" for name in names if row[name] is not None]
    yield "probe", ": ".join(filter(None, [row["format"] or "unknown format", ", ".join(facts)]))


def _label(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    origin = f"source label {row['source_label']!r}" if row["source_label"] else "no source label"
    actions = row["decision"] or ()
    if any(
        str(each["label"] or "").startswith(CONTEXT) for each in actions
    ):  # the source's own word has given way to the decision's
        origin = f"{row['source_label']!r} by a decision"
    means = f"class {row['label']}" if row["label"] else "not a class of the recipe"
    own = f"; split of the source {row['source_split']}" if row["source_split"] else ""
    yield "label", f"{origin}: {means}{own}"
    if shown := describe_actions(actions):
        yield "decide", shown


def _likeness(row: Mapping[str, Any], rows: pl.DataFrame) -> Iterator[tuple[str, str]]:
    alike = list(row["lookalikes"] or ())
    # Exact duplicates are stored as a star around one of them, so the others are counted by their bytes.
    same = rows.filter((pl.col("sha256") == (row["sha256"] or "")) & (pl.col("id") != row["id"]))
    same = same.filter(pl.col("page").fill_null(1) == (row["page"] or 1))
    count = len({other["id"] for other in alike} | set(same["id"]))
    if count:
        yield "dedup", f"{count} direct {'duplicate' if count == 1 else 'duplicates'}"
    fates = rows.filter(pl.col("id").is_in([other["id"] for other in alike[:NAMED]]))
    by_id = {other["id"]: other for other in fates.iter_rows(named=True)}
    for other in alike[:NAMED]:
        theirs = by_id.get(other["id"])
        fate = f"{_class(theirs)}, {_fate(theirs, seen_from=row['id'])}" if theirs else "not in the manifest"
        yield "dedup", f"{_how(other)} {other['id']} ({fate})"
    if count > NAMED:
        yield "dedup", f"and {count - NAMED} more"
    if row["representative"] and row["representative"] != row["id"]:
        measured = row["reason"] == Reason.NEAR_DUPLICATE and row["correlation"] is not None
        how = f" ({row['distance']} bits, correlation {row['correlation']:.3f}{_most(row)})" if measured else ""
        yield "dedup", f"represented by {row['representative']}{how}"
    elif row["representative"]:
        yield "dedup", "represents its duplicates"
    yield from _group(row, rows)
    if row["claims"]:
        state = "disputed" if row["disputed"] else "settled by a decision"
        yield "dedup", f"{state}: it and its duplicates have the labels {', '.join(row['claims'])}"


def _most(row: Mapping[str, Any]) -> str:
    """Return the largest local difference of a near duplicate from its representative; nothing of older versions."""
    if row["difference"] is None:
        return ""
    return f", largest local difference {row['difference']:.2f} of the calibrated limit"


def _how(other: Mapping[str, Any]) -> str:
    if other["kind"] != "near":
        return "same bytes as" if other["kind"] == "exact" else f"{other['kind']} as"
    # This imports numpy, which only the orientations of near duplicates need.
    from curation.hashing import SYMMETRIES

    turned = f", {SYMMETRIES[other['symmetry']]}" if other["symmetry"] else ""
    return f"near ({other['distance']} bits, correlation {other['correlation']:.3f}{turned}):"


def _group(row: Mapping[str, Any], rows: pl.DataFrame) -> Iterator[tuple[str, str]]:
    if row["group"] is None:
        return
    members = rows.filter((pl.col("group") == row["group"]) & (pl.col("id") != row["id"]))
    if members.height:
        named = [f"{other['id']} ({_class(other)})" for other in members.head(NAMED).iter_rows(named=True)]
        first = ", ".join(named) + (", ..." if members.height > NAMED else "")
        key = f", group key {row['group_key']!r}" if row["group_key"] else ""
        yield "dedup", f"group {row['group'][:12]} of {members.height + 1}{key}: with {first}"


def _end(row: Mapping[str, Any], stopped: str | None) -> Iterator[tuple[str, str]]:
    if row["excluded_by"] is not None:
        yield row["excluded_by"], f"out: {describe_reason(row['reason'], row['detail'])}"
        return
    if row["split"]:
        doubt = ", as reserve (disputed)" if row["reserve"] else ""
        yield "select", f"in {row['split']} as {row['label']}{doubt}"
    if row["file"]:
        yield "render", f"{row['file']} (sha256 {str(row['file_sha256'])[:12]})"
    if stopped:
        yield "draft", f"kept until the build stopped at {stopped}"
