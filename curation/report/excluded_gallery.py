"""Gathers what a page shows of excluded images: the originals, and the pairs around the threshold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from curation.dataset.borderline import Borderline
from curation.dataset.manifest import Manifest, is_excluded_by
from curation.dataset.recipe import Recipe
from curation.errors import CurationError
from curation.hashing import Fingerprints, correlation, oriented_pairs_within, pairs_within, representatives
from curation.images import DecodeFailure, decode
from curation.reasons import Reason, describe_reason
from curation.report.summary import find_conflicts
from curation.report.tiles import fit_tile
from curation.stages.probe import tone_of
from curation.storage.archive_index import file_of
from curation.storage.archive_members import UnreadableMember

SIDE: Final = 88
MAX_CLUSTERS: Final = 24
MAX_CONFLICTS: Final = 24
MAX_UNREADABLE: Final = 200
SAMPLED: Final = 3
"""Pairs that are shown for each distance."""
BEYOND: Final = 4
"""Bits beyond the recipe's radius up to which pairs are counted, to show what a larger radius would find."""
MAX_RADIUS: Final = 16
MAX_EQUAL_PAIRS: Final = 20_000
"""With more pairs of equal hashes (blank images, for example) each is paired with the first of them only."""
MAX_COMPARED: Final = 4_000
"""Of more files only these, in the order of their sha256, are compared for the calibration."""

MAX_JUDGED: Final = 5000
"""Where more pairs correlate, only those among fewer files are counted: half of them, a quarter, and so on."""

Pairing: TypeAlias = Literal["all", "first-of-equal", "confirmed"]
"""Which pairs are counted: all of different bytes; of equal hashes only those with the first; or the confirmed ones."""

PAIRS: Final = {
    "one": pl.String(),
    "other": pl.String(),
    "distance": pl.UInt8(),
    "correlation": pl.Float64(),
    "same": pl.Boolean(),
}

Read = Callable[[str, str], bytes]
"""(id, sha256) -> the original file's bytes; raises CurationError, UnreadableMember or KeyError."""


@dataclass(frozen=True)
class Duplicate:
    """An excluded duplicate: its id, the kind of duplicate in words, and of a near one bits and correlation."""

    id: str
    kind: str
    distance: int = 0
    correlation: float | None = None

    def __str__(self) -> str:
        """Return kind and measurements in words."""
        if self.correlation is None:
            return self.kind
        return f"{self.kind}: {self.distance} bits, correlation {self.correlation:.3f}"


@dataclass(frozen=True)
class Cluster:
    """The image that represents a group of duplicates, and the excluded ones."""

    representative: str
    duplicates: tuple[Duplicate, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The excluded images and the pairs that a page shows.

    Parameters
    ----------
    tiles : mapping of str to PIL.Image.Image
        Id -> the original, 88x88.
    pairs : polars.DataFrame
        Pairs of files within some bits: ``one``, ``other``, ``distance``, ``correlation``, ``same``.
    pairing : {"all", "first-of-equal", "confirmed"}
        Which pairs these are.
    """

    tiles: Mapping[str, Image.Image] = field(default_factory=dict)
    pairs: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAIRS))
    pairing: Pairing = "confirmed"


def gather_evidence(
    manifest: Manifest,
    recipe: Recipe,
    *,
    read: Read | None,
    fingerprints: Fingerprints | None = None,
    borderline: Borderline | None = None,
) -> Evidence:
    """Gather what a page shows of the excluded images.

    Parameters
    ----------
    read : function of (id, sha256) to bytes, optional
        Reads an original; without it the page shows no excluded image.
    fingerprints : Fingerprints, optional
        Aligned with the rows; without them the calibration contains the confirmed pairs only.
    borderline : Borderline, optional
        The pairs that are nearly the same.
    """
    if fingerprints is not None:
        pairs, pairing = find_pairs(manifest, fingerprints, recipe)
    else:
        pairs, pairing = read_confirmed_pairs(manifest), "confirmed"
    wanted = [name for cluster in find_clusters(manifest)[:MAX_CLUSTERS] for name in _members(cluster)]
    wanted += [conflict.ids[0] for conflict in find_conflicts(manifest.rows)[:MAX_CONFLICTS]]
    wanted += find_disputed(manifest)[:MAX_CONFLICTS]
    sampled = sample_pairs(pairs)
    wanted += [*sampled["one"], *sampled["other"]]
    wanted += [name for pair in (borderline or Borderline()).pairs for name in (pair.id, pair.other)]
    return Evidence(dict(_tiles(manifest, sorted(set(wanted)), recipe, read)), pairs, pairing)


def find_disputed(manifest: Manifest) -> list[str]:
    """Return the ids that are disputed through a near duplicate with other bytes, and those near duplicates."""
    rows = manifest.rows.filter(pl.col("disputed") & ~pl.col("sha256").is_duplicated()).sort("id")
    near = [like["id"] for likes in rows["lookalikes"].drop_nulls().to_list() for like in likes]
    return sorted({*rows["id"], *near})


def find_clusters(manifest: Manifest) -> tuple[Cluster, ...]:
    """Return the groups of duplicates, those with the least similar members first."""
    rows = manifest.rows.filter(is_excluded_by("dedup") & pl.col("representative").is_not_null()).sort("id")
    found: dict[str, list[tuple[Duplicate, int]]] = {}
    for name, representative, reason, distance, like in rows.select(
        "id", "representative", "reason", "distance", "correlation"
    ).iter_rows():
        how, near = describe_reason(reason), reason == Reason.NEAR_DUPLICATE
        duplicate = Duplicate(name, how, distance or 0, like if near else None)
        found.setdefault(representative, []).append((duplicate, (distance or 0) + near))
    ranked = sorted(found.items(), key=lambda cluster: (-max(rank for _, rank in cluster[1]), cluster[0]))
    return tuple(Cluster(name, tuple(duplicate for duplicate, _ in others)) for name, others in ranked)


def find_pairs(
    manifest: Manifest, fingerprints: Fingerprints, recipe: Recipe, *, max_equal_pairs: int = MAX_EQUAL_PAIRS
) -> tuple[pl.DataFrame, Pairing]:
    """Return the pairs within the recipe's radius and some bits beyond, each with its correlation; and which they are.

    Parameters
    ----------
    manifest : Manifest
    fingerprints : Fingerprints
        Aligned with the rows.
    recipe : Recipe
    max_equal_pairs : int
        With more pairs of equal hashes each file is paired with the first of them only.
    """
    rule = recipe.duplicates
    usable = manifest.rows.with_row_index("row").filter(pl.col("phash").is_not_null() & ~pl.col("flat").fill_null(True))
    usable = usable.unique("sha256", keep="first", maintain_order=True).sort("sha256").head(MAX_COMPARED).sort("row")
    rows = usable["row"].to_numpy().astype(np.int64)
    turned = rule.symmetries and rule.hash == "phash"
    hashes = fingerprints.symmetries[rows] if turned else fingerprints.symmetries[rows, 0].copy()
    first = representatives(hashes)
    clumped = np.bincount(first, minlength=1)
    few = int((clumped * (clumped - 1) // 2).sum()) <= max_equal_pairs
    found = _search(hashes, min(MAX_RADIUS, rule.radius + BEYOND), keys=np.arange(len(rows)) if few else None)
    one, other, distance, symmetry = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not few:
        behind = np.flatnonzero(first != np.arange(len(first)))
        none = np.zeros(len(behind), np.uint8)
        one, other = np.concatenate([one, first[behind]]), np.concatenate([other, behind])
        distance, symmetry = np.concatenate([distance, none]), np.concatenate([symmetry, none])
    one, other = rows[one], rows[other]
    alike = correlation(fingerprints.thumbnails[one], fingerprints.thumbnails[other], symmetry)
    ids = manifest.rows["id"]
    within = _within_fewer_files(manifest.rows["sha256"], one, other, alike >= rule.correlation)
    one, other, distance, symmetry, alike = (
        one[within],
        other[within],
        distance[within],
        symmetry[within],
        alike[within],
    )
    same = alike >= rule.correlation
    differs = fingerprints.local_difference(one[same], other[same], symmetry[same], tolerance=rule.tolerance)
    same[same] = differs <= rule.tolerance
    table = {
        "one": ids.gather(one),
        "other": ids.gather(other),
        "distance": distance,
        "correlation": alike,
        "same": same,
    }
    return pl.DataFrame(table, schema=PAIRS).sort("distance", "one", "other"), "all" if few else "first-of-equal"


def _within_fewer_files(
    shas: pl.Series, one: NDArray[np.int64], other: NDArray[np.int64], alike: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return the pairs among so many files, in the order of their sha256, that few enough have to be judged."""
    rank = shas.rank("ordinal").fill_null(0).to_numpy()
    last = np.maximum(rank[one], rank[other])
    most = int(last.max(initial=0))
    while int((alike & (last <= most)).sum()) > MAX_JUDGED:
        most //= 2
    return np.flatnonzero(last <= most)


def _search(
    hashes: NDArray[np.uint64], radius: int, *, keys: NDArray[np.int64] | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return batches of (one, other, distance, symmetry), the first of them empty."""
    search = oriented_pairs_within if hashes.ndim > 1 else pairs_within
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint8))
    batches = search(hashes, radius, keys=keys, threads=1)
    return [empty, *((pairs.i, pairs.j, pairs.distance, pairs.symmetry) for pairs in batches)]


def read_confirmed_pairs(manifest: Manifest) -> pl.DataFrame:
    """Return the pairs that the build confirmed, from the manifest alone."""
    rows = manifest.rows.select(pl.col("id").alias("one"), "lookalikes").drop_nulls()
    edges = rows.explode("lookalikes", empty_as_null=True).unnest("lookalikes")
    kept = edges.filter(pl.col("one") < pl.col("id")).select(
        "one", pl.col("id").alias("other"), "distance", pl.col("correlation").cast(pl.Float64), same=True
    )
    return kept.cast(PAIRS).sort("distance", "one", "other")  # type: ignore[arg-type]  # Polars takes a mapping of types


def sample_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return a few pairs for each distance: the least similar, the most similar and one between."""
    chosen = []
    for _, group in pairs.sort("distance", "correlation", "one", "other").group_by("distance", maintain_order=True):
        places = np.linspace(0, group.height - 1, min(SAMPLED, group.height)).round().astype(int)
        chosen.append(group[sorted(set(places.tolist()))])
    return pl.concat(chosen) if chosen else pairs


def _members(cluster: Cluster) -> Sequence[str]:
    return [cluster.representative, *(each.id for each in cluster.duplicates[:5])]


def _tiles(
    manifest: Manifest, names: Sequence[str], recipe: Recipe, read: Read | None
) -> Iterator[tuple[str, Image.Image]]:
    if read is None:
        return
    rows = manifest.rows.filter(pl.col("id").is_in(list(names)) & pl.col("format").is_not_null())
    tone = tone_of(recipe.decode.tone)
    for name, sha, page in rows.select("id", "sha256", "page").iter_rows():
        try:
            content = read(file_of(name, page or 1), sha)
            yield name, fit_tile(decode(content, scale="scaled", tone=tone, page=page or 1).pixels, SIDE)
        except (CurationError, UnreadableMember, DecodeFailure, KeyError):
            continue  # the page shows a placeholder
