"""What changed between two published versions, image by image, and why."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import polars as pl

from curation.dataset.decisions import describe_actions
from curation.dataset.layout import Home
from curation.dataset.manifest import Manifest, comparable_decision
from curation.errors import CurationError
from curation.reasons import VARYING, Reason, describe
from curation.versions.store import chosen, find, load, parse_reference
from curation.versions.version_index import fill_extra, same_rendering, split_table

Kind = Literal["added", "removed", "moved", "relabelled"]
Key = tuple[str, int]
COLUMNS = ("id", "path", "source_label", "source_split", "decision", "reserve", "excluded_by", "reason", "detail")
SHOWN = 20


@dataclass(frozen=True)
class Change:
    """One image that the two versions treat differently.

    Parameters
    ----------
    kind : str
        ``added``, ``removed``, ``moved`` (to another split) or ``relabelled`` (whatever its split).
    sha256, page : str, int
        The image.
    id : str, optional
        Its id, where the files of a version that contains it are on this machine.
    before, after : str, optional
        ``split/label`` in the one and the other version.
    why : str
        The reason in words.
    cause : str
        The same without what differs from image to image, to count by.
    """

    kind: Kind
    sha256: str
    page: int
    id: str | None
    before: str | None
    after: str | None
    why: str
    cause: str


class _Why(NamedTuple):
    """A reason in words, in full and without what differs from image to image."""

    text: str
    cause: str


@dataclass(frozen=True)
class Diff:
    """What changed from ``before`` to ``after``.

    Parameters
    ----------
    before, after : str
        The two versions, as ``name@v<n>``.
    changes : tuple of Change
        Sorted by kind, then by split and label before and after, then by sha256 and page.
    unchanged : int
        Images with the same split and label in both.
    notes : tuple of str
        Another dataset, rendering or recipe, and files that are not on this machine.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    unchanged: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON-able values, the changes under their kinds."""
        kinds = {kind: [asdict(change) for change in self.changes if change.kind == kind] for kind in get_args(Kind)}
        return {
            "before": self.before,
            "after": self.after,
            **kinds,
            "unchanged": self.unchanged,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Return the difference as lines of text: each kind by its reasons, and its first images."""
        return self.describe()

    def describe(self, *, shown: int | None = SHOWN) -> str:
        """Return the difference as lines of text, with up to ``shown`` images of each kind (None: all)."""
        counts = Counter(change.kind for change in self.changes)
        summary = ", ".join(f"{counts[kind]} {kind}" for kind in get_args(Kind))
        lines = [f"{self.before} -> {self.after}: {summary}, {self.unchanged} unchanged"]
        for kind in get_args(Kind):
            own = [change for change in self.changes if change.kind == kind]
            reasons = Counter(change.cause for change in own)
            lines += [f"  {count} {kind}: {why}" for why, count in sorted(reasons.items(), key=lambda each: -each[1])]
            for change in own[:shown]:
                places = " -> ".join(place for place in (change.before, change.after) if place)
                lines.append(f"    {change.id or change.sha256[:12]} ({places}): {change.why}")
            if shown is not None and counts[kind] > shown:
                lines.append(f"    ... and {counts[kind] - shown} more (-v names all)")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class _Side:
    """One of the two versions: its published split and, where its files are on this machine, its manifest."""

    name: str
    reference: str
    rendering: Mapping[str, object]
    recipe_digest: str
    places: Mapping[Key, tuple[str, str, str]]
    """(split, label, group) of every kept image."""
    earlier: Mapping[Key, tuple[str, ...]]
    """The sha256 that images had in versions before, where they have other bytes now."""
    seen: Mapping[Key, tuple[dict[str, Any], ...]] | None
    """Every row of a changed image; None where the files are not on this machine."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of images that have other bytes in the other version -> the sha256 by which both are compared."""

    def row(self, key: Key) -> dict[str, Any] | None:
        """Return the kept row of an image, else the excluded one whose reason is its own."""
        rows = (self.seen or {}).get(key, ())
        # An exact duplicate refers to the other row of the same sha256, which has the reason.
        return min(rows, key=lambda row: (row["reason"] == Reason.EXACT_DUPLICATE, row["id"]), default=None)


def diff(home: Home, before: str, after: str) -> Diff:
    """Compare two published versions by their splits in git; the reasons come from the manifests on this machine.

    Raises
    ------
    CurationError
        Where one of them was not published, or its split is missing or changed.
    """
    one, other = _align(_open(home, before), _open(home, after))
    keys = _changed(one, other)
    return _describe(_with_rows(home, one, keys), _with_rows(home, other, keys), keys)


def diff_plan(home: Home, name: str, rows: Manifest, *, rendering: Mapping[str, object], recipe_digest: str) -> Diff:
    """Compare the newest published version with what a build would publish now.

    Parameters
    ----------
    rows : Manifest
        After select.
    rendering : mapping
        The recipe's.
    recipe_digest : str

    Raises
    ------
    CurationError
        Where nothing was published.
    """
    table = fill_extra(split_table(rows.kept)).drop("earlier").hstack([_earlier(rows.kept)])
    planned = _make_side(name, f"{name} (planned)", rendering, recipe_digest, table)
    one, other = _align(_open(home, name), planned)
    keys = _changed(one, other)
    return _describe(_with_rows(home, one, keys), _add_rows(other, rows.rows, keys), keys)


def _earlier(kept: pl.DataFrame) -> pl.Series:
    return kept.with_columns(pl.col("page").fill_null(1)).sort("sha256", "page")["earlier_sha256"].alias("earlier")


def _align(one: _Side, other: _Side) -> tuple[_Side, _Side]:
    """Give the images of two versions one sha256 where one version states what they were in the other."""
    return _rename(one, other), _rename(other, one)


def _rename(side: _Side, other: _Side) -> _Side:
    names: dict[str, str] = {}
    for (sha, page), earlier in side.earlier.items():
        known = [before for before in earlier if (before, page) in other.places]
        if known and (sha, page) not in other.places:
            names[sha] = known[-1]
    places = {(names.get(sha, sha), page): place for (sha, page), place in side.places.items()}
    return replace(side, names=names, places=places)


def _changed(one: _Side, other: _Side) -> list[Key]:
    return sorted(
        key
        for key in {*one.places, *other.places}
        if one.places.get(key, ("", ""))[:2] != other.places.get(key, ("", ""))[:2]
    )


def _describe(one: _Side, other: _Side, keys: list[Key]) -> Diff:
    order = get_args(Kind)
    changes = sorted(
        (_compare(key, one, other) for key in keys),
        key=lambda change: (order.index(change.kind), change.before or "", change.after or ""),
    )
    return Diff(
        before=one.reference,
        after=other.reference,
        changes=tuple(changes),
        unchanged=len({*one.places, *other.places}) - len(keys),
        notes=tuple(_notes(one, other)),
    )


def _open(home: Home, reference: str) -> _Side:
    line = find(home, reference)
    full = f"{parse_reference(reference).name}@v{line.version}"
    name = parse_reference(reference).name
    return _make_side(name, full, line.rendering, line.recipe_digest, fill_extra(chosen(home, full)))


def _make_side(
    name: str, reference: str, rendering: Mapping[str, object], recipe_digest: str, table: pl.DataFrame
) -> _Side:
    columns = table.select("sha256", "page", "split", "label", "group")
    renewed = table.filter(pl.col("earlier").is_not_null()).select("sha256", "page", "earlier").rows()
    return _Side(
        name,
        reference,
        rendering,
        recipe_digest,
        {(row[0], row[1]): (row[2], row[3], row[4]) for row in columns.rows()},
        {(sha, page): tuple(earlier.split(" ")) for sha, page, earlier in renewed},
        None,
    )


def _with_rows(home: Home, side: _Side, keys: list[Key]) -> _Side:
    try:
        rows = load(home, side.reference).manifest.rows
    except CurationError:
        return side
    return _add_rows(side, rows, keys)


def _add_rows(side: _Side, rows: pl.DataFrame, keys: list[Key]) -> _Side:
    """Return the side with every row of the changed images."""
    own = {shared: sha for sha, shared in side.names.items()}
    rows = rows.filter(pl.col("sha256").is_in([own.get(sha256, sha256) for sha256, _ in keys]))
    seen: dict[Key, tuple[dict[str, Any], ...]] = {}
    for row in rows.select(
        "sha256", pl.col("page").fill_null(1), *COLUMNS, comparable_decision().alias("compared")
    ).iter_rows(named=True):
        key = (side.names.get(row["sha256"], row["sha256"]), row["page"])
        seen[key] = (*seen.get(key, ()), row)
    return replace(side, seen=seen)


def _notes(one: _Side, other: _Side) -> Iterator[str]:
    if one.name != other.name:
        yield f"{one.name} and {other.name} are two datasets: these are their differences"
    if renewed := len(one.names) + len(other.names):
        yield f"{renewed} {'image has' if renewed == 1 else 'images have'} new bytes and count as the same"
    if not same_rendering(one.rendering, other.rendering):
        yield "the images are rendered differently"
    if one.recipe_digest != other.recipe_digest:
        yield "the recipe changed"
    for side in (one, other):
        if side.seen is None:
            yield f"the files of {side.reference} are not on this machine, so its reasons are unknown"


def _compare(key: Key, one: _Side, other: _Side) -> Change:
    before, after = one.places.get(key), other.places.get(key)
    row = other.row(key) or one.row(key)
    kind: Kind
    if before is None:
        kind, why = "added", _why_added(key, one, other)
    elif after is None:
        kind, why = "removed", _why_removed(key, other)
    elif before[1] != after[1]:
        kind, why = "relabelled", _why_relabelled(key, one, other)
    else:
        kind, why = "moved", _why_moved(key, one, other)
    return Change(
        kind=kind,
        sha256=key[0],
        page=key[1],
        id=row["id"] if row else None,
        before="/".join(before[:2]) if before else None,
        after="/".join(after[:2]) if after else None,
        why=why.text,
        cause=why.cause,
    )


def _same(text: str) -> _Why:
    return _Why(text, text)


def _why_added(key: Key, one: _Side, other: _Side) -> _Why:
    old, new = one.row(key), other.row(key)
    if one.seen is None:
        why = _same(f"unknown: the files of {one.reference} are not on this machine")
    elif old is None:
        cause = "a new file" + (" of the sources" if new else "")
        why = _Why(f"{cause} ({new['path']})" if new else cause, cause)
    elif old["excluded_by"] is None:
        why = _same(f"not chosen for {one.reference}")
    else:
        out = _excluded(old)
        why = _Why(f"excluded from {one.reference}: {out.text}", f"excluded from {one.reference}: {out.cause}")
    if decided := _new_decision(old, new):
        why = _Why(f"{why.text}; {decided.text}", f"{why.cause}; {decided.cause}")
    if new and new["reserve"]:
        why = _Why(f"{why.text}; used although disputed", f"{why.cause}; used although disputed")
    return why


def _why_removed(key: Key, other: _Side) -> _Why:
    new = other.row(key)
    if other.seen is None:
        return _same(f"unknown: the files of {other.reference} are not on this machine")
    return _excluded(new) if new else _same("its file is no longer among the sources")


def _excluded(row: Mapping[str, Any]) -> _Why:
    step, reason, detail = row["excluded_by"], row["reason"], row["detail"]
    return _Why(describe(step, reason, detail), describe(step, reason, None if reason in VARYING else detail))


def _new_decision(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> _Why | None:
    """Return the decision on an image where the older version does not have the same one."""
    if not new or not new["decision"] or (old is not None and new["compared"] == old["compared"]):
        return None
    return _Why(*(f"decided: {describe_actions(new['decision'], with_reviewers=full)}" for full in (True, False)))


def _why_relabelled(key: Key, one: _Side, other: _Side) -> _Why:
    old, new = one.row(key), other.row(key)
    if decided := _new_decision(old, new):
        return decided
    if old and new and old["source_label"] != new["source_label"]:
        return _same(f"the source's label changed from {old['source_label']!r} to {new['source_label']!r}")
    if old and new and old["decision"] and not new["decision"]:
        shown = (describe_actions(old["decision"], with_reviewers=full) for full in (True, False))
        return _Why(*(f"a decision was undone: {each}" for each in shown))
    if one.recipe_digest != other.recipe_digest:
        return _same("the recipe changed" + ("" if old and new else ", as far as the splits show"))
    return _same("unknown: the files of both versions are needed")


def _why_moved(key: Key, one: _Side, other: _Side) -> _Why:
    old, new = one.row(key), other.row(key)
    if old and new and old["source_split"] != new["source_split"]:
        return _same(f"the source's own split changed from {old['source_split']} to {new['source_split']}")
    if one.places[key][2] != other.places[key][2]:
        groups = f"{one.places[key][2][:12]} is now {other.places[key][2][:12]}"
        return _Why(f"its group changed ({groups})", "its group changed")
    if decided := _new_decision(old, new):
        return decided
    if one.recipe_digest != other.recipe_digest:
        return _same("the recipe changed")
    return _same("the draw changed with the other images")
