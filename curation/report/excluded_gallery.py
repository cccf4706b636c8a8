"""What a page shows besides the version's own pictures: excluded originals, and what the threshold stands on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from curation.dataset.manifest import Manifest, is_excluded_by
from curation.dataset.recipe import Recipe
from curation.errors import CurationError
from curation.hashing import Fingerprints, correlation, oriented_pairs_within, pairs_within, representatives
from curation.images import DecodeFailure, decode
from curation.reasons import Reason, describe_reason
from curation.report.summary import find_conflicts
from curation.report.tiles import fit
from curation.stages.probe import tone_of
from curation.storage.archive_index import file_of
from curation.storage.archive_members import UnreadableMember

SIDE: Final = 88
MOST_GROUPS: Final = 24
MOST_CONFLICTS: Final = 24
MOST_UNREADABLE: Final = 200
SAMPLED: Final = 3
"""Pairs that are shown at each distance."""
BEYOND: Final = 4
"""Bits beyond the recipe's radius up to which pairs are counted, so that one sees what a wider one would bring."""
MAX_RADIUS: Final = 16
MOST_CLUMPED: Final = 20_000
"""With more pairs of equal hashes (blank or templated pictures) each is paired with the first of them alone."""
MOST_COMPARED: Final = 20_000
"""Of more files only these, in the order of their sha256, are compared for the calibration."""

PAIRS: Final = {
    "one": pl.String(),
    "other": pl.String(),
    "distance": pl.UInt8(),
    "correlation": pl.Float64(),
}

Read = Callable[[str, str], bytes]
"""(id, sha256) -> the original file's bytes; raises CurationError, UnreadableMember or KeyError where it cannot."""


@dataclass(frozen=True)
class Cluster:
    """A picture that is kept (or stands for the others) and its duplicates: (id, how) each."""

    representative: str
    duplicates: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was gathered.

    Parameters
    ----------
    tiles : mapping of str to PIL.Image.Image
        Id -> a small picture of the original, 88x88.
    pairs : polars.DataFrame
        Every pair of files within some bits of each other: ``one``, ``other``, ``distance``, ``correlation``.
    pairs_are : str
        Which pairs these are, in words.
    """

    tiles: Mapping[str, Image.Image] = field(default_factory=dict)
    pairs: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAIRS))
    pairs_are: str = ""


def gather_evidence(
    manifest: Manifest, recipe: Recipe, *, read: Read | None, fingerprints: Fingerprints | None = None
) -> Evidence:
    """Gather what a page shows of what was left out.

    Parameters
    ----------
    read : function of (id, sha256) to bytes, optional
        Reads an original; without it the page shows no excluded picture.
    fingerprints : Fingerprints, optional
        Aligned with the rows; without them the calibration knows the confirmed pairs alone.
    """
    if fingerprints is not None:
        pairs, told = find_pairs(manifest, fingerprints, recipe)
    else:
        pairs = confirmed(manifest)
        told = "the confirmed pairs alone (what else the build looked at is not in its files)"
    wanted = [name for cluster in find_clusters(manifest)[:MOST_GROUPS] for name in _members(cluster)]
    wanted += [conflict.ids[0] for conflict in find_conflicts(manifest.rows)[:MOST_CONFLICTS]]
    wanted += disputed(manifest)[:MOST_CONFLICTS]
    sampled = sample_pairs(pairs)
    wanted += [*sampled["one"], *sampled["other"]]
    return Evidence(dict(_tiles(manifest, sorted(set(wanted)), recipe, read)), pairs, told)


def disputed(manifest: Manifest) -> list[str]:
    """Return the ids that are disputed through a look-alike of other bytes, and their look-alikes."""
    rows = manifest.rows.filter(pl.col("disputed") & ~pl.col("sha256").is_duplicated()).sort("id")
    beside = [like["id"] for likes in rows["lookalikes"].drop_nulls().to_list() for like in likes]
    return sorted({*rows["id"], *beside})


def find_clusters(manifest: Manifest) -> tuple[Cluster, ...]:
    """Return the groups of duplicates, those with the least alike members first."""
    rows = manifest.rows.filter(is_excluded_by("dedup") & pl.col("representative").is_not_null()).sort("id")
    found: dict[str, list[tuple[str, str, int]]] = {}
    for name, representative, reason, distance, like in rows.select(
        "id", "representative", "reason", "distance", "correlation"
    ).iter_rows():
        how, near = describe_reason(reason), reason == Reason.NEAR_DUPLICATE
        measured = like is not None and near
        words = f"{how}: {distance} bits, correlation {like:.3f}" if measured else how
        rank = (distance or 0) + near
        found.setdefault(representative, []).append((name, words, rank))
    ranked = sorted(found.items(), key=lambda cluster: (-max(rank for *_, rank in cluster[1]), cluster[0]))
    return tuple(Cluster(name, tuple((each, how) for each, how, _ in others)) for name, others in ranked)


def find_pairs(manifest: Manifest, fingerprints: Fingerprints, recipe: Recipe) -> tuple[pl.DataFrame, str]:
    """Return every pair within the recipe's radius and some bits beyond, each with its correlation; and which they are.

    Files of equal hashes are pairs, too; only where they are very many is each paired with the first of them alone.
    """
    rule = recipe.duplicates
    usable = manifest.rows.with_row_index("row").filter(pl.col("phash").is_not_null() & ~pl.col("flat").fill_null(True))
    usable = usable.unique("sha256", keep="first", maintain_order=True).sort("sha256").head(MOST_COMPARED).sort("row")
    rows = usable["row"].to_numpy().astype(np.int64)
    turned = rule.symmetries and rule.hash == "phash"
    hashes = fingerprints.symmetries[rows] if turned else fingerprints.symmetries[rows, 0].copy()
    first = representatives(hashes)
    clumped = np.bincount(first, minlength=1)
    few = int((clumped * (clumped - 1) // 2).sum()) <= MOST_CLUMPED
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
    table = {"one": ids.gather(one), "other": ids.gather(other), "distance": distance, "correlation": alike}
    told = "every pair of files of different bytes" + (
        "" if few else ", those of one hash with the first of them alone"
    )
    return pl.DataFrame(table, schema=PAIRS).sort("distance", "one", "other"), told


def _search(
    hashes: NDArray[np.uint64], radius: int, *, keys: NDArray[np.int64] | None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return batches of (one, other, distance, symmetry), the first of them empty."""
    search = oriented_pairs_within if hashes.ndim > 1 else pairs_within
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint8))
    batches = search(hashes, radius, keys=keys, threads=1)
    return [empty, *((pairs.i, pairs.j, pairs.distance, pairs.symmetry) for pairs in batches)]


def confirmed(manifest: Manifest) -> pl.DataFrame:
    """Return the pairs that the build confirmed, from the manifest alone."""
    rows = manifest.rows.select(pl.col("id").alias("one"), "lookalikes").drop_nulls()
    edges = rows.explode("lookalikes", empty_as_null=True).unnest("lookalikes")
    kept = edges.filter(pl.col("one") < pl.col("id")).select(
        "one", pl.col("id").alias("other"), "distance", pl.col("correlation").cast(pl.Float64)
    )
    return kept.cast(PAIRS).sort("distance", "one", "other")  # type: ignore[arg-type]  # Polars takes a mapping of types


def sample_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return a few pairs at each distance: the least alike, the most alike and one between."""
    chosen = []
    for _, group in pairs.sort("distance", "correlation", "one", "other").group_by("distance", maintain_order=True):
        places = np.linspace(0, group.height - 1, min(SAMPLED, group.height)).round().astype(int)
        chosen.append(group[sorted(set(places.tolist()))])
    return pl.concat(chosen) if chosen else pairs


def _members(cluster: Cluster) -> Sequence[str]:
    return [cluster.representative, *(name for name, _ in cluster.duplicates[:5])]


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
            yield name, fit(decode(content, scale="scaled", tone=tone, page=page or 1).pixels, SIDE)
        except (CurationError, UnreadableMember, DecodeFailure, KeyError):
            continue  # the page says in words that a picture is not to be had
